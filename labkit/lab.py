"""`lk.train`: training as a notebook wants it."""

from pathlib import Path
from typing import Any

from labkit.pipeline.run import refuse_stage, run_pipeline
from labkit.recipes import Recipe, is_pipeline
from labkit.runs import Run
from labkit.training import train as _train
from labkit.widgets import Dashboard, front_end


def train(recipe: str | Path | Recipe | None = None, **options: Any) -> Run:
    """Trains as `labkit.training.train` does, with a live dashboard in Jupyter and a progress bar elsewhere.

    `lk.train("r1-zero-tiny", steps=20, seed=1)`; see `labkit.training.train` for all options. A recipe with stages,
    `lk.train("r1-pipeline-tiny", seed=1)`, is run by `labkit.pipeline.run.run_pipeline`, to a PipelineRun.
    """
    if "observer" not in options and front_end() == "widgets":
        options["observer"] = _dashboard
        options.setdefault("progress", False)
    refuse_stage(options.get("resume"))
    if is_pipeline(_path(options.get("resume")) or recipe):
        return run_pipeline(recipe, **options)
    return _train(recipe, **options)


def _path(folder: str | Path | Run | None) -> str | Path | None:
    return folder.path if isinstance(folder, Run) else folder


# The two metrics that the dashboard always draws, and the third at first, by trainer.
WATCHED = {
    "sft": ("loss", "grad_norm", "lr"),
    "reward_model": ("loss", "accuracy", "margin"),
    "preferences": ("accuracy", "margin", "loss"),
}


def _dashboard(recipe: Recipe) -> Dashboard:
    fixed = WATCHED.get(recipe.trainer, ("pass_rate", "response_length", "entropy"))
    if recipe.algorithm in ("outcome", "process"):  # no pairs, so no margin
        fixed = ("loss", "accuracy", "grad_norm")
    if recipe.online and (recipe.reward_model or recipe.verifier):
        fixed = ("reward_mean", "gold_mean", "kl" if recipe.reward_model else "response_length")
    return Dashboard(recipe.steps, recipe.name, fixed[2], fixed=fixed[:2])
