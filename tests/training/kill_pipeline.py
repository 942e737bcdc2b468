"""Runs a miniature pipeline whole, then killed by SIGKILL at many places and resumed; prints where the tables differ.

A program of its own, so that it can be killed at any point without the tests. `test_pipeline` calls it.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import labkit.pipeline.run as pipelines
from labkit.pipeline.run import open_pipeline, run_pipeline
from labkit.verifiers import VERIFIERS
from tests.training.kill_and_resume import child
from tests.training.mini import random_policy
from tests.training.mini_pipeline import FEW, by_length, without_times

# Where to die: in this step of this stage that trains, before its checkpoint; or in what is no training.
PLACES = [
    "cold-start:1",
    "reasoning-rl:0",
    "reasoning-rl:2",
    "harvest",
    "sft:0",
    "evaluate_model",
    "reward-model:1",
    "final-rl:1",
]


class Kills:
    """An observer that kills its own process after a step of a stage."""

    stopped = False

    def __init__(self, stage: str, step: int) -> None:
        self.stage, self.step, self.now = stage, step, ""

    def __call__(self, recipe: Any) -> "Kills":
        self.now = recipe.name
        return self

    def update(self, metrics: dict[str, Any], rollouts: list[dict[str, Any]]) -> None:
        if (self.now, metrics["step"]) == (self.stage, self.step):
            die()


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_after(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose result nobody gets to see."""
    return lambda *inputs, **options: die(function(*inputs, **options))


def run(out: Path, place: str | None = None, resume: bool = False) -> None:
    VERIFIERS["countdown"] = by_length
    options: dict[str, Any] = {"model": random_policy(), "progress": False}
    if resume:
        run_pipeline(resume=out, **options)
        return
    if place in ("harvest", "evaluate_model"):
        setattr(pipelines, place, dies_after(getattr(pipelines, place)))
    elif place is not None:
        stage, step = place.split(":")
        options["observer"] = _Watches(Kills(stage, int(step)))
    run_pipeline("r1-pipeline-tiny", out=out, **options, **FEW)


class _Watches:
    """A factory of observers, as `labkit.train` takes it: told the recipe of each stage."""

    def __init__(self, kills: Kills) -> None:
        self.kills = kills

    def __call__(self, recipe: Any) -> Kills:
        return self.kills(recipe)


def main() -> None:
    folder, found = Path(sys.argv[1]), []
    if child(lambda: run(folder / "whole")) != 0:
        found.append("the whole pipeline failed")
    whole = without_times(open_pipeline(folder / "whole"))
    for place in PLACES:
        out = folder / place.replace(":", "-")
        if child(lambda out=out, place=place: run(out, place)) != -signal.SIGKILL:
            found.append(f"{place}: was not killed")
        if child(lambda out=out: run(out, resume=True)) != 0:
            found.append(f"{place}: could not be resumed")
        elif without_times(open_pipeline(out)) != whole:
            found.append(f"{place}: another table")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
