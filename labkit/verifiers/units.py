"""Units of measurement by their usual signs, so that `5 km` and `5 kilometres` are one and `5 m` is another."""

from __future__ import annotations

import re

__all__ = ["canonical_unit", "read_unit"]

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
    "cent": "¢",
    "€": "euro eur",
    "£": "gbp",
    "¥": "yen jpy yuan",
    "₹": "rupee inr",
    "degree": "deg",
    "km/h": "kph kmph",
    "mi/h": "mph",
}
_SIGN_OF = {name: sign for sign, names in _NAMES.items() for name in [sign, *names.split()]}
_MONEY = frozenset("$ € £ ¥ ₹ cent".split())
# Signs whose case counts: they are units only as they stand here, and only behind a number.
_CASED = {sign: sign for sign in "A V W N J K C F Pa kPa Hz kHz MHz GHz kW MW kWh kJ kN mol eV mA mV Ω kΩ".split()}
_CASED |= {"L": "l", "mL": "ml"}
_RAISED = str.maketrans("⁻⁺¹²³⁴⁵⁶⁷⁸⁹", "-+123456789")
_SCALES_OF_HEAT = {"celsius": "C", "c": "C", "fahrenheit": "F", "f": "F"}
_PREFIXES = {"square": 2, "sq": 2, "cubic": 3, "cu": 3, "squared": 2, "cubed": 3}
_PART = re.compile(
    r"(?:(?P<prefix>square|sq|cubic|cu)\b\.? ?)?(?P<name>[A-Za-zµμΩÅ]+|¢)"
    r"(?: ?\^ ?[({]?(?P<power>[-+]?[0-9])(?![0-9.])[)}]?|(?P<raised>[⁻⁺]?[¹²³⁴-⁹])| (?P<word>squared|cubed)\b)?"
)
_HEAT = re.compile(r" ?(Celsius|celsius|Fahrenheit|fahrenheit|[CF])\b")
_JOIN = re.compile(r"\.?(?P<per> ?/ ?| per (?:an? )?)|(?P<by> ?[·⋅*] ?| (?=[A-Za-z]{1,2} ?\^ ?\(?-))")


def canonical_unit(word: str) -> str | None:
    """The usual sign of a unit, or None for a word that is none of those known here.

    >>> [canonical_unit(word) for word in ("kilometers", "km", "Hours", "dollars", "clips", "m")]
    ['km', 'km', 'h', '$', None, 'm']
    """
    name = word.lower()
    return _SIGN_OF.get(name) or (_SIGN_OF.get(name[:-1]) if len(name) > 3 and name.endswith("s") else None)


def read_unit(text: str) -> tuple[str | None, int]:
    """The unit at the start of a text, and how many characters it takes; 0 where no word stands there.

    Powers and rates belong to it; of a rate of money only the money is kept. Words that are no known unit are taken
    as well and give None. A sign behind a symbol that is no unit (`ab^2`, `/x`) is not taken: it is algebra.

    >>> read_unit("cm^2"), read_unit("square centimeters each"), read_unit("metres per second")
    (('cm^2', 4), ('cm^2', 18), ('m/s', 17))
    >>> read_unit("dollars per day"), read_unit("apples/day"), read_unit("degrees C"), read_unit("ab^2")
    (('$', 15), (None, 10), ('°C', 9), (None, 2))
    """
    part = _PART.match(text)
    if part is None:
        return None, 0
    unit, end = _one(text, part)
    while join := _JOIN.match(text, end):
        part = _PART.match(text, join.end())
        if part is None or not (_sign(part["name"]) or (join["per"] and len(part["name"]) > 2)):
            break
        more, end = _one(text, part)
        if unit in _MONEY:
            continue
        if join["per"]:
            unit = f"{unit}/{more}" if unit and more else None
        elif more and "^-" in more:
            base, _, power = more.partition("^-")
            unit = f"{unit}/{base}{'' if power == '1' else '^' + power}"
        else:
            unit = f"{unit}*{more}" if unit and more else None
    return unit, end


def _sign(name: str) -> str | None:
    return _CASED.get(name) or canonical_unit(name)


def _one(text: str, part: re.Match[str]) -> tuple[str | None, int]:
    """One unit with its power, and where it ends."""
    unit, end = _sign(part["name"]), part.end()
    if unit == "degree" and (heat := _HEAT.match(text, end)):
        return "°" + _SCALES_OF_HEAT[heat[1].lower()], heat.end()
    if unit is None:
        symbol = len(part["name"]) < 3 and (part["power"] or part["raised"])
        return None, part.end("name") if symbol else end
    power = (
        part["power"]
        or (part["raised"] or "").translate(_RAISED)
        or _PREFIXES.get(part["word"] or part["prefix"] or "")
    )
    return f"{unit}^{power}" if power and str(power) != "1" else unit, end
