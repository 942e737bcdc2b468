"""Results that must not change: what the readers of a countdown trace say of thousands of texts, and the corpus itself.

Each is kept as a digest. A digest that differs says that behaviour changed, not where: compare the results with those
of an older checkout. Change a digest only together with a line of the changelog, since recorded runs depend on it.
"""

import functools
import hashlib
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from labkit.worlds import corpus
from labkit.worlds.countdown import behaviours, controls, steps, trace

Reference = dict[str, Any]

# What a mutation writes into a text, and what hostile texts are put together from.
PIECES = (
    *["<think>", "</think>", "<answer>", "</answer>", "<thi", "nk>", "<", ">", "\n", " ", "  ", "\t", "\r", "\r\n"],
    *[" no\n", " yes\n", " wait\n", " no", " yes", " wait", "NO", "Yes", "not", "maybe", "no,", "hmm", "let me try "],
    *["=", "+", "-", "*", "/", "×", "÷", "−", "(", ")", ".", ",", "==", "**", "//", "->", ":", "?", "é", "\x00", "٣"],
    *["0", "1", "5", "6", "7", "12", "30", "007", "00", "999999", "1234567", "9" * 30, "-1"],
    *["1+6=7", "*5=35", "6*5=30*1=30", "6/5=1", "6/0=0", "5-6=-1", "1+6=8", "6*5=30=30", "7/2=3", "35/7=5"],
    *["1+1=2" + "-1=1+1=2" * 40, "\\boxed{30}", "the answer is 30", "x = 5", "6 × 5 = 30", "\u2028", "\x0b"],
)
PROBLEM = {"numbers": [5, 6, 1], "target": 30}


@functools.cache
def texts() -> list[tuple[str, Reference]]:
    """Answers of the corpus with their problems, each once as written and once mutated; then hostile texts."""
    rng, answers = random.Random("texts"), []
    for prompt, text in itertools.islice(corpus.documents(7), 4000):
        numbers, arrow, target = prompt.rstrip(":").partition("->")
        known = {"numbers": [int(n) for n in numbers.split(",")], "target": int(target)} if arrow else PROBLEM
        answers.append((text, known))
    changed = [
        (mutated(text, rng), reference if rng.random() < 0.8 else rng.choice(answers)[1]) for text, reference in answers
    ]
    hostile = ["".join(rng.choices(PIECES, k=rng.randint(0, 14))) for _ in range(4000)]
    hostile += ["<think>" + "".join(rng.choices("0156+-*/=\n noyeswait", k=rng.randint(0, 60))) for _ in range(4000)]
    return [*answers, *changed, *((text, PROBLEM) for text in hostile)]


def mutated(text: str, rng: random.Random) -> str:
    """A text with one to three places cut out, doubled or written over."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randint(0, len(text))
        end = min(len(text), start + rng.randint(0, 8))
        middle = rng.choice(("", 2 * text[start:end], rng.choice(PIECES), rng.choice(PIECES)))
        text = text[:start] + middle + text[end:]
    return text


def score_of(verify: Callable[[str, Any], Any]) -> Callable[[str, Reference], Any]:
    def result(text: str, reference: Reference) -> Any:
        score = verify(text, reference)
        return score.reward, score.reason, score.extracted, score.parts

    return result


def single_steps(text: str, reference: Reference) -> list[bool]:
    numbers = Counter(reference["numbers"])
    return [steps.step_right(line, numbers, reference["target"]) for line in (text, *text.split("\n"))]


READERS: dict[str, tuple[Callable[[str, Reference], Any], str]] = {
    "trace": (score_of(trace.verify), "97a3143f1ded276c"),
    "first_try": (score_of(controls.first_try), "89816508837039f4"),
    "right_steps": (steps.right_steps, "9696d65498d6735c"),
    "step_right": (single_steps, "f4077c458e0d261c"),
    "behaviours": (lambda text, reference: behaviours.behaviours(text), "079ecc221b1f2c26"),
}


def digest(values: Iterable[Any]) -> str:
    hashed = hashlib.sha256()
    for value in values:
        hashed.update(json.dumps(value).encode() + b"\n")
    return hashed.hexdigest()[:16]


@pytest.mark.parametrize("name", READERS)
def test_readers_of_a_trace_say_what_they_always_said(name: str):
    read, expected = READERS[name]
    assert digest(read(text, reference) for text, reference in texts()) == expected


@pytest.mark.parametrize(("seed", "expected"), [(0, "b343859034feafe6"), (1, "2e3d518b7b410298")])
def test_the_corpus_is_the_same_to_the_byte(seed: int, expected: str):
    assert digest(itertools.islice(corpus.documents(seed), 5000)) == expected
