r"""The assistant: short replies to requests, whose reward is the known gold score of the preference world.

The prompt is `user: open the door\nbot:`; a perfect reply is ` sure, i will open the door. thank you.` The reward is
the gold score (`labkit.worlds.assistant.gold`): 1.0 for a perfect reply, below 0 for a bad one, never clamped. So
pass@1 is the share of perfect replies, and `reward_mean` is the mean gold score.

The test split has other pairs of verb and object than the training split, so a policy must transfer what it learnt.
(The base model has read replies about all pairs in pretraining.)
"""

import functools
import random
from typing import Any

from labkit.tasks.base import Problem, Task, split_of
from labkit.verifiers import Score
from labkit.worlds.assistant.gold import LARGEST_GOLD, OBJECTS, VERBS, gold_parts
from labkit.worlds.assistant.requests import WORDINGS, every_request, prompt_of


def assistant_split(verb: str, thing: str) -> str:
    """The split of all requests about a verb and an object."""
    return split_of(["assistant", verb, thing])


def problem_of(request: str) -> Problem:
    """The problem of a request; its prompt is the reference, since the gold score reads the request from there."""
    prompt = prompt_of(request)
    return Problem(prompt=prompt, reference=prompt, id=f"assistant/{request}")


@functools.cache
def pool(split: str) -> list[Problem]:
    """All requests of a split, in a fixed order."""
    return [problem_of(request) for request in every_request(lambda v, o: assistant_split(v, o) == split)]


def draw(split: str, rng: random.Random) -> Problem:
    """A random request of a split."""
    return rng.choice(pool(split))


def verify(completion: str, reference: Any) -> Score:
    r"""The gold score of a reply; the reference is the prompt. Any two strings are accepted.

    >>> verify(" sure, i will open the door. thank you.", "user: open the door\nbot:").reward
    1.0
    >>> verify("no.", "user: open the door\nbot:").reason
    'relevance 0.00, compliance -0.25, courtesy 0.00, brevity 0.00, fluency 0.00 (at best 1 in all)'
    """
    parts = gold_parts(str(reference), completion)
    listed = ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
    return Score(sum(parts.values()), f"{listed} (at best {LARGEST_GOLD:g} in all)", completion.strip(), parts)


def make_assistant() -> Task:
    """The task."""
    return Task(
        name="assistant",
        description="answer a request in a short, helpful and courteous way (reward: the gold score, at best 1)",
        verifier=verify,
        draw=draw,
        pool=pool,
        max_new_tokens=48,
        options={"verbs": list(VERBS), "objects": list(OBJECTS), "wordings": list(WORDINGS)},
    )
