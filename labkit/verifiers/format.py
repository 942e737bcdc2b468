"""The shape of a completion, judged apart from whether its answer is right."""

from __future__ import annotations

from typing import Any

from labkit.errors import UserError
from labkit.verifiers.extract import ANSWER_CLOSE, ANSWER_OPEN
from labkit.verifiers.score import Score, quote

__all__ = ["STYLES", "verify"]

STYLES = ("think_answer", "answer")
"""`think_answer`: both pairs of tags are needed. `answer`: `<think>...</think>` may be left out."""

_THINK_OPEN, _THINK_CLOSE = "<think>", "</think>"


def verify(completion: str, reference: Any = None) -> Score:
    """Judge the form `<think>...</think><answer>...</answer>`: reward 1.0 when it is kept, else 0.0.

    Each tag exactly once, in this order, and nothing but white space outside the two pairs. What stands
    between the tags is not judged, not even whether it is empty: that is the other verifier's work, and the
    two are reported apart, since a format reward that rises while accuracy falls is a common failure.

    `reference` is None (style `think_answer`) or `{"style": name}` with a name of `STYLES`; anything else
    raises `UserError`. `parts`: `tags` (all there, once, in order) and `clean` (nothing outside), 0 or 1.

    >>> verify("<think>6*5=30 yes</think>\\n<answer>6*5</answer>").reward
    1.0
    >>> verify("<answer>6*5</answer>").reason
    '<think> is missing'
    >>> verify("<answer>6*5</answer>", {"style": "answer"}).reward
    1.0
    >>> verify("Sure! <think></think><answer>6*5</answer>").reason
    "text outside the tags: 'Sure!'"
    """
    style = _read_reference(reference)
    fault = _tag_fault(completion, style)
    if fault is not None:
        return Score(0.0, fault, None, {"tags": 0.0, "clean": 0.0})
    thinks = _THINK_OPEN in completion
    before, _, rest = completion.partition(_THINK_OPEN if thinks else ANSWER_OPEN)
    between, rest = "", rest
    if thinks:
        between, _, rest = rest.partition(_THINK_CLOSE)[2].partition(ANSWER_OPEN)
    answer, _, after = rest.partition(ANSWER_CLOSE)
    answer = answer.strip()
    outside = next((text.strip() for text in (before, between, after) if text.strip()), None)
    if outside is not None:
        reason = f"text outside the tags: {quote(outside)}"
        return Score(0.0, reason, answer, {"tags": 1.0, "clean": 0.0})
    return Score(1.0, "well formed", answer, {"tags": 1.0, "clean": 1.0})


def _read_reference(reference: Any) -> str:
    style = STYLES[0] if reference is None else None
    if isinstance(reference, dict):
        style = reference.get("style")
    if not isinstance(style, str) or style not in STYLES:
        choices = " or ".join(f'{{"style": "{name}"}}' for name in STYLES)
        raise UserError(f"a format reference is null, {choices}; got {_describe(reference, style)}")
    return style


def _describe(reference: Any, style: Any) -> str:
    return f"the style {quote(style)}" if isinstance(style, str) else f"a {type(reference).__name__}"


def _tag_fault(completion: str, style: str) -> str | None:
    """What is wrong with the number and order of the tags, or None."""
    needed = [_THINK_OPEN, _THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE]
    if style == "answer" and not any(tag in completion for tag in needed[:2]):
        needed = needed[2:]
    for tag in needed:
        count = completion.count(tag)
        if count != 1:
            return f"{tag} is missing" if count == 0 else f"{tag} stands {count} times"
    places = [completion.index(tag) for tag in needed]
    for k in range(1, len(needed)):
        if places[k] < places[k - 1]:
            return f"{needed[k]} stands before {needed[k - 1]}"
    return None
