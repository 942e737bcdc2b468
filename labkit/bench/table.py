"""Rows of a benchmark as text."""

from labkit.bench.race import Row
from labkit.tables import table

HEAD = (
    "what",
    "side",
    "rows",
    "tokens/s",
    "seconds",
    "fastest..slowest",
    "of ceiling",
    "labkit is faster by",
)


def format_table(rows: list[Row]) -> str:
    """The rows as an aligned table, with notes, the parts of a turn and the device below it."""
    below = [*_notes(rows), *_breakdowns(rows), *_device(rows)]
    return "\n".join([table(HEAD, list(map(_cells, rows))), *([""] if below else []), *below])


def _notes(rows: list[Row]) -> list[str]:
    """A line per side; in a ladder, the notes of the last batch stand for all."""
    last = {row["side"]: row["notes"] for row in rows}
    return [f"{side}: {notes}" for side, notes in last.items() if notes]


def _breakdowns(rows: list[Row]) -> list[str]:
    """Where the time of each turn went, and how much of the device training used."""
    found = []
    for row in rows:
        parts, who = row.get("parts") or {}, f"{row['side']}, {row['batch']} rows"
        if parts:
            longest_first = sorted(parts.items(), key=lambda part: -part[1])
            shares = ", ".join(f"{name} {seconds / row['seconds']:.0%}" for name, seconds in longest_first)
            found.append(f"{who}: {shares}")
        if "mfu" in row:
            nominal = row["mfu"]["nominal"]
            share = "" if nominal is None else f", {nominal:.1%} of the maker's"
            found.append(f"{who}: MFU {row['mfu']['measured']:.1%} of the measured matmul rate{share}")
    return found


def _device(rows: list[Row]) -> list[str]:
    facts = rows[0].get("device") if rows else None
    if not facts:
        return []
    rates = f"{facts['bytes_per_second'] / 1e9:,.0f} GB/s, {facts['flops_per_second'] / 1e12:,.2f} TFLOP/s"
    return [f"{facts['name']}: measured {rates} in {facts['dtype']}"]


def _cells(row: Row) -> tuple[str, ...]:
    low, high = row["spread"]
    ratios = ", ".join(f"{value:.2f}x {peer}" for peer, value in row["ratio"].items())
    workload = row.get("workload", "task")
    return (
        row["what"] + ("" if workload == "task" else f" ({workload})"),
        row["side"],
        str(row["batch"]),
        f"{row['tokens_per_second']:,.0f}",
        f"{row['seconds']:.3f}",
        f"{low:.3f}..{high:.3f}",
        f"{row['ceiling_fraction']:.3f}",
        ratios,
    )
