"""Commands that tell what there is: `recipes`, `tasks`, `models`, `doctor`, `version`."""

from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.options import Device, Json, Settings, check_device, parse_settings
from labkit.cli.output import console, print_json, print_list, quietly
from labkit.errors import UserError

if TYPE_CHECKING:
    from labkit.doctor.estimates import Estimate
    from labkit.doctor.machine import Diagnosis

# The descriptions of tasks that are listed without being loaded.
PLAIN = {
    "gsm8k": "grade-school word problems (GSM8K)",
    "math": "competition problems (MATH)",
    "reasoning_gym:NAME": "any data set of reasoning-gym with its own scorer, such as reasoning_gym:chain_sum",
    "file:PATH": 'JSON lines {"prompt": ..., "reference": ..., "verifier": name}',
}
STYLES = {"ok": "green", "note": "dim", "warning": "yellow", "missing": "bold red"}


def recipes(as_json: Json = False) -> None:
    """Lists the recipes that come with labkit.

    Look at: the time that each takes, then `labkit train RECIPE`. A recipe of your own is a YAML file with the
    same keys.
    """
    from labkit.recipes.files import summaries

    columns = ["name", "model", "task", "trainer", "algorithm", "steps", "description"]
    print_list(summaries(), columns, as_json)


def tasks(as_json: Json = False) -> None:
    """Lists the tasks, each a source of prompts with a verifier.

    Look at: the example, then `labkit sample tiny TASK` for what the base model answers.
    """
    import random
    from textwrap import shorten

    from labkit.tasks import TASKS, availability, load_task

    rows = []
    for row in availability():
        facts = {"example": None, "max_new_tokens": None, "description": PLAIN.get(row["name"], "")}
        if row["at_hand"] and row["name"] in TASKS:
            task = load_task(row["name"])
            example = task.draw("test", random.Random(0)).prompt  # `sample` would make every problem of a finite task
            facts = {"description": task.description, "example": example}
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
    from labkit.models.at_hand import models_at_hand

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
    """Checks that all is at hand, and says how to fix the rest.

    Look at: lines marked missing (fix them first) and warning (known traps); the smoke test's tokens per
    second. The exit status is 1 where something that is needed is missing.

    Example: `labkit doctor --recipe r1-zero-tiny --set prompts=64` says what a recipe will need on this device.
    """
    if recipe is not None:
        _estimate_or_show(recipe, settings, device, as_json)
        return
    if settings or device:
        raise UserError("--set and --device belong to an estimate: name its recipe with --recipe")
    from labkit.doctor.machine import examine

    diagnosis = quietly(examine)
    if as_json:
        print_json(diagnosis.to_dict())
    else:
        _show(diagnosis)
    if not diagnosis.ok:
        raise typer.Exit(1)


def version() -> None:
    """Prints the versions of labkit and of what it is built on."""
    from labkit.doctor.packages import versions

    found = versions()
    print(
        f"labkit {found['labkit']} (torch {found['torch']}, transformers {found['transformers']}, "
        f"Python {found['python']})"
    )


def _show(diagnosis: "Diagnosis") -> None:
    from rich.text import Text

    out, section = console(), None
    width = max(len(finding.name) for finding in diagnosis.findings)
    for finding in diagnosis.findings:
        if finding.section != section:
            section = finding.section
            out.print(Text(f"\n{section}", style="bold"))
        line = Text("  ").append(f"{finding.status:8}", style=STYLES[finding.status])
        out.print(line.append(f" {finding.name:{width}}  {finding.found}"))
        if finding.fix is not None and finding.status != "ok":
            out.print(Text(f"{'':{width + 13}}fix: {finding.fix}", style="cyan"))
    counts = {kind: sum(f.status == kind for f in diagnosis.findings) for kind in ("missing", "warning")}
    verdict = "Everything that the lab needs is here." if diagnosis.ok else f"{counts['missing']} missing: see above."
    warned = f" Warnings: {counts['warning']}." if counts["warning"] else ""
    out.print(Text(f"\n{verdict}{warned}", style="bold green" if diagnosis.ok else "bold red"))


def _estimate_or_show(recipe: str, settings: list[str] | None, device: str | None, as_json: bool) -> None:
    """Prints what a recipe needs, or what each stage of a pipeline needs and all of them together."""
    from labkit.recipes import is_pipeline, load_recipe
    from labkit.recipes.pipeline import load_pipeline

    changes, device = parse_settings(settings), check_device(device)
    if not is_pipeline(recipe):
        from labkit.doctor.estimates import estimate

        single = load_recipe(recipe, **changes)
        needs = quietly(lambda: _with_free_memory(estimate(single, device)))
        print_json(needs.to_dict()) if as_json else _show_estimate(needs)
        return
    from labkit.doctor.pipelines import estimate_pipeline

    pipeline = load_pipeline(recipe, **changes)
    found = quietly(lambda: estimate_pipeline(pipeline, device))
    if as_json:
        print_json(found.to_dict())
        return
    for stage in found.stages.values():
        _show_estimate(_with_free_memory(stage))
    print(
        f"\n{found.recipe}: peak {found.peak_bytes / 2**20:,.0f} MiB, at most {found.seconds / 60:,.0f} min in all, "
        "without evaluations and stages whose rows are made on the way"
    )


def _with_free_memory(needs: "Estimate") -> "Estimate":
    """On a CPU with the memory that is free now."""
    from dataclasses import replace

    from labkit.doctor.machine import GIB, memory_gib

    memory = memory_gib() if needs.free_bytes is None else None
    return needs if memory is None else replace(needs, free_bytes=int(memory[1] * GIB))


def _show_estimate(needs: "Estimate") -> None:
    """Prints memory by what it is for, the peak of each phase, whether it fits, and time."""
    from rich.text import Text

    out = console()
    out.print(Text(f"\n{needs.recipe}: {needs.model} on {needs.device}", style="bold"))
    out.print(f"rows of up to {needs.longest_row:,} tokens, micro-batches of {needs.microbatch_tokens:,} tokens")
    for name, size in needs.parts.items():
        out.print(f"  {name:12} {size / 2**20:10,.0f} MiB")
    phases = f"sampling {needs.sampling_bytes / 2**20:,.0f} MiB, update {needs.update_bytes / 2**20:,.0f} MiB"
    peak = f"peak         {needs.peak_bytes / 2**20:10,.0f} MiB  ({phases}; without Python itself)"
    out.print(Text(peak, style="bold"))
    if needs.fits is False:
        out.print(Text(f"does not fit: {needs.free_bytes / 2**20:,.0f} MiB are free", style="bold red"))
        fix = "optimizer.microbatch_tokens lower, optimizer.gradient_checkpointing=true, lora, fewer or shorter samples"
        out.print(Text(f"fix: {fix}", style="cyan"))
    elif needs.fits:
        out.print(Text(f"fits: {needs.free_bytes / 2**20:,.0f} MiB are free", style="green"))
    if needs.seconds and not needs.seconds["sample"]:
        run, step = needs.seconds["run"], needs.seconds["train"]
        out.print(f"time: about {step:.1f} s per step, {run / 60:,.0f} min in all")
    elif needs.seconds:
        step = f"{needs.seconds['sample']:.1f} s of sampling and {needs.seconds['train']:.1f} s of training per step"
        total = f"{needs.seconds['run'] / 60:,.0f} min in all"
        out.print(f"time: at most {step}, {total}, if every answer is of full length")
