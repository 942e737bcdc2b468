r"""One number: exact, however it is written. For GSM8K and every task whose answer is a number.

Where the number is looked for: `labkit.verifiers.extract` (the last number of the text where no answer is
marked). How it is read: `labkit.verifiers.numerals`. When it is right:

- **Rounding: none.** Values are exact fractions: `7.00` is 7, `1/3` is not `0.33`. A reference may allow more:
  `"3.14 ± 0.01"` says how much, and a float is right for every number that rounds to the same float (so 1/3 for
  the float 0.3333333333333333).
- **Per cent** is a unit or a hundredth: `50%` is right for 50 and for 1/2, and 50 or 1/2 for `"50%"`. Two per
  cents are compared as written, and without the sign 50 is not 1/2.
- **Units** and words around the number are not judged, unless answer and reference both carry a known unit:
  `5 m` is not `"5 km"`, and nothing is converted.
- **Claims**: two boxes with different numbers, `5 or 6`, `not 5`, `at least 5`, sums still to be done score 0.
"""

from __future__ import annotations

import functools
import math
import numbers
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.extract import MISSING, find_claims
from labkit.verifiers.numerals import MAX_DIGITS, Numeral, UnreadableError, read_number
from labkit.verifiers.score import Score, quote

__all__ = ["extract_number", "verify"]

_POUNDS = {"£", "lb"}  # "pounds" are money as well as a weight
_MAX_BITS = 3320  # what a thousand digits take


@dataclass(frozen=True, slots=True)
class _Target:
    """What is right: a numeral, within a tolerance, or all that rounds to a float."""

    numeral: Numeral
    tolerance: Fraction = Fraction(0)
    double: float | None = None

    def holds(self, value: Fraction) -> bool:
        if value == self.numeral.value:
            return True
        if self.double is not None:
            return _as_float(value) == self.double
        return abs(value - self.numeral.value) <= self.tolerance if self.tolerance else False


def verify(completion: str, reference: Any) -> Score:
    r"""Judge a number: reward 1.0 when every final claim is the reference, else 0.0.

    `reference` is a number, or a string that can be read as one (`"1,234"`, `"3/4"`, `"50%"`, `"5 km"`,
    `"3.14 ± 0.01"`, or a GSM8K solution that ends in `#### 72`); anything else raises `UserError`. `parts`:
    `parsed` (a number was read) and `value`, each 0 or 1.

    >>> verify("48 / 2 = 24, so 48 + 24 = 72 clips.\n#### 72", "72").reward
    1.0
    >>> [verify(text, 72).reward for text in ("72.00", r"\boxed{\$72}", "The answer is 72 (in 2 days).")]
    [1.0, 1.0, 1.0]
    >>> verify("10-3", -3).reason
    "'10-3' holds '10-3', which is not one number"
    >>> verify(r"\boxed{71} or \boxed{72}", 72).reason
    'two different final answers: 71 and 72'
    >>> verify("1/2", 2).reason
    'the answer is 1/2, not 2'
    """
    target = _read_reference(reference)
    texts, found, fault = _read_claims(completion)
    if fault is not None:
        return Score(0.0, fault, texts[-1] if texts else None, {"parsed": 0.0, "value": 0.0})
    wrong = next((numeral for numeral in found if not _is_right(numeral, target)), None)
    right = {"parsed": 1.0, "value": float(wrong is None)}
    if wrong is None:
        return Score(1.0, f"the answer is {_show(target.numeral)}", texts[-1], right)
    other = next((n for n in found if (n.value, n.percent) != (found[0].value, found[0].percent)), None)
    if other is not None:
        return Score(0.0, f"two different final answers: {_show(found[0])} and {_show(other)}", texts[-1], right)
    return Score(0.0, f"the answer is {_show(wrong)}, not {_show(target.numeral)}", texts[-1], right)


def extract_number(completion: str) -> Fraction | None:
    r"""The number that a completion answers, exact; None where it answers none, or two different ones.

    It compares with ints, Fractions and floats as it is; `50%` gives 50.

    >>> extract_number("48 + 24 = 72 clips.\n#### 72"), extract_number(r"so \boxed{\frac{3}{4}}")
    (Fraction(72, 1), Fraction(3, 4))
    >>> extract_number("It costs $1.5M."), extract_number("at least 5"), extract_number(r"\boxed{1} or \boxed{2}")
    (Fraction(1500000, 1), None, None)
    """
    found = _read_claims(completion)[1]
    return found[0].value if len({(numeral.value, numeral.percent) for numeral in found}) == 1 else None


def _read_claims(completion: str) -> tuple[tuple[str, ...], list[Numeral], str | None]:
    """The final claims of a completion, the number of each, and why there is none (then the numbers are empty)."""
    kind, texts = find_claims(completion, fallback="number")
    if not texts:
        return texts, [], MISSING[kind]
    found: list[Numeral] = []
    for text in texts:
        try:
            found.append(read_number(text, kind in ("sentence", "number")))
        except UnreadableError as error:
            return (text,), [], f"{quote(text)} {error}"
    return texts, found, None


def _is_right(answer: Numeral, target: _Target) -> bool:
    wanted = target.numeral
    if answer.unit and wanted.unit and answer.unit != wanted.unit and {answer.unit, wanted.unit} != _POUNDS:
        return False
    if target.holds(answer.value):
        return True
    if answer.percent and not wanted.percent:
        return target.holds(answer.value / 100)
    return wanted.percent and not answer.percent and target.holds(answer.value * 100)


def _read_reference(reference: Any) -> _Target:
    if type(reference) is int and reference.bit_length() <= _MAX_BITS:
        return _Target(Numeral(Fraction(reference)))
    if isinstance(reference, str):
        target = _read_text(reference) if len(reference) <= 20_000 else None
    else:
        target = _read_value(reference)
    if target is None:
        raise UserError(
            'a number reference is a number, or a string with one, such as 72, "3/4", "50%" or "3.14 +- 0.01", of at '
            f"most {MAX_DIGITS} digits; got a {type(reference).__name__}"
            + (f": {quote(reference)}" if isinstance(reference, str) else "")
        )
    return target


@functools.lru_cache(maxsize=4096)
def _read_text(text: str) -> _Target | None:
    text = text.rpartition("####")[2].strip()
    for sign in ("\\pm", "+/-", "+-"):
        text = text.replace(sign, "±")
    number, plus_minus, tolerance = text.partition("±")
    try:
        numeral = read_number(number.strip())
        return _Target(numeral, abs(read_number(tolerance.strip()).value) if plus_minus else Fraction(0))
    except UnreadableError:
        return None


def _read_value(value: Any) -> _Target | None:
    # bool is an int, and never meant as one here; numpy's numbers register with these classes.
    if isinstance(value, bool):
        return None
    if isinstance(value, numbers.Rational):
        exact = Fraction(int(value.numerator), int(value.denominator))
        small = max(exact.numerator.bit_length(), exact.denominator.bit_length()) <= _MAX_BITS
        return _Target(Numeral(exact)) if small else None
    if isinstance(value, numbers.Real) and math.isfinite(value):
        return _Target(Numeral(Fraction(repr(float(value)))), double=float(value))
    return None


def _as_float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _show(numeral: Numeral, limit: int = 40) -> str:
    text = str(numeral.value)
    text = (text if len(text) <= limit else text[:limit] + "...") + ("%" if numeral.percent else "")
    return text if numeral.unit is None else f"${text}" if numeral.unit == "$" else f"{text} {numeral.unit}"
