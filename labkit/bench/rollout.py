"""Rollouts: labkit's sampler next to its peers (`labkit.bench.generate`)."""

from dataclasses import replace

import torch

from labkit.bench.ceiling import ceilings, device_facts
from labkit.bench.generate import PEER_SIDES
from labkit.bench.race import Row, Side, Work, Workload, make_rows, race
from labkit.models import Policy
from labkit.rollouts import Rollouts
from labkit.sampling import sample
from labkit.threads import fixed


def bench_rollout(workload: Workload, peers: list[str]) -> list[Row]:
    """One row per side; see `run_bench`."""
    sides = [labkit_side(workload), *fixed_side(workload), *(PEER_SIDES[peer](workload) for peer in peers)]
    trials = race(sides, workload.repeats, workload.policy.device)
    decoding, _ = ceilings(workload.policy.model)
    same = {"workload": workload.label, "device": device_facts(workload.policy.model)}
    return make_rows("rollout", trials, {side.name: side.notes for side in sides}, decoding, **same)


def labkit_side(workload: Workload) -> Side:
    """`labkit.sample`, from text to rollouts: tokenising, log-probs and decoding of text are timed too.

    Its own clocks give `parts`: prefill and decode.
    """
    policy = workload.policy
    batches = [[p.prompt for p in workload.problems(turn)] for turn in range(workload.repeats + 1)]

    def run(turn: int) -> Rollouts:
        return sample(
            policy,
            batches[turn],
            n=workload.samples,
            max_new_tokens=workload.max_new_tokens,
            seed=workload.seed + turn,
        )

    return Side("labkit", run, lambda rollouts: work_of(policy, rollouts), "text in, text and log-probs out")


def fixed_side(workload: Workload) -> list[Side]:
    """Next to busy neighbours: labkit as it would be if it kept all of its threads (`labkit.threads`)."""
    if not workload.neighbours or torch.get_num_threads() == 1:
        return []
    yields = labkit_side(workload)

    def run(turn: int) -> Rollouts:
        with fixed():
            return yields.run(turn)

    return [replace(yields, name="labkit (yields no core)", run=run)]


def work_of(policy: Policy, rollouts: Rollouts, samples: int | None = None) -> Work:
    """What sampling these rollouts was."""
    each = samples or int((rollouts.groups == 0).sum())
    prompts = [len(policy.encode(p)) for p in rollouts.prompts[::each]]
    return Work(prompts, rollouts.lengths.tolist(), parts=dict(rollouts.timings))
