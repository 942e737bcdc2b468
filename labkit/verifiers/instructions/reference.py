"""Reading a reference of the `instructions` verifier: whatever is wrong with it is said in one line, at once."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.instructions.kinds import CHECKS, arguments_of
from labkit.verifiers.instructions.language import LANGUAGES
from labkit.verifiers.score import quote

__all__ = ["Asked", "MODES", "RELATIONS", "REWARDS", "read_reference"]

MODES, REWARDS = ("strict", "loose"), ("all", "fraction")
RELATIONS = ("less than", "at least")
MAX_INSTRUCTIONS = 100
_ARGUMENTS = {name: arguments_of(check) for name, check in CHECKS.items()}
_LISTS = ("keywords", "forbidden_words")
_NUMBERS = frozenset(
    "num_sentences num_placeholders num_bullets num_highlights num_sections num_paragraphs num_words nth_paragraph "
    "frequency let_frequency capital_frequency".split()
)
_RELATIONS = ("relation", "let_relation", "capital_relation")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reference asks: (name for reports, public id, arguments) of each instruction, the mode, the reward."""

    instructions: list[tuple[str, str, dict[str, Any]]]
    mode: str
    reward: str


def read_reference(reference: Any) -> Asked:
    """Reads `{"instruction_id_list": [...], "kwargs": [...]}`; raises UserError where it can't be kept by any text.

    Taken as they come in published data: arguments that are null (IFEval's rows are padded with them), a null in place
    of an instruction's arguments, the name `instruction_id`, a list with one such object, and any of these as a string
    of JSON (the last three are Tulu 3's). `"mode"` and `"reward"` are labkit's own.
    """
    body = _unwrap(reference)
    ids = body.get("instruction_id_list", body.get("instruction_id"))
    if not isinstance(ids, list | tuple) or not ids:
        raise UserError(
            'an instructions reference needs "instruction_id_list", a list of ids such as punctuation:no_comma'
        )
    kwargs = body.get("kwargs")
    kwargs = [{}] * len(ids) if kwargs is None else kwargs
    if not isinstance(kwargs, list | tuple) or len(kwargs) != len(ids):
        raise UserError(f'"kwargs" of an instructions reference is a list with one object for each of {len(ids)} ids')
    if len(ids) > MAX_INSTRUCTIONS:
        raise UserError(f"an instructions reference has at most {MAX_INSTRUCTIONS} instructions, not {len(ids)}")
    mode, reward = body.get("mode") or MODES[0], body.get("reward") or REWARDS[0]
    for key, value, choices in (("mode", mode, MODES), ("reward", reward, REWARDS)):
        if value not in choices:
            raise UserError(f'"{key}" of an instructions reference is {" or ".join(choices)}, not {_show(value)}')
    seen: dict[str, int] = {}
    asked = []
    for name, given in zip(ids, kwargs, strict=True):
        arguments = _read_arguments(name, given)
        seen[name] = seen.get(name, 0) + 1
        asked.append((name if seen[name] == 1 else f"{name}#{seen[name]}", name, arguments))
    return Asked(asked, mode, reward)


def _unwrap(reference: Any) -> dict[str, Any]:
    if isinstance(reference, str):
        try:
            reference = json.loads(reference)
        except (ValueError, RecursionError):
            raise UserError(f"an instructions reference is an object, not the text {quote(reference)}") from None
    if isinstance(reference, list | tuple) and len(reference) == 1:
        return _unwrap(reference[0]) if isinstance(reference[0], str) else _unwrap_dict(reference[0])
    return _unwrap_dict(reference)


def _unwrap_dict(reference: Any) -> dict[str, Any]:
    if isinstance(reference, dict):
        return reference
    raise UserError(
        'an instructions reference is {"instruction_id_list": [...], "kwargs": [...]}; '
        f"got a {type(reference).__name__}"
    )


def _read_arguments(name: Any, given: Any) -> dict[str, Any]:
    if not isinstance(name, str) or name not in _ARGUMENTS:
        close = difflib.get_close_matches(name, CHECKS, n=3, cutoff=0.5) if isinstance(name, str) else []
        raise UserError(f"unknown instruction {_show(name)}; " + (f"did you mean {' or '.join(close)}?" if close else
                        f"there are {len(CHECKS)}, such as {next(iter(CHECKS))}"))  # fmt: skip
    if given is not None and not isinstance(given, dict):
        raise UserError(f"the arguments of {name} are an object or null, not a {type(given).__name__}")
    known = _ARGUMENTS[name]
    arguments = {key: value for key, value in (given or {}).items() if value is not None}
    for key, value in arguments.items():
        if key not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise UserError(f"{name} has no argument {_show(key)}; {takes}")
        arguments[key] = _checked(name, key, value)
    missing = [key for key, default in known.items() if default is ... and key not in arguments]
    if missing:
        raise UserError(f"{name} needs the argument {missing[0]!r}")
    if arguments.get("nth_paragraph", 0) > arguments.get("num_paragraphs", 0) > 0:
        raise UserError(f"{name} asks for paragraph {arguments['nth_paragraph']} of {arguments['num_paragraphs']}")
    return arguments


def _checked(name: str, key: str, value: Any) -> Any:
    """The value of an argument in its right type; a whole float (as tables of floats and nulls hold it) is a number."""
    if key in _NUMBERS:
        whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
        if not whole or not (key == "nth_paragraph") <= value < 10**9:
            raise UserError(f"{key!r} of {name} is a whole number of 0 or more, not {_show(value)}")
        return int(value)
    if key in _LISTS:
        if not isinstance(value, list | tuple) or not value or not all(isinstance(x, str) and x for x in value):
            raise UserError(f"{key!r} of {name} is a list of words, not {_show(value)}")
        return list(value)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{key!r} of {name} is a text that is not empty, not {_show(value)}")
    if key in _RELATIONS and value not in RELATIONS:
        raise UserError(f"{key!r} of {name} is {' or '.join(map(repr, RELATIONS))}, not {_show(value)}")
    if key == "letter" and len(value.strip()) != 1:
        raise UserError(f"{key!r} of {name} is one character, not {_show(value)}")
    if key == "language" and value.lower().split("-")[0] not in LANGUAGES:
        raise UserError(f"{key!r} of {name} is a code such as en, de or zh, not {_show(value)}")
    return value


def _show(value: Any) -> str:
    return (
        quote(value)
        if isinstance(value, str)
        else f"a {type(value).__name__}" + (f": {value}" if isinstance(value, bool | float) else "")
    )
