r"""The one reader of countdown traces: where the thought is, what it tries, and what each attempt states.

The tiny model tries one chain of equations per line and ends the line with a verdict, in calculator notation:

    <think>1+6=7*5=35 no
    6*5=30*1=30 yes
    </think><answer>6*5*1</answer>

`read_line` and `read_start` accept exactly this notation; checkers that reward or mark a trace use them.
`read_attempts` also finds equations in the prose of a larger model; counters use it. All of them take time linear in
the text.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from labkit.verifiers.extract import ANSWER_OPEN, split_thinking

__all__ = ["Attempt", "Calculation", "Equation", "Thought", "read_attempts", "read_line", "read_start", "read_thought"]

_CHAIN = r"([0-9]{1,6})((?:[-+*/][0-9]{1,6}=[0-9]{1,6})+)"
_START = re.compile(_CHAIN, re.ASCII)
_LINE = re.compile(rf"{_CHAIN} (no|yes|wait)", re.ASCII)
_EQUATION = re.compile(r"([-+*/])([0-9]+)=([0-9]+)", re.ASCII)

_END_OF_ATTEMPT = re.compile(r"\n|\b(?:no|yes|wait)\b", re.IGNORECASE | re.ASCII)
_FORMULA = re.compile(r"[-+*/×÷−()0-9=. ]+")
_OPERATION = re.compile(r"[0-9)][-+*/×÷−][-−(0-9]")


class Thought(NamedTuple):
    """What a completion says before it answers. `closed`: the thought was ended, not cut off."""

    text: str
    closed: bool


def read_thought(completion: str) -> Thought:
    r"""The text inside the `<think>` tags; in a completion without these tags, the text before `<answer>`.

    A thought is closed when `</think>` is the last of its tags; without tags, when `<answer>` follows.

    >>> read_thought("<think>6*5=30 no\n</think><answer>?</answer>")
    Thought(text='6*5=30 no\n', closed=True)
    >>> read_thought("6*5=30 no\n6*")
    Thought(text='6*5=30 no\n6*', closed=False)
    """
    if "<think>" in completion or "</think>" in completion:
        # rfind returns -1 for a tag that does not occur.
        closed = completion.rfind("</think>") > completion.rfind("<think>")
        return Thought(split_thinking(completion)[0], closed)
    text, answer_tag, _ = completion.partition(ANSWER_OPEN)
    return Thought(text, bool(answer_tag))


# ---------------------------------------------------------------------------------------- calculator notation


class Equation(NamedTuple):
    """One step of a chain, `*5=35`: the operator, its right operand as written, and the stated result."""

    operator: str
    operand: str
    result: int

    def holds(self, left: int) -> bool:
        """Whether `left operator operand = result`. a/b=c holds when c*b=a and b is not 0.

        >>> Equation("*", "5", 35).holds(7), Equation("/", "2", 3).holds(7), Equation("/", "0", 0).holds(0)
        (True, False, False)
        """
        right = int(self.operand)
        if self.operator == "+":
            return left + right == self.result
        if self.operator == "-":
            return left - right == self.result
        if self.operator == "*":
            return left * right == self.result
        return right != 0 and self.result * right == left


@dataclass(frozen=True)
class Calculation:
    """An attempt in calculator notation: `start`, then the equations; `verdict` is "no", "yes", "wait" or None."""

    text: str
    start: str
    equations: tuple[Equation, ...]
    verdict: str | None = None

    @property
    def numbers(self) -> Counter[int]:
        """The numbers that it uses, each with how often; stated results are not among them."""
        return Counter([int(self.start), *(int(equation.operand) for equation in self.equations)])

    @property
    def result(self) -> int:
        """The last result that it states."""
        return self.equations[-1].result

    @property
    def holds(self) -> bool:
        """Whether each of its equations holds, taken from left to right."""
        lefts = [int(self.start), *(equation.result for equation in self.equations)]
        return all(equation.holds(left) for equation, left in zip(self.equations, lefts, strict=False))


def read_line(line: str) -> Calculation | None:
    """A whole line in calculator notation, with its verdict; None for a line that is written in any other way.

    >>> read_line("1+6=7*5=35 no")
    Calculation(text='1+6=7*5=35', start='1', equations=(Equation(operator='+', operand='6', result=7),
                Equation(operator='*', operand='5', result=35)), verdict='no')
    >>> read_line("so 1+6=7 no") is None, read_line("1+6=7") is None
    (True, True)
    """
    return _calculation(_LINE.fullmatch(line))


def read_start(text: str) -> Calculation | None:
    """The calculation with which a text begins, as far as it is written and without a verdict; None without one.

    >>> read_start("6*5=30*1=30 yes ...").text, read_start("so 6*5=30") is None
    ('6*5=30*1=30', True)
    """
    return _calculation(_START.match(text))


def _calculation(match: re.Match[str] | None) -> Calculation | None:
    if match is None:
        return None
    start, rest, *verdict = match.groups()
    equations = tuple(Equation(sign, operand, int(result)) for sign, operand, result in _EQUATION.findall(rest))
    return Calculation(start + rest, start, equations, verdict[0] if verdict else None)


# ---------------------------------------------------------------------------------------------------- prose


class Attempt(NamedTuple):
    """One try in any notation: its chain of equations without white space, and the word that ended it, if any."""

    chain: str
    verdict: str | None


def read_attempts(thought: str) -> list[Attempt]:
    """The attempts of a thought, in calculator notation or in prose.

    An attempt is a stretch of the thought, up to a line break or one of the words no, yes, wait, that holds an equation
    (two numbers joined by an operator, then `=`). The word that ends it is its verdict.

    >>> read_attempts("Let me try 6*5=30. No, wait: (6-1)*5 = 25.")
    [Attempt(chain='6*5=30', verdict='no'), Attempt(chain='(6-1)*5=25', verdict=None)]
    """
    tried, start = [], 0
    ends = [(*match.span(), match.group().strip().lower()) for match in _END_OF_ATTEMPT.finditer(thought)]
    for end, following, word in [*ends, (len(thought), len(thought), "")]:
        chain = _first_equation(thought[start:end])
        if chain is not None:
            tried.append(Attempt(chain, word or None))
        start = following
    return tried


def _first_equation(stretch: str) -> str | None:
    """The first formula of a stretch that is an equation, without its white space."""
    if "=" not in stretch:
        return None
    for formula in _FORMULA.finditer(stretch):
        chain = formula.group().replace(" ", "").strip(".")
        left, equals, _ = chain.partition("=")
        if equals and _OPERATION.search(left):
            return chain
    return None
