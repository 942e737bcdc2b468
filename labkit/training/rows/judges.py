"""Outcome and process reward models: a scalar head that learns to say how likely an answer, or a step, is right.

An outcome model reads the whole answer (Cobbe et al. 2021); a process model is read at the end of every step (Lightman
et al. 2023; Wang et al. 2024). The rows come from a file or from you, or (source `traces`) are sampled from the model
itself and marked by the task: no annotator is asked.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labkit.algorithms import outcome_loss, process_loss, ranking_accuracy
from labkit.errors import UserError
from labkit.evaluation.intervals import wilson_interval
from labkit.models import Encoded, Policy, RewardModel, pad, step_ends
from labkit.recipes.schema import Recipe
from labkit.tasks import load_task
from labkit.training.loop.loop import Learner
from labkit.training.loop.memory import Budget
from labkit.training.loop.microbatches import microbatches
from labkit.training.rows.data import KEPT, TRACES, Given, Left, Row, batch, encode_rows, load_rows
from labkit.training.rows.offline import Offline, refuse_empty
from labkit.training.rows.supervised import Supervised, trained
from labkit.training.rows.traces import marked_traces
from labkit.verifiers.steps import steps

SHOWN = ("accuracy", "label_mean", "probability_mean")
Marked = list[tuple[int, float]]  # where a row is read, and what should be read there


def prepare_judge(recipe: Recipe, policy: Policy, given: Given = None, run: Path | None = None) -> Offline:
    """Everything that the training of an outcome or process reward model needs; the model itself is
    `learner.parts["reward_head"]` on the policy.

    Rows are `{"prompt", "completion", "label"}`, or with `steps` (a number from 0 to 1 for each line of the completion)
    in the label's place. Raises UserError for rows that can't be used.
    """
    settings, left, process = recipe.data, Left(), recipe.algorithm == "process"
    columns = ("prompt", "completion", "steps" if process else "label")
    kept = run is not None and (run / KEPT).exists()
    if given is None and settings.source == TRACES and not kept:
        given = sampled(recipe, policy)
    data = load_rows("feedback", columns, settings, given, run)
    if settings.source == TRACES:
        data.source = TRACES
    model = RewardModel(policy)
    rows, marks = _encode(policy, data.train, settings.max_length, left, process)
    test, test_marks = _encode(policy, data.test, settings.max_length, Left(), process)
    refuse_empty(rows, data.source, left)

    def loss_of(part: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
        logits, labels, mask = _read(model, [rows[i] for i in part], [marks[i] for i in part])
        if process:
            loss, stats = process_loss(logits, labels, mask)
        else:
            loss, stats = outcome_loss(logits[mask], labels[mask])
        return loss, {key: stats[key] for key in SHOWN}

    def weigh(part: list[int]) -> float:
        return float(sum(len(marks[i]) for i in part))

    update = Supervised(recipe, trained(policy.model, model.head), loss_of, weigh)

    def step(number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        chosen = batch(len(rows), settings.batch, recipe.seed, number)
        lengths = torch.tensor([len(rows[i]) for i in chosen])

        def cut(budget: int) -> list[list[int]]:
            return [[chosen[i] for i in part.tolist()] for part in microbatches(lengths, budget)]

        return update.step(number, lengths, cut, int(lengths.sum())), []

    parts = {"reward_head": model.head, "budget": update.budget}
    return Offline(
        learner=Learner(policy, update.optimizer, step, parts, {"loss": "loss", "accuracy": "accuracy"}),
        dataset=data,
        left=left,
        rows=len(rows),
        measure=lambda: measure(model, test, test_marks, update.budget),
    )


def sampled(recipe: Recipe, policy: Policy) -> dict[str, list[Row]]:
    """Rows of the model's own answers to the recipe's task: `data.limit` for training, `data.test_limit` held out."""
    settings, task = recipe.data, load_task(recipe.task, **recipe.task_options)
    marks = settings.marks if recipe.algorithm == "process" else "outcome"
    found = {}
    for split, count in (("train", settings.limit or 1024), ("test", settings.test_limit or 0)):
        problems = task.sample(-(-count // settings.traces), split, seed=recipe.seed)
        options = {"samples": settings.traces, "marks": marks, "rollouts": settings.rollouts, "seed": recipe.seed}
        found[split] = marked_traces(policy, task, problems, **options)[:count] if problems else []
    return found


def _encode(
    policy: Policy, rows: list[Row], max_length: int | None, left: Left, process: bool
) -> tuple[list[Encoded], list[Marked]]:
    """The rows' tokens, and where each is read; of a row that was cut off, the steps that are left."""
    used, encoded = encode_rows(policy, rows, ("completion",), max_length, left)
    found = [one for (one,) in encoded]
    if not process:
        return found, [[(len(one) - 1, float(row["label"]))] for row, one in zip(used, found, strict=True)]
    marks = []
    for row, one in zip(used, found, strict=True):
        pieces = steps(row["completion"])
        if len(pieces) != len(row["steps"]):
            raise UserError(
                f"{row['prompt'][:40]!r}: {len(row['steps'])} marks for {len(pieces)} steps (lines) of its completion"
            )
        places = [one.start + end for end in step_ends(policy, pieces)]
        marks.append([(at, float(mark)) for at, mark in zip(places, row["steps"], strict=True) if at < len(one)])
    readable = [i for i, marked in enumerate(marks) if marked]
    return [found[i] for i in readable], [marks[i] for i in readable]


def _read(model: RewardModel, rows: list[Encoded], marks: list[Marked]) -> tuple[Tensor, Tensor, Tensor]:
    """What the model says at every token of the rows; what it should say, and where: [rows, time] each."""
    tokens, _ = pad([row.ids for row in rows], model.policy.pad_id, model.policy.device)
    labels, mask = torch.zeros(tokens.shape), torch.zeros(tokens.shape, dtype=torch.bool)
    for i, marked in enumerate(marks):
        at = [place for place, _ in marked]
        labels[i, at], mask[i, at] = torch.tensor([mark for _, mark in marked]), True
    return model.token_rewards(tokens), labels.to(tokens.device), mask.to(tokens.device)


@torch.no_grad()
def measure(model: RewardModel, rows: list[Encoded], marks: list[Marked], budget: Budget) -> dict[str, Any] | None:
    """Held-out loss, accuracy (with its interval, as if marks were independent) and ranking; None without rows.

    Where a mark is a chance, the side of one half on which it lies counts as its truth.
    """
    if not rows:
        return None
    lengths = torch.tensor([len(row) for row in rows])

    def read(tokens: int) -> tuple[Tensor, Tensor]:
        said, true = [], []
        for part in microbatches(lengths, tokens):
            chosen = part.tolist()
            logits, labels, mask = _read(model, [rows[i] for i in chosen], [marks[i] for i in chosen])
            said.append(logits[mask].float().cpu())
            true.append(labels[mask].cpu())
        return torch.cat(said), torch.cat(true)

    logits, labels = budget.fit(read, lengths)
    right = (labels >= 0.5).float()
    loss, _ = outcome_loss(logits, labels)
    hits = float(((1 + logits.sign() * (2 * right - 1)) / 2).sum())
    return {
        "rows": len(rows),
        "marks": len(labels),
        "loss": float(loss),
        "accuracy": hits / len(labels),
        "interval": list(wilson_interval(hits, len(labels))),
        "label_mean": float(labels.mean()),
        "ranking": ranking_accuracy(logits, right),
    }
