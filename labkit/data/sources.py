"""Rows of data by name: the lab's own, a JSON lines file, or a data set of the hub, in the field's column names."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from labkit.data.columns import Kind, standard_row
from labkit.errors import UserError
from labkit.jsonl import read_json_lines
from labkit.paths import data_path, user_path

__all__ = ["load_preferences"]


def load_preferences(
    source: str | Path = "assistant",
    kind: Kind = "demonstrations",
    split: str = "train",
    *,
    limit: int | None = None,
    keep: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Rows of a data set, all of them or the first `limit`.

    - demonstrations: `{"prompt", "completion"}`
    - comparisons: `{"prompt", "chosen", "rejected"}`
    - feedback: `{"prompt", "completion", "label"}`, label True for a thumb up

    `source` is "assistant" (the lab's own world, in data/preferences), the path of a .jsonl file (which is one split),
    or the id of a set on the Hugging Face hub, read through `datasets` (`options` go to `datasets.load_dataset`; needs
    a network or a filled cache). Prompts and replies may be strings, or message lists as in UltraFeedback; a pair
    without a prompt of its own, as in hh-rlhf, is cut where its two dialogues part. All prompts are returned as plain
    text: the policy applies a chat model's template, once. Columns named in `keep` are returned too, where a row has
    them; all others are dropped. Raises UserError for a source that is not there or has other columns.
    """
    if kind not in get_args(Kind):
        raise UserError(f"no kind {kind!r} of preference data; there are {', '.join(get_args(Kind))}")
    if limit is not None and limit < 0:
        raise UserError(f"limit must be 0 or more, not {limit}")
    text = str(source)
    if text == "assistant":
        if split not in ("train", "test"):
            raise UserError(f"no split {split!r} of the assistant world; choose train or test")
        rows: Iterable[Any] = _lines(data_path("preferences", f"{kind}-{split}.jsonl"), limit)
    elif text.endswith(".jsonl"):
        rows = _lines(user_path(text), limit)
    elif isinstance(source, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        rows = _hub_rows(text, split, limit, dict(options or {}))
    else:
        raise UserError(f"no preference data {text!r}: give 'assistant', a .jsonl file, or a hub id like 'owner/name'")
    return [standard_row(row, kind, f"{text}, row {number}", keep) for number, row in enumerate(rows, 1)]


def _lines(file: Path, limit: int | None) -> list[Any]:
    return [row for _, row in islice(read_json_lines(file), limit)]


def _hub_rows(name: str, split: str, limit: int | None, options: dict[str, Any]) -> Iterable[Any]:
    try:
        from datasets import load_dataset
    except ModuleNotFoundError:
        raise UserError(f"{name} is read through the package datasets: pip install datasets") from None
    try:
        table = load_dataset(name, split=split, **options)
    except Exception as error:  # the hub's client raises errors of many libraries; each says why the data is not here
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"cannot load {name!r}, split {split!r}, from the hub: {first[:200]}") from error
    return table if limit is None else table.select(range(min(limit, len(table))))
