"""Files of JSON lines: one object per line, read and checked with the line's number in every error."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from labkit.errors import UserError

if TYPE_CHECKING:
    from pydantic import BaseModel

    Model = TypeVar("Model", bound=BaseModel)


def read_json_lines(file: Path) -> Iterator[tuple[int, Any]]:
    """The lines of a file as (line number from 1, value); blank lines are passed over.

    Raises UserError where the file can't be read, and for a line that is not JSON.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"cannot read {file}: {why}") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                why = getattr(error, "msg", type(error).__name__)
                raise UserError(f"{file}, line {number}: not JSON ({why}): {line.strip()[:60]!a}") from None
            if "\\ud" in line.lower() and not _whole(value):
                raise UserError(f"{file}, line {number}: it holds half of a character (a lone surrogate)")
            yield number, value


def _whole(value: Any) -> bool:
    """Whether all texts can be encoded: none holds half of a character."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_objects(file: Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a file with their line numbers, one at least. Raises UserError as `read_json_lines` does, for a
    line that is no object, and for an empty file."""
    rows = []
    for number, value in read_json_lines(file):
        if not isinstance(value, dict):
            raise UserError(f"{file}, line {number}: an object is needed, not a {type(value).__name__}")
        rows.append((number, value))
    if not rows:
        raise UserError(f"{file} is empty: one JSON object per line is needed")
    return rows


def check_row(model: type[Model], row: Mapping[str, Any], where: str) -> Model:
    """The row as a pydantic model. Raises UserError: `where` (a file and a line), the column, and what it should be.

    What a column should be is its field's description, `Field(description="a text that is not empty")`.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
    column = str(first["loc"][0])
    if first["type"] == "missing":
        raise UserError(f"{where}: no {column!r}; it has {', '.join(map(repr, row)) or 'nothing'}")
    fields = {info.alias or name: info.description for name, info in model.model_fields.items()}
    raise UserError(f"{where}: {column!r} is {fields[column]}, not {ascii(row[column])[:60]}")


def finite(value: Any) -> Any:
    """The value as JSON can hold it, which has no NaN: numbers that are not finite become None.

    >>> finite({"reward": float("nan"), "lengths": (1, 2.5)})
    {'reward': None, 'lengths': [1, 2.5]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value
