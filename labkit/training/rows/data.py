"""Rows of data for training: checked, cut into tokens, held-out rows apart, what is left out counted."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from labkit.data import load_preferences
from labkit.errors import UserError
from labkit.models import Encoded, Policy, encode_reply
from labkit.recipes.schema import DataSettings
from labkit.runs import append_lines, read_lines
from labkit.tasks import gsm8k, math_problems
from labkit.tasks.base import split_of
from labkit.worlds.countdown.curated import curated_rows

Row = dict[str, Any]
GIVEN = "given"  # the source of rows that were handed over as objects; they are kept in the run folder
TRACES = "traces"  # the source of rows that the model itself writes before it is trained; they are kept too
KEPT = "data.jsonl"
CURATED = 512  # traces of countdown for a cold start; data.limit takes fewer


def _curated(split: str) -> list[Row]:
    return curated_rows(CURATED) if split == "train" else []


WORKED = {"countdown": _curated, "gsm8k": gsm8k.demonstrations, "math": math_problems.demonstrations}
"""Sources of demonstrations that are a task's own solutions, by the task's name: rows of a split."""


@dataclass
class Dataset:
    """Checked rows of one kind, and the held-out ones."""

    train: list[Row]
    test: list[Row]
    source: str

    def fingerprint(self) -> str:
        """A short hash of all rows: tells whether two runs saw the same data."""
        text = json.dumps([self.train, self.test], sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def keep(self, folder: Path) -> None:
        """Writes the rows into a run folder, so that the run can be resumed without them being given again."""
        rows = [{"split": split, **row} for split in ("train", "test") for row in getattr(self, split)]
        append_lines(folder / KEPT, rows)


Given = str | Path | Sequence[Row] | Mapping[str, Sequence[Row]] | None


def load_rows(kind: str, columns: tuple[str, ...], settings: DataSettings, given: Given, run: Path | None) -> Dataset:
    """The rows of a recipe's `data.source`, or those that were given: a list, or {"train": ..., "test": ...}.

    Of a plain list, the rows of about 15 % of the prompts are held out (a property of the prompt). Raises UserError,
    with the row's number, where a column is missing or is no text, and where there is no row at all.
    """
    if isinstance(given, str | Path) or (given is None and settings.source not in (GIVEN, TRACES)):
        source = str(given or settings.source)
        splits = {split: _by_name(source, kind, split) for split in ("train", "test")}
    elif given is not None:
        source, splits = GIVEN, _split(given)
    else:
        if run is None or not (run / KEPT).exists():
            raise UserError("data.source is 'given': pass the rows as dataset=[...]")
        source, kept = GIVEN, list(read_lines(run / KEPT))
        splits = {
            split: [{k: v for k, v in row.items() if k != "split"} for row in kept if row["split"] == split]
            for split in ("train", "test")
        }
    for split, rows in splits.items():
        for number, row in enumerate(rows, 1):
            _check(row, columns, f"row {number} of {source} ({split})")
    if not splits["train"]:
        raise UserError(f"no rows to train on in {source}: a row has the columns {', '.join(columns)}")
    return Dataset(splits["train"][: settings.limit], splits["test"][: settings.test_limit], source)


def _by_name(source: str, kind: str, split: str) -> list[Row]:
    if source in WORKED and kind == "demonstrations":
        return WORKED[source](split)
    return list(load_preferences(source, kind=kind, split=split))


def _split(given: Sequence[Row] | Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    if isinstance(given, Mapping):
        unknown = set(given) - {"train", "test"}
        if unknown:
            raise UserError(f"dataset has the splits train and test, not {', '.join(sorted(map(str, unknown)))}")
        return {split: list(given.get(split, ())) for split in ("train", "test")}
    rows = list(given)
    apart: dict[str, list[Row]] = {"train": [], "test": []}
    for row in rows:
        prompt = row.get("prompt") if isinstance(row, Mapping) else None
        apart[split_of(["row", str(prompt)])].append(row)
    # With very few prompts all of them may fall to one side.
    return apart if apart["train"] else {"train": rows, "test": []}


def _check(row: Any, columns: tuple[str, ...], where: str) -> None:
    if not isinstance(row, Mapping):
        raise UserError(f"{where} is no mapping with the columns {', '.join(columns)}, but {type(row).__name__}")
    missing = [name for name in columns if name not in row]
    if missing:
        has = ", ".join(map(str, row)) or "none"
        raise UserError(f"{where} has no column {missing[0]!r} (it has: {has})")
    for name in columns:
        if name == "label":
            if not isinstance(row[name], bool | int) or int(row[name]) not in (0, 1):
                raise UserError(f"{where}: 'label' must be true or false, not {row[name]!r}")
        elif name == "steps":
            marks = row[name]
            fits = isinstance(marks, list | tuple) and all(isinstance(x, int | float) and 0 <= x <= 1 for x in marks)
            if not fits:
                raise UserError(f"{where}: 'steps' must be a list of numbers from 0 to 1, not {str(marks)[:60]!r}")
        elif not isinstance(row[name], str):
            raise UserError(f"{where}: {name!r} must be a text, not {type(row[name]).__name__}")


@dataclass
class Left:
    """What was left out or cut, in counts, with the first example of each: for the reader of a run."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, example: str) -> None:
        """Counts one row."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.examples.setdefault(reason, example)

    def lines(self, rows: int, source: str) -> list[str]:
        """One line for each reason."""
        return [
            f"{source}: {count} of {rows} rows {reason} (the first: {self.examples[reason]!r})"
            for reason, count in self.counts.items()
        ]


NO_ROOM = "skipped: the prompt leaves no room for a reply"
CUT = "with a reply cut off at the longest length"
EQUAL = "skipped: chosen equals rejected"


def encode_rows(
    policy: Policy, rows: list[Row], replies: tuple[str, ...], max_length: int | None, left: Left
) -> tuple[list[Row], list[tuple[Encoded, ...]]]:
    """The rows that can be used, and the token ids of their replies (the named columns).

    A row whose prompt leaves no room for a reply is left out; so is a pair whose replies are the same (perhaps only
    because both were cut). A reply that is too long is cut. All three are counted in `left`.
    """
    limit = min(max_length or policy.context_length, policy.context_length)
    used, encoded = [], []
    for number, row in enumerate(rows, 1):
        found = tuple(encode_reply(policy, row["prompt"], _plain(policy, row, c, number), limit) for c in replies)
        if any(len(one) == one.start for one in found):
            left.add(NO_ROOM, row["prompt"][:60])
        elif len(found) == 2 and found[0].ids == found[1].ids:
            left.add(EQUAL, row[replies[0]][:60])
        else:
            if any(one.cut for one in found):
                left.add(CUT, row["prompt"][:60])
            used.append(row)
            encoded.append(found)
    return used, encoded


def _plain(policy: Policy, row: Row, column: str, number: int) -> str:
    text = row[column]
    special = next((t for t in policy.tokenizer.all_special_tokens if t in text), None)
    if special is not None:
        raise UserError(
            f"row {number}: {column!r} contains the special token {special!r}; pass plain text: "
            "the chat template and the end of the reply are added here, once"
        )
    return text


def batches(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of row numbers: each pass over the rows in another order, without a gap between passes.

    A function of the seed alone; a resumed run skips the batches that it has had.
    """
    generator = torch.Generator().manual_seed(seed)
    waiting: list[int] = []
    while True:
        while len(waiting) < size:
            waiting += torch.randperm(count, generator=generator).tolist()
        yield waiting[:size]
        waiting = waiting[size:]


def batch(count: int, size: int, seed: int, step: int) -> list[int]:
    """The row numbers of step `step` (from 0): those that `batches` yields, computed at once.

    >>> all(batch(10, 4, 7, s) == b for s, b in zip(range(9), batches(10, 4, 7)))
    True
    """
    first, last = step * size, (step + 1) * size
    generator = torch.Generator().manual_seed(seed)
    passes = math.ceil(last / count)
    order: list[int] = []
    for number in range(passes):
        permutation = torch.randperm(count, generator=generator)
        if (number + 1) * count > first:
            order += permutation.tolist()
    skipped = (first // count) * count
    return order[first - skipped : last - skipped]
