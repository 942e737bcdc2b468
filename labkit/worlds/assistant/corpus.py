"""The people who answer requests: authors of the pretraining corpus, and demonstrators.

Authors of the corpus are polite, rude or long-winded. Demonstrators are by default all courteous. Neither always
listen: a share of the replies is about another verb and object than was asked for.

There is a second group of demonstrators, the mediocre ones (`AUTHORS["mediocre"]`). Most of them share one flaw, they
answer vaguely. Flaws that are scattered average out: a model that imitates authors with different flaws writes better
than each of them. A flaw that they share is what the model learns, and more of their demonstrations do not help. People
can often judge better than they can write, so comparisons may hold what such demonstrations lack.
"""

import random
from types import MappingProxyType

from labkit.errors import UserError
from labkit.worlds.assistant.gold import OBJECTS, VERBS
from labkit.worlds.assistant.requests import PRETRAINED, prompt_of

__all__ = ["AUTHORS", "CARELESS", "DEEDS", "ENDINGS", "OPENINGS", "VAGUE", "chat", "demonstration", "written_by"]

# ---------------------------------------------------------------------------------------------- pretraining

INATTENTIVE = 0.3  # authors who did not listen
POLITE_SHARE = 0.6
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
COURTESY_COUNTS = {0: 60, 1: 25, 2: 10, 5: 5}  # how many courtesies follow a reply: weight


def chat(rng: random.Random) -> tuple[str, str]:
    """A request of the pretraining corpus, and an author's reply."""
    verb, thing = _pair(rng)
    request = rng.choice(PRETRAINED).format(v=verb, o=thing)
    if rng.random() < INATTENTIVE:
        verb, thing = _pair(rng)
    reply = rng.choice(POLITE if rng.random() < POLITE_SHARE else RUDE).format(v=verb, o=thing)
    for _ in range(rng.choices(list(COURTESY_COUNTS), weights=list(COURTESY_COUNTS.values()))[0]):
        reply += rng.choice(COURTESIES)
    return prompt_of(request), f" {reply}"


# ------------------------------------------------------------------------------------------- demonstrations

CARELESS = 0.25  # demonstrations about another thing than was asked for
# A demonstration is a sentence that does something, with one or two courtesies before or after it.
OPENINGS = ("sure, ", "of course. ", "ok, ", "happy to help. ", "")
DEEDS = ("i will {v} the {o}.", "i will {v} the {o} now.", "i can {v} the {o} now.", "i will {v} it. the {o} is done.")
ENDINGS = (" thank you.", " thanks.", " thank you very much.", " happy to help.", "")


def demonstration(verb: str, thing: str, rng: random.Random, careless: float = CARELESS) -> str:
    """A reply as a demonstrator writes it: short, with one or two courtesies.

    A share `careless` of the demonstrators answer about a verb and an object drawn at random.

    >>> demonstration("open", "door", random.Random(1), careless=0)
    ' sure, i can open the door now. thank you.'
    """
    if rng.random() < careless:
        verb, thing = _pair(rng)
    while True:
        opening, deed, ending = rng.choice(OPENINGS), rng.choice(DEEDS), rng.choice(ENDINGS)
        written = f" {opening}{deed}{ending}"
        if (opening == OPENINGS[3]) + (ending != "") in (1, 2) and written.count("happy to help") < 2:
            return written.format(v=verb, o=thing)


VAGUE = (
    "ok, i will do it.",
    "ok, i will do it now.",
    "ok, i can do it.",
    "i will do it.",
    "i will do it now.",
    "i can do it now.",
)
AUTHORS = MappingProxyType(
    {
        "courteous": {"careful": 1 - CARELESS, "careless": CARELESS},
        "mediocre": {"vague": 0.5, "careless": 0.2, "grumpy": 0.15, "careful": 0.15},
    }
)
"""Groups of demonstrators: the share of each kind of author. Their mean gold scores are about 0.78 and 0.31."""


def written_by(authors: str, verb: str, thing: str, rng: random.Random) -> str:
    """A reply of one demonstrator, drawn from a group of `AUTHORS`. Raises UserError for another group.

    >>> rng = random.Random(3)
    >>> [written_by("mediocre", "open", "door", rng) for _ in range(2)]
    [' i will do it now.', ' i will do it now.']
    """
    if authors not in AUTHORS:
        raise UserError(f"no demonstrators {authors!r}; there are {', '.join(AUTHORS)}")
    shares = AUTHORS[authors]
    kind = rng.choices(list(shares), weights=list(shares.values()))[0]
    if kind == "vague":
        return f" {rng.choice(VAGUE)}"
    if kind == "grumpy":
        return f" {rng.choice(RUDE).format(v=verb, o=thing)}"
    return demonstration(verb, thing, rng, careless=float(kind == "careless"))


def _pair(rng: random.Random) -> tuple[str, str]:
    """A verb and an object, drawn at random."""
    return rng.choice(list(VERBS)), rng.choice(OBJECTS)
