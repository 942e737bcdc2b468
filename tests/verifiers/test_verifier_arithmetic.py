"""Exact arithmetic: what is accepted, what is refused with which words, and that nothing leaks."""

import inspect
import sys
import warnings
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.verifiers.arithmetic import (
    MAX_DEPTH,
    MAX_LENGTH,
    ExpressionError,
    canonical_integer,
    evaluate_expression,
)
from tests.verifiers.hostile import short, within

ACCEPTED = [
    ("7", Fraction(7), [7]),
    ("6*5*1", Fraction(30), [6, 5, 1]),
    ("1 + 2 * 3", Fraction(7), [1, 2, 3]),
    ("(1+2)*3", Fraction(9), [1, 2, 3]),
    ("8/(3-8/3)", Fraction(24), [8, 3, 8, 3]),
    ("1/3", Fraction(1, 3), [1, 3]),
    ("10-3-2", Fraction(5), [10, 3, 2]),
    ("64/4/2", Fraction(8), [64, 4, 2]),
    ("-5+11", Fraction(6), [5, 11]),
    ("5--6", Fraction(11), [5, 6]),
    ("-(2-5)*3", Fraction(9), [2, 5, 3]),
    ("6 × 5 ÷ 2 − 1", Fraction(14), [6, 5, 2, 1]),
    ("6·5⋅2∗1", Fraction(60), [6, 5, 2, 1]),
    (r"6 \times 5 \cdot 4 \div 2", Fraction(60), [6, 5, 4, 2]),
    ("((((7))))", Fraction(7), [7]),
    ("0*7", Fraction(0), [0, 7]),
    ("6\n*\t5", Fraction(30), [6, 5]),
    ("9" * MAX_LENGTH, Fraction(int("9" * MAX_LENGTH)), [int("9" * MAX_LENGTH)]),
    ("(" * MAX_DEPTH + "1" + ")" * MAX_DEPTH, Fraction(1), [1]),
    ("-" * (MAX_LENGTH - 1) + "1", Fraction(-1), [1]),
    ("+".join("1" * 100), Fraction(100), [1] * 100),
]

REFUSED = [
    ("", "empty"),
    (" \n", "empty"),
    ("99**88**77", "uses **"),
    ("2**3", "uses **"),
    ("2××3", "uses **"),
    ("7//2", "uses //"),
    ("7÷÷2", "uses //"),
    ("2* *3", "not a complete expression"),
    ("7%2", "'%'"),
    ("2^3", "'^'"),
    ("5!", "'!'"),
    ("6x5", "'x'"),
    ("1e3", "'e'"),
    ("1.0", "'.'"),
    ("1_000", "'_'"),
    ("0x1F", "'x'"),
    ("1,234", "','"),
    ("2j", "'j'"),
    ("True", "'T'"),
    ("True+True", "'T'"),
    ("'a'", '"\'"'),
    ("[1][0]", "'['"),
    ("1<2", "'<'"),
    ("1 if 1 else 2", "'i'"),
    ("~1", "'~'"),
    ("1@2", "'@'"),
    ("1;2", "';'"),
    ("1#2", "'#'"),
    ("(a:=1)", "'a'"),
    ("lambda: 1", "'l'"),
    ("__import__('os')", "'_'"),
    ("().__class__", "'.'"),
    ("6*5=30", "'='"),
    ("٣+٤", "'٣'"),
    ("\uff16*5", "'\uff16'"),
    ("6²", "'²'"),
    ("½", "'½'"),
    ("6\x00*5", "'\\x00'"),
    ("6\ud800", "'\\ud800'"),
    ("6\u200b5", "'\\u200b'"),
    ("1(2)", "no operator before it"),
    ("(1)(2)", "no operator before it"),
    ("2(3+4)", "no operator before it"),
    ("(1)2", "not a complete expression"),
    ("1 2", "not a complete expression"),
    ("1+", "not a complete expression"),
    ("*1", "not a complete expression"),
    ("+5", "+ with nothing before it"),
    ("6++5", "+ with nothing before it"),
    ("()", "nothing inside"),
    ("1+()", "nothing inside"),
    ("(1", "leaves a bracket open"),
    ("1)", "never opened"),
    (")1(", "never opened"),
    ("05", "leading zero"),
    ("00", "leading zero"),
    ("3+007", "leading zero"),
    ("1/0", "divides by zero"),
    ("1/(2-2)", "divides by zero"),
    ("0/0", "divides by zero"),
    ("1" * (MAX_LENGTH + 1), "longer than"),
    ("1" * 1_000_000, "longer than"),
    ("(" * 100_000 + "1" + ")" * 100_000, "longer than"),
    ("-" * 100_000 + "1", "longer than"),
    ("1+" * 100_000 + "1", "longer than"),
    ("(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1), "brackets inside each other"),
    ("(" * 100 + ")" * 100, "brackets inside each other"),
]


@pytest.mark.parametrize(("text", "value", "numbers"), ACCEPTED, ids=short)
def test_accepted(text: str, value: Fraction, numbers: list[int]) -> None:
    assert evaluate_expression(text) == (value, numbers)


@pytest.mark.parametrize(("text", "words"), REFUSED, ids=short)
def test_refused_at_once_with_its_reason_and_without_a_warning(text: str, words: str) -> None:
    with within(0.5), warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ExpressionError) as caught:
            evaluate_expression(text)
    assert words in str(caught.value)


def test_a_caller_deep_in_its_own_stack_gets_a_reason_too() -> None:
    def deeper(levels: int) -> tuple[Fraction, list[int]]:
        return deeper(levels - 1) if levels else evaluate_expression("+".join("1" * 100))

    outcomes = set()
    limit = sys.getrecursionlimit()  # of this process: other tests and libraries may have raised it
    sys.setrecursionlimit(len(inspect.stack(0)) + 400)
    try:
        for levels in range(400):  # one by one: the evaluator itself needs a few frames only
            try:
                outcomes.add(deeper(levels)[0])
            except ExpressionError as error:
                outcomes.add(str(error))
            except RecursionError:
                break  # the test's own frames have used up the stack
    finally:
        sys.setrecursionlimit(limit)
    assert outcomes == {100, "is nested too deeply"}


@given(st.text(alphabet="0123456789+-*/() ", max_size=40) | st.text())
@settings(max_examples=500, deadline=None)
def test_every_text_has_a_value_or_a_reason(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            value, numbers = evaluate_expression(text)
        except ExpressionError as error:
            assert str(error).isprintable()
        else:
            assert isinstance(value, Fraction)
            assert numbers and all(type(number) is int for number in numbers)


INTEGERS = [
    ("405", "405"),
    (" 405\n", "405"),
    ("+405", "405"),
    ("-405", "-405"),
    ("−405", "-405"),
    ("000405", "405"),
    ("0", "0"),
    ("-0", "0"),
    ("1,234", "1234"),
    ("1,234,567", "1234567"),
    ("12,34", None),
    ("1234,567", None),
    (",123", None),
    ("1,", None),
    ("4 05", None),
    ("- 5", None),
    ("--5", None),
    ("405.", None),
    ("405.0", None),
    ("4e2", None),
    ("4_05", None),
    ("0x10", None),
    ("٤٠٥", None),
    ("\uff14\uff10\uff15", None),
    ("4\x0005", None),
    ("", None),
    ("+", None),
]


@pytest.mark.parametrize(("text", "digits"), INTEGERS, ids=short)
def test_canonical_integer(text: str, digits: str | None) -> None:
    assert canonical_integer(text) == digits


@given(st.integers())
def test_canonical_integer_of_every_way_to_write_one(number: int) -> None:
    assert canonical_integer(str(number)) == canonical_integer(f" {number:,}\t") == str(number)


LONG = ["9" * 10**6, "1" + ",000" * 300_000, "0" * 10**6, "1,00" * 300_000, "-" * 10**6]


@pytest.mark.parametrize("text", LONG, ids=short)
def test_a_million_digits_take_a_moment(text: str) -> None:
    with within(0.5):
        canonical_integer(text)
