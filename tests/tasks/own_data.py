"""Small data files that tests write for themselves."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_lines(file: Path, rows: Iterable[Any]) -> Path:
    """A file of JSON lines; a string is written as it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


def write_gsm8k(folder: Path, splits: dict[str, Iterable[int]]) -> None:
    """A folder in the form of GSM8K: for each split, the problems with these numbers."""
    for split, numbers in splits.items():
        rows = [
            {"question": f"Ada has {n} pens and buys 1,000.", "answer": f"She has <<{n}+1000>>.\n#### {n + 1000:,}"}
            for n in numbers
        ]
        write_lines(folder / f"{split}.jsonl", rows)


def write_math(folder: Path, splits: dict[str, Iterable[int]]) -> None:
    """A folder in the form of MATH: for each split, the problems with these numbers; levels 1 to 5 in turn."""
    for split, numbers in splits.items():
        rows = [
            {
                "problem": f"Halve ${n}$.",
                "solution": rf"It is $\boxed{{\frac{{{n}}}{{2}}}}$.",
                "level": f"Level {n % 5 + 1}",
            }
            for n in numbers
        ]
        write_lines(folder / f"{split}.jsonl", rows)
