"""Answers for the benchmark of the verifiers: as a policy in training writes them, about half of them right.

Eight answers to each problem, as in a group of GRPO, no two the same text. Everything follows from the seed.
"""

import random
from collections.abc import Callable
from typing import Any

GROUP = 8
Case = tuple[str, Any]


def make_cases(kind: str, n: int, seed: int) -> list[Case]:
    """`n` pairs of completion and reference of a kind in `KINDS`."""
    rng = random.Random(f"{kind}/{seed}")
    cases: list[Case] = []
    while len(cases) < n:
        cases += KINDS[kind](rng)
    return cases[:n]


def _sums(rng: random.Random) -> tuple[str, int, list[int]]:
    """A worked problem, its answer, and what the group answers."""
    a, b, c = rng.randint(12, 99), rng.randint(2, 9), rng.randint(10, 500)
    right = a * b + c
    given = [right if rng.random() < 0.5 else right + rng.randint(1, 40) for _ in range(GROUP)]
    return f"She sells {a} clips in each of {b} months, which makes {a} * {b} = {a * b}, and {c} more.", right, given


def _number(rng: random.Random) -> list[Case]:
    story, right, given = _sums(rng)
    forms = ["#### {}", "The answer is {}.", r"So it is \boxed{{{}}}", "#### {:,}", "That makes {} clips.", "= {}.00"]
    return [(f"{story} Then {i}.\n{rng.choice(forms).format(x)}", str(right)) for i, x in enumerate(given)]


def _addition(rng: random.Random) -> list[Case]:
    story, right, given = _sums(rng)
    return [(f"<think>{story} {i}</think><answer>{x}</answer>", right) for i, x in enumerate(given)]


def _choice(rng: random.Random) -> list[Case]:
    story, right, _ = _sums(rng)
    forms = [
        r"\boxed{{\textbf{{({})}}\ {}}}",
        "The answer is ({}).",
        "#### {}",
        "Answer: {}. {}",
        "So option {} is correct.",
    ]
    letters = [rng.choice("CCCABDE") for _ in range(GROUP)]
    return [(f"{story} ({i})\n{rng.choice(forms).format(x, right)}", "C") for i, x in enumerate(letters)]


def _countdown(rng: random.Random) -> list[Case]:
    numbers = [rng.randint(1, 20) for _ in range(4)]
    a, b, c, d = numbers
    reference = {"numbers": numbers, "target": (a + b) * c - d}
    answers = [f"({a}+{b})*{c}-{d}", f"{a}+{b}*{c}-{d}", f"({b}+{a})*{c}-{d}", f"({a}+{b})*{c}"]
    tried = f"{a}+{b}={a + b}, {c}*{d}={c * d} no; {a}*{c}={a * c} no; "
    return [(f"<think>{tried * 3}{i}</think><answer>{rng.choice(answers)}</answer>", reference) for i in range(GROUP)]


def _format(rng: random.Random) -> list[Case]:
    return [(text if rng.random() < 0.7 else text.replace("</think>", ""), None) for text, _ in _countdown(rng)]


def _instructions(rng: random.Random) -> list[Case]:
    reference = {
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words", "keywords:existence"],
        "kwargs": [{}, {"relation": "at least", "num_words": 30}, {"keywords": ["river", "stone"]}],
    }
    words = ["the", "river", "runs", "over", "stone", "and", "under", "a", "bridge", "of", "wood", "slowly"]
    ends = ["in the end.", "but, in the end, not."]
    return [(f"{' '.join(rng.choices(words, k=60))} {i} {rng.choice(ends)}", reference) for i in range(GROUP)]


def _length(rng: random.Random) -> list[Case]:
    reference = {"max_length": 200, "buffer": 50}
    return [(f"{story[: rng.randint(100, 300)]} {i}", reference) for i, (story, _) in enumerate(_countdown(rng))]


def _code(rng: random.Random) -> list[Case]:
    k = rng.randint(2, 99)
    bodies = [f"return x * {k}", f"return x + {k}", f"return {k} * x"]
    text = "```python\ndef f(x):\n    {}  # {}\n```"
    tests = {"tests": [f"assert f(2) == {2 * k}", "assert f(0) == 0"]}
    return [(text.format(rng.choice(bodies), i), tests) for i in range(GROUP)]


def _math(rng: random.Random) -> list[Case]:
    """Ordinary answers of a competition: most are numbers, the others roots, polynomials, points, sets, intervals."""
    a, b, c = rng.randint(2, 30), rng.randint(2, 30), rng.randint(2, 9)
    families = [
        (str(a * b), [str(a * b), str(a + b), rf"x = {a * b}", rf"{a * b}\text{{ cm}}"]),
        (rf"\frac{{{a}}}{{{b}}}", [rf"\frac{{{a}}}{{{b}}}", f"{a}/{b}", rf"\dfrac{{{2 * a}}}{{{2 * b}}}", f"{b}/{a}"]),
        (rf"{a}\sqrt{{{c}}}", [rf"{a}\sqrt{{{c}}}", rf"\sqrt{{{a * a * c}}}", rf"{a + 1}\sqrt{{{c}}}", f"{a}"]),
        (
            f"x^2+{a + b}x+{a * b}",
            [f"(x+{a})(x+{b})", f"x^2 + {a + b}x + {a * b}", f"x^2+{a}x+{b}", f"{a * b}+{a + b}x+x^2"],
        ),
        (f"({a},{b})", [f"({a}, {b})", f"({b},{a})", rf"\left({a},{b}\right)", f"[{a},{b}]"]),
        (rf"\{{{a},{b}\}}", [rf"\{{{b}, {a}\}}", rf"{a}, {b}", rf"\{{{a}\}}", rf"x={a} \text{{ or }} x={b}"]),
        (f"[{a},{a + b})", [f"[{a}, {a + b})", rf"{a} \le x < {a + b}", f"({a},{a + b})", f"[{a},{a + b}]"]),
        (rf"{a}\pi", [rf"{a}\pi", f"{a}π", rf"\frac{{{2 * a}\pi}}{{2}}", rf"{b}\pi + 1"]),
    ]
    reference, answers = families[min(rng.randrange(11), 10) % 8]
    story = f"Let us write the two numbers as $u = {a}$ and $v = {b}$; then the condition gives $u + v = {a + b}$."
    return [(rf"{story} ({i}) Hence the answer is $\boxed{{{rng.choice(answers)}}}$.", reference) for i in range(GROUP)]


def _algebra(rng: random.Random) -> list[Case]:
    """Answers that normal forms do not settle."""
    a, b = rng.randint(2, 30), rng.randint(2, 30)
    families = [
        (rf"\sin({2 * a}x)", [rf"2\sin({a}x)\cos({a}x)", rf"\sin({a}x)\cos({a}x)"]),
        (
            rf"\frac{{1}}{{{a}+\sqrt{{2}}}}",
            [rf"\frac{{{a}-\sqrt{{2}}}}{{{a * a - 2}}}", rf"\frac{{{a}-\sqrt2}}{{{a}}}"],
        ),
        (rf"\frac{{x^2-{a * a}}}{{x-{a}}}", [f"x+{a}", f"x-{a}"]),
        (rf"\log_{{{a}}} {a**3}", ["3", f"{b}"]),
    ]
    reference, answers = rng.choice(families)
    return [(rf"({i}) \boxed{{{rng.choice(answers)}}}", reference) for i in range(GROUP)]


KINDS: dict[str, Callable[[random.Random], list[Case]]] = {
    "addition": _addition,
    "choice": _choice,
    "code": _code,
    "countdown": _countdown,
    "format": _format,
    "instructions": _instructions,
    "length": _length,
    "math": _math,
    "math algebra": _algebra,
    "number": _number,
}
