"""How results look: rich in Jupyter, plain in a terminal, and never by colour alone."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

__all__ = ["Card", "CheckResult"]

# Mid tones: legible as a bar and a word on white and on black.
_LOOKS = {
    "passed": ("✓", "#2e9e5b"),
    "not attempted yet": ("○", "#8a8f98"),
    "not right yet": ("✗", "#d9534f"),
}


@dataclass(frozen=True)
class CheckResult:
    """What `labkit.check` found out.

    Attributes:
        name: of the exercise.
        passed: whether the function does what the exercise asks.
        attempted: whether there was anything to check.
        message: what is wrong, in words; for a pass, what was checked.
        misconception: the short name of the mistake that was recognised, or None.

    >>> CheckResult("pass-at-k", False, False, "write the function first")
    ○ pass-at-k: not attempted yet
      write the function first
    """

    name: str
    passed: bool
    attempted: bool
    message: str
    misconception: str | None = None

    @property
    def status(self) -> str:
        """One of "passed", "not attempted yet", "not right yet"."""
        if self.passed:
            return "passed"
        return "not right yet" if self.attempted else "not attempted yet"

    def __repr__(self) -> str:
        symbol = _LOOKS[self.status][0]
        body = "".join(f"\n  {line}" for line in self.message.splitlines())
        return f"{symbol} {self.name}: {self.status}{body}"

    def _repr_html_(self) -> str:
        symbol, colour = _LOOKS[self.status]
        head = f'<b style="color:{colour}">{symbol} {self.status}</b> <code>{html.escape(self.name)}</code>'
        # The message's lines may hold `code`; everything else is text.
        body = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(self.message))
        return (
            f'<div style="border-left:4px solid {colour};padding:.4em .9em;margin:.4em 0">{head}'
            f'<div style="white-space:pre-wrap;margin-top:.3em">{body}</div></div>'
        )


@dataclass(frozen=True)
class Card:
    """A piece of markdown: rendered in Jupyter, as it stands in a terminal."""

    markdown: str

    def __repr__(self) -> str:
        return self.markdown

    def _repr_markdown_(self) -> str:
        return self.markdown
