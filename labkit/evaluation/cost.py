"""What training costs in floating-point operations, and accuracy against this cost.

The operations are counted from what a run logged, not timed. For a model with N weights, a token that is read or
written costs 2 N operations (one multiplication and one addition per weight), a token that is trained on 6 N: the
forward pass once, the backward pass twice that (Kaplan et al. 2020, section 2.1). Attention among the tokens is left
out, as usual; in short texts it is the smaller part. Padding, evaluations and the verifier are not counted either: the
counts are those of an engine that wastes nothing.

A count is the same on every machine, so runs of different methods and models can be compared at equal cost. There are
two bills, because there are two questions. The student's own bill: what does the training cost that I do? The total,
with the teacher's reading and writing: what does all of it cost? (The training of the teacher is in neither: it is paid
once, for any number of students.)
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from torch import nn

from labkit.errors import UserError
from labkit.evaluation.report import evaluate
from labkit.runs import Run, write_aside
from labkit.tasks import Task, load_task

FORWARD = 2
TRAINED = 6

# Files of a run folder: evaluations of checkpoints, and what was spent before the run.
CURVE, BEFORE = "curve.json", "before.json"
KEPT = ("pass_at_k", "interval", "mean_length", "truncated")


@dataclass(frozen=True)
class Flops:
    """Operations of the trained model, and of the model from which it learns.

    >>> Flops(3.0, 1.0) + Flops(1.0)
    Flops(student=4.0, teacher=1.0)
    >>> Flops(3.0, 1.0).total
    4.0
    """

    student: float = 0.0
    teacher: float = 0.0

    @property
    def total(self) -> float:
        """Both together."""
        return self.student + self.teacher

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(self.student + other.student, self.teacher + other.teacher)


def weights(model: nn.Module) -> int:
    """N: the weights with which every token is multiplied.

    The input embedding is looked up, not multiplied, so it counts only where it is also the output's matrix.
    """
    total = sum(p.numel() for p in model.parameters())
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    tied = outputs is not None and outputs.weight is inputs.weight
    return total if tied else total - inputs.weight.numel()


def step_flops(line: Mapping[str, Any], size: int, teacher_size: int = 0) -> Flops:
    """The operations of one step, from its line of metrics.jsonl. `size`: the weights of the trained model.

    A run that samples (RL, distillation) reads each prompt once, writes `tokens`, and trains on `trained_positions`. A
    run that learns from rows (SFT) trains on all `tokens` that it reads. `teacher_size`: the weights of the teacher of
    a distillation run, who reads every trained token once; 0 for other runs. A reference model or a critic is not
    counted. Raises ValueError for a line without these counts.

    >>> step_flops({"prompt_tokens": 10, "tokens": 90, "trained_positions": 120}, size=1000)  # 2 x 100 + 6 x 120
    Flops(student=920000.0, teacher=0.0)
    >>> step_flops({"prompt_tokens": 10, "tokens": 90, "trained_positions": 120}, size=1000, teacher_size=5000)
    Flops(student=920000.0, teacher=1200000.0)
    >>> step_flops({"tokens": 100, "trained_tokens": 80}, size=1000)  # SFT
    Flops(student=600000.0, teacher=0.0)
    """
    if "trained_tokens" in line:
        return Flops(float(TRAINED * size * line["tokens"]))
    missing = [key for key in ("prompt_tokens", "tokens", "trained_positions") if key not in line]
    if missing:
        raise ValueError(f"this step has logged no {missing[0]!r}: its cost can't be counted")
    sampled = line["prompt_tokens"] + line["tokens"]
    student = FORWARD * size * sampled + TRAINED * size * line["trained_positions"]
    return Flops(float(student), float(FORWARD * teacher_size * line["trained_positions"]))


def cumulative_flops(
    metrics: Iterable[Mapping[str, Any]], size: int, teacher_size: int = 0, before: Flops | None = None
) -> list[Flops]:
    """The operations up to and including each step; `before`: what was spent before the run (a teacher's traces).

    >>> lines = [{"tokens": 100, "trained_tokens": 80}] * 2
    >>> cumulative_flops(lines, 1000, before=Flops(teacher=7.0))
    [Flops(student=600000.0, teacher=7.0), Flops(student=1200000.0, teacher=7.0)]
    """
    steps = [step_flops(line, size, teacher_size) for line in metrics]
    return list(accumulate(steps, initial=before or Flops()))[1:]


# ------------------------------------------------------------------------------------ accuracy against cost


def evaluate_checkpoints(run: Run, steps: list[int] | None = None, task: Task | None = None) -> Path:
    """Evaluates checkpoints of a run as its recipe says (problems, samples, seed); writes `curve.json` in its folder.

    `steps`: the checkpoints; by default all that were kept except the last, which the run itself has evaluated.
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
    """Writes into the run's folder what was spent before the run, and on what (a teacher's traces, an earlier run)."""
    text = json.dumps({"student": cost.student, "teacher": cost.teacher, "what": what}, indent=1)
    write_aside(run.path / BEFORE, text + "\n")


def cost_curve(run: Run, size: int, teacher_size: int = 0) -> list[dict[str, Any]]:
    """One point for each evaluated step, in order: what was spent up to it, and how good the policy was then.

    Keys: `step`, `student` and `total` (operations), `pass_at_1`, `interval`, `pass_at_k`, `length`, `truncated`.
    Step 0 is the model from which the run began. `size`, `teacher_size`: weights of the two models (see `weights`). The
    teacher's operations are those of the run, if its trainer is distillation, plus those that `spent_before` has noted.
    Raises UserError for a run without evaluations.
    """
    result, noted = run.result or {}, run.path / BEFORE
    earlier = json.loads(noted.read_text(encoding="utf-8")) if noted.exists() else {"student": 0.0, "teacher": 0.0}
    before = Flops(earlier["student"], earlier["teacher"])
    asked = teacher_size if run.recipe["trainer"] == "distillation" else 0
    if not result.get("before"):
        raise UserError(f"{run.path} has no evaluation before training: evaluation.problems was 0")
    reports = {0: result["before"]}
    file = run.path / CURVE
    if file.exists():
        reports |= {row["step"]: row for row in json.loads(file.read_text(encoding="utf-8"))}
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
