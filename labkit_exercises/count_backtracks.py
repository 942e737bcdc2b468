"""Exercise of notebook 12: how often did the model change its mind?"""

from __future__ import annotations

import random
import re

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def count_backtracks(text: str) -> int:
    from labkit.worlds.countdown.behaviours import backtracks

    return backtracks(text)


def _thought(text: str) -> str:
    return text.partition("<think>")[2].partition("</think>")[0]


def _attempts(thought: str) -> list[str]:
    return [line for line in thought.split("\n") if "=" in line]


def _abandoned(lines: list[str], words: tuple[str, ...] = (" no", " wait")) -> int:
    return sum(line.endswith(words) for line in lines)


def _words(thought: str) -> int:
    return thought.count(" no") + thought.count(" wait")


def _random_trace(generator: random.Random) -> Case:
    lines = [
        f"{generator.randint(1, 12)}+{generator.randint(1, 12)}={generator.randint(2, 24)}"
        + generator.choice([" no", " no", " wait", " yes"])
        for _ in range(generator.randint(0, 6))
    ]
    end = generator.choice(["\n</think><answer>6*5*1</answer>", "\n</think>", "\n"])
    return Case((f"<think>{chr(10).join(lines)}{end}",))


EXERCISE = Exercise(
    name="count-backtracks",
    title="How often did it change its mind?",
    notebook="12_r1_zero",
    spec=(
        "`text` is a completion of the tiny model. Between `<think>` and `</think>` it makes one attempt a "
        "line, an equation such as `1+6=7*5=35`, and judges it with a last word: ` no`, ` yes`, or ` wait` "
        "after a slip.\n\n"
        "Return the number of backtracks: attempts that end in ` no` or ` wait` and are **followed by "
        "another attempt**.\n\n"
        "- The last attempt is never a backtrack: whoever says no and stops has given up.\n"
        "- Only the thought counts. It may have been cut off, without `</think>`; there may be none at all."
    ),
    stub="def count_backtracks(text: str) -> int:\n    raise NotImplementedError\n",
    reference=count_backtracks,
    literal=(
        Case(("<think>1+6=7 no\n6*5=30 yes\n</think>",), "one no, then another attempt"),
        Case(("<answer>6*5*1</answer>",), "no thought at all"),
        Case(("<think>1+6=7 no\n</think>",), "it said no and gave up: nothing follows"),
        Case(("<think>1+6=8 wait\n1+6=7 no\n6*5=30 yes\n</think>",), "wait, then no, then yes"),
        Case(("<think>6*5=30 yes\n6*5=30*1=30 yes\n</think>",), "a second attempt, though none was abandoned"),
        Case(("<think>1+6=7 no\n6*5=3",), "cut off in the middle of the second attempt"),
        Case(("<think>1+6=7 not bad\n6*5=30 yes\n</think>",), "not is another word than no"),
        Case(
            ("<think>6*5=30 yes\n</think><answer>6*5</answer>\n2+2=5 no\n2+2=4 yes",),
            "after the thought nothing counts",
        ),
    ),
    random=_random_trace,
    misconceptions=(
        Misconception(
            "last-attempt-too",
            lambda text: _abandoned(_attempts(_thought(text))),
            "The last attempt is counted too. An attempt that is rejected, with nothing after it, is giving "
            "up, not backtracking.",
            (lambda text: _abandoned(_attempts(text)),),
        ),
        Misconception(
            "no-alone",
            lambda text: _abandoned(_attempts(_thought(text))[:-1], (" no",)),
            "Attempts that end in ` wait` are missing: there the model noticed a slip and began again.",
        ),
        Misconception(
            "wait-alone",
            lambda text: _abandoned(_attempts(_thought(text))[:-1], (" wait",)),
            "Attempts that end in ` no` are missing: only ` wait` is counted.",
        ),
        Misconception(
            "outside-the-thought",
            lambda text: _abandoned(_attempts(text)[:-1]),
            "Text outside `<think>` is counted as well. What stands after `</think>` is no attempt.",
        ),
        Misconception(
            "every-further-attempt",
            lambda text: max(len(_attempts(_thought(text))) - 1, 0),
            "It counts every attempt after the first. An attempt counts only if the one before was "
            "abandoned, with ` no` or ` wait`.",
            (lambda text: len(_attempts(_thought(text))) - 1,),
        ),
        Misconception(
            "all-attempts",
            lambda text: len(_attempts(_thought(text))),
            "It counts the attempts, abandoned or not.",
        ),
        Misconception(
            "substring",
            lambda text: _words(_thought(text)),
            "It counts the letters ` no` and ` wait` wherever they occur, in ` not` as well and in the last "
            "attempt. Go line by line, and look at the end of each.",
            (
                lambda text: _words(text),
                lambda text: sum(_words(line) for line in _thought(text).split("\n")[:-1]),
            ),
        ),
        Misconception(
            "needs-closing-tag",
            lambda text: _abandoned(_attempts("".join(re.findall(r"<think>(.*?)</think>", text, re.DOTALL)))[:-1]),
            "A thought that was cut off, without `</think>`, is not read at all. Those are the longest "
            "ones: leaving them out makes the rate look lower than it is.",
        ),
    ),
    hints=(
        "First the thought: `text.partition('<think>')[2].partition('</think>')[0]` also works when the end "
        "is missing.",
        "Then its attempts: the lines with an `=` in them. Which of them can be a backtrack?",
        "All but the last one (`[:-1]`), where `line.endswith((' no', ' wait'))`.",
    ),
    sources=(
        "labkit.worlds.countdown.behaviours:backtracks",
        "labkit.worlds.countdown.behaviours:behaviours",
        "labkit.worlds.countdown.parse:read_attempts",
    ),
)
