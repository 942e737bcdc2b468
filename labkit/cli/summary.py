"""What `labkit train` says: what a run will do, then what changed, what to worry about and what to do next."""

import shlex
from typing import Any

from rich.markup import escape

from labkit.cli.output import console, note
from labkit.cli.reports import held_out_table, reports_table
from labkit.printable import printable
from labkit.recipes import Recipe
from labkit.recipes.trainers import RL, product_of
from labkit.runs import Run

CURVES = ("pass_rate", "response_length", "truncated", "entropy", "attempts", "backtracks")
# What is drawn instead, where rewards are real numbers or the policy learned from data.
GOLD_CURVES = ("reward_mean", "gold_mean", "kl", "response_length", "entropy", "explained_variance")
DATA_CURVES = ("loss", "accuracy", "margin", "logprob_chosen", "logprob_rejected", "reward_chosen")


def announcement(plan: Recipe) -> str:
    """The run that begins, in a line."""
    evaluated = f"{plan.evaluation.problems} held-out problems x {plan.evaluation.samples} samples"
    first = f"; before and after: {evaluated}" if plan.evaluated else ""
    if plan.online:
        batch, of = f"{plan.sampling.prompts} prompts x {plan.sampling.samples} samples", plan.task
    else:
        batch, of = f"{plan.data.batch} rows", f"{plan.data.source} ({plan.algorithm})"
    return f"{plan.name}: {plan.model} on {of}, {plan.steps} steps of {batch}{first}"


def write_curves(run: Run) -> None:
    """Draws curves.png into the run folder, where matplotlib is installed and a step has been logged."""
    logged = {key for line in run.metrics for key, value in line.items() if value is not None}
    if not logged:
        return
    try:
        from labkit.plots import learning_curves

        fields = CURVES if "response_length" in logged else DATA_CURVES
        fields = GOLD_CURVES if "gold_mean" in logged else fields
        figure = learning_curves([run], [field for field in fields if field in logged])
        figure.savefig(run.path / "curves.png", dpi=120)
    except ModuleNotFoundError as error:
        note(f"no curves.png: that needs {error.name} (pip install {error.name})")
    except Exception as error:  # the run is over and its result written: a figure must not end it
        note(f"no curves.png: {getattr(error, 'strerror', None) or f'{type(error).__name__}: {error}'}")


def summarize(run: Run) -> None:
    """Prints the closing summary."""
    out, recipe, result, metrics = console(), run.recipe, run.result or {}, run.metrics
    where, product = shlex.quote(str(run.path)), product_of(recipe.get("algorithm", ""))
    steps = f"{result.get('steps', len(metrics))} of {recipe['steps']} steps in {result.get('seconds', 0):.0f} s"
    title = printable(f"{recipe['name']}, seed {recipe['seed']}: {result.get('status')}, {steps}")
    reports = {"before": result.get("before"), "after": result.get("after")}
    evaluated = any(reports.values())
    why = " (no evaluation: evaluation.problems is 0)" if product == "policy" and not evaluated else ""
    out.print(f"[bold]{escape(title)}[/bold]{why}")
    if evaluated:
        print(reports_table(reports))
        out.print("[dim]Intervals: 95 %, over problems (bootstrap).[/dim]")
    held_out = result.get("held_out") or {}
    if any(held_out.values()):
        out.print("[bold]Held-out rows[/bold]")
        print(held_out_table(held_out))
    for line in _worries(run, metrics):
        out.print(f"[yellow]warning:[/yellow] {escape(printable(line))}")
    if result.get("status") != "finished":
        print(f"go on with it: labkit train --resume {where}")
    if (run.path / "curves.png").exists():
        print(f"curves:        {where}/curves.png")
    if product == "outcome model":
        print(f"ask it:        labkit.load_reward_model({str(run.path)!r}).score(prompts, completions)")
    elif product == "reward model":
        print(f"train on it:   labkit train rloo-assistant-tiny --set reward_model={where}")
    else:
        browse = f"   (in a notebook: lk.browse({str(run.path)!r}))" if recipe.get("trainer", "rl") in RL else ""
        print(f"read answers:  labkit sample {where} {recipe['task']}{browse}")
    print(f"compare:       labkit compare {where} OTHER_RUN --plot curves.png")
    print("run folder:")


def _worries(run: Run, metrics: list[dict[str, Any]]) -> list[str]:
    """What a reader of the summary must know next to the numbers."""
    found = []
    faults, skipped = (sum(line.get(key) or 0 for line in metrics) for key in ("verifier_errors", "skipped"))
    if faults:
        examples = [row["reason"] for row in run.rollouts() if "verifier_error" in (row["parts"] or {})]
        example = f", for instance: {examples[0]}" if examples else ""
        found.append(f"the verifier was at fault for {faults} answers, which scored 0{example}")
    if skipped:
        found.append(f"{skipped} optimiser steps were skipped because their gradient was not finite: lower the lr")
    last = metrics[-1] if metrics else {}
    if (last.get("truncated") or 0) > 0.2:
        found.append(f"{last['truncated']:.0%} of the last step's answers were cut off: raise max_new_tokens")
    return found
