"""Exercise of notebook 15: the commonest answer."""

from __future__ import annotations

import random
from collections import Counter

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def majority_vote(answers: list[str | None]) -> str:
    from labkit.inference import majority

    winner = majority(answers)
    assert winner is not None
    return winner


def _votes(answers: list[str | None]) -> list[str]:
    return [answer for answer in answers if answer is not None]


def _all_of_the_most(answers: list[str | None]) -> list[str]:
    votes = Counter(_votes(answers))
    return [answer for answer, count in votes.items() if count == max(votes.values())]


def _more_than_half(answers: list[str | None]) -> str:
    winner, count = Counter(_votes(answers)).most_common(1)[0]
    return winner if 2 * count > len(answers) else _votes(answers)[0]


def _random_votes(generator: random.Random) -> Case:
    answers: list[str | None] = [
        generator.choice(["35", "30", "7", "12", None]) for _ in range(generator.randint(1, 9))
    ]
    answers.insert(generator.randint(0, len(answers)), generator.choice(["35", "7"]))
    return Case((answers,))


EXERCISE = Exercise(
    name="majority-vote",
    title="Self-consistency: the commonest answer",
    notebook="15_inference_time_compute",
    spec=(
        "`answers` are the final answers of several samples of one problem, in the order in which they were drawn; "
        "None where a sample gave no answer (it was cut off, say). Return the answer that was given most often (Wang "
        "et al. 2023).\n\n"
        "- A sample without an answer has no vote. At least one sample has an answer.\n"
        "- Where several answers have the most votes, the one that **came first** wins."
    ),
    stub="def majority_vote(answers: list[str | None]) -> str:\n    raise NotImplementedError\n",
    reference=majority_vote,
    literal=(
        Case((["7", "9", "9"],), "two votes against one"),
        Case((["7"],), "one sample"),
        Case(([None, None, "9"],), "two samples without an answer"),
        Case((["9", "7", "9", "7"],), "a tie: 9 came first"),
        Case((["10", "9", "10", "9", "8"],), "a tie, between texts of different length"),
        Case((["1", "2", "3", "4", "3"],), "less than half is enough"),
        Case(([None, "8", None, "5", "5"],), "as many without an answer as with the commonest"),
    ),
    random=_random_votes,
    misconceptions=(
        Misconception(
            "none-votes",
            lambda answers: str(Counter(answers).most_common(1)[0][0]),
            "Samples without an answer vote as well, and None can win. They have nothing to say: leave them out first.",
            (lambda answers: Counter(answers).most_common(1)[0][0] or _votes(answers)[0],),
        ),
        Misconception(
            "tie-to-the-last",
            lambda answers: max(dict.fromkeys(reversed(_votes(answers))), key=_votes(answers).count),
            "Of several answers with the most votes another than the first comes out. `max` and `most_common` keep the "
            "order of what they are given: give them the answers as they were drawn.",
            (
                lambda answers: min(_all_of_the_most(answers)),
                lambda answers: max(_all_of_the_most(answers)),
                lambda answers: _all_of_the_most(answers)[-1],
            ),
        ),
        Misconception(
            "absolute-majority",
            _more_than_half,
            "More than half of the votes are not needed: the most votes are enough, however few.",
        ),
        Misconception(
            "the-first",
            lambda answers: _votes(answers)[0],
            "This is the first answer, whatever the others say. Count them.",
            (lambda answers: _votes(answers)[-1],),
        ),
        Misconception(
            "the-rarest",
            lambda answers: Counter(_votes(answers)).most_common()[-1][0],
            "This is the rarest answer: the order is turned round.",
            (lambda answers: min(dict.fromkeys(_votes(answers)), key=_votes(answers).count),),
        ),
    ),
    hints=(
        "First the votes: the answers that are not None.",
        "`collections.Counter(votes)` counts them, and keeps the order in which answers first came.",
        "`Counter(votes).most_common(1)[0][0]`: among equals `most_common` lists the one that came first, first.",
    ),
    sources=("labkit.inference.voting:majority",),
)
