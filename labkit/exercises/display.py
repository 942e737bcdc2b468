"""How results look: rich in Jupyter, plain in a terminal, and never by colour alone."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

__all__ = ["Card", "CheckResult"]

# No colour of letters has enough contrast (4.5) on white and on black: the letters are black on a label of this colour.
_LOOKS = {
    "passed": ("✓", "#9fd8b4"),
    "not attempted yet": ("○", "#d5d8dc"),
    "not right yet": ("✗", "#f3b4b0"),
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
        label = f"color:#111111;background:{colour};border-radius:.4em;padding:.05em .5em"
        head = f'<b style="{label}">{symbol} {self.status}</b> <code>{html.escape(self.name)}</code>'
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
