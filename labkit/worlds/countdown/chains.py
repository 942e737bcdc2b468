"""Left-to-right arithmetic chains: the search space of the countdown game.

A chain takes the given numbers in some order and combines them from left to right, `((a op b) op c) ...`. Every
running value must be a whole number from 1 to 99, and no chain divides by 1 (to multiply by 1 gives the same). Chains
that are the same sum or the same product in another order count as one chain, in the order that comes first. A problem
with three numbers from 1 to 12 has about 15 chains, at most 25; about one in twelve hits the target.
"""

from collections.abc import Iterator
from dataclasses import dataclass

SMALLEST_VALUE, LARGEST_VALUE = 1, 99
OPERATORS = "+-*/"


def apply_operator(left: int, operator: str, right: int) -> int | None:
    """`left operator right` as a whole number from 1 to 99; None where it is none, and for a division by 1.

    >>> apply_operator(7, "*", 5), apply_operator(5, "-", 7), apply_operator(7, "/", 2)
    (35, None, None)
    """
    if operator == "+":
        value = left + right
    elif operator == "-":
        value = left - right
    elif operator == "*":
        value = left * right
    elif right <= 1 or left % right:
        return None
    else:
        value = left // right
    return value if SMALLEST_VALUE <= value <= LARGEST_VALUE else None


@dataclass(frozen=True, slots=True)
class Chain:
    """One way to combine all the numbers: `start`, then (operator, operand, running value) per step."""

    start: int
    steps: tuple[tuple[str, int, int], ...]

    @property
    def value(self) -> int:
        """The value at the end of the chain."""
        return self.steps[-1][2]

    def trace(self) -> str:
        """Calculator notation, each `=` followed by the running value.

        >>> Chain(1, (("+", 6, 7), ("*", 5, 35))).trace()
        '1+6=7*5=35'
        """
        return str(self.start) + "".join(f"{op}{operand}={value}" for op, operand, value in self.steps)

    def expression(self) -> str:
        """Ordinary notation, with parentheses where precedence requires them.

        >>> Chain(1, (("+", 6, 7), ("*", 5, 35))).expression()
        '(1+6)*5'
        >>> Chain(6, (("*", 5, 30), ("*", 1, 30))).expression()
        '6*5*1'
        """
        text, is_sum = str(self.start), False
        for operator, operand, _ in self.steps:
            if operator in "*/" and is_sum:
                text = f"({text})"
            text, is_sum = f"{text}{operator}{operand}", operator in "+-"
        return text


def chains(numbers: tuple[int, ...]) -> list[Chain]:
    """All different chains over `numbers`, in a systematic order (by pair, then by operator).

    >>> [c.trace() for c in chains((2, 9))]
    ['2+9=11', '2*9=18', '9-2=7']
    >>> [c.trace() for c in chains((2, 3, 7))][:3]  # 2+7+3 is 2+3+7 again, so it does not come back later
    ['2+3=5+7=12', '2+3=5*7=35', '2*3=6+7=13']
    """
    different: dict[object, Chain] = {}
    for chain in _extend_pairs(numbers):
        different.setdefault(_what_it_computes(chain), chain)
    return list(different.values())


def _what_it_computes(chain: Chain) -> object:
    """A key that is equal for chains that are the same sum, or the same product, in another order."""
    operators = {operator for operator, _, _ in chain.steps}
    for pair in ("+-", "*/"):
        if operators <= set(pair):
            return tuple(sorted([(pair[0], chain.start), *((op, operand) for op, operand, _ in chain.steps)]))
    return chain


def _extend_pairs(numbers: tuple[int, ...]) -> Iterator[Chain]:
    for i, left in enumerate(numbers):
        for j, right in enumerate(numbers):
            if i == j:
                continue
            rest = tuple(n for k, n in enumerate(numbers) if k not in (i, j))
            for operator in OPERATORS:
                # A commutative first step is written once, with the numbers in the order in which they are given.
                if operator in "+*" and j < i:
                    continue
                value = apply_operator(left, operator, right)
                if value is not None:
                    yield from _extend(left, ((operator, right, value),), rest)


def _extend(start: int, steps: tuple[tuple[str, int, int], ...], rest: tuple[int, ...]) -> Iterator[Chain]:
    if not rest:
        yield Chain(start, steps)
        return
    for k, operand in enumerate(rest):
        for operator in OPERATORS:
            value = apply_operator(steps[-1][2], operator, operand)
            if value is not None:
                yield from _extend(start, (*steps, (operator, operand, value)), rest[:k] + rest[k + 1 :])
