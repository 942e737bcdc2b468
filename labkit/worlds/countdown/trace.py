r"""How readable a search trace is: the share of its lines that keep to one notation and are true.

The language-consistency reward of DeepSeek-R1 is the share of a thought's words that are in the requested language. The
tiny world has one language: calculator notation with one verdict per line. A line that a reader stumbles over takes the
part of a foreign word: it is cut off or written differently, one of its equations does not hold, it uses other numbers
than the problem's, or it was said before. This verifier does not check verdicts and answers.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.extract import split_thinking
from labkit.verifiers.score import Score, quote
from labkit.worlds.countdown.parse import read_line

__all__ = ["FAULTS", "line_fault", "verify"]

FAULTS = ("notation", "false", "numbers", "repeated")
"""The faults of a line; only the first that applies is counted."""


def verify(completion: str, reference: Any) -> Score:
    r"""Score how readable the thought of a countdown answer is: the share of its lines that are clean, 0.0 to 1.0.

    A clean line is `1+6=7*5=35 no`: a chain that uses each given number exactly once, all of whose equations hold, with
    the verdict no or yes, and not said before. Without a line inside `<think>` the reward is 0.0.

    `reference` is that of `countdown`, `{"numbers": [5, 6, 1], "target": 30}`; one without numbers raises `UserError`.
    `parts`: `lines`, `clean`, and a count for each of `FAULTS`.

    >>> puzzle = {"numbers": [5, 6, 1], "target": 30}
    >>> verify("<think>1+6=7*5=35 no\n6*5=30*1=30 yes\n</think><answer>6*5*1</answer>", puzzle).reward
    1.0
    >>> verify("<think>1+6=7*5=35 no\n1+6=7*5=35 no\n6*5=31*1=31 no\n6*5=30 yes\n</think>", puzzle).reason
    "1 of 4 lines are clean (false 1, numbers 1, repeated 1); the first that is not: '1+6=7*5=35 no'"
    >>> verify("<answer>6*5*1</answer>", puzzle).reason
    'no line of thought to read'
    """
    numbers = _read_reference(reference)
    thought = split_thinking(completion)[0] if "<think>" in completion else ""
    lines = [line for line in thought.replace("<think>", "").split("\n") if line.strip()]
    counts = dict.fromkeys(FAULTS, 0)
    seen: set[str] = set()
    first = None
    for line in lines:
        fault = line_fault(line, numbers, seen)
        seen.add(line.partition(" ")[0])
        if fault is not None:
            counts[fault] += 1
            first = line if first is None else first
    clean = len(lines) - sum(counts.values())
    parts = {"lines": float(len(lines)), "clean": float(clean), **{name: float(n) for name, n in counts.items()}}
    if not lines:
        return Score(0.0, "no line of thought to read", None, parts)
    listed = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    reason = f"{clean} of {len(lines)} lines are clean"
    if first is not None:
        reason += f" ({listed}); the first that is not: {quote(first)}"
    return Score(clean / len(lines), reason, None, parts)


def line_fault(line: str, numbers: Counter[int], seen: set[str]) -> str | None:
    """The first of `FAULTS` that a line has, or None. `seen` holds the chains of the earlier lines.

    >>> five_six_one = Counter([5, 6, 1])
    >>> line_fault("6*5=30*1=30 yes", five_six_one, set()), line_fault("6*5=30 wait", five_six_one, set())
    (None, 'notation')
    >>> line_fault("6*5=35*1=35 no", five_six_one, set()), line_fault("6*5=30*5=150 no", five_six_one, set())
    ('false', 'numbers')
    """
    attempt = read_line(line)
    if attempt is None or attempt.verdict == "wait":
        return "notation"
    if not attempt.holds:
        return "false"
    if attempt.numbers != numbers:
        return "numbers"
    return "repeated" if attempt.text in seen else None


def _read_reference(reference: Any) -> Counter[int]:
    try:
        given = list(reference["numbers"])
    except (KeyError, TypeError, IndexError):
        given = []
    if not given or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in given):
        raise UserError('a trace is judged next to its problem, {"numbers": [5, 6, 1], "target": 30}')
    return Counter(given)
