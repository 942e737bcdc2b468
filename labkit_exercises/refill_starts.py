"""Exercise of notebook 17: continuous batching as a schedule."""

from __future__ import annotations

import random

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def refill_starts(lengths: list[int], slots: int) -> list[int]:
    import heapq

    free_at, starts = [0] * slots, []
    for length in lengths:
        starts.append(heapq.heappop(free_at))
        heapq.heappush(free_at, starts[-1] + length)
    return starts


def _waves(lengths: list[int], slots: int) -> list[int]:
    starts, now = [], 0
    for first in range(0, len(lengths), slots):
        wave = lengths[first : first + slots]
        starts += [now] * len(wave)
        now += max(wave)
    return starts


def _dealt_out(lengths: list[int], slots: int) -> list[int]:
    free_at, starts = [0] * slots, []
    for i, length in enumerate(lengths):
        starts.append(free_at[i % slots])
        free_at[i % slots] += length
    return starts


def _longest_first(lengths: list[int], slots: int) -> list[int]:
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return _in_order(lengths, slots, order)


def _shortest_first(lengths: list[int], slots: int) -> list[int]:
    return _in_order(lengths, slots, sorted(range(len(lengths)), key=lambda i: lengths[i]))


def _in_order(lengths: list[int], slots: int, order: list[int]) -> list[int]:
    starts = [0] * len(lengths)
    for i, start in zip(order, refill_starts([lengths[i] for i in order], slots), strict=True):
        starts[i] = start
    return starts


def _one_step_late(lengths: list[int], slots: int) -> list[int]:
    free_at, starts = [0] * slots, []
    for length in lengths:
        slot = min(range(slots), key=free_at.__getitem__)
        starts.append(free_at[slot])
        free_at[slot] += length + 1
    return starts


def _random_case(generator: random.Random) -> Case:
    slots = generator.randint(2, 4)
    return Case(([generator.choice([1, 2, 3, 8, 15]) for _ in range(generator.randint(slots + 2, 12))], slots))


EXERCISE = Exercise(
    name="refill-starts",
    title="Retire and refill",
    notebook="17_scaling_up",
    spec=(
        "Sequences wait in a queue; number i needs `lengths[i]` steps (1 or more). At most `slots` run at once. A "
        "sequence that starts at step s with length L occupies its slot during the steps s, ..., s + L - 1, and from "
        "step s + L on the next in the queue may have it. Nobody knows a length before its end, so the order of the "
        "queue is kept. Return the step at which each sequence starts (list of int), so that no slot is idle while "
        "somebody waits."
    ),
    stub=("def refill_starts(lengths: list[int], slots: int) -> list[int]:\n    raise NotImplementedError\n"),
    reference=refill_starts,
    literal=(
        Case(([3, 1, 2], 2), "the second ends after one step, and the third takes its place"),
        Case(([2, 2], 4), "more slots than sequences"),
        Case(([4, 1, 1, 1], 2), "three short ones next to a long one"),
        Case(([1, 2, 5, 1, 1], 2), "the queue's order is kept"),
        Case(([5, 5, 1, 1, 9], 3), "a late long one"),
        Case(([3, 2, 1], 1), "one slot: one after another"),
    ),
    random=_random_case,
    misconceptions=(
        Misconception(
            "waves",
            _waves,
            "These are waves: the next `slots` sequences start together when the LONGEST of the wave has ended. A slot "
            "that is free must not wait for the others.",
        ),
        Misconception(
            "all-at-once",
            lambda lengths, slots: [0] * len(lengths),
            "All start at step 0: there are only `slots` slots.",
        ),
        Misconception(
            "dealt-out",
            _dealt_out,
            "Sequence i always goes into slot i % slots, as cards are dealt. Take the slot that is free FIRST; else "
            "one queue is long while another slot is idle.",
        ),
        Misconception(
            "longest-first",
            _longest_first,
            "This starts the longest first. It would be the better schedule, but while sampling nobody knows a length "
            "before its end: keep the queue's order.",
            (_shortest_first,),
        ),
        Misconception(
            "one-step-late",
            _one_step_late,
            "Each slot is idle for one step between two sequences. Occupied are s, ..., s + L - 1; step s + L is free.",
        ),
        Misconception(
            "returns-ends",
            lambda lengths, slots: [s + n for s, n in zip(refill_starts(lengths, slots), lengths, strict=True)],
            "These are the steps at which the sequences end. Asked is where they start.",
        ),
    ),
    hints=(
        "Keep for each slot the step from which on it is free; at first they are all 0.",
        "The next in the queue takes the slot that is free first: `min(free_at)`.",
        "That slot is then free from start + length on.",
    ),
)
