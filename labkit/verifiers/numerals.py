r"""Reading one number in a short text that a model wrote: exactly, or not at all.

What is read: `72`, `-7.50`, `.5`, `1,234`, `1{,}234`, `1\,234`, `1'234`, `3/4`, `\frac34`, `½`, `2 1/2`, `1.5e3`,
`1.5 \times 10^3`, `10³`, `50%`, `50 percent`, `\$5`, `3 million`, `5k`, `minus 5`; units and words around it; and
the right side of an equation whose other sides, where they can be worked out, say the same.

What is refused, each with a reason: two different numbers (`5 or 6`), sums that are still to be done (`10-3`,
`84/7`, `2^3`, `5!`, `2\pi`), bounds (`at least 5`, `<5`), denials (`not 5`), dates, times of day, versions,
`3,5`, `1,23`, number words, digits that are not ASCII.

Values are exact fractions; every text is read in linear time, within `MAX_LENGTH` characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from labkit.verifiers.arithmetic import ExpressionError, evaluate_expression
from labkit.verifiers.score import quote
from labkit.verifiers.units import canonical_unit

__all__ = ["MAX_DIGITS", "MAX_EXPONENT", "MAX_LENGTH", "Numeral", "UnreadableError", "read_number"]

MAX_LENGTH = 2_000
"""Characters of a text in which a number is sought."""
MAX_DIGITS = 1_000
MAX_EXPONENT = 400
"""Powers of ten beyond which a number is not read: 1e999999999 would fill the memory."""


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number as it was read.

    Attributes:
        value: the exact value of the digits; 50 for `50%`.
        percent: whether a per cent sign or word follows.
        unit: the unit's usual sign, if it is one that `labkit.verifiers.units` knows.
    """

    value: Fraction
    percent: bool = False
    unit: str | None = None


class UnreadableError(ValueError):
    """Why a text is no number, as a predicate: "holds two numbers, 5 and 6"."""


_INTEGER = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)"
_PLAIN = re.compile(rf"[-+]?{_INTEGER}(?:\.[0-9]*)?")
_SIMPLE = re.compile(rf"(?P<dollar>\$?)(?P<digits>{_INTEGER}(?:\.[0-9]+)?) (?P<word>[a-z]{{2,20}})")
_NUMERAL = re.compile(
    rf"(?P<sign>[-+]?)(?:(?P<whole>{_INTEGER})/(?P<under>{_INTEGER})|"
    rf"(?P<digits>{_INTEGER}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE](?P<power>[-+]?[0-9]{{1,6}}))?)"
)
# A clump is digits and all that is glued to them: either it is one number as a whole, or it is none.
_CLUMP = re.compile(r"(?:(?<![\w)\]%.])[-+])?\.?[0-9](?:[0-9.,:/'^*+_!-]|[eE](?=[-+]?[0-9]))*")
_PROPER = re.compile(r"[0-9]+/[0-9]+")

_SIGNS = str.maketrans(
    dict.fromkeys("−–‒﹣－", "-") | dict.fromkeys("×·⋅∗", "*") | dict.fromkeys("÷∕⁄", "/") | {"’": "'", "％": "%"}
)
_VULGAR = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_GROUP = re.compile(r"(?<=[0-9])(?:\{,\}|\\[,;:! ]|['\u00a0\u2009\u202f])(?=[0-9]{3}(?![0-9]))")
_STYLED = re.compile(r"\\(?:text|mathrm|mathbf|mathit|textbf|textit|operatorname|bf|rm)\s?\{([^{}]*)\}")
_LATEX_FRACTION = re.compile(
    r"(?P<before>[0-9]?)\s?\\[dtc]?frac\s?(?:\{\s?(-?[0-9.,]+)\s?\}|([0-9]))\s?(?:\{\s?([0-9.,]+)\s?\}|([0-9]))"
)
_POWER_OF_TEN = re.compile(
    r"(?P<by>(?<=[0-9.])\s?(?:\*|\\times|\\cdot|x)\s?)?(?<![0-9.,])10\s?\^\s?(?:\{\s?([-+]?[0-9]+)\s?\}|([-+]?[0-9]+))"
)
_LATEX_SPACE = re.compile(r"\\(?:left|right|displaystyle|quad|[,;:! ()\[\]])|~")
_DEGREES = re.compile(r"\^\s?\{?\\circ\}?|\\degree|\\circ|°")
_COMPARED = re.compile(r"[<>!]=|=[<>/]|\\(?:leq?|geq?|neq?)\b")
_BECAUSE = re.compile(r",? (?:because|since)\b|, (?:as|so|not|which|where)\b", re.IGNORECASE)
_MINUS_WORD = re.compile(r"\b(?:minus|negative)\s+(?=[0-9.$])", re.IGNORECASE)
_CURRENCY = re.compile(r"\\?[$€£¥₹]")
_BRACKETED = re.compile(r"\([^()]*\)")
_EXPRESSION = re.compile(r"[-+*/^]\s?\(|\)\s?[-+*/^(0-9]|[0-9]\s?\([-+*/ 0-9.]*\)|[A-Za-z]\([-+ 0-9.]*\)")
_BOUND = re.compile(
    r"(?:\b(?:not|than|least|most|nor|between|over|under|above|below|up to|half|third|quarter|twice|double|triple|"
    r"one of|log|ln|sin|cos|tan|sqrt|exp|% of)\b|n't\b|[-+*/^<>≤≥≠±√_\\|!¬])[^=]*$"
)
_GLUED_BEFORE = re.compile(r"[\w\\][-+]?$")
_AFTER = re.compile(
    r"\s?(?P<percent>%|percent\b|per cent\b)|\s?(?P<scale>hundred|thousand|million|billion|trillion)\b|"
    r"(?P<kilo>[kK])\b|\s?(?P<bad>[*/^+√π∞<>≤≥±_|]|squared\b|cubed\b|factorial\b|mod\b)|(?P<variable>[a-fijno-rt-zA-FIJNO-RT-Z]\b)"
)
_WORD = re.compile(r"[\s-]?([A-Za-z]+)(?![A-Za-z^/²³])")
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_MEANINGFUL = {*_SCALES, "percent", "per", "or", "squared", "cubed", "factorial", "mod"}


def read_number(text: str, prose: bool = False) -> Numeral:
    r"""The one number that a text states. Raises `UnreadableError`, and nothing else, where there is none.

    `prose=True` for text out of a sentence, where `5!` is an exclamation and reasons may follow (`72, since ...`).

    >>> read_number("7.00").value, read_number("1/2").value, read_number(r"11\frac{1}{2}").value
    (Fraction(7, 1), Fraction(1, 2), Fraction(23, 2))
    >>> read_number("$1,234 (in 2 days)")
    Numeral(value=Fraction(1234, 1), percent=False, unit='$')
    >>> read_number("x = 10 - 3 = 7").value
    Fraction(7, 1)
    >>> read_number("10-3")
    Traceback (most recent call last):
    ...
    labkit.verifiers.numerals.UnreadableError: holds '10-3', which is not one number
    """
    if _PLAIN.fullmatch(text) and len(text) <= MAX_DIGITS:
        return Numeral(_decimal(text))
    simple = _SIMPLE.fullmatch(text) if len(text) <= MAX_DIGITS else None  # "72 clips", the commonest
    if simple and simple["word"] not in _MEANINGFUL:
        return Numeral(_decimal(simple["digits"]), False, canonical_unit(simple["word"]) or simple["dollar"] or None)
    if len(text) > MAX_LENGTH:
        raise UnreadableError(f"is longer than {MAX_LENGTH} characters")
    text, currency = _normalise(_BECAUSE.split(text, maxsplit=1)[0] if prose else text)
    if "\\" in text or "{" in text or "}" in text:
        raise UnreadableError("is a formula, not a number")
    *sides, last = _COMPARED.sub(" ≠ ", text.rpartition("≈")[2]).split("=")
    if not last.strip() and sides:
        raise UnreadableError("ends with an equals sign")
    found = _read_side(last, prose)
    for index, side in enumerate(sides):
        _check_side(side, found.value, first=index == 0)
    return Numeral(found.value, found.percent, found.unit or currency)


def _normalise(text: str) -> tuple[str, str | None]:
    """Plain text with ASCII signs, and the sign of a currency that stood in it."""
    text = " ".join(text.translate(_SIGNS).split(" "))
    if not text.isascii():
        for sign, fraction in _VULGAR.items():
            text = text.replace(sign, f" {fraction}")
        text = re.sub(r"[⁰¹²³⁴-⁹⁻]+", lambda raised: f"^{{{raised.group().translate(_RAISED)}}}", text)
    text = _GROUP.sub(",", text)
    if "\\" in text:
        text = text.replace("\\%", "%").replace("\\approx", "≈").replace("\\times", "*").replace("\\cdot", "*")
        text = text.replace("\\pi", "π").replace("\\pm", "±").replace("\\dots", "...")
        text = _STYLED.sub(r" \1 ", text)
        text = _LATEX_FRACTION.sub(_plain_fraction, text)
        text = _LATEX_SPACE.sub(" ", _DEGREES.sub(" degrees ", text))
    text = _POWER_OF_TEN.sub(_plain_power, _DEGREES.sub(" degrees ", text))
    signs = [sign.lstrip("\\") for sign in _CURRENCY.findall(text)]
    # Two dollar signs are the brackets of a formula.
    currency = None if signs.count("$") % 2 == 0 and set(signs) <= {"$"} and "\\$" not in text else signs[-1]
    text = _MINUS_WORD.sub("-", _CURRENCY.sub("", text)).strip().strip('*_`"').strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    text = re.sub(r"^([-+])\s+(?=[0-9.])", r"\1", text)
    return re.sub(r"(?<=[0-9])\s*/\s*(?=[0-9])", "/", text), currency


def _plain_fraction(match: re.Match[str]) -> str:
    over, under = match[2] or match[3], match[4] or match[5]
    return f"{match['before']}{' ' if match['before'] else ''}{over}/{under}"


def _plain_power(match: re.Match[str]) -> str:
    power = match[2] or match[3]
    return f"e{power}" if match["by"] else f"1e{power}"


def _read_side(text: str, prose: bool) -> Numeral:
    """The one number of a text without an equals sign."""
    if _EXPRESSION.search(text):
        raise UnreadableError("is a sum still to be done")
    outside = _BRACKETED.sub(" ", text)
    text = outside if _CLUMP.search(outside) else text.replace("(", " ").replace(")", " ")
    clumps = list(_CLUMP.finditer(text))
    if not clumps:
        raise UnreadableError("holds no number")
    values = _values(text, clumps, prose)
    if len(values) > 1:
        raise UnreadableError(
            f"holds {len(values)} numbers, {quote(clumps[0].group())} and {quote(clumps[-1].group())}"
        )
    before, after = text[: clumps[0].start()], text[clumps[-1].end() :]
    bound = _BOUND.search(before.lower()) if before else None
    if bound or re.search(r"\bor\b", text, re.IGNORECASE) or _GLUED_BEFORE.search(before):
        raise UnreadableError(f"does not say just {clumps[0].group()}")
    value, percent = values[0], False
    if after:
        follows = _AFTER.match(after)
        if follows:
            if follows["bad"] or follows["variable"]:
                raise UnreadableError("is an expression, not a number")
            percent = bool(follows["percent"])
            scale = 3 if follows["kilo"] else _SCALES.get(follows["scale"] or "", 0)
            value *= 10**scale
            after = after[follows.end() :]
        word = _WORD.match(after)
        return Numeral(value, percent, canonical_unit(word[1]) if word else None)
    return Numeral(value, percent)


def _values(text: str, clumps: list[re.Match[str]], prose: bool) -> list[Fraction]:
    """The different values of the clumps; a whole number before a proper fraction makes one mixed number."""
    if len(clumps) == 2 and _PROPER.fullmatch(clumps[1].group()):
        between = text[clumps[0].end() : clumps[1].start()]
        whole, part = _value(clumps[0].group(), prose), _value(clumps[1].group(), prose)
        if between.strip() in ("", "and") and whole.denominator == 1 and 0 < part < 1:
            negative = clumps[0].group().startswith("-")
            return [whole - part if negative else whole + part]
    return list(dict.fromkeys(_value(clump.group(), prose) for clump in clumps[:50]))


def _value(clump: str, prose: bool) -> Fraction:
    numeral = clump.rstrip(".,:'-!" if prose else ".,:'-")
    if len(numeral) > MAX_DIGITS:
        raise UnreadableError(f"has more than {MAX_DIGITS} digits")
    match = _NUMERAL.fullmatch(numeral)
    if match is None:
        raise UnreadableError(f"holds {quote(numeral)}, which is not one number")
    if match["under"]:
        over, under = _decimal(match["sign"] + match["whole"]), _decimal(match["under"])
        if under == 0:
            raise UnreadableError("divides by zero")
        if under > 1 and (over / under).denominator == 1:
            raise UnreadableError(f"leaves the division {numeral} to be done")
        return over / under
    power = int(match["power"] or 0)
    if abs(power) > MAX_EXPONENT:
        raise UnreadableError(f"has a power of ten beyond {MAX_EXPONENT}")
    value = _decimal(match["sign"] + match["digits"])
    return value * 10**power if power >= 0 else value / 10**-power


def _decimal(text: str) -> Fraction:
    whole, _, places = text.replace(",", "").partition(".")
    return Fraction(int(whole + places)) if not places else Fraction(int(whole + places), 10 ** len(places))


def _check_side(side: str, value: Fraction, first: bool) -> None:
    """Another side of the equation that ends in the number: where it can be worked out it must say the same.

    The first side may be words or a name (`total for 3 days = 72`, `x = 5`); one in the middle may not.
    """
    try:
        other = evaluate_expression(side.strip(" :,"))[0]
    except ExpressionError:
        if not first and re.search(r"[0-9]", side):
            raise UnreadableError(f"has {quote(side.strip())} between two equals signs") from None
        return
    if other != value:
        raise UnreadableError("says that two different numbers are equal")
