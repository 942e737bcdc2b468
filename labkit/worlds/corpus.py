"""The small world that the tiny base model is pretrained on: texts by the authors of all worlds, mixed.

A document is a prompt and what some author wrote after it. Each world has its authors (`countdown.corpus`,
`addition.corpus`, `assistant.corpus`), who differ in skill and care. So the model that continues these texts has the
skills latent and is mediocre at every task: RL starts from there. No held-out problem of any task ever occurs.
"""

import random
from collections.abc import Callable, Iterator

from labkit.worlds.addition.corpus import added
from labkit.worlds.assistant.corpus import chat
from labkit.worlds.countdown.corpus import counted_down, facts

# Kinds of documents: (share of the documents, author).
MIX: dict[str, tuple[float, Callable[[random.Random], tuple[str, str]]]] = {
    "countdown-3": (0.66, lambda rng: counted_down(rng, 3)),
    "countdown-4": (0.08, lambda rng: counted_down(rng, 4)),
    "addition": (0.12, added),
    "facts": (0.04, facts),
    "chat": (0.10, chat),
}


def document(rng: random.Random) -> tuple[str, str]:
    """One document, as (prompt, continuation)."""
    _, author = rng.choices(list(MIX.values()), weights=[share for share, _ in MIX.values()])[0]
    return author(rng)


def documents(seed: int = 0) -> Iterator[tuple[str, str]]:
    """An endless, seeded stream of documents."""
    rng = random.Random(f"corpus/{seed}")
    while True:
        yield document(rng)
