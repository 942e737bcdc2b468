r"""Units, currencies and per cent signs around an expression: told apart from it, each with one spelling."""

from __future__ import annotations

import re

from labkit.verifiers.units import canonical_unit

__all__ = ["split_unit"]

_CURRENCY = re.compile(r"(-?) ?(\\\$|[$€£¥]) ?(?=[-0-9.\\])")
_PERCENT = re.compile(r" ?(?:\\?%|\\text ?\{ ?per ?cent ?\}|(?<=[0-9 ])per ?cent)$")
_DEGREES = re.compile(r" ?° ?(?:\\text ?\{ ?)?([CF]?) ?\}?$")
_TEXT = re.compile(r" ?\\text ?\{([^{}]*)\} ?(?:\^ ?\{? ?([0-9]) ?\}?)?$")
_PLAIN = re.compile(r"(?<=[0-9})]) ?([A-Za-z]+(?:[ /][A-Za-z]+)*)\.? ?(?:\^ ?\{? ?([23]) ?\}?)?$")
_MATHS = frozenset("pi sin cos tan log ln sqrt exp oo inf infinity".split())
_POWERS = (("square ", "2"), ("sq. ", "2"), ("sq ", "2"), ("cubic ", "3"), ("cu ", "3"))


def split_unit(text: str) -> tuple[str, str]:
    r"""An answer without its unit, and the unit in one spelling ("" when it has none that is known).

    Words behind a number count as its unit; one or two letters do only when they are a known unit set apart by a
    space or by `\text`, for `3x` and `2ab` are products. `text` is as `labkit.verifiers.math.latex.tidy` gives it.

    >>> split_unit(r"3\text{ centimeters}"), split_unit("$5"), split_unit("50%")
    (('3', 'cm'), ('5', '$'), ('50', '%'))
    >>> split_unit("12 cm^2"), split_unit("90°"), split_unit("7 apples"), split_unit("3x")
    (('12', 'cm^2'), ('90', 'degree'), ('7', ''), ('3x', ''))
    """
    text = text.strip()
    currency = _CURRENCY.match(text)
    if currency:
        rest = split_unit(text[currency.end() :])[0]
        return currency.group(1) + rest, currency.group(2).lstrip("\\")
    percent = _PERCENT.search(text)
    if percent and percent.start():
        return text[: percent.start()], "%"
    degrees = _DEGREES.search(text)
    if degrees and degrees.start():
        return text[: degrees.start()], "degree" + degrees.group(1)
    named = _TEXT.search(text)
    if named and named.start():
        return text[: named.start()], _unit(named.group(1), named.group(2))
    plain = _PLAIN.search(text)
    if plain and _is_unit(plain.group(1), spaced=text[plain.start()] == " "):
        return text[: plain.start()], _unit(plain.group(1), plain.group(2))
    return text, ""


def _is_unit(words: str, spaced: bool) -> bool:
    if any(word in _MATHS or (len(word) == 1 and not canonical_unit(word)) for word in words.lower().split()):
        return False
    if canonical_unit(words):
        return spaced or len(words) > 1
    return spaced and len(words) > 2


def _unit(words: str, power: str | None) -> str:
    name = " ".join(words.lower().split()).strip(" .").replace(" per ", "/")
    for prefix, exponent in _POWERS:
        if name.startswith(prefix):
            name, power = name.removeprefix(prefix), exponent
    parts = [canonical_unit(part.strip()) for part in name.split("/")]
    if None in parts:
        return ""
    return "/".join(parts) + (f"^{power}" if power else "")  # type: ignore[arg-type]
