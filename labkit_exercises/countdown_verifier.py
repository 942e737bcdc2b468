"""Exercise of notebook 00: judge an answer to the countdown game."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from labkit.exercises.exercise import Case, Exercise, Misconception
from labkit.verifiers.arithmetic import ExpressionError, evaluate_expression

__all__ = ["EXERCISE"]


def countdown_verifier(expression: str, numbers: list[int], target: int) -> bool:
    from labkit.worlds.countdown import verifier as countdown

    completion = f"<answer>{expression}</answer>"
    return countdown.verify(completion, {"numbers": numbers, "target": target}).reward == 1.0


Rule = Callable[[list[int], list[int]], bool]
Accept = Callable[[Any, int], bool]
Verifier = Callable[[str, list[int], int], bool]


def _exactly(used: list[int], numbers: list[int]) -> bool:
    return Counter(used) == Counter(numbers)


def _as_sets(used: list[int], numbers: list[int]) -> bool:
    return set(used) == set(numbers)


def _none_else(used: list[int], numbers: list[int]) -> bool:
    return not Counter(used) - Counter(numbers)


def _none_else_as_sets(used: list[int], numbers: list[int]) -> bool:
    return set(used) <= set(numbers)


def _any(used: list[int], numbers: list[int]) -> bool:
    return True


def _equal(value: float | Fraction, target: int) -> bool:
    return value == target


def _close(value: float | Fraction, target: int) -> bool:
    return abs(value - target) < 1e-6


def _parsed(rule: Rule, accept: Accept = _equal, floats: bool = False) -> Verifier:
    """A verifier that reads the expression properly, exactly or in floats."""

    def verify(expression: str, numbers: list[int], target: int) -> bool:
        try:
            value, used = evaluate_expression(expression)
        except ExpressionError:
            return False
        # The text has been read as plain arithmetic before: eval only turns it into floats here.
        return rule(used, numbers) and accept(eval(expression) if floats else value, target)

    return verify


def _evaluated(rule: Rule, accept: Accept, catch: bool, numbers_first: bool) -> Verifier:
    """A verifier that calls eval on whatever stands there."""

    def verify(expression: str, numbers: list[int], target: int) -> bool:
        right_numbers = rule([int(digits) for digits in re.findall(r"\d+", expression)], numbers)
        if numbers_first and not right_numbers:
            return False
        try:
            return accept(eval(expression, {"__builtins__": {}}), target) and right_numbers
        except Exception:
            if catch:
                return False
            raise

    return verify


def _all_evaluated(rule: Rule) -> tuple[Verifier, ...]:
    options = itertools.product((_equal, _close), (True, False), (True, False))
    return tuple(_evaluated(rule, *chosen) for chosen in options)


def _all_with(*rules: Rule) -> tuple[Verifier, ...]:
    """The same rule for the numbers in every way to get at the value."""
    return tuple(
        verifier
        for rule in rules
        for verifier in (_parsed(rule, floats=True), _parsed(rule, _close, True), *_all_evaluated(rule))
    )


def _contains_target(expression: str, numbers: list[int], target: int) -> bool:
    return str(target) in expression


def _random_countdown(generator: random.Random) -> Case:
    numbers = [generator.randint(1, 12) for _ in range(3)]
    used = generator.sample(numbers, 3)
    fault = generator.choice(["none", "none", "value", "number"])
    if fault == "number":
        used[generator.randrange(3)] = generator.randint(1, 12)
    first, second = generator.choices("+-*", k=2)
    text = f"({used[0]}{first}{used[1]}){second}{used[2]}"
    target = int(evaluate_expression(text)[0]) + (generator.choice([-2, -1, 1, 2]) if fault == "value" else 0)
    return Case((text, numbers, target))


EXERCISE = Exercise(
    name="countdown-verifier",
    title="A verifier for countdown",
    notebook="00_start_here",
    spec=(
        "Return True when `expression` reaches `target` and uses **each** of `numbers` **exactly once**, "
        "else False.\n\n"
        "- `expression`: the text inside the answer tags, such as `'(6-1)*5'`. A model wrote it: it may be "
        "anything at all, the empty string included, and must never make the function raise.\n"
        "- Allowed are whole numbers, `+ - * /` and brackets; with anything else the answer is False.\n"
        "- The value is compared exactly: `1/49*49` is 1."
    ),
    stub=(
        "def countdown_verifier(expression: str, numbers: list[int], target: int) -> bool:\n"
        "    raise NotImplementedError\n"
    ),
    reference=countdown_verifier,
    literal=(
        Case(("6*5*1", [5, 6, 1], 30), "right: each number once, and it makes 30"),
        Case(("6*5+1", [5, 6, 1], 30), "the right numbers, but it makes 31"),
        Case(("6*5", [5, 6, 1], 30), "it makes 30, but 1 is not used"),
        Case(("30", [5, 6, 1], 30), "the target itself, which is not one of the numbers"),
        Case(("6*6-6*1", [6, 1], 30), "it makes 30, but 6 is given once and used three times"),
        Case(("5*6*1", [5, 5, 6, 1], 30), "it makes 30, but 5 is given twice and used once"),
        Case(("2**3", [2, 3], 8), "** is not one of + - * /"),
        Case(("7//2", [7, 2], 3), "// is not one of + - * /"),
        Case(("8/3", [8, 3], 3), "it makes 2.67, which only rounds to 3"),
        Case(("(6-1)*5", [5, 6, 1], 25), "brackets"),
        Case(("1/49*49", [1, 49, 49], 1), "exactly 1, though floats make it 0.9999999999999999"),
        Case(("30+1/1000000000000", [30, 1, 1000000000000], 30), "near to 30 is not 30"),
        Case(("6/(5-5)", [6, 5, 5], 6), "a division by zero has no value"),
        Case(("6*5*1)", [5, 6, 1], 30), "a bracket that was never opened"),
        Case(("six*5", [5, 6], 30), "letters"),
        Case(("", [5, 6, 1], 30), "an empty answer"),
    ),
    random=_random_countdown,
    misconceptions=(
        Misconception(
            "eval",
            _evaluated(_exactly, _close, catch=True, numbers_first=True),
            "`eval` runs whatever Python stands there, so `2**3` and `7//2` pass too, and on text that a "
            "model wrote it can run anything. Parse with `ast.parse` and allow only the node types that you "
            "expect.",
            _all_evaluated(_exactly),
        ),
        Misconception(
            "set-of-numbers",
            _parsed(_as_sets),
            "The numbers are compared as sets, and a set forgets how often a number occurs. Compare them as "
            "multisets: sorted lists, or `collections.Counter`.",
            _all_with(_as_sets),
        ),
        Misconception(
            "unused-numbers",
            _parsed(_none_else),
            "Not all numbers need to be used: it only looks whether the numbers in the expression were "
            "given. Each given number must occur exactly once.",
            (_parsed(_none_else_as_sets), *_all_with(_none_else, _none_else_as_sets)),
        ),
        Misconception(
            "value-only",
            _parsed(_any),
            "The numbers are not looked at: any expression with the right value passes, the target itself "
            "included. A policy finds that within a few steps.",
            _all_with(_any),
        ),
        Misconception(
            "float-equality",
            _parsed(_exactly, floats=True),
            "Values are compared as floats, and `1/49*49` is 0.9999999999999999 in floats: a right answer "
            "gets no reward. Calculate with `fractions.Fraction`.",
        ),
        Misconception(
            "near-enough",
            _parsed(_exactly, lambda value, target: abs(value - target) < 0.5, floats=True),
            "Near to the target counts as the target. A tolerance, or rounding, accepts wrong answers; "
            "calculate exactly with `fractions.Fraction`, then no tolerance is needed.",
            (
                _parsed(_exactly, _close, floats=True),
                _parsed(_exactly, lambda value, target: abs(value - target) < 1e-9, floats=True),
                _parsed(_exactly, math.isclose, floats=True),
                _parsed(_exactly, lambda value, target: round(value) == target, floats=True),
            ),
        ),
        Misconception(
            "target-in-text",
            _contains_target,
            "It looks for the target's digits in the text. That rewards writing the target down, not "
            "reaching it: the expression has to be evaluated.",
        ),
    ),
    hints=(
        "`ast.parse(expression, mode='eval').body` gives a tree. Which node types may occur in it, and what "
        "must happen with all others? What does it raise for text that is no Python?",
        "Write a recursive helper that returns a node's value as `Fraction` and appends each number that it "
        "meets to a list. Allowed: `ast.Constant` with an int, and `ast.BinOp` with `ast.Add`, `ast.Sub`, "
        "`ast.Mult`, `ast.Div`; all else raises ValueError.",
        "At the end: `sorted(used) == sorted(numbers) and value == target`, inside a `try` that returns "
        "False for SyntaxError, ValueError and ZeroDivisionError.",
    ),
    sources=("labkit.worlds.countdown.verifier:verify", "labkit.verifiers.arithmetic:evaluate_expression"),
)
