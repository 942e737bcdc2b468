"""Evaluations as tables: a column per evaluation, with the change of pass@1 where there are two."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from labkit.evaluation.intervals import bootstrap_interval
from labkit.tables import number, table, with_interval

RATES = {"mean_length": "mean length, tokens", "truncated": "truncated", "well_formed": "well formed"}
BEHAVIOURS = {"attempts": "attempts", "backtracks": "backtracks", "thinks": "uses <think>"}
Reports = Mapping[str, Mapping[str, Any] | None]
"""Evaluations by name, as `Report.to_dict` gives them; None where one was not made."""


def reports_table(reports: Reports) -> str:
    """A column per evaluation, and one for the paired change of pass@1 where there are two evaluations."""
    found = {name: report for name, report in reports.items() if report}
    rows, change = _rows(list(found.values())), _change(list(found.values()))
    if change is None:
        return table(["", *found], rows)
    return table(["", *found, "change"], [[*row, change if row[0] == "pass@1" else ""] for row in rows])


def held_out_table(held_out: Reports) -> str:
    """What was measured on held-out rows before and after; lists (a calibration curve) are left out."""
    found = {name: report for name, report in held_out.items() if report}
    keys = dict.fromkeys(key for report in found.values() for key, value in report.items() if _is_single(value))
    rows = []
    for key in keys:
        bounds = "interval" if key == "accuracy" else ""
        cells = [with_interval(report.get(key), report.get(bounds)) for report in found.values()]
        rows.append([key.replace("_", " "), *cells])
    return table(["", *found], rows)


def _rows(reports: list[Mapping[str, Any]]) -> list[list[str]]:
    most = max(reports[0]["pass_at_k"], key=int)
    rows = []
    for k in dict.fromkeys(("1", most)):
        cells = [with_interval(r["pass_at_k"].get(k), r["interval"].get(f"pass_at_{k}")) for r in reports]
        rows.append([f"pass@{k}", *cells])
    if any(_is_graded(r) for r in reports):
        cells = [with_interval(r.get("mean_reward"), r["interval"].get("mean_reward")) for r in reports]
        rows.append(["mean reward", *cells])
    if most != "1":
        rows.append([f"maj@{most}", *(number(r["maj_at_k"].get(most)) for r in reports)])
    for key, name in RATES.items():
        if any(_is_number(r[key]) for r in reports):
            rows.append([name, *(number(r[key], 1 if key == "mean_length" else 3) for r in reports)])
    for key, name in BEHAVIOURS.items():
        if all(key in r.get("behaviours", {}) for r in reports):
            rows.append([name, *(number(r["behaviours"][key], 2) for r in reports)])
    return rows


def _change(reports: list[Mapping[str, Any]]) -> str | None:
    """The change of pass@1 from the first report to the second, problem by problem, with its interval."""
    if len(reports) != 2 or len(reports[0]["per_problem"]) != len(reports[1]["per_problem"]):
        return None
    change = np.array(reports[1]["per_problem"]) - np.array(reports[0]["per_problem"])
    return with_interval(float(change.mean()), list(bootstrap_interval(change)), sign="+")


def _is_graded(report: Mapping[str, Any]) -> bool:
    """Whether the rewards say more than pass@1 does: some of them are neither 0 nor 1."""
    reward = report.get("mean_reward")
    return _is_number(reward) and abs(reward - report["pass_at_k"]["1"]) > 1e-9


def _is_single(value: Any) -> bool:
    return isinstance(value, int | float)


def _is_number(value: Any) -> bool:
    return value is not None and value == value
