"""Countdown: combine the given numbers, each exactly once, to make the target.

The game of TinyZero (Pan et al., 2025). Prompt `5,6,1->30:`, or in words, for models that were not brought up on the
short form; a right completion ends in `<answer>6*5*1</answer>`. Numbers are 1 to 12, targets 1 to 99, and each problem
can be solved by a left-to-right chain.
"""

import functools
import itertools
import random
from dataclasses import replace

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


def in_words(problem: Problem) -> Problem:
    """The same problem, its rules told in words.

    >>> print(in_words(problem_of((5, 6, 1), 30)).prompt)
    Use the numbers 5, 6, 1, each exactly once, with + - * / and parentheses, to make 30. Think step by step inside \
<think> and </think>, then write the expression alone between <answer> and </answer>, such as <answer>(1+2)*3</answer>.
    """
    numbers, target = problem.reference["numbers"], problem.reference["target"]
    text = (
        f"Use the numbers {', '.join(map(str, numbers))}, each exactly once, with + - * / and parentheses, to make "
        f"{target}. Think step by step inside <think> and </think>, then write the expression alone between <answer> "
        "and </answer>, such as <answer>(1+2)*3</answer>."
    )
    return replace(problem, prompt=text)


def _draw_in_words(count: int, split: str, rng: random.Random) -> Problem:
    return in_words(draw(count, split, rng))


def _pool_in_words(split: str) -> list[Problem]:
    return [in_words(problem) for problem in pool(split)]


def make_countdown(numbers: int = 3, prompt: str = "short") -> Task:
    """The task with 3 or 4 numbers; `prompt`: "short" (`5,6,1->30:`), or "words", with the rules told."""
    if numbers not in (3, 4):
        raise UserError(f"countdown has 3 or 4 numbers, not {numbers!r}")
    if prompt not in ("short", "words"):
        raise UserError(f"the prompt of countdown is short or words, not {prompt!r}")
    told = prompt == "words"
    return Task(
        name="countdown" if numbers == 3 else "countdown-4",
        description=f"combine {numbers} numbers, each exactly once, to make the target",
        verifier=VERIFIERS["countdown"],
        draw=functools.partial(_draw_in_words if told else draw, numbers),
        pool=None if numbers != 3 else _pool_in_words if told else pool,
        behaviours=behaviours,
        format=VERIFIERS["format"],
        max_new_tokens=256,
        # The short form is not named: fingerprints of runs that were recorded stay what they are.
        options={"numbers": numbers} | ({"prompt": prompt} if told else {}),
    )
