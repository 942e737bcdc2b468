"""Benchmarks: how fast labkit samples, trains, and takes a whole step, beside its peers in the same process.

Every side gets the same weights, prompts, group size, length limit, dtype, temperature (1) and torch threads.
Sides take turns (labkit, peer, labkit, peer, ...) after one warm-up turn each, so that a drift of the machine
hits them all. A row's numbers are medians over its turns.

- `rollout`: `sample` beside `model.generate` of transformers.
- `train`: `update` on a given batch beside a plain loop that trains the whole padded batch at once.
- `step`: sample, verify, advantages and update beside a step of TRL's `GRPOTrainer`.
"""

import copy
from pathlib import Path
from typing import get_args

import torch

from labkit.bench.race import Row, What, Workload
from labkit.bench.rollout import bench_rollout
from labkit.bench.step import bench_step
from labkit.bench.table import format_table
from labkit.bench.train import bench_train
from labkit.errors import UserError
from labkit.models import Policy, load_policy
from labkit.tasks import Task, load_task

PEERS: dict[str, tuple[str, ...]] = {
    "rollout": ("transformers", "transformers-static"),
    "train": ("transformers",),
    "step": ("trl", "trl-microbatch", "trl-static"),
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def run_bench(
    what: What,
    against: list[str] | None = None,
    model: str | Path | Policy = "tiny",
    task: str | Task = "countdown",
    prompts: int = 32,
    samples: int = 8,
    max_new_tokens: int = 200,
    repeats: int = 5,
    dtype: str = "float32",
    seed: int = 0,
    device: str | None = None,
    full_length: bool = False,
) -> list[Row]:
    """Measures labkit beside its peers; one row a side, labkit first.

    `against` names the peers (default: the first of `PEERS[what]`); an empty list measures labkit alone.
    `full_length` (for `rollout`) switches the end-of-sequence token off on all sides, so that every row runs
    to `max_new_tokens`: what then is left of the ratio is speed per decoding step; the rest of it came from
    finished rows that leave the batch.

    A row: `what`, `side`, `batch` (rows), `tokens_per_second` (completion tokens, none after a row's end),
    `seconds` (a turn), `ratio` (labkit's tokens per second over each peer's; empty for a peer),
    `ceiling_fraction` (the time that this device's own measured bandwidth and matmul rate would allow, over
    the time it took), `spread` ([fastest, slowest] turn, seconds), `tokens` (a turn), `notes`.

    Raises UserError for an unknown choice, an option out of range, and a peer that is not installed.
    """
    peers = _checked(what, against, dtype, full_length)
    for name, number in (("prompts", prompts), ("samples", samples), ("max_new_tokens", max_new_tokens)):
        if number < 1:
            raise UserError(f"{name} must be 1 or more, not {number}")
    if repeats < 1:
        raise UserError(f"repeats must be 1 or more, not {repeats}")
    workload = Workload(
        policy=_own_policy(model, device, DTYPES[dtype]),
        task=load_task(task),
        prompts=prompts,
        samples=samples,
        max_new_tokens=max_new_tokens,
        repeats=repeats,
        seed=seed,
    )
    if what == "rollout":
        return bench_rollout(workload, peers, full_length)
    return bench_train(workload, peers) if what == "train" else bench_step(workload, peers)


def _checked(what: str, against: list[str] | None, dtype: str, full_length: bool) -> list[str]:
    if what not in get_args(What):
        raise UserError(f"no benchmark {what!r}; there are {', '.join(get_args(What))}")
    peers = [PEERS[what][0]] if against is None else list(dict.fromkeys(against))
    for peer in peers:
        if peer not in PEERS[what]:
            raise UserError(f"bench {what} knows no peer {peer!r}; there are {', '.join(PEERS[what])}")
    if dtype not in DTYPES:
        raise UserError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    if what != "rollout" and dtype != "float32":
        raise UserError("weights are trained in float32 (under bfloat16 autocast on CUDA): leave dtype at float32")
    if what != "rollout" and full_length:
        raise UserError("full_length is for bench rollout alone")
    return peers


def _own_policy(model: str | Path | Policy, device: str | None, dtype: torch.dtype) -> Policy:
    """A policy that the benchmark may change; a caller's own is copied."""
    if not isinstance(model, Policy):
        return load_policy(model, device=device, dtype=dtype)
    copied = copy.deepcopy(model.model).to(device=device or model.device, dtype=dtype)
    return Policy(copied, model.tokenizer, model.name)


__all__ = ["PEERS", "format_table", "run_bench"]
