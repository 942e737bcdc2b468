"""The steps of an answer: its lines. Process reward models are read, and answers are marked, step by step."""

from __future__ import annotations

import re

__all__ = ["steps"]


def steps(completion: str) -> list[str]:
    r"""A text cut after each of its line breaks; joined, the pieces are the text. An empty text is one empty step.

    >>> steps("<think>1+6=7*5=35 no\n</think><answer>?</answer>")
    ['<think>1+6=7*5=35 no\n', '</think><answer>?</answer>']
    """
    return re.findall(r"[^\n]*\n|[^\n]+", completion) or [""]
