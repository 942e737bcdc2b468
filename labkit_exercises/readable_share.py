"""Exercise of notebook 13: how much of a thought can be read?"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def readable_share(thought: str, numbers: list[int]) -> float:
    from labkit.worlds.countdown import trace

    return trace.verify(f"<think>{thought}</think>", {"numbers": numbers, "target": 0}).reward


Line = tuple[str, bool, list[int], bool]  # chain, whether each = holds, the numbers used, whether said before


def _read(thought: str, verdicts: str = "no|yes") -> list[Line | None]:
    """What a line is made of; None for a line that is written otherwise."""
    lines: list[Line | None] = []
    seen: set[str] = set()
    for line in thought.split("\n"):
        shape = re.fullmatch(rf"(\d+)((?:[-+*/]\d+=\d+)+)(?: (?:{verdicts}))", line)
        chain = line.partition(" ")[0]
        if shape:
            value, used, holds = int(shape[1]), [int(shape[1])], True
            for sign, number, stated in re.findall(r"([-+*/])(\d+)=(\d+)", shape[2]):
                b, result = int(number), int(stated)
                right = {"+": value + b, "-": value - b, "*": value * b}
                holds &= result * b == value if sign == "/" else right[sign] == result
                value = result
                used.append(b)
            lines.append((chain, holds, used, chain in seen))
        elif line.strip():
            lines.append(None)
        seen.add(chain)
    return lines


def _mean(flags: list[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0


def _share_of(
    rule: Callable[[Line, list[int]], bool], verdicts: str = "no|yes", end: Callable[[list[bool]], float] = _mean
) -> Callable[[str, list[int]], Any]:
    def share(thought: str, numbers: list[int]) -> float:
        return end([line is not None and rule(line, numbers) for line in _read(thought, verdicts)])

    return share


def _all(line: Line, numbers: list[int]) -> bool:
    return line[1] and Counter(line[2]) == Counter(numbers) and not line[3]


def _random_thought(generator: random.Random) -> Case:
    numbers = [generator.randint(1, 9) for _ in range(3)]
    lines = []
    for _ in range(generator.randint(0, 5)):
        a, b, c = generator.sample(numbers, 3) if generator.random() < 0.8 else (numbers[0], numbers[0], numbers[1])
        middle = a + b + generator.choice([0, 0, 0, 1])
        lines.append(f"{a}+{b}={middle}*{c}={middle * c}" + generator.choice([" no", " no", " yes", " wait", ""]))
        if generator.random() < 0.3:
            lines.append(lines[-1])
    return Case(("".join(f"{line}\n" for line in lines), numbers))


EXERCISE = Exercise(
    name="readable-share",
    title="A language-consistency reward for the tiny world",
    notebook="13_r1_pipeline",
    spec=(
        "`thought` is what stands between `<think>` and `</think>`: one line an attempt. Return the share of its lines "
        "(empty ones left out) that are **clean**. A clean line\n\n"
        "- is written `1+6=7*5=35 no`: a number, then steps `operator number = result`, then ` no` or ` yes`;\n"
        "- is true: every `=` holds, taken from left to right;\n"
        "- uses each of `numbers` exactly as often as it is given, and no other;\n"
        "- was not said before: its chain, the text before the space, is that of no earlier line.\n\n"
        "Without any line there is nothing to read: 0.0."
    ),
    stub="def readable_share(thought: str, numbers: list[int]) -> float:\n    raise NotImplementedError\n",
    reference=readable_share,
    literal=(
        Case(("1+6=7*5=35 no\n6*5=30*1=30 yes\n", [5, 6, 1]), "two clean lines"),
        Case(("", [5, 6, 1]), "no line at all"),
        Case(("1+6=7*5=35 no\n1+6=7*5=35 no\n", [5, 6, 1]), "said twice: the second line is not clean"),
        Case(("1+6=8*5=40 no\n6*5=30*1=30 yes\n", [5, 6, 1]), "1+6 is not 8"),
        Case(("6*5=30*5=150 no\n6*5=30*1=30 yes\n", [5, 6, 1]), "5 is used twice, 1 not at all"),
        Case(("6*5=30 yes\n", [5, 6, 1]), "1 is not used"),
        Case(("5+1=6*1=6 no\n", [5, 5, 1]), "5 is given twice and used once, 1 the other way round"),
        Case(("5+6=11 wait\n5+6=11*1=11 no\n", [5, 6, 1]), "wait is no verdict"),
        Case(("5+6=11*1=11 wait\n5+6=11-1=10 no\n", [5, 6, 1]), "a whole chain, but wait is no verdict"),
        Case(("6*5=30*1=30\n6+5=11+1=12 no\n", [5, 6, 1]), "a line without a verdict"),
    ),
    random=_random_thought,
    misconceptions=(
        Misconception(
            "repetition",
            _share_of(lambda line, numbers: line[1] and Counter(line[2]) == Counter(numbers)),
            "A chain that was said before counts as clean again: saying one true line over and over would be paid in "
            "full.",
        ),
        Misconception(
            "false-lines",
            _share_of(lambda line, numbers: Counter(line[2]) == Counter(numbers) and not line[3]),
            "The equations are not checked: a line whose = does not hold reads well and is wrong.",
        ),
        Misconception(
            "other-numbers",
            _share_of(lambda line, numbers: line[1] and not line[3]),
            "The numbers are not checked: the line must use those that are given, each as often as it is given.",
        ),
        Misconception(
            "set-of-numbers",
            _share_of(lambda line, numbers: line[1] and set(line[2]) == set(numbers) and not line[3]),
            "Numbers are compared as sets, so a number that is given twice and used once passes. Compare sorted lists.",
        ),
        Misconception(
            "all-or-nothing",
            _share_of(_all, end=lambda flags: float(bool(flags) and all(flags))),
            "It is all or nothing: one bad line makes the whole thought worth 0. Asked for is the share of clean "
            "lines, which also tells a thought with one bad line from one with ten.",
        ),
        Misconception(
            "empty-is-perfect",
            _share_of(_all, end=lambda flags: _mean(flags) if flags else 1.0),
            "A thought without a line gets 1.0: then the surest way to be readable is to think nothing.",
        ),
        Misconception(
            "wait-is-a-verdict",
            _share_of(_all, verdicts="no|yes|wait"),
            "Lines that end in ` wait` count as clean. There a chain was broken off after a slip: the verdicts are no "
            "and yes.",
        ),
        Misconception(
            "counts",
            _share_of(_all, end=lambda flags: float(sum(flags))),
            "This is the number of clean lines, not their share: it would pay for every further line.",
        ),
    ),
    hints=(
        "`[line for line in thought.split('\\n') if line.strip()]` are the lines; keep a set of the chains so far.",
        "`re.fullmatch(r'(\\d+)((?:[-+*/]\\d+=\\d+)+) (?:no|yes)', line)` gives the first number and the steps.",
        "`re.findall(r'([-+*/])(\\d+)=(\\d+)', steps)` gives the steps one by one; a/b=c holds when c*b == a.",
    ),
    sources=(
        "labkit.worlds.countdown.trace:verify",
        "labkit.worlds.countdown.trace:line_fault",
        "labkit.worlds.countdown.parse:read_line",
        "labkit.worlds.countdown.parse:Calculation",
    ),
)
