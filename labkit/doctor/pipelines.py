"""What a pipeline will need: the estimates of its stages, one after another."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labkit.doctor.estimates import Estimate, estimate
from labkit.pipeline.stages import stage_rows, stage_task
from labkit.recipes import Recipe
from labkit.recipes.pipeline import SOURCES, Pipeline, Stage, stage_recipe
from labkit.recipes.settings import SamplingSettings
from labkit.tasks import load_task


@dataclass(frozen=True)
class PipelineEstimate:
    """The estimate of each stage by its name. Stages run one after another: the peak is that of the largest, and time
    adds up. A stage whose rows come from an earlier one has no time. Evaluations are left out, and reward models that
    score a stage."""

    recipe: str
    stages: dict[str, Estimate]

    @property
    def peak_bytes(self) -> int:
        """The peak of the largest stage."""
        return max(stage.peak_bytes for stage in self.stages.values())

    @property
    def seconds(self) -> float:
        """All stages whose time is known."""
        return sum(stage.seconds.get("run", 0.0) for stage in self.stages.values())

    def to_dict(self) -> dict[str, Any]:
        """The estimates as plain data, for JSON."""
        stages = {name: stage.to_dict() for name, stage in self.stages.items()}
        return {
            "recipe": self.recipe,
            "peak_bytes": self.peak_bytes,
            "seconds": {"run": self.seconds},
            "stages": stages,
        }


def estimate_pipeline(pipeline: Pipeline, device: str | None = None) -> PipelineEstimate:
    """What the stages of a pipeline will need on this device. Raises UserError as `estimate` does."""
    return PipelineEstimate(
        pipeline.name, {stage.name: _estimate_stage(pipeline, stage, device) for stage in pipeline.stages}
    )


def _estimate_stage(pipeline: Pipeline, stage: Stage, device: str | None) -> Estimate:
    if stage.harvest is not None:
        drawing = SamplingSettings(
            **stage.harvest.model_dump(include={"prompts", "samples", "temperature", "max_new_tokens"})
        )
        recipe = Recipe(
            name=stage.name,
            model=pipeline.model,
            task=pipeline.task,
            task_options=pipeline.task_options,
            steps=1,
            sampling=drawing,
        )
        found = estimate(recipe, device)
        sampling = found.seconds["sample"]
        return _with_seconds(found, {"sample": sampling, "train": 0.0, "run": sampling})
    recipe = stage_recipe(pipeline, stage)
    if recipe.online:
        task = load_task(pipeline.task, **pipeline.task_options)
        return estimate(recipe, device, stage_task(pipeline, stage, task, None))
    if stage.data is None:
        return estimate(recipe, device)
    if set(stage.data.shares) <= set(SOURCES):
        return estimate(recipe, device, rows=stage_rows(Path(), pipeline, stage)["train"])
    return _with_seconds(estimate(recipe, device), {})


def _with_seconds(found: Estimate, seconds: dict[str, float]) -> Estimate:
    return replace(found, seconds=seconds)
