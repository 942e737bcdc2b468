"""Countdown: combine the given numbers, each exactly once, to make the target.

The game of TinyZero (Pan et al., 2025). The prompt is `5,6,1->30:`, or the same in words, for models that were not
pretrained on the short form; a right completion ends in `<answer>6*5*1</answer>`. Numbers are 1 to 12, targets 1 to 99,
and a left-to-right chain solves each problem.
"""

import functools
import itertools
import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from labkit.errors import UserError
from labkit.tasks.base import Problem, Task, split_of
from labkit.verifiers import VERIFIERS
from labkit.worlds.countdown.behaviours import behaviours
from labkit.worlds.countdown.chains import chains

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


def typed_problem(text: str) -> Problem:
    """The problem that a person typed: numbers, then the target, with anything between them that is no digit.

    Raises UserError unless there are two to four numbers and a target, each of one or two digits.

    >>> typed_problem("2 3 7 -> 42").prompt
    '2,3,7->42:'
    """
    *numbers, target = [int(n) for n in re.findall(r"\d{1,9}", text)] or [0]
    if not 2 <= len(numbers) <= 4:
        raise UserError("type two to four numbers and a target, such as 5 6 1 -> 30")
    if not all(1 <= n <= 99 for n in (*numbers, target)):
        raise UserError("numbers and targets go from 1 to 99 in this game")
    return problem_of(tuple(numbers), target)


@functools.cache
def solvable_targets(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """The targets that some chain over the (sorted) numbers makes, ascending."""
    return tuple(sorted({chain.value for chain in chains(numbers)}))


@functools.cache
def pool(split: str) -> list[Problem]:
    """All problems with three numbers of a split, one for each multiset of numbers and each target."""
    problems = []
    for numbers in itertools.combinations_with_replacement(range(1, LARGEST_NUMBER + 1), 3):
        for target in solvable_targets(numbers):
            if countdown_split(numbers, target) == split:
                order = list(numbers)
                random.Random(f"{numbers}{target}").shuffle(order)  # a fixed order that does not help
                problems.append(problem_of(tuple(order), target))
    return problems


def draw(count: int, split: str, rng: random.Random) -> Problem:
    """A random problem with `count` numbers: random numbers, then a random target among those that can be made."""
    while True:
        numbers = tuple(rng.randint(1, LARGEST_NUMBER) for _ in range(count))
        target = rng.choice(solvable_targets(tuple(sorted(numbers))) or (None,))
        if target is not None and countdown_split(numbers, target) == split:
            return problem_of(numbers, target)


def in_words(problem: Problem) -> Problem:
    """The same problem with its rules in words.

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


def opened(problem: Problem) -> Problem:
    """The problem with `<think>` at the end of its prompt: the policy no longer chooses whether to think.

    >>> opened(problem_of((5, 6, 1), 30)).prompt
    '5,6,1->30:<think>'
    """
    return Problem(f"{problem.prompt}<think>", problem.reference, f"{problem.id}<think>")


def draw_opened(count: int, split: str, rng: random.Random) -> Problem:
    """As `draw`, with the thought begun."""
    return opened(draw(count, split, rng))


def pool_opened(split: str) -> list[Problem]:
    """As `pool`, with the thoughts begun."""
    return [opened(problem) for problem in pool(split)]


# Forms of the prompt: (function that draws one problem, function that lists all problems with three numbers).
FORMS: dict[str, tuple[Callable[..., Problem], Callable[[str], list[Problem]]]] = {
    "short": (draw, pool),
    "words": (_draw_in_words, _pool_in_words),
    "opened": (draw_opened, pool_opened),
}


def make_countdown(numbers: int = 3, open_thought: bool = False, prompt: str = "short") -> Task:
    """The task with 3 or 4 `numbers`.

    `open_thought` puts `<think>` at the end of each prompt. `prompt`: "short" (`5,6,1->30:`) or "words" (with the
    rules). Raises UserError for other values, and for `open_thought` with the prompt in words.
    """
    if numbers not in (3, 4):
        raise UserError(f"countdown has 3 or 4 numbers, not {numbers!r}")
    if not isinstance(open_thought, bool):
        raise UserError(f"open_thought is true or false, not {open_thought!r}")
    if prompt not in ("short", "words") or (open_thought and prompt != "short"):
        raise UserError(f"the prompt of countdown is short or words (short with open_thought), not {prompt!r}")
    drawn, listed = FORMS["opened" if open_thought else prompt]
    # The default form is not among the options, so that the fingerprints of recorded runs stay the same.
    options: dict[str, Any] = {"numbers": numbers}
    options |= {"open_thought": True} if open_thought else {}
    options |= {"prompt": prompt} if prompt != "short" else {}
    return Task(
        name="countdown" if numbers == 3 else "countdown-4",
        description=f"combine {numbers} numbers, each exactly once, to make the target",
        verifier=VERIFIERS["countdown"],
        draw=functools.partial(drawn, numbers),
        pool=listed if numbers == 3 else None,
        behaviours=behaviours,
        format=None if open_thought else VERIFIERS["format"],
        max_new_tokens=256,
        options=options,
    )


make_countdown_4 = functools.partial(make_countdown, numbers=4)
