"""Steps of an answer and the exact checker's marks, against the generator of the corpus."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import UserError
from labkit.verifiers.steps import steps
from labkit.worlds.countdown import task as countdown
from labkit.worlds.countdown.chains import chains
from labkit.worlds.countdown.steps import right_steps, step_right


@given(st.text(alphabet="ab\n\r\x0b "))
def test_joined_the_steps_are_the_text(text):
    pieces = steps(text)
    assert "".join(pieces) == text and len(pieces) >= 1
    assert all(piece.count("\n") <= 1 and "\n" not in piece[:-1] for piece in pieces)


def test_every_chain_of_the_search_space_is_right_with_its_verdict_and_wrong_with_the_other():
    rng, seen = random.Random(0), 0
    for _ in range(40):
        problem = countdown.draw(rng.choice((3, 4)), "train", rng)
        numbers, target = Counter(problem.reference["numbers"]), problem.reference["target"]
        for chain in rng.sample(chains(tuple(problem.reference["numbers"])), 5):
            verdict, other = ("yes", "no") if chain.value == target else ("no", "yes")
            assert step_right(f"{chain.trace()} {verdict}\n", numbers, target)
            assert step_right(f"<think>{chain.trace()} {verdict}\n", numbers, target)
            assert not step_right(f"{chain.trace()} {other}\n", numbers, target)
            seen += verdict == "yes"
    assert seen > 5


@pytest.mark.parametrize(
    "line",
    [
        "1+6=8*5=40 no",  # a sum that is wrong
        "1+6=7*5=35*5=175 no",  # a number twice
        "1+6=7 no",  # a number left out
        "6/5=1*1=1 no",  # 6/5 is no whole number
        "6/0=0*1=0 no",
        "6*5=30*1=30",  # no verdict
        "6*5=30*1=30 maybe",
        "",
    ],
)
def test_wrong_steps(line):
    assert not step_right(line, Counter([1, 5, 6]), 30)


def test_the_last_step_is_the_answers():
    puzzle = {"numbers": [5, 6, 1], "target": 30}
    assert right_steps("<answer>6*5*1</answer>", puzzle) == [True]
    assert right_steps("<answer>6+5*1</answer>", puzzle) == [False]
    assert right_steps("<think>6*5=30*1=30 yes\n</think><answer>6+5+1</answer>", puzzle) == [True, False]
    assert right_steps("", puzzle) == [False]
    # Cut off behind a right attempt: no answer yet.
    assert right_steps("<think>6*5=30*1=30 yes\n", puzzle) == [False]
    with pytest.raises(UserError):
        right_steps("x", {"numbers": 3})
