"""What is asked."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """A prompt, and the reference that the verifier needs to score its answers."""

    prompt: str
    reference: Any
    id: str
