"""The groups of a recipe's settings, each with its defaults and its meaning."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from labkit.recipes.types import (
    Beta,
    Count,
    CountOrNone,
    Group,
    Integer,
    LearningRate,
    Positive,
    Real,
    Seed,
    Share,
    Switch,
    Temperature,
    Text,
    Tokens,
)

MOST_ROWS = 1_000_000
"""The most answers that one step may draw."""


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SamplingSettings(Settings):
    """How rollouts are drawn during training."""

    prompts: Group = Field(default=32, description="prompts per step")
    samples: Group = Field(default=8, description="samples per prompt: the size of a group")
    max_new_tokens: Tokens = Field(default=256, description="longest completion, tokens")
    temperature: Temperature = Field(default=1.0, description="softmax temperature, also in the trainer's log-probs")
    top_p: Annotated[Real, Field(gt=0, le=1)] = 1.0
    top_k: CountOrNone = 0
    min_p: Share = 0.0
    stop: tuple[Text, ...] = Field(default=(), description="strings that end a completion")

    @model_validator(mode="after")
    def _rows_of_a_step(self) -> "SamplingSettings":
        if self.prompts * self.samples > MOST_ROWS:
            raise ValueError(
                f"prompts x samples is {self.prompts * self.samples} answers per step; at most {MOST_ROWS}"
            )
        return self


class OptimizerSettings(Settings):
    """The optimiser step."""

    lr: LearningRate = Field(default=2e-4, description="peak learning rate")
    warmup: CountOrNone = Field(default=3, description="steps of linear warm-up")
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    betas: tuple[Beta, Beta] = (0.9, 0.95)
    weight_decay: Annotated[Real, Field(ge=0, le=100)] = 0.0
    max_grad_norm: Annotated[Real, Field(gt=0, le=1e9)] = 1.0
    updates: Group = Field(default=1, description="passes over each batch; from the second on the ratio is clipped")
    minibatches: Group = Field(default=1, description="optimiser steps per pass")
    microbatch_tokens: Annotated[Integer, Field(ge=1, le=10**9)] | None = Field(
        default=None, description="tokens (with padding) of one pass; default: 2048 on a CPU, 16384 on a GPU"
    )
    try_longest: Switch | None = Field(
        default=None,
        description="RL: try the longest possible batch before step 1; default: on a GPU, where it can fail",
    )
    gradient_checkpointing: Switch = Field(
        default=False,
        description="keep one activation a layer and compute the rest again in the backward pass: less memory",
    )
    compile: Switch = Field(
        default=False, description="compile the trainer's forward pass (torch.compile); same numbers, rounded"
    )


class EvaluationSettings(Settings):
    """The evaluation on held-out problems, before and after training."""

    problems: CountOrNone = Field(default=128, description="held-out problems; 0 leaves the evaluation out")
    samples: Group = Field(default=16, description="samples per problem")
    max_new_tokens: Tokens | None = Field(default=None, description="default: as in training")
    temperature: Annotated[Real, Field(ge=0, le=1000)] = 1.0
    seed: Seed = 1234


class DataSettings(Settings):
    """The rows of data for SFT, reward models and preference losses."""

    source: Text = Field(
        default="assistant",
        description="assistant; SFT: countdown, gsm8k, math too; outcome and process models: `traces` of the model; "
        "a .jsonl file, a hub id; `given`: your own rows",
    )
    limit: Count | None = Field(default=None, description="how many of the training rows; default: all")
    test_limit: CountOrNone | None = Field(
        default=512,
        description="how many of the held-out rows are measured; 0: none; null: all; default: 512, but no more than "
        "the run trains on (steps x batch), 32 at least",
    )
    batch: Count = Field(default=32, description="rows an optimiser step")
    traces: Group = Field(default=4, description="source traces: answers of the model to each problem")
    marks: Literal["outcome", "rollouts", "exact"] = Field(
        default="rollouts", description="source traces: how steps are marked for a process reward model"
    )
    rollouts: Group = Field(default=4, description="marks by rollouts: continuations of each prefix")
    max_length: Annotated[Integer, Field(ge=2, le=10**7)] | None = Field(
        default=None, description="longest row, tokens; default: the model's context"
    )
    packing: Switch = Field(
        default=True, description="SFT: several documents a row, where the architecture keeps them apart"
    )


class LoraSettings(Settings):
    """LoRA adapters (Hu et al., 2021), which are trained instead of the weights."""

    rank: Annotated[Integer, Field(ge=1, le=10_000)] = 16
    alpha: Positive = Field(default=32.0, description="adapters are scaled by alpha / rank")
    targets: Literal["all-linear"] | Annotated[tuple[Text, ...], Field(min_length=1)] = Field(
        default="all-linear", description="names of linear layers"
    )


class CriticSettings(Settings):
    """The value function of PPO. The weight and the clip of its loss are options of the algorithm."""

    trunk: Literal["shared", "separate"] = Field(
        default="shared",
        description="shared: a head on the policy; separate: a model of its own, from the same weights",
    )


class ProcessRewardSettings(Settings):
    """The process reward model of PRIME, which is trained together with the policy.

    The algorithm's option `process_coef` is the weight of its rewards.
    """

    beta: Positive = Field(default=0.05, description="log-odds of success = beta * log-ratio of a whole answer")
    lr: LearningRate = Field(
        default=2e-4, description="its peak learning rate; warm-up and schedule are the optimiser's"
    )
    updates: Group = Field(default=1, description="passes over each batch")
    minibatches: Group = Field(default=1, description="optimiser steps per pass")
    accuracy: tuple[Share, Share] = Field(
        default=(0.0, 1.0),
        description="learns from prompts with this share of right answers, least and most (PRIME: 0.2, 0.8)",
    )

    @model_validator(mode="after")
    def _least_and_most(self) -> "ProcessRewardSettings":
        if self.accuracy[0] > self.accuracy[1]:
            raise ValueError(f"accuracy is the least share and the most, not {list(self.accuracy)}")
        return self


class KLControl(Settings):
    """Adapts the KL coefficient, so that the KL approaches a target (Ziegler et al., 2019)."""

    target: Positive = Field(default=6.0, description="KL of a sequence from the reference, nats")
    horizon: Annotated[Real, Field(gt=0, le=1e12)] = Field(
        default=10_000, description="samples in which an error of 20 % changes it by 20 %"
    )
