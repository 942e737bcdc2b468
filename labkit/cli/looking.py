"""Commands that tell what there is: `recipes`, `tasks`, `models`, `doctor`, `version`."""

from dataclasses import replace
from textwrap import shorten
from typing import Annotated

import typer
from rich.text import Text

from labkit.cli.options import Device, Json, Settings, check_device, parse_settings
from labkit.cli.output import console, print_json, print_list, quietly
from labkit.doctor.estimates import Estimate, estimate
from labkit.doctor.machine import GIB, Diagnosis, examine, memory_gib, models_at_hand, versions
from labkit.errors import UserError
from labkit.recipes import is_pipeline, list_recipes, load_recipe
from labkit.recipes.pipeline import load_pipeline
from labkit.tasks import TASKS, availability, load_task

# What is said of tasks that are not loaded to be listed.
PLAIN = {
    "gsm8k": "grade-school word problems (GSM8K)",
    "math": "competition problems (MATH)",
    "reasoning_gym:NAME": "any data set of reasoning-gym with its own scorer, such as reasoning_gym:chain_sum",
    "file:PATH": 'JSON lines {"prompt": ..., "reference": ..., "verifier": name}',
}
STYLES = {"ok": "green", "note": "dim", "warning": "yellow", "missing": "bold red"}


def recipes(as_json: Json = False) -> None:
    """Lists the recipes that come with labkit.

    Look at: the time each takes, then `labkit train RECIPE`. A recipe of your own is a YAML file with the
    same keys.
    """
    rows = []
    for name, description in list_recipes().items():
        if is_pipeline(name):
            plan = load_pipeline(name)
            facts = {"model": plan.model, "task": plan.task, "algorithm": "pipeline"}
            facts |= {"steps": f"{len(plan.stages)} stages"}
        else:
            recipe = load_recipe(name)
            facts = {"model": recipe.model, "task": recipe.task, "algorithm": recipe.algorithm}
            facts |= {"steps": recipe.steps}
        rows.append({"name": name, **facts, "description": description})
    print_list(rows, ["name", "model", "task", "algorithm", "steps", "description"], as_json)


def tasks(as_json: Json = False) -> None:
    """Lists the tasks: prompts with a verifier, and where they come from.

    Look at: the example, then `labkit sample tiny TASK` for what the base model makes of it.
    """
    rows = []
    for row in availability():
        facts = {"example": None, "max_new_tokens": None, "description": PLAIN.get(row["name"], "")}
        if row["at_hand"] and row["name"] in TASKS:
            task = load_task(row["name"])
            facts = {"description": task.description, "example": task.sample(1, "test")[0].prompt}
            facts |= {"max_new_tokens": task.max_new_tokens}
        rows.append(row | facts)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row["at hand"] = "yes" if row["at_hand"] else "no"
        row["example"] = shorten(" ".join((row["example"] or "").split()), 60, placeholder=" ...")
        row["description"] += "" if row["at_hand"] else f"; from {row['where']}"
    print_list(rows, ["name", "at hand", "example", "description"], False)


def models(as_json: Json = False) -> None:
    """Lists the models that are at hand without a network.

    Look at: "at hand"; any other causal language model of the hub works by its id where there is a network.
    """
    rows = [{key: model[key] for key in ("name", "at_hand", "where", "description")} for model in models_at_hand()]
    if as_json:
        print_json(rows)
        return
    shown = [row | {"at hand": "yes" if row["at_hand"] else "no"} for row in rows]
    print_list(shown, ["name", "at hand", "description"], False)


def doctor(
    recipe: Annotated[
        str | None, typer.Option(help="Estimate memory and time of this recipe here, and nothing else.")
    ] = None,
    settings: Settings = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Looks whether everything is at hand, and says how to mend what is not.

    Look at: lines marked missing (mend them first) and warning (known traps); the smoke test's tokens per
    second. The exit status is 1 where something that is needed is missing.

    Example: `labkit doctor --recipe r1-zero-tiny --set prompts=64` says what a recipe will need on this device.
    """
    if recipe is not None:
        told = quietly(lambda: estimate(load_recipe(recipe, **parse_settings(settings)), check_device(device)))
        free = memory_gib() if told.free_bytes is None else None
        if free is not None:
            told = replace(told, free_bytes=int(free[1] * GIB))
        print_json(told.to_dict()) if as_json else _show_estimate(told)
        return
    if settings or device:
        raise UserError("--set and --device belong to an estimate: name its recipe with --recipe")
    diagnosis = quietly(examine)
    if as_json:
        print_json(diagnosis.to_dict())
    else:
        _show(diagnosis)
    if not diagnosis.ok:
        raise typer.Exit(1)


def version() -> None:
    """Prints the version of labkit, and of what it stands on."""
    found = versions()
    print(
        f"labkit {found['labkit']} (torch {found['torch']}, transformers {found['transformers']}, "
        f"Python {found['python']})"
    )


def _show(diagnosis: Diagnosis) -> None:
    out, section = console(), None
    width = max(len(finding.name) for finding in diagnosis.findings)
    for finding in diagnosis.findings:
        if finding.section != section:
            section = finding.section
            out.print(Text(f"\n{section}", style="bold"))
        line = Text("  ").append(f"{finding.status:8}", style=STYLES[finding.status])
        out.print(line.append(f" {finding.name:{width}}  {finding.found}"))
        if finding.mend is not None and finding.status != "ok":
            out.print(Text(f"{'':{width + 13}}mend: {finding.mend}", style="cyan"))
    counts = {kind: sum(f.status == kind for f in diagnosis.findings) for kind in ("missing", "warning")}
    verdict = "Everything that the lab needs is here." if diagnosis.ok else f"{counts['missing']} missing: see above."
    warned = f" Warnings: {counts['warning']}." if counts["warning"] else ""
    out.print(Text(f"\n{verdict}{warned}", style="bold green" if diagnosis.ok else "bold red"))


def _show_estimate(told: Estimate) -> None:
    """Memory by what it is for, the peak of each phase, whether it fits, and time."""
    out = console()
    out.print(Text(f"\n{told.recipe}: {told.model} on {told.device}", style="bold"))
    out.print(f"rows of up to {told.longest_row:,} tokens, micro-batches of {told.microbatch_tokens:,} tokens")
    for name, size in told.parts.items():
        out.print(f"  {name:12} {size / 2**20:10,.0f} MiB")
    phases = f"sampling {told.sampling_bytes / 2**20:,.0f} MiB, update {told.update_bytes / 2**20:,.0f} MiB"
    out.print(
        Text(f"peak         {told.peak_bytes / 2**20:10,.0f} MiB  ({phases}; Python itself left out)", style="bold")
    )
    if told.fits is False:
        out.print(Text(f"does not fit: {told.free_bytes / 2**20:,.0f} MiB are free", style="bold red"))
        mend = (
            "optimizer.microbatch_tokens lower, optimizer.gradient_checkpointing=true, lora, fewer or shorter samples"
        )
        out.print(Text(f"mend: {mend}", style="cyan"))
    elif told.fits:
        out.print(Text(f"fits: {told.free_bytes / 2**20:,.0f} MiB are free", style="green"))
    if told.seconds:
        step = f"{told.seconds['sample']:.1f} s of sampling and {told.seconds['train']:.1f} s of training a step"
        out.print(
            f"time: at most {step}, {told.seconds['run'] / 60:,.0f} min in all, if every answer is of full length"
        )
