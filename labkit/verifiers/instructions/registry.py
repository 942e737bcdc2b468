"""The registry of kinds: public id -> check, and what arguments each takes, read off the check's own signature.

A kind is a function `check(response, **arguments) -> what is wrong, or None` under the decorator `instruction`, which
states the public ids. Its arguments say their type by one of the names below (`Number`, `Word`, ...), which also read
them out of a label; an argument without a default is needed.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from labkit.verifiers.instructions.language import LANGUAGES

__all__ = [
    "ARGUMENTS",
    "CHECKS",
    "Check",
    "Language",
    "Letter",
    "NEEDED",
    "Number",
    "Percentage",
    "Position",
    "Reader",
    "Relation",
    "SENSE",
    "Text",
    "Word",
    "Words",
    "compare",
    "instruction",
]

Check = Callable[..., str | None]
CHECKS: dict[str, Check] = {}
"""Public id -> the check."""
SENSE: dict[str, Callable[..., str | None]] = {}
"""Public id -> what no text could keep among its arguments, each of them well-typed: `paragraph 3 of 2`, or None."""


@dataclass(frozen=True)
class Reader:
    """How an argument is read: `read` gives its value or raises ValueError, where it is not what it `says`."""

    says: str
    read: Callable[[Any], Any]


ARGUMENTS: dict[str, dict[str, Reader]] = {}
"""Public id -> its arguments by name."""
NEEDED: dict[str, list[str]] = {}
"""Public id -> the arguments without which it asks nothing."""


def instruction(*names: str, sense: Callable[..., str | None] | None = None) -> Callable[[Check], Check]:
    """Enters a check under its public ids; `sense` says which arguments no text can keep."""

    def enter(check: Check) -> Check:
        hints = typing.get_type_hints(check, include_extras=True)
        parameters = [*inspect.signature(check).parameters.values()][1:]
        for name in names:
            CHECKS[name] = check
            ARGUMENTS[name] = {each.name: _reader(hints[each.name]) for each in parameters}
            NEEDED[name] = [each.name for each in parameters if each.default is each.empty]
            if sense is not None:
                SENSE[name] = sense
        return check

    return enter


def _reader(hint: Any) -> Reader:
    """The reader in `Annotated[...]`, also inside `... | None`."""
    parts = [hint, *typing.get_args(hint)]
    return next(extra for part in parts for extra in getattr(part, "__metadata__", ()) if isinstance(extra, Reader))


def compare(found: int, relation: str, wanted: int, what: str) -> str | None:
    """What is wrong with a number of `what`, or None.

    >>> compare(3, "less than", 3, "words")
    '3 words, less than 3 asked for'
    """
    kept = {"less than": found < wanted, "at least": found >= wanted, "exactly": found == wanted}[relation]
    return None if kept else f"{found} {what}, {relation} {wanted} asked for"


# ------------------------------------------------------------------------------------------- types of arguments


def _whole(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        """A whole float (as tables of floats and nulls hold it) is a number."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError
        if value != int(value) or not least <= value < 10**9:
            raise ValueError
        return int(value)

    return read


def _percentage(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


def _word(value: Any) -> str:
    """A list stands for its first word, as it does in the prompts that are written from such labels."""
    if isinstance(value, list) and value:
        value = value[0]
    return _text(value).strip()


def _words(value: Any) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(word, str) and word for word in value):
        raise ValueError
    return value


def _one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError
        return value

    return read


def _letter(value: Any) -> str:
    if len(_text(value).strip()) != 1:
        raise ValueError
    return value.strip()


def _language(value: Any) -> str:
    code = _text(value).lower().split("-")[0]
    if code not in LANGUAGES:
        raise ValueError
    return code


Number = Annotated[int, Reader("a whole number of 0 or more", _whole(0))]
Position = Annotated[int, Reader("a whole number of 1 or more", _whole(1))]
Percentage = Annotated[float, Reader("a percentage from 0 to 100", _percentage)]
Text = Annotated[str, Reader("a text that is not empty", _text)]
Word = Annotated[str, Reader("a word or phrase that is not empty", _word)]
Words = Annotated[list[str], Reader("a list of words", _words)]
Relation = Annotated[str, Reader("'less than' or 'at least'", _one_of("less than", "at least"))]
Letter = Annotated[str, Reader("one character", _letter)]
Language = Annotated[str, Reader("a code such as en, de or zh", _language)]
