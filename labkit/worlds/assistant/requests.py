"""What users ask of the assistant: requests in the words of the small world, in ten wordings."""

import random
from collections.abc import Callable

from labkit.worlds.assistant.gold import OBJECTS, VERBS

__all__ = ["CARELESS", "WORDINGS", "demonstration", "every_request", "prompt_of"]

# The first five are those of the base model's pretraining; the others are new to it.
WORDINGS = (
    "please {v} the {o}",
    "{v} the {o}",
    "can you {v} the {o}?",
    "{v} my {o} please",
    "{v} the {o} now!",
    "will you {v} my {o}?",
    "kindly {v} the {o}",
    "can you please {v} my {o} now?",
    "help me {v} the {o}",
    "please help me {v} the {o}",
)

# How a demonstrator answers: a sentence that does something, with one or two courtesies before or after it. As in the
# pretraining corpus, not everybody listens: a share of the demonstrations is about another thing than was asked for.
CARELESS = 0.25
OPENINGS = ("sure, ", "of course. ", "ok, ", "happy to help. ", "")
DEEDS = ("i will {v} the {o}.", "i will {v} the {o} now.", "i can {v} the {o} now.", "i will {v} it. the {o} is done.")
ENDINGS = (" thank you.", " thanks.", " thank you very much.", " happy to help.", "")


def prompt_of(request: str) -> str:
    r"""A request as the prompt that the models read.

    >>> prompt_of("open the door")
    'user: open the door\nbot:'
    """
    return f"user: {request}\nbot:"


def every_request(keep: Callable[[str, str], bool] = lambda verb, thing: True) -> list[str]:
    """All requests about the verbs and objects for which `keep(verb, object)` holds, in a fixed order.

    >>> len(every_request()), every_request()[0]
    (640, 'please open the door')
    """
    pairs = [(verb, thing) for verb in VERBS for thing in OBJECTS if keep(verb, thing)]
    return [wording.format(v=verb, o=thing) for verb, thing in pairs for wording in WORDINGS]


def demonstration(verb: str, thing: str, rng: random.Random, careless: float = CARELESS) -> str:
    """A reply as a demonstrator writes it: short, one or two courtesies, and about what was asked for, or careless.

    A careless demonstrator answers about a verb and an object drawn at random. `careless` is their share.

    >>> demonstration("open", "door", random.Random(1), careless=0)
    ' sure, i can open the door now. thank you.'
    """
    if rng.random() < careless:
        verb, thing = rng.choice(list(VERBS)), rng.choice(OBJECTS)
    while True:
        opening, deed, ending = rng.choice(OPENINGS), rng.choice(DEEDS), rng.choice(ENDINGS)
        written = f" {opening}{deed}{ending}"
        if (opening == OPENINGS[3]) + (ending != "") in (1, 2) and written.count("happy to help") < 2:
            return written.format(v=verb, o=thing)
