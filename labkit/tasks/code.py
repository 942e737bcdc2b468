"""Small programming problems in Python, with hidden tests; the answers are run in a sandbox.

The lab's own 50 problems are in `data/code/problems.jsonl`: 47 functions and 3 programs that read and print. Each
prompt shows one or two examples. The reward depends on other tests, six or more, which include the edge cases. The
problems are for SmolLM2 and models of the hub: `tiny` has never seen Python.
"""

import functools
import hashlib
import json
import random
from typing import Any

from labkit.errors import UserError
from labkit.paths import data_path
from labkit.tasks.base import Problem, Task
from labkit.verifiers import VERIFIERS
from labkit.verifiers.code import extract_program
from labkit.verifiers.score import Score

TEST_PERCENT = 30
"""About a third is held out: 15 % of 50 problems would be too few for an evaluation."""


def code_split(name: str) -> str:
    """The split of a problem, from a hash of its name.

    >>> code_split("spiral"), code_split("flatten")
    ('train', 'test')
    """
    digest = hashlib.blake2b(f"problem/{name}".encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % 100 < TEST_PERCENT else "train"


@functools.cache
def pool(split: str) -> list[Problem]:
    """All problems of a split, in the order of the file."""
    rows = [json.loads(line) for line in data_path("code", "problems.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        Problem(row["prompt"], row["reference"], f"code/{row['id']}") for row in rows if code_split(row["id"]) == split
    ]


def draw(split: str, rng: random.Random) -> Problem:
    """A random problem of a split."""
    return rng.choice(pool(split))


def has_program(completion: str, reference: Any) -> Score:
    """The format of an answer: 1.0 where it holds a program, right or wrong.

    >>> has_program("<answer>x = 1</answer>", None).reward
    1.0
    """
    has_program = extract_program(completion) is not None
    return Score(float(has_program), "a program is found" if has_program else "no program found")


def make_code(fraction: bool = False, seconds: float = 4.0) -> Task:
    """The task; with `fraction` the reward is the share of tests passed, else 1 only when all pass.

    `seconds` is the time limit of one program with all its tests.
    """
    if not isinstance(fraction, bool):
        raise UserError(f"fraction is true or false, not {fraction!r}")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 600:
        raise UserError(f"seconds is a number above 0, at most 600, not {seconds!r}")
    verifier = functools.partial(VERIFIERS["code"], fraction=fraction, seconds=float(seconds))
    verifier.own_process = True  # type: ignore[attr-defined]
    return Task(
        name="code",
        description="write a Python function or program that passes hidden tests (not for tiny)",
        verifier=verifier,
        draw=draw,
        pool=pool,
        format=has_program,
        max_new_tokens=512,
        options={"fraction": fraction, "seconds": float(seconds)},
    )
