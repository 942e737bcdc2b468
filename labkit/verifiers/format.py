r"""The shape of a completion, scored apart from whether its answer is right.

Styles, with what a well-formed completion looks like:

- `think_answer` (the default): `<think>...</think><answer>...</answer>`, as DeepSeek-R1-Zero was asked for;
- `answer`: the same, where `<think>...</think>` may be left out;
- `r1`: `...</think>reply`, for chat templates that open `<think>` at the end of the prompt;
- `r1_answer`: `...</think><answer>...</answer>`, the same with answer tags;
- `think`: `<think>...</think>reply`;
- `think_boxed`: `<think>...</think>` and a reply with one `\boxed{...}`;
- `reasoning_answer`: `<reasoning>...</reasoning><answer>...</answer>`;
- `reasoning_solution`: `<reasoning>...</reasoning><solution>...</solution>`;
- `boxed`: any text with one `\boxed{...}`;
- `gsm8k`: any text whose last line is the one `#### x`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from labkit.errors import UserError
from labkit.verifiers.extract import FALLBACK_WINDOW, find_boxes
from labkit.verifiers.score import Score, quote

__all__ = ["STYLES", "verify"]


@dataclass(frozen=True, slots=True)
class _Shape:
    """Tags in their order, and what may follow the last one.

    `opened`: the completion begins inside the first pair, whose opening tag stands in the prompt.
    `optional`: how many of the first tags may be left out together.
    """

    tags: tuple[str, ...] = ()
    tail: Literal["nothing", "reply", "boxed", "hashes"] = "nothing"
    opened: bool = False
    optional: int = 0


def _pairs(*names: str) -> tuple[str, ...]:
    return tuple(tag for name in names for tag in (f"<{name}>", f"</{name}>"))


_SHAPES = {
    "think_answer": _Shape(_pairs("think", "answer")),
    "answer": _Shape(_pairs("think", "answer"), optional=2),
    "r1": _Shape(_pairs("think"), "reply", opened=True),
    "r1_answer": _Shape(_pairs("think", "answer"), opened=True),
    "think": _Shape(_pairs("think"), "reply"),
    "think_boxed": _Shape(_pairs("think"), "boxed"),
    "reasoning_answer": _Shape(_pairs("reasoning", "answer")),
    "reasoning_solution": _Shape(_pairs("reasoning", "solution")),
    "boxed": _Shape(tail="boxed"),
    "gsm8k": _Shape(tail="hashes"),
}

STYLES = tuple(_SHAPES)
"""The names of the shapes; see the top of this module."""


def verify(completion: str, reference: Any = None) -> Score:
    """Score the form of a completion: reward 1.0 when it is kept, else 0.0.

    Each tag exactly once, in this order, and nothing but white space outside the pairs. What stands between
    the tags is not checked, not even whether it is empty: that is the other verifier's work, and the two are
    reported apart, since a format reward that rises while accuracy falls is a common failure.

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
    >>> verify("so 6*5=30</think>It is 6*5.", {"style": "r1"}).reward
    1.0
    """
    shape = _read_reference(reference)
    tags = shape.tags[shape.optional :] if _none_of(completion, shape.tags[: shape.optional]) else shape.tags
    if shape.opened and tags[0] in completion:
        return _fault(f"{tags[0]} stands in the completion, though the prompt opens it")
    tags = tags[shape.opened :]
    fault = _tag_fault(completion, tags)
    if fault is not None:
        return _fault(fault)
    pieces, rest = [], completion
    for tag in tags:
        piece, _, rest = rest.partition(tag)
        pieces.append(piece)
    fault, answer = _check_tail(rest, shape.tail)
    if fault is not None:
        return _fault(fault, answer)
    outside = pieces[shape.opened :: 2] + ([rest] if shape.tail == "nothing" else [])
    stray = next((text.strip() for text in outside if text.strip()), None)
    answer = pieces[-1].strip() if answer is None else answer
    if stray is not None:
        return Score(0.0, f"text outside the tags: {quote(stray)}", answer, {"tags": 1.0, "clean": 0.0})
    return Score(1.0, "well formed", answer, {"tags": 1.0, "clean": 1.0})


def _read_reference(reference: Any) -> _Shape:
    style = STYLES[0] if reference is None else None
    if isinstance(reference, dict):
        style = reference.get("style")
    if not isinstance(style, str) or style not in _SHAPES:
        described = f"the style {quote(style)}" if isinstance(style, str) else f"a {type(reference).__name__}"
        raise UserError(
            f'a format reference is null or {{"style": name}} with a name of {", ".join(STYLES)}; got {described}'
        )
    return _SHAPES[style]


def _none_of(completion: str, tags: tuple[str, ...]) -> bool:
    return not any(tag in completion for tag in tags)


def _fault(reason: str, answer: str | None = None) -> Score:
    return Score(0.0, reason, answer, {"tags": 0.0, "clean": 0.0})


def _tag_fault(completion: str, tags: tuple[str, ...]) -> str | None:
    """What is wrong with the number and order of the tags, or None."""
    for tag in tags:
        count = completion.count(tag)
        if count != 1:
            return f"{tag} is missing" if count == 0 else f"{tag} stands {count} times"
    positions = [completion.index(tag) for tag in tags]
    for k in range(1, len(tags)):
        if positions[k] < positions[k - 1]:
            return f"{tags[k]} stands before {tags[k - 1]}"
    return None


def _check_tail(rest: str, tail: str) -> tuple[str | None, str | None]:
    """What is wrong with the text behind the last tag, or None; and the answer in it, or None."""
    if tail == "reply":
        return (None if rest.strip() else "nothing stands after </think>"), rest.strip()
    if tail == "boxed":
        count = rest.count("\\boxed")
        boxes = find_boxes(rest[-FALLBACK_WINDOW:])
        if count != 1:
            return "\\boxed is missing" if count == 0 else f"\\boxed stands {count} times", None
        return (None, boxes[0]) if len(boxes) == 1 else ("\\boxed has no closed pair of braces", None)
    if tail == "hashes":
        count = rest.count("####")
        if count != 1:
            return "#### is missing" if count == 0 else f"#### stands {count} times", None
        before, _, answer = rest.rpartition("####")
        if before.rpartition("\n")[2].strip() or not answer.strip() or "\n" in answer.strip():
            return "#### and the answer are not the last line", None
        return None, answer.strip()
    return None, None
