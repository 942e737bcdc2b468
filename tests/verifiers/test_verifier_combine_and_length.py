"""Verifiers put together, and length as a reward."""

import functools
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.algorithms import overlong_penalty
from labkit.errors import UserError
from labkit.verifiers import Score, format, length, number, run_verifier
from labkit.verifiers.combine import Combination, Part, combine
from labkit.verifiers.length import SoftOverlong
from labkit.worlds.countdown import verifier as countdown
from tests.verifiers.hostile import check_every_score, short

PUZZLE = {"numbers": [5, 6, 1], "target": 30}
GOOD, BARE = "<think>6*5=30 yes</think><answer>6*5*1</answer>", "<answer>6*5*1</answer>"
WRONG = "<think>6+5=11 no</think><answer>6+5+1</answer>"
ACCURACY = Part("accuracy", countdown.verify)
SHAPE = Part("format", format.verify, weight=0.25, reference=None)


@pytest.mark.parametrize(
    ("combination", "rewards"),
    [
        (combine(ACCURACY), (1.0, 1.0, 0.0)),
        (combine(ACCURACY, SHAPE), (1.25, 1.0, 0.25)),
        (combine(ACCURACY, gate=SHAPE), (1.25, 0.0, 0.25)),
        (combine(ACCURACY, gate=Part("format", format.verify, 0.0, None)), (1.0, 0.0, 0.0)),
        (combine(ACCURACY, gate=SHAPE, threshold=0.0), (1.25, 1.0, 0.25)),
        (combine(Part("accuracy", countdown.verify, weight=-2)), (-2.0, -2.0, 0.0)),
    ],
)
def test_weights_and_gates(combination: Combination, rewards: tuple[float, ...]) -> None:
    assert tuple(combination(text, PUZZLE).reward for text in (GOOD, BARE, WRONG)) == rewards


def test_parts_and_reasons_are_reported() -> None:
    score = combine(ACCURACY, SHAPE)(WRONG, PUZZLE)
    assert score.parts["accuracy"] == 0.0 and score.parts["format"] == 1.0
    assert score.parts["accuracy.numbers"] == 1.0 and score.parts["format.clean"] == 1.0
    assert score.extracted == "6+5+1"
    assert score.reason == "accuracy 0 (makes 12, not 30); format 1 (well formed)"
    closed = combine(ACCURACY, gate=SHAPE)(BARE, PUZZLE)
    assert closed.reason.startswith("gate format closed: format 0 (<think> is missing); accuracy 1")


def test_a_combination_and_its_scores_are_picklable_and_run_in_the_runner() -> None:
    combination = combine(ACCURACY, SHAPE, Part("length", SoftOverlong(100, 20), reference=None))
    copy = pickle.loads(pickle.dumps(combination))
    score = copy(GOOD, PUZZLE)
    assert pickle.loads(pickle.dumps(score)) == score == combination(GOOD, PUZZLE)
    assert run_verifier(combination, [GOOD, WRONG], [PUZZLE, PUZZLE]) == [score, combination(WRONG, PUZZLE)]


def test_a_combination_holds_others() -> None:
    inner = combine(ACCURACY, SHAPE)
    assert combine(Part("both", inner, 2.0), Part("n", number.verify, reference=5))(GOOD, PUZZLE).reward == 2.5


def bare_number(completion: str, reference: object) -> float:
    return 0.5


def fails(completion: str, reference: object) -> Score:
    raise KeyError("x")


def test_a_verifier_of_your_own_may_be_a_part() -> None:
    combination = combine(ACCURACY, Part("mine", bare_number))
    assert combination(GOOD, PUZZLE).reward == 1.5 and combination.needs_worker
    assert not combine(ACCURACY, SHAPE).needs_worker
    assert combine(Part("mine", functools.partial(bare_number)))(GOOD, PUZZLE).reward == 0.5
    (score,) = run_verifier(combine(ACCURACY, Part("mine", fails)), [GOOD], [PUZZLE])
    assert score.reward == 0.0 and score.parts == {"verifier_error": 1.0} and "KeyError" in score.reason


def test_a_malformed_reference_is_still_the_users_mistake() -> None:
    with pytest.raises(UserError, match="a countdown reference is"):
        combine(ACCURACY, SHAPE)(GOOD, {"numbers": []})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: combine(), "combine takes parts"),
        (lambda: combine(countdown.verify), "combine takes parts"),
        (lambda: combine(ACCURACY, ACCURACY), "need different names"),
        (lambda: combine(ACCURACY, gate=ACCURACY), "need different names"),
        (lambda: combine(Part("a", countdown.verify, weight=math.nan)), "finite numbers"),
        (lambda: combine(Part("a", countdown.verify, weight="1")), "finite numbers"),
        (lambda: combine(ACCURACY, threshold=math.inf), "finite numbers"),
    ],
)
def test_a_combination_that_cannot_be(make, words: str) -> None:
    with pytest.raises(UserError, match=words):
        make()


@given(st.integers(0, 300), st.integers(1, 200), st.integers(1, 200))
@settings(max_examples=200, deadline=None)
def test_length_is_one_plus_the_penalty_of_dapo(count: int, longest: int, buffer: int) -> None:
    if buffer > longest:
        with pytest.raises(UserError, match="0 < buffer <= max_length"):
            SoftOverlong(longest, buffer)
        return
    score = SoftOverlong(longest, buffer)("x" * count)
    penalty = overlong_penalty(torch.tensor([count]), longest, buffer).item()
    assert score.parts["penalty"] == pytest.approx(penalty, abs=1e-6) and score.reward == 1.0 + score.parts["penalty"]
    assert score.parts["length"] == count


def test_what_is_counted() -> None:
    words = {"max_length": 5, "buffer": 2, "unit": "words"}
    assert length.verify("one two three", words).reward == 1.0
    assert length.verify("one two three four", words).reward == 0.5
    assert length.verify("one two three four five", words).reason == "5 words, 2 above the soft limit of 3"
    tokens = SoftOverlong(4, 2, unit="tokens", count=lambda text: len(text.encode()))
    assert tokens("äb").reason == "3 tokens, 1 above the soft limit of 2"


BAD = [
    None,
    5,
    {},
    {"max_length": 5},
    {"max_length": 5, "buffer": 0},
    {"max_length": 5, "buffer": 6},
    {"max_length": math.nan, "buffer": 1},
    {"max_length": math.inf, "buffer": 1},
    {"max_length": "5", "buffer": 1},
    {"max_length": True, "buffer": True},
    {"max_length": 5, "buffer": 1, "unit": "tokens"},
    {"max_length": 5, "buffer": 1, "unit": []},
    {"max_length": 5, "buffer": 1, "count": 1},
]


@pytest.mark.parametrize("reference", BAD, ids=short)
def test_a_malformed_reference_of_length(reference: object) -> None:
    with pytest.raises(UserError, match="length") as caught:
        length.verify("x", reference)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_no_hostile_text_raises_or_takes_long() -> None:
    check_every_score(length.verify, {"max_length": 100, "buffer": 20, "unit": "words"})
    everything = combine(Part("accuracy", number.verify), Part("length", SoftOverlong(100, 20)), gate=SHAPE)
    check_every_score(everything, 72, seconds=0.5)
