"""Exercise of notebook 16: how Math-Shepherd marks the steps of an answer without an annotator."""

from __future__ import annotations

import random
import statistics

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]

Marks = tuple[list[float], list[float]]


def rollout_marks(ended_right: list[list[bool]]) -> tuple[list[float], list[float]]:
    soft = [sum(row) / len(row) for row in ended_right]
    hard = [float(any(row)) for row in ended_right]
    return soft, hard


def _soft(rows: list[list[bool]]) -> list[float]:
    return [sum(row) / len(row) for row in rows]


def _hard(rows: list[list[bool]]) -> list[float]:
    return [float(any(row)) for row in rows]


def _changes(rows: list[list[bool]]) -> Marks:
    soft = _soft(rows)
    return [b - a for a, b in zip([0.0, *soft], soft, strict=False)], _hard(rows)


def _random_rows(generator: random.Random) -> Case:
    rollouts = [generator.randint(2, 6) for _ in range(generator.randint(1, 5))]
    chance = [generator.choice([0.0, 0.3, 0.7, 1.0]) for _ in rollouts]
    return Case(([[generator.random() < p for _ in range(n)] for n, p in zip(rollouts, chance, strict=True)],))


EXERCISE = Exercise(
    name="rollout-marks",
    title="Marks by rollouts",
    notebook="16_process_rewards",
    spec=(
        "From the end of each step of an answer the policy wrote several continuations, and the verifier judged each. "
        "`ended_right[i]` holds these judgements (True or False) for step i. Return two lists with one "
        "number per step:\n\n"
        "1. **soft**: the share of the step's continuations that ended right;\n"
        "2. **hard**: 1.0 where at least one did, else 0.0 (Math-Shepherd's mark: the step still *can* lead to the "
        "right answer).\n\n"
        "Steps may have different numbers of continuations, but each has one or more."
    ),
    stub=(
        "def rollout_marks(ended_right: list[list[bool]]) -> tuple[list[float], list[float]]:\n"
        "    raise NotImplementedError\n"
    ),
    reference=rollout_marks,
    literal=(
        Case(([[True, False, False, True], [False, False, False, True], [False] * 4],), "soft ½, ¼, 0; hard 1, 1, 0"),
        Case(([[True, True], [True, False, False], [True]],), "other numbers of continuations: soft 1, ⅓, 1"),
        Case(([[True, True, False]],), "one step"),
    ),
    random=_random_rows,
    misconceptions=(
        Misconception(
            "all",
            lambda rows: (_soft(rows), [float(all(row)) for row in rows]),
            "The hard mark asks that ALL continuations end right. One is enough: it shows that the step still can.",
        ),
        Misconception(
            "majority",
            lambda rows: (_soft(rows), [float(share >= 0.5) for share in _soft(rows)]),
            "The hard mark goes by the majority. One right continuation is enough: a weak policy often fails "
            "after a good "
            "step too.",
            (lambda rows: (_soft(rows), [float(share > 0.5) for share in _soft(rows)]),),
        ),
        Misconception(
            "counts",
            lambda rows: ([float(sum(row)) for row in rows], _hard(rows)),
            "The soft mark counts right continuations; asked for is their share of the step's continuations.",
        ),
        Misconception(
            "one-length",
            lambda rows: ([sum(row) / max(map(len, rows)) for row in rows], _hard(rows)),
            "It divides by the same number for all steps; each step has its own number of continuations.",
            (lambda rows: ([sum(row) / len(rows[0]) for row in rows], _hard(rows)),),
        ),
        Misconception(
            "swapped",
            lambda rows: (_hard(rows), _soft(rows)),
            "Soft and hard have changed places: the soft marks come first.",
        ),
        Misconception(
            "median",
            lambda rows: ([float(statistics.median(row)) for row in rows], _hard(rows)),
            "The soft mark is a median; asked for is the mean, which estimates the chance of success.",
        ),
        Misconception(
            "change",
            _changes,
            "It gives the CHANGE from the step before: that is the credit of a step. Its mark is the chance itself.",
        ),
    ),
    hints=(
        "True counts as 1 in `sum(row)`; `any(row)` is True where one is.",
        "`soft = [sum(row) / len(row) for row in ended_right]`",
        "`hard = [float(any(row)) for row in ended_right]`; return both as a pair.",
    ),
)
