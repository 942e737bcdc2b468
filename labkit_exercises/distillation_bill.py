"""Exercise of notebook 14: what does a step of on-policy distillation cost, and whom?"""

from __future__ import annotations

import random

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def distillation_bill(student: int, teacher: int, prompt_tokens: int, samples: int, new_tokens: int) -> tuple[int, int]:
    positions = samples * prompt_tokens + new_tokens
    written = 2 * student * (prompt_tokens + new_tokens)
    return written + 6 * student * positions, 2 * teacher * positions


def _random_step(generator: random.Random) -> Case:
    samples = generator.randint(2, 16)
    student = generator.randint(1, 9) * 1000
    return Case(
        (student, student * generator.randint(2, 9), generator.randint(5, 60), samples, generator.randint(20, 900))
    )


def _bill(
    s: int, t: int, p: int, k: int, n: int, *, sampling: int = 2, training: int = 6, scoring: int = 2, once: int = 1
) -> tuple[int, int]:
    """The bill with other factors; `once`: how often sampling reads each prompt."""
    return sampling * s * (once * p + n) + training * s * (k * p + n), scoring * t * (k * p + n)


EXERCISE = Exercise(
    name="distillation-bill",
    title="The bill of a step of on-policy distillation",
    notebook="14_distillation",
    spec=(
        "Count operations: a model of N weights takes 2 N for a token that it reads or writes, 6 N for a token that it "
        "is trained on (forward and backward). One step with a `student` and a `teacher` of so many weights:\n\n"
        "- one prompt of `prompt_tokens` tokens, read **once** by the sampler, however many samples answer it;\n"
        "- the student writes `samples` answers, `new_tokens` tokens **in all**;\n"
        "- it is trained on rows of prompt and answer, every row whole;\n"
        "- the teacher reads the same rows. It writes nothing and is not trained.\n\n"
        "Return (operations of the student, operations of the teacher)."
    ),
    stub=(
        "def distillation_bill(\n"
        "    student: int, teacher: int, prompt_tokens: int, samples: int, new_tokens: int\n"
        ") -> tuple[int, int]:\n"
        "    raise NotImplementedError\n"
    ),
    reference=distillation_bill,
    literal=(
        Case((1, 5, 10, 1, 90), "one sample: 2 x 100 + 6 x 100, and 5 x 2 x 100"),
        Case((1, 5, 10, 4, 360), "four samples: four rows, one prompt to read"),
        Case((1000, 5000, 0, 4, 360), "no prompt"),
        Case((160_000, 800_000, 14, 8, 720), "micro and tiny"),
    ),
    random=_random_step,
    misconceptions=(
        Misconception(
            "own-samples-free",
            lambda s, t, p, k, n: _bill(s, t, p, k, n, sampling=0),
            "The student's own sampling is missing: 2 N for the prompt and for each token that it writes.",
        ),
        Misconception(
            "forward-only",
            lambda s, t, p, k, n: _bill(s, t, p, k, n, training=2),
            "Training counts as one forward pass. The backward pass takes twice as much again: 6 N a token in all.",
            (lambda s, t, p, k, n: _bill(s, t, p, k, n, training=4),),
        ),
        Misconception(
            "teacher-trained",
            lambda s, t, p, k, n: _bill(s, t, p, k, n, scoring=6),
            "The teacher is charged 6 N a token, as if it were trained. It only reads: 2 N.",
            (lambda s, t, p, k, n: _bill(s, t, p, k, n, scoring=8),),
        ),
        Misconception(
            "teacher-free",
            lambda s, t, p, k, n: (_bill(s, t, p, k, n)[0], 0),
            "The teacher costs nothing here; it reads every row, prompts included.",
        ),
        Misconception(
            "prompt-read-for-each-sample",
            lambda s, t, p, k, n: _bill(s, t, p, k, n, once=k),
            "The sampler is charged for one prompt a sample. It reads the prompt once and shares what it has computed.",
        ),
        Misconception(
            "prompt-trained-once",
            lambda s, t, p, k, n: (2 * s * (p + n) + 6 * s * (p + n), 2 * t * (p + n)),
            "In training every row holds its own copy of the prompt, and teacher and student read each of them.",
        ),
        Misconception(
            "answers-alone",
            lambda s, t, p, k, n: (2 * s * n + 6 * s * n, 2 * t * n),
            "The prompts' tokens are missing: they have no loss, but they are read and computed like any others.",
            (
                lambda s, t, p, k, n: (2 * s * (p + n) + 6 * s * n, 2 * t * n),
                lambda s, t, p, k, n: (2 * s * (p + n) + 6 * s * n, 2 * t * (k * p + n)),
            ),
        ),
        Misconception(
            "sum",
            lambda s, t, p, k, n: sum(_bill(s, t, p, k, n)),
            "One number; asked for are two, student and teacher: the two bills are compared on different axes.",
        ),
    ),
    hints=(
        "Two kinds of counts: what the sampler sees (a prompt, all new tokens) and what the rows hold (a prompt each).",
        "The rows hold `samples * prompt_tokens + new_tokens` tokens together.",
        "Student: 2 N x (prompt + new) + 6 N x rows. Teacher: 2 N x rows.",
    ),
    sources=("labkit.evaluation.cost:step_flops",),
)
