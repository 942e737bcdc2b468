"""What commands print: one JSON document, tables of evaluations, notes about progress."""

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from labkit.evaluation.comparison.tables import number, text_table, with_interval
from labkit.evaluation.intervals import bootstrap_interval
from labkit.evaluation.plain import graded
from labkit.runs import finite

RATES = {"mean_length": "mean length, tokens", "truncated": "truncated", "well_formed": "well formed"}
REST = {"attempts": "attempts", "backtracks": "backtracks", "thinks": "uses <think>"}


def note(text: str) -> None:
    """A line about what is going on, on standard error."""
    print(text, file=sys.stderr, flush=True)


def announce(text: str) -> None:
    """What is about to happen, for someone who waits in front of a terminal."""
    if sys.stderr.isatty():
        note(text)


class _Console(Console):
    """Leaves a closed pipe to the command line's own handling; rich would end the process with status 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """Standard output for rich; lines are as long as they are when nobody looks at them in a terminal."""
    return _Console(soft_wrap=True) if sys.stdout.isatty() else _Console(width=200, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document; numbers that are not finite become null."""
    print(json.dumps(finite(value), indent=1))


def quietly(work: Callable[[], Any]) -> Any:
    """The result of some work that may print: what it prints goes to standard error."""
    with redirect_stdout(sys.stderr):
        return work()


def print_list(rows: list[dict[str, Any]], columns: list[str], as_json: bool) -> None:
    """Rows as JSON, or some of their columns as a plain table."""
    if as_json:
        print_json(rows)
    else:
        print(text_table(columns, [[str(row[column]) for column in columns] for row in rows]))


def reports_table(reports: dict[str, dict[str, Any] | None], title: str) -> Table:
    """A table with a column an evaluation, and with the paired change of pass@1 where there are two."""
    found = {name: report for name, report in reports.items() if report}
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    table.add_column("")
    for name in found:
        table.add_column(name, justify="right")
    change = _change(list(found.values()))
    if change:
        table.add_column("change", justify="right")
    for row in _rows(list(found.values())):
        extra = ([change] if row[0] == "pass@1" else [""]) if change else []
        table.add_row(*row, *extra)
    return table


def held_out_table(held_out: dict[str, dict[str, Any] | None]) -> Table:
    """A table of what was measured on held-out rows before and after; lists (a calibration curve) are left out."""
    found = {name: report for name, report in held_out.items() if report}
    table = Table(title="Held-out rows", box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    table.add_column("")
    for name in found:
        table.add_column(name, justify="right")
    keys = dict.fromkeys(key for report in found.values() for key, value in report.items() if _is_single(value))
    for key in keys:
        bounds = "interval" if key == "accuracy" else ""
        cells = [with_interval(report.get(key), report.get(bounds)) for report in found.values()]
        table.add_row(key.replace("_", " "), *cells)
    return table


def _is_single(value: Any) -> bool:
    return isinstance(value, int | float)


def _rows(reports: list[dict[str, Any]]) -> list[list[str]]:
    most = max(reports[0]["pass_at_k"], key=int)
    rows = []
    for k in dict.fromkeys(("1", most)):
        cells = [with_interval(r["pass_at_k"].get(k), r["interval"].get(f"pass_at_{k}")) for r in reports]
        rows.append([f"pass@{k}", *cells])
    if any(map(graded, reports)):
        cells = [with_interval(r.get("mean_reward"), r["interval"].get("mean_reward")) for r in reports]
        rows.append(["mean reward", *cells])
    if most != "1":
        rows.append([f"maj@{most}", *(number(r["maj_at_k"].get(most)) for r in reports)])
    for key, name in RATES.items():
        if any(_is_number(r[key]) for r in reports):
            rows.append([name, *(number(r[key], 1 if key == "mean_length" else 3) for r in reports)])
    for key, name in REST.items():
        if all(key in r.get("behaviours", {}) for r in reports):
            rows.append([name, *(number(r["behaviours"][key], 2) for r in reports)])
    return rows


def _change(reports: list[dict[str, Any]]) -> str | None:
    """The change of pass@1 from the first report to the second, problem by problem, with its interval."""
    if len(reports) != 2 or len(reports[0]["per_problem"]) != len(reports[1]["per_problem"]):
        return None
    change = np.array(reports[1]["per_problem"]) - np.array(reports[0]["per_problem"])
    return with_interval(float(change.mean()), list(bootstrap_interval(change)), sign="+")


def _is_number(value: Any) -> bool:
    return value is not None and value == value
