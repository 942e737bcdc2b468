"""Verifiers put together: a weighted sum, or one that gates the others.

Reward = the sum of weight x reward over the parts. With a gate the other parts count only where the gate's own
reward reaches `threshold`: "format gates accuracy" keeps a policy from earning accuracy in a form that nobody can
read, and a form from being earned without accuracy where the gate's weight is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.guard import safe_score
from labkit.verifiers.score import Score

__all__ = ["Combination", "Part", "combine"]


@dataclass(frozen=True)
class Part:
    """One verifier of a combination.

    Attributes:
        name: how it is called in `parts` and in the reason.
        verifier: `verify(completion, reference)`.
        weight: its factor in the sum.
        reference: what it is given in place of the combination's own reference; `...` for that one.
    """

    name: str
    verifier: Callable[[str, Any], Any]
    weight: float = 1.0
    reference: Any = ...


@dataclass(frozen=True)
class Combination:
    """A verifier made of others; made by `combine`. Picklable where its parts are."""

    parts: tuple[Part, ...]
    gate: Part | None = None
    threshold: float = 1.0

    @property
    def needs_worker(self) -> bool:
        """Whether a part is not the lab's own, so that `run_verifier` calls the whole in a process it can kill."""
        everything = self.parts if self.gate is None else (self.gate, *self.parts)
        return any(_is_foreign(part.verifier) for part in everything)

    def __call__(self, completion: str, reference: Any = None) -> Score:
        """The score: each part's reward under its name in `parts`, and its own parts as `name.part`.

        A part that raises makes the whole raise, as one verifier would.
        """
        gate = None if self.gate is None else _score(self.gate, completion, reference)
        scored = [(part, _score(part, completion, reference)) for part in self.parts]
        is_open = gate is None or gate.reward >= self.threshold
        reward = sum(part.weight * score.reward for part, score in scored) if is_open else 0.0
        everything = scored if gate is None or self.gate is None else [(self.gate, gate), *scored]
        if gate is not None and self.gate is not None:
            reward += self.gate.weight * gate.reward
        parts: dict[str, float] = {}
        for part, score in everything:
            parts[part.name] = score.reward
            parts |= {f"{part.name}.{name}": value for name, value in score.parts.items()}
        reason = "; ".join(f"{part.name} {score.reward:g} ({score.reason})" for part, score in everything)
        if not is_open:
            reason = f"gate {self.gate.name if self.gate else ''} closed: {reason}"
        extracted = next((score.extracted for _, score in scored if score.extracted is not None), None)
        return Score(float(reward), reason, extracted, parts)


def combine(*parts: Part, gate: Part | None = None, threshold: float = 1.0) -> Combination:
    """A verifier that is the weighted sum of others, where `gate` is given only for completions that pass it.

    The gate adds its own weight x reward in any case (give it weight 0 for a gate alone). Raises `UserError` for
    no part, for two parts of one name, and for a weight or threshold that is not a finite number.

    >>> from labkit.verifiers import format
    >>> from labkit.worlds.countdown import verifier as countdown
    >>> puzzle = {"numbers": [5, 6, 1], "target": 30}
    >>> accuracy = Part("accuracy", countdown.verify)
    >>> shape = Part("format", format.verify, weight=0.2, reference=None)
    >>> combine(accuracy, shape)("<answer>6*5*1</answer>", puzzle).reward
    1.0
    >>> score = combine(accuracy, gate=shape)("<answer>6*5*1</answer>", puzzle)
    >>> score.reward, score.parts["accuracy"], score.parts["format"]
    (0.0, 1.0, 0.0)
    >>> score.reason
    'gate format closed: format 0 (<think> is missing); accuracy 1 (makes 30 with each number once)'
    """
    everything = parts if gate is None else (gate, *parts)
    if not parts or not all(isinstance(part, Part) for part in everything):
        raise UserError('combine takes parts, such as combine(Part("accuracy", verify), Part("format", other))')
    names = [part.name for part in everything]
    if len(set(names)) < len(names):
        raise UserError(f"the parts of a combination need different names; got {', '.join(map(str, names))}")
    numbers = [threshold, *(part.weight for part in everything)]
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise UserError(f"weights and thresholds are finite numbers; got {numbers}")
    return Combination(tuple(parts), gate, threshold)


def _score(part: Part, completion: str, reference: Any) -> Score:
    result = part.verifier(completion, reference if part.reference is ... else part.reference)
    # A bare number is a verifier's result too: the guard knows how to read it.
    return result if isinstance(result, Score) else safe_score(lambda *_: result, completion, None)


def _is_foreign(verifier: Any) -> bool:
    declared = getattr(verifier, "needs_worker", None)
    home = getattr(verifier, "__module__", None) or type(verifier).__module__
    return home.split(".")[0] != "labkit" if declared is None else bool(declared)
