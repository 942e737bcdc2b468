"""Countdown: combine the given numbers, each exactly once, to make the target.

The game of TinyZero (Pan et al., 2025). Prompt `5,6,1->30:`; a right completion ends in `<answer>6*5*1</answer>`.
Numbers are 1 to 12, targets 1 to 99, and each problem can be solved by a left-to-right chain.
"""

import functools
import itertools
import random

from labkit.behaviours import behaviours
from labkit.errors import UserError
from labkit.tasks.base import Problem, Task, split_of
from labkit.tasks.chains import chains
from labkit.verifiers import VERIFIERS

LARGEST_NUMBER = 12


def countdown_split(numbers: tuple[int, ...], target: int) -> str:
    """The split of a countdown problem; the order in which its numbers are given does not matter."""
    return split_of(["countdown", *sorted(numbers), target])


def prompt_of(numbers: tuple[int, ...], target: int) -> str:
    """The prompt of a problem.

    >>> prompt_of((5, 6, 1), 30)
    '5,6,1->30:'
    """
    return f"{','.join(map(str, numbers))}->{target}:"


def problem_of(numbers: tuple[int, ...], target: int) -> Problem:
    """The problem with these numbers and this target."""
    text = prompt_of(numbers, target)
    return Problem(prompt=text, reference={"numbers": list(numbers), "target": target}, id=f"countdown/{text}")


@functools.cache
def solvable_targets(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """The targets that some chain over the (sorted) numbers makes, ascending."""
    return tuple(sorted({chain.value for chain in chains(numbers)}))


@functools.cache
def pool(split: str) -> list[Problem]:
    """All problems with three numbers of a split, one for each multiset of numbers and each target."""
    found = []
    for numbers in itertools.combinations_with_replacement(range(1, LARGEST_NUMBER + 1), 3):
        for target in solvable_targets(numbers):
            if countdown_split(numbers, target) == split:
                order = list(numbers)
                random.Random(f"{numbers}{target}").shuffle(order)  # a fixed order that gives nothing away
                found.append(problem_of(tuple(order), target))
    return found


def draw(count: int, split: str, rng: random.Random) -> Problem:
    """A random problem with `count` numbers: random numbers, then a random target among those that can be made."""
    while True:
        numbers = tuple(rng.randint(1, LARGEST_NUMBER) for _ in range(count))
        target = rng.choice(solvable_targets(tuple(sorted(numbers))) or (None,))
        if target is not None and countdown_split(numbers, target) == split:
            return problem_of(numbers, target)


def make_countdown(numbers: int = 3) -> Task:
    """The task with 3 or 4 numbers."""
    if numbers not in (3, 4):
        raise UserError(f"countdown has 3 or 4 numbers, not {numbers!r}")
    return Task(
        name="countdown" if numbers == 3 else "countdown-4",
        description=f"combine {numbers} numbers, each exactly once, to make the target",
        verifier=VERIFIERS["countdown"],
        draw=functools.partial(draw, numbers),
        pool=pool if numbers == 3 else None,
        behaviours=behaviours,
        format=VERIFIERS["format"],
        max_new_tokens=256,
        options={"numbers": numbers},
    )
