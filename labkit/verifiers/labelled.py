"""The labelled answers that come with the lab: completions, references, whether the answer is right, and the trap."""

from __future__ import annotations

import json
from typing import Any

from labkit.paths import data_folder

__all__ = ["labelled_answers"]


def labelled_answers(verifier: str | None = None) -> list[dict[str, Any]]:
    """The rows of every `data/verifiers/labelled*.jsonl`, or those for one verifier.

    A row: `id`, `verifier`, `completion`, `reference`, `correct` (decided by hand), `trap` (what the case is about);
    `missed` is true where labkit is known to refuse a right answer.
    """
    files = sorted((data_folder() / "verifiers").glob("labelled*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    return [row for row in rows if verifier in (None, row["verifier"])]
