"""Run folders as training writes them, with the numbers that a test wants."""

from pathlib import Path
from typing import Any

import numpy as np

from labkit.evaluation.intervals import bootstrap_interval
from labkit.recipes import Recipe
from labkit.runs import Run, create_run

FACTS = {"data_fingerprint": "abc", "device": "a processor", "threads": 2}


def report(per_problem: list[float]) -> dict[str, Any]:
    mean = float(np.mean(per_problem))
    return {
        "task": "addition",
        "pass_at_k": {"1": mean},
        "interval": {"pass_at_1": list(bootstrap_interval(per_problem))},
        "mean_length": 20.0,
        "truncated": 0.25,
        "per_problem": per_problem,
    }


def make_run(
    folder: Path,
    after: list[float] | None,
    seed: int = 0,
    facts: dict[str, Any] | None = None,
    status: str = "finished",
    **recipe: Any,
) -> Run:
    """A run folder as training writes it, with the numbers that a test wants."""
    settings = Recipe(name=recipe.pop("name", "some"), task="addition", seed=seed, **recipe)
    run = create_run(folder, settings.model_dump(mode="json"), FACTS | (facts or {}))
    for step in range(3):
        run.log({"step": step, "pass_rate": 0.1 * step, "response_length": 9.0, "entropy": 1.0}, [])
    result: dict[str, Any] = {"recipe": settings.name, "seed": seed, "status": status, "steps": 3}
    result |= {"before": report([0.0, 0.5, 0.0, 0.0]), "seconds": 12.0, "tokens_per_second": 3000.0}
    if after is not None:
        result["after"] = report(after)
    run.write_result(result)
    return run
