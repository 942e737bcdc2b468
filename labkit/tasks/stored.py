"""Data sets of problems that others collected: from a folder of JSON lines, or from the hub.

Looked for first in the folder that the environment variable LABKIT_DATA names: `$LABKIT_DATA/NAME/train.jsonl` and
`test.jsonl`; else on the hub, through `datasets`. Where the folder has only `train.jsonl`, 15 % of it is held out by a
hash of the question. What stands in test leaves train. A set that has test problems alone is read from `test.jsonl`.
"""

import functools
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.errors import UserError
from labkit.jsonl import read_objects
from labkit.paths import user_path
from labkit.tasks.base import SPLITS, split_of

VARIABLE = "LABKIT_DATA"
Row = dict[str, str]


@dataclass(frozen=True)
class Stored:
    """A data set: the name of its folder, its id on the hub, and the form of a row.

    `read(row)` gives the columns that count as text, or None for a row without them; `needs` says in words what a row
    needs; `question` is the column that makes it the same problem. With `test_alone` the set has no training problems.
    """

    name: str
    hub: str
    config: str
    question: str
    read: Callable[[dict[str, Any]], Row | None]
    needs: str
    test_alone: bool = False

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the set has problems in."""
        return ("test",) if self.test_alone else SPLITS

    @property
    def file(self) -> str:
        """The file that must be there, as it is called below LABKIT_DATA."""
        return f"{self.name}/{self.splits[0]}.jsonl"

    def folder(self) -> Path | None:
        """The folder with the set's file, or None where LABKIT_DATA names none."""
        said = os.environ.get(VARIABLE)
        file = user_path(said) / self.file if said else None
        return file.parent if file is not None and file.is_file() else None

    def at_hand(self) -> bool:
        """Whether it certainly loads without a network: from the folder."""
        return self.folder() is not None

    def where(self) -> str:
        """Where it would be read from, without reading it."""
        folder = self.folder()
        if folder is None:
            needs = "in its cache" if cached(self.hub) else "needs a network"
            return f"the hub ({self.hub}, {needs}), or ${VARIABLE}/{self.file}"
        held_out = "" if (folder / "test.jsonl").is_file() else " (test held out of train by hash)"
        return f"${VARIABLE}/{self.name}{held_out}"

    def rows(self, split: str) -> list[Row]:
        """The rows of a split. Raises UserError where the data are neither in the folder nor on the hub."""
        if split not in SPLITS:
            raise UserError(f"no split {split!r} in {self.name}; choose one of {', '.join(SPLITS)}")
        if split not in self.splits:
            return []
        folder = self.folder()
        return list((_from_hub(self) if folder is None else _from_folder(self, folder, _stamp(folder)))[split])

    def content(self) -> str:
        """A hash of every row, for a task's fingerprint."""
        rows = {split: self.rows(split) for split in self.splits}
        return hashlib.blake2b(json.dumps(rows).encode(), digest_size=16).hexdigest()

    def counts(self) -> str:
        """How many problems there are, in words."""
        return ", ".join(f"{len(self.rows(split))} {split}" for split in self.splits)


def cached(hub: str) -> bool:
    """Whether `datasets` has loaded a data set from the hub before."""
    home = user_path(os.environ.get("HF_HOME") or "~/.cache/huggingface")
    folder = user_path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets")
    return (folder / hub.replace("/", "___")).is_dir()


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes when a file does, so that what was read is kept no longer than it is true."""
    files = [folder / f"{split}.jsonl" for split in SPLITS]
    return tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files if f.is_file())


@functools.lru_cache(maxsize=4)
def _from_folder(data: Stored, folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> dict[str, list[Row]]:
    files = {split: folder / f"{split}.jsonl" for split in data.splits}
    splits = {split: _read_file(data, file) for split, file in files.items() if file.is_file()}
    if "test" not in splits:
        parts: dict[str, list[Row]] = {split: [] for split in SPLITS}
        for row in splits["train"]:
            parts[split_of([data.name, row[data.question]])].append(row)
        splits = parts
    return _apart(data, splits, str(folder))


def _read_file(data: Stored, file: Path) -> list[Row]:
    rows = []
    for number, raw in read_objects(file):
        try:
            row = data.read(raw)
        except UserError as error:
            raise UserError(f"{file}, line {number}: {error}") from None
        if row is None:
            raise UserError(f"{file}, line {number}: {data.needs}")
        rows.append(row)
    return rows


@functools.cache
def _from_hub(data: Stored) -> dict[str, list[Row]]:
    try:
        from datasets import load_dataset

        if not cached(data.hub) and not _resolves():
            raise UserError(_missing(data, "no network"))
        splits = {split: load_dataset(data.hub, data.config, split=split) for split in data.splits}
    except UserError:
        raise
    except ImportError:
        raise UserError(_missing(data, "the package datasets is not installed: pip install datasets")) from None
    except Exception as error:  # no network shows as one of many exceptions of several libraries
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(_missing(data, lines[0][:160])) from None
    # A few rows of the hub's sets may be without an answer: they are left out, a folder's are told.
    rows = {split: [row for row in map(data.read, splits[split]) if row is not None] for split in data.splits}
    return _apart(data, rows, data.hub)


def _resolves() -> bool:
    """Whether the hub's name can be resolved: without a network, `datasets` would try for half a minute."""
    import socket
    from urllib.parse import urlsplit

    host = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").hostname
    try:
        return bool(socket.getaddrinfo(host, 443))
    except OSError:
        return False


def _missing(data: Stored, why: str) -> str:
    return (
        f"{data.name} is not at hand: ${VARIABLE}/{data.file} is not there, and the hub's {data.hub} "
        f"cannot be loaded ({why}); set {VARIABLE} to a folder with {data.file}"
    )


def _apart(data: Stored, splits: dict[str, list[Row]], source: str) -> dict[str, list[Row]]:
    """Removes the questions of test from train: the two files of a folder may share some."""
    held_out = {row[data.question] for row in splits["test"]}
    train = [row for row in splits.get("train", []) if row[data.question] not in held_out]
    splits = {"train": train, "test": splits["test"]}
    for split in data.splits:
        if not splits[split]:
            raise UserError(f"{data.name} of {source} has no problem in the split {split}")
    return splits
