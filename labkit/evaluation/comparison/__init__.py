"""Runs side by side: a table, paired differences from the first run, a summary over seeds, warnings.

The unit of a paired difference is the held-out problem. Both runs answered the same problems, so the difference is
taken problem by problem, and its interval does not depend on how hard the problems are. It says nothing about other
seeds of the same recipe: give several seeds, and they are summarised with an interval over seeds.
"""

import html
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from labkit.errors import UserError
from labkit.evaluation.comparison.settings import BUDGET, differences, flatten, recipe_labels, run_labels
from labkit.evaluation.intervals import bootstrap_interval, t_interval
from labkit.evaluation.plain import graded, interval_of, pass_at_1
from labkit.printable import printable
from labkit.runs import Run, open_run
from labkit.tables import html_table, joined, number, table, with_interval


@dataclass(frozen=True)
class RunRow:
    """One run in numbers; rates are shares of samples, lengths are tokens. None: the run has no such number (yet).

    `reward_*`: mean rewards of the answers to held-out problems, useful where they are graded. `held_out`: the share of
    held-out pairs in the right order, of a reward model or of a preference loss such as DPO.
    """

    run: str
    path: str
    recipe: str
    seed: int
    status: str
    steps: int
    before: float | None
    before_interval: list[float] | None
    after: float | None
    after_interval: list[float] | None
    length_before: float | None
    length_after: float | None
    truncated_before: float | None
    truncated_after: float | None
    reward_before: float | None
    reward_after: float | None
    reward_after_interval: list[float] | None
    held_out: float | None
    held_out_interval: list[float] | None
    seconds: float | None
    tokens_per_second: float | None


@dataclass(frozen=True)
class Pair:
    """pass@1 (or the mean reward: see `what`) of `second` minus that of `first` over the same problems.

    `interval` is a 95 % bootstrap interval over problems; `better` and `worse` count problems. Where the two runs can't
    be paired, `why_not` says why, and the other numbers are None.
    """

    first: str
    second: str
    problems: int | None = None
    difference: float | None = None
    interval: list[float] | None = None
    better: int | None = None
    worse: int | None = None
    why_not: str | None = None
    what: str = "pass@1"


@dataclass(frozen=True)
class Seeds:
    """Runs that differ only in their seed: mean pass@1 over `n` seeds, with a 95 % t interval."""

    recipe: str
    seeds: list[int]
    n: int
    before: float | None
    after: float
    interval: list[float]


@dataclass
class Comparison:
    """Runs compared: `print` it, end a notebook cell with it, or take `to_dict()`. `opened`: the runs themselves."""

    runs: list[RunRow]
    pairs: list[Pair]
    seeds: list[Seeds]
    settings: dict[str, list[Any]]
    warnings: list[str]
    opened: list[Run]

    @classmethod
    def of(cls, runs: Run | str | Path | Sequence[Run | str | Path]) -> Self:
        """Compares runs, given as Run or as path: each in numbers, the first with each other one, seeds together.

        Runs that differ in data or budget are compared too, with a warning that says in what. Raises UserError
        where no run is given or where a path holds none.
        """
        listed = [runs] if isinstance(runs, Run | str | Path) else list(runs)
        if not listed:
            raise UserError("compare needs at least one run")
        opened = [run if isinstance(run, Run) else open_run(run) for run in listed]
        labels = run_labels(opened)
        rows = [_row(run, label) for run, label in zip(opened, labels, strict=True)]
        pairs = [_pair(opened[0], run, labels[0], label) for run, label in zip(opened[1:], labels[1:], strict=True)]
        recipes = [flatten(run.recipe) for run in opened]
        seeds, warnings = _seed_groups(opened, rows), _warnings(opened, rows, recipes)
        return cls(rows, pairs, seeds, differences(recipes), warnings, opened)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain data, for JSON."""
        return {
            "runs": [asdict(row) for row in self.runs],
            "pairs": [asdict(pair) for pair in self.pairs],
            "seeds": [asdict(group) for group in self.seeds],
            "settings": self.settings,
            "warnings": self.warnings,
        }

    def tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """The title, the header and the rows of each table, all as text."""
        head = [
            "run",
            "recipe",
            "seed",
            "steps",
            "pass@1 before -> after",
            "length",
            "truncated",
            "time",
            "tokens/s",
        ]
        tables = [("Runs", head, [_cells(row) for row in self.runs])]
        if any(graded(_report(run, when)) for run in self.opened for when in ("before", "after")):
            tables.append(("Mean reward", ["run", "before", "after"], [_reward_cells(row) for row in self.runs]))
        if any(row.held_out is not None for row in self.runs):
            rows = [[row.run, with_interval(row.held_out, row.held_out_interval)] for row in self.runs]
            tables.append(("Held-out pairs in the right order, after training", ["run", "accuracy"], rows))
        if self.pairs:
            rows = [_pair_cells(pair) for pair in self.pairs]
            head = ["run", "minus", "difference", "of", "problems", "better", "worse"]
            tables.append((f"Paired with {self.pairs[0].first}, over problems", head, rows))
        if self.seeds:
            rows = [
                [g.recipe, str(g.n), joined(g.seeds), number(g.before), with_interval(g.after, g.interval)]
                for g in self.seeds
            ]
            tables.append(("Over seeds", ["recipe", "n", "seeds", "pass@1 before", "pass@1 after"], rows))
        if self.settings:
            rows = [[key, *map(str, values)] for key, values in self.settings.items()]
            tables.append(("Settings that differ", ["setting", *(row.run for row in self.runs)], rows))
        return tables

    def __str__(self) -> str:
        parts = [f"{title}\n{table(header, rows)}" for title, header, rows in self.tables()]
        return "\n\n".join([*parts, *(f"warning: {printable(line)}" for line in self.warnings)])

    def _repr_html_(self) -> str:
        parts = [f"<h4>{html.escape(title)}</h4>{html_table(header, rows)}" for title, header, rows in self.tables()]
        return "".join([*parts, *(f"<p><b>Warning:</b> {html.escape(line)}</p>" for line in self.warnings)])


def _row(run: Run, label: str) -> RunRow:
    recipe, result = run.recipe, run.result or {}
    before, after = _report(run, "before"), _report(run, "after")
    held_out = (result.get("held_out") or {}).get("after") or {}
    return RunRow(
        run=label,
        path=str(run.path),
        recipe=str(recipe.get("name")),
        seed=int(recipe.get("seed", 0)),
        status=str(result.get("status", "running")),
        steps=len(run.metrics),
        before=pass_at_1(before),
        before_interval=interval_of(before),
        after=pass_at_1(after),
        after_interval=interval_of(after),
        length_before=before.get("mean_length"),
        length_after=after.get("mean_length"),
        truncated_before=before.get("truncated"),
        truncated_after=after.get("truncated"),
        reward_before=before.get("mean_reward"),
        reward_after=after.get("mean_reward"),
        reward_after_interval=after.get("interval", {}).get("mean_reward"),
        held_out=held_out.get("accuracy"),
        held_out_interval=held_out.get("interval"),
        seconds=result.get("seconds"),
        tokens_per_second=result.get("tokens_per_second"),
    )


def _pair(first: Run, second: Run, first_label: str, second_label: str) -> Pair:
    why_not = _why_not(first, second, first_label, second_label)
    if why_not is not None:
        return Pair(first_label, second_label, why_not=why_not)
    reports = [_report(run, "after") for run in (first, second)]
    # Graded rewards are compared as such: their pass@1 is only the share of perfect answers.
    rewards = all(graded(report) and report.get("rewards_per_problem") for report in reports)
    key = "rewards_per_problem" if rewards else "per_problem"
    a, b = (np.array(report[key], dtype=float) for report in reports)
    change = b - a
    return Pair(
        first_label,
        second_label,
        problems=len(change),
        difference=float(change.mean()),
        interval=list(bootstrap_interval(change)),
        better=int((change > 0).sum()),
        worse=int((change < 0).sum()),
        what="mean reward" if rewards else "pass@1",
    )


def _why_not(first: Run, second: Run, first_label: str, second_label: str) -> str | None:
    """Why two runs can't be paired problem by problem, or None."""
    for run, label in ((first, first_label), (second, second_label)):
        if not _report(run, "after").get("per_problem"):
            return f"{label} has no evaluation after training"
    ours, theirs = (_evaluation_facts(run) for run in (first, second))
    apart = [f"{key} ({ours[key]} and {theirs[key]})" for key in ours if ours[key] != theirs[key]]
    return f"they were evaluated differently: {', '.join(apart)}" if apart else None


def _evaluation_facts(run: Run) -> dict[str, Any]:
    """Settings that must agree, or problem i of one evaluation is not problem i of the other, asked in the same way."""
    recipe = run.recipe
    settings = recipe.get("evaluation", {})
    return {
        "task": _report(run, "after").get("task"),
        # A run that learns from data has two fingerprints: of these data, and of the task that evaluates it.
        "data fingerprint": run.environment.get("task_fingerprint", run.environment.get("data_fingerprint")),
        "problems": len(_report(run, "after")["per_problem"]),
        "evaluation seed": settings.get("seed"),
        "temperature": settings.get("temperature"),
        "longest completion": settings.get("max_new_tokens") or recipe.get("sampling", {}).get("max_new_tokens"),
    }


def _seed_groups(opened: list[Run], rows: list[RunRow]) -> list[Seeds]:
    """Finished runs with equal recipes except for the seed; a seed that was run twice counts once."""
    groups: dict[str, dict[int, RunRow]] = {}
    for label, row in zip(recipe_labels(opened), rows, strict=True):
        if row.after is not None:
            groups.setdefault(label, {}).setdefault(row.seed, row)
    seeds = []
    for label, members in groups.items():
        if len(members) < 2:
            continue
        after = [row.after for row in members.values() if row.after is not None]
        before = [row.before for row in members.values() if row.before is not None]
        mean_before = math.fsum(before) / len(before) if before else None
        mean_after = math.fsum(after) / len(after)
        seeds.append(Seeds(label, sorted(members), len(members), mean_before, mean_after, list(t_interval(after))))
    return seeds


def _warnings(opened: list[Run], rows: list[RunRow], recipes: list[dict[str, Any]]) -> list[str]:
    """One line for each fact that makes the runs hard to compare."""
    warnings = []
    prints = [run.environment.get("data_fingerprint") for run in opened]
    if len(set(prints)) > 1:
        warnings.append(
            f"these runs differ in their data (fingerprints {joined(prints)}): they learned different things"
        )
    budget = {key: values for key, values in differences(recipes).items() if key.startswith(BUDGET)}
    if budget:
        told = "; ".join(f"{key} ({joined(values)})" for key, values in budget.items())
        warnings.append(f"these runs differ in {told}: what sets them apart may be that and not the method")
    for row, recipe in zip(rows, recipes, strict=True):
        if row.status != "finished":
            warnings.append(f"{row.run} is {row.status} after {row.steps} of {recipe.get('steps')} steps")
    times = Counter(zip(recipe_labels(opened), (row.seed for row in rows), strict=True))
    for (name, seed), count in times.items():
        if count > 1:
            warnings.append(f"{name} with seed {seed} is here {count} times; it counts once among the seeds")
    machines = [(run.environment.get("device"), run.environment.get("threads")) for run in opened]
    if len(set(machines)) > 1:
        told = joined([f"{device}, {threads} threads" for device, threads in machines])
        warnings.append(f"these runs ran on different machines ({told}): their times do not compare")
    return warnings


def _report(run: Run, when: str) -> dict[str, Any]:
    """The evaluation "before" or "after" training; empty where there is none."""
    return (run.result or {}).get(when) or {}


def _cells(row: RunRow) -> list[str]:
    before, after = (
        with_interval(row.before, row.before_interval),
        with_interval(row.after, row.after_interval),
    )
    length = f"{number(row.length_before, 0)} -> {number(row.length_after, 0)}"
    truncated = f"{number(row.truncated_before, 2)} -> {number(row.truncated_after, 2)}"
    time = "-" if row.seconds is None else f"{row.seconds:.0f} s"
    speed = number(row.tokens_per_second, 0)
    return [
        row.run,
        row.recipe,
        str(row.seed),
        str(row.steps),
        f"{before} -> {after}",
        length,
        truncated,
        time,
        speed,
    ]


def _reward_cells(row: RunRow) -> list[str]:
    return [row.run, number(row.reward_before), with_interval(row.reward_after, row.reward_after_interval)]


def _pair_cells(pair: Pair) -> list[str]:
    if pair.why_not is not None:
        return [pair.second, pair.first, f"cannot be paired: {pair.why_not}", "-", "-", "-", "-"]
    change = with_interval(pair.difference, pair.interval, sign="+")
    return [pair.second, pair.first, change, pair.what, str(pair.problems), str(pair.better), str(pair.worse)]
