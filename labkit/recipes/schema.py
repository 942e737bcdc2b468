"""What a recipe says: every setting of a run, with its default and its meaning."""

from dataclasses import fields, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from labkit.algorithms import PRESETS, Preset


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SamplingSettings(_Settings):
    """How rollouts are drawn during training."""

    prompts: int = Field(32, ge=1, description="prompts a step")
    samples: int = Field(8, ge=1, description="samples a prompt: the size of a group")
    max_new_tokens: int = Field(256, ge=1, description="longest completion, tokens")
    temperature: float = Field(1.0, gt=0, description="softmax temperature, also in the trainer's log-probs")
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    min_p: float = Field(0.0, ge=0, le=1)
    stop: tuple[str, ...] = Field((), description="strings that end a completion")


class OptimizerSettings(_Settings):
    """The optimiser step."""

    lr: float = Field(2e-4, gt=0, description="peak learning rate")
    warmup: int = Field(3, ge=0, description="steps of linear warm-up")
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    updates: int = Field(1, ge=1, description="passes over each batch; from the second on the ratio is clipped")
    minibatches: int = Field(1, ge=1, description="optimiser steps a pass")
    microbatch_tokens: int | None = Field(
        None, ge=1, description="tokens (with padding) of one pass; default: 2048 on a CPU, 16384 on a GPU"
    )


class EvaluationSettings(_Settings):
    """The held-out evaluation before and after training."""

    problems: int = Field(128, ge=0, description="held-out problems; 0 leaves the evaluation out")
    samples: int = Field(16, ge=1, description="samples a problem")
    max_new_tokens: int | None = Field(None, description="default: as in training")
    temperature: float = Field(1.0, ge=0)
    seed: int = 1234


class Recipe(_Settings):
    """A whole run. `algorithm` names a preset; `algorithm_options` changes some of its fields."""

    name: str
    description: str = ""
    trainer: Literal["rl"] = "rl"
    model: str = "tiny"
    task: str = "countdown"
    task_options: dict[str, Any] = {}
    algorithm: str = "grpo"
    algorithm_options: dict[str, Any] = {}
    steps: int = Field(60, ge=1)
    seed: int = 0
    sampling: SamplingSettings = SamplingSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    train_zero_advantage: bool = Field(
        False,
        description="also compute rows with advantage 0: same gradient, more work (only without a KL loss)",
    )
    checkpoint_every: int = Field(10, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(2, ge=1, description="how many of the newest checkpoints stay")
    rollouts_logged: int = Field(16, ge=0, description="rollouts of each step that are kept in rollouts.jsonl")

    @model_validator(mode="after")
    def _preset_exists(self) -> "Recipe":
        if self.algorithm not in PRESETS:
            raise ValueError(f"unknown algorithm {self.algorithm!r}; there are {', '.join(PRESETS)}")
        known = {f.name for f in fields(Preset)} - {"name", "source"}
        for key in self.algorithm_options:
            if key not in known:
                raise ValueError(f"algorithm_options has no {key!r}; it has {', '.join(sorted(known))}")
        self.preset()  # raises ValueError for values out of range
        return self

    def preset(self) -> Preset:
        """The algorithm: the named preset with the recipe's changes."""
        return replace(PRESETS[self.algorithm], **self.algorithm_options)
