"""Tasks of your own: from a file of JSON lines, or from a Python function that makes a problem."""

import functools
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from labkit.errors import UserError
from labkit.jsonl import check_row, read_objects
from labkit.paths import user_path
from labkit.tasks.base import SPLITS, Problem, Task, split_of
from labkit.verifiers import Score, Verifier, get

PREFIX, SUFFIX = "file:", ".jsonl"
TRIES = 2000
# Verifiers that answer at once: with them a malformed reference is told when the file is read.
QUICK = ("addition", "choice", "countdown", "format", "instructions", "number")


def is_file_name(name: str) -> bool:
    """Whether a task's name is a file: `file:PATH`, or a path that ends in `.jsonl`."""
    return name.startswith(PREFIX) or name.endswith(SUFFIX)


def task_from_file(
    path: str | Path,
    verifier: str | Verifier | None = None,
    test: str | Path | None = None,
    prompt: str = "prompt",
    reference: str = "reference",
    max_new_tokens: int = 256,
) -> Task:
    """A task from JSON lines, each `{"prompt": ..., "reference": ...}`; `prompt` and `reference` rename the columns.

    The verifier is a function or a name (`labkit.verifiers.VERIFIERS`), for the whole file or by a column `verifier`.
    Splits: a column `split` ("train" or "test"), else a second file `test`, else 15 % of the problems by a hash of the
    prompt (at least one). A prompt belongs to one split only. The fingerprint covers every line.

    Raises UserError, with the number of the line, for a line that can't be used.
    """
    file = user_path(str(path).removeprefix(PREFIX))
    columns = (prompt, reference)
    rows = _read_problems(file, columns, verifier)
    if test is not None:
        rows = [(problem, "train", name) for problem, _, name in rows]
        held_out = _read_problems(user_path(test), columns, verifier)
        rows += [(problem, "test", name) for problem, _, name in held_out]
    names = {name for _, _, name in rows}
    if len(names) > 1:
        rows = [(replace(p, reference={"verifier": v, "reference": p.reference}), split, v) for p, split, v in rows]
        check, called = score_row, "named by each line"
    else:
        check = verifier if callable(verifier) else get(names.pop())
        called = _name_of(verifier) if callable(verifier) else str(rows[0][2])
    pools = split_problems([(problem, split) for problem, split, _ in rows], file)
    text = json.dumps([[p.prompt, p.reference, split] for split in SPLITS for p in pools[split]])
    return Task(
        name=file.stem,
        description=f"{len(rows)} problems of {file.name}, verifier {called}",
        verifier=check,
        draw=functools.partial(_draw_row, pools),
        pool=pools.__getitem__,
        max_new_tokens=max_new_tokens,
        options={"verifier": called, "content": hashlib.blake2b(text.encode(), digest_size=16).hexdigest()},
    )


def score_row(completion: str, reference: dict[str, Any]) -> Score:
    """Scores with the verifier that the reference names, `{"verifier": "number", "reference": 4}`: for mixed files."""
    return get(reference["verifier"])(completion, reference["reference"])


def _draw_row(pools: dict[str, list[Problem]], split: str, rng: random.Random) -> Problem:
    return rng.choice(pools[split])


@functools.cache
def _row_of(prompt: str, reference: str) -> Any:
    """What a line of a file is, as a pydantic model; `prompt` and `reference` are the names of its columns."""
    from pydantic import Field, create_model  # not needed by the tasks that read no file

    text = Annotated[str, Field(alias=prompt, pattern=r"\S", description="a text that is not empty")]
    split = Annotated[Literal[SPLITS] | None, Field(description=" or ".join(SPLITS))]
    verifier = Annotated[str | None, Field(description="a verifier by name")]
    return create_model(
        "Row",
        prompt=text,
        reference=Annotated[Any, Field(alias=reference)],
        split=(split, None),
        verifier=(verifier, None),
    )


def _read_problems(
    file: Path, columns: tuple[str, str], verifier: str | Verifier | None
) -> list[tuple[Problem, str | None, str | None]]:
    """(problem, split that the line names, verifier's name where it is no function) of each line."""
    found = []
    for number, raw in read_objects(file):
        where = f"{file}, line {number}"
        row = check_row(_row_of(*columns), raw, where)
        name = None if callable(verifier) else row.verifier or verifier
        if name is None and not callable(verifier):
            raise UserError(f"{where}: which verifier? Name one for all (verifier='number'), or in a column 'verifier'")
        try:
            if name is not None:
                check = get(name)
                if name in QUICK:
                    check("", row.reference)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        found.append((Problem(row.prompt, row.reference, f"{file.name}:{number}"), row.split, name))
    return found


def split_problems(rows: list[tuple[Problem, str | None]], file: Path) -> dict[str, list[Problem]]:
    """Problems by the split that each names, else by a hash of its prompt; UserError where a split stays empty."""
    pools: dict[str, list[Problem]] = {split: [] for split in SPLITS}
    seen_in: dict[str, str] = {}
    for problem, said in rows:
        split = said or split_of(["file", problem.prompt])
        if seen_in.setdefault(problem.prompt, split) != split:
            raise UserError(f"{problem.id} stands in the split {split}, its prompt in {seen_in[problem.prompt]} too")
        pools[split].append(problem)
    empty = next((split for split in SPLITS if not pools[split]), None)
    if empty is not None and any(said for _, said in rows):
        raise UserError(f"{file} has no line with the split {empty}")
    if empty is not None:
        _share(pools, empty, file)
    return pools


def _share(pools: dict[str, list[Problem]], empty: str, file: Path) -> None:
    """Few problems may all fall into one split: then the one with the smallest hash moves to the other."""
    full = next(split for split in SPLITS if split != empty)
    prompts = sorted({p.prompt for p in pools[full]}, key=lambda text: hashlib.blake2b(text.encode()).digest())
    if len(prompts) < 2:
        raise UserError(f"{file} has one problem; two or more are needed, since one is held out")
    pools[empty] = [p for p in pools[full] if p.prompt == prompts[0]]
    pools[full] = [p for p in pools[full] if p.prompt != prompts[0]]


def task_from_function(
    make: Callable[[random.Random], tuple[str, Any]],
    verifier: str | Verifier,
    name: str | None = None,
    description: str | None = None,
    max_new_tokens: int = 256,
) -> Task:
    """A task from a function: `make(rng)` returns a prompt and its reference, drawn with `rng` and nothing else.

    Problems are held out by a hash of the prompt, so no prompt is in both splits.

    >>> task = task_from_function(lambda rng: (f"Double {(n := rng.randrange(1000))}.", 2 * n), "number")
    >>> problem = task.sample(1, seed=0)[0]
    >>> problem.prompt, problem.reference, task.score("It is 374.", problem).reward
    ('Double 187.', 374, 1.0)
    """
    title = name or _name_of(make)
    return Task(
        name=title,
        description=description or (make.__doc__ or f"problems made by {title}").strip().splitlines()[0],
        verifier=get(verifier) if isinstance(verifier, str) else verifier,
        draw=functools.partial(_draw_made, title, make),
        max_new_tokens=max_new_tokens,
        options={"verifier": verifier if isinstance(verifier, str) else _name_of(verifier)},
    )


def _draw_made(name: str, make: Callable[[random.Random], Any], split: str, rng: random.Random) -> Problem:
    for _ in range(TRIES):
        made = make(rng)
        if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], str):
            raise UserError(f"{name}(rng) must return (prompt, reference), a text and anything; got {ascii(made)[:80]}")
        if split_of(["function", name, made[0]]) == split:
            return Problem(made[0], made[1], f"{name}/{made[0]}")
    raise UserError(f"{name} made no problem of the split {split} in {TRIES} tries: it needs more different prompts")


def _name_of(function: Any) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return "own" if name == "<lambda>" else name
