"""Simulated annotators: they know what is good (the gold score), but answer with noise, and may be biased."""

import math
import random
from collections.abc import Iterable, Mapping
from typing import Any

from labkit.errors import UserError
from labkit.worlds.assistant.gold import courtesies, gold_score, words_of

__all__ = ["BIAS", "TEMPERATURE", "agreement", "annotate", "rate", "unlabelled", "utility"]

# The annotators of data/preferences, in units of gold: their noise, and what a courtesy is worth to them beyond gold.
TEMPERATURE, BIAS = 0.3, 0.18
Bias = float | Mapping[str, float]


def utility(prompt: str, reply: str, bias: Bias = 0.0) -> float:
    r"""What a reply is worth to an annotator: its gold score plus the bias.

    `bias` is what each courtesy is worth beyond gold, or a mapping `{"courtesy": ..., "words": ...}` with the worth of
    each courtesy and of each word. Raises UserError for another key, and for a bias that is not a finite number.

    >>> utility("user: open the door\nbot:", "i will open the door. thank you.", bias=0.1)
    1.1
    """
    per = {"courtesy": 0.0, "words": 0.0} | (dict(bias) if isinstance(bias, Mapping) else {"courtesy": bias})
    unknown = sorted(set(per) - {"courtesy", "words"})
    if unknown:
        raise UserError(f"annotators have no bias {unknown[0]!r}; there are courtesy and words")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in per.values()):
        raise UserError(f"a bias is a finite number, not {bias!r}")
    return gold_score(prompt, reply) + per["courtesy"] * courtesies(reply) + per["words"] * len(words_of(reply))


def annotate(
    pairs: Iterable[Mapping[str, str]], *, seed: int, temperature: float = TEMPERATURE, bias: Bias = 0.0
) -> list[dict[str, str]]:
    r"""Comparisons from pairs: rows `{"prompt", "a", "b"}` become rows `{"prompt", "chosen", "rejected"}`, in order.

    Bradley-Terry (Bradley and Terry, 1952): a is preferred with probability sigmoid((u(a) - u(b)) / temperature),
    where u is `utility`. At temperature 0 no annotator errs (of two equally good replies a is chosen with probability
    1/2); at infinity they toss a coin. A pair's label depends only on `seed`, on its position and on its texts. Pairs
    of equal texts stay: the trainer decides what to do with them. Raises UserError for a negative temperature, and for
    a row without these keys.

    >>> pair = {"prompt": "user: open the door\nbot:", "a": "no!", "b": "sure, i will open the door."}
    >>> annotate([pair], seed=0, temperature=0)[0]["chosen"]
    'sure, i will open the door.'
    """
    _check(temperature)
    rows = []
    for number, pair in enumerate(pairs):
        prompt, a, b = _texts(pair, ("prompt", "a", "b"), number)
        chance = _chance(utility(prompt, a, bias) - utility(prompt, b, bias), temperature)
        first = _uniform(seed, number, prompt, a, b) < chance
        rows.append({"prompt": prompt, "chosen": a if first else b, "rejected": b if first else a})
    return rows


def rate(
    replies: Iterable[Mapping[str, str]],
    *,
    seed: int,
    threshold: float,
    temperature: float = TEMPERATURE,
    bias: Bias = 0.0,
) -> list[dict[str, Any]]:
    r"""Binary feedback: rows `{"prompt", "completion"}` get a `label`, True for a thumb up, False for a thumb down.

    The thumb goes up with probability sigmoid((u - threshold) / temperature), where u is `utility`. Raises UserError as
    `annotate` does.

    >>> reply = {"prompt": "user: open the door\nbot:", "completion": "no!"}
    >>> rate([reply], seed=0, threshold=0.5, temperature=0)[0]["label"]
    False
    """
    _check(temperature)
    rows = []
    for number, row in enumerate(replies):
        prompt, reply = _texts(row, ("prompt", "completion"), number)
        chance = _chance(utility(prompt, reply, bias) - threshold, temperature)
        up = _uniform(seed, number, prompt, reply) < chance
        rows.append({"prompt": prompt, "completion": reply, "label": up})
    return rows


def unlabelled(comparisons: Iterable[Mapping[str, str]], *, seed: int = 0) -> list[dict[str, str]]:
    r"""Pairs `{"prompt", "a", "b"}` from comparisons, to be annotated again; their order does not reveal the old label.

    >>> row = {"prompt": "user: open the door\nbot:", "chosen": "yes", "rejected": "no!"}
    >>> sorted(unlabelled([row])[0].values())
    ['no!', 'user: open the door\nbot:', 'yes']
    """
    pairs = []
    for number, row in enumerate(comparisons):
        prompt, chosen, rejected = _texts(row, ("prompt", "chosen", "rejected"), number)
        first, second = sorted((chosen, rejected))
        if _uniform(seed, number, prompt, first, second) < 0.5:
            first, second = second, first
        pairs.append({"prompt": prompt, "a": first, "b": second})
    return pairs


def agreement(comparisons: Iterable[Mapping[str, str]]) -> float:
    r"""The share of comparisons whose chosen reply has the higher gold score.

    Pairs of equally good replies are left out; NaN where no pair is left.

    >>> agreement([{"prompt": "user: open the door\nbot:", "chosen": "no!", "rejected": "i will open the door."}])
    0.0
    """
    right = []
    for number, row in enumerate(comparisons):
        prompt, chosen, rejected = _texts(row, ("prompt", "chosen", "rejected"), number)
        difference = gold_score(prompt, chosen) - gold_score(prompt, rejected)
        if difference:
            right.append(difference > 0)
    return sum(right) / len(right) if right else math.nan


def _check(temperature: float) -> None:
    if not temperature >= 0:
        raise UserError(f"temperature must be 0 or more, not {temperature}")


def _uniform(seed: int, number: int, *texts: str) -> float:
    """A random number in [0, 1) that depends only on the seed, on the row's position and on its texts."""
    return random.Random("/".join([str(seed), str(number), *texts])).random()


def _chance(difference: float, temperature: float) -> float:
    """sigmoid(difference / temperature), with its limits at the temperatures 0 and infinity."""
    if temperature == 0:
        return 0.5 if difference == 0 else float(difference > 0)
    x = difference / temperature
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x)) if x > -700 else 0.0


def _texts(row: Mapping[str, Any], keys: tuple[str, ...], number: int) -> list[str]:
    for key in keys:
        if not isinstance(row.get(key), str):
            raise UserError(f"row {number} has no text {key!r}; expected the keys {', '.join(keys)}")
    return [row[key] for key in keys]
