"""How the recipes of several runs differ, and labels for the runs."""

from typing import Any

from labkit.recipes import Recipe
from labkit.runs import Run

# What a run may spend, and what it learns from. Runs that differ in one of these are expected to have other results.
BUDGET = (
    "model",
    "task",
    "task_options",
    "steps",
    "sampling.prompts",
    "sampling.samples",
    "sampling.max_new_tokens",
)
# Settings that change no result: names, the seed, what is kept of a run.
BOOKKEEPING = ("name", "description", "seed", "checkpoint_every", "keep_checkpoints", "rollouts_logged")


def flatten(recipe: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings of a recipe with dotted keys, without bookkeeping.

    >>> flatten({"name": "x", "seed": 0, "steps": 5, "optimizer": {"lr": 0.1}})
    {'steps': 5, 'optimizer.lr': 0.1}
    """
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        elif prefix or key not in BOOKKEEPING:
            flat[f"{prefix}{key}"] = value
    return flat


DEFAULTS = flatten(Recipe(name="defaults").model_dump(mode="json"))


def differences(recipes: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The keys whose values differ between flat recipes, each with the values of all recipes.

    >>> differences([{"steps": 5, "lr": 0.1}, {"steps": 9, "lr": 0.1}])
    {'steps': [5, 9]}
    """
    keys = dict.fromkeys(key for recipe in recipes for key in recipe)
    values = {key: [recipe.get(key) for recipe in recipes] for key in keys}
    return {key: each for key, each in values.items() if any(value != each[0] for value in each)}


def recipe_labels(opened: list[Run]) -> list[str]:
    """One label per run: the recipe's name, with the settings in which it differs from recipes of the same name.

    Runs that differ in the seed alone get the same label.
    """
    recipes = [flatten(run.recipe) for run in opened]
    names = [str(run.recipe.get("name")) for run in opened]
    labels = []
    for name, recipe in zip(names, recipes, strict=True):
        # A run recorded before a setting existed had its default.
        namesakes = [DEFAULTS | other for n, other in zip(names, recipes, strict=True) if n == name]
        told = DEFAULTS | recipe
        apart = [f"{key.split('.')[-1]}={told.get(key)}" for key in differences(namesakes)]
        labels.append(f"{name} ({', '.join(apart)})" if apart else name)
    return labels


def run_labels(opened: list[Run]) -> list[str]:
    """The names of the folders, or the whole paths where two names are equal."""
    names = [run.path.resolve().name for run in opened]
    labels = [n if names.count(n) == 1 else str(run.path) for n, run in zip(names, opened, strict=True)]
    return [label if label not in labels[:i] else f"{label} #{i + 1}" for i, label in enumerate(labels)]
