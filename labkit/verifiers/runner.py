"""One runner for batches of (completion, reference)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.verifiers.guard import safe_score
from labkit.verifiers.score import Score

__all__ = ["run_verifier"]


def run_verifier(
    verifier: Callable[[str, Any], Any],
    completions: list[str],
    references: list[Any],
    *,
    timeout: float = 5.0,
    workers: int | None = None,
    progress: bool = False,
) -> list[Score]:
    """The scores of a batch, in order; a verifier that raises gives 0 with the reason, and is counted."""
    return [safe_score(verifier, text, reference) for text, reference in zip(completions, references, strict=True)]
