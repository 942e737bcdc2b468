"""Addition of whole numbers: three digits by default, up to six.

The prompt is `347+158:`; a right completion ends in `<answer>505</answer>`. The base model mostly answers at once, and
seldom works column by column, from the right, with a carry: `<think>7+8=15\\n4+5+1=10\\n...`. It is able to do so with
three digits, hardly with four.
"""

import functools
import random

from labkit.errors import UserError
from labkit.tasks.base import Problem, Task, split_of
from labkit.verifiers import VERIFIERS


def addition_split(a: int, b: int) -> str:
    """The split of a sum; `a+b` and `b+a` are the same problem."""
    return split_of(["addition", *sorted((a, b))])


def prompt_of(a: int, b: int) -> str:
    """The prompt of a sum.

    >>> prompt_of(347, 1058)
    '347+1058:'
    """
    return f"{a}+{b}:"


def draw(digits: tuple[int, ...], split: str, rng: random.Random) -> Problem:
    """A random sum whose terms both have a number of digits drawn from `digits`."""
    while True:
        count = rng.choice(digits)
        a, b = (rng.randrange(10 ** (count - 1), 10**count) for _ in range(2))
        if addition_split(a, b) == split:
            text = prompt_of(a, b)
            return Problem(prompt=text, reference=a + b, id=f"addition/{text}")


def column_steps(a: int, b: int) -> list[tuple[int, int, int, int]]:
    """The columns of a written addition from the right: (digit of a, digit of b, carry in, sum of the column).

    >>> column_steps(47, 58)
    [(7, 8, 0, 15), (4, 5, 1, 10)]
    """
    steps, carry = [], 0
    for column in range(len(str(max(a, b)))):
        x, y = a // 10**column % 10, b // 10**column % 10
        steps.append((x, y, carry, x + y + carry))
        carry = steps[-1][3] // 10
    return steps


def make_addition(digits: tuple[int, ...] | list[int] | int = 3) -> Task:
    """The task; `digits`: how many digits the terms may have, a number or several.

    Raises UserError for other than 1 to 6 digits.
    """
    sizes = (digits,) if isinstance(digits, int) else tuple(digits)
    if not sizes or any(not isinstance(d, int) or not 1 <= d <= 6 for d in sizes):
        raise UserError(f"addition takes terms of 1 to 6 digits, not {digits!r}")
    return Task(
        name="addition",
        description=f"add two whole numbers of {' or '.join(map(str, sizes))} digits",
        verifier=VERIFIERS["addition"],
        draw=functools.partial(draw, sizes),
        format=VERIFIERS["format"],
        max_new_tokens=64,
        options={"digits": list(sizes)},
    )
