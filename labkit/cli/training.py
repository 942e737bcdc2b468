"""Commands that make models: `train`, `pretrain`."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from labkit.cli.options import Device, Settings, check_device, parse_settings
from labkit.cli.output import announce, note
from labkit.errors import RunError, UserError, first_fault
from labkit.paths import user_path


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe by name (`labkit recipes`) or a YAML file.", show_default=False),
    ] = None,
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(help="The run folder to make. Default: a new one below runs/.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run folder, from its newest checkpoint.")] = None,
    seed: Annotated[int | None, typer.Option(help="The run's seed; the same as --set seed=N.")] = None,
    device: Device = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no summary.")] = False,
) -> None:
    """Trains a model as a recipe says, and writes a run folder.

    Example: `labkit train r1-zero-tiny --set steps=20 --set lr=1e-4 --seed 1`

    Look at: the summary's change of pass@1 with its interval; curves.png in the folder, for whether the pass
    rate rises and how length and truncation change with it; rollouts.jsonl, for what the model writes. Ctrl-C
    ends the run; `--resume DIR` goes on with it, to the same numbers.

    A recipe of stages (`labkit train r1-pipeline-tiny --set reasoning-rl.steps=5`) writes a run folder per stage
    below `stages/`, and a table of what each stage's model can do; it is resumed in the same way.

    The last line of standard output is the run folder's path.
    """
    from labkit.cli.summary import announcement, summarize, write_curves
    from labkit.pipeline.run import refuse_stage
    from labkit.recipes import is_pipeline
    from labkit.training import train as run_recipe

    overrides = parse_settings(settings) | ({} if seed is None else {"seed": seed})
    check_device(device)
    refuse_stage(resume)
    if is_pipeline(resume or recipe):
        _train_pipeline(recipe, overrides, out, resume, device, quiet)
        return
    plan = None if recipe is None else _plan(recipe, overrides)
    if plan is not None and not quiet:
        announce(announcement(plan))
    # `train` refuses overrides next to --resume, and says why.
    rest = overrides if plan is None else {}
    run = run_recipe(plan, out=out, resume=resume, device=device, progress=not quiet, **rest)
    write_curves(run)
    if not quiet:
        summarize(run)
    _end(run)


def _train_pipeline(
    recipe: str | None,
    overrides: dict[str, Any],
    out: Path | None,
    resume: Path | None,
    device: str | None,
    quiet: bool,
) -> None:
    """Runs a pipeline; prints the table of its stages and, last, its folder."""
    from labkit.pipeline.run import run_pipeline
    from labkit.recipes.pipeline import load_pipeline

    plan = None if recipe is None else load_pipeline(recipe, **overrides)
    if plan is not None and not quiet:
        announce(f"{plan.name}: {plan.model} on {plan.task}, stages {', '.join(stage.name for stage in plan.stages)}")
    rest = overrides if plan is None else {}
    run = run_pipeline(plan, out=out, resume=resume, device=device, progress=not quiet, **rest)
    status = (run.result or {}).get("status")
    if not quiet:
        print(run.report())
        if status != "finished":
            print(f"{status}; go on with it: labkit train --resume {shlex.quote(str(run.path))}")
    _end(run)


def _end(run: Any) -> None:
    """Prints the folder; a run that Ctrl-C ended has the exit status 130."""
    print(run.path)
    if (run.result or {}).get("status") in ("interrupted", "stopped"):
        raise typer.Exit(130)


def _plan(recipe: str, overrides: dict[str, Any]) -> Any:
    """The recipe with its overrides; a wrong key is found before anything is loaded or written."""
    from labkit.recipes import load_recipe

    if "name" in overrides:
        overrides["name"] = str(overrides["name"])  # YAML takes a name of digits for a number
    return load_recipe(recipe, **overrides)


def pretrain(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="What to pretrain: tiny or micro.")],
    out: Annotated[Path | None, typer.Option(help="The folder for the model. Default: runs/MODEL-seedN.")] = None,
    settings: Settings = None,
    seed: Annotated[int | None, typer.Option(help="The seed; the same as --set seed=N.")] = None,
) -> None:
    """Pretrains a base model (tiny: 20 minutes, micro: 8).

    It begins with random weights and learns the texts of the lab's small world; times are for two CPU cores.

    Look at: pretraining_loss.jsonl for how the loss falls, then `labkit eval FOLDER countdown` for what the
    base can do. The last line of standard output is the folder.
    """
    from pydantic import ValidationError

    from labkit.training.pretrain import BASES, PretrainSettings
    from labkit.training.pretrain import pretrain as run_pretraining

    if model not in BASES:
        raise UserError(f"no model {model!r} to pretrain; there is: {', '.join(BASES)}")
    overrides = parse_settings(settings) | ({} if seed is None else {"seed": seed})
    try:
        chosen = PretrainSettings(**BASES[model].model_dump() | overrides)
    except ValidationError as error:
        key, message = first_fault(error)
        known = ", ".join(PretrainSettings.model_fields)
        raise UserError(f"pretraining: {key}: {message or 'no such key'} (keys: {known})") from None
    folder = user_path(out or Path("runs") / f"{model}-seed{chosen.seed}")
    if (folder / "config.json").exists():
        raise UserError(f"{folder} already holds a model: name another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the folder {folder}: {error.strerror}; name another --out") from None
    try:
        run_pretraining(chosen, folder, model)
    except OSError as error:
        raise RunError(f"{error.filename or folder}: {error.strerror or error}") from error
    note(f"next: labkit eval {shlex.quote(str(folder))} countdown")
    print(folder)
