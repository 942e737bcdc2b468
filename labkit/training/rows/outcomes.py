"""Outcome and process reward models: a scalar head that learns how likely an answer, or a step of it, is right.

An outcome model reads the whole answer (Cobbe et al. 2021); a process model is read at the end of every step (Lightman
et al. 2023; Wang et al. 2024). The rows come from a file or from the caller, or (source `traces`) the model itself
samples them and the task marks them, without an annotator.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from labkit.algorithms import outcome_loss, process_loss, ranking_accuracy
from labkit.errors import UserError
from labkit.evaluation.intervals import wilson_interval
from labkit.models import Encoded, Policy, RewardModel, pad, step_ends
from labkit.recipes.schema import Recipe
from labkit.tasks import load_task
from labkit.training.rows.data import KEPT, LABEL, STEPS, TRACES, Columns, Dataset, Given, LeftOut, Row
from labkit.training.rows.traces import Marks, marked_traces
from labkit.training.rows.trainer import Example, RowTrainer, Stats
from labkit.verifiers.steps import steps

STATISTICS = ("accuracy", "label_mean", "probability_mean")
Reading = tuple[int, float]  # a column at which a row is read, and the chance of being right that belongs there
Answers = list[Example[list[Reading]]]


class OutcomeModel(RowTrainer[list[Reading]]):
    """Learns from answers with a `label`: right or wrong. Each answer is read once, at its last token."""

    columns = Columns("feedback", ("completion",), LABEL)
    shown = ("loss", "accuracy")
    watched = ("loss", "accuracy", "grad_norm")

    def __init__(self, recipe: Recipe, policy: Policy, reference: Policy | None = None) -> None:
        super().__init__(recipe, policy, reference)
        self.model = RewardModel(policy)

    def load(self, given: Given, run: Path | None) -> Dataset:
        """Rows as for every trainer; with source `traces` those that the model samples, or has sampled before."""
        if self.recipe.data.source != TRACES:
            return super().load(given, run)
        kept = run is not None and (run / KEPT).exists()
        rows = own_traces(self.recipe, self.policy) if given is None and not kept else given
        return replace(super().load(rows, run), source=TRACES)

    @property
    def heads(self) -> Mapping[str, nn.Module]:
        """The scalar head, in the file in which `load_reward_model` looks for it."""
        return {"reward_head": self.model.head}

    def target(self, row: Row, replies: tuple[Encoded, ...]) -> list[Reading]:
        """One reading: the label, at the last token."""
        return [(len(replies[0]) - 1, float(row["label"]))]

    def loss(self, part: Answers) -> tuple[Float[Tensor, ""], Stats]:
        """Mean cross-entropy of the answers."""
        logits, labels, mask = self._read(part)
        loss, stats = outcome_loss(logits[mask], labels[mask])
        return loss, {key: stats[key] for key in STATISTICS}

    def weight(self, part: Answers) -> float:
        """The number of readings."""
        return sum(len(answer.target) for answer in part)

    def evaluate(self, examples: Answers) -> dict[str, Any]:
        """Loss, accuracy (with its interval, as if readings were independent) and ranking.

        Where a mark is a chance, it counts as right from one half up.
        """

        def readings(part: Answers) -> tuple[Tensor, Tensor]:
            logits, labels, mask = self._read(part)
            return logits[mask].float().cpu(), labels[mask].cpu()

        parts = [result for _, result in self.in_parts(examples, readings)]
        logits, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        right = (labels >= 0.5).float()
        loss, _ = outcome_loss(logits, labels)
        hits = float(((1 + logits.sign() * (2 * right - 1)) / 2).sum())
        return {
            "rows": len(examples),
            "marks": len(labels),
            "loss": float(loss),
            "accuracy": hits / len(labels),
            "interval": list(wilson_interval(hits, len(labels))),
            "label_mean": float(labels.mean()),
            "ranking": ranking_accuracy(logits, right),
        }

    def _read(
        self, part: Answers
    ) -> tuple[Float[Tensor, "rows time"], Float[Tensor, "rows time"], Bool[Tensor, "rows time"]]:
        """The head's log-odds at every token, the chances that belong there, and the mask of the tokens that are read.

        Nothing is shifted: the head at column t has seen the token at column t.
        """
        tokens, _ = pad([answer.replies[0].ids for answer in part], self.policy.pad_id, self.policy.device)
        labels, mask = torch.zeros(tokens.shape), torch.zeros(tokens.shape, dtype=torch.bool)
        for i, answer in enumerate(part):
            columns = [column for column, _ in answer.target]
            labels[i, columns], mask[i, columns] = torch.tensor([chance for _, chance in answer.target]), True
        return self.model.token_rewards(tokens), labels.to(tokens.device), mask.to(tokens.device)


class ProcessModel(OutcomeModel):
    """Learns from answers with `steps`, one number from 0 to 1 per line. An answer is read at the end of every step."""

    columns = Columns("demonstrations", ("completion",), STEPS)

    def encode(self, rows: list[Row], left_out: LeftOut) -> Answers:
        """As for every trainer; an answer that was cut off before its first step ended is left out."""
        return [answer for answer in super().encode(rows, left_out) if answer.target]

    def target(self, row: Row, replies: tuple[Encoded, ...]) -> list[Reading]:
        """The mark of each step, at the step's last token; of an answer that was cut off, the steps that are left."""
        (reply,), pieces = replies, steps(row["completion"])
        if len(pieces) != len(row["steps"]):
            raise UserError(
                f"{row['prompt'][:40]!r}: {len(row['steps'])} marks for {len(pieces)} steps (lines) of its completion"
            )
        columns = [reply.start + end for end in step_ends(self.policy, pieces)]
        readings = zip(columns, row["steps"], strict=True)
        return [(column, float(mark)) for column, mark in readings if column < len(reply)]

    def loss(self, part: Answers) -> tuple[Float[Tensor, ""], Stats]:
        """Mean cross-entropy of the steps: every step weighs the same."""
        loss, stats = process_loss(*self._read(part))
        return loss, {key: stats[key] for key in STATISTICS}


def own_traces(recipe: Recipe, policy: Policy) -> dict[str, list[Row]]:
    """Rows of the model's own answers to the recipe's task: `data.limit` for training, `data.test_limit` held out."""
    settings, task = recipe.data, load_task(recipe.task, **recipe.task_options)
    marks: Marks = settings.marks if recipe.algorithm == "process" else "outcome"
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for split, count in (("train", settings.limit or 1024), ("test", settings.test_limit or 0)):
        problems = task.sample(-(-count // settings.traces), split, seed=recipe.seed)
        if problems:
            traces = marked_traces(
                policy,
                task,
                problems,
                samples=settings.traces,
                marks=marks,
                rollouts=settings.rollouts,
                seed=recipe.seed,
            )
            rows[split] = traces[:count]
    return rows
