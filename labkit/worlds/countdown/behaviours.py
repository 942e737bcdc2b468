r"""What a policy does while it thinks, counted on the text of a completion.

What an attempt and its verdict are is said in `labkit.worlds.countdown.parse`. The counters also work on the prose of a
larger model, more roughly: there an attempt is an equation that the text writes out, and `reflections` counts phrases.
They are descriptions, not rewards: none of them says that the reasoning is right. All take time linear in the text.
"""

from __future__ import annotations

import re

from labkit.worlds.countdown.parse import read_attempts, read_thought

__all__ = ["attempts", "backtracks", "behaviours", "gave_up", "reflections", "repeats", "verified"]

_REFLECTION = re.compile(
    r"\b(?:wait|hmm+|no,|actually|alternatively|try again|let me (?:try|check|see)|let's (?:try|check)"
    r"|double[- ]check|start over)",
    re.IGNORECASE | re.ASCII,
)


def behaviours(text: str) -> dict[str, float]:
    r"""All counters of this module at once, as floats, for metrics.

    Keys: `thinks` (1.0 when the text has a `<think>`), and the name of each function below.

    >>> behaviours("<think>1+6=7*5=35 no\n6*5=30*1=30 yes\n</think><answer>6*5*1</answer>")
    {'thinks': 1.0, 'attempts': 2.0, 'backtracks': 1.0, 'repeats': 0.0, 'gave_up': 0.0,
     'verified': 1.0, 'reflections': 0.0}
    """
    thought = read_thought(text)
    tried = read_attempts(thought.text)
    accepted = bool(tried) and tried[-1].verdict == "yes"
    return {
        "thinks": float("<think>" in text),
        "attempts": float(len(tried)),
        # The last attempt is no backtrack: no other attempt follows it.
        "backtracks": float(sum(attempt.verdict in ("no", "wait") for attempt in tried[:-1])),
        "repeats": float(len(tried) - len({attempt.chain for attempt in tried})),
        "gave_up": float(thought.closed and bool(tried) and not accepted),
        "verified": float(accepted),
        "reflections": float(sum(1 for _ in _REFLECTION.finditer(thought.text))),
    }


def attempts(text: str) -> int:
    r"""Count the chains of equations that the thought tries, with or without a verdict.

    >>> attempts("<think>1+6=7*5=35 no\n6*5=30*1=30 yes\n</think><answer>6*5*1</answer>")
    2
    >>> attempts("<answer>6*5*1</answer>")
    0
    >>> attempts("Let me try 6*5=30. No, wait: (6-1)*5 = 25.")
    2
    """
    return int(behaviours(text)["attempts"])


def backtracks(text: str) -> int:
    r"""Count the attempts that end in "no" or "wait" and are followed by another attempt.

    >>> backtracks("<think>1+6=8 wait\n1+6=7*5=35 no\n6*5=30*1=30 yes\n</think>")
    2
    >>> backtracks("<think>1+6=7*5=35 no\n</think>")
    0
    """
    return int(behaviours(text)["backtracks"])


def gave_up(text: str) -> bool:
    r"""Whether the thought tried something, did not accept its last attempt, and was closed all the same.

    A thought that was cut off (no `</think>`, and no `<answer>` where there are no tags) did not give up.

    >>> gave_up("<think>1+6=7*5=35 no\n</think>")
    True
    >>> gave_up("<think>1+6=7*5=35 no\n")
    False
    """
    return bool(behaviours(text)["gave_up"])


def verified(text: str) -> bool:
    r"""Whether the last attempt was accepted with "yes".

    >>> verified("<think>1+6=7*5=35 no\n6*5=30*1=30 yes\n</think>")
    True
    >>> verified("<think>6*5=30*1=30 yes\n1+6=7*5=35 no\n</think>")
    False
    """
    return bool(behaviours(text)["verified"])


def repeats(text: str) -> int:
    r"""Count the attempts that are exactly an earlier one, white space aside.

    >>> repeats("<think>1+6=7*5=35 no\n6+1=7*5=35 no\n1+6=7*5=35 no\n1+6=7*5=35 no\n</think>")
    2
    """
    return int(behaviours(text)["repeats"])


def reflections(text: str) -> int:
    """Count phrases of second thoughts in the thought: "wait", "hmm", "no,", "let me try", "actually", ...

    It is meant for larger models, whose attempts do not take one line each. It is a crude count: fluent text can hold
    any number of these phrases without changing its mind.

    >>> reflections("<think>6+5=11. Wait, no, that is too small. Let me try 6*5.</think>")
    3
    """
    return int(behaviours(text)["reflections"])
