"""What the caller of `train` hands over, by name or as objects, and the models and tasks that a run makes of it."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from labkit.models import Policy, RewardModel, add_lora, load_policy, load_reward_model, train_with
from labkit.recipes import Recipe
from labkit.runs import Run
from labkit.tasks import Task, load_task
from labkit.training.rl.distillation import check_vocabulary
from labkit.training.rows.data import GIVEN, Given
from labkit.verifiers import get

Name = str | Path | Run


@dataclass(frozen=True)
class Inputs:
    """Models, task and rows of the caller's; None: what the recipe says. See `labkit.training.train` for each."""

    model: Name | Policy | None = None
    task: str | Task | None = None
    dataset: Given = None
    reward_model: Name | RewardModel | None = None
    reference: Name | Policy | None = None
    teacher: Name | Policy | None = None

    def overrides(self) -> dict[str, Any]:
        """The recipe's keys that these inputs set: names of models and of the task, and the source of the rows."""
        keys: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and field.name != "dataset":
                keys[field.name] = _name(value)
        if self.dataset is not None:
            keys["data.source"] = str(self.dataset) if isinstance(self.dataset, str | Path) else GIVEN
        return keys

    def names(self) -> list[Name]:
        """Inputs that are names, not objects."""
        values = [getattr(self, field.name) for field in fields(self)]
        return [value for value in values if isinstance(value, Name)]

    @property
    def rows(self) -> Given:
        """The rows that were handed over as objects; None where a source is named."""
        return None if isinstance(self.dataset, str | Path) else self.dataset


@dataclass(frozen=True)
class Models:
    """The models and tasks of a run.

    `task` is what the policy is evaluated on; `rewarded` is the same task, scored by what pays for training: its own
    verifier, another one, or a reward model. Both are None where the run does not sample. `reference` is the frozen
    model that was asked for (None: the policy as it begins), `teacher` the model that a student is distilled from.
    """

    policy: Policy
    task: Task | None
    rewarded: Task | None
    reference: Policy | None
    teacher: Policy | None


def resolve(recipe: Recipe, inputs: Inputs, device: str | None = None) -> Models:
    """Loads what is named and takes over the caller's objects; a policy of the caller's is trained in place.

    Raises UserError for what is not there, and for a teacher whose vocabulary is not the student's.
    """
    task = _task(recipe, inputs.task)
    rewarded = None if task is None else _rewarded(recipe, task, inputs.reward_model, device)
    policy = _policy(inputs.model, recipe.model, device)
    reference = teacher = None
    # The policy itself as its reference means: as it is when the run begins.
    if recipe.reference is not None and inputs.reference is not policy:
        reference = _policy(inputs.reference, recipe.reference, device)
    if recipe.teacher is not None:
        teacher = _policy(inputs.teacher, recipe.teacher, device)
        check_vocabulary(policy, teacher)
    if recipe.lora is not None:
        add_lora(policy, recipe.lora.rank, recipe.lora.alpha, recipe.lora.targets, recipe.seed)
    train_with(policy.model, recipe.optimizer.gradient_checkpointing, recipe.optimizer.compile)
    return Models(policy, task, rewarded, reference, teacher)


def _task(recipe: Recipe, given: str | Task | None) -> Task | None:
    if not (recipe.online or recipe.evaluated):
        return None
    return given if isinstance(given, Task) else load_task(recipe.task, **recipe.task_options)


def _rewarded(recipe: Recipe, task: Task, given: Name | RewardModel | None, device: str | None) -> Task:
    if recipe.verifier is not None:
        return task.with_verifier(get(recipe.verifier))
    if recipe.reward_model is None:
        return task
    model = given if isinstance(given, RewardModel) else load_reward_model(recipe.reward_model, device)
    return task.with_reward_model(model)


def _policy(given: object, name: str, device: str | None) -> Policy:
    return given if isinstance(given, Policy) else load_policy(name, device=device)


def _name(value: Any) -> str:
    """What a recipe calls a model or a task: its path, or the name of the object."""
    if isinstance(value, Run):
        return str(value.path)
    return str(value) if isinstance(value, str | Path) else value.name
