"""Small programming problems in Python, with hidden tests; the answers are run in a sandbox.

50 problems of the lab's own in `data/code/problems.jsonl`: 47 functions and 3 programs that read and print. Each
prompt shows one or two examples; the tests that decide are others, six or more, with the edge cases in them. They
are for SmolLM2 and models of the hub: `tiny` has never seen Python. With `data` the problems are those of a public set
or of a file of your own (`labkit.tasks.code_sets`).
"""

import functools
import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

from labkit.errors import UserError
from labkit.paths import data_path
from labkit.tasks.base import SPLITS, Problem, Task
from labkit.tasks.code_sets import SETS, file_problems, set_problems
from labkit.tasks.own import PREFIX, is_file_name
from labkit.verifiers import VERIFIERS
from labkit.verifiers.code import find_program
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


def _draw(pools: Callable[[str], list[Problem]], split: str, rng: random.Random) -> Problem:
    return rng.choice(pools(split))


def has_program(completion: str, reference: Any) -> Score:
    """The format of an answer: 1.0 where it holds a program, right or wrong.

    >>> has_program("<answer>x = 1</answer>", None).reward
    1.0
    """
    found = find_program(completion, reference) is not None
    return Score(float(found), "a program is found" if found else "no program found")


def make_code(fraction: bool = False, seconds: float = 4.0, data: str | None = None) -> Task:
    """The task; with `fraction` the reward is the share of tests passed, else 1 only when all pass.

    `seconds` is the time limit of one program with all its tests. `data` is "humaneval", "mbpp" or "livecodebench",
    or a file of JSON lines with the columns of one of these sets; None for the lab's own problems.

    Raises UserError where the data are not at hand or malformed.
    """
    if not isinstance(fraction, bool):
        raise UserError(f"fraction is true or false, not {fraction!r}")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 600:
        raise UserError(f"seconds is a number above 0, at most 600, not {seconds!r}")
    verifier = functools.partial(VERIFIERS["code"], fraction=fraction, seconds=float(seconds))
    verifier.own_process = True  # type: ignore[attr-defined]
    pools, where, content = _problems(data)
    return Task(
        name="code",
        description=f"write a Python function or program that passes hidden tests{where} (not for tiny)",
        verifier=verifier,
        draw=functools.partial(_draw, pools),
        pool=pools,
        format=has_program,
        max_new_tokens=512,
        options={"fraction": fraction, "seconds": float(seconds)} | content,
    )


def _problems(data: str | None) -> tuple[Callable[[str], list[Problem]], str, dict[str, str]]:
    """The problems of a split, words that say whose they are, and options that tell them from others."""
    if data is None:
        return pool, "", {}
    if not isinstance(data, str) or not (data in SETS or is_file_name(data)):
        raise UserError(f"data is {', '.join(SETS)} or a file that ends in .jsonl, not {data!r}")
    if data in SETS:
        pools = {split: set_problems(data, split) for split in SPLITS}
        where = f", of {data} ({SETS[data].counts()}) from {SETS[data].where()}"
    else:
        pools, where = file_problems(data.removeprefix(PREFIX)), f", of {data}"
    text = json.dumps([[p.prompt, p.reference] for split in SPLITS for p in pools[split]])
    content = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return pools.__getitem__, where, {"data": data, "content": content}
