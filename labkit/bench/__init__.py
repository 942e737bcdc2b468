"""Benchmarks: how fast labkit samples, trains, and takes a whole step, next to its peers in the same process.

Every side gets the same weights, prompts, group size, length limit, dtype, temperature (1) and torch threads.
Sides take turns (labkit, peer, labkit, peer, ...) after one warm-up turn each, so that a drift of the machine
hits them all. A row's numbers are medians over its turns.

- `rollout`: `sample` next to `generate` and `generate_batch` of transformers, at one batch size or a ladder of them.
- `train`: `update` on a given batch next to a plain loop that trains the whole padded batch at once.
- `step`: sample, verify, advantages and update next to a step of TRL's `GRPOTrainer`.
"""

import copy
import gc
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import torch

from labkit.bench.fixed import NEW_TOKENS, PROMPT_TOKENS, fixed_task, without_eos
from labkit.bench.race import Row, What, Workload, busy_processes
from labkit.bench.rollout import bench_rollout
from labkit.bench.step import bench_step
from labkit.bench.table import format_table
from labkit.bench.train import bench_train
from labkit.errors import UserError
from labkit.models import Policy, load_policy
from labkit.sampling.workspace import release_workspaces
from labkit.tasks import Task, load_task

PEERS: dict[str, tuple[str, ...]] = {
    "rollout": ("transformers", "transformers-static", "transformers-continuous"),
    "train": ("transformers",),
    "step": ("trl", "trl-microbatch", "trl-static"),
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LADDER = (1, 16, 64, 256, 1024)
"""The batch sizes of a ladder, in rows."""
Kind = Literal["task", "fixed"]


def run_bench(
    what: What,
    against: list[str] | None = None,
    model: str | Path | Policy = "tiny",
    task: str | Task = "countdown",
    prompts: int = 32,
    samples: int = 8,
    max_new_tokens: int | None = None,
    repeats: int = 5,
    dtype: str | None = None,
    seed: int = 0,
    device: str | None = None,
    full_length: bool = False,
    *,
    batches: list[int] | None = None,
    workload: Kind = "task",
    prompt_tokens: int = PROMPT_TOKENS,
    neighbours: int = 0,
) -> list[Row]:
    """Measures labkit next to its peers; one row per side and batch size, labkit first.

    `against` names the peers (default: the first of `PEERS[what]`); an empty list measures labkit alone. A peer that
    cannot run here is left out, with a line on standard error. `batches` is a ladder of batch sizes in rows, each in
    groups of `samples` (smaller batches: one group); without it there is one batch of `prompts` x `samples`.

    `workload` (for `rollout`): "task", prompts of the task, rows end where the model ends them, or at `max_new_tokens`
    (default 200); "fixed", every prompt exactly `prompt_tokens` tokens (default 128) and every row run to
    `max_new_tokens` (default 256). `full_length` is the task's prompts with every row run to the limit: what then is
    left of a ratio is speed per decoding step; the rest of it came from finished rows that leave the batch.
    `neighbours`: so many busy processes run next to all sides, as on a shared machine; `rollout` then has a side that
    keeps all of its threads, too (see `labkit.threads`).
    `dtype` (for `rollout`): of the weights; default bfloat16 on CUDA, float32 elsewhere.

    A row: `what`, `side`, `batch` (rows), `tokens_per_second` (completion tokens, none after a row's end),
    `seconds` (a turn), `ratio` (labkit's tokens per second over each peer's; empty for a peer),
    `ceiling_fraction` (the time that this device's own measured bandwidth and matmul rate would allow, over
    the time it took), `spread` ([fastest, slowest] turn, seconds), `tokens` (a turn), `parts` (seconds of a turn's
    parts, where a side measures them), `neighbours`, `device` (name, dtype, measured rates), `notes`; of a rollout also
    `workload`, of training also `mfu` ({"measured", "nominal"}).

    Raises UserError for an unknown choice, an option out of range, and a peer that is not installed.
    """
    peers = _checked(what, against, workload, full_length)
    sizes = _sizes(prompts, samples, batches)
    policy = _own_policy(model, device, dtype, what)
    if max_new_tokens is None:
        max_new_tokens = NEW_TOKENS if workload == "fixed" else 200
    for name, number, least in (
        ("max_new_tokens", max_new_tokens, 1),
        ("repeats", repeats, 1),
        ("neighbours", neighbours, 0),
    ):
        if number < least:
            raise UserError(f"{name} must be {least} or more, not {number}")
    label = "task"
    if workload == "fixed":
        task, label = fixed_task(policy, prompt_tokens), f"prompt {prompt_tokens}, new tokens {max_new_tokens}"
    elif full_length:
        label = "task, full length"
    if what == "rollout" and label != "task":
        policy = without_eos(policy)
    work = Workload(policy, load_task(task), *sizes[0], max_new_tokens, repeats, seed, label, neighbours)
    measure = {"rollout": bench_rollout, "train": bench_train, "step": bench_step}[what]
    rows = []
    for prompts, samples in sizes:
        with busy_processes(neighbours):
            measured = measure(replace(work, prompts=prompts, samples=samples), peers)
        for row in measured if neighbours else ():
            row["notes"] += f"; next to {neighbours} busy process{'es' if neighbours > 1 else ''}"
        rows += [{**row, "neighbours": neighbours} for row in measured]
        gc.collect()
        release_workspaces()  # the next batch, or the caller, gets the memory
    return rows


def _checked(what: str, against: list[str] | None, kind: str, full_length: bool) -> list[str]:
    """The peers, after a look at what else was asked for."""
    if what not in get_args(What):
        raise UserError(f"no benchmark {what!r}; there are {', '.join(get_args(What))}")
    peers = [PEERS[what][0]] if against is None else list(dict.fromkeys(against))
    for peer in peers:
        if peer not in PEERS[what]:
            raise UserError(f"bench {what} knows no peer {peer!r}; there are {', '.join(PEERS[what])}")
    if kind not in get_args(Kind):
        raise UserError(f"workload must be one of {', '.join(get_args(Kind))}, not {kind!r}")
    if what != "rollout" and (full_length or kind != "task"):
        raise UserError(f"{'full_length' if full_length else 'workload fixed'} is for bench rollout alone")
    return peers


def _sizes(prompts: int, samples: int, batches: list[int] | None) -> list[tuple[int, int]]:
    """(prompts, samples per prompt) of each batch.

    >>> _sizes(32, 8, None), _sizes(32, 8, [1, 16, 64])
    ([(32, 8)], [(1, 1), (2, 8), (8, 8)])
    """
    for name, number in (("prompts", prompts), ("samples", samples)):
        if number < 1:
            raise UserError(f"{name} must be 1 or more, not {number}")
    if batches is None:
        return [(prompts, samples)]
    for rows in batches:
        if rows < 1 or (rows > samples and rows % samples):
            raise UserError(f"batches are rows in groups of {samples} (or fewer rows than that), not {rows}")
    return [(max(rows // samples, 1), min(samples, rows)) for rows in batches]


def _own_policy(model: str | Path | Policy, device: str | None, dtype: str | None, what: What) -> Policy:
    """A policy that the benchmark may change; a caller's own is copied."""
    if dtype not in (None, *DTYPES):
        raise UserError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    if what != "rollout" and dtype not in (None, "float32"):
        raise UserError("weights are trained in float32 (under bfloat16 autocast on CUDA): leave dtype at float32")
    policy = load_policy(model, device=device)
    where = torch.device(device or policy.device)
    if dtype is None:
        dtype = "bfloat16" if what == "rollout" and where.type == "cuda" else "float32"
    weights = copy.deepcopy(policy.model) if policy is model else policy.model
    return Policy(weights.to(device=where, dtype=DTYPES[dtype]), policy.tokenizer, policy.name)


__all__ = ["LADDER", "PEERS", "format_table", "run_bench"]
