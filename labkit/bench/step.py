"""A whole GRPO step: labkit next to TRL's `GRPOTrainer`.

Both sides train every row: groups whose samples all scored the same have no gradient, and labkit would leave
them out (which is measured as a side of its own), but TRL computes them.
"""

import copy
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool
from torch import Tensor

from labkit.bench.ceiling import ceilings, device_facts
from labkit.bench.race import Row, Side, Trials, Work, Workload, make_rows, race
from labkit.bench.rollout import work_of
from labkit.bench.train import bench_recipe
from labkit.rollouts import Rollouts
from labkit.training.rl.build import make_rl_learner
from labkit.training.rl.step import rl_step

# Metrics of a step that are sums of finer ones.
SUMS = {"sample": ("prefill", "decode"), "train": ("backward", "optimizer")}


@dataclass(frozen=True)
class Stepped:
    """What a step sampled, and the rows that it trained."""

    rollouts: Rollouts
    trained: Bool[Tensor, " batch"]
    parts: dict[str, float]


def bench_step(workload: Workload, peers: list[str]) -> list[Row]:
    """One row per side, and one for labkit as it works by default; see `run_bench`."""
    sides = [
        labkit_side(workload, "labkit", train_zero_advantage=True),
        labkit_side(workload, "labkit (skips zero-advantage rows)", train_zero_advantage=False),
    ]
    notes = {side.name: side.notes for side in sides}
    if peers:
        from labkit.bench.trl_side import race_with_trl

        trials: Trials = {}
        for peer in peers:
            turns_by_side, notes[peer] = race_with_trl(workload, sides, peer)
            for side, turns in turns_by_side.items():
                trials.setdefault(side, []).extend(turns)
    else:
        trials = race(sides, workload.repeats, workload.policy.device)
    decoding, training = ceilings(workload.policy.model)
    facts = device_facts(workload.policy.model)
    return make_rows("step", trials, notes, lambda work: decoding(work) + training(work), device=facts)


def labkit_side(workload: Workload, name: str, train_zero_advantage: bool) -> Side:
    """`rl_step`, which is `train_rl`'s loop without its files: sample, verify, advantages, update, metrics.

    Drawing the problems is left out of the clock on both sides (TRL: its data loader).
    """
    policy = copy.copy(workload.policy)
    policy.model = copy.deepcopy(policy.model)
    learner = make_rl_learner(bench_recipe(workload, train_zero_advantage), policy, workload.task)
    batches = [workload.problems(turn) for turn in range(workload.repeats + 1)]

    def run(turn: int) -> Stepped:
        experience, metrics = rl_step(learner, turn, problems=batches[turn])
        trained = experience.kept & learner.objective.rows_with_gradient(experience)
        return Stepped(experience.rollouts, trained, breakdown(metrics))

    def count(stepped: Stepped) -> Work:
        work = work_of(policy, stepped.rollouts, workload.samples)
        return Work(work.prompts, work.lengths, stepped.trained.tolist(), stepped.parts)

    said = "trains every row" if train_zero_advantage else "rows without a gradient are not computed"
    return Side(name, run, count, said)


def breakdown(metrics: dict[str, Any]) -> dict[str, float]:
    """Seconds of the parts of a step (its metrics `time_*`), the finest that were measured; `other` is what is left.

    >>> breakdown({"seconds": 2.0, "time_sample": 1.0, "time_prefill": 0.25, "time_decode": 0.5, "time_train": 0.75})
    {'prefill': 0.25, 'decode': 0.5, 'train': 0.75, 'other': 0.5}
    """
    parts = {key.removeprefix("time_"): value for key, value in metrics.items() if key.startswith("time_")}
    for whole, finer in SUMS.items():
        if all(name in parts for name in finer):
            parts.pop(whole, None)
    return parts | {"other": max(metrics["seconds"] - sum(parts.values()), 0.0)}
