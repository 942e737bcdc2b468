"""Majority vote (self-consistency; Wang et al. 2023), over answers as `labkit.verifiers.canonical` writes them."""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeVar

from labkit.verifiers.canonical import expression_form as normal_form

__all__ = ["majority", "normal_form"]

Answer = TypeVar("Answer", bound=Hashable)


def majority(answers: Sequence[Answer | None]) -> Answer | None:
    """The commonest answer; None does not vote, ties go to the answer that came first, without a vote: None.

    >>> majority(["7", "9", "9", None, "7"])
    '7'
    >>> majority([None, None]) is None
    True
    """
    votes = Counter(answer for answer in answers if answer is not None)
    return votes.most_common(1)[0][0] if votes else None
