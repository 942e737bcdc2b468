"""Word problems made from templates, offline: the idea of GSM-Symbolic (Mirzadeh et al., 2024), with our own templates.

Names, things and numbers vary; the answer is a whole number, known exactly. The split is decided by the template and
its numbers, so that a held-out problem does not come back in training with other names.
"""

import functools
import random

from labkit.errors import UserError
from labkit.tasks.base import Problem, Task, split_of
from labkit.tasks.word_templates import NAMES, PLACES, TEMPLATES, THINGS
from labkit.verifiers import VERIFIERS

ENDING = "\n\nThink step by step, then write the final answer on a last line of its own, as: #### number"


def draw(templates: tuple[str, ...], largest: int, split: str, rng: random.Random) -> Problem:
    """A random problem of a split, of one of the templates."""
    while True:
        name = rng.choice(templates)
        drawn = TEMPLATES[name][1](rng, largest)
        a, b = rng.sample(NAMES, 2)
        text = drawn.text.format(a=a, b=b, thing=rng.choice(THINGS), place=rng.choice(PLACES))
        key = ["word_problems", name, *drawn.numbers]
        if split_of(key) == split:
            return Problem(text + ENDING, drawn.answer, f"word_problems/{name}/{','.join(map(str, drawn.numbers))}")


def make_word_problems(steps: int | list[int] | tuple[int, ...] = (1, 2, 3), largest: int = 20) -> Task:
    """The task; `steps` says how many operations the problems take (1, 2, 3), `largest` bounds the numbers in them."""
    wanted = (steps,) if isinstance(steps, int) else tuple(steps)
    if not wanted or not set(wanted) <= {1, 2, 3}:
        raise UserError(f"word problems take 1, 2 or 3 steps, not {steps!r}")
    if not isinstance(largest, int) or not 10 <= largest <= 10_000:
        raise UserError(f"the largest number of word problems is from 10 to 10000, not {largest!r}")
    templates = tuple(name for name, (count, _) in TEMPLATES.items() if count in wanted)
    return Task(
        name="word_problems",
        description=f"word problems of {', '.join(map(str, wanted))} steps, made from {len(templates)} templates",
        verifier=VERIFIERS["number"],
        draw=functools.partial(draw, templates, largest),
        max_new_tokens=256,
        options={"steps": list(wanted), "largest": largest},
    )
