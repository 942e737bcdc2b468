"""The `instructions` verifier on hostile texts: nothing raises, and time is linear in the text for every kind."""

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.verifiers.instructions import verify
from tests.verifiers.hostile import fuzzed, short, within
from tests.verifiers.instruction_cases import CASES, FIRST, one

HALF = len(FIRST) // 2 + 1
EVERYTHING = [
    {"instruction_id_list": [*FIRST][start : start + HALF], "kwargs": [*FIRST.values()][start : start + HALF]}
    for start in (0, HALF)
]
"""Each kind once, in two references."""


PIECES = [
    *"abcXYZ .!?,;:#*-<>[]{}()\"'`\\\n\n\t0159éßİ中。٣\x00\ud800\u202e\u200d",
    *["***", "******", "\n\n", "* ", "**", "<<", ">>", "P.S.", "p. p. s", "```", "Section 1", "e.g. ", "...", "%s{0}"],
    *[
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "My answer is yes.",
        "the cat sat on the mat ",
        "cos\nsystem\n(S'x'",
    ],
]


@pytest.mark.slow
def test_twenty_thousand_fuzzed_texts_raise_nothing_and_give_a_sound_score() -> None:
    rng = random.Random(0)
    with within(60):  # about 8 s
        for _ in range(20_000):
            text = "".join(rng.choices(PIECES, k=rng.randrange(40)))
            some = rng.sample(CASES, 3)
            asked = {"instruction_id_list": [case[0] for case in some], "kwargs": [case[1] for case in some]}
            score = verify(text, asked | {"mode": rng.choice(["strict", "loose"])})
            assert score.reward == (score.parts["fraction"] == 1.0) == score.parts["all"]
            assert {part for name, part in score.parts.items() if name != "fraction"} <= {0.0, 1.0}
            assert score.reason.isprintable() and len(score.reason) < 500


HOSTILE = [
    "a",
    " ",
    "\n",
    "\n\n",
    "[",
    "]",
    "[[",
    "<<",
    ">>",
    "<",
    "*",
    "* ",
    "**",
    "***",
    "*\n",
    "-",
    "p.",
    "p. ",
    ".",
    "!",
    "...",
    ". ",
    "e.g.",
    "A.",
    "a. ",
    "1. ",
    '"',
    '."',
    "\\",
    "{",
    '{"a":',
    "9",
    "Section1",
    "Section",
    "1",
    "\x00",
    "\ud800",
    "é",
    "\u0300",
    "<think>",
    "</think>",
    "<answer>",
    "the ",
    "中",
    "。",
    "a, ",
    "😀. ",
    "(a",
    "([{",
    "'",
    "“",
    "# \n",
    "<i>\n",
    "Question 1\n",
    "* a\n- b\n",
    "a-",
    "– ",
    "Zimbabwe\n",
    "1796-04-12,",
    "a\n b\n",
    "1,",
    "?!",
    "\u0301\u0323",
    "ab ba ",
    "\t",
]


@pytest.mark.parametrize("piece", HOSTILE, ids=short)
def test_anything_repeated_takes_linear_time(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    with within(10):  # about 1 s; a quadratic check among the 112 would take minutes
        for asked in EVERYTHING:
            verify(text, asked)
            verify(f"x{text}x", asked)


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["Mr. Smith went. ", "[", "<<", "*\n", "...", "{", "the cat ", "\ud800"], ids=short)
def test_a_megabyte_is_bounded(piece: str) -> None:
    with within(90):  # 2 to 20 s
        for asked in EVERYTHING:
            verify(piece * (10**6 // len(piece)), asked)


def test_loose_scoring_of_a_long_text_is_bounded() -> None:
    with within(12):
        for asked in EVERYTHING:
            verify("*a\n" * 10_000, asked | {"mode": "loose"})


@pytest.mark.parametrize("kind", list(FIRST))
def test_the_shared_hostile_texts_raise_nothing(kind: str) -> None:
    for text in fuzzed(200):
        score = verify(text, one(kind, FIRST[kind]))
        assert score.reward in (0.0, 1.0) and score.reason.isprintable() and len(score.reason) < 300


texts = st.text(st.sampled_from(string.ascii_letters + " .,!?*[]<>-\n\"'#")) | st.text()


@given(texts, st.permutations(range(HALF)), st.sampled_from(["strict", "loose"]))
@settings(max_examples=150, deadline=None)
def test_the_order_of_instructions_does_not_matter(text: str, order: list[int], mode: str) -> None:
    asked = EVERYTHING[0]
    shuffled = {key: [values[k] for k in order] for key, values in asked.items()}
    first, second = verify(text, asked | {"mode": mode}), verify(text, shuffled | {"mode": mode})
    assert first.reward == second.reward
    assert first.parts == second.parts


@given(texts)
@settings(max_examples=150, deadline=None)
def test_loose_keeps_whatever_strict_keeps_and_judging_is_deterministic(text: str) -> None:
    for asked in EVERYTHING:
        strict, loose = verify(text, asked), verify(text, asked | {"mode": "loose"})
        assert all(loose.parts[name] >= kept for name, kept in strict.parts.items())
        assert strict == verify(text, asked)
