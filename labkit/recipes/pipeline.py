"""Pipelines: a recipe that is a list of stages. Each stage has its data, its method and its budget.

A stage is an ordinary run (RL, SFT, a reward model, preferences) or a harvest of answers (rejection sampling). `from:`
names the model with which it begins, `data:` the rows from which it learns, and `rewards:` the parts of its reward.
`settings:` changes settings of its method's recipe.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from labkit.errors import UserError, first_fault
from labkit.recipes.files import read_settings
from labkit.recipes.loading import load_recipe, set_at, validate
from labkit.recipes.schema import Recipe, refuse_not_finite
from labkit.recipes.settings import Settings
from labkit.recipes.trainers import RL, gives_policy, row_trainers
from labkit.recipes.types import (
    Count,
    CountOrNone,
    Group,
    Name,
    Positive,
    Real,
    Seed,
    Share,
    Switch,
    Temperature,
    Text,
    Tokens,
)

BASE = "base"
Weight = Annotated[Real, Field(ge=-1000, le=1000)]  # of a part of the reward; what is unwanted may cost something
# The sources of rows that need no earlier stage. Names of rejection-sampling stages and .jsonl files are sources too.
SOURCES = ("curated", "assistant", "addition", "gsm8k")
REWARDS = ("accuracy", "format", "trace")
# The keys of a stage that only some methods may have, and these methods.
FIELDS = {
    "data": ("sft",),
    "rewards": RL,
    "tasks": RL,
    "judge": RL,
    "harvest": ("rejection_sampling",),
}


def methods() -> tuple[str, ...]:
    """Every value of a stage's `method`: rejection sampling, and all trainers but distillation (it has two models)."""
    return (*RL, *row_trainers(), "rejection_sampling")


class StageData(Settings):
    """The rows of an SFT stage: a mixture of sources with given shares."""

    rows: Count = Field(default=400, description="most rows in all; fewer where a source runs out, the shares stay")
    shares: dict[Text, Positive] = Field(
        default={"curated": 1.0},
        description="source -> share: curated, assistant, addition, gsm8k, an earlier stage, a .jsonl",
    )
    attempts: Group = Field(default=12, description="curated: most attempts in a trace; short ones read well")

    @model_validator(mode="after")
    def _shares_add_up(self) -> "StageData":
        if abs(sum(self.shares.values()) - 1) > 1e-6:
            raise ValueError(f"shares are positive and add up to 1, not {self.shares}")
        return self


class Harvest(Settings):
    """The settings of rejection sampling: draw answers, verify them, keep the right ones."""

    prompts: Group = Field(default=256, description="training problems that answers are drawn for")
    samples: Group = Field(default=4, description="answers per problem")
    keep: Group = Field(default=1, description="most answers kept per problem")
    readable: Share = Field(default=0.0, description="least share of clean lines in a kept thought")
    temperature: Temperature = 1.0
    max_new_tokens: Tokens = 256


class Measure(Settings):
    """The measurement of every stage's model. All models get the same problems and the same random numbers."""

    problems: Count = Field(default=128, description="held-out problems of the task")
    samples: Group = Field(default=8, description="samples per problem")
    max_new_tokens: Tokens = 256
    requests: CountOrNone = Field(default=64, description="held-out requests to the assistant; 0: none")
    request_samples: Group = 4
    examples: CountOrNone = Field(default=3, description="problems of which all answers are kept to be read")
    seed: Seed = 1234


class Stage(Settings):
    """One stage. `method` names the trainer. `recipe`, if given, names the recipe from whose settings it starts."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: Annotated[Name, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str = ""
    method: str
    recipe: str | None = Field(default=None, description="a recipe by name; default: the method with its defaults")
    start: str = Field(default=BASE, alias="from", description="base, or the earlier stage whose model is taken")
    data: StageData | None = None
    tasks: dict[Text, Positive] = Field(default={}, description="RL on several tasks: name -> share of the prompts")
    rewards: dict[str, Weight] = Field(
        default={}, description="RL: weights of accuracy, format and trace, in place of accuracy alone"
    )
    judge: str | None = Field(default=None, description="the reward-model stage that scores the assistant task")
    harvest: Harvest | None = None
    settings: dict[str, Any] = Field(default={}, description="changes to the recipe: steps, lr, sampling.prompts, ...")
    alone: Switch = Field(
        default=False, description="no part of the pipeline, but a row next to it: what one method alone gets"
    )

    @field_validator("method")
    @classmethod
    def _known(cls, method: str) -> str:
        if method not in methods():
            raise ValueError(f"no method {method!r}; there are {', '.join(methods())}")
        return method

    @model_validator(mode="after")
    def _what_the_method_has(self) -> "Stage":
        for key, owned_by in FIELDS.items():
            if key in self.model_fields_set and self.method not in owned_by:
                raise ValueError(f"{key} belongs to {' and '.join(owned_by)}; this stage is {self.method}")
        unknown = set(self.rewards) - set(REWARDS)
        if unknown:
            raise ValueError(f"no reward {sorted(unknown)[0]!r}; there are {', '.join(REWARDS)}")
        if self.method == "rejection_sampling" and (self.settings or self.recipe):
            raise ValueError("rejection_sampling has no recipe and no settings, but harvest: {prompts: 256, ...}")
        if self.method == "sft" and self.data is None:
            return self.model_copy(update={"data": StageData()})
        if self.method == "rejection_sampling" and self.harvest is None:
            return self.model_copy(update={"harvest": Harvest()})
        return self

    @property
    def gives_model(self) -> bool:
        """Whether the stage ends with a policy: a model that can be sampled from, evaluated and trained further."""
        return self.method != "rejection_sampling" and gives_policy(self.method)


class Pipeline(Settings):
    """A whole pipeline."""

    name: Name
    description: str = ""
    model: Text = "tiny"
    task: Text = "countdown"
    task_options: dict[str, Any] = {}
    seed: Seed = 0
    stages: tuple[Stage, ...] = Field(min_length=1)
    measure: Measure = Measure()

    @model_validator(mode="before")
    @classmethod
    def _finite(cls, raw: Any) -> Any:
        refuse_not_finite(raw)
        return raw

    @model_validator(mode="after")
    def _stages_fit_together(self) -> "Pipeline":
        models, reward_models, rows = {BASE}, set[str](), set[str]()
        for stage in self.stages:
            where = f"stage {stage.name}"
            if stage.name in models | reward_models | rows:
                raise ValueError(f"{where}: there are two stages of this name")
            if stage.start not in models:
                raise ValueError(f"{where}: from {stage.start!r} is no model so far; there are {_listed(models)}")
            if stage.judge is not None and stage.judge not in reward_models:
                known = _listed(reward_models) or "none"
                raise ValueError(f"{where}: judge {stage.judge!r} is no reward-model stage so far; there are {known}")
            if "assistant" in (*stage.tasks, self.task) and stage.judge is None and stage.method in RL:
                raise ValueError(f"{where}: requests to the assistant need a judge: the name of a reward-model stage")
            for source in stage.data.shares if stage.data else ():
                if source not in SOURCES and source not in rows and not source.endswith(".jsonl"):
                    known = _listed({*SOURCES, *rows})
                    raise ValueError(f"{where}: no rows {source!r} so far; there are {known}, and .jsonl files")
            harvested = rows if stage.method == "rejection_sampling" else reward_models
            (models if stage.gives_model else harvested).add(stage.name)
        return self

    def stage(self, name: str) -> Stage:
        """The stage with this name. Raises UserError if there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise UserError(
            f"pipeline {self.name} has no stage {name!r}; there are {_listed({s.name for s in self.stages})}"
        )

    def settings(self) -> dict[str, Any]:
        """The pipeline as plain data, in the form of its YAML file. Settings that were not given are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True) | {"name": self.name, "seed": self.seed}


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def load_pipeline(name: str | Path | Pipeline, /, **overrides: Any) -> Pipeline:
    """Loads a pipeline by name or from a YAML file with `stages:`, and applies overrides.

    An override is a key of the pipeline (`seed=1`, `{"measure.problems": 16}`) or `STAGE.KEY`. KEY is a key of the
    stage (`{"rejection.harvest.prompts": 8}`) or of its method's recipe (`{"cold-start.steps": 2}`). Raises UserError
    with one line if something is wrong. The settings of all stages are checked here, before any training.
    """
    raw = name.settings() if isinstance(name, Pipeline) else read_settings(name)
    if "stages" not in raw:
        raise UserError(f"recipe {raw.get('name', name)!r} has no stages: it is a single run")
    for key, value in overrides.items():
        _override(raw, key, value)
    pipeline = validate_pipeline(raw)
    for stage in pipeline.stages:
        if stage.method != "rejection_sampling":
            stage_recipe(pipeline, stage)
    return pipeline


def validate_pipeline(raw: dict[str, Any]) -> Pipeline:
    """Makes a pipeline from a plain dictionary. Raises UserError, which names the first key that is wrong."""
    name = str(raw.get("name", "?"))[:80]
    try:
        return Pipeline.model_validate(raw)
    except ValidationError as error:
        key, message = first_fault(error)
        if message is None:
            raise UserError(f"pipeline {name!r} has no key {key!r}") from None
        raise UserError(f"pipeline {name!r}: {key and f'{key}: '}{message}") from None


def stage_recipe(pipeline: Pipeline, stage: Stage) -> Recipe:
    """The recipe of a stage that trains: the recipe that it names, or its method's defaults, with its settings applied.

    It has no evaluation, because the pipeline itself measures the model of every stage. Raises UserError if a setting
    is wrong, or if the named recipe is of another method.
    """
    first = validate({"name": stage.name, "trainer": stage.method}, stage.name)
    if stage.recipe is not None:
        first = load_recipe(stage.recipe)
    if first.trainer != stage.method:
        raise UserError(f"stage {stage.name}: recipe {stage.recipe} is of {first.trainer}, not of {stage.method}")
    shared: dict[str, Any] = {"name": stage.name, "description": stage.title or stage.method}
    shared |= {"model": pipeline.model, "seed": pipeline.seed}
    if stage.gives_model:
        shared |= {"evaluation": {"problems": 0}}
    if stage.method in (*RL, "sft"):
        shared |= {"task": pipeline.task, "task_options": pipeline.task_options}
    try:
        return load_recipe(first, **shared | stage.settings)
    except UserError as error:
        raise UserError(f"stage {stage.name}: {error}") from None


def _of_stage(path: str) -> bool:
    """Whether a dotted key belongs to the stage itself, and not to its method's recipe, as `data.batch` does.

    >>> [_of_stage(path) for path in ("data.rows", "data.shares.gsm8k", "data.batch", "harvest", "from", "steps")]
    [True, True, False, True, True, False]
    """
    own, _, inner = path.partition(".")
    groups = {"data": StageData, "harvest": Harvest}
    if inner and own in groups and inner.split(".")[0] not in groups[own].model_fields:
        return own == "harvest"  # no recipe has this key, so the stage's own check names the wrong key
    return own in Stage.model_fields or own == "from"


def _override(raw: dict[str, Any], key: str, value: Any) -> None:
    top, _, rest = key.partition(".")
    given = raw["stages"] if isinstance(raw["stages"], list) else []
    stages = {str(stage.get("name")): stage for stage in given if isinstance(stage, dict)}
    if top in stages and rest:
        index = raw["stages"].index(stages[top])
        raw["stages"] = [dict(stage) for stage in raw["stages"]]
        stage = raw["stages"][index]
        if _of_stage(rest):
            set_at(stage, rest, value)
        else:
            given = stage.get("settings")
            stage["settings"] = {**(given if isinstance(given, dict) else {}), rest: value}
    elif top in Pipeline.model_fields:
        set_at(raw, key, value)
    else:
        known = ", ".join([*Pipeline.model_fields, *(f"{name}.KEY" for name in stages)])
        raise UserError(f"no key {key!r} in pipeline {raw.get('name')!r}; there are {known}")
