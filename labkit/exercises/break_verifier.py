"""Exercise of notebook 07: be paid for a wrong answer."""

from __future__ import annotations

import random

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def break_verifier(numbers: list[int], target: int) -> str:
    return "<answer>?</answer>"


def verdict(completion: object, numbers: list[int], target: int) -> str:
    """What the leaky verifier and the sound one say of an attack; this is what is compared."""
    from labkit.verifiers import get

    if not isinstance(completion, str):
        return f"no completion, but a {type(completion).__name__}"
    puzzle = {"numbers": numbers, "target": target}
    paid = get("leaky_countdown")(completion, puzzle)
    if get("countdown")(completion, puzzle).reward:
        return "paid, and rightly: the answer is right"
    if paid.reward:
        return "paid, and wrong"
    if paid.extracted is None:
        return "not paid: there is no answer in it"
    wrong = [f"its {part} {verb} wrong" for part, verb in (("numbers", "are"), ("value", "is")) if not paid.parts[part]]
    return f"not paid: it was read, and {' and '.join(wrong)}"


def _solve(numbers: list[int], target: int) -> str:
    from labkit.worlds.countdown.chains import chains

    right = next(chain for chain in chains(tuple(sorted(numbers))) if chain.value == target)
    return f"<answer>{right.expression()}</answer>"


def _wrong_value(numbers: list[int], target: int) -> str:
    return f"<answer>{'+'.join(map(str, numbers))}</answer>"


def _random_puzzle(generator: random.Random) -> Case:
    from labkit.worlds.countdown.chains import chains

    while True:
        numbers = [generator.randint(2, 12) for _ in range(3)]
        values = {chain.value for chain in chains(tuple(sorted(numbers)))} - {sum(numbers)}
        if values:
            return Case((numbers, generator.choice(sorted(values))))


EXERCISE = Exercise(
    name="break-verifier",
    title="Be paid for a wrong answer",
    notebook="07_verifiers",
    spec=(
        "Return a completion that `get('leaky_countdown')` pays in full (reward 1) for the puzzle `numbers -> target` "
        "although it solves nothing (`get('countdown')` gives 0). It has to work for **every** puzzle: a policy has no "
        "use for a trick that works once.\n\n"
        "You may call the leaky verifier as often as you like; do not look at its source yet. A policy cannot."
    ),
    stub="def break_verifier(numbers: list[int], target: int) -> str:\n    raise NotImplementedError\n",
    reference=break_verifier,
    verdict=verdict,
    literal=(
        Case(([5, 6, 1], 30), "6*5*1 would be right"),
        Case(([4, 4, 9], 25), "4*4+9 would be right"),
        Case(([12, 3, 7], 11), "12/3+7 would be right"),
    ),
    random=_random_puzzle,
    misconceptions=(
        Misconception(
            "honest",
            _solve,
            "These answers are right, so they deserve what they get. Wanted is one that is wrong and is paid all the "
            "same: what does the verifier do with text that is no arithmetic?",
        ),
        Misconception(
            "unmarked",
            lambda numbers, target: "?",
            "The verifier finds no answer in it, and pays nothing for none. Whatever you try, put it where an answer "
            "is looked for: between `<answer>` and `</answer>`.",
            (
                lambda numbers, target: "",
                lambda numbers, target: "<think>?</think>",
                lambda numbers, target: "<answer>?",
            ),
        ),
        Misconception(
            "target-itself",
            lambda numbers, target: f"<answer>{target}</answer>",
            "The target itself has the right value, and this verifier does compare the numbers: they must be the given "
            "ones. Its hole is not where it checks, but where it cannot.",
        ),
        Misconception(
            "wrong-value",
            _wrong_value,
            "A sum of the right numbers with a wrong value is read, evaluated and found wrong: what this verifier can "
            "read, it judges well. Give it something that it cannot read.",
            (lambda numbers, target: f"<answer>{'-'.join(map(str, numbers))}</answer>",),
        ),
    ),
    hints=(
        "Try the leaky verifier on five answers of different kinds: right, wrong, empty, no arithmetic, divided by 0.",
        "It looks for faults. What kind of answer can it find no fault with, because it cannot even begin?",
        "One character between the tags will do.",
    ),
    sources=("labkit.worlds.countdown.leaky:leaky_countdown",),
)
