"""Reading a reference of the `instructions` verifier: whatever is wrong with it is said in one line, at once."""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import json
import math
from dataclasses import dataclass
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.instructions.registry import ARGUMENTS, CHECKS, NEEDED, SENSE
from labkit.verifiers.score import quote

__all__ = ["Asked", "MODES", "REWARDS", "read_reference"]

MODES, REWARDS = ("strict", "loose"), ("all", "fraction")
MAX_INSTRUCTIONS = 100
_DEEPEST = 8  # labels inside labels: a row, a list, a text, an object

# The functions by which RLVR-IFeval's labels name what they ask, and the kind that asks the nearest thing.
_OLDER = {
    "verify_keywords": "keywords:existence",
    "verify_keyword_frequency": "keywords:word_count_different_numbers",
    "validate_forbidden_words": "keywords:forbidden_words",
    "verify_letter_frequency": "keywords:letter_frequency",
    "validate_response_language": "language:response_language",
    "verify_paragraph_count": "length_constraints:number_paragraphs",
    "validate_word_constraint": "length_constraints:number_words",
    "verify_sentence_constraint": "length_constraints:number_sentences",
    "validate_paragraphs": "length_constraints:nth_paragraph_first_word",
    "verify_postscript": "detectable_content:postscript",
    "validate_placeholders": "detectable_content:number_placeholders",
    "verify_bullet_points": "detectable_format:number_bullet_lists",
    "validate_title": "detectable_format:title",
    "validate_choice": "detectable_format:constrained_response",
    "validate_highlighted_sections": "detectable_format:number_highlighted_sections",
    "validate_sections": "detectable_format:multiple_sections",
    "validate_json_format": "detectable_format:json_format",
    "validate_repeat_prompt": "combination:repeat_prompt",
    "validate_two_responses": "combination:two_responses",
    "validate_uppercase": "change_case:english_capital",
    "validate_lowercase": "change_case:english_lowercase",
    "validate_frequency_capital_words": "change_case:capital_word_frequency",
    "validate_end": "startend:end_checker",
    "validate_quotation": "startend:quotation",
    "validate_no_commas": "punctuation:no_comma",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reference asks: (name for reports, public id, arguments) of each instruction, the mode, the reward."""

    instructions: list[tuple[str, str, dict[str, Any]]]
    mode: str
    reward: str


def read_reference(reference: Any) -> Asked:
    """Reads `{"instruction_id_list": [...], "kwargs": [...]}`; raises UserError where it can't be kept by any text.

    Taken as they come in published data:

    - a row of IFEval or IFBench, whose other columns do not matter, and Open Instruct's label
      `[{"instruction_id": [...], "kwargs": [...]}]`, alone or as the column `ground_truth` of a row;
    - either as a text of JSON or of Python literals (Open Instruct's own form), and in a list of one;
    - None and NaN for arguments that a kind does not take (rows are padded with them) or for all of its arguments;
    - numpy's arrays and numbers, as rows out of parquet hold them, and arguments as texts.

    `"mode"` and `"reward"` are labkit's own. Labels of Tulu 3's older form (`func_name`) name functions with a meaning
    of their own ("around", "at most"); they are refused with the kind that is nearest.
    """
    try:
        return _read_text(reference) if isinstance(reference, str) else _read(reference)
    except RecursionError:
        raise UserError("an instructions reference is nested too deeply") from None


@functools.lru_cache(maxsize=1024)
def _read_text(reference: str) -> Asked:
    return _read(reference)


def _read(reference: Any) -> Asked:
    body = _unwrap(reference)
    ids = _as_list(body.get("instruction_id_list", body.get("instruction_id")))
    if not isinstance(ids, list) or not ids:
        raise UserError(
            'an instructions reference needs "instruction_id_list", a list of ids such as punctuation:no_comma'
        )
    kwargs = body.get("kwargs")
    kwargs = [{}] * len(ids) if kwargs is None else _as_list(kwargs)
    if not isinstance(kwargs, list) or len(kwargs) != len(ids):
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


# -------------------------------------------------------------------------------------------------- the label


def _unwrap(reference: Any, depth: int = 0) -> dict[str, Any]:
    """The object with the ids, out of texts, lists of one and rows with a column `ground_truth`."""
    if isinstance(reference, str):
        reference = _literal(reference)
    elif hasattr(reference, "tolist"):
        reference = reference.tolist()
    if depth < _DEEPEST:
        if isinstance(reference, str):
            return _unwrap(reference, depth + 1)
        if isinstance(reference, list | tuple) and len(reference) == 1:
            return _unwrap(reference[0], depth + 1)
        if isinstance(reference, dict) and "ground_truth" in reference:
            return _unwrap(reference["ground_truth"], depth + 1) | _own_keys(reference)
    if not isinstance(reference, dict):
        raise UserError(
            'an instructions reference is {"instruction_id_list": [...], "kwargs": [...]}; '
            f"got a {type(reference).__name__}"
        )
    if "func_name" in reference:
        function = reference["func_name"]
        nearest = _OLDER.get(function) if isinstance(function, str) else None
        raise UserError(
            f"this label is of RLVR-IFeval's older form (func_name {_show(function)}), which labkit does not judge; "
            f'write it as {{"instruction_id_list": ["{nearest or "..."}"], "kwargs": [{{...}}]}}'
        )
    return reference


def _own_keys(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("mode", "reward") if key in row}


def _literal(label: str) -> Any:
    """The value of a text of JSON or of Python literals, numpy's and pandas' way of showing values among them."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(label)
    try:
        return _value_of(ast.parse(label.strip(), mode="eval").body)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise UserError(f"an instructions reference is an object, not the text {quote(label)}") from None


_NAMES = {"nan": math.nan, "NaN": math.nan, "null": None, "true": True, "false": False}


def _value_of(node: ast.expr) -> Any:
    """The value of literals, of `nan`, and of `array([...])` or `np.int64(3)`; nothing else is looked up or called."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_value_of(part) for part in parts]
        case ast.Dict(keys=keys, values=values):
            return {
                _value_of(key): _value_of(value) for key, value in zip(keys, values, strict=True) if key is not None
            }
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.Call(func=ast.Name(id="array") | ast.Attribute(value=ast.Name(id="np" | "numpy")), args=[first, *_]):
            return _value_of(first)
    raise ValueError(type(node).__name__)


_SIMPLE = frozenset({str, int, float, bool, type(None)})


def _plain(value: Any) -> Any:
    """Lists for tuples and for numpy's arrays, Python's numbers for numpy's."""
    if type(value) in _SIMPLE:
        return value
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _as_list(value: Any) -> Any:
    """A list for a tuple, an array or the text of a list; whatever else it is given."""
    if type(value) is list:
        return value
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _literal(value)
    if isinstance(value, tuple):
        return list(value)
    as_list = getattr(value, "tolist", None)  # an array's
    return value if as_list is None else as_list()


def _is_missing(value: Any) -> bool:
    """Whether a value is None or NaN."""
    return value is None or (type(value) is float and value != value)


# ---------------------------------------------------------------------------------------------- one instruction


def _read_arguments(name: Any, given: Any) -> dict[str, Any]:
    if not isinstance(name, str) or name not in CHECKS:
        raise UserError(_unknown(name))
    if isinstance(given, str):
        given = _literal(given)
    if _is_missing(given):
        given = {}
    elif not isinstance(given, dict):
        raise UserError(f"the arguments of {name} are an object or null, not a {type(given).__name__}")
    known, arguments = ARGUMENTS[name], {}
    for key, value in given.items():
        value = value if type(value) in _SIMPLE else _plain(value)
        if _is_missing(value):
            continue
        if key not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise UserError(f"{name} has no argument {_show(key)}; {takes}")
        try:
            arguments[key] = known[key].read(value)
        except ValueError:
            raise UserError(f"{key!r} of {name} is {known[key].says}, not {_show(value)}") from None
    for key in NEEDED[name]:
        if key not in arguments:
            raise UserError(f"{name} needs the argument {key!r}")
    if name in SENSE and (nonsense := SENSE[name](**arguments)) is not None:
        raise UserError(f"{name} asks for {nonsense}")
    return arguments


def _unknown(name: Any) -> str:
    """Every kind there is, the closest first."""
    if not isinstance(name, str):
        return f"an instruction is the id of a kind such as {next(iter(CHECKS))}, not {_show(name)}"
    likeness = {kind: max(_likeness(name, kind), _likeness(name, kind.partition(":")[2])) for kind in CHECKS}
    ranked = sorted(CHECKS, key=lambda kind: -likeness[kind])
    guess = f"did you mean {ranked[0]}? " if likeness[ranked[0]] > 0.5 else ""
    return f"unknown instruction {quote(name)}; {guess}There are {len(CHECKS)}, the closest first: {', '.join(ranked)}"


def _likeness(name: str, kind: str) -> float:
    return difflib.SequenceMatcher(None, name[:100], kind).ratio()


def _show(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    return f"a {type(value).__name__}" + (f": {value}" if isinstance(value, bool | int | float) else "")
