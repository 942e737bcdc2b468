"""Recipes: YAML files in this folder, or of your own, checked against `schema.Recipe`."""

import difflib
import os
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from labkit.errors import UserError
from labkit.recipes.schema import Recipe

FOLDER = Path(__file__).parent


def list_recipes() -> dict[str, str]:
    """Name and description of each recipe that comes with labkit."""
    found = {path.stem: read_settings(path.stem) for path in sorted(FOLDER.glob("*.yaml"))}
    # A pipeline (`stages:`) is checked by `labkit.recipes.pipeline`, which knows what a stage is.
    return {
        name: raw.get("description", "") if "stages" in raw else load_recipe(name).description
        for name, raw in found.items()
    }


def is_pipeline(name: object) -> bool:
    """Whether a recipe (a name, a YAML file, a run folder) is a list of stages; False where there is none."""
    if not isinstance(name, str | Path):  # a Recipe has no stages
        return False
    try:
        file = Path(name) / "recipe.yaml"
        return "stages" in read_settings(file if os.path.isfile(file) else name)
    except UserError:
        return False


def load_recipe(name: str | Path | Recipe, /, **overrides: Any) -> Recipe:
    """A recipe by name or from a YAML file, with overrides.

    Overrides are top-level keys (`steps=20`), nested ones by their path (`{"optimizer.lr": 1e-4}`), or nested ones
    by their last part alone (`lr=1e-4`; what training and evaluation both have is then training's). Raises UserError
    with one line that says what is wrong: an unknown recipe, an unknown key, a value out of range.
    """
    raw = name.settings() if isinstance(name, Recipe) else read_settings(name)
    if "stages" in raw:
        raise UserError(f"recipe {raw['name']!r} is a pipeline of stages: lk.train or `labkit train` runs it")
    for key, value in overrides.items():
        _set(raw, _full_path(key), value)
    return validate(raw, str(raw.get("name", name)))


def validate(raw: dict[str, Any], name: str) -> Recipe:
    """The recipe of a plain dictionary; raises UserError naming the first key that is wrong."""
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UserError(f"recipe {name!r} has no key {key!r}{_did_you_mean(key)}") from None
        where = f"{key}: " if key else ""
        raise UserError(f"recipe {name!r}: {where}{first['msg'].removeprefix('Value error, ')}") from None


def read_settings(name: str | Path) -> dict[str, Any]:
    """What a recipe's YAML file says, by name or path, not checked yet. Raises UserError where there is none."""
    path = FOLDER / f"{name}.yaml"
    if not os.path.exists(path):  # unlike Path.exists it also answers for what no file can be called
        path = Path(name)
        if path.suffix not in (".yaml", ".yml") or not os.path.isfile(path):
            known = [p.stem for p in sorted(FOLDER.glob("*.yaml"))]
            close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
            mend = f"did you mean {close[0]!r}?" if close else "give a name or the path of a .yaml file"
            raise UserError(f"no recipe {str(name)[:80]!r}; {mend} (`labkit recipes` lists them)")
    try:
        raw = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"cannot read recipe {path}: {str(error).splitlines()[0]}") from None
    if not isinstance(raw, dict):
        raise UserError(f"recipe {path} is not a list of `key: value` lines")
    return {"name": path.stem, **raw}


def paths() -> list[str]:
    """All keys of a recipe, nested ones with dots: what `--set` accepts."""
    found = []
    for key, info in Recipe.model_fields.items():
        # An optional group is annotated as `Group | None`.
        kinds = (info.annotation, *get_args(info.annotation))
        nested = next((kind.model_fields for kind in kinds if hasattr(kind, "model_fields")), None)
        found += [f"{key}.{inner}" for inner in nested] if nested else [key]
    return found


def _full_path(key: str) -> str:
    top = key.split(".")[0]
    if top in Recipe.model_fields:
        return key
    matches = [path for path in paths() if path.endswith(f".{key}")]
    # `samples`, `lr` are the policy's training: those of evaluation and of the judge are called by their whole path.
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


def _set(raw: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        inner = raw.get(parent)
        raw[parent] = dict(inner) if isinstance(inner, dict) else {}
        raw = raw[parent]
    raw[last] = value


__all__ = ["Recipe", "is_pipeline", "list_recipes", "load_recipe", "paths", "read_settings", "validate"]
