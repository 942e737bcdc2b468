r"""What a policy does while it thinks, counted on the text of a completion.

The tiny model tries one chain of equations a line and judges it, in calculator notation:

    <think>1+6=7*5=35 no
    6*5=30*1=30 yes
    </think><answer>6*5*1</answer>

An attempt is a stretch of the thought, up to a line break or one of the words no, yes, wait, that holds an
equation (two numbers joined by an operator, then `=`); the word that ends it is its verdict. The thought is
what stands inside `<think>`; without any tag, what stands before `<answer>`, or the whole text.

The same counters work on the prose of a larger model, more roughly: there an attempt is an equation that
the text writes out, and `reflections` counts phrases. They are descriptions, not rewards: none of them
says that the reasoning is right. Everything takes time linear in the text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from labkit.verifiers.extract import ANSWER_OPEN, split_thinking

__all__ = ["attempts", "backtracks", "behaviours", "gave_up", "reflections", "repeats", "verified"]

_END_OF_ATTEMPT = re.compile(r"\n|\b(?:no|yes|wait)\b", re.IGNORECASE | re.ASCII)
_FORMULA = re.compile(r"[-+*/×÷−()0-9=. ]+")
_OPERATION = re.compile(r"[0-9)][-+*/×÷−][-−(0-9]")
_REFLECTION = re.compile(
    r"\b(?:wait|hmm+|no,|actually|alternatively|try again|let me (?:try|check|see)|let's (?:try|check)"
    r"|double[- ]check|start over)",
    re.IGNORECASE | re.ASCII,
)


class _Attempt(NamedTuple):
    chain: str
    verdict: str | None


class _Thought(NamedTuple):
    text: str
    attempts: list[_Attempt]
    finished: bool


def behaviours(text: str) -> dict[str, float]:
    r"""All counters of this module at once, as floats, for metrics.

    Keys: `thinks` (1.0 when the text has a `<think>`), `attempts`, `backtracks`, `repeats`, `gave_up`,
    `verified`, `reflections`.

    >>> behaviours("<think>1+6=7*5=35 no\n6*5=30*1=30 yes\n</think><answer>6*5*1</answer>")
    {'thinks': 1.0, 'attempts': 2.0, 'backtracks': 1.0, 'repeats': 0.0, 'gave_up': 0.0,
     'verified': 1.0, 'reflections': 0.0}
    """
    thought = _read(text)
    return {
        "thinks": float("<think>" in text),
        "attempts": float(len(thought.attempts)),
        "backtracks": float(_backtracks(thought)),
        "repeats": float(_repeats(thought)),
        "gave_up": float(_gave_up(thought)),
        "verified": float(_verified(thought)),
        "reflections": float(_reflections(thought)),
    }


def attempts(text: str) -> int:
    r"""Count the chains of equations that the thought tries, judged or not.

    >>> attempts("<think>1+6=7*5=35 no\n6*5=30*1=30 yes\n</think><answer>6*5*1</answer>")
    2
    >>> attempts("<answer>6*5*1</answer>")
    0
    >>> attempts("Let me try 6*5=30. No, wait: (6-1)*5 = 25.")
    2
    """
    return len(_read(text).attempts)


def backtracks(text: str) -> int:
    r"""Count the attempts that were judged "no" or "wait" and followed by another attempt.

    >>> backtracks("<think>1+6=8 wait\n1+6=7*5=35 no\n6*5=30*1=30 yes\n</think>")
    2
    >>> backtracks("<think>1+6=7*5=35 no\n</think>")
    0
    """
    return _backtracks(_read(text))


def gave_up(text: str) -> bool:
    r"""Whether the thought tried something, accepted nothing in the end, and was closed all the same.

    A thought that was cut off (no `</think>`, and no `<answer>` where there are no tags) did not give up.

    >>> gave_up("<think>1+6=7*5=35 no\n</think>")
    True
    >>> gave_up("<think>1+6=7*5=35 no\n")
    False
    """
    return _gave_up(_read(text))


def verified(text: str) -> bool:
    r"""Whether the last attempt was accepted with "yes".

    >>> verified("<think>1+6=7*5=35 no\n6*5=30*1=30 yes\n</think>")
    True
    >>> verified("<think>6*5=30*1=30 yes\n1+6=7*5=35 no\n</think>")
    False
    """
    return _verified(_read(text))


def repeats(text: str) -> int:
    r"""Count the attempts that are exactly, white space aside, an earlier one.

    >>> repeats("<think>1+6=7*5=35 no\n6+1=7*5=35 no\n1+6=7*5=35 no\n1+6=7*5=35 no\n</think>")
    2
    """
    return _repeats(_read(text))


def reflections(text: str) -> int:
    """Count phrases of second thoughts in the thought: "wait", "hmm", "no,", "let me try", "actually", ...

    Meant for larger models, whose attempts are not one a line. A crude count: fluent text can hold any
    number of them without changing its mind.

    >>> reflections("<think>6+5=11. Wait, no, that is too small. Let me try 6*5.</think>")
    3
    """
    return _reflections(_read(text))


def _read(text: str) -> _Thought:
    """Find the thought and its attempts in one pass."""
    if "<think>" in text or "</think>" in text:
        # Cut off means that the last tag opens; rfind gives -1 for a tag that is not there.
        finished = text.rfind("</think>") > text.rfind("<think>")
        thought = split_thinking(text)[0]
    else:
        thought, answer_tag, _ = text.partition(ANSWER_OPEN)
        finished = bool(answer_tag)
    found = []
    start = 0
    for end in _END_OF_ATTEMPT.finditer(thought):
        chain = _chain(thought[start : end.start()])
        if chain is not None:
            found.append(_Attempt(chain, end.group().strip().lower() or None))
        start = end.end()
    chain = _chain(thought[start:])
    if chain is not None:
        found.append(_Attempt(chain, None))
    return _Thought(thought, found, finished)


def _chain(stretch: str) -> str | None:
    """The first formula of a stretch that is an equation, without its white space."""
    if "=" not in stretch:
        return None
    for formula in _FORMULA.finditer(stretch):
        chain = formula.group().replace(" ", "").strip(".")
        left, equals, _ = chain.partition("=")
        if equals and _OPERATION.search(left):
            return chain
    return None


def _backtracks(thought: _Thought) -> int:
    return sum(attempt.verdict in ("no", "wait") for attempt in thought.attempts[:-1])


def _repeats(thought: _Thought) -> int:
    return len(thought.attempts) - len({attempt.chain for attempt in thought.attempts})


def _verified(thought: _Thought) -> bool:
    return bool(thought.attempts) and thought.attempts[-1].verdict == "yes"


def _gave_up(thought: _Thought) -> bool:
    return thought.finished and bool(thought.attempts) and not _verified(thought)


def _reflections(thought: _Thought) -> int:
    return sum(1 for _ in _REFLECTION.finditer(thought.text))
