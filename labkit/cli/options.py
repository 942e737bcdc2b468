"""What commands are given: settings, devices, models."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labkit.errors import RunError, UserError
from labkit.paths import PACKAGE, user_path

if TYPE_CHECKING:
    from labkit.models import Policy

MODEL_HELP = "A model by name (`labkit models`), a folder, a checkpoint, or a run folder (its newest checkpoint)."
Model = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)]
TaskName = Annotated[str, typer.Argument(metavar="TASK", help="A task by name (`labkit tasks`).", show_default=False)]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Changes a setting; may be given several times."),
]
Device = Annotated[str | None, typer.Option(help="cpu or cuda. Default: cuda where there is one.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def parse_settings(pairs: list[str] | None) -> dict[str, Any]:
    """`key=value` texts as a dictionary; values are YAML scalars (or lists). Raises UserError.

    >>> parse_settings(["steps=20", "lr=1e-4", "optimizer.schedule=cosine", "betas=[0.9, 0.99]"])
    {'steps': 20, 'lr': 0.0001, 'optimizer.schedule': 'cosine', 'betas': [0.9, 0.99]}
    """
    import yaml

    from labkit.recipes.files import parse_yaml

    found = {}
    for pair in pairs or []:
        key, separator, text = pair.partition("=")
        if not separator or not key.strip():
            raise UserError(f"--set takes key=value, such as --set steps=20, not {pair!r}")
        try:
            value = parse_yaml(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            raise UserError(f"--set {key}: the value {text[:80]!r} is not YAML; put it in quotes") from None
        found[key.strip()] = value
    return found


def check_device(device: str | None) -> str | None:
    """The device's name, if torch can use it. Raises UserError."""
    if device is None:
        return None
    from labkit.device import usable_device

    return str(usable_device(device))


def find_policy(name: str, device: str | None) -> "Policy":
    """The policy of a run folder, of any other folder, or by name. Raises UserError, RunError if damaged."""
    from safetensors import SafetensorError

    from labkit.models import load_policy
    from labkit.runs import open_run

    device, folder = check_device(device), user_path(name)
    recorded = PACKAGE.parent / "data" / "runs" / name
    try:
        if os.path.isfile(folder / "recipe.yaml") or os.path.isfile(recorded / "recipe.yaml"):
            return open_run(folder).policy(device=device)
        return load_policy(folder if folder.is_dir() else name, device=device)
    except SafetensorError as error:
        raise RunError(f"the weights of {name} are damaged ({error}): use another checkpoint or model") from error
