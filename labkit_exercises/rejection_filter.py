"""Exercise of notebook 13: which samples are worth training on?"""

from __future__ import annotations

import random
from collections.abc import Callable

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]

Row = tuple[str, str, float]


def rejection_filter(rows: list[tuple[str, str, float]], keep: int) -> list[int]:
    kept: list[int] = []
    for i, (prompt, completion, reward) in enumerate(rows):
        same_prompt = [rows[j] for j in kept if rows[j][0] == prompt]
        repeated = completion in [row[1] for row in same_prompt]
        if reward >= 1 and not repeated and len(same_prompt) < keep:
            kept.append(i)
    return kept


def _filter(
    passes: Callable[[float], bool] = lambda reward: reward >= 1,
    key: Callable[[Row, int], object] = lambda row, i: row[:2],
    group: Callable[[Row], object] = lambda row: row[0],
    counts_repeats: bool = False,
    backwards: bool = False,
) -> Callable[[list[Row], int], list[int]]:
    def chosen(rows: list[Row], keep: int) -> list[int]:
        seen, had, kept = set(), {}, []
        order = list(enumerate(rows))
        for i, row in reversed(order) if backwards else order:
            if not passes(row[2]):
                continue
            new = key(row, i) not in seen
            seen.add(key(row, i))
            if new and had.get(group(row), 0) < keep:
                kept.append(i)
            if new or counts_repeats:
                had[group(row)] = had.get(group(row), 0) + 1
        return sorted(kept)

    return chosen


def _random_rows(generator: random.Random) -> Case:
    rows = [
        (generator.choice("ab"), generator.choice(["x", "y", "z"]), generator.choice([0.0, 0.5, 1.0, 1.0, 1.5]))
        for _ in range(generator.randint(0, 9))
    ]
    return Case((rows, generator.randint(1, 3)))


EXERCISE = Exercise(
    name="rejection-filter",
    title="Rejection sampling: what is kept",
    notebook="13_r1_pipeline",
    spec=(
        "`rows` are samples `(prompt, completion, reward)` in the order in which they were drawn. Return the "
        "positions, ascending, of those to train on:\n\n"
        "- only right ones: reward 1 or more;\n"
        "- of several with the same prompt *and* the same text only the first;\n"
        "- of each prompt the first `keep` that are left, so that easy problems don't crowd out hard ones."
    ),
    stub=(
        "def rejection_filter(rows: list[tuple[str, str, float]], keep: int) -> list[int]:\n"
        "    raise NotImplementedError\n"
    ),
    reference=rejection_filter,
    literal=(
        Case(
            ([("a", "x", 1.0), ("a", "y", 0.0), ("b", "x", 1.0)], 1), "one right sample of each prompt, the same text"
        ),
        Case(([], 2), "nothing was drawn"),
        Case(([("a", "x", 1.0), ("a", "x", 1.0), ("a", "y", 1.0)], 2), "x was drawn twice"),
        Case(([("a", "x", 1.0), ("a", "y", 1.0), ("a", "z", 1.0), ("b", "z", 1.0)], 2), "an easy and a hard prompt"),
        Case(([("a", "x", 0.5), ("a", "y", 1.5)], 2), "half right is not right; a bonus on top is"),
        Case(([("a", "x", 1.0), ("a", "x", 1.0), ("a", "y", 1.0), ("a", "z", 1.0)], 3), "x twice, all three fit"),
    ),
    random=_random_rows,
    misconceptions=(
        Misconception(
            "repeats-stay",
            _filter(key=lambda row, i: i),
            "The same text is kept more than once. A policy after RL repeats itself, so without this the data would "
            "hold one text many times.",
        ),
        Misconception(
            "text-alone",
            _filter(key=lambda row, i: row[1]),
            "A text is dropped because it was kept for ANOTHER prompt. Short answers may well be the same; compare "
            "prompt and text together.",
        ),
        Misconception(
            "keep-in-all",
            _filter(group=lambda row: None),
            "`keep` is counted over all prompts together; it is meant for each prompt.",
        ),
        Misconception(
            "half-right",
            _filter(passes=lambda reward: reward > 0),
            "Rewards between 0 and 1 pass: an answer that only gets the points for its form is not right.",
        ),
        Misconception(
            "exactly-one",
            _filter(passes=lambda reward: reward == 1),
            "Rewards above 1 are thrown away: with a bonus for form on top, those are the best samples.",
        ),
        Misconception(
            "repeats-use-up-keep",
            _filter(counts_repeats=True),
            "A repeated text uses up one of the `keep` places, though it is not kept.",
        ),
        Misconception(
            "last-ones",
            _filter(backwards=True),
            "The last samples of a prompt are kept, in place of the first.",
        ),
        Misconception(
            "keeps-wrong",
            _filter(passes=lambda reward: True),
            "Wrong answers are kept: nothing looks at the reward, and that is what rejection means.",
        ),
    ),
    hints=(
        "One pass over `enumerate(rows)`, with a set of (prompt, text) pairs and a count for each prompt.",
        "Skip a row whose reward is below 1, whose pair was seen, or whose prompt has `keep` already; else keep it.",
        "Only what is KEPT goes into the count of its prompt.",
    ),
    sources=("labkit.evaluation.selection:choose_rows",),
)
