"""What users ask of the assistant: requests in the words of the small world, in ten wordings."""

from collections.abc import Callable

from labkit.worlds.assistant.gold import OBJECTS, VERBS

__all__ = ["PRETRAINED", "WORDINGS", "every_request", "prompt_of"]

# The wordings of the pretraining corpus.
PRETRAINED = (
    "please {v} the {o}",
    "{v} the {o}",
    "can you {v} the {o}?",
    "{v} my {o} please",
    "{v} the {o} now!",
)
# All wordings: the others are new to the base model.
WORDINGS = (
    *PRETRAINED,
    "will you {v} my {o}?",
    "kindly {v} the {o}",
    "can you please {v} my {o} now?",
    "help me {v} the {o}",
    "please help me {v} the {o}",
)


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
