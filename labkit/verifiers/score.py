"""What a verifier returns, and how it quotes a model's text in words."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Fault", "Score", "Verifier", "quote"]


class Fault(enum.StrEnum):
    """Why a score says nothing about the answer: what went wrong where it was judged."""

    REFERENCE = "reference"
    """The reference is malformed (the verifier raised `UserError`)."""
    RAISED = "raised"
    """The verifier raised any other exception."""
    MEMORY = "memory"
    """The verifier ran out of memory."""
    RESULT = "result"
    """The verifier returned no sound score."""
    TIMEOUT = "timeout"
    """The verifier took too long and was stopped."""
    DIED = "died"
    """The verifier ended its process."""
    NOT_TRIED = "not tried"
    """The answers before this one all took too long, so that it was not judged."""
    NO_WORKER = "no worker"
    """No worker process could be started for the verifier."""


@dataclass(frozen=True)
class Score:
    """The result of verifying one completion.

    Attributes:
        reward: what the policy is trained on; every verifier of labkit stays in [0, 1].
        reason: why, in words, on one printable line.
        extracted: the answer that was judged, as it stands in the completion (None: none was found).
        parts: named components of the judgement, for metrics; not added to the reward.
        fault: what went wrong in judging, None where nothing did; code decides by it, never by `reason`.

    >>> Score(1.0, "makes 30")
    Score(reward=1.0, reason='makes 30', extracted=None, parts={})
    """

    reward: float
    reason: str
    extracted: str | None = None
    # A dict has no hash; leaving it out keeps scores usable in sets and as keys.
    parts: dict[str, float] = field(default_factory=dict, hash=False)
    fault: Fault | None = field(default=None, repr=False, compare=False)


Verifier = Callable[[str, Any], Score]
"""`verify(completion, reference) -> Score`: total in the completion, bounded, deterministic, picklable."""


def quote(text: str, limit: int = 40) -> str:
    r"""Quote model text inside a reason: one printable line, at most `limit` characters of it.

    >>> quote("6*5*1")
    "'6*5*1'"
    >>> quote("a\x00b\n" + "c" * 100, limit=6)
    "'a\\x00b\\ncc...'"
    """
    # repr escapes NUL, line breaks and lone surrogates, any of which could break a log or a terminal.
    return repr(text if len(text) <= limit else text[:limit] + "...")
