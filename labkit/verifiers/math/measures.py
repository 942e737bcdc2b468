r"""What stands behind a number: units, currencies, per cent signs, and words that change it, such as `million`.

A unit is told apart from its number and has one spelling; a word that counts (`million`, `dozen`) becomes a factor, one
that calculates (`squared`, `factorial`) a sign; a noun (`7 apples`) says nothing. Everything else stays where it is;
the grammar then reads letters (`2\mathrm{e}`, `5xyz`) and refuses words (`5 \text{ below zero}`). Nothing is dropped
that may change the value.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from labkit.verifiers.units import canonical_unit

__all__ = ["Measure", "is_word", "same_unit", "split_unit"]

_SCALES = {
    "hundred": "10^{2}",
    "thousand": "10^{3}",
    "million": "10^{6}",
    "billion": "10^{9}",
    "trillion": "10^{12}",
    "quadrillion": "10^{15}",
    "quintillion": "10^{18}",
    "lakh": "10^{5}",
    "crore": "10^{7}",
    "dozen": "12",
}
_SHORT_SCALES = {"k": "thousand", "K": "thousand", "M": "million", "mn": "million", "B": "billion", "bn": "billion"}
_SIGNS = {"squared": "^{2}", "cubed": "^{3}", "factorial": "!"}
_PERCENT_WORDS = ("percent", "per cent", "pct", "percents", "percentage", "percentage points", "percentage point")
_REFUSED = frozenset(
    "half halve third fourth quarter fifth sixth seventh eighth ninth tenth hundredth thousandth millionth zero not "
    "minus plus negative mod modulo base over or to than".split()
)
"""Words that change a number otherwise than as a unit does; singular."""
_DIRECTIONS = frozenset(
    "increase decrease gain loss profit north south east west up down above below am pm bc ad".split()
)
_MORE_UNITS = {
    "gal": "gallon gallons",
    "inch": "in ins",
    "mi/h": "mph",
    "km/h": "kph kmh kmph",
    "decade": "decades",
    "century": "centuries",
    "acre": "acres",
    "ton": "tons",
    "tonne": "tonnes",
    "rad": "radian radians",
    "N": "newton newtons",
    "J": "joule joules",
    "W": "watt watts",
    "V": "volt volts",
    "A": "ampere amperes amp amps",
    "Hz": "hertz",
    "mol": "mole moles",
    "pint": "pints pt",
    "quart": "quarts qt",
    "degreeC": "celsius",
    "degreeF": "fahrenheit",
}
_SIGN_OF = {name: sign for sign, names in _MORE_UNITS.items() for name in [sign, *names.split()]}
_SYMBOLS = re.compile(r"(?:[kMGmcnμ]?(?:Hz|Pa|N|J|W|V|A|eV|mol|cal|bit))|[KC]")
"""Units of science by their signs, where case counts; one letter alone only behind a space."""
_PREFIXES = {"square": "2", "sq": "2", "cubic": "3", "cu": "3"}
_VOWELS = frozenset("aeiouy")

_CURRENCY = re.compile(r"(-?) ?(?:US|A|C)?(\\\$|[$€£¥₹]) ?(?=[-0-9.\\(])")
_CURRENCY_BEHIND = re.compile(r"(?<=[0-9]) ?(\\?\$|[€£¥₹])$")
_SHORT_SCALE = re.compile(r"(?<=[0-9]) ?(k|K|M|B|bn|mn)$")
_ORDINAL = re.compile(r"^([0-9]+) ?(?:\^ ?)?\{? ?(?:\\text ?)?\{? ?(?:st|nd|rd|th) ?\}? ?\}?$")
_OVER = re.compile(r" ?\\frac ?\{ ?\\text ?\{([^{}]*)\} ?\} ?\{ ?\\text ?\{([^{}]*)\} ?(\^ ?\{? ?[0-9] ?\}?)? ?\}$")
_MAY_END_SO = re.compile(r"(?:[A-Za-z%°$€£¥₹.]|\}) ?$|\^ ?\{? ?-?[0-9] ?\}?$")
_PIECE = re.compile(
    r"(?P<join> ?[/*] ?| ?)"
    r"(?:\\text ?\{(?P<text>[^{}]*)\}|(?P<percent>\\?%)|(?P<degree>°)|(?<![A-Za-z\\])(?P<word>[A-Za-z]+)\.?)"
    r"(?: ?\^ ?\{? ?(?P<power>-?[0-9]) ?\}?)? ?$"
)
_BARE_BEHIND = re.compile(r"[0-9)}\]%°]$")
_NAME = re.compile(r"[A-Za-zμ][A-Za-z'’.-]*")
_ATOM = re.compile(r"[0-9]+(?:\.[0-9]+)?|[A-Za-z]|\([^()]*\)|\{[^{}]*\}")
_SUM = re.compile(r"[0-9A-Za-z)}] ?[-+]")
_TRIGONOMETRIC = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])|(?<![A-Za-z\\])(?:sin|cos|tan)")


class Measure(NamedTuple):
    r"""An expression, its unit, and whether that unit is one letter, so that `5 m` may be a product as well."""

    text: str
    unit: str = ""
    letter: bool = False


class _Piece(NamedTuple):
    start: int
    join: str
    kind: str  # text, percent, degree or word
    words: str
    power: str


def split_unit(text: str) -> Measure:
    r"""An expression without its unit, and the unit in one spelling ("" when it has none that is known).

    Words behind a number count as its unit; one or two letters do only when they are a known unit set apart by a
    space or by `\text`, for `3x` and `2ab` are products. `text` is as `labkit.verifiers.math.latex.tidy` gives it.

    >>> split_unit(r"3\text{ centimeters}")[:2], split_unit("$5")[:2], split_unit("50%")[:2]
    (('3', 'cm'), ('5', '$'), ('50', '%'))
    >>> split_unit("12 cm^2")[:2], split_unit("90°")[:2], split_unit("7 apples")[:2], split_unit("3x")[:2]
    (('12', 'cm^2'), ('90', 'degree'), ('7', ''), ('3x', ''))
    >>> split_unit(r"5\text{ million dollars}")[:2], split_unit(r"2\text{e}")[:2], split_unit("5 squared")[:2]
    (('(5)*10^{6}', '$'), ('2\\text{e}', ''), ('5^{2}', ''))
    """
    text = text.strip()
    currency = _CURRENCY.match(text)
    if currency:
        return _money(currency.group(1), text[currency.end() :], currency.group(2).lstrip("\\"))
    if not _MAY_END_SO.search(text):
        return _angle(text) if "°" in text else Measure(text)
    behind = _CURRENCY_BEHIND.search(text)
    if behind:
        return Measure(text[: behind.start()], behind.group(1).lstrip("\\"))
    ordinal = _ORDINAL.match(text)
    if ordinal:
        return Measure(ordinal.group(1))
    over = _OVER.search(text)
    if over and over.start():
        unit = _unit([f"{over.group(1)}/{over.group(2)}"], [(over.group(3) or "").strip("^{} ")])
        return Measure(text) if unit is None else Measure(text[: over.start()], unit)
    pieces = _pieces(text)
    if not pieces:
        return _angle(text) if "°" in text else Measure(text)
    return _read_pieces(text, pieces)


def same_unit(a: str, b: str) -> bool:
    """Whether two units may stand for the same: directions (increase, north) differ only where both have one.

    >>> same_unit("% increase", "%"), same_unit("% increase", "% decrease"), same_unit("m", "km")
    (True, False, False)
    """
    (first, one), (second, other) = (_without_direction(unit) for unit in (a, b))
    return first == second and (one == other or not one or not other)


def _without_direction(unit: str) -> tuple[str, str]:
    parts = unit.split(" ")
    return " ".join(part for part in parts if part not in _DIRECTIONS), " ".join(_DIRECTIONS.intersection(parts))


def _money(sign: str, text: str, currency: str) -> Measure:
    short = _SHORT_SCALE.search(text)
    if short:
        text = f"{text[: short.start()]} {_SHORT_SCALES[short.group(1)]}"
    amount = split_unit(text)
    per = amount.unit if amount.unit.startswith("/") else ""
    return Measure(f"-({amount.text})" if sign else amount.text, currency + per)


def _angle(text: str) -> Measure:
    """Degrees inside a sum (`180° - 2x`): an angle in degrees as a whole; inside a sine they are numbers."""
    return Measure(text) if _TRIGONOMETRIC.search(text) else Measure(text.replace("°", " "), "degree")


def _pieces(text: str) -> list[_Piece]:
    """The words and signs at the end of a text, the first one first; what stands before them is the number."""
    found: list[_Piece] = []
    end = len(text)
    while len(found) < 8:
        piece = _PIECE.search(text, 0, end)
        if piece is None or not piece.start():
            break
        kind = next(name for name in ("text", "percent", "degree", "word") if piece[name] is not None)
        if kind == "word" and not (_BARE_BEHIND.search(text[: piece.start()]) or piece["join"] or found):
            break
        found.insert(0, _Piece(piece.start(), piece["join"], kind, piece[kind].strip(), piece["power"] or ""))
        end = piece.start()
    while found and found[0].kind == "word" and not _BARE_BEHIND.search(text[: found[0].start]):
        found.pop(0)  # a word behind a letter or a sign: `x apples`, `\sin x`
    return found


def _read_pieces(text: str, pieces: list[_Piece]) -> Measure:
    """The longest end of the text that can be read as scale words and a unit."""
    for first in range(len(pieces)):
        measure = _read_tail(text[: pieces[first].start].rstrip(), pieces[first:])
        if measure is not None:
            return measure
        if pieces[first].kind == "word" and len(pieces[first].words) > 2:
            break  # a word that says something is in the way
    return _angle(text) if "°" in text else Measure(text)


def _read_tail(number: str, pieces: list[_Piece]) -> Measure | None:
    """The number, its scale words and its unit; None where a word is in the way."""
    words = pieces[0].words.split() if pieces and pieces[0].kind in ("text", "word") else []
    if words and not pieces[0].power:
        scale = words[0].lower().removesuffix("s")
        rest = _without_first_word(pieces)
        if scale in _SCALES and not pieces[0].join.strip():
            if _SUM.search(number) and not _ATOM.fullmatch(number):
                return None  # 3 + 2 million
            return _read_tail(f"({number})*{_SCALES[scale]}", rest)
        if words[0].lower() in _SIGNS:
            return _read_rest(number + _SIGNS[words[0].lower()], rest) if _ATOM.fullmatch(number) else None
    return _read_rest(number, pieces)


def _without_first_word(pieces: list[_Piece]) -> list[_Piece]:
    first, *rest = pieces
    remaining = first.words.partition(" ")[2].strip()
    return [first._replace(words=remaining), *rest] if remaining else rest


def _read_rest(number: str, pieces: list[_Piece]) -> Measure | None:
    """What is left when the scale words are read: per cent, degrees, a unit, a noun, or nothing."""
    if not pieces:
        return Measure(number)
    first, *rest = pieces
    words = " ".join(piece.words for piece in pieces).lower()
    if first.kind == "percent" or words in _PERCENT_WORDS or words.startswith("percent "):
        nouns = _unit([piece.words for piece in rest], [piece.power for piece in rest])
        return None if nouns is None else Measure(number, f"% {nouns}" if nouns in _DIRECTIONS else "%")
    if first.kind == "degree":
        if _TRIGONOMETRIC.search(number):
            return None
        scale = words.lstrip("°").strip().upper()[:1]
        known = not rest or scale in ("C", "F")
        return Measure(number.replace("°", " "), "degree" + (scale if rest else "")) if known else None
    unit = _unit([piece.join.strip() + piece.words for piece in pieces], [piece.power for piece in pieces])
    if unit is None or not all(_may_be_unit(piece) for piece in pieces):
        return None
    return Measure(number, unit, len(pieces) == 1 and len(first.words) == 1)


def _may_be_unit(piece: _Piece) -> bool:
    """Bare letters are a product unless they are a word or a unit set apart; upright ones nearly always a unit."""
    spaced = piece.join != "" or piece.kind == "text"
    if len(piece.words) == 1:
        return spaced and (piece.words in "mgshlL" or (piece.words in "NJWVAKC" and (" " in piece.join)))
    if piece.kind == "word" and not _known(piece.words):
        return spaced and is_word(piece.words)
    return True


def is_word(letters: str) -> bool:
    """Whether letters in a row are a word, and no product such as `xyz`: those run through the alphabet."""
    small = letters.lower()
    runs = all(a < b for a, b in pairwise(small))
    return len(small) > 2 and bool(_VOWELS & set(small)) and not (len(small) < 5 and runs)


def _known(name: str) -> str | None:
    """The sign of a unit or direction."""
    small = name.lower().replace(".", "")
    if small in _DIRECTIONS:
        return small
    if len(name) == 1:
        return canonical_unit(name) if name in "mgshlL" else name if name in "NJWVAKC" else None
    return (
        canonical_unit(small)
        or _SIGN_OF.get(name)
        or _SIGN_OF.get(small)
        or (name if _SYMBOLS.fullmatch(name) else None)
    )


def _unit(phrases: list[str], powers: list[str]) -> str | None:
    """One spelling of a unit; "" for nouns that are none; None for what must not be dropped."""
    signs: list[str] = []
    nouns = False
    power = ""
    over = ""
    for phrase, exponent in zip(phrases, powers, strict=True):
        for token in re.sub(r"\bper\b", "/", phrase).replace("/", " / ").replace("*", " ").split():
            name = token.strip(".,;:!-()")
            if token == "/":
                over = "/"
            elif not name:
                continue
            elif not _NAME.fullmatch(name) or name.lower().removesuffix("s") in _REFUSED:
                return None
            elif name.lower() in _PREFIXES:
                power = _PREFIXES[name.lower()]
            elif name.lower() in _SIGNS and signs:
                signs[-1] += _SIGNS[name.lower()].replace("{", "").replace("}", "")
            elif sign := _known(name):
                signs.append(over + sign + (f"^{power}" if power else ""))
                over = power = ""
            else:
                nouns = True
                if len(phrases) == 1 and len(phrase.split()) == 1 and not is_word(name):
                    return None  # letters: 2e, 5xy
        if exponent and signs:
            signs[-1] += f"^{exponent}"
        elif exponent and not nouns:
            return None
    return "" if nouns and not (set(signs) & _DIRECTIONS) else " ".join(signs).replace(" /", "/")
