r"""Reading one number in a short text that a model wrote: exactly, or not at all.

What is read: `72`, `-7.50`, `.5`, `1,234`, `1{,}234`, `11,\! 111`, `1'234`, `3/4`, `\frac34`, `½`, `2 1/2`, `1.5e3`,
`1.5 x 10^3`, `10³`, `0.(3)`, `|-5|`, `50%`, `\$5`, `3 million`, `2 dozen`, `$1.5M`, `5k`, `minus 5`, `18°C`, `24 cm²`,
`$36/day`; units and words around it; and the right side of an equation whose other sides, where they can be worked
out, say the same. The notations are made plain by `labkit.verifiers.notation`.

What is refused, each with a reason: two different numbers (`5 or 6`), sums that are still to be done (`10-3`, `84/7`,
`2^3`, `5!`, `√2`, `2\pi`, `5 squared`, `half of 10`), equations for an unknown (`2x = 10`), bounds (`at least 5`,
`<5`), denials (`not 5`), dates, times of day, versions, `3,5`, `1,23`, `0.333...`, number words, digits that are not
ASCII.

Values are exact fractions; every text is read in linear time, within `MAX_LENGTH` characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from labkit.verifiers.arithmetic import ExpressionError, evaluate_expression
from labkit.verifiers.notation import plain
from labkit.verifiers.score import quote
from labkit.verifiers.units import canonical_unit, read_unit
from labkit.verifiers.wording import AFTER, BEFORE, BEFORE_WINDOW, SCALE_WORD, SCALES, STARTS_AFTER

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
_SIMPLE = re.compile(rf"(?P<sign>[-+]?)(?P<dollar>\$?)(?P<digits>{_INTEGER}(?:\.[0-9]*)?)(?: (?P<word>[a-z]{{2,20}}))?")
_NUMERAL = re.compile(
    rf"(?P<sign>[-+]?)(?:(?P<whole>{_INTEGER})/(?P<under>{_INTEGER})|"
    rf"(?P<digits>{_INTEGER}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE](?P<power>[-+]?[0-9]{{1,6}}))?)"
)
# A clump is digits and all that is glued to them: either it is one number as a whole, or it is none.
# The power of a unit (`cm^2`) is none of its own.
_CLUMP = re.compile(
    r"(?<![0-9^])(?<!\^[-+])(?:(?<![\w)\]%.])[-+])?(?:(?<!\w)\.)?[0-9]"
    r"(?:[0-9.,:'^*+_!-]|/(?=[0-9])|[eE](?=[-+]?[0-9]))*"
)
_PROPER = re.compile(r"[0-9]+/[0-9]+")
_ENDLESS = re.compile(r"\.[0-9]+(?:\.\.|…)")

_COMPARED = re.compile(r"[<>!]=|=[<>/]|\\(?:leq?|geq?|neq?)\b")
_BECAUSE = re.compile(r",? (?:because|since)\b|, (?:as|so|not|which|where|i\.e\.|that is)", re.IGNORECASE)
_BRACKETED = re.compile(r"\((?!in (?:the )?(?:hundred|thousand|million|billion)s?\))[^()]*\)")
_EXPRESSION = re.compile(r"[-+*/^]\s?\(|\)\s?[-+*/^(0-9]|[0-9.]\s?\([-+*/ 0-9.]*\)|[A-Za-z]\([-+ 0-9.]*\)")
_BOUND = re.compile(
    r"(?:\b(?:not|never|neither|nor|than|least|most|between)\b|n't\b|~~|(?<![A-Za-z])[-/]|[-/](?![A-Za-z])|"
    r"[+*^<>≤≥≠±√∛∜_\\!¬]|\|(?=[-+.0-9]))[^=]*$"
)
_GLUED_BEFORE = re.compile(r"[\w\\][-+]?$|[\w.]\.$|(?:^|[^A-Za-z'’])[B-HJ-Zb-z]\s$")
_PERCENT = re.compile(r"\s?(?:%|percent(?:age points?)?\b|per cent\b|pct\b)")
_SCALED = re.compile(rf"[\s-]?({SCALE_WORD})", re.IGNORECASE)
_SUFFIX = re.compile(r"(?:([kKM])|\s?(MM|[mMbBtTkK]))(?![A-Za-z/^])")
_SUFFIXES = {"k": 3, "m": 6, "mm": 6, "b": 9, "t": 12}
_ENDINGS = frozenset("th st nd rd am pm pcs pts ppl".split())
_WORDS = re.compile(r"[\s-]?(?=[A-Za-zµμΩÅ¢])|\s?(?=/\s?[A-Za-z]| per )")
_SYMBOL = re.compile(r"[B-HJ-Zb-z](?![A-Za-z'’])")
_OPERATOR = re.compile(r"\s?(?:[*/^+√π∞<>≤≥±]|-\s?(?![aiAI]\b)[A-Za-z](?![A-Za-z']|\.\w))")
# An unknown with a factor, a power or a term next to it. A letter behind a number may be a unit (500 g + 200 g).
_ALGEBRA = re.compile(
    r"(?<![A-Za-z0-9_])[0-9.]+\s?\*?\s?[a-fijknopqru-z](?![A-Za-z(.])|^\s*[0-9.]+\s?[a-z]\s*$|"
    r"(?<![A-Za-z])(?<![0-9])(?<![0-9] )[a-z]\s?(?:\^|\*\*|[-+*/]\s?[0-9])|[0-9]\s?[-+*/]\s?[a-z](?![A-Za-z])|"
    r"\\(?:frac|sqrt)[^=]*?(?<![A-Za-z\\])[a-z](?![A-Za-z])"
)
_NAME_ALONE = re.compile(r"\s*[A-Za-z]\w{0,15}\s*")
_COMMAS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_DECIMAL = re.compile(r"(?<![0-9.])(?=\.?[0-9])([0-9]{0,40})(?:\.([0-9]{0,40})(%)?|(%))(?![0-9.])")


def read_number(text: str, prose: bool = False) -> Numeral:
    r"""The one number that a text states. Raises `UnreadableError`, and nothing else, where there is none.

    `prose=True` for text out of a sentence, where `5!` is an exclamation and reasons may follow (`72, since ...`).

    >>> read_number("7.00").value, read_number("1/2").value, read_number(r"11\frac{1}{2}").value
    (Fraction(7, 1), Fraction(1, 2), Fraction(23, 2))
    >>> read_number("$1,234 (in 2 days)"), read_number("24 cm²"), read_number("$1.5M").value
    (Numeral(value=Fraction(1234, 1), percent=False, unit='$'),
     Numeral(value=Fraction(24, 1), percent=False, unit='cm^2'), Fraction(1500000, 1))
    >>> read_number("x = 10 - 3 = 7").value
    Fraction(7, 1)
    >>> read_number("10-3")
    Traceback (most recent call last):
    ...
    labkit.verifiers.numerals.UnreadableError: holds '10-3', which is not one number
    """
    simple = _SIMPLE.fullmatch(text) if len(text) <= MAX_DIGITS else None  # "72" and "$72 clips", the commonest
    if simple:
        sign, dollar, digits, word = simple.groups()
        if word not in STARTS_AFTER:
            return Numeral(_decimal(sign + digits), False, (word and canonical_unit(word)) or dollar or None)
    if len(text) > MAX_LENGTH:
        raise UnreadableError(f"is longer than {MAX_LENGTH} characters")
    text, currency = plain(_BECAUSE.split(text, maxsplit=1)[0] if prose else text)
    *sides, last = _COMPARED.sub(" ≠ ", text.rpartition("≈")[2]).split("=")
    if sides and _NAME_ALONE.fullmatch(last):  # 5 = x
        last = sides.pop()
    if "\\" in last or "{" in last or "}" in last:
        raise UnreadableError("is a formula, not a number")
    if not last.strip() and sides:
        raise UnreadableError("ends with an equals sign")
    found = _read_side(last, prose, currency is not None)
    worked = [_check_side(side, found, first=index == 0) for index, side in enumerate(sides)]
    if sides and not any(worked) and _ALGEBRA.search(sides[0]):
        raise UnreadableError(f"is an equation for an unknown in {quote(sides[0].strip())}")
    return Numeral(found.value, found.percent, found.unit or currency)


def _read_side(text: str, prose: bool, money: bool) -> Numeral:
    """The one number of a text without an equals sign."""
    if _EXPRESSION.search(text):
        raise UnreadableError("is a sum still to be done")
    if "." in text and _ENDLESS.search(text):
        raise UnreadableError("goes on without an end, or is rounded")
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
    if before and _changes(before):
        raise UnreadableError(f"does not say just {quote(clumps[0].group())}")
    if not after or after.isspace():
        return Numeral(values[0])
    if re.search(r"\bor\b", after, re.IGNORECASE) or _BELOW.search(after):
        raise UnreadableError(f"does not say just {quote(clumps[0].group())}")
    if not prose and after.lstrip().startswith("!"):
        raise UnreadableError("is an expression, not a number")
    factor, percent, unit = _read_after(after, money)
    return Numeral(values[0] * factor, percent, unit)


_BELOW = re.compile(r"\bbelow\b", re.IGNORECASE)


def _changes(before: str) -> bool:
    """Whether the text before a number makes it something else: a bound, a denial, part of a sum or of a name."""
    return bool(
        _BOUND.search(before.lower())
        or BEFORE.search(before[-BEFORE_WINDOW:])
        or _GLUED_BEFORE.search(before)
        or re.search(r"\bor\b", before, re.IGNORECASE)
    )


def _read_after(after: str, money: bool) -> tuple[int, bool, str | None]:
    """What the text behind a number says about it: a factor, whether it is a per cent, and its unit."""
    factor = 1
    suffix = _SUFFIX.match(after)
    if suffix and (suffix[1] or money):
        factor = 10 ** _SUFFIXES[(suffix[1] or suffix[2]).lower()]
        after = after[suffix.end() :]
    for _ in range(4):
        scale = _SCALED.match(after)
        if scale is None:
            break
        factor *= SCALES.get(scale[1].lower()) or SCALES[scale[1].lower()[:-1]]
        after = after[scale.end() :]
    percent = _PERCENT.match(after)
    if percent:
        return factor, True, None
    if AFTER.match(after):
        raise UnreadableError("is an expression, not a number")
    words = _WORDS.match(after)
    if words is None:
        if _OPERATOR.match(after):
            raise UnreadableError("is an expression, not a number")
        return factor, False, None
    unit, rest = _read_words(after[words.end() :], glued=not words.group())
    if AFTER.match(rest) or _OPERATOR.match(rest):
        raise UnreadableError("is an expression, not a number")
    return factor, False, unit


def _read_words(text: str, glued: bool) -> tuple[str | None, str]:
    """The unit in the words behind a number, and what follows it; a symbol there makes a product."""
    if text[:1] in "/ ":  # $36/day, $36 per day
        _, end = read_unit("m" + text)
        if end <= 1:
            raise UnreadableError("is an expression, not a number")
        return None, text[end - 1 :]
    unit, end = read_unit(text)
    name = re.match(r"[^\W\d_]+", text)
    if unit is None and name and (_SYMBOL.match(text) or (glued and len(name[0]) < 4 and name[0] not in _ENDINGS)):
        raise UnreadableError("is an expression, not a number")
    return unit, text[end:]


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


def _check_side(side: str, found: Numeral, first: bool) -> bool:
    """Whether another side of the equation that ends in the number could be worked out; it must then say the same.

    The first side may be words or a name (`total for 3 days = 72`, `x = 5`); one in the middle may not.
    """
    try:
        other = evaluate_expression(_DECIMAL.sub(_as_quotient, _COMMAS.sub("", side)).strip(" :,"))[0]
    except ExpressionError:
        if not first and re.search(r"[0-9]", side):
            raise UnreadableError(f"has {quote(side.strip())} between two equals signs") from None
        return False
    if other != found.value and not (found.percent and other == found.value / 100):
        raise UnreadableError("says that two different numbers are equal")
    return True


def _as_quotient(decimal: re.Match[str]) -> str:
    """A decimal or a per cent as a division, which `evaluate_expression` reads."""
    places = decimal[2] or ""
    over = int(decimal[1] + places)
    return f"({over}/{10 ** (len(places) + 2 * bool(decimal[3] or decimal[4]))})"
