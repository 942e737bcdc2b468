"""Rows of data for training: loaded, checked, held-out rows apart; cut into tokens; and the rows of each step."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from labkit.data import load_preferences
from labkit.data.columns import COMPLETIONS, DIALOGUES, OPTIONS, PROMPTS, Kind, is_messages, standard_row
from labkit.errors import UserError
from labkit.models import Encoded, Policy, encode_reply, tells_turns_apart
from labkit.models.chat import Dialogue, messages_of
from labkit.recipes.schema import DataSettings
from labkit.recipes.trainers import NOT_NEGATIVE, Rule
from labkit.storage import json_line, read_lines, write_aside
from labkit.tasks import gsm8k, math_problems
from labkit.tasks.base import split_of
from labkit.worlds.countdown.curated import curated_rows

Row = dict[str, Any]
SPLITS = ("train", "test")
GIVEN = "given"  # the source of rows that the caller hands over as objects; they are kept in the run folder
TRACES = "traces"  # the source of rows that the model itself writes before it is trained; they are kept too
KEPT = "data.jsonl"
CURATED = 512  # traces of countdown for a cold start; data.limit takes fewer


def _curated(split: str) -> list[Row]:
    return curated_rows(CURATED) if split == "train" else []


WORKED: dict[str, Callable[[str], list[Row]]] = {
    "countdown": _curated,
    "gsm8k": gsm8k.demonstrations,
    "math": math_problems.demonstrations,
}
"""Sources of demonstrations that are a task's own solutions, by the task's name: a split to its rows."""


# ------------------------------------------------------------------------------------------ columns of a trainer


@dataclass(frozen=True)
class Mark:
    """The column that says something about a row's replies, and what its values must be."""

    name: str
    rule: Rule
    required: bool = True


def _are_shares(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(x, int | float) and 0 <= x <= 1 for x in value)


LABEL = Mark("label", Rule("must be true or false", lambda x: isinstance(x, bool | int) and x in (0, 1)))
STEPS = Mark("steps", Rule("must be a list of numbers from 0 to 1", _are_shares))
MARGIN = Mark("margin", NOT_NEGATIVE, required=False)


@dataclass(frozen=True)
class Columns:
    """The columns that a trainer reads: `prompt`, one or two `replies` (texts, or messages where there are several
    turns), and perhaps a `mark` on them.

    `kind`: the kind of data set that a source named in a recipe is read as (`labkit.data.load_preferences`).
    """

    kind: Kind
    replies: tuple[str, ...]
    mark: Mark | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Those that a row must have."""
        marks = (self.mark.name,) if self.mark is not None and self.mark.required else ()
        return ("prompt", *self.replies, *marks)

    def standard(self, row: Any, where: str) -> Any:
        """A row of the caller's: one with other names of these columns, or with messages, in the standard form."""
        if not isinstance(row, Mapping) or all(isinstance(row.get(name), str) for name in ("prompt", *self.replies)):
            return row
        others = set(row) & {*DIALOGUES, *PROMPTS, *COMPLETIONS} - set(self.names)
        if not others and not any(is_messages(row.get(name)) for name in ("prompt", *self.replies)):
            return row
        return standard_row(row, self.kind, where, [] if self.mark is None else [self.mark.name])

    def check(self, row: Any, where: str) -> None:
        """Raises UserError, which begins with `where`, for a row that lacks a column or has a wrong value in it."""
        if not isinstance(row, Mapping):
            raise UserError(f"{where} is no mapping with the columns {', '.join(self.names)}, but {type(row).__name__}")
        missing = [name for name in self.names if name not in row]
        if missing:
            has = ", ".join(map(str, row)) or "none"
            raise UserError(f"{where} has no column {missing[0]!r} (it has: {has})")
        mark = self.mark
        for name in ("prompt", *self.replies):
            messages = is_messages(row[name]) and not (mark is STEPS and name != "prompt")
            if not isinstance(row[name], str) and not messages:
                raise UserError(f"{where}: {name!r} must be a text, not {type(row[name]).__name__}")
            if any(
                "\ud800" <= letter <= "\udfff" for text in _contents(row[name]) if not text.isascii() for letter in text
            ):
                raise UserError(f"{where}: {name!r} holds half of a character (a lone surrogate)")
        if mark is not None and mark.name in row and not mark.rule.accepts(row[mark.name]):
            raise UserError(f"{where}: {mark.name!r} {mark.rule.must}, not {repr(row[mark.name])[:60]}")


# ------------------------------------------------------------------------------------------------------- loading


@dataclass
class Dataset:
    """Checked rows of one kind, and the held-out ones."""

    train: list[Row]
    test: list[Row]
    source: str

    def fingerprint(self) -> str:
        """A short hash of all rows: two runs with the same one saw the same data."""
        text = json.dumps([self.train, self.test], sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def texts(self, rows: int = 256) -> list[str]:
        """What stands in the first training rows, prompts and replies, for a look at them."""
        columns = ("prompt", "completion", "chosen", "rejected")
        values = [row[name] for row in self.train[:rows] for name in columns if name in row]
        return [message["content"] for value in values for message in messages_of(value)]

    def keep(self, folder: Path) -> None:
        """Writes the rows into a run folder, so that the run can be resumed without the rows being given again."""
        rows = [{"split": split, **row} for split in SPLITS for row in getattr(self, split)]
        write_aside(folder / KEPT, "".join(map(json_line, rows)))


Given = str | Path | Sequence[Row] | Mapping[str, Sequence[Row]] | None


def load_rows(columns: Columns, settings: DataSettings, given: Given, run: Path | None) -> Dataset:
    """The rows of a recipe's `data.source`, or those that were given: a list, or {"train": ..., "test": ...}.

    Of a plain list, the rows of about 15 % of the prompts are held out; a hash of the prompt decides. Rows that were
    given when the run began are read from the folder of the `run`. Raises UserError, with the row's number, where a
    column is missing or has a wrong value, and where there is no row at all.
    """
    if isinstance(given, str | Path) or (given is None and settings.source not in (GIVEN, TRACES)):
        source = str(given or settings.source)
        splits = {split: _by_name(source, columns, split) for split in SPLITS}
    elif given is not None:
        source, splits = GIVEN, _split(_standard(columns, given))
    else:
        source, splits = GIVEN, _kept(run)
    for split, rows in splits.items():
        for number, row in enumerate(rows, 1):
            columns.check(row, f"row {number} of {source} ({split})")
    if not splits["train"]:
        raise UserError(f"no rows to train on in {source}: a row has the columns {', '.join(columns.names)}")
    return Dataset(splits["train"][: settings.limit], splits["test"][: settings.test_limit], source)


def _standard(columns: Columns, given: Any) -> Any:
    """The caller's rows in the standard columns; what is no row is left to the check."""
    if isinstance(given, Mapping):
        return {split: _standard(columns, rows) for split, rows in given.items()}
    return [columns.standard(row, f"row {number} of {GIVEN}") for number, row in enumerate(given, 1)]


def _by_name(source: str, columns: Columns, split: str) -> list[Row]:
    if source in WORKED and columns.kind == "demonstrations":
        return WORKED[source](split)
    keep = [] if columns.mark is None else [columns.mark.name]
    return load_preferences(source, kind=columns.kind, split=split, keep=keep)


def _kept(run: Path | None) -> dict[str, list[Row]]:
    """The rows in a run folder, by split."""
    if run is None or not (run / KEPT).exists():
        raise UserError("data.source is 'given': pass the rows as dataset=[...]")
    splits: dict[str, list[Row]] = {split: [] for split in SPLITS}
    for row in read_lines(run / KEPT):
        split = row.pop("split", None)
        if split not in splits:
            raise UserError(f"{run / KEPT} is damaged: a row has no split train or test")
        splits[split].append(row)
    return splits


def _split(given: Sequence[Row] | Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    if isinstance(given, Mapping):
        unknown = set(given) - set(SPLITS)
        if unknown:
            raise UserError(f"dataset has the splits train and test, not {', '.join(sorted(map(str, unknown)))}")
        return {split: list(given.get(split, ())) for split in SPLITS}
    rows = list(given)
    splits: dict[str, list[Row]] = {split: [] for split in SPLITS}
    for row in rows:
        prompt = row.get("prompt") if isinstance(row, Mapping) else None
        splits[split_of(["row", str(prompt)])].append(row)
    # With very few prompts all of them may fall to one side.
    return splits if splits["train"] else {"train": rows, "test": []}


# ------------------------------------------------------------------------------------------------------ encoding


@dataclass
class LeftOut:
    """How many rows were left out or cut, by the reason, and the first example of each: for the reader of a run."""

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
SPECIAL = "skipped: a special token in the text (the chat template and the end of a reply are added here, once)"
LAST_TURN = "learnt at their last turn alone: the chat template rewrites earlier turns"


def encode_rows(
    policy: Policy, rows: list[Row], replies: tuple[str, ...], max_length: int | None, left_out: LeftOut
) -> tuple[list[Row], list[tuple[Encoded, ...]]]:
    """The rows that can be used, and the token ids of their replies (the named columns), prompt in front.

    A row whose prompt leaves no room for a reply is left out; so is a pair whose replies are the same (perhaps only
    because both were cut), and a row with a special token in a text. A reply that is too long is cut. All four are
    counted in `left_out`. `max_length`: tokens of prompt and reply together; by default the model's context.
    """
    limit = min(max_length or policy.context_length, policy.context_length)
    used, encoded = [], []
    special = policy.tokenizer.all_special_tokens
    for row in rows:
        asked, options, texts = row["prompt"], row.get(OPTIONS), [row[column] for column in replies]
        if any(token in content for text in (asked, *texts) for content in _contents(text) for token in special):
            left_out.add(SPECIAL, _shown(asked))
            continue
        sides = tuple(encode_reply(policy, asked, text, limit, options) for text in texts)
        if any(len(side) == side.start for side in sides):
            left_out.add(NO_ROOM, _shown(asked))
        elif len(sides) == 2 and sides[0].ids == sides[1].ids:
            left_out.add(EQUAL, _shown(row[replies[0]]))
        else:
            if any(side.cut for side in sides):
                left_out.add(CUT, _shown(asked))
            if not all(tells_turns_apart(policy, asked, text, options) for text in texts):
                left_out.add(LAST_TURN, _shown(asked))
            used.append(row)
            encoded.append(sides)
    return used, encoded


def _contents(text: Dialogue) -> list[str]:
    return [message["content"] for message in messages_of(text)]


def _shown(text: Dialogue) -> str:
    """The beginning of a text, or of the first message, for a reader."""
    return _contents(text)[0][:60]


# ------------------------------------------------------------------------------------------------------- batches


def batches(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of row numbers. Each pass over the rows has another order; a batch may hold the end of one pass
    and the beginning of the next. A function of the seed alone.
    """
    generator = torch.Generator().manual_seed(seed)
    waiting: list[int] = []
    while True:
        while len(waiting) < size:
            waiting += torch.randperm(count, generator=generator).tolist()
        yield waiting[:size]
        waiting = waiting[size:]


def batch(count: int, size: int, seed: int, step: int) -> list[int]:
    """The row numbers of step `step` (from 0): those that `batches` yields, computed at once, so that a resumed run
    need not go through the batches before them.

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
