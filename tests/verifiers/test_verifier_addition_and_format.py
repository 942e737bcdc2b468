"""The two small verifiers: one whole number, and the shape of a completion."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import UserError
from labkit.verifiers import format
from labkit.worlds.addition import verifier as addition
from tests.verifiers.hostile import check_every_score, short, within

SUMS = [
    ("<answer>405</answer>", 405, 1.0, "the answer is 405"),
    ("<answer>405</answer>", "405", 1.0, "the answer is 405"),
    ("<answer>405</answer>", " +405 ", 1.0, "the answer is 405"),
    ("<answer> 405 </answer>", 405, 1.0, "the answer is 405"),
    ("<answer>1,405</answer>", 1405, 1.0, "the answer is 1405"),
    ("<answer>-5</answer>", -5, 1.0, "the answer is -5"),
    ("<answer>5</answer>", -5, 0.0, "the answer is 5, not -5"),
    ("<answer>415</answer>", 405, 0.0, "the answer is 415, not 405"),
    ("<answer>4050</answer>", 405, 0.0, "the answer is 4050, not 405"),
    ("<answer>405.0</answer>", 405, 0.0, "not a whole number"),
    ("<answer>347+58</answer>", 405, 0.0, "not a whole number"),
    ("<answer>405 or 406</answer>", 405, 0.0, "not a whole number"),
    ("<answer>٤٠٥</answer>", 405, 0.0, "not a whole number"),
    ("<answer>\uff14\uff10\uff15</answer>", 405, 0.0, "not a whole number"),
    ("<answer>4\x0005</answer>", 405, 0.0, "'4\\x0005' is not a whole number"),
    ("<answer>\ud800</answer>", 405, 0.0, "'\\ud800' is not a whole number"),
    ("<answer></answer>", 405, 0.0, "'' is not a whole number"),
    ("<answer>404</answer><answer>405</answer>", 405, 1.0, "the answer is 405"),
    ("<answer>405</answer><answer>404</answer>", 405, 0.0, "the answer is 404"),
    ("<think><answer>405</answer></think>", 405, 0.0, "no answer found"),
    ("405", 405, 0.0, "no answer found"),
    ("#### 405", 405, 1.0, "the answer is 405"),
    ("", 405, 0.0, "no answer found"),
    (f"<answer>{'9' * 10**6}</answer>", 405, 0.0, "the answer is 9999"),
]


@pytest.mark.parametrize(("completion", "reference", "reward", "words"), SUMS, ids=short)
def test_addition(completion: str, reference: int | str, reward: float, words: str) -> None:
    with within(0.5):
        score = addition.verify(completion, reference)
    assert score.reward == reward == score.parts["value"]
    assert words in score.reason and score.reason.isprintable() and len(score.reason) < 200


@pytest.mark.parametrize("reference", [None, True, 4.0, "", "4.0", "x", [4], {"a": 1}, "1" * 5000, 10**5000], ids=short)
def test_a_malformed_reference_of_addition(reference: object) -> None:
    with pytest.raises(UserError, match="an addition reference is a whole number"):
        addition.verify("<answer>4</answer>", reference)


@given(st.text(), st.integers(-(10**30), 10**30), st.integers(-3, 3))
@settings(max_examples=200, deadline=None)
def test_addition_of_any_text_and_any_number(text: str, number: int, off: int) -> None:
    assert addition.verify(f"{text}</think><answer>{number + off}</answer>", number).reward == float(off == 0)
    assert addition.verify(text, number) == addition.verify(text, str(number))
    assert addition.verify(f"<answer>{text}</answer>", number).reward in (0.0, 1.0)


BOTH, ANSWER = {"style": "think_answer"}, {"style": "answer"}
SHAPES = [
    ("<think>a</think><answer>b</answer>", BOTH, 1.0, "well formed"),
    ("<think>a</think><answer>b</answer>", None, 1.0, "well formed"),
    (" \n<think>a\n</think>\n\n<answer>b</answer>\n", None, 1.0, "well formed"),
    ("<think>a</think><answer>b</answer>", ANSWER, 1.0, "well formed"),
    ("<answer>b</answer>", ANSWER, 1.0, "well formed"),
    ("<answer>b</answer>", None, 0.0, "<think> is missing"),
    ("<think>a<answer>b</answer>", None, 0.0, "</think> is missing"),
    ("<think>a<answer>b</answer>", ANSWER, 0.0, "</think> is missing"),
    ("<think>a</think>b", None, 0.0, "<answer> is missing"),
    ("<think>a</think><answer>b", None, 0.0, "</answer> is missing"),
    ("b", ANSWER, 0.0, "<answer> is missing"),
    ("", None, 0.0, "<think> is missing"),
    ("<think>a</think><think>a</think><answer>b</answer>", None, 0.0, "<think> stands 2 times"),
    ("<think>a</think><answer>b</answer><answer>b</answer>", None, 0.0, "<answer> stands 2 times"),
    ("<answer>b</answer><answer>b</answer>", ANSWER, 0.0, "<answer> stands 2 times"),
    ("<answer>b</answer><think>a</think>", None, 0.0, "<answer> stands before </think>"),
    ("<answer>b</answer><think>a</think>", ANSWER, 0.0, "<answer> stands before </think>"),
    ("</think><think><answer>b</answer>", None, 0.0, "</think> stands before <think>"),
    ("</answer><answer>", ANSWER, 0.0, "</answer> stands before <answer>"),
    ("<think><answer>b</answer></think>", None, 0.0, "<answer> stands before </think>"),
    ("<think>a<answer></think>b</answer>", None, 0.0, "<answer> stands before </think>"),
    ("Sure! <think>a</think><answer>b</answer>", None, 0.0, "outside the tags: 'Sure!'"),
    ("<think>a</think> so <answer>b</answer>", None, 0.0, "outside the tags: 'so'"),
    ("<think>a</think><answer>b</answer> Bye", None, 0.0, "outside the tags: 'Bye'"),
    ("<answer>b</answer> Bye", ANSWER, 0.0, "outside the tags: 'Bye'"),
    ("<think>a</think><answer>b</answer>\x00", None, 0.0, "outside the tags: '\\x00'"),
    ("<THINK>a</THINK><answer>b</answer>", None, 0.0, "<think> is missing"),
    ("<think>" * 150_000, None, 0.0, "<think> stands 150000 times"),
]


@pytest.mark.parametrize(("completion", "reference", "reward", "words"), SHAPES, ids=short)
def test_format(completion: str, reference: dict | None, reward: float, words: str) -> None:
    with within(0.5):
        score = format.verify(completion, reference)
    assert score.reward == reward == min(score.parts.values())
    assert words in score.reason and score.reason.isprintable()


def test_format_says_nothing_about_the_answer_but_quotes_it() -> None:
    assert format.verify("<think></think><answer> any </answer>").extracted == "any"


@pytest.mark.parametrize("reference", [{}, {"style": "r2"}, {"style": None}, {"style": []}, "answer", 1, []], ids=short)
def test_a_malformed_reference_of_format(reference: object) -> None:
    with pytest.raises(UserError, match="a format reference is null"):
        format.verify("<think>a</think><answer>b</answer>", reference)


PIECES = ["<think>", "</think>", "<answer>", "</answer>", " ", "x"]


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.sampled_from([BOTH, ANSWER]))
@settings(max_examples=500, deadline=None)
def test_format_agrees_with_the_order_of_the_pieces(pieces: list[str], reference: dict) -> None:
    tags = [piece for piece in pieces if piece.startswith("<")]
    inside, outside = False, False
    for piece in pieces:
        if piece.startswith("<"):
            inside = not piece.startswith("</")
        elif piece == "x":
            outside |= not inside
    allowed = [PIECES[:4]] if reference is BOTH else [PIECES[:4], PIECES[2:4]]
    assert format.verify("".join(pieces), reference).reward == float(tags in allowed and not outside)


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_format_of_any_text(text: str) -> None:
    score = format.verify(text)
    assert score.reward in (0.0, 1.0) and score == format.verify(text)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_twenty_thousand_fuzzed_texts_and_megabytes_are_scored_in_time() -> None:
    check_every_score(addition.verify, 405)
