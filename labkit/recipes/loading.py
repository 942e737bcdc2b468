"""From a recipe's YAML file and overrides to a checked `Recipe`."""

import difflib
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from labkit.errors import UserError, first_fault
from labkit.recipes.files import read_settings
from labkit.recipes.schema import Recipe
from labkit.recipes.settings import Settings


def load_recipe(name: str | Path | Recipe, /, **overrides: Any) -> Recipe:
    """Loads a recipe by name or from a YAML file, and applies overrides.

    An override is a top-level key (`steps=20`), the path of a nested key (`{"optimizer.lr": 1e-4}`), or the last part
    of a nested key (`lr=1e-4`). If training and evaluation both have a key with this last part, the override sets that
    of training. Raises UserError, with one line that says what is wrong: an unknown recipe, an unknown key, a value out
    of range.
    """
    raw = name.settings() if isinstance(name, Recipe) else read_settings(name)
    if "stages" in raw:
        raise UserError(f"recipe {raw['name']!r} is a pipeline of stages: lk.train or `labkit train` runs it")
    for key, value in overrides.items():
        set_at(raw, _full_path(key), value)
    return validate(raw, str(raw.get("name", name)))


def validate(raw: dict[str, Any], name: str) -> Recipe:
    """Makes a recipe from a plain dictionary. Raises UserError, which names the first key that is wrong."""
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        key, message = first_fault(error)
        if message is None:
            raise UserError(f"recipe {name[:80]!r} has no key {key!r}{_did_you_mean(key)}") from None
        raise UserError(f"recipe {name[:80]!r}: {key and f'{key}: '}{message}") from None


def paths() -> list[str]:
    """All keys that `--set` accepts. A nested key has a dot in it, as in `optimizer.lr`."""
    found = []
    for key, info in Recipe.model_fields.items():
        # An optional group is annotated as `Group | None`.
        kinds = (info.annotation, *get_args(info.annotation))
        nested = next((k.model_fields for k in kinds if isinstance(k, type) and issubclass(k, Settings)), None)
        found += [f"{key}.{inner}" for inner in nested] if nested else [key]
    return found


def _full_path(key: str) -> str:
    top = key.split(".")[0]
    if top in Recipe.model_fields:
        return key
    matches = [path for path in paths() if path.endswith(f".{key}")]
    # `samples` or `lr` alone mean the policy's training. Evaluation and the process reward need their whole path.
    matches = [path for path in matches if not path.startswith(("evaluation.", "process_reward."))] or matches
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UserError(f"recipe key {key!r} is ambiguous: {' or '.join(matches)}")
    raise UserError(f"no recipe key {key!r}{_did_you_mean(key)}")


def _did_you_mean(key: str) -> str:
    names = paths() + [path.split(".")[-1] for path in paths()]
    close = difflib.get_close_matches(key, names, n=1) or difflib.get_close_matches(key.split(".")[-1], names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(paths())}"


def set_at(raw: dict[str, Any], path: str, value: Any) -> None:
    """Sets a value in nested dictionaries by its dotted path. `raw` changes in place; inner dictionaries are copied.

    >>> raw = {"optimizer": {"lr": 0.1}}
    >>> set_at(raw, "optimizer.warmup", 3); set_at(raw, "data.batch", 8); raw
    {'optimizer': {'lr': 0.1, 'warmup': 3}, 'data': {'batch': 8}}
    """
    *parents, last = path.split(".")
    for parent in parents:
        inner = raw.get(parent)
        raw[parent] = dict(inner) if isinstance(inner, dict) else {}
        raw = raw[parent]
    raw[last] = value
