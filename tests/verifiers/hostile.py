"""What the tests with hostile texts share: a clock, the texts themselves, and names for cases of a megabyte."""

import gc
import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from labkit.verifiers import Score


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail when the block takes more than so many seconds of this process's CPU.

    Other jobs on the machine do not count, nor what thousands of earlier tests left for the garbage collector to walk
    through, which waits: so the limits can be tight.
    """
    gc.disable()
    start = time.process_time()
    try:
        yield
    finally:
        used = time.process_time() - start
        gc.enable()
    assert used < seconds, f"took {used:.2f} s of CPU, more than {seconds} s"


def short(value: object) -> str:
    """A test id of a few printable characters: pytest would put the whole text into each name."""
    if isinstance(value, int) and value.bit_length() > 100:
        return "huge"
    if isinstance(value, str):
        value = value[:24]
    return ascii(value)[:32]


PIECES = [
    *["<think>", "</think>", "<answer>", "</answer>", "<reasoning>", "</solution>", "<answer", "answer>"],
    *["\\boxed{", "\\boxed", "\\fbox{", "}", "{", "\\{", "\\}", "\\frac", "\\frac{1}{", "\\sqrt{", "\\text{", "\\"],
    *[
        "####",
        "#### 72",
        "the answer is",
        "The final answer is: ",
        "$",
        "$$",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
        "**",
        "`",
        "```",
    ],
    *[
        "9**9**9",
        "99**88**77",
        "9^{9^{9^9}}",
        "2^2^2^2^2^2",
        "9!",
        "9!!!!!",
        "(((((9)!)!)!)!)!",
        "10^10^10",
        "1e999999999",
    ],
    *[
        "9" * 50,
        "9" * 5000,
        "0." + "0" * 500 + "1",
        "1/0",
        "0/0",
        "1/" + "0" * 50,
        "1,234",
        "1,2,3,4",
        ",",
        ".",
        "..",
        "-",
        "--",
    ],
    *[
        "(" * 50,
        ")" * 50,
        "[" * 50,
        "{" * 50,
        "<think>" * 20,
        "\\boxed{" * 20,
        "}" * 20,
        "=",
        "==",
        "=" * 30,
        "≈",
        "±",
        "~",
    ],
    *[
        "\x00",
        "\ud800",
        "\udfff",
        "\ufeff",
        "\u202e",
        "\u200b",
        "\u2028",
        "\x1b[2J",
        "\r",
        "\n",
        "\t",
        " ",
        "\xa0",
        "é",
        "😀",
    ],
    *["½", "⅔", "²³", "⁻⁹", "٣", "\uff11\uff12", "−", "–", "×", "÷", "∞", "π", "€", "%", "\\%", "50%", "‰"],
    *[
        "%s%s%n",
        "{0.__class__}",
        "{}",
        "${7*7}",
        "%(x)s",
        "__import__('os').system('true')",
        "cos\nsystem\n(S'true'\ntR.",
    ],
    *[
        "nan",
        "inf",
        "-inf",
        "NaN",
        "None",
        "True",
        "null",
        "1_000",
        "0x1F",
        "1e5",
        "1E-5",
        "1j",
        "lambda: 0",
        "or",
        "not",
        "5 or 6",
    ],
    *[
        "6*5*1",
        "6+5-1=30",
        "?",
        "72",
        "-72",
        "72.0",
        "1/2",
        "2 1/2",
        "10-3",
        "in 2 days",
        "(in 2 days)",
        "km",
        "dollars",
        "million",
    ],
]
"""What the fuzzed texts are put together from: tags and boxes, power towers and factorials, huge digits, nesting,
unbalanced braces, NUL and surrogates, tricks with format strings and pickle, numbers in every dress."""


def fuzzed(count: int, seed: int = 0) -> Iterator[str]:
    """`count` texts of up to about a dozen pieces or random characters; the same ones for the same seed."""
    rng = random.Random(seed)
    for _ in range(count):
        parts = rng.choices(PIECES, k=rng.randint(0, 12))
        if rng.random() < 0.3:
            parts.append("".join(chr(rng.randrange(0x11000)) for _ in range(rng.randint(1, 20))))
        if rng.random() < 0.3:
            parts.append(rng.choice(("", " ")).join(rng.choices("0123456789.,/*+-=^e%() ", k=rng.randint(1, 30))))
        if rng.random() < 0.2:
            parts = ["<answer>", *parts, "</answer>"]
        rng.shuffle(parts)
        yield rng.choice(("", " ", "\n")).join(parts)


MEGABYTE = 1_000_000
SMALL_PIECES = [
    *PIECES,
    "a",
    "1 ",
    "1.",
    "1,",
    "-1",
    "a1",
    "\\frac{1}",
    "\n1",
    "=1",
    "(1",
    "1)",
    "*",
    "^",
    "#",
    "<",
    ">",
    "'",
]
MEGABYTES = [piece * (MEGABYTE // len(piece)) for piece in SMALL_PIECES]
"""Texts of a megabyte, each one piece over and over."""


def check_every_score(
    verify: Callable[[str, object], Score],
    reference: object,
    *,
    seconds: float = 0.3,
    count: int = 20_000,
    megabytes: bool = True,
) -> None:
    """`count` fuzzed texts, and the megabytes with an answer before or behind: sound scores, each within its bound."""
    for text in fuzzed(count, seed=len(repr(reference))):
        _check_one(verify, text, reference, seconds)
    for text in MEGABYTES if megabytes else []:
        for completion in (text, f"<answer>{text}</answer>", f"72 \\boxed{{{text[:40_000]}}}", f"{text}\n72"):
            _check_one(verify, completion, reference, 2 * seconds)


def _check_one(verify: Callable[[str, object], Score], text: str, reference: object, seconds: float) -> None:
    start = time.process_time()
    score = verify(text, reference)
    used = time.process_time() - start
    assert used < seconds, f"{used:.2f} s for {short(text)} ({len(text)} characters)"
    assert isinstance(score, Score) and type(score.reward) is float and math.isfinite(score.reward), short(text)
    assert score.reason and score.reason.isprintable() and len(score.reason) < 1000, short(text)
    assert score.extracted is None or isinstance(score.extracted, str)
    assert all(type(part) is float and math.isfinite(part) for part in score.parts.values()), short(text)
