"""Exercise of notebook 15: the two interventions of budget forcing, on the text."""

from __future__ import annotations

import random

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]

END, ASK, WAIT = "</think>", "<answer>", "Wait"


def budget_splice(thought: str, left: int, extensions: int) -> str:
    if thought.endswith("</think>"):
        if left > 0 and extensions > 0:
            return thought.removesuffix("</think>") + "Wait"
        return thought
    if left > 0:
        return thought
    return thought + "</think><answer>"


def _ended(thought: str) -> bool:
    return thought.endswith(END)


def _never_spent(thought: str, left: int, extensions: int) -> str:
    return thought.removesuffix(END) + WAIT if _ended(thought) and extensions > 0 else budget_splice(thought, left, 0)


def _keeps_the_end(thought: str, left: int, extensions: int) -> str:
    return thought + WAIT if _ended(thought) and left > 0 and extensions > 0 else budget_splice(thought, left, 0)


def _always_closes(thought: str, left: int, extensions: int) -> str:
    return thought + END + ASK if not _ended(thought) else budget_splice(thought, left, extensions)


def _closes_without_asking(thought: str, left: int, extensions: int) -> str:
    return thought + END if not _ended(thought) and left <= 0 else budget_splice(thought, left, extensions)


def _closes_twice(thought: str, left: int, extensions: int) -> str:
    return thought + END + ASK if left <= 0 else budget_splice(thought, left, extensions)


def _for_ever(thought: str, left: int, extensions: int) -> str:
    return budget_splice(thought, left, 1)


def _waits_at_the_budget(thought: str, left: int, extensions: int) -> str:
    return thought + WAIT if not _ended(thought) and left <= 0 else budget_splice(thought, left, extensions)


def _random_thought(generator: random.Random) -> Case:
    lines = "".join(
        f"{generator.randint(1, 9)}+{generator.randint(1, 9)}=5 no\n" for _ in range(generator.randint(0, 3))
    )
    left = generator.choice([0, 0, 3, 40])
    return Case((f"<think>{lines}{generator.choice([END, END, '5+6', ''])}", left, generator.choice([0, 0, 1, 4])))


EXERCISE = Exercise(
    name="budget-splice",
    title="Budget forcing: what the model is made to read next",
    notebook="15_inference_time_compute",
    spec=(
        "A model was sampled until it ended its thought or its budget was spent. `thought` is the text from `<think>` "
        "on; it ends in `</think>` where the model ended it by itself. `left` tokens of the budget are left, and it "
        "may be made to go on `extensions` more times. Return the text from which it is sampled next (s1, Muennighoff "
        "et al. 2025):\n\n"
        "- ended, with budget **and** extensions left: take the end away and append `Wait`;\n"
        "- ended, with one of the two used up: the thought as it is (the model answers by itself);\n"
        "- not ended, the budget spent (`left` is 0): append `</think><answer>`, so that it has to answer now;\n"
        "- not ended, budget left: the thought as it is."
    ),
    stub="def budget_splice(thought: str, left: int, extensions: int) -> str:\n    raise NotImplementedError\n",
    reference=budget_splice,
    literal=(
        Case(("<think>1+6=7 no\n</think>", 40, 2), "it stopped early: the end is taken away"),
        Case(("<think>1+6=7 no\n1+5", 0, 2), "the budget is spent in the middle of a line"),
        Case(("<think>1+6=7 no\n</think>", 40, 0), "no extension left: it may end"),
        Case(("<think>1+6=7 no\n</think>", 0, 2), "it ended with its last token: nothing is left to go on with"),
        Case(("<think>1+6=7 no\n", 40, 2), "still thinking, with budget left"),
        Case(("<think>1+6=7 no\n1+5", 0, 0), "spent, without extensions"),
    ),
    random=_random_thought,
    misconceptions=(
        Misconception(
            "keeps-the-end",
            _keeps_the_end,
            "`Wait` is appended behind `</think>`: for the model the thought is over, and `Wait` is part of the "
            "answer. Take the end away first.",
        ),
        Misconception(
            "nothing-appended",
            lambda thought, left, extensions: (
                thought.removesuffix(END) if left > 0 and extensions > 0 else budget_splice(thought, left, extensions)
            ),
            "The end is taken away, and nothing is put there: the model is where it was just before, and ends again.",
        ),
        Misconception(
            "beyond-the-budget",
            _never_spent,
            "A thought that ended with its last token is made to go on, though no budget is left.",
        ),
        Misconception(
            "for-ever",
            _for_ever,
            "It is made to go on without regard to `extensions`: then it never may end before the budget does.",
        ),
        Misconception(
            "no-question",
            _closes_without_asking,
            "The thought is closed, but the answer is not asked for: append `</think>` and `<answer>`.",
        ),
        Misconception(
            "closes-what-is-closed",
            _closes_twice,
            "A thought that ended by itself, with its last token, is closed a second time.",
        ),
        Misconception(
            "closes-too-early",
            _always_closes,
            "A thought with budget left is closed: nothing has to be done there.",
        ),
        Misconception(
            "waits-at-the-budget",
            _waits_at_the_budget,
            "At the end of the budget the model is told to go on; there it has to stop and answer.",
        ),
    ),
    hints=(
        "Two questions decide: did the model end the thought (`thought.endswith('</think>')`), and what is left?",
        "Only an ended thought is ever made to go on, only one that is not ended is ever closed.",
        "`thought.removesuffix('</think>') + 'Wait'`, `thought + '</think><answer>'`, or the thought as it is.",
    ),
    sources=("labkit.inference.forcing:_extend", "labkit.inference.forcing:_answer"),
)
