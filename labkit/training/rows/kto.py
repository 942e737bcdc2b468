"""KTO: learning from single replies that were marked good or bad.

The loss compares each reply's log-ratio to the reference with a reference point, the same for a whole batch: the mean
log-ratio of MISMATCHED rows, each prompt of the batch with the reply of the next one.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labkit.algorithms import kto_loss, kto_reference_point
from labkit.errors import UserError
from labkit.evaluation.intervals import wilson_interval
from labkit.models import Encoded, Policy
from labkit.recipes.schema import Recipe
from labkit.training.loop.loop import Learner
from labkit.training.loop.microbatches import microbatches
from labkit.training.rows.data import Given, Left, batch, encode_rows, load_rows
from labkit.training.rows.offline import Offline, refuse_empty
from labkit.training.rows.reference import Pairs, Reference, logprobs_of, reply_logprobs
from labkit.training.rows.supervised import Supervised

COLUMNS = ("prompt", "completion", "label")
SHOWN = ("accuracy", "margin", "reward_desirable", "reward_undesirable", "reference_point")


def prepare_kto(
    recipe: Recipe, policy: Policy, given: Given = None, run: Path | None = None, reference: Policy | None = None
) -> Offline:
    """Everything that a run of KTO needs. Raises UserError where all replies have the same mark."""
    settings, left = recipe.data, Left()
    data = load_rows("feedback", COLUMNS, settings, given, run)
    rows, encoded = encode_rows(policy, data.train, ("completion",), settings.max_length, left)
    kept, held_out = encode_rows(policy, data.test, ("completion",), settings.max_length, Left())
    refuse_empty(rows, data.source, left)
    good = torch.tensor([bool(row["label"]) for row in rows])
    if good.all() or not good.any():
        raise UserError(
            f"all {len(rows)} rows of {data.source} have the label {bool(good[0])}: KTO learns from the difference of "
            "good and bad answers and needs both"
        )
    test_good = torch.tensor([bool(row["label"]) for row in kept], dtype=torch.bool)
    # Mismatched rows are new in every batch, so that the reference itself has to stay at hand.
    frozen_policy = reference or Policy(copy.deepcopy(policy.model).requires_grad_(False), policy.tokenizer, "frozen")

    def loss_of(part: tuple[list[int], Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        numbers, point = part
        logprobs, _ = reply_logprobs(policy, [encoded[i][0] for i in numbers])
        (ref,) = frozen.logprobs("train", numbers)
        desirable = good[numbers].to(policy.device)
        loss, stats = kto_loss(logprobs, ref, desirable, point, **recipe.algorithm_options)
        return loss, {key: stats[key] for key in SHOWN}

    update = Supervised(recipe, policy.model, loss_of, lambda part: len(part[0]))
    frozen = Reference(frozen_policy, {"train": encoded, "test": held_out}, update.budget)

    @torch.no_grad()
    def point_of(numbers: list[int], source: Pairs) -> Tensor:
        shifted = [*numbers[1:], numbers[0]]
        rows = [mismatched(source[i][0], source[j][0]) for i, j in zip(numbers, shifted, strict=True)]
        rows = [row for row in rows if len(row) <= policy.context_length]
        if not rows:
            return torch.zeros((), device=policy.device)
        return kto_reference_point(*(logprobs_of(model, rows, update.budget) for model in (policy, frozen_policy)))

    def step(number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        chosen = batch(len(encoded), settings.batch, recipe.seed, number)
        point = point_of(chosen, encoded)
        lengths = torch.tensor([len(encoded[i][0]) for i in chosen])

        def cut(budget: int) -> list[tuple[list[int], Tensor]]:
            return [([chosen[i] for i in part.tolist()], point) for part in microbatches(lengths, budget)]

        return update.step(number, lengths, cut, int(lengths.sum())), []

    @torch.no_grad()
    def measure() -> dict[str, Any] | None:
        if len(held_out) < 2:
            return None
        everything = list(range(len(held_out)))
        (ref,) = frozen.logprobs("test", everything)
        logprobs = logprobs_of(policy, [one for (one,) in held_out], update.budget)
        point = point_of(everything, held_out)
        loss, stats = kto_loss(logprobs, ref, test_good.to(policy.device), point, **recipe.algorithm_options)
        hits = min(round(2 * float(stats["accuracy"]) * len(held_out)) / 2, len(held_out))
        numbers = {key: float(stats[key]) for key in SHOWN}
        return {
            "rows": len(held_out),
            **numbers,
            "interval": list(wilson_interval(hits, len(held_out))),
            "loss": float(loss),
        }

    shown = {"loss": "loss", "accuracy": "accuracy", "margin": "margin"}
    learner = Learner(policy, update.optimizer, step, {"budget": update.budget}, shown)
    return Offline(learner, data, left, len(encoded), measure, frozen.prepare)


def mismatched(prompt_of: Encoded, reply_of: Encoded) -> Encoded:
    """One row's prompt with another row's reply."""
    return Encoded(prompt_of.ids[: prompt_of.start] + reply_of.ids[reply_of.start :], prompt_of.start)
