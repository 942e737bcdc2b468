"""One number, however it is written: what is read, what is refused, and that no text is too much."""

import json
import math
import re
import subprocess
import sys
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import UserError
from labkit.verifiers.number import extract_number, verify
from labkit.verifiers.numerals import MAX_DIGITS, MAX_LENGTH, UnreadableError, read_number
from tests.verifiers.hostile import check_every_score, short
from tests.verifiers.number_cases import NONE, NUMBERS, PLACES, SENTENCES

READ = [
    ("72", "72"),
    ("-72", "-72"),
    ("+72", "72"),
    ("7.00", "7"),
    ("7.", "7"),
    (".5", "1/2"),
    ("1,234.5", "1234.5"),
    ("1{,}234", "1234"),
    ("1\\,234\\,567", "1234567"),
    ("1'234", "1234"),
    ("1\u202f234", "1234"),
    ("3/4", "3/4"),
    ("-3/4", "-3/4"),
    ("3 / 4", "3/4"),
    ("\\frac34", "3/4"),
    ("\\tfrac{-3}{4}", "-3/4"),
    ("-\\dfrac{3}{4}", "-3/4"),
    ("11\\frac12", "23/2"),
    ("2 1/2", "5/2"),
    ("-2 1/2", "-5/2"),
    ("2 and 1/2", "5/2"),
    ("2½", "5/2"),
    ("1e3", "1000"),
    ("1.5E-2", "0.015"),
    ("1.5 \\times 10^{-2}", "0.015"),
    ("1.5 * 10^3", "1500"),
    ("10^6", "1000000"),
    ("10⁻²", "0.01"),
    ("50%", "50"),
    ("$1,234.50", "1234.5"),
    ("\\$5", "5"),
    ("-$5", "-5"),
    ("$5$", "5"),
    ("\\(5\\)", "5"),
    ("5k", "5000"),
    ("2.5 million dollars", "2500000"),
    ("negative 5", "-5"),
    ("- 5", "-5"),
    ("5 km", "5"),
    ("5-year", "5"),
    ("3\\text{ cm}", "3"),
    ("45^\\circ", "45"),
    ("\\textbf{72}", "72"),
    ("x = 5", "5"),
    ("2+3 = 5", "5"),
    ("1/3 ≈ 0.33", "0.33"),
    ("total for 3 days = 72", "72"),
    ("72 (in 2 days)", "72"),
    ("(72)", "72"),
    ("(-72)", "-72"),
    ("{minus 72}", "-72"),
    ("|-72|", "72"),
    ("0.(3)", "1/3"),
    ("0.1\\overline{6}", "1/6"),
    ("5 = x", "5"),
    ("S_{10} = 55", "55"),
    ("3 x 4 = 12", "12"),
    ("0.5 * 9 = 4.5", "9/2"),
    ("13/25 x 100% = 52%", "52"),
    ("72 and 72.0", "72"),
    ("9" * MAX_DIGITS, "9" * MAX_DIGITS),
]
REFUSED = [
    ("", "no number"),
    ("seven", "no number"),
    ("٣", "no number"),
    ("10-3", "'10-3'"),
    ("2+3", "'2+3'"),
    ("2 + 3", "2 numbers"),
    ("84/7", "leaves the division"),
    ("1/0", "divides by zero"),
    ("2^3", "'2^3'"),
    ("9**9**9", "'9**9**9'"),
    ("5!", "'5!'"),
    ("2(3)", "sum still to be done"),
    ("-(5)", "sum still to be done"),
    ("2\\pi", "expression"),
    ("5x", "expression"),
    ("5 * y", "expression"),
    ("\\sqrt{2}", "formula"),
    ("\\{5\\}", "formula"),
    ("\\frac{x}{2}", "formula"),
    ("5 or 6", "2 numbers"),
    ("72 or so", "does not say just"),
    ("not 72", "does not say just"),
    ("isn't 72", "does not say just"),
    ("at least 72", "does not say just"),
    ("> 72", "does not say just"),
    ("x >= 72", "does not say just"),
    ("x != 72", "does not say just"),
    ("half of 72", "does not say just"),
    ("log 72", "does not say just"),
    ("f(72)", "sum still to be done"),
    ("72 squared", "expression"),
    ("x2", "does not say just"),
    ("covid-19", "does not say just"),
    ("1,23", "'1,23'"),
    ("1,2", "'1,2'"),
    ("1.234,56", "one number"),
    ("1 234", "2 numbers"),
    ("10:30", "'10:30'"),
    ("3/4/2024", "'3/4/2024'"),
    ("1.2.3", "'1.2.3'"),
    ("1_000", "'1_000'"),
    ("x=5, y=6", "between two equals signs"),
    ("2+3=6", "two different numbers are equal"),
    ("0.5*9 = 4", "two different numbers are equal"),
    ("2x = 10", "equation for an unknown in '2x'"),
    ("x + 3 = 5", "equation for an unknown"),
    ("x^2 = 25", "equation for an unknown"),
    ("\\frac{x}{2} = 5", "equation for an unknown"),
    ("0.333...", "goes on without an end"),
    ("5 squared", "expression"),
    ("5 km/x", "expression"),
    ("2 \\text{e}", "expression"),
    ("5 degrees below zero", "does not say just"),
    ("ten minus 5", "does not say just"),
    ("5 (in thousands)", "expression"),
    ("~~5~~", "does not say just"),
    ("5=", "equals sign"),
    ("1e999999999", "one number"),
    ("1e5000", "power of ten"),
    ("9" * (MAX_DIGITS + 1), f"more than {MAX_DIGITS} digits"),
    ("9" * MAX_LENGTH + "9", f"longer than {MAX_LENGTH}"),
]


@pytest.mark.parametrize(("text", "value"), READ, ids=short)
def test_read(text: str, value: str) -> None:
    assert read_number(text).value == Fraction(value)


@pytest.mark.parametrize(("text", "words"), REFUSED, ids=short)
def test_refused_with_its_reason(text: str, words: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_number(text)
    assert words in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize(("completion", "wrong"), [("7.00", 0), ("1/2", 2), ("10-3", -3), ("72 (in 2 days)", 2)])
def test_the_four_traps_of_a_rule_that_takes_the_last_number_as_a_string(completion: str, wrong: int) -> None:
    right = {"7.00": "7", "1/2": "0.5", "72 (in 2 days)": "72"}.get(completion)
    for text in (completion, f"#### {completion}", f"The answer is {completion}.", f"<answer>{completion}</answer>"):
        assert verify(text, wrong).reward == 0.0
        assert right is None or verify(text, right).reward == 1.0


REFERENCES = [
    (5, "5", 1.0),
    (5.0, "5", 1.0),
    (1 / 3, "1/3", 1.0),
    (1 / 3, "0.33", 0.0),
    (1e300, "1e300", 1.0),
    (Fraction(1, 3), "1/3", 1.0),
    (np.int64(5), "5", 1.0),
    (np.float32(0.5), "0.5", 1.0),
    ("3.14 ± 0.01", "3.15", 1.0),
    ("3.14 +- 0.01", "3.151", 0.0),
    ("3.14 +/- 1%", "5", 0.0),
    ("48 / 2 = 24\n#### 1,024", "1024", 1.0),
    ("50%", "1/2", 1.0),
    ("50%", "50", 1.0),
    ("50%", "0.5%", 0.0),
    ("5 km", "5 kilometers", 1.0),
    ("5 km", "5 m", 0.0),
    ("5 km", "5 clips", 1.0),
    ("24 cm^2", "24 cm²", 1.0),
    ("24 cm^2", "24 square centimeters", 1.0),
    ("24 cm^2", "24 cm", 0.0),
    ("60 km/h", "60 kilometers per hour", 1.0),
    ("60 km/h", "60 mph", 0.0),
    ("18 °C", "18 degrees Celsius", 1.0),
    ("18 °C", "18 °F", 0.0),
    ("$36", "$36/day", 1.0),
    ("$36", "36 dollars per day", 1.0),
    ("$36", "36 €", 0.0),
    ("£5", "5 pounds", 1.0),
    ("$1.5 million", "$1.5M", 1.0),
    ("$1.5 million", "$1.5", 0.0),
    ("2 dozen", "24", 1.0),
    ("2 dozen", "2", 0.0),
]


@pytest.mark.parametrize(("reference", "answer", "reward"), REFERENCES, ids=short)
def test_references(reference: object, answer: str, reward: float) -> None:
    assert verify(f"<answer>{answer}</answer>", reference).reward == reward


BAD = [None, True, "", "x", "5 or 6", [5], {"value": 5}, math.nan, math.inf, 1j, 10**5000, "9" * 5000, "5 ± x", b"5"]


@pytest.mark.parametrize("reference", BAD, ids=short)
@pytest.mark.parametrize("completion", ["", "5"])
def test_a_malformed_reference_is_the_users_mistake(completion: str, reference: object) -> None:
    with pytest.raises(UserError, match="a number reference is a number") as caught:
        verify(completion, reference)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("completion", "reward"),
    [
        ("The answer is 72, because 70 + 2 is that.", 1.0),
        ("The answer is 72 since there were 3 of 24.", 1.0),
        ("The answer is 72, not 71.", 1.0),
        ("The answer is 71, not 72.", 0.0),
        ("The answer is 71, since 72 is wrong.", 0.0),
        ("The answer is 72, 73.", 0.0),
        ("The answer is 5 apples and 72 pears.", 0.0),
        ("The answer is not 71, since it is 72.", 0.0),
        ("The answer is 72!", 1.0),
        ("Answer: 72", 1.0),
        ("It makes about 72 km/h", 1.0),
    ],
)
def test_reasons_behind_a_number_are_not_the_number(completion: str, reward: float) -> None:
    assert verify(completion, 72).reward == reward


@pytest.mark.parametrize("text", [*NUMBERS, *NONE], ids=short)
def test_in_every_place_a_number_is_read_whole_or_refused(text: str) -> None:
    value = Fraction(NUMBERS[text]) if text in NUMBERS else None
    assert {place: extract_number(place.replace("{}", text)) for place in PLACES} == dict.fromkeys(PLACES, value)


@pytest.mark.parametrize("text", SENTENCES, ids=short)
def test_replies_without_marks(text: str) -> None:
    value = SENTENCES[text]
    assert extract_number(text) == (None if value is None else Fraction(value))


@given(st.integers(2, 999), st.sampled_from(NONE), st.sampled_from(PLACES))
@settings(max_examples=300, deadline=None)
def test_no_part_of_what_is_refused_is_ever_paid(number: int, text: str, place: str) -> None:
    digits = re.findall(r"[0-9]+", text)
    changed = re.sub(r"[0-9]+", lambda found: str(int(found[0]) + number), text)
    for shown in re.findall(r"[0-9]+", changed) if digits and not re.search(r"[0-9] ?[:/.,] ?[0-9]", text) else []:
        assert verify(place.replace("{}", changed), shown).reward == 0.0, changed


def test_the_number_itself() -> None:
    assert extract_number("It costs $1.5M, that is all.") == 1_500_000 and extract_number("so 50%") == 50
    assert extract_number(r"\boxed{1/2} = \boxed{0.5}") == 0.5
    assert extract_number(r"\boxed{1} or \boxed{2}") is extract_number("50% \\boxed{x}") is extract_number("") is None


def test_two_final_answers_are_none() -> None:
    score = verify(r"\boxed{71} or \boxed{72}", 72)
    assert (score.reward, score.reason) == (0.0, "two different final answers: 71 and 72")
    assert verify(r"\boxed{72} = \boxed{72.0} = \boxed{\frac{144}{2.0}}", 72).reward == 0.0  # a division to be done
    assert verify(r"\boxed{1/2} = \boxed{50\%}", "0.5").reward == 1.0


WAYS = [
    "{0}",
    "{0:,}",
    "{0}.0",
    "{0}.",
    "#### {0}",
    "The answer is {0}.",
    "<answer> {0} </answer>",
    "\\boxed{{{0}}}",
    "$\\boxed{{{0:,}}}$",
    "It costs ${0} in total.",
    "so it makes {0} clips",
    "<think>41</think>{0}",
    "**{0}**",
    "1 + 1 = 2, then {0}",
]


@given(st.integers(-(10**30), 10**30), st.sampled_from(WAYS), st.integers(-2, 2))
@settings(max_examples=500, deadline=None)
def test_every_integer_in_every_dress_is_read_exactly(number: int, way: str, off: int) -> None:
    assert verify(way.format(number), number + off).reward == float(off == 0)


@given(st.fractions(max_denominator=10**6), st.booleans())
@settings(max_examples=300, deadline=None)
def test_every_fraction(value: Fraction, latex: bool) -> None:
    text = f"\\frac{{{value.numerator}}}{{{value.denominator}}}" if latex and value.denominator > 1 else str(value)
    assert verify(f"<answer>{text}</answer>", str(value)).reward == 1.0
    assert verify(f"<answer>{text}</answer>", str(value + 1)).reward == 0.0


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4))
@settings(max_examples=300, deadline=None)
def test_every_decimal_and_its_float(value) -> None:
    text = f"{value:f}"
    assert verify(text, text).reward == verify(text, float(value)).reward == 1.0


@given(st.text(), st.integers(-99, 99))
@settings(max_examples=300, deadline=None)
def test_every_text_gets_a_sound_score_and_always_the_same(text: str, number: int) -> None:
    for completion in (text, f"<answer>{text}</answer>", f"\\boxed{{{text}}}"):
        score = verify(completion, number)
        assert score.reward in (0.0, 1.0) and score.reason.isprintable() and score == verify(completion, str(number))
        json.dumps(score.extracted)


def test_no_hostile_text_raises_or_takes_long() -> None:
    check_every_score(verify, 72)
    check_every_score(verify, "3.14 ± 0.01", count=2_000, megabytes=False)


@pytest.mark.parametrize("piece", ["1", "<think></think>", "<answer>1</answer>", "\\boxed{1 ", "\\boxed{1}", "1 "])
def test_memory_stays_bounded(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    tracemalloc.start()
    try:
        verify(text, 72)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20


SPEED = """
import sys, time, types
package = types.ModuleType("labkit"); package.__path__ = ["labkit"]; sys.modules["labkit"] = package
from labkit.verifiers.number import extract_number, verify
work = "First she sold 48 clips. Then half as many, so 48 / 2 = 24 clips. Altogether 48 + 24 is the sum.\\n" * 2
tails = ["#### {}", "The answer is {}.", "So she sold {} clips.", "\\\\boxed{{{}}}", "<answer>${}.50</answer>"]
texts = [work + tails[k % 5].format(k) for k in range(5000)]
for _ in range(3):
    start = time.process_time()
    rewards = [verify(text, "72").reward for text in texts]
    print(len(texts) / (time.process_time() - start))
assert sum(rewards) == 1  # 72 once
"""


def test_ten_thousand_per_second_on_one_core() -> None:
    # In a process of its own: here the types of every call are checked. A neighbour on the same core may halve it.
    root = __file__.rpartition("/tests/")[0]
    ran = subprocess.run([sys.executable, "-c", SPEED], cwd=root, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert max(map(float, ran.stdout.split())) > 10_000
