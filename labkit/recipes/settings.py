"""The groups of a recipe's settings, each with its defaults and its meaning."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SamplingSettings(Settings):
    """How rollouts are drawn during training."""

    prompts: int = Field(default=32, ge=1, description="prompts a step")
    samples: int = Field(default=8, ge=1, description="samples per prompt: the size of a group")
    max_new_tokens: int = Field(default=256, ge=1, description="longest completion, tokens")
    temperature: float = Field(default=1.0, gt=0, description="softmax temperature, also in the trainer's log-probs")
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    min_p: float = Field(default=0.0, ge=0, le=1)
    stop: tuple[str, ...] = Field(default=(), description="strings that end a completion")


class OptimizerSettings(Settings):
    """The optimiser step."""

    lr: float = Field(default=2e-4, gt=0, description="peak learning rate")
    warmup: int = Field(default=3, ge=0, description="steps of linear warm-up")
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    updates: int = Field(default=1, ge=1, description="passes over each batch; from the second on the ratio is clipped")
    minibatches: int = Field(default=1, ge=1, description="optimiser steps a pass")
    microbatch_tokens: int | None = Field(
        default=None, ge=1, description="tokens (with padding) of one pass; default: 2048 on a CPU, 16384 on a GPU"
    )
    try_longest: bool | None = Field(
        default=None,
        description="RL: try the longest possible batch before step 1; default: on a GPU, where it can fail",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="keep one activation a layer and compute the rest again in the backward pass: less memory",
    )
    compile: bool = Field(
        default=False, description="compile the trainer's forward pass (torch.compile); same numbers, rounded"
    )


class EvaluationSettings(Settings):
    """The held-out evaluation before and after training."""

    problems: int = Field(default=128, ge=0, description="held-out problems; 0 leaves the evaluation out")
    samples: int = Field(default=16, ge=1, description="samples per problem")
    max_new_tokens: int | None = Field(default=None, description="default: as in training")
    temperature: float = Field(default=1.0, ge=0)
    seed: int = 1234


class DataSettings(Settings):
    """The rows that SFT, reward models and preference losses learn from."""

    source: str = Field(
        default="assistant",
        description="assistant; SFT: countdown, gsm8k, math too; outcome and process models: `traces` of the model; "
        "a .jsonl file, a hub id; `given`: your own rows",
    )
    limit: int | None = Field(default=None, ge=1, description="how many of the training rows; default: all")
    test_limit: int | None = Field(default=512, ge=0, description="how many of the held-out rows are measured; 0: none")
    batch: int = Field(default=32, ge=1, description="rows an optimiser step")
    traces: int = Field(default=4, ge=1, description="source traces: answers of the model to each problem")
    marks: Literal["outcome", "rollouts", "exact"] = Field(
        default="rollouts", description="source traces: how steps are marked for a process reward model"
    )
    rollouts: int = Field(default=4, ge=1, description="marks by rollouts: continuations of each prefix")
    max_length: int | None = Field(default=None, ge=2, description="longest row, tokens; default: the model's context")
    packing: bool = Field(
        default=True, description="SFT: several documents a row, where the architecture keeps them apart"
    )


class LoraSettings(Settings):
    """Adapters (Hu et al., 2021) that are trained instead of the weights."""

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0, description="adapters are scaled by alpha / rank")
    targets: Literal["all-linear"] | tuple[str, ...] = Field(default="all-linear", description="names of linear layers")


class CriticSettings(Settings):
    """The value function of PPO; its losses' weights and clips are options of the algorithm."""

    trunk: Literal["shared", "separate"] = Field(
        default="shared",
        description="shared: a head on the policy; separate: a model of its own, from the same weights",
    )


class ProcessRewardSettings(Settings):
    """The process reward model of PRIME, which learns along with the policy; its weight is `process_coef` of the
    algorithm."""

    beta: float = Field(default=0.05, gt=0, description="log-odds of success = beta * log-ratio of a whole answer")
    lr: float = Field(
        default=2e-4, gt=0, description="its peak learning rate; warm-up and schedule are the optimiser's"
    )
    updates: int = Field(default=1, ge=1, description="passes over each batch")
    minibatches: int = Field(default=1, ge=1, description="optimiser steps a pass")
    accuracy: tuple[float, float] = Field(
        default=(0.0, 1.0),
        description="learns from prompts with this share of right answers, least and most (PRIME: 0.2, 0.8)",
    )


class KLControl(Settings):
    """Steers the KL coefficient to a wanted distance (Ziegler et al., 2019) instead of keeping it fixed."""

    target: float = Field(default=6.0, gt=0, description="KL of a sequence from the reference, nats")
    horizon: float = Field(default=10_000, gt=0, description="samples in which an error of 20 % changes it by 20 %")
