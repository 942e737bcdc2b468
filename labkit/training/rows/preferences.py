"""Learning from comparisons without a reward model: DPO, IPO, SimPO, ORPO and their kin (KTO: see `kto`).

Log-probs are sums over the reply's tokens, eos included, prompt left out. The reference's are computed once, before
the first step, and kept in the run folder.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labkit.algorithms import preference_loss
from labkit.algorithms.preference import REFERENCE_FREE
from labkit.evaluation.intervals import wilson_interval
from labkit.models import Policy
from labkit.recipes.schema import Recipe
from labkit.training.loop.loop import Learner
from labkit.training.rows.data import Given, Left, batch, encode_rows, load_rows
from labkit.training.rows.kto import prepare_kto
from labkit.training.rows.offline import Offline, refuse_empty
from labkit.training.rows.reference import Reference, reply_logprobs
from labkit.training.rows.reward import pair_lengths, pair_parts
from labkit.training.rows.supervised import Supervised

COLUMNS = ("prompt", "chosen", "rejected")


def prepare_preferences(
    recipe: Recipe, policy: Policy, given: Given = None, run: Path | None = None, reference: Policy | None = None
) -> Offline:
    """Everything that a run of DPO, IPO, SimPO, ORPO or KTO needs.

    `reference` is the frozen model; by default the policy as it is when the run begins. Raises UserError for rows that
    can't be used: KTO needs good and bad answers.
    """
    if recipe.algorithm == "kto":
        return prepare_kto(recipe, policy, given, run, reference)
    settings, left = recipe.data, Left()
    data = load_rows("comparisons", COLUMNS, settings, given, run)
    rows, pairs = encode_rows(policy, data.train, COLUMNS[1:], settings.max_length, left)
    _, test = encode_rows(policy, data.test, COLUMNS[1:], settings.max_length, Left())
    refuse_empty(rows, data.source, left)

    def loss_of(part: list[int], split: str = "train") -> tuple[Tensor, dict[str, Tensor]]:
        chosen = [(pairs if split == "train" else test)[i] for i in part]
        logprobs, lengths = reply_logprobs(policy, [pair[side] for side in (0, 1) for pair in chosen])
        ref = (None, None) if frozen is None else frozen.logprobs(split, part)
        loss, stats = preference_loss(
            *logprobs.chunk(2),
            *ref,
            kind=recipe.algorithm,  # type: ignore[arg-type]
            chosen_lengths=lengths[: len(part)],
            rejected_lengths=lengths[len(part) :],
            **recipe.algorithm_options,
        )
        return loss, {key: value for key, value in stats.items() if key != "pairs"}

    update = Supervised(recipe, policy.model, loss_of, len)
    free = recipe.algorithm in REFERENCE_FREE
    frozen = None if free else Reference(reference or policy, {"train": pairs, "test": test}, update.budget)

    def step(number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        chosen = batch(len(pairs), settings.batch, recipe.seed, number)
        lengths, tokens = pair_lengths(pairs, chosen), sum(len(one) for i in chosen for one in pairs[i])
        return update.step(number, lengths, partial(pair_parts, pairs, chosen), tokens), []

    @torch.no_grad()
    def measure() -> dict[str, Any] | None:
        if not test:
            return None
        everything = list(range(len(test)))

        def work(budget: int) -> list[tuple[int, Tensor, dict[str, Tensor]]]:
            return [(len(part), *loss_of(part, "test")) for part in pair_parts(test, everything, budget)]

        found = update.budget.fit(work, pair_lengths(test, everything))
        means = {key: sum(n * float(s[key]) for n, _, s in found) / len(test) for key in found[0][2]}
        hits = min(round(2 * means["accuracy"] * len(test)) / 2, len(test))  # whole and half pairs again
        loss = sum(n * float(x) for n, x, _ in found) / len(test)
        return {"rows": len(test), **means, "interval": list(wilson_interval(hits, len(test))), "loss": loss}

    shown = {"loss": "loss", "accuracy": "accuracy", "margin": "margin"}
    learner = Learner(policy, update.optimizer, step, {"budget": update.budget}, shown)
    begin = (lambda folder: None) if frozen is None else frozen.prepare
    return Offline(learner, data, left, len(pairs), measure, begin)
