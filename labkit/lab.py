"""`lk.train`: training as a notebook wants it."""

from pathlib import Path
from typing import Any

from labkit.models import Policy, RewardModel
from labkit.pipeline.run import refuse_stage, run_pipeline
from labkit.recipes import Recipe, is_pipeline
from labkit.runs import Run
from labkit.tasks import Task
from labkit.training import train as _train
from labkit.training.rows.data import Given
from labkit.training.rows.learner import row_trainer
from labkit.training.train import Watcher
from labkit.widgets import Dashboard, front_end


def dashboard(recipe: Recipe) -> Dashboard:
    """The live dashboard of a run, with the three metrics that tell most about its trainer."""
    if not recipe.online:
        first, second, third = row_trainer(recipe.algorithm).watched
    elif recipe.reward_model or recipe.verifier:
        first, second, third = "reward_mean", "gold_mean", "kl" if recipe.reward_model else "response_length"
    else:
        first, second, third = "pass_rate", "response_length", "entropy"
    return Dashboard(recipe.steps, recipe.name, third, fixed=(first, second))


def train(
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    resume: str | Path | Run | None = None,
    *,
    model: str | Path | Run | Policy | None = None,
    task: str | Task | None = None,
    dataset: Given = None,
    reward_model: str | Path | Run | RewardModel | None = None,
    reference: str | Path | Run | Policy | None = None,
    teacher: str | Path | Run | Policy | None = None,
    observer: Watcher = dashboard,
    progress: bool | None = None,
    device: str | None = None,
    **overrides: Any,  # keys of the recipe, which `load_recipe` checks
) -> Run:
    """Trains as `labkit.training.train` does, whose docstring explains every argument.

    `lk.train("r1-zero-tiny", steps=20, seed=1)`. In Jupyter the run is drawn by a live `dashboard`, unless you give
    another `observer`, or None; elsewhere, and without a dashboard, there is a progress bar (`progress`). A recipe with
    stages, `lk.train("r1-pipeline-tiny", seed=1)`, is run by `labkit.pipeline.run.run_pipeline`, to a PipelineRun.
    """
    drawn = observer is dashboard and front_end() == "widgets"
    if observer is dashboard and not drawn:
        observer = None
    shared: dict[str, Any] = {"observer": observer, "progress": not drawn if progress is None else progress}
    shared |= {"out": out, "resume": resume, "model": model, "device": device}
    refuse_stage(resume)
    inputs = {
        "task": task,
        "dataset": dataset,
        "reward_model": reward_model,
        "reference": reference,
        "teacher": teacher,
    }
    if not isinstance(recipe, Recipe) and is_pipeline(_path(resume) or recipe):
        # A pipeline has keys of its own; it refuses those that it does not have.
        keys = {key: value for key, value in inputs.items() if value is not None}
        return run_pipeline(recipe, **shared, **keys, **overrides)
    return _train(recipe, **shared, **inputs, **overrides)


def _path(folder: str | Path | Run | None) -> str | Path | None:
    return folder.path if isinstance(folder, Run) else folder
