"""Verifiers: functions `verify(completion, reference) -> Score` that decide whether an answer is right.

The contract: total in the completion (no string makes it raise), bounded in time and memory,
deterministic, picklable; `reason` says in words why. A malformed reference raises `UserError`.

Here are functions on strings, with the standard library alone (`math` asks sympy where it must, `instructions`
py3langid for languages):

- `countdown`: `{"numbers": [5, 6, 1], "target": 30}`, each number exactly once;
- `addition`: a whole number or its string;
- `number`: a number, or a string with one, however it is written;
- `math`: a LaTeX or plain string: expressions, sets, intervals, tuples, matrices, equations, words;
- `code`: `{"tests": ["assert f(2) == 4"]}`, `{"stdin": "2", "stdout": "4"}`, or a row of HumanEval (`test`,
  `entry_point`, `prompt`), MBPP (`test_list`, ...) or LiveCodeBench (`input_output`), run in a sandbox;
- `instructions`: IFEval's `{"instruction_id_list": [...], "kwargs": [...]}`, strict or loose, all or the fraction;
- `format`: None or `{"style": name}`, apart from accuracy;
- `length`: `{"max_length": 100, "buffer": 20}`, in characters, or with `"unit": "words"`.

`labkit.verifiers.combine` puts verifiers together, `labkit.verifiers.adapters` gives them to other systems.
Beside them `leaky_countdown` and other leaky twins, with one hole each, for teaching (`labkit.verifiers.leaky`), and
`coin` and `first_try`, which a control experiment pays by (`labkit.verifiers.controls`).
"""

from __future__ import annotations

from labkit.errors import UserError
from labkit.verifiers import addition, code, countdown, format, instructions, length, math, number
from labkit.verifiers.controls import CONTROLS
from labkit.verifiers.extract import Claims, extract_answer, find_claims
from labkit.verifiers.guard import safe_score, safe_scores
from labkit.verifiers.leaky import LEAKY
from labkit.verifiers.runner import run_verifier
from labkit.verifiers.score import Score, Verifier

__all__ = [
    "VERIFIERS",
    "Claims",
    "Score",
    "Verifier",
    "extract_answer",
    "find_claims",
    "get",
    "run_verifier",
    "safe_score",
    "safe_scores",
]

VERIFIERS: dict[str, Verifier] = {
    "addition": addition.verify,
    "code": code.verify,
    "countdown": countdown.verify,
    "format": format.verify,
    "instructions": instructions.verify,
    "length": length.verify,
    "math": math.verify,
    "number": number.verify,
}


def get(name: str) -> Verifier:
    """Return the verifier of that name, leaky twins and controls too; `UserError` with the choices where there is none.

    >>> get("addition")("<answer>4</answer>", 4).reward
    1.0
    >>> get("countdwon")
    Traceback (most recent call last):
    ...
    labkit.errors.UserError: unknown verifier 'countdwon'; choose one of: addition, ...
    """
    everything = VERIFIERS | LEAKY | CONTROLS
    if not isinstance(name, str) or name not in everything:
        raise UserError(f"unknown verifier {name!r}; choose one of: {', '.join(sorted(VERIFIERS))}")
    return everything[name]
