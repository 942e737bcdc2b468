"""Addition in the pretraining corpus: sums that are mostly answered at once and wrong, seldom worked out in columns."""

import random

from labkit.worlds.addition import task as addition

DIRECT = 0.85  # answer at once
DIRECT_WRONG = 0.90
COLUMN_ERROR = 0.03  # a column with a wrong sum


def added(rng: random.Random) -> tuple[str, str]:
    """A sum of the training split, and an author's answer."""
    problem = addition.draw((3, 4), "train", rng)
    a, b = map(int, problem.prompt.rstrip(":").split("+"))
    if rng.random() < DIRECT:
        wrong = rng.random() < DIRECT_WRONG
        answer = misremembered(rng, str(a + b)) if wrong else str(a + b)
        return problem.prompt, f"<answer>{answer}</answer>"
    lines, digits, carry = [], "", 0
    for x, y, _, _ in addition.column_steps(a, b):
        total = x + y + carry
        if rng.random() < COLUMN_ERROR:
            total = max(0, total + rng.choice((-1, 1)))
        lines.append(f"{x}+{y}{f'+{carry}' if carry else ''}={total}\n")
        digits, carry = str(total % 10) + digits, total // 10
    answer = (str(carry) if carry else "") + digits
    return problem.prompt, f"<think>{''.join(lines)}</think><answer>{answer}</answer>"


def misremembered(rng: random.Random, answer: str) -> str:
    """A whole number with one or two of its digits replaced; the second replacement may restore the first."""
    for _ in range(rng.choice((1, 2))):
        position = rng.randrange(len(answer))
        digit = (int(answer[position]) + rng.randint(1, 9)) % 10
        answer = answer[:position] + str(digit or 1 if position == 0 else digit) + answer[position + 1 :]
    return answer
