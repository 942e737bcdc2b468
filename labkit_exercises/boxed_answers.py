"""Exercise of notebook 07: find the answers that a completion puts into boxes."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def boxed_answers(completion: str) -> list[str]:
    visible = completion.rpartition("</think>")[2]
    boxes = []
    start = visible.find(r"\boxed{")
    while start >= 0:
        begin = end = start + len(r"\boxed{")
        depth = 1
        while depth and end < len(visible):
            depth += {"{": 1, "}": -1}.get(visible[end], 0)
            end += 1
        if depth:  # cut off: the box never closes
            break
        boxes.append(visible[begin : end - 1].strip())
        start = visible.find(r"\boxed{", end)
    return boxes


def _after_thought(completion: str) -> str:
    return completion.rpartition("</think>")[2]


def _by_pattern(pattern: str, thought: bool = False) -> Callable[[str], list[str]]:
    """What many repositories do: one regular expression."""

    def find(completion: str) -> list[str]:
        text = completion if thought else _after_thought(completion)
        return [match.strip() for match in re.findall(pattern, text, re.DOTALL)]

    return find


def _with_thought(completion: str) -> list[str]:
    return boxed_answers(completion.replace("</think>", ""))


def _one(which: int) -> Callable[[str], list[str]]:
    return lambda completion: boxed_answers(completion)[which:][:1]


def _cut_off_counts(completion: str) -> list[str]:
    return boxed_answers(completion + "}" * (completion.count("{") - completion.count("}")))


def _random_text(generator: random.Random) -> Case:
    contents = ["72", r"\frac{1}{2}", r"\frac{a_{1}}{b^{2}}", "x=5", r"\{1,2\}", r"\text{no}"]
    parts = []
    for _ in range(generator.randint(1, 4)):
        parts.append(generator.choice(["so ", "or ", "{} ", "and\n"]))
        parts.append(rf"\boxed{{{generator.choice(contents)}}} ")
    if generator.random() < 0.4:
        parts.insert(2, "</think>")
    if generator.random() < 0.3:
        parts.append(rf"\boxed{{{generator.choice(contents)}")
    return Case(("".join(parts),))


EXERCISE = Exercise(
    name="boxed-answers",
    title="Every box of a completion",
    notebook="07_verifiers",
    spec=(
        r"Return what stands inside each `\boxed{...}` of a completion, in order, without the space around it."
        "\n\n"
        "- A box may hold braces: it ends at the brace that belongs to it.\n"
        "- What stands before the last `</think>` is thought, and claims nothing.\n"
        "- A box that never closes (the model was cut off) is none. No box: an empty list."
    ),
    stub="def boxed_answers(completion: str) -> list[str]:\n    raise NotImplementedError\n",
    reference=boxed_answers,
    literal=(
        Case((r"It is \boxed{72}.",), "one plain box"),
        Case(("It is 72.",), "no box at all"),
        Case((r"\boxed{\frac{1}{2}}",), "braces inside the box"),
        Case((r"\boxed{71} or \boxed{72}",), "two claims: whoever judges must see both"),
        Case((r"\boxed{ 7 } and {more}",), "space inside, and braces behind the box"),
        Case((r"<think>\boxed{5}?</think>\boxed{6}",), "the first box is only thought"),
        Case((r"\boxed{3} no: \boxed{\frac{1}{",), "the second box is cut off"),
        Case((r"\boxed{}",), "a box with nothing in it: a claim all the same"),
        Case(("\\boxed{1\n+2}",), "a line break inside"),
        Case((r"\boxed{\frac{a_{1}}{2}} \boxed{4}",), "three braces deep, and another box"),
    ),
    random=_random_text,
    misconceptions=(
        Misconception(
            "lazy-pattern",
            _by_pattern(r"\\boxed\{(.*?)\}"),
            r"The box ends at the FIRST closing brace, so `\boxed{\frac{1}{2}}` gives `\frac{1`. No regular expression "
            "of Python's counts braces: walk through the characters and keep a depth.",
            (_by_pattern(r"\\boxed\{(.*?)\}", thought=True),),
        ),
        Misconception(
            "greedy-pattern",
            _by_pattern(r"\\boxed\{(.*)\}"),
            "The box runs to the LAST closing brace of the text and swallows what lies between, a second box "
            "included. It ends where its own brace closes: keep a depth.",
            (_by_pattern(r"\\boxed\{(.*)\}", thought=True),),
        ),
        Misconception(
            "no-braces-inside",
            _by_pattern(r"\\boxed\{([^{}]*)\}"),
            "A box with braces in it is overlooked, so every right fraction in LaTeX gets no reward: a false negative "
            "that the policy can do nothing about but to avoid fractions.",
            (_by_pattern(r"\\boxed\{([^{}]*)\}", thought=True),),
        ),
        Misconception(
            "reads-the-thought",
            _with_thought,
            "Boxes inside the thought are taken for claims. A policy that may put every candidate into its thought "
            "has answered nothing yet: look behind the last `</think>` only.",
        ),
        Misconception(
            "one-box",
            _one(-1),
            "Only one box is returned. A completion with two different boxes has not made up its mind, and whoever "
            "sees one of them pays for a guess: return them all.",
            (_one(0),),
        ),
        Misconception(
            "cut-off-counts",
            _cut_off_counts,
            "A box that never closes is taken for an answer. The model was cut off there: what it would have written "
            "nobody knows.",
        ),
    ),
    hints=(
        r"`text.find(r'\boxed{', start)` finds the next box. Where does it end?",
        "Begin behind the opening brace with depth 1; `{` adds 1, `}` takes 1 away; at 0 the box is over.",
        "When the text is over before the depth is 0, stop. Cut the thought off first, with "
        "`completion.rpartition('</think>')[2]`.",
    ),
    sources=("labkit.verifiers.extract:find_boxes",),
)
