r"""Numbers by their digits: thousands, decimals that repeat, and numbers in another base than ten.

`0.1\overline{6}`, `0.1\dot{6}`, `0.1(6)` and `0.1666...` are 1/6. Three dots say that the digits go on as they began,
so they are read where the digits before them show how: at least three times the same digit, or a block of digits
twice. `0.12...` and `3.14159...` show nothing and are refused.
"""

from __future__ import annotations

import re

__all__ = ["based_number", "is_grouped", "mixed_in_words", "plain_numbers"]

_GROUPED = re.compile(r"[-+]?(?:\\?\$)? ?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?(?![0-9,])[^,;∨∧]*")
_SPACED = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?: [0-9]{3})+(?![0-9])(?! ?/)")
_DOTTED = re.compile(r"\\dot ?\{? ?([0-9]) ?\}?([0-9]{0,20})\\dot ?\{? ?([0-9]) ?\}?")
_REPEATING = re.compile(
    r"([0-9]{0,20})\.([0-9]{0,20})(?:\\(?:overline|dot) ?(?:\{ ?([0-9]{1,20}) ?\}|([0-9]))|\(([0-9]{1,20})\))"
)
_GOES_ON = re.compile(r"([0-9]{0,20})\.([0-9]{3,40}) ?\.\.\.(?![0-9.])")
_AND_A_PART = re.compile(
    r"(?<=[0-9]) ?(?:\\text ?\{ ?)?and (a|one|two|three)[ -](half|thirds?|quarters?|fifths?) ?(?:\}|(?=\b))"
)
_COUNTS = {"a": 1, "one": 1, "two": 2, "three": 3}
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fifth": 5}
_BASES = {
    word: base
    for base, word in enumerate(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split(), start=2
    )
} | {"binary": 2, "octal": 8, "decimal": 10, "hexadecimal": 16}
_DIGITS = r"(-?[0-9][0-9A-Z]*(?:\.[0-9A-Z]+)?)\}?"
_BASE = r"([0-9]{1,2}|[a-z]{3,11}) ?[)}]*"
_SUBSCRIPT = re.compile(rf"{_DIGITS} ?_ ?(?:\{{ ?)?(?:\\text ?)?[{{(]* ?(?:base[ -]?)?{_BASE}")
_PHRASE = re.compile(rf"{_DIGITS} ?\(?(?:\\text ?\{{)? ?\(?(?:in )?base[ -]?{_BASE}")


def is_grouped(text: str) -> bool:
    """Whether the commas of a text only group the thousands of one number, whatever follows it.

    >>> is_grouped("1,234.5 cm"), is_grouped("1,234,5"), is_grouped("12,34")
    (True, False, False)
    """
    return _GROUPED.fullmatch(text) is not None


def plain_numbers(text: str) -> str:
    r"""The text with its thousands joined and its repeating decimals as fractions.

    >>> plain_numbers("1,234"), plain_numbers("1 000 4/9"), plain_numbers(r"0.1\overline{6}"), plain_numbers("0.333...")
    ('1234', '1000 4/9', '\\frac{15}{90}', '\\frac{3}{9}')
    >>> plain_numbers(r"0.\dot{1}4285\dot{7}"), plain_numbers("3.14159...")
    ('\\frac{142857}{999999}', '3.14159...')
    """
    if "," in text and is_grouped(text):
        text = text.replace(",", "")
    if " " in text:
        text = _SPACED.sub(lambda found: found.group().replace(" ", ""), text)
    if "." in text:
        text = _DOTTED.sub(r"\\overline{\1\2\3}", text)
        text = _REPEATING.sub(lambda found: _fraction(found[1], found[2], found[3] or found[4] or found[5]), text)
        text = _GOES_ON.sub(_going_on, text)
    return text


def _fraction(whole: str, fixed: str, repeated: str) -> str:
    """With n digits before the r that repeat: over 10^n (10^r - 1)."""
    whole = whole or "0"
    over = int(whole + fixed + repeated) - int(whole + fixed)
    return f"\\frac{{{over}}}{{{10 ** len(fixed) * (10 ** len(repeated) - 1)}}}"


def _going_on(found: re.Match[str]) -> str:
    whole, digits = found[1], found[2]
    for period in range(1, len(digits) // 2 + 1):
        length = period
        while length < len(digits) and digits[-1 - length] == digits[-1 - length + period]:
            length += 1
        if length >= max(3, 2 * period):
            start = len(digits) - length
            return _fraction(whole, digits[:start], digits[start : start + period])
    return found.group()


def mixed_in_words(text: str) -> str:
    r"""`2 and a half` and `2 \text{ and three quarters}` as mixed numbers.

    >>> mixed_in_words("2 and a half"), mixed_in_words(r"2 \text{ and three quarters}")
    ('2\\frac{1}{2}', '2\\frac{3}{4}')
    """

    def fraction(found: re.Match[str]) -> str:
        return f"\\frac{{{_COUNTS[found.group(1)]}}}{{{_PARTS[found.group(2).rstrip('s')]}}}"

    return _AND_A_PART.sub(fraction, text)


def based_number(text: str) -> str | None:
    r"""`2516_8` for every spelling of a number in base 8; the digits alone in base ten; None for what is none.

    >>> based_number(r"2516_{\text{eight}}"), based_number("1101 (base 2)"), based_number("7_{10}")
    ('2516_8', '1101_2', '7')
    >>> based_number("2516_x"), based_number("29_8"), based_number("12")
    (None, None, None)
    """
    if "_" not in text and "base" not in text:
        return None
    text = text.strip().removeprefix("{")
    found = _SUBSCRIPT.fullmatch(text) or _PHRASE.fullmatch(text)
    if found is None:
        return None
    digits, name = found.groups()
    base = int(name) if name.isdigit() else _BASES.get(name, 0)
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in digits if digit not in "-."):
        return None
    return digits if base == 10 else f"{digits}_{base}"
