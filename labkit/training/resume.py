"""What must hold before a run goes on: nothing is lost by it, and it is still the run that was begun."""

import json
from collections.abc import Mapping
from typing import Any

from labkit.errors import UserError, say_once
from labkit.recipes import Recipe, validate
from labkit.runs import Run
from labkit.storage import refuse_recorded

FREE = ("name", "description", "checkpoint_every", "keep_checkpoints", "rollouts_logged")
"""Settings that change no number of a run: a resumed run may have others."""


def refuse_without_checkpoint(run: Run, recipe: Recipe) -> None:
    """Raises UserError for a recorded run, and for one whose steps can't be gone on from: they would be lost.

    A run that was killed, interrupted or failed before its first checkpoint was written begins again, to the same
    numbers.
    """
    refuse_recorded(run.path)
    if run.checkpoints():
        return
    logged, status = len(run.metrics), (run.result or {}).get("status", "running")
    if logged > recipe.checkpoint_every or status not in ("running", "interrupted", "failed"):
        raise UserError(
            f"run {run.path} ({status}, {logged} steps) has no checkpoints, so that it can't go on; its log is kept. "
            "Start a new run with another --out"
        )


def longer(run: Run, recipe: Recipe, steps: Any) -> Recipe:
    """The recipe of a run that is to end after so many steps; None: as it was begun.

    Raises UserError where it has taken more steps already, and where the rate of the steps before depends on how many
    there are in all.
    """
    if steps is None or steps == recipe.steps:
        return recipe
    if recipe.optimizer.schedule != "constant":
        raise UserError(
            f"run {run.path} can't get another number of steps: the learning rate of each step depends on it (schedule "
            f"{recipe.optimizer.schedule}); start a new run with steps={steps}"
        )
    changed, taken = validate({**run.recipe, "steps": steps}, str(run.path)), len(run.metrics)
    if changed.steps < taken:
        raise UserError(f"run {run.path} has taken {taken} steps, and can't end after {changed.steps}")
    return changed


def refuse_changes(run: Run, recipe: Recipe, prints: Mapping[str, str]) -> None:
    """Raises UserError where the task, the rows or the recipe are not those that the run was begun with: its numbers
    before and after would not belong together. `prints`: the fingerprints of today, by the names in environment.json.
    """
    if not (run.path / "environment.json").exists():
        say_once(f"{run.path} has no environment.json: whether its recipe and data have changed can't be checked")
        return
    begun = run.environment
    for key, now in prints.items():
        if begun.get(key, now) != now:
            what = key.removesuffix("_fingerprint")
            raise UserError(
                f"the {what} of run {run.path} changed since it was begun (fingerprint {begun[key]} then, {now} now): "
                "bring back what it was begun with, or start a new run"
            )
    free = (*FREE, "steps") if recipe.optimizer.schedule == "constant" else FREE
    told = changes(begun.get("recipe"), recipe.settings(), free)
    if told:
        raise UserError(
            f"recipe.yaml of run {run.path} changed since the run was begun: {'; '.join(told)}. Put it back, or start "
            "a new run"
        )


def changes(begun: Any, now: Mapping[str, Any], free: tuple[str, ...] = (), whole: bool = False) -> list[str]:
    """Which settings differ, in words. Those that only one of the two has are compared where `whole` says that no
    other reason than a change explains it (another version of labkit may have more settings).

    >>> changes({"seed": 0, "optimizer": {"lr": 1}}, {"seed": 0, "optimizer": {"lr": 2}, "new": 3})
    ['optimizer.lr was 1, now 2']
    """
    if not isinstance(begun, Mapping):
        return []  # a run of a version that did not note it
    before, after = _flat(begun), _flat(json.loads(json.dumps(now)))
    keys = {**before, **after} if whole else [key for key in before if key in after]
    return [
        f"{key} was {before.get(key, 'not set')}, now {after.get(key, 'not set')}"
        for key in keys
        if key.split(".")[0] not in free and before.get(key) != after.get(key)
    ]


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        path = f"{above}{key}"
        found |= _flat(value, f"{path}.") if isinstance(value, Mapping) and value else {path: value}
    return found
