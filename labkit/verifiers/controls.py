r"""Controls: verifiers that pay for something on which an explanation of RL's effect can be tried. For experiments.

If a curve rises because the reward says what is right, it must not rise under a reward that says nothing (`coin`). A
control is as total, as cheap and as deterministic as the verifier that it stands in for, is reached by name
(`labkit.verifiers.get("coin")`, a recipe's `verifier: coin`), and is not in the list of verifiers. Countdown has
another one, `labkit.worlds.countdown.controls.first_try`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.score import Score

__all__ = ["coin"]


def coin(completion: str, reference: Any) -> Score:
    """Heads or tails, 1.0 or 0.0: a hash of text and reference, so that the same answer is always paid the same.

    `reference` is plain data (what JSON can hold) and is hashed, not looked at; anything else raises `UserError`.

    >>> puzzle = {"numbers": [5, 6, 1], "target": 30}
    >>> [coin(f"<answer>{text}</answer>", puzzle).reason for text in ("6*5*1", "5*6*1", "?", "6*5*1")]
    ['heads', 'heads', 'tails', 'heads']
    """
    try:
        known = json.dumps(reference, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        raise UserError("a coin's reference is plain data, such as numbers, strings, lists and dicts") from None
    text = f"{completion}\n{known}".encode("utf-8", "surrogatepass")
    heads = hashlib.blake2b(text, digest_size=1).digest()[0] % 2
    return Score(float(heads), "heads" if heads else "tails", None, {"heads": float(heads)})
