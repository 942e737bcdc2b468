"""The shipped pipeline, small enough for a test."""

from pathlib import Path
from typing import Any

from labkit.pipeline.run import PipelineRun, run_pipeline
from labkit.verifiers import Score
from tests.training.mini import random_policy

# The shipped pipeline with a few steps of a few rows each. A random model is never right, so it harvests "right" sums
# of its own (see `by_length`), or learns from curated rows alone.
FEW = {
    "measure": {"problems": 4, "samples": 2, "max_new_tokens": 8, "requests": 2, "request_samples": 2},
    "cold-start.steps": 2,
    "cold-start.data.rows": 12,
    "cold-start.settings": {"steps": 2, "data.batch": 4},
    "reasoning-rl.settings": {"steps": 3, "prompts": 2, "samples": 4, "max_new_tokens": 8, "checkpoint_every": 1},
    "rejection.harvest": {"prompts": 4, "samples": 2, "max_new_tokens": 8},
    "sft.settings": {"steps": 2, "data.batch": 4},
    "reward-model.settings": {"steps": 2, "data.batch": 4, "data.test_limit": 8},
    "final-rl.settings": {"steps": 3, "prompts": 4, "samples": 2, "max_new_tokens": 8, "checkpoint_every": 1},
    "r1-zero.settings": {"steps": 1, "prompts": 2, "samples": 2, "max_new_tokens": 8},
    "sft-alone.settings": {"steps": 1, "data.batch": 4},
}


def by_length(text: str, reference: Any) -> Score:
    """Every other answer is right, whatever it says: a random model finds rows to keep."""
    return Score(float(len(text) % 2), "by its length")


by_length.needs_worker = False  # type: ignore[attr-defined]


def mini_pipeline(out: Path, **changes: Any) -> PipelineRun:
    """The pipeline with `FEW` steps and these changes, on a random model."""
    return run_pipeline("r1-pipeline-tiny", out=out, model=random_policy(), progress=False, **FEW | changes)


def without_times(run: PipelineRun) -> list[dict[str, Any]]:
    """The rows of its table without what the clock decides."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in run.report().to_dict()["rows"]]
