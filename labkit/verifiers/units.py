"""Units of measurement by their usual signs, so that `5 km` and `5 kilometres` are one and `5 m` is another."""

from __future__ import annotations

__all__ = ["canonical_unit"]

_NAMES = {
    "mm": "millimeter millimetre",
    "cm": "centimeter centimetre cms",
    "m": "meter metre",
    "km": "kilometer kilometre kms",
    "inch": "inche",
    "ft": "foot feet",
    "yd": "yard",
    "mi": "mile",
    "mg": "milligram",
    "g": "gram gm gms",
    "kg": "kilogram kilo kgs",
    "oz": "ounce",
    "lb": "pound lbs",
    "ml": "milliliter millilitre",
    "l": "liter litre",
    "s": "second sec secs",
    "min": "minute mins",
    "h": "hour hr hrs",
    "day": "",
    "week": "",
    "month": "",
    "year": "yr yrs",
    "$": "dollar usd buck",
    "cent": "",
    "€": "euro eur",
    "degree": "deg",
}
_SIGN_OF = {name: sign for sign, names in _NAMES.items() for name in [sign, *names.split()]}


def canonical_unit(word: str) -> str | None:
    """The usual sign of a unit, or None for a word that is none of those known here.

    >>> [canonical_unit(word) for word in ("kilometers", "km", "Hours", "dollars", "clips", "m")]
    ['km', 'km', 'h', '$', None, 'm']
    """
    name = word.lower()
    return _SIGN_OF.get(name) or (_SIGN_OF.get(name[:-1]) if len(name) > 3 and name.endswith("s") else None)
