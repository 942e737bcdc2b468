"""What is the same vote: one form of an answer for maj@k, wherever answers are counted."""

import functools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.evaluation import maj_at_k
from labkit.inference import majority, normal_form
from labkit.inference.sheets import vote_of
from labkit.tasks import load_task
from labkit.verifiers import VERIFIERS, canonical, get
from tests.verifiers.hostile import fuzzed, short

SAME = {
    "number": [("72", "72.0", "$72", "72 clips", "72.", "7.2e1"), ("1/2", "0.5", r"\frac12"), ("1,234", "1234")],
    "addition": [("11", "11.0")],
    "math": [
        ("72", "72.0", r"\$72", "x = 72", r"72\text{ cm}"),
        (r"\frac{1}{2}", "0.5", r"\frac{2}{4}", r"0.5\overline{0}"),
        (r"\sqrt{12}", r"2\sqrt{3}"),
        (r"\{1, 2\}", "2, 1", r"x=1 \text{ or } x=2"),
        ("x>1", r"(1,\infty)", "-x<-1"),
        ("x+1=6", "2x=10"),
        (r"\text{Monday}", "monday"),
    ],
    "countdown": [("6*5*1", "1*5*6", "(1*5)*6"), ("8-(5-11)", "11+8-5")],
    "code": [("print(1)", " print(1)\n")],
}
APART = {
    "number": [("72", "73"), ("50%", "50"), ("50%", "0.5"), ("5 or 6", "5")],
    "math": [("(1,2)", "(2,1)"), ("(1,2)", "[1,2]"), ("50%", "0.5"), ("x", "y"), ("x<1", "x>1"), (r"\{1\}", "2")],
    "countdown": [("6*5*1", "6*5/1"), ("1+2", "3")],
    "code": [("print(1)", "print(2)")],
}


@pytest.mark.parametrize("name", SAME)
def test_spellings_of_one_answer_are_one_vote(name: str) -> None:
    for spellings in SAME[name]:
        forms = {canonical(name, text) for text in spellings}
        assert len(forms) == 1 and None not in forms, forms
        assert forms == {canonical(VERIFIERS[name], text) for text in spellings}


@pytest.mark.parametrize("name", APART)
def test_different_answers_are_different_votes(name: str) -> None:
    assert [pair for pair in APART[name] if canonical(name, pair[0]) == canonical(name, pair[1])] == []


def test_what_has_no_vote() -> None:
    assert canonical("number", None) is canonical("math", None) is canonical("code", None) is None
    assert canonical("countdown", "?") is canonical("countdown", "2**3") is None


def test_the_verifier_decides_what_is_the_same() -> None:
    assert canonical(get("leaky_countdown"), "6*5*1") == canonical("countdown", "1*5*6")
    assert canonical(functools.partial(VERIFIERS["number"]), "72.0") == "72"

    def mine(completion: str, reference: object) -> float:
        return 0.0

    assert canonical(mine, " A ") == "A"
    mine.canonical = str.casefold
    assert canonical(mine, "A") == "a"


def test_labkit_eval_and_the_recordings_count_alike() -> None:
    task = load_task("countdown")
    answers = ["6*5*1", "1*5*6", "6+5+1", "6+5-1", "6+5-1", "?"]
    assert [vote_of(answer, task) for answer in answers] == [normal_form(answer) for answer in answers]
    forms = [canonical(task.verifier, answer) for answer in answers]
    assert majority(forms) == canonical(task.verifier, "6*5*1"), "a tie goes to the answer that came first"
    correct = [True, True, False, False, False, False]
    assert maj_at_k(forms, correct, 6) == 1.0
    assert maj_at_k([a.strip() for a in answers], correct, 6) == 0.0, "spellings split the vote"


@given(st.integers(-(10**6), 10**6), st.integers(1, 500))
def test_rational_numbers_vote_by_their_value(top: int, bottom: int) -> None:
    plain = canonical("math", f"{top}/{bottom}")
    assert plain == canonical("math", rf"\frac{{{2 * top}}}{{{2 * bottom}}}")
    assert (plain == canonical("math", f"{top + 1}/{bottom}")) is False


@pytest.mark.parametrize("name", ["number", "math", "countdown", "code"])
def test_every_text_has_a_form_in_time(name: str) -> None:
    megabytes = [unit * (2**20 // len(unit)) for unit in ("9", "(", "{", "x^", "\\frac{", "1,", "6*", "-")]
    for text in [*fuzzed(3_000, seed=11), *megabytes]:
        start = time.process_time()
        form = canonical(name, text)
        assert time.process_time() - start < 2.0, short(text)
        assert form is None or isinstance(form, str), short(text)
        assert form == canonical(name, text)
