"""A completion as a strip of coloured tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

# Blue above zero, orange below, towards Okabe and Ito's blue and vermillion; light enough for black letters
# on them.
_ABOVE = (86, 168, 224)
_BELOW = (240, 138, 60)
_STYLE = "white-space:pre-wrap;overflow-wrap:anywhere;font-family:monospace;line-height:1.6"


def colour(value: float | None, limit: float) -> str:
    """White at 0, blue at +limit, orange at -limit, as a CSS colour; grey for a value that is not finite.

    >>> colour(0.0, 1.0), colour(1.0, 1.0), colour(-9.0, 1.0), colour(None, 1.0)
    ('#ffffff', '#56a8e0', '#f08a3c', '#dddddd')
    """
    if value is None or not math.isfinite(value):
        return "#dddddd"
    end = _ABOVE if value > 0 else _BELOW
    part = min(abs(value) / limit, 1.0) if limit > 0 else 0.0
    return "#" + "".join(f"{round(255 + (c - 255) * part):02x}" for c in end)


def token_strip(
    tokens: Sequence[str],
    values: float | Sequence[float | None] | None,
    name: str = "value",
    limit: float | None = None,
    legend: bool = True,
    most: int | None = None,
) -> str:
    r"""HTML of a completion whose tokens are coloured by one number each; the number appears when you point at a token.

    `values` is one number for all tokens (the advantage of a completion), one per token (log-probs), or None for no
    colour. The line below a token says its sign without colour: whole above zero, dashed below. `limit` is the absolute
    value of the full colour (None: the largest of all). `most`: of a longer completion so many tokens are shown, its
    beginning and its end. Line breaks are both shown as a sign and made; everything that the model wrote is escaped.
    Raises ValueError where values and tokens differ in number.

    >>> print(token_strip(["a", "<b>\n"], [0.5, -1.0], "advantage", legend=False))
    <div ...solid...title="advantage 0.500">a</span>...dashed...title="advantage -1.000">&lt;b&gt;⏎<br></span></div>
    >>> print(token_strip(list("abcdefgh"), None, most=3))
    <div ...>a</span>... 5 tokens ...>g</span>...>h</span></div>
    """
    if values is None or isinstance(values, int | float):
        numbers: list[float | None] = [values] * len(tokens)
    else:
        numbers = list(values)
    if len(numbers) != len(tokens):
        raise ValueError(f"token_strip got {len(tokens)} tokens and {len(numbers)} values: it needs one value a token")
    finite = [abs(v) for v in numbers if v is not None and math.isfinite(v)]
    full = limit if limit is not None else max(finite, default=0.0)
    if values is None:
        spans = [f'<span style="color:#111;background:#f3f3f3">{visible(t)}</span>' for t in tokens]
    else:
        spans = [_span(token, value, full, name) for token, value in zip(tokens, numbers, strict=True)]
    strip = f'<div style="{_STYLE}">{"".join(_ends(spans, most))}</div>'
    return strip + _legend(name, numbers, full) if legend and finite else strip


def _ends(spans: list[str], most: int | None) -> list[str]:
    """The first third of what may be shown and the last two thirds: the answer stands at the end."""
    if most is None or len(spans) <= most:
        return spans
    first = most // 3
    gap = f'<span style="opacity:.7"> ⋯ {len(spans) - most} tokens ⋯ </span>'
    return [*spans[:first], gap, *spans[first - most :]]


def token_strips(
    tokens: Sequence[str], values: Mapping[str, float | Sequence[float | None]], limit: float | None = None
) -> str:
    """HTML of one completion several times, coloured by different numbers each time, on one scale.

    `values`: the numbers by the name that is written above their strip. `limit` as in `token_strip`; None: the largest
    of all strips, so that colours can be compared between them.

    >>> print(token_strips(["a", "b"], {"outcome": 0.5, "process": [1.0, -0.25]}))
    <div ...outcome...title="outcome 0.500">a</span>...process...title="process -0.250">b</span>...+1.00</span></div>
    """
    rows = {name: [v] * len(tokens) if isinstance(v, int | float) else list(v) for name, v in values.items()}
    finite = [v for row in rows.values() for v in row if v is not None and math.isfinite(v)]
    full = limit if limit is not None else max(map(abs, finite), default=0.0)
    head = '<div style="font-size:85%;font-weight:bold;margin-top:.6em">'
    strips = [f"{head}{escape(name)}</div>{token_strip(tokens, row, name, full, False)}" for name, row in rows.items()]
    return "".join(strips) + _legend("colours", finite, full)


def visible(text: str) -> str:
    r"""Model text as HTML: escaped, line breaks shown and made, unprintable characters as their codes.

    >>> visible("<think>\nx\x07")
    '&lt;think&gt;⏎<br>x\\x07'
    """
    shown = "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
    return escape(shown).replace("\n", "⏎<br>")


def _span(token: str, value: float | None, limit: float, name: str) -> str:
    number = "not known" if value is None else f"{value:.3f}"
    style = f"color:#111;{_mark(value, limit)};background:{colour(value, limit)}"
    return f'<span style="{style}" title="{escape(name)} {number}">{visible(token)}</span>'


def _mark(value: float | None, limit: float) -> str:
    """The line below a token: its sign, where there is one to speak of. (Without any, a white token would look like the
    page.)"""
    if value is None or not math.isfinite(value) or abs(value) < 0.1 * limit or value == 0:
        return "border-bottom:2px solid #cccccc"
    return "border-bottom:2px solid #0b5c94" if value > 0 else "border-bottom:2px dashed #9c4000"


def _legend(name: str, numbers: Sequence[float | None], limit: float) -> str:
    """The meaning of the colours; only the sides that occur."""
    finite = [v for v in numbers if v is not None and math.isfinite(v)]
    points = [p for p in (-limit, 0.0, limit) if p == 0 or any(v * p > 0 for v in finite)]
    box = "color:#111;padding:0 .5em"
    keys = "".join(
        f'<span style="{box};{_mark(p, limit)};background:{colour(p, limit)}">{p:+.2f}</span>' for p in points
    )
    return f'<div style="font-size:85%;margin-top:.3em">{escape(name)}: {keys}</div>'
