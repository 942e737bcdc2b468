"""Accuracy against what it cost: a run's checkpoints on held-out problems, beside the operations spent up to each.

Two bills, since two questions are asked. The student's own: what does the training cost that I do? The total, with the
teacher's reading and writing: what does it cost the world? (What it took to train the teacher is in neither: it is
paid once, for however many students.)
"""

import json
from pathlib import Path
from typing import Any

from labkit.errors import UserError
from labkit.evaluation.compute import Flops, cumulative_flops
from labkit.evaluation.report import evaluate
from labkit.runs import Run, write_aside
from labkit.tasks import Task, load_task

CURVE, BEFORE = "curve.json", "before.json"
KEPT = ("pass_at_k", "interval", "mean_length", "truncated")


def evaluate_checkpoints(run: Run, steps: list[int] | None = None, task: Task | None = None) -> Path:
    """Evaluates a run's checkpoints as its recipe says (problems, samples, seed), into `curve.json` of its folder.

    `steps`: which; by default all that were kept but the last, which the run has evaluated itself.
    """
    recipe = run.recipe
    settings, sampling = recipe["evaluation"], recipe.get("sampling", {})
    task = task or load_task(recipe["task"], **recipe["task_options"])
    kept = run.checkpoints()
    rows = []
    for step in steps if steps is not None else [s for s in kept if s != recipe["steps"]]:
        report = evaluate(
            run.policy(step),
            task,
            settings["samples"],
            settings["problems"],
            max_new_tokens=settings["max_new_tokens"] or sampling.get("max_new_tokens"),
            temperature=settings["temperature"],
            seed=settings["seed"],
        ).to_dict()
        rows.append({"step": step, **{key: report[key] for key in KEPT}})
    write_aside(run.path / CURVE, json.dumps(rows, indent=1) + "\n")
    return run.path / CURVE


def spent_before(run: Run, cost: Flops, what: str) -> None:
    """Writes into the run's folder what was spent before it began, and on what: a teacher's traces, an earlier run."""
    text = json.dumps({"student": cost.student, "teacher": cost.teacher, "what": what}, indent=1)
    write_aside(run.path / BEFORE, text + "\n")


def cost_curve(run: Run, size: int, teacher_size: int = 0) -> list[dict[str, Any]]:
    """Points of a run, in the order of their steps: what was spent, and how good the policy was then.

    Keys: `step`, `student` and `total` (operations), `pass_at_1`, `interval`, `pass_at_k`, `length`, `truncated`.
    Step 0 is the model that the run began from. `size`, `teacher_size`: weights of the two models (`compute.weights`).
    The teacher is charged where the run asked it (trainer: distillation), and for what `spent_before` has noted. Raises
    UserError for a run without evaluations.
    """
    result, noted = run.result or {}, run.path / BEFORE
    earlier = json.loads(noted.read_text()) if noted.exists() else {"student": 0.0, "teacher": 0.0}
    before = Flops(earlier["student"], earlier["teacher"])
    asked = teacher_size if run.recipe["trainer"] == "distillation" else 0
    if not result.get("before"):
        raise UserError(f"{run.path} has no evaluation before training: evaluation.problems was 0")
    reports = {0: result["before"]}
    file = run.path / CURVE
    if file.exists():
        reports |= {row["step"]: row for row in json.loads(file.read_text())}
    if result.get("after"):
        reports[result["steps"]] = result["after"]
    spent = [before, *cumulative_flops(run.metrics, size, asked, before)]
    return [
        {
            "step": step,
            "student": spent[step].student,
            "total": spent[step].total,
            "pass_at_1": report["pass_at_k"]["1"],
            "interval": tuple(report["interval"]["pass_at_1"]),
            "pass_at_k": report["pass_at_k"],
            "length": report["mean_length"],
            "truncated": report["truncated"],
        }
        for step, report in sorted(reports.items())
    ]
