"""Reads the recipes' YAML files without checking them, so that neither torch nor pydantic is imported."""

import difflib
import os
import re
from pathlib import Path
from typing import Any

import yaml

from labkit.errors import UserError


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader, in its C version if there is one (six times as fast).

    As in YAML 1.2, a number with an exponent needs no decimal point: 1e-4 is a number.
    """


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, as plain Python data. Raises yaml.YAMLError.

    >>> parse_yaml("{lr: 1e-4, name: '1e-4'}")
    {'lr': 0.0001, 'name': '1e-4'}
    """
    return yaml.load(text, Loader=_Loader)


FOLDER = Path(__file__).parent
LARGEST = 100_000
"""A recipe may hold at most so many values."""
TRAINER = "rl"
"""The trainer of a recipe that names none."""


def list_recipes() -> dict[str, str]:
    """Name and description of each recipe that comes with labkit."""
    return {row["name"]: row["description"] for row in summaries()}


def summaries() -> list[dict[str, Any]]:
    """One row per recipe that comes with labkit: name, trainer, model, task, algorithm, steps, description."""
    rows = []
    for name in _names():
        raw = {"trainer": TRAINER, "description": "", **read_settings(name)}
        if "stages" in raw:
            raw |= {"trainer": "pipeline", "algorithm": "pipeline", "steps": f"{len(raw['stages'])} stages"}
        keys = ("name", "trainer", "model", "task", "algorithm", "steps", "description")
        rows.append({key: raw[key] for key in keys})
    return rows


def is_pipeline(name: object) -> bool:
    """Whether a recipe (a name, a YAML file or a run folder) is a list of stages; False if there is no such recipe."""
    if not isinstance(name, str | Path):  # a Recipe has no stages
        return False
    try:
        file = Path(name) / "recipe.yaml"
        return "stages" in read_settings(file if os.path.isfile(file) else name)
    except UserError:
        return False


def read_settings(name: str | Path) -> dict[str, Any]:
    """The unchecked settings of a recipe, by its name or the path of its YAML file.

    Raises UserError if there is no such recipe, or if its file can't be read.
    """
    path = FOLDER / f"{name}.yaml"
    if not os.path.exists(path):  # unlike Path.exists, it returns False for a text that can't be a file's name
        path = Path(name)
        if path.suffix not in (".yaml", ".yml") or not os.path.isfile(path):
            close = difflib.get_close_matches(str(name), _names(), n=1, cutoff=0.4)
            fix = f"did you mean {close[0]!r}?" if close else "give a name or the path of a .yaml file"
            raise UserError(f"no recipe {str(name)[:80]!r}; {fix} (`labkit recipes` lists them)")
    try:
        raw = parse_yaml(path.read_text(encoding="utf-8-sig"))
        size = _size(raw, {})
    except UnicodeDecodeError:
        raise UserError(f"cannot read recipe {path}: it is not UTF-8 text") from None
    except RecursionError:
        raise UserError(f"cannot read recipe {path}: it is nested without end") from None
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: an impossible date or number
        raise UserError(f"cannot read recipe {path}: {str(error).splitlines()[0]}") from None
    if not isinstance(raw, dict):
        raise UserError(f"recipe {path} is not a list of `key: value` lines")
    if size > LARGEST:
        raise UserError(f"recipe {path} unfolds to more than {LARGEST:,} values: it repeats itself by aliases")
    return {"name": path.stem, **raw}


def _size(value: Any, known: dict[int, int]) -> int:
    """The number of values in `value`. A value that aliases repeat counts every time."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(one, known) for one in inner)
    return known[id(value)]


def _names() -> list[str]:
    return [path.stem for path in sorted(FOLDER.glob("*.yaml"))]
