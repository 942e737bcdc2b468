"""The fixed workload: every prompt exactly so many tokens long, every row sampled to the limit.

What a task gives depends on the model: a better one stops sooner, or thinks longer. With fixed lengths, numbers of
different models and machines can be laid side by side, and every side does the same work to the token.
"""

import functools
import random

from labkit.errors import UserError
from labkit.models import Policy
from labkit.tasks import Problem, Task
from labkit.verifiers import Score

PROMPT_TOKENS, NEW_TOKENS = 128, 256
NO_TOKEN = 2**31 - 1  # an id beyond every vocabulary: no row ever draws it
TRIES = 50


def without_eos(policy: Policy) -> Policy:
    """The same policy with nothing that could end a row but the token limit."""
    endless = Policy(policy.model, policy.tokenizer, policy.name)
    endless.eos_ids = frozenset({NO_TOKEN})
    return endless


def fixed_task(policy: Policy, tokens: int = PROMPT_TOKENS) -> Task:
    """A task whose prompts are random digits, `tokens` tokens long for this policy, template or <bos> included.

    Raises UserError where the template alone is longer.
    """
    least = len(policy.encode(""))
    if tokens <= least:
        raise UserError(f"a prompt of {tokens} tokens is too short for {policy.name}: its template takes {least}")
    return Task(
        name="fixed",
        description=f"random digits, {tokens} tokens per prompt",
        verifier=_no_score,
        draw=functools.partial(_draw, policy, tokens),
        options={"tokens": tokens},
    )


def _no_score(completion: str, reference: None) -> Score:
    """Nothing is asked, so nothing is right."""
    return Score(0.0, "nothing was asked", None, {})


def _draw(policy: Policy, tokens: int, split: str, rng: random.Random) -> Problem:
    for _ in range(TRIES):
        text = digits_of_length(policy, tokens, rng)
        if text is not None:
            return Problem(prompt=text, reference=None, id=f"fixed/{text}")
    raise UserError(f"found no text of {tokens} tokens in {TRIES} tries for the tokenizer of {policy.name}")


def digits_of_length(policy: Policy, tokens: int, rng: random.Random) -> str | None:
    """Random digits that are exactly `tokens` tokens for this policy; None where these digits skip that number.

    A character more is a token more at most, nearly always: halving finds the place, a few steps around it the text.
    """
    text = "".join(rng.choices("0123456789", k=4 * tokens))
    low, high = 0, len(text)
    while low < high:
        middle = (low + high) // 2
        if len(policy.encode(text[:middle])) < tokens:
            low = middle + 1
        else:
            high = middle
    near = range(max(low - 4, 0), min(low + 5, len(text) + 1))
    return next((text[:k] for k in near if len(policy.encode(text[:k])) == tokens), None)
