"""Calling a verifier that may be wrong itself, such as a student's, without ending a training run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from labkit.errors import UserError
from labkit.verifiers.score import Fault, Score

__all__ = ["LARGEST", "fault", "raised", "safe_score", "safe_scores"]

LARGEST = 1e12
"""Largest absolute reward: the square of a larger one soon leaves float32, in which advantages are computed."""
Item = TypeVar("Item")


def safe_score(verifier: Callable[[str, Any], Any], completion: str, reference: Any) -> Score:
    """Call a verifier and return a sound `Score`, whatever it does.

    - A bare number or bool is wrapped: `def verify(completion, reference): return 1.0` is a verifier.
    - An exception becomes reward 0 with the reason "verifier raised ValueError: ..."; a `UserError` (a
      malformed reference) too, so that one bad row hours into a run does not end it. `KeyboardInterrupt`
      and `SystemExit` pass through: they stop the run on purpose.
    - NaN, infinity, a reward beyond 1e12, None or any other result becomes reward 0 with a reason; parts that are not
      finite are left out.

    Whenever the verifier was at fault `parts["verifier_error"]` is 1.0, so a run can count it and say so, and
    `Score.fault` says which of these it was. A verifier that never returns is not stopped here.

    >>> safe_score(lambda completion, reference: completion == reference, "4", "4").reward
    1.0
    >>> safe_score(lambda completion, reference: 1 / 0, "4", "4")
    Score(reward=0.0, reason='verifier raised ZeroDivisionError: division by zero', extracted=None,
          parts={'verifier_error': 1.0})
    >>> safe_score(lambda completion, reference: float("nan"), "4", "4").reason
    'verifier returned the reward nan, which is not a finite number'
    """
    try:
        return _sound(verifier(completion, reference))
    except Exception as error:
        return raised(error)


def safe_scores(
    scorer: Callable[[list[str], list[Item]], Any], completions: list[str], items: list[Item]
) -> list[Score]:
    """`safe_score` for a function that scores a whole batch at once, such as a reward model.

    One result for each completion comes back, in order: each is made sound alone, so that one NaN spoils one row. When
    the scorer raises, or returns another number of results than it was given completions, every row is 0 with the
    reason and `parts["verifier_error"]`.

    >>> safe_scores(lambda texts, items: [len(text) for text in texts], ["ab", "abc"], [None, None])[1].reward
    3.0
    >>> safe_scores(lambda texts, items: [1.0], ["ab", "abc"], [None, None])[0].reason
    'batch scorer returned 1 results for 2 completions'
    """
    try:
        results = list(scorer(completions, items))
        if len(results) == len(completions):
            return [_sound(result) for result in results]
        reason = f"batch scorer returned {len(results)} results for {len(completions)} completions"
        return [fault(reason, Fault.RESULT) for _ in completions]
    except Exception as error:
        return [raised(error, "batch scorer") for _ in completions]


def _sound(result: Any) -> Score:
    if not isinstance(result, Score):
        result = Score(result, f"verifier returned {_plain(result)}")
    reward = _number(result.reward)
    extracted = None if result.extracted is None else str(result.extracted)
    if reward is None:
        hint = " (is a return missing?)" if result.reward is None else ""
        return fault(f"verifier returned {_plain(result.reward)} as the reward, not a number{hint}", Fault.RESULT)
    if not math.isfinite(reward):
        return fault(f"verifier returned the reward {reward}, which is not a finite number", Fault.RESULT, extracted)
    if abs(reward) > LARGEST:
        return fault(f"verifier returned the reward {reward:g}, beyond {LARGEST:g}", Fault.RESULT, extracted)
    named = {str(name): _number(part) for name, part in (result.parts or {}).items()}
    parts = {name: part for name, part in named.items() if part is not None and math.isfinite(part)}
    reason = str(result.reason)
    if len(parts) < len(named):
        reason += f"; parts that are not finite numbers: {', '.join(sorted(set(named) - set(parts)))}"
        parts["verifier_error"] = 1.0
        return Score(reward, reason, extracted, parts, Fault.RESULT)
    return Score(reward, reason, extracted, parts, result.fault)


def _number(value: Any) -> float | None:
    """A float of anything that is a number: bools, numpy scalars, tensors and arrays of one element too."""
    if hasattr(value, "item") and hasattr(value, "shape"):
        value = value.item()  # raises for more than one element; numpy refuses float(array([1.0]))
    return float(value) if hasattr(value, "__float__") or hasattr(value, "__index__") else None


def fault(reason: str, kind: Fault, extracted: str | None = None) -> Score:
    """The score that says that the verifier, not the answer, was at fault: 0, counted in `parts`."""
    return Score(0.0, reason, extracted, {"verifier_error": 1.0}, kind)


def raised(error: BaseException, who: str = "verifier") -> Score:
    """The score of an exception that a verifier raised."""
    kind = Fault.REFERENCE if isinstance(error, UserError) else Fault.RAISED
    kind = Fault.MEMORY if isinstance(error, MemoryError) else kind
    return fault(f"{who} raised {type(error).__name__}{_message(error)}", kind)


def _plain(value: Any) -> str:
    return str(value) if value is None or isinstance(value, bool | float) else f"a {type(value).__name__}"


def _message(error: BaseException) -> str:
    # A student's exception may have a __str__ that raises as well.
    try:
        text = " ".join(str(error).split())
    except Exception:
        return ""
    text = text.encode("ascii", "backslashreplace").decode("ascii")
    return f": {text if len(text) <= 200 else text[:200] + '...'}" if text else ""
