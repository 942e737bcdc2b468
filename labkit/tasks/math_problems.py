r"""MATH (Hendrycks et al., 2021): 12.5 K competition problems with worked solutions, from a folder or from the hub.

In a folder (`$LABKIT_DATA/math`) a line is `{"problem": ..., "solution": ...}`, where the answer is the last `\boxed{}`
of the solution, or `{"problem": ..., "answer": ...}`; `level` (1 to 5, or "Level 5") is optional. On the hub it is
`DigitalLearningGmbH/MATH-lighteval`. See `labkit.tasks.stored` for where rows are searched.
"""

import functools
import hashlib
import random
import re
from typing import Any

from labkit.errors import UserError
from labkit.tasks.base import SPLITS, Problem, Task
from labkit.tasks.stored import Row, Stored
from labkit.verifiers import VERIFIERS
from labkit.verifiers.extract import find_boxes

ENDING = "\n\nThink step by step, and put the final answer into \\boxed{}."
LEVELS = (1, 2, 3, 4, 5)


def _read(row: dict[str, Any]) -> Row | None:
    r"""The columns that are used, as text; `level` is "" where the row has none.

    >>> _read({"problem": "What is $1+1$?", "solution": r"It is $\boxed{2}$.", "level": "Level 1"})
    {'problem': 'What is $1+1$?', 'solution': 'It is $\\boxed{2}$.', 'answer': '2', 'level': '1'}
    """
    problem, solution, answer = row.get("problem"), row.get("solution") or "", row.get("answer")
    if not isinstance(problem, str) or not problem.strip() or not isinstance(solution, str):
        return None
    if answer is None:
        answer = (find_boxes(solution) or [None])[-1]
    if not isinstance(answer, str | int) or not str(answer).strip():
        return None
    level = re.search(r"[1-5]", str(row.get("level") or ""))
    return {
        "problem": problem,
        "solution": solution,
        "answer": str(answer).strip(),
        "level": level.group() if level else "",
    }


DATA = Stored(
    name="math",
    hub="DigitalLearningGmbH/MATH-lighteval",
    config="default",
    question="problem",
    read=_read,
    needs='"problem" and "answer", or a "solution" with the answer in \\boxed{}, are needed',
)
at_hand, where = DATA.at_hand, DATA.where


def math_rows(split: str, levels: tuple[int, ...] = LEVELS) -> list[Row]:
    """The rows of a split, `{"problem", "solution", "answer", "level"}`, of some levels; a row without level is in all.

    Raises UserError where the data are neither in the folder nor on the hub.
    """
    wanted = {"", *map(str, levels)}
    return [row for row in DATA.rows(split) if row["level"] in wanted]


def demonstrations(split: str) -> list[Row]:
    """The worked solutions, where there are any, as `{"prompt", "completion"}` with the task's own prompts, for SFT."""
    rows = [row for row in math_rows(split) if row["solution"]]
    return [{"prompt": problem_of(row).prompt, "completion": row["solution"].strip()} for row in rows]


def problem_of(row: Row) -> Problem:
    """The problem of a row."""
    digest = hashlib.blake2b(row["problem"].encode(), digest_size=6).hexdigest()
    return Problem(prompt=row["problem"].strip() + ENDING, reference=row["answer"], id=f"math/{digest}")


def pool(levels: tuple[int, ...], split: str) -> list[Problem]:
    """All problems of a split, of these levels."""
    return [problem_of(row) for row in math_rows(split, levels)]


def _draw(levels: tuple[int, ...], split: str, rng: random.Random) -> Problem:
    return rng.choice(pool(levels, split))


def make_math(levels: int | list[int] | tuple[int, ...] = LEVELS) -> Task:
    """The task; `levels`: of difficulty, from 1 to 5. Its fingerprint covers every row.

    Raises UserError where the data are not at hand, and where they have no problem of these levels.
    """
    wanted = (levels,) if isinstance(levels, int) else tuple(levels)
    if not wanted or not set(wanted) <= set(LEVELS):
        raise UserError(f"levels of MATH are from 1 to 5, not {levels!r}")
    for split in SPLITS:
        if not math_rows(split, wanted):
            raise UserError(f"math has no problem of level {', '.join(map(str, wanted))} in the split {split}")
    return Task(
        name="math",
        description=f"competition problems ({DATA.counts()}) from {where()}, levels {', '.join(map(str, wanted))}",
        verifier=VERIFIERS["math"],
        draw=functools.partial(_draw, wanted),
        pool=functools.partial(pool, wanted),
        max_new_tokens=1024,
        options={"content": DATA.content(), "levels": list(wanted)},
    )
