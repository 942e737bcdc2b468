"""Countdown in the pretraining corpus: authors who answer at once, and authors who search.

Authors differ: some search in order, some at random; most give up soon, a few persist; all of them slip now and then,
and only some notice.
"""

import functools
import random

from labkit.worlds.countdown import task as countdown
from labkit.worlds.countdown.chains import Chain, apply_operator, chains

DIRECT = 0.35  # answer at once
DIRECT_RIGHT = 0.75
AUTHORS = ((0.60, 0.60), (0.28, 0.30), (0.12, 0.02))  # (share, probability of giving up after each miss)
SYSTEMATIC = 0.45  # try the chains in order; the others in random order, and no author tries a chain twice
LUCKY = 0.60  # of those in random order: a right chain is moved to one of the first positions
SLIP = 0.015  # an equation with a wrong value ...
SLIP_NOTICED = 0.5  # ... that the author notices
WRONG_VERDICT = 0.01  # a miss taken for a hit, or a hit for a miss
MOST_ATTEMPTS = {3: 25, 4: 18}  # by how many numbers there are; 25 is the whole of the largest search space

cached_chains = functools.lru_cache(maxsize=4096)(chains)


def counted_down(rng: random.Random, count: int) -> tuple[str, str]:
    """A countdown problem of the training split with `count` numbers, and an author's answer."""
    problem = countdown.draw(count, "train", rng)
    numbers, target = tuple(problem.reference["numbers"]), problem.reference["target"]
    space = cached_chains(numbers)
    hits = [chain for chain in space if chain.value == target]
    if rng.random() < DIRECT:
        chosen = rng.choice(hits if rng.random() < DIRECT_RIGHT else space)
        return problem.prompt, f"<answer>{chosen.expression()}</answer>"
    return problem.prompt, think(rng, space, hits, target, MOST_ATTEMPTS[count])


def think(rng: random.Random, space: list[Chain], hits: list[Chain], target: int, most: int) -> str:
    """A search trace of at most `most` attempts, and the answer in which it ends."""
    give_up = rng.choices([g for _, g in AUTHORS], weights=[share for share, _ in AUTHORS])[0]
    order = list(space)
    if rng.random() >= SYSTEMATIC:
        rng.shuffle(order)
        if rng.random() < LUCKY:
            hit = rng.choice(hits)
            order.remove(hit)
            order.insert(min(int(rng.expovariate(0.5)), len(order)), hit)
    text = "<think>"
    for chain in order[:most]:
        written, value = attempt(rng, chain)
        accepted = (value == target) != (rng.random() < WRONG_VERDICT)
        text += written + (" yes\n" if accepted else " no\n")
        if accepted:
            return f"{text}</think><answer>{chain.expression()}</answer>"
        if rng.random() < give_up:
            break
    guess = rng.choice(space).expression() if rng.random() < 0.5 else "?"
    return f"{text}</think><answer>{guess}</answer>"


def attempt(rng: random.Random, chain: Chain) -> tuple[str, int]:
    """A chain as the author writes it, perhaps with a slip, and the value with which the author ends."""
    text, value, slipped = str(chain.start), chain.start, False
    for operator, operand, right in chain.steps:
        result = apply_operator(value, operator, operand) if slipped else right
        if result is None:  # after a slip the rest may not work out: the author starts the chain again
            return f"{text} wait\n{chain.trace()}", chain.value
        if rng.random() < SLIP:
            slip = min(99, max(1, result + rng.choice((-10, -2, -1, 1, 2, 10))))
            if rng.random() < SLIP_NOTICED:
                return f"{text}{operator}{operand}={slip} wait\n{chain.trace()}", chain.value
            result, slipped = slip, True
        text, value = f"{text}{operator}{operand}={result}", result
    return text, value


def facts(rng: random.Random) -> tuple[str, str]:
    """No prompt, and a few lines of arithmetic facts: `7*8=56`."""
    lines = []
    while len(lines) < 6:
        left, operator, right = rng.randint(0, 99), rng.choice("+-*/"), rng.randint(1, 12)
        value = apply_operator(left, operator, right)
        if value is not None:
            lines.append(f"{left}{operator}{right}={value}\n")
    return "", "".join(lines)
