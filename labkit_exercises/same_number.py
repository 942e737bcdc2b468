"""Exercise of notebook 07: whether two texts write the same number."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from fractions import Fraction

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def same_number(answer: str, reference: str) -> bool:
    import re
    from fractions import Fraction

    number = r"-?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]+|/0*[1-9][0-9]*)?"

    def value(text: str) -> Fraction | None:
        text = text.strip()
        readable = len(text) <= 100 and re.fullmatch(number, text)
        return Fraction(text.replace(",", "")) if readable else None

    return value(answer) is not None and value(answer) == value(reference)


Reader = Callable[[str], Fraction | float | None]
Verifier = Callable[[str, str], bool]


def _read(text: str) -> Fraction | None:
    text = text.strip()
    number = r"-?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]+|/0*[1-9][0-9]*)?"
    return Fraction(text.replace(",", "")) if len(text) <= 100 and re.fullmatch(number, text) else None


def _commas_anywhere(text: str) -> Fraction | None:
    return _read(text.replace(",", ""))


def _constructor(text: str) -> Fraction | None:
    try:
        return Fraction(text.replace(",", ""))
    except (ValueError, ZeroDivisionError):
        return None


def _plain_constructor(text: str) -> Fraction | None:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None


def _float(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def _float_of_fraction(text: str) -> float | None:
    value = _read(text)
    return None if value is None else float(value)


def _last(pattern: str) -> Reader:
    def read(text: str) -> Fraction | None:
        numbers = re.findall(pattern, text.replace(",", ""))
        return Fraction(numbers[-1]) if numbers else None

    return read


def _equal(a: float | Fraction, b: float | Fraction) -> bool:
    return a == b


def _near(tolerance: float) -> Callable[[float | Fraction, float | Fraction], bool]:
    return lambda a, b: abs(a - b) < tolerance


def _by(read: Reader, equal: Callable[..., bool] = _equal) -> Verifier:
    def same(answer: str, reference: str) -> bool:
        a, b = read(answer), read(reference)
        return a is not None and b is not None and equal(a, b)

    return same


def _random_pair(generator: random.Random) -> Case:
    value = generator.randint(-3000, 3000)
    other = value + generator.choice([0, 0, 1])
    reference = generator.choice([f"{value}", f"{value:,}", f"{value}.0", f"{2 * value}/2"])
    answer = generator.choice([f"{other:,}", f"{other}.00", f"{other * 3}/3", f" {other}", f"{other} or {value}"])
    return Case((answer, reference))


EXERCISE = Exercise(
    name="same-number",
    title="The same number, written differently",
    notebook="07_verifiers",
    spec=(
        "Return True when `answer` and `reference` both write a number, and it is **exactly** the same one.\n\n"
        "- A number is: perhaps a `-`, then digits 0 to 9, plain (`1234`) or in groups of three (`1,234`), then "
        "perhaps `.` with decimals or `/` with a whole number that is not 0. Space around it does not matter.\n"
        "- Anything else is no number, and equal to nothing. `answer` was written by a model and may be any text: the "
        "function must not raise, and must not take long."
    ),
    stub="def same_number(answer: str, reference: str) -> bool:\n    raise NotImplementedError\n",
    reference=same_number,
    literal=(
        Case(("72", "72"), "the plain case"),
        Case(("72", "27"), "another number"),
        Case(("7.00", "7"), "the strings differ, the numbers do not"),
        Case(("1,234", "1234"), "a comma that groups thousands"),
        Case(("1,23", "123"), "a comma that groups nothing: perhaps 1.23 is meant"),
        Case(("1/2", "0.5"), "a fraction and a decimal"),
        Case(("0.3333333333", "1/3"), "near to a third is no third"),
        Case(("0.33", "1/3"), "rounded to two decimals"),
        Case(("10000000000000001", "10000000000000000"), "floats cannot tell these two apart"),
        Case(("-5", "5"), "the sign counts"),
        Case(("10-3", "-3"), "a minus between two numbers is no sign"),
        Case(("5 or 6", "6"), "two answers, of which one fits"),
        Case(("70 71 72 73", "72"), "many numbers, so that one will fit"),
        Case(("172", "72"), "the reference is a part of it"),
        Case(("1e3", "1000"), "the spec does not allow exponents: think of 1e999999999"),
        Case(("1_000", "1000"), "Python reads this, the spec does not"),
        Case(("٣", "3"), "a digit, but none of 0 to 9"),
        Case(("1/0", "1/0"), "no number at all"),
        Case(("nan", "nan"), "not a number"),
        Case(("", ""), "nothing is equal to nothing here"),
        Case(("seven", "seven"), "equal texts, but no number"),
        Case((" 72\n", "72"), "space around it"),
    ),
    random=_random_pair,
    misconceptions=(
        Misconception(
            "substring",
            lambda answer, reference: reference in answer,
            "It looks whether the reference stands somewhere in the answer. `172` holds 72, and whoever writes all "
            "numbers from 1 to 100 is always right: the policy will.",
            (lambda answer, reference: bool(reference.strip()) and reference.strip() in answer,),
        ),
        Misconception(
            "strings",
            lambda answer, reference: answer.strip() == reference.strip(),
            "Texts are compared, not numbers: `7.00` is no `7`, `1,234` no `1234`. Right answers go without reward, "
            "and `seven` equals `seven` though it is no number.",
            (lambda answer, reference: answer.replace(",", "").strip() == reference.replace(",", "").strip(),),
        ),
        Misconception(
            "last-number",
            _by(_last(r"-?[0-9]+(?:\.[0-9]+)?")),
            "The last number in the text is taken, whatever stands around it: `5 or 6` counts as 6, `10-3` as -3. Ask "
            "for the WHOLE text to be a number: `re.fullmatch`.",
            (_by(_last(r"-?[0-9]+")), _by(_last(r"-?\d+(?:\.\d+)?")), _by(_last(r"-?\d*\.?\d+"))),
        ),
        Misconception(
            "floats",
            _by(_float),
            "`float` is too lax and too coarse at once: it reads `1e3`, and 10000000000000001 becomes "
            "10000000000000000. Compare exactly, with `fractions.Fraction`, and say first what a number looks like.",
            (_by(_float, _near(1e-6)), _by(_float, math.isclose), _by(_float_of_fraction)),
        ),
        Misconception(
            "near-enough",
            _by(_read, _near(1e-6)),
            "Numbers that are near count as equal. Where a tolerance is meant, the reference should say so: here 0.33 "
            "is not 1/3, and rounding is what a policy learns when it pays.",
            (_by(_read, _near(0.01)), _by(_read, _near(1e-3)), _by(_float_of_fraction, math.isclose)),
        ),
        Misconception(
            "fraction-reads-more",
            _by(_constructor),
            "`Fraction(text)` reads more than the spec allows: `1e3` (and `1e999999999` keeps it busy for ever), "
            "`1_000`, digits of other scripts. Check the form with `re.fullmatch` and `[0-9]` before.",
            (_by(_plain_constructor),),
        ),
        Misconception(
            "commas-anywhere",
            _by(_commas_anywhere),
            "All commas are dropped, so that `1,23` becomes 123. For half of the world that is 1.23: a comma is "
            "allowed only where it groups three digits.",
        ),
    ),
    hints=(
        "Two steps: does the WHOLE text look like a number (a pattern with `re.fullmatch`), and only then, which one?",
        "Whole part: `[0-9]+` or `[0-9]{1,3}(?:,[0-9]{3})+`. Behind it perhaps `\\.[0-9]+`, or `/` and a number that "
        "is not only zeros. Mind that `\\d` matches digits of every script.",
        "`Fraction('1234.5')` and `Fraction('3/4')` are exact, once the commas are gone. Refuse texts that are very "
        "long, and write a helper that returns None for what is no number.",
    ),
    sources=("labkit.verifiers.number:verify",),
)
