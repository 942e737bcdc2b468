"""Rows of a benchmark as text."""

from labkit.bench.race import Row

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
    """The rows as an aligned table, with each side's notes below it."""
    lines = [HEAD, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    texts = [_justify(line, widths) for line in lines]
    texts.insert(1, "  ".join("-" * width for width in widths))
    notes = [f"{row['side']}: {row['notes']}" for row in rows if row["notes"]]
    return "\n".join([*texts, *([""] if notes else []), *notes])


def _cells(row: Row) -> tuple[str, ...]:
    low, high = row["spread"]
    ratios = ", ".join(f"{value:.2f}x {peer}" for peer, value in row["ratio"].items())
    return (
        row["what"],
        row["side"],
        str(row["batch"]),
        f"{row['tokens_per_second']:,.0f}",
        f"{row['seconds']:.3f}",
        f"{low:.3f}..{high:.3f}",
        f"{row['ceiling_fraction']:.3f}",
        ratios,
    )


def _justify(cells: tuple[str, ...], widths: list[int]) -> str:
    """Text to the left, numbers to the right."""
    padded = [
        cell.rjust(width) if 2 <= i <= 6 else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
