"""Verifiers: functions `verify(completion, reference) -> Score` that decide whether an answer is right.

The contract: total in the completion (no string makes it raise), bounded in time and memory,
deterministic, picklable; `reason` says in words why. A malformed reference raises `UserError`.

Here are functions on strings, with the standard library alone (`math` asks sympy where it must, `instructions`
py3langid for languages):

- `countdown`: `{"numbers": [5, 6, 1], "target": 30}`, each number exactly once;
- `addition`: a whole number or its string;
- `number`: a number, or a string with one, however it is written;
- `choice`: the letter of an option, or `{"answer": "E", "options": [...]}`;
- `math`: a LaTeX or plain string: expressions, sets, intervals, tuples, matrices, equations, words;
- `code`: `{"tests": ["assert f(2) == 4"]}`, `{"stdin": "2", "stdout": "4"}`, or a row of HumanEval (`test`,
  `entry_point`, `prompt`), MBPP (`test_list`, ...) or LiveCodeBench (`input_output`), run in a sandbox;
- `instructions`: IFEval's `{"instruction_id_list": [...], "kwargs": [...]}` or Open Instruct's label, 112 kinds, strict
  or loose, all or the fraction;
- `format`: None or `{"style": name}`, apart from accuracy;
- `length`: `{"max_length": 100, "buffer": 20}`, in characters, or with `"unit": "words"`.

`canonical` says when two answers are the same vote (maj@k).
`labkit.verifiers.combine` puts verifiers together, `labkit.verifiers.adapters` gives them to other systems.
Next to them `leaky_countdown` and other leaky twins, with one hole each, for teaching (`labkit.verifiers.leaky`), and
`coin` and `first_try`, which a control experiment pays by (`labkit.verifiers.controls`).

Public functions next to them: `extract_answer` (the answer's text), `extract_number` (the number itself), `find_claims`
(every final answer), `visible_text` (a reply without its thoughts), `opened` (a verifier for prompts that end in
`<think>`), `run_verifier` and `run_for_prompts` (batches), `safe_score`. What each verifier reads and what it refuses,
with examples: `POLICY.md` in this folder.
"""

from __future__ import annotations

import lazy_loader

from labkit.errors import UserError
from labkit.registry import Registry
from labkit.verifiers.canonical import canonical
from labkit.verifiers.extract import Claims, extract_answer, find_claims, visible_text
from labkit.verifiers.guard import safe_score, safe_scores
from labkit.verifiers.number import extract_number
from labkit.verifiers.runner import run_verifier
from labkit.verifiers.score import Fault, Score, Verifier
from labkit.verifiers.thinking import opened, opens_thought, run_for_prompts

__all__ = [
    "VERIFIERS",
    "Claims",
    "Fault",
    "Score",
    "Verifier",
    "canonical",
    "extract_answer",
    "extract_number",
    "find_claims",
    "get",
    "opened",
    "opens_thought",
    "run_for_prompts",
    "run_verifier",
    "safe_score",
    "safe_scores",
    "visible_text",
]

VERIFIERS: Registry[Verifier] = Registry(worlds=True)
"""Verifiers by name. Leaky twins and controls are hidden: they can be asked for by name and are in no list."""

VERIFIERS.add("choice", "labkit.verifiers.choice:verify")
VERIFIERS.add("code", "labkit.verifiers.code:verify")
VERIFIERS.add("format", "labkit.verifiers.format:verify")
VERIFIERS.add("instructions", "labkit.verifiers.instructions:verify")
VERIFIERS.add("length", "labkit.verifiers.length:verify")
VERIFIERS.add("math", "labkit.verifiers.math:verify")
VERIFIERS.add("number", "labkit.verifiers.number:verify")
VERIFIERS.add("coin", "labkit.verifiers.controls:coin", hidden=True)
VERIFIERS.add("leaky_format", "labkit.verifiers.leaky:leaky_format", hidden=True)
VERIFIERS.add("leaky_number", "labkit.verifiers.leaky:leaky_number", hidden=True)

# `labkit.verifiers.math` and the others are modules that are imported when they are first used.
__getattr__, _, _ = lazy_loader.attach(
    __name__,
    [
        "adapters",
        "choice",
        "code",
        "combine",
        "controls",
        "format",
        "instructions",
        "leaky",
        "length",
        "math",
        "number",
    ],
)


def get(name: str) -> Verifier:
    """Return the verifier of that name, leaky twins and controls too; `UserError` with the choices where there is none.

    >>> get("addition")("<answer>4</answer>", 4).reward
    1.0
    >>> get("countdwon")
    Traceback (most recent call last):
    ...
    labkit.errors.UserError: unknown verifier 'countdwon'; choose one of: addition, ...
    """
    verifier = VERIFIERS.find(name) if isinstance(name, str) else None
    if verifier is None:
        raise UserError(f"unknown verifier {name!r}; choose one of: {', '.join(sorted(VERIFIERS))}")
    return verifier
