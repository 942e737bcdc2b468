"""GSM8K (Cobbe et al., 2021): 8.5 K grade-school word problems, from a folder or from the hub.

Looked for first in the folder that the environment variable LABKIT_DATA names: `$LABKIT_DATA/gsm8k/train.jsonl` and
`test.jsonl`, lines `{"question": ..., "answer": ...}`; else on the hub (`openai/gsm8k`, through `datasets`). Where the
folder has only `train.jsonl`, 15 % of it is held out by a hash of the question, and the task's description says so.
"""

import functools
import hashlib
import json
import os
import random
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

from labkit.errors import UserError
from labkit.tasks.base import SPLITS, Problem, Task, split_of
from labkit.tasks.own import read_json_lines
from labkit.verifiers import VERIFIERS

VARIABLE, HUB = "LABKIT_DATA", "openai/gsm8k"
ENDING = "\n\nThink step by step, then write the final answer on a last line of its own, as: #### number"
Row = dict[str, str]


def folder() -> Path | None:
    """The folder with `train.jsonl`, or None where LABKIT_DATA names none."""
    said = os.environ.get(VARIABLE)
    place = Path(said).expanduser() / "gsm8k" if said else None
    return place if place is not None and (place / "train.jsonl").is_file() else None


def at_hand() -> bool:
    """Whether the task certainly loads without a network: from the folder."""
    return folder() is not None


def where() -> str:
    """Where the task would be read from, without reading it."""
    place = folder()
    if place is None:
        needs = "in its cache" if cached() else "needs a network"
        return f"the hub ({HUB}, {needs}), or ${VARIABLE}/gsm8k/train.jsonl"
    held_out = "" if (place / "test.jsonl").is_file() else " (test held out of train by hash)"
    return f"${VARIABLE}/gsm8k{held_out}"


def gsm8k_rows(split: str) -> list[Row]:
    """The rows of a split, `{"question", "answer"}`, the worked solution in `answer` included: what SFT needs.

    Raises UserError where the data are neither in the folder nor on the hub.
    """
    if split not in SPLITS:
        raise UserError(f"no split {split!r} in gsm8k; choose one of {', '.join(SPLITS)}")
    place = folder()
    return list((_from_hub() if place is None else _from_folder(place, _stamp(place)))[split])


def demonstrations(split: str) -> list[Row]:
    """The worked solutions as `{"prompt", "completion"}`, with the task's own prompts, for SFT."""
    return [{"prompt": problem_of(row).prompt, "completion": solution(row["answer"])} for row in gsm8k_rows(split)]


def solution(answer: str) -> str:
    r"""A worked solution without its notes for a calculator.

    >>> solution("She has 2+3=<<2+3=5>>5.\n#### 5")
    'She has 2+3=5.\n#### 5'
    """
    return re.sub(r"<<[^<>]*>>", "", answer).strip()


def _stamp(place: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes when a file does, so that what was read is kept no longer than it is true."""
    files = [place / f"{split}.jsonl" for split in SPLITS]
    return tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files if f.is_file())


@functools.lru_cache(maxsize=2)
def _from_folder(place: Path, stamp: tuple[tuple[str, int, int], ...]) -> dict[str, list[Row]]:
    found = {split: _read(place / f"{split}.jsonl") for split in SPLITS if (place / f"{split}.jsonl").is_file()}
    if "test" not in found:
        parts: dict[str, list[Row]] = {split: [] for split in SPLITS}
        for row in found["train"]:
            parts[split_of(["gsm8k", row["question"]])].append(row)
        found = parts
    return _apart(found, str(place))


def _read(file: Path) -> list[Row]:
    rows = []
    for number, row in read_json_lines(file):
        answer = row.get("answer")
        if not isinstance(row.get("question"), str) or not isinstance(answer, str) or "####" not in answer:
            raise UserError(
                f'{file}, line {number}: "question" and "answer" (a solution that ends in #### x) are needed'
            )
        rows.append({"question": row["question"], "answer": answer})
    return rows


@functools.cache
def _from_hub() -> dict[str, list[Row]]:
    try:
        from datasets import load_dataset

        if not cached() and not _resolves():
            raise UserError(_missing("no network"))
        data = {split: load_dataset(HUB, "main", split=split) for split in SPLITS}
    except UserError:
        raise
    except ImportError:
        raise UserError(_missing("the package datasets is not installed: pip install datasets")) from None
    except Exception as error:  # no network shows as one of many exceptions of several libraries
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(_missing(lines[0][:160])) from None
    return _apart({split: [dict(row) for row in data[split]] for split in SPLITS}, HUB)


def cached() -> bool:
    """Whether `datasets` has loaded the data from the hub before."""
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    place = Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets").expanduser()
    return (place / HUB.replace("/", "___")).is_dir()


def _resolves() -> bool:
    """Whether the hub's name can be resolved: without a network, `datasets` would try for half a minute."""
    host = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").hostname
    try:
        return bool(socket.getaddrinfo(host, 443))
    except OSError:
        return False


def _missing(why: str) -> str:
    return (
        f"gsm8k is not at hand: ${VARIABLE}/gsm8k/train.jsonl is not there, and the hub's {HUB} cannot be loaded "
        f"({why}); set {VARIABLE} to a folder with gsm8k/train.jsonl"
    )


def _apart(found: dict[str, list[Row]], source: str) -> dict[str, list[Row]]:
    """What is in test leaves train: a folder's two files may share questions."""
    held_out = {row["question"] for row in found["test"]}
    found = {"train": [row for row in found["train"] if row["question"] not in held_out], "test": found["test"]}
    for split in SPLITS:
        if not found[split]:
            raise UserError(f"gsm8k of {source} has no problem in the split {split}")
    return found


def problem_of(row: Row) -> Problem:
    """The problem of a row: the reference is what follows `####`, thousands commas left out.

    >>> problem_of({"question": "1,000 and 1?", "answer": "It is <<1000+1=1001>>.\\n#### 1,001"}).reference
    '1001'
    """
    digest = hashlib.blake2b(row["question"].encode(), digest_size=6).hexdigest()
    reference = row["answer"].rpartition("####")[2].strip().replace(",", "")
    return Problem(prompt=row["question"].strip() + ENDING, reference=reference, id=f"gsm8k/{digest}")


def pool(split: str) -> list[Problem]:
    """All problems of a split."""
    return [problem_of(row) for row in gsm8k_rows(split)]


def _draw(split: str, rng: random.Random) -> Problem:
    return rng.choice(pool(split))


def make_gsm8k() -> Task:
    """The task; its fingerprint covers every row. Raises UserError where the data are not at hand."""
    rows = {split: gsm8k_rows(split) for split in SPLITS}
    content = hashlib.blake2b(json.dumps(rows).encode(), digest_size=16).hexdigest()
    counts = ", ".join(f"{len(rows[split])} {split}" for split in SPLITS)
    return Task(
        name="gsm8k",
        description=f"grade-school word problems ({counts}) from {where()}",
        verifier=VERIFIERS["number"],
        draw=_draw,
        pool=pool,
        max_new_tokens=320,
        options={"content": content},
    )
