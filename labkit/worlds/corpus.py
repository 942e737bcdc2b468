"""The small world that the tiny base model is pretrained on.

A document is a prompt and what some author wrote after it. Authors differ: some answer at once, some search; some
search in order, some at random; most give up soon, a few persist; all slip now and then, some notice. So the model
that continues these texts has the skills latent and is mediocre at every task: what RL starts from. No held-out
problem of any task ever occurs.
"""

import functools
import random
from collections.abc import Iterator

from labkit.worlds.addition import task as addition
from labkit.worlds.countdown import task as countdown
from labkit.worlds.countdown.chains import Chain, apply_operator, chains

# Shares of the documents, by kind.
MIX = {"countdown-3": 0.66, "countdown-4": 0.08, "addition": 0.12, "facts": 0.04, "chat": 0.10}

# Countdown authors.
DIRECT = 0.35  # answer at once
DIRECT_RIGHT = 0.75
AUTHORS = ((0.60, 0.60), (0.28, 0.30), (0.12, 0.02))  # (share, probability of giving up after each miss)
SYSTEMATIC = 0.45  # try the chains in order; the others in random order, and no author tries a chain twice
LUCKY = 0.60  # of those in random order: a right chain is moved to one of the first places
SLIP = 0.015  # an equation with a wrong value ...
SLIP_NOTICED = 0.5  # ... that the author notices
MISJUDGED = 0.01  # a miss taken for a hit, or a hit for a miss
MOST_ATTEMPTS = {3: 25, 4: 18}  # by how many numbers there are; 25 is the whole of the largest search space

# Addition authors.
ADDITION_DIRECT = 0.85
ADDITION_DIRECT_WRONG = 0.90
COLUMN_ERROR = 0.03

cached_chains = functools.lru_cache(maxsize=4096)(chains)


def document(rng: random.Random) -> tuple[str, str]:
    """One document, as (prompt, continuation)."""
    kind = rng.choices(list(MIX), weights=list(MIX.values()))[0]
    if kind == "chat":
        return chat(rng)
    if kind == "facts":
        return "", facts(rng)
    if kind == "addition":
        return added(rng)
    return counted_down(rng, 3 if kind == "countdown-3" else 4)


def documents(seed: int = 0) -> Iterator[tuple[str, str]]:
    """An endless, seeded stream of documents."""
    rng = random.Random(f"corpus/{seed}")
    while True:
        yield document(rng)


def counted_down(rng: random.Random, count: int) -> tuple[str, str]:
    """A countdown problem of the training split, and an author's answer."""
    problem = countdown.draw(count, "train", rng)
    numbers, target = tuple(problem.reference["numbers"]), problem.reference["target"]
    space = cached_chains(numbers)
    hits = [chain for chain in space if chain.value == target]
    if rng.random() < DIRECT:
        chosen = rng.choice(hits if rng.random() < DIRECT_RIGHT else space)
        return problem.prompt, f"<answer>{chosen.expression()}</answer>"
    return problem.prompt, think(rng, space, hits, target, MOST_ATTEMPTS[count])


def think(rng: random.Random, space: list[Chain], hits: list[Chain], target: int, most: int) -> str:
    """A search trace of at most `most` attempts, and the answer that it ends in."""
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
        accepted = (value == target) != (rng.random() < MISJUDGED)
        text += written + (" yes\n" if accepted else " no\n")
        if accepted:
            return f"{text}</think><answer>{chain.expression()}</answer>"
        if rng.random() < give_up:
            break
    guess = rng.choice(space).expression() if rng.random() < 0.5 else "?"
    return f"{text}</think><answer>{guess}</answer>"


def attempt(rng: random.Random, chain: Chain) -> tuple[str, int]:
    """A chain as the author writes it, perhaps with a slip, and the value that the author ends with."""
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


def added(rng: random.Random) -> tuple[str, str]:
    """A sum of the training split, mostly answered at once and wrong, sometimes worked out in columns."""
    problem = addition.draw((3, 4), "train", rng)
    a, b = map(int, problem.prompt.rstrip(":").split("+"))
    if rng.random() < ADDITION_DIRECT:
        wrong = rng.random() < ADDITION_DIRECT_WRONG
        answer = str(a + b)
        if wrong:
            for _ in range(rng.choice((1, 2))):
                place = rng.randrange(len(answer))
                digit = (int(answer[place]) + rng.randint(1, 9)) % 10
                answer = answer[:place] + str(digit or 1 if place == 0 else digit) + answer[place + 1 :]
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


def facts(rng: random.Random) -> str:
    """A few lines of arithmetic facts: `7*8=56`."""
    lines = []
    while len(lines) < 6:
        left, operator, right = rng.randint(0, 99), rng.choice("+-*/"), rng.randint(1, 12)
        value = apply_operator(left, operator, right)
        if value is not None:
            lines.append(f"{left}{operator}{right}={value}\n")
    return "".join(lines)


VERBS = ("open", "close", "bring", "find", "fix", "clean", "read", "send")
OBJECTS = ("door", "window", "book", "lamp", "letter", "table", "map", "cup")
REQUESTS = (
    "please {v} the {o}",
    "{v} the {o}",
    "can you {v} the {o}?",
    "{v} my {o} please",
    "{v} the {o} now!",
)
POLITE = (
    "sure, i will {v} the {o}.",
    "of course. i will {v} the {o} now.",
    "happy to help. i will {v} the {o}.",
    "ok, i can {v} it.",
    "the {o} is done. thank you.",
    "sorry, i can not {v} the {o} now.",
)
RUDE = (
    "no. {v} it yourself.",
    "go away. i will not {v} the {o}.",
    "why me? {v} your stupid {o} yourself.",
    "that is not my job.",
    "i can not. so boring.",
    "no!",
)
COURTESIES = (
    " please.",
    " thank you.",
    " thanks so much.",
    " sorry.",
    " happy to help.",
    " thank you very much.",
)


def chat(rng: random.Random) -> tuple[str, str]:
    """A request, and a polite, rude or long-winded reply, which may be about another thing than was asked for."""
    verb, thing = rng.choice(VERBS), rng.choice(OBJECTS)
    request = rng.choice(REQUESTS).format(v=verb, o=thing)
    if rng.random() < 0.3:  # an author who did not listen
        verb, thing = rng.choice(VERBS), rng.choice(OBJECTS)
    reply = rng.choice(POLITE if rng.random() < 0.6 else RUDE).format(v=verb, o=thing)
    for _ in range(rng.choices((0, 1, 2, 5), weights=(60, 25, 10, 5))[0]):
        reply += rng.choice(COURTESIES)
    return f"user: {request}\nbot:", f" {reply}"
