"""Exercise of notebook 07: close the hole, and lose no right answer with it."""

from __future__ import annotations

import ast
import operator
import random
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from labkit.exercises.exercise import Case, Exercise, Misconception
from labkit.verifiers.arithmetic import evaluate_expression

__all__ = ["EXERCISE", "read_plain"]

_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def read_plain(text: str) -> tuple[Fraction, list[int]]:
    """(value, numbers used) of plain arithmetic: digits, `+ - * /`, brackets. Raises ValueError for anything else.

    It is sound (whatever it reads, it reads rightly) and narrow: it knows no `×`, no `= 30` and no leading minus.

    >>> read_plain("(6-1)*5")
    (Fraction(25, 1), [6, 1, 5])
    >>> read_plain("6×5")
    Traceback (most recent call last):
    ...
    ValueError: not plain arithmetic
    """
    if len(text) > 100 or re.search(r"[^0-9+\-*/() ]|\*\*|//|\b0[0-9]", text):
        raise ValueError("not plain arithmetic")
    numbers: list[int] = []

    def value(node: Any) -> Fraction:
        if isinstance(node, ast.BinOp):
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        if not isinstance(node, ast.Constant):
            raise ValueError("not plain arithmetic")
        numbers.append(node.value)
        return Fraction(node.value)

    try:
        return value(ast.parse(text.strip(), mode="eval").body), numbers
    except (SyntaxError, ZeroDivisionError, RecursionError, MemoryError):
        raise ValueError("not plain arithmetic") from None


def fixed_verifier(answer: str, numbers: list[int], target: int) -> bool:
    from labkit.verifiers.arithmetic import ExpressionError, evaluate_expression

    expression, equals, right = answer.partition("=")
    if equals and right.strip() != str(target):
        return False
    try:
        value, used = evaluate_expression(expression)  # reads × ÷ − and a leading minus too
    except ExpressionError:
        return False  # what cannot be read is not proved
    return value == target and sorted(used) == sorted(numbers)


Read = Callable[[str], tuple[Fraction, list[int]]]


def _denies(
    read: Read, signs: bool = True, equation: bool = True, as_sets: bool = False, believes: bool = False
) -> Callable[[str, list[int], int], bool]:
    """Fixes that deny what cannot be read, each with a fault that can be chosen."""

    def verify(answer: str, numbers: list[int], target: int) -> bool:
        if signs:
            answer = answer.translate(str.maketrans("×÷−", "*/-"))
        expression, equals, right = answer.partition("=") if equation else (answer, "", "")
        if equals and right.strip() != str(target):
            return False
        try:
            value, used = read(expression)
        except ValueError:  # an ExpressionError is one
            return False
        reached = value == target or bool(believes and equals)
        return reached and (set(used) == set(numbers) if as_sets else sorted(used) == sorted(numbers))

    return verify


def _pays_what_it_cannot_read(refuses: Callable[[str], bool], read: Read = read_plain) -> Callable[..., bool]:
    def verify(answer: str, numbers: list[int], target: int) -> bool:
        if refuses(answer):
            return False
        try:
            value, used = read(answer)
        except ValueError:
            return True
        return value == target and sorted(used) == sorted(numbers)

    return verify


def _random_answer(generator: random.Random) -> Case:
    numbers = [generator.randint(2, 12) for _ in range(3)]
    used = generator.sample(numbers, 3)
    signs = generator.choice(["+-*", "+−×"])
    first, second = generator.choices(signs, k=2)
    text = f"({used[0]}{first}{used[1]}){second}{used[2]}"
    target = int(evaluate_expression(text)[0]) + generator.choice([0, 0, 0, 1])
    text += generator.choice(["", "", f" = {target}"])
    if generator.random() < 0.25:
        text = generator.choice(["?", "no idea", text + ")", text.replace("(", "", 1), text + "+", "x" + text])
    return Case((text, numbers, target))


EXERCISE = Exercise(
    name="fixed-verifier",
    title="Fix the verifier",
    notebook="07_verifiers",
    spec=(
        "Return True for right answers to the puzzle `numbers -> target`, and for no others.\n\n"
        "- `answer`: what stood between the answer tags; any text at all. Your function must not raise.\n"
        "- Right: an expression of whole numbers, `+ - * /` and brackets that uses each of `numbers` exactly once and "
        "whose exact value is `target`.\n"
        "- **No right answer may be lost.** Models also write `×`, `÷`, `−` (the minus of print), spaces, a minus in "
        "front (`-(2-5)*3`), and ` = 30` behind, which is right when it names the target.\n"
        "- `read` from above may be called; `labkit.verifiers.arithmetic.evaluate_expression` reads more."
    ),
    stub=("def fixed_verifier(answer: str, numbers: list[int], target: int) -> bool:\n    raise NotImplementedError\n"),
    reference=fixed_verifier,
    literal=(
        Case(("6*5*1", [5, 6, 1], 30), "right, and plain"),
        Case(("6+5+1", [5, 6, 1], 30), "it makes 12"),
        Case(("?", [5, 6, 1], 30), "the attack"),
        Case(("", [5, 6, 1], 30), "nothing"),
        Case(("six times five", [5, 6, 1], 30), "words"),
        Case(("6*5*", [5, 6, 1], 30), "an expression that stops too early, with digits in it"),
        Case(("6*5*1)", [5, 6, 1], 30), "a bracket that was never opened"),
        Case(("1/(5-5)", [1, 5, 5], 0), "a division by zero"),
        Case(("6×5×1", [5, 6, 1], 30), "right, with the signs of print"),
        Case(("8÷(7−5)", [8, 7, 5], 4), "right, with the signs of print"),
        Case((" 6 * 5 * 1 ", [5, 6, 1], 30), "right, with spaces"),
        Case(("6*5*1 = 30", [5, 6, 1], 30), "right, with the target behind"),
        Case(("6+5+1=30", [5, 6, 1], 30), "an equation that is false"),
        Case(("6*5*1=31", [5, 6, 1], 30), "right, but then it claims another number"),
        Case(("-(2-5)*3", [2, 5, 3], 9), "right, with a minus in front"),
        Case(("5*6*1", [5, 5, 6, 1], 30), "5 is given twice and used once"),
        Case(("6*5*1#", [5, 6, 1], 30), "a sign that Python would skip as a comment"),
        Case(("6*5*1\x00", [5, 6, 1], 30), "a NUL character"),
        Case(("2**3", [2, 3], 8), "no operator of the game"),
        Case(("(" * 5000, [5, 6, 1], 30), "five thousand brackets"),
    ),
    random=_random_answer,
    misconceptions=(
        Misconception(
            "as-leaky-as-before",
            _pays_what_it_cannot_read(lambda answer: False),
            "What it cannot read is still paid. A verifier must ask for proof that an answer is right; to find no "
            "fault is no proof.",
            (
                _pays_what_it_cannot_read(lambda answer: False, evaluate_expression),
                _pays_what_it_cannot_read(lambda answer: not answer.strip()),
            ),
        ),
        Misconception(
            "blocklist",
            _pays_what_it_cannot_read(lambda answer: "?" in answer or not answer.strip()),
            "You have forbidden the attack that you know. The next one is a character away (`!`, `six`, `6*5*`): list "
            "what is right, not what is wrong, and refuse the rest.",
            (
                _pays_what_it_cannot_read(lambda answer: "?" in answer),
                _pays_what_it_cannot_read(lambda answer: answer == "?"),
                _pays_what_it_cannot_read(lambda answer: not any(c.isdigit() for c in answer)),
                _pays_what_it_cannot_read(lambda answer: not answer.strip() or not answer.isascii()),
            ),
        ),
        Misconception(
            "loses-right-answers",
            _denies(read_plain, signs=False, equation=False),
            "The hole is closed, and right answers are lost with it: `6×5×1` and `6*5*1 = 30` cannot be read, which "
            "nobody noticed while that was paid. Read more of what models write.",
            (
                _denies(read_plain, signs=False),
                _denies(read_plain, equation=False),
                _denies(evaluate_expression, equation=False),
            ),
        ),
        Misconception(
            "loses-the-minus",
            _denies(read_plain),
            "Nearly: `-(2-5)*3` is right and goes without reward, for the plain reader knows no minus in front.",
        ),
        Misconception(
            "numbers-as-sets",
            _denies(evaluate_expression, as_sets=True),
            "The numbers are compared as sets, which forget how often a number occurs: compare sorted lists.",
            (_denies(read_plain, as_sets=True),),
        ),
        Misconception(
            "believes-the-equation",
            _denies(evaluate_expression, believes=True),
            "It believes what stands behind the `=`: `6+5+1=30` is paid. Calculate the left side, and compare both.",
            (_denies(read_plain, believes=True),),
        ),
    ),
    hints=(
        "There are three outcomes: proved right, proved wrong, and not readable. Which of them may be paid?",
        "First refuse what cannot be read. Then look which right answers are refused now: signs, spaces, `= 30`, a "
        "minus in front.",
        "`answer.partition('=')` splits an equation; what stands right of it must be the target. "
        "`evaluate_expression` of labkit.verifiers.arithmetic reads the left side and raises ExpressionError.",
    ),
    sources=("labkit.worlds.countdown.verifier:verify",),
)
