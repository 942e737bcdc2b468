r"""The notations of one number (LaTeX, typography, words of sign, currencies) made plain, before it is read.

`plain` is text in, text out, in time linear in the text. After it `−`, `\frac34`, `⅝`, `1.5 \times 10^3`, `1{,}234`,
`\text{ eggs}`, `cm²`, `18^\circ\text{C}` and `minus 5` are `-`, `3/4`, `5/8`, `1.5e3`, `1,234`, ` eggs `, `cm^2`,
`18 degrees C` and `-5`. What it does not know stays, for the reader to refuse.
"""

from __future__ import annotations

import re
import unicodedata

from labkit.verifiers.wording import BEFORE, BEFORE_WINDOW, COPULA

__all__ = ["VULGAR", "plain", "without_styles"]

_SIGNS = str.maketrans(
    dict.fromkeys("−–‒﹣－‐‑", "-")
    | dict.fromkeys("×·⋅∗", "*")
    | dict.fromkeys("÷∕⁄", "/")
    | dict.fromkeys("º˚", "°")
    | {"’": "'", "′": "'", "％": "%", "＋": "+", "＄": "$", "℃": "°C", "℉": "°F", "…": "..."}
)
VULGAR = "½¼¾⅓⅔⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
_VULGAR = {sign: unicodedata.normalize("NFKC", sign).replace("⁄", "/") for sign in VULGAR}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺₀₁₂₃₄₅₆₇₈₉", "0123456789-+0123456789")
_RAISED_OVER = re.compile(r"[⁰¹²³⁴-⁹]+[/⁄][₀-₉]+")
_RAISED_RUN = re.compile(r"[⁰¹²³⁴-⁹⁻⁺]+")
_GROUP = re.compile(
    r"(?<=[0-9])(?:(?:,|\{,\}) ?\\[,;:! ] ?|\{,\} ?|\\[,;:! ] ?|['\u00a0\u2009\u202f])(?=[0-9]{3}(?![0-9]))"
)
_WRAPPED = re.compile(
    r"\\(?:text(?:rm|bf|it|sf|tt|normal|up)?|math(?:rm|bf|it|sf|tt|bb|cal|ord)|operatorname\*?|boldsymbol|bm|mbox|hbox|"
    r"emph|underline|bf|rm|it|(?:text)?color\s?\{[^{}]*\}|boxed|fbox)\s?\{([^{}]*)\}"
)
_SWITCH = re.compile(
    r"\\(?:(?:bf|rm|it|bfseries|displaystyle|textstyle|large|Large|left|right|q?quad)(?![A-Za-z])|[,;:! ()\[\]])|~"
)
_FRACTION = re.compile(
    r"(?P<before>[0-9]?)(?P<gap>\s?)\\[dtc]?frac\s?(?:\{\s?(-?[0-9.,]+)\s?\}|([0-9]))\s?(?:\{\s?([0-9.,]+)\s?\}|([0-9]))"
)
_REPEATING = re.compile(
    r"(?<![0-9.,])([0-9]{0,20})\.([0-9]{0,20})(?:\\(?:overline|bar|dot)\s?(?:\{([0-9]{1,20})\}|([0-9]))|\(([0-9]{1,20})\))"
    r"(?![0-9.(\\])"
)
_POWER = re.compile(r"\s?(?:\^|\*\*)\s?(?:\{\s?([-+]?[0-9]+)\s?\}|\(([-+]?[0-9]+)\))")
_TEN_TO = re.compile(
    r"(?:(?P<by>(?<=[0-9.])\s?(?:\*|x|X|times)\s?)|(?<![0-9.,*/^A-Za-z]))10\s?(?:\^|\*\*)\s?([-+]?[0-9]+)"
)
_ABSOLUTE = re.compile(r"\| ?[-+]?([0-9.,/]+) ?\|")
_BY = re.compile(r"(?<=[0-9)%]) ?[xX] ?(?=[0-9(.])")
_DEGREES = re.compile(r"\^\s?\{?\\circ\}?|\^\s?\{?°\}?|\\degree|\\circ|°")
_CURRENCY = re.compile(
    r"(?:(?<![A-Za-z])(?:US|AU|CA|NZ|HK|SG|NT|MX|A|C|S|R))?\\?[$€£¥₹₽₩₺₪฿]|\\(?:pounds|euro|yen)\b|"
    r"(?<![A-Za-z])(?:USD|EUR|GBP|INR|JPY|CNY|CHF|CAD|AUD|Rs\.?)(?=\s?[-0-9.])"
)
_CODES = {"USD": "$", "EUR": "€", "GBP": "£", "INR": "₹", "JPY": "¥", "Rs": "₹", "Rs.": "₹", "US$": "$"}
_CODES |= {"\\$": "$", "US\\$": "$", "\\pounds": "£", "\\euro": "€", "\\yen": "¥"}
_SIGN_WORD = re.compile(r"\b(minus|negative|plus|positive)\s+(?=[0-9.])", re.IGNORECASE)
_COMMANDS = {
    **{"\\%": "%", "\\approx": "≈", "\\times": "*", "\\cdot": "*", "\\div": "/", "\\pi": "π", "\\pm": "±"},
    **{"\\ldots": "...", "\\dots": "...", "\\infty": "∞", "\\lvert": "|", "\\rvert": "|", "\\vert": "|"},
}
_COMMAND = re.compile(r"\\(?:%|(?:approx|times|cdot|div|pi|pm|ldots|dots|infty|lvert|rvert|vert)(?![A-Za-z]))")


def plain(text: str) -> tuple[str, str | None]:
    r"""Plain text with ASCII signs, and the sign of a currency that stood in it.

    >>> plain(r"\$1{,}234.50"), plain("−⅝"), plain(r"\text{Total} = 18 \text{ eggs}")
    (('1,234.50', '$'), ('-5/8', None), ('Total = 18 eggs', None))
    >>> plain(r"1.5 \times 10^{3}")[0], plain("x minus 5")[0], plain(r"24\,\mathrm{cm}^2")[0], plain("0.(3)")[0]
    ('1.5e3', 'x minus 5', '24 cm ^2', '3/9')
    """
    if not text.isascii():
        text = _RAISED_OVER.sub(lambda found: " " + found.group().translate(_RAISED).replace("⁄", "/"), text)
        text = text.translate(_SIGNS)
        for sign, fraction in _VULGAR.items():
            if sign in text:
                text = re.sub(rf"(?<=[0-9]){sign}", f" {fraction}", text).replace(sign, fraction)
        text = _RAISED_RUN.sub(lambda raised: "^" + raised.group().translate(_RAISED), text)
    text = _GROUP.sub(",", text)
    if "\\" in text:
        text = _latex(text)
    if "^" in text or "**" in text:
        text = _POWER.sub(lambda found: "^" + (found[1] or found[2]), _DEGREES.sub(" degrees ", text))
        text = _TEN_TO.sub(lambda found: f"{'' if found['by'] else '1'}e{found[2]}", text)
    if "°" in text:
        text = _DEGREES.sub(" degrees ", text)
    if "|" in text:
        text = _ABSOLUTE.sub(r"\1", text)
    if "(" in text:
        text = _REPEATING.sub(_as_fraction, text)
    text, currency = _without_currency(text)
    text = _BY.sub("*", text)
    text = " ".join(text.split()).strip('*_`"').strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    text = _SIGN_WORD.sub(_signed, text)
    text = re.sub(r"^([-+])\s+(?=[0-9.])", r"\1", text)
    return re.sub(r"(?<=[0-9])\s*/\s*(?=[0-9])", "/", text), currency


def without_styles(text: str) -> str:
    r"""LaTeX without the commands for letters, colours and spaces around its contents.

    >>> without_styles(r"\textbf{(E)}\ \text{five}")
    '(E) five'
    """
    for _ in range(3):  # \boxed{\textbf{\text{5}}}
        if "{" in text:
            text = _WRAPPED.sub(r" \1 ", text)
    return " ".join((_SWITCH.sub(" ", text) if "\\" in text or "~" in text else text).split())


def _latex(text: str) -> str:
    text = _COMMAND.sub(lambda found: _COMMANDS[found.group()], text)
    text = _REPEATING.sub(_as_fraction, _POWER.sub(lambda found: "^" + (found[1] or found[2]), text))
    for _ in range(3):
        if "{" in text:
            text = _WRAPPED.sub(r" \1 ", text)
    text = _FRACTION.sub(_plain_fraction, text)
    return _SWITCH.sub(" ", _DEGREES.sub(" degrees ", text))


def _plain_fraction(match: re.Match[str]) -> str:
    over, under = match[3] or match[4], match[5] or match[6]
    return f"{match['before']}{' ' if match['before'] else match['gap']}{over}/{under}"


def _as_fraction(match: re.Match[str]) -> str:
    r"""`0.1\overline{6}` as a fraction: with n digits before the r that repeat, over 10^n (10^r - 1)."""
    whole, fixed, repeated = match[1] or "0", match[2], match[3] or match[4] or match[5]
    over = int(whole + fixed + repeated) - int(whole + fixed)
    return f"{over}/{10 ** len(fixed) * (10 ** len(repeated) - 1)}"


def _without_currency(text: str) -> tuple[str, str | None]:
    signs = [found.group() for found in _CURRENCY.finditer(text)]
    if not signs:
        return text, None
    text = _CURRENCY.sub("", text)
    # Two dollar signs are the brackets of a formula; in it stands a dollar with a backslash.
    if set(signs) == {"$"}:
        return text, None if len(signs) % 2 == 0 else "$"
    sign = next(sign for sign in signs if sign != "$")
    return text, _CODES.get(sign, sign)


def _signed(found: re.Match[str]) -> str:
    """A word of sign as a sign, where it is none of an operation (`ten minus 5`): that stays, to be refused."""
    word = found[1].lower()
    before = found.string[max(0, found.start() - BEFORE_WINDOW) : found.start()]
    if word in ("minus", "plus") and (not COPULA.search(before) or BEFORE.search(before)):
        return found.group()
    return "-" if word in ("minus", "negative") else ""
