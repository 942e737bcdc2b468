"""Commands that make models: `train`, `pretrain`."""

import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape

import labkit.training
from labkit.cli.options import Device, Settings, check_device, parse_settings
from labkit.cli.output import announce, console, held_out_table, note, reports_table
from labkit.errors import RunError, UserError
from labkit.pipeline.run import refuse_stage, run_pipeline
from labkit.recipes import Recipe, is_pipeline, load_recipe
from labkit.recipes.pipeline import load_pipeline
from labkit.recipes.trainers import RL, product_of
from labkit.runs import Run
from labkit.training import pretrain as pretraining

CURVES = ("pass_rate", "response_length", "truncated", "entropy", "attempts", "backtracks")
# What is drawn instead, where rewards are real numbers or the policy learned from data.
GOLD_CURVES = ("reward_mean", "gold_mean", "kl", "response_length", "entropy", "explained_variance")
DATA_CURVES = ("loss", "accuracy", "margin", "logprob_chosen", "logprob_rejected", "reward_chosen")


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

    Look at: the summary's change of pass@1 with its interval; the folder's curves.png, for whether the pass
    rate rises and how length and truncation go with it; rollouts.jsonl, for what the model writes. Ctrl-C
    ends the run; `--resume DIR` goes on with it, to the same numbers.

    A recipe of stages (`labkit train r1-pipeline-tiny --set reasoning-rl.steps=5`) writes a run folder a stage
    below `stages/`, and a table of what each stage's model can do; it is resumed in the same way.

    The last line of standard output is the run folder's path.
    """
    overrides = parse_settings(settings) | ({} if seed is None else {"seed": seed})
    check_device(device)
    refuse_stage(resume)
    if is_pipeline(resume or recipe):
        _train_pipeline(recipe, overrides, out, resume, device, quiet)
        return
    plan = None if recipe is None else _plan(recipe, overrides)
    if plan is not None and not quiet:
        announce(_announcement(plan))
    # An override beside --resume reaches `train`, which says why that can't be.
    rest = overrides if plan is None else {}
    run = labkit.training.train(plan, out=out, resume=resume, device=device, progress=not quiet, **rest)
    _write_curves(run)
    if not quiet:
        _summarize(run)
    print(run.path)
    if (run.result or {}).get("status") == "interrupted":
        raise typer.Exit(130)


def _train_pipeline(
    recipe: str | None,
    overrides: dict[str, Any],
    out: Path | None,
    resume: Path | None,
    device: str | None,
    quiet: bool,
) -> None:
    """Runs a pipeline; prints the table of its stages and, last, its folder."""
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
    print(run.path)
    if status == "interrupted":
        raise typer.Exit(130)


def pretrain(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="What to pretrain: tiny or micro.")],
    out: Annotated[Path | None, typer.Option(help="The folder for the model. Default: runs/MODEL-seedN.")] = None,
    settings: Settings = None,
    seed: Annotated[int | None, typer.Option(help="The seed; the same as --set seed=N.")] = None,
) -> None:
    """Pretrains a base model from random weights on its small world (tiny: about 20 minutes, micro: about 8).

    Look at: pretraining_loss.jsonl for how the loss falls, then `labkit eval FOLDER countdown` for what the
    base can do. The last line of standard output is the folder.
    """
    if model not in pretraining.BASES:
        raise UserError(f"no model {model!r} to pretrain; there is: {', '.join(pretraining.BASES)}")
    overrides = parse_settings(settings) | ({} if seed is None else {"seed": seed})
    try:
        chosen = pretraining.PretrainSettings(**pretraining.BASES[model].model_dump() | overrides)
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(pretraining.PretrainSettings.model_fields)
        raise UserError(f"pretraining: {'.'.join(map(str, first['loc']))}: {first['msg']} (keys: {known})") from None
    folder = out or Path("runs") / f"{model}-seed{chosen.seed}"
    if (folder / "config.json").exists():
        raise UserError(f"{folder} already holds a model: name another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the folder {folder}: {error.strerror}; name another --out") from None
    try:
        pretraining.pretrain(chosen, folder, model)
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror or error}") from error
    note(f"next: labkit eval {shlex.quote(str(folder))} countdown")
    print(folder)


def _plan(recipe: str, overrides: dict[str, Any]) -> Recipe:
    """The recipe with its overrides; a wrong key is found before anything is loaded or written."""
    name = overrides.pop("name", None)
    plan = load_recipe(recipe, **overrides)
    return plan if name is None else plan.model_copy(update={"name": str(name)})


def _announcement(plan: Recipe) -> str:
    evaluated = f"{plan.evaluation.problems} held-out problems x {plan.evaluation.samples} samples"
    first = f"; before and after: {evaluated}" if plan.evaluated else ""
    if plan.online:
        batch, of = f"{plan.sampling.prompts} prompts x {plan.sampling.samples} samples", plan.task
    else:
        batch, of = f"{plan.data.batch} rows", f"{plan.data.source} ({plan.algorithm})"
    return f"{plan.name}: {plan.model} on {of}, {plan.steps} steps of {batch}{first}"


def _write_curves(run: Run) -> None:
    """Draws curves.png into the run folder, where matplotlib is installed and a step has been logged."""
    logged = {key for line in run.metrics for key, value in line.items() if value is not None}
    if not logged:
        return
    os.environ.setdefault("MPLBACKEND", "Agg")
    try:
        from labkit.plots import learning_curves

        fields = CURVES if "response_length" in logged else DATA_CURVES
        fields = GOLD_CURVES if "gold_mean" in logged else fields
        figure = learning_curves([run], [field for field in fields if field in logged])
        figure.savefig(run.path / "curves.png", dpi=120)
    except ModuleNotFoundError as error:
        note(f"no curves.png: that needs {error.name} (pip install {error.name})")
    except OSError as error:
        note(f"no curves.png: {error.strerror or error}")


def _summarize(run: Run) -> None:
    """The closing summary: what changed, what to worry about, where things are, what to do next."""
    out, recipe, result, metrics = console(), run.recipe, run.result or {}, run.metrics
    where, product = shlex.quote(str(run.path)), product_of(recipe.get("algorithm", ""))
    steps = f"{result.get('steps', len(metrics))} of {recipe['steps']} steps in {result.get('seconds', 0):.0f} s"
    title = f"{recipe['name']}, seed {recipe['seed']}: {result.get('status')}, {steps}"
    reports = {"before": result.get("before"), "after": result.get("after")}
    if any(reports.values()):
        out.print(reports_table(reports, title))
        out.print("[dim]Intervals: 95 %, over problems (bootstrap).[/dim]")
    else:
        why = " (no evaluation: evaluation.problems is 0)" if product == "policy" else ""
        out.print(f"[bold]{escape(title)}[/bold]{why}")
    held_out = result.get("held_out") or {}
    if any(held_out.values()):
        out.print(held_out_table(held_out))
    for line in _worries(run, metrics):
        out.print(f"[yellow]warning:[/yellow] {escape(line)}")
    if result.get("status") != "finished":
        out.print(f"go on with it: labkit train --resume {where}")
    if (run.path / "curves.png").exists():
        out.print(f"curves:        {where}/curves.png", markup=False)
    if product == "outcome model":
        out.print(
            f"ask it:        labkit.load_reward_model({str(run.path)!r}).score(prompts, completions)", markup=False
        )
    elif product == "reward model":
        out.print(f"train on it:   labkit train rloo-assistant-tiny --set reward_model={where}", markup=False)
    else:
        browse = f"   (in a notebook: lk.browse({str(run.path)!r}))" if recipe.get("trainer", "rl") in RL else ""
        out.print(f"read answers:  labkit sample {where} {recipe['task']}{browse}", markup=False)
    out.print(f"compare:       labkit compare {where} OTHER_RUN --plot curves.png", markup=False)
    out.print("run folder:")


def _worries(run: Run, metrics: list[dict[str, Any]]) -> list[str]:
    """What a reader of the summary must know beside the numbers."""
    found = []
    faults, skipped = (sum(line.get(key) or 0 for line in metrics) for key in ("verifier_errors", "skipped"))
    if faults:
        judged = [row for row in run.rollouts() if "verifier_error" in (row["parts"] or {})]
        example = f", for instance: {judged[0]['reason']}" if judged else ""
        found.append(f"the verifier was at fault for {faults} answers, which scored 0{example}")
    if skipped:
        found.append(f"{skipped} optimiser steps were skipped because their gradient was not finite: lower the lr")
    last = metrics[-1] if metrics else {}
    if (last.get("truncated") or 0) > 0.2:
        found.append(f"{last['truncated']:.0%} of the last step's answers were cut off: raise max_new_tokens")
    return found
