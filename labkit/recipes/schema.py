"""The schema of a recipe: every setting of a run, with its default and its meaning."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from labkit.algorithms import PRESETS, Preset
from labkit.recipes.options import check_options
from labkit.recipes.settings import (
    CriticSettings,
    DataSettings,
    EvaluationSettings,
    KLControl,
    LoraSettings,
    OptimizerSettings,
    ProcessRewardSettings,
    SamplingSettings,
    Settings,
)
from labkit.recipes.trainers import (
    ALGORITHMS,
    ONLINE,
    RL,
    check_algorithm,
    default_algorithm,
    gives_policy,
    row_trainers,
    trainers,
)
from labkit.recipes.types import Count, CountOrNone, Integer, Name, Seed, Share, Switch, Text

LEAST_MEASURED = 32
"""Even the shortest run measures at least so many held-out rows."""


def refuse_not_finite(value: Any, path: str = "") -> None:
    """Raises ValueError if plain data contains NaN or infinity. No other check covers the options of a task.

    >>> refuse_not_finite({"task_options": {"digits": [3, float("nan")]}})
    Traceback (most recent call last):
    ...
    ValueError: task_options.digits must be a finite number, not nan
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} must be a finite number, not {value}")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            refuse_not_finite(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            refuse_not_finite(inner, path)


def owners() -> dict[str, tuple[str, ...]]:
    """The settings that only some trainers have, and these trainers. In other trainers they are errors, not ignored."""
    return {
        **dict.fromkeys(("sampling", "rollouts_logged"), ONLINE),
        **dict.fromkeys(("critic", "process_reward", "kl_control", "reward_model", "verifier"), RL),
        **dict.fromkeys(("train_zero_advantage", "staleness"), RL),
        "teacher": ("distillation",),
        "data": row_trainers(),
        "evaluation": tuple(t for t in (*ONLINE, *row_trainers()) if gives_policy(t)),
    }


class Recipe(Settings):
    """A whole run. `algorithm` names a preset or a loss; `algorithm_options` changes some of its options."""

    name: Name
    description: str = ""
    trainer: str = "rl"
    model: Text = "tiny"
    task: Text = "countdown"
    task_options: dict[str, Any] = {}
    algorithm: str = Field(
        default="", description="rl, ppo: a preset; distillation: reverse_kl, ...; preferences: dpo, ..."
    )
    algorithm_options: dict[str, Any] = {}
    reward_model: Text | None = Field(
        default=None, description="folder of a reward model that is trained on in the task's place"
    )
    verifier: Text | None = Field(
        default=None, description="a verifier by name, leaky twins too, that is trained on in the task's place"
    )
    teacher: str | None = Field(default=None, description="distillation: the larger model, a name or a folder")
    reference: Text | None = Field(
        default=None, description="the frozen model of KL and DPO; default: the model as it begins"
    )
    steps: Count = 60
    seed: Seed = 0
    sampling: SamplingSettings = SamplingSettings()
    data: DataSettings = DataSettings()
    critic: CriticSettings = CriticSettings()
    process_reward: ProcessRewardSettings = ProcessRewardSettings()
    kl_control: KLControl | None = None
    lora: LoraSettings | None = None
    optimizer: OptimizerSettings = OptimizerSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    train_zero_advantage: Switch = Field(
        default=False,
        description="also compute rows with advantage 0: same gradient, more work (only without a KL loss)",
    )
    staleness: Annotated[Integer, Field(ge=0, le=1000)] = Field(
        default=0,
        description="samples are drawn by the policy of so many steps ago: what asynchronous training does",
    )
    unknown_tokens: Share = Field(
        default=0.01,
        description="most share of the prompts' (or rows') tokens that the model's tokenizer may not know; 1: any",
    )
    checkpoint_every: Count = Field(default=10, description="steps between checkpoints")
    keep_checkpoints: Count = Field(default=2, description="how many of the newest checkpoints stay")
    rollouts_logged: CountOrNone = Field(
        default=16, description="rollouts of each step that are kept in rollouts.jsonl"
    )

    @model_validator(mode="before")
    @classmethod
    def _default_algorithm(cls, raw: Any) -> Any:
        refuse_not_finite(raw)
        if isinstance(raw, dict) and not raw.get("algorithm"):
            return {**raw, "algorithm": default_algorithm(str(raw.get("trainer", "rl")))}
        return raw

    @model_validator(mode="after")
    def _measured_rows(self) -> "Recipe":
        """Limits `data.test_limit`: by default a short run measures no more rows than it learns from."""
        if "test_limit" not in self.data.model_fields_set and self.trainer in row_trainers():
            most = max(LEAST_MEASURED, self.steps * self.data.batch)
            if most < (self.data.test_limit or 0):
                object.__setattr__(self, "data", self.data.model_copy(update={"test_limit": most}))
        return self

    @field_validator("trainer")
    @classmethod
    def _known(cls, trainer: str) -> str:
        if trainer not in trainers():
            raise ValueError(f"no trainer {trainer!r}; there are {', '.join(trainers())}")
        return trainer

    @model_validator(mode="after")
    def _settings_of_this_trainer(self) -> "Recipe":
        for key, owned_by in owners().items():
            if key in self.model_fields_set and self.trainer not in owned_by:
                raise ValueError(
                    f"{key} is a setting of the trainers {', '.join(owned_by)}; this one is {self.trainer}"
                )
        if self.reward_model is not None and self.verifier is not None:
            raise ValueError("reward_model and verifier both stand in the task's place: give one of them")
        for key in ("updates", "minibatches"):
            if not self.online and key in self.optimizer.model_fields_set and getattr(self.optimizer, key) != 1:
                raise ValueError(f"optimizer.{key} is a setting of the trainers {', '.join(ONLINE)}; use data.batch")
        if self.trainer == "distillation" and not self.teacher:
            raise ValueError("trainer distillation needs a teacher: a model's name or folder")
        if self.trainer not in RL:
            check_algorithm(self.trainer, self.algorithm, self.algorithm_options)
            return self
        if self.algorithm not in PRESETS:
            other = ALGORITHMS.get(self.algorithm)
            hint = f"; {self.algorithm!r} belongs to trainer: {other.trainer}" if other else ""
            raise ValueError(f"unknown algorithm {self.algorithm!r}; there are {', '.join(PRESETS)}{hint}")
        check_options(self.algorithm_options)
        preset = self.preset()  # this raises ValueError for values out of range
        if self.trainer == "ppo" and not getattr(preset, "critic", True):
            raise ValueError(f"algorithm {self.algorithm!r} has no critic: use trainer: rl, or algorithm: ppo")
        if self.kl_control is not None and not preset.kl_coef:
            raise ValueError("kl_control steers a KL coefficient: give it a start, algorithm_options: {kl_coef: 0.05}")
        return self

    @property
    def online(self) -> bool:
        """Whether the policy learns from its own samples (RL, PPO, distillation), and not from rows of data."""
        return self.trainer in ONLINE

    @property
    def evaluated(self) -> bool:
        """Whether the run trains a policy and evaluates it on held-out problems, before and after training."""
        return gives_policy(self.trainer) and self.evaluation.problems > 0

    def preset(self) -> Preset:
        """The algorithm of an RL run: the named preset with the changes of `algorithm_options`."""
        return replace(PRESETS[self.algorithm], **self.algorithm_options)

    def settings(self) -> dict[str, Any]:
        """The recipe as plain data, without the settings that its trainer does not have."""
        foreign = {key for key, owned_by in owners().items() if self.trainer not in owned_by}
        return self.model_dump(mode="json", exclude=foreign)
