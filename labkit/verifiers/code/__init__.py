"""Python programs against hidden tests, run where they can do no harm.

How the tests stay hidden: the program's process is asked for answers, and the right ones never enter it. For
`assert f(2) == 4` it is asked `f(2)`; its answer comes back as plain data and is compared in this process (see
`asserts`, `values`). So there is nothing inside to read, to patch or to forge: a program that makes
`==` lie, rewrites `assert`, prints "passed" or leaves with exit status 0 has merely not answered. What it prints
for a `stdout` test is compared here as well.

What it is protected from depends on the machine (`labkit.verifiers.code.sandbox`, in short; `labkit doctor` shows
which one is at hand):

- Linux with bubblewrap (`bwrap`): network, files, other processes, memory, CPU and wall time, disk.
- Linux without it (`landlock`): the same, by Landlock and seccomp of the kernel; it shares the machine's process
  numbers and clock with you, but can't use them.
- macOS, old Linux (`limits`): CPU and wall time, file sizes, processes by resource limits (memory too, but not on
  macOS); files and network by a Python audit hook only, which a determined attacker gets around. Files that your
  user may write are then at risk from a program made to attack. Use a virtual machine for programs of strangers.
- Windows (`limits`): wall time and the audit hook alone; memory is not bounded. Use WSL.

Nowhere does it protect from a fault of the kernel, from timing side channels, or from a program that slows its
neighbours down while it is allowed to run. A program has one process and one thread, the standard library and
nothing else (no numpy). Scores are as deterministic as the program: the hash seed is fixed, the clock and `random`
are not; a program at the edge of the time limit may pass on a quiet machine and fail on a busy one.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.code import sandbox
from labkit.verifiers.code.asserts import Check, split_assert
from labkit.verifiers.code.values import BadAnswer, canonical, parse, show
from labkit.verifiers.extract import ANSWER_CLOSE, ANSWER_OPEN, split_thinking
from labkit.verifiers.score import Score, quote

__all__ = ["MAX_PROGRAM", "extract_program", "verify"]

MAX_PROGRAM = 50_000
"""Characters of a program that is still read; the largest model's answer is far below."""
MAX_TESTS = 1000

_FENCE = re.compile(r"^[ \t]*```[ \t]*([A-Za-z0-9_+-]*)([^\n]*)$", re.MULTILINE)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_PYTHON = frozenset({"python", "py", "python3"})

# Compiling model text may warn (an invalid escape, `is` with a literal); nobody wants to see it.
warnings.filterwarnings("ignore", module=r"<program>")


def verify(
    completion: str,
    reference: Any,
    *,
    fraction: bool = False,
    seconds: float = 4.0,
    memory: int = 512 * sandbox.MIB,
    isolation: str | None = None,
) -> Score:
    """Run the program of a completion against the tests: reward 1.0 when all pass, else 0.0.

    `reference` is `{"tests": ["assert f(2) == 4", ...]}` or `{"stdin": "2", "stdout": "4"}`, where both may be
    lists of the same length. Printed text is compared line by line, white space at the ends of lines and the last
    line breaks aside. A malformed reference raises `UserError` (see `asserts.split_assert` for what an assert
    line may be).

    With `fraction` the reward is the share of tests passed. `seconds` bounds the wall time of all tests together
    (and of each process's CPU time), `memory` the address space in bytes. `isolation` is one of
    `sandbox.LEVELS`; None takes the strongest at hand.

    `parts`: `parsed`, whether there is a program that Python can parse, and `tests`, the share of tests passed.

    >>> square = {"tests": ["assert square(3) == 9", "assert square(-1) == 1"]}
    >>> verify("```python\\ndef square(x): return x * x\\n```", square)
    Score(reward=1.0, reason='2 of 2 tests pass', extracted='def square(x): return x * x',
          parts={'parsed': 1.0, 'tests': 1.0})
    >>> verify("<answer>def square(x): return 9</answer>", square, fraction=True).reason
    '1 of 2 tests pass; square(-1) gives 9, not as in: assert square(-1) == 1'
    >>> verify("I would multiply.", square).reason
    'no program found'
    """
    tests = _read_reference(reference)
    program = extract_program(completion)
    if program is None:
        return Score(0.0, "no program found", None, _parts(False, 0.0))
    fault = _parse_fault(program)
    if fault is not None:
        return Score(0.0, fault, program[:MAX_PROGRAM], _parts(False, 0.0))
    limits = sandbox.Limits(seconds=float(seconds), memory=memory)
    judged = tests.judge(program, limits, isolation)
    if judged.failed is not None:
        parts = {**_parts(True, 0.0), "verifier_error": 1.0}
        return Score(0.0, f"the sandbox could not be had: {_clean(judged.failed)}", program, parts)
    share = judged.passed / tests.count
    reason = f"{judged.passed} of {tests.count} tests pass"
    if judged.complaint and judged.passed < tests.count:
        reason += f"; {_clean(judged.complaint)}"
    return Score(share if fraction else float(share == 1.0), reason, program, _parts(True, share))


# It starts and limits processes of its own: the batch runner calls it from threads.
verify.own_process = True  # type: ignore[attr-defined]


def extract_program(completion: str) -> str | None:
    """The program of a completion, or None.

    Where it is looked for: the last `<answer>` pair, or without one the whole text outside `<think>`; in it, the
    last ```` ```python ```` block, or the last block that names no language. What stands between answer tags
    without a block is the program itself. A block that is never closed runs to the end.

    >>> extract_program("<think>```python\\nx = 1\\n```</think>```python\\nx = 2\\n```\\nIt prints:\\n```\\n2\\n```")
    'x = 2'
    >>> extract_program("<answer>x = 3</answer>")
    'x = 3'
    >>> extract_program("x = 4") is None
    True
    """
    visible = split_thinking(completion)[1]
    close = visible.rfind(ANSWER_CLOSE)
    start = visible.rfind(ANSWER_OPEN, 0, max(close, 0))
    if start >= 0:
        start += len(ANSWER_OPEN)
        visible = visible[start : visible.find(ANSWER_CLOSE, start)]
    block = _last_block(visible)
    if block is None and start >= 0:
        return visible.strip("\n").rstrip()
    return block


def _last_block(text: str) -> str | None:
    found: dict[bool, str] = {}
    language, begin = None, 0
    for fence in _FENCE.finditer(text):
        if language is None:
            language, begin = fence.group(1).lower(), fence.end() + 1
        elif not fence.group(1) and not fence.group(2).strip():
            if language in _PYTHON or not language:
                found[language in _PYTHON] = text[begin : fence.start()]
            language = None
    if language is not None and (language in _PYTHON or not language):
        found[language in _PYTHON] = text[begin:]
    block = found.get(True, found.get(False))
    return None if block is None else block.rstrip()


def _parse_fault(program: str) -> str | None:
    """Why Python can't read the program, or None; what can't be parsed costs no process."""
    if len(program) > MAX_PROGRAM:
        return f"the program has {len(program)} characters; {MAX_PROGRAM} are allowed"
    if not program.strip():
        return "the program is empty"
    try:
        compile(program, "<program>", "exec", flags=ast.PyCF_ONLY_AST, dont_inherit=True)
    except SyntaxError as error:
        return f"no Python: {_clean(str(error.msg))}, line {error.lineno or 1}"
    except (ValueError, OverflowError) as error:
        return f"no Python: {_clean(str(error))}"
    except (RecursionError, MemoryError):
        return "no Python: nested too deeply"
    return None


# ------------------------------------------------------------------------------------------ two kinds of tests


@dataclass
class _Judged:
    """How the tests went: how many passed, the first complaint, and whether the sandbox itself failed."""

    passed: int = 0
    complaint: str | None = None
    failed: str | None = None

    def complain(self, text: str) -> None:
        self.complaint = self.complaint or text


@dataclass(frozen=True)
class _Asserts:
    checks: tuple[Check, ...]

    @property
    def count(self) -> int:
        return len(self.checks)

    def judge(self, program: str, limits: sandbox.Limits, level: str | None) -> _Judged:
        """Put all questions to one process; compare its answers here, or in a process that never saw the program."""
        questions = [question for check in self.checks for question in check.questions]
        modules = sorted({name for check in self.checks for name in check.modules})
        job = {"kind": "ask", "program": program, "questions": questions, "modules": modules}
        outcome = sandbox.run_inside(job, limits, level)
        judged = _Judged(failed=outcome.failed)
        if judged.failed is not None:
            return judged
        answers = _answers(outcome.output, len(questions))
        if -1 in answers:
            judged.complain(f"the program raises {answers[-1][1]}")
        end, left, number = _ending(outcome, limits), [], 0
        for check in self.checks:
            mine = [answers.get(i, ("lost", end)) for i in range(number, number + len(check.questions))]
            number += len(check.questions)
            bad = next((i for i, (kind, _) in enumerate(mine) if kind != "value"), None)
            if bad is not None:
                judged.complain(_complaint(check.questions[bad], *mine[bad]))
            elif check.right is None:
                left.append((check, [text for _, text in mine]))
            elif check.right == _canonical(mine[0][1]):
                judged.passed += 1
            else:
                judged.complain(_complaint(check.questions[0], "wrong", mine[0][1], check.source))
        if left:
            self._second_process(left, modules, limits, level, judged)
        return judged

    def _second_process(self, left: list, modules: list, limits: Any, level: str | None, judged: _Judged) -> None:
        verdicts = [(check.verdict, answers) for check, answers in left if None not in map(_canonical, answers)]
        sound = [check for check, answers in left if None not in map(_canonical, answers)]
        job = {"kind": "judge", "verdicts": verdicts, "modules": modules}
        outcome = sandbox.run_inside(job, limits, level)
        judged.failed = outcome.failed
        said = _answers(outcome.output, len(verdicts))
        for index, check in enumerate(sound):
            kind, text = said.get(index, ("lost", "takes too long to judge"))
            if (kind, text) == ("value", "true"):
                judged.passed += 1
            else:
                judged.complain(f"fails: {check.source[:100]}" + (f" ({text})" if kind != "value" else ""))
        if len(sound) < len(left):
            judged.complain("an answer is no plain data")


@dataclass(frozen=True)
class _Prints:
    cases: tuple[tuple[str, str], ...]

    @property
    def count(self) -> int:
        return len(self.cases)

    def judge(self, program: str, limits: sandbox.Limits, level: str | None) -> _Judged:
        """A fresh process for each input; what it printed is compared here. All share one budget of seconds."""
        import time

        judged, deadline = _Judged(), time.monotonic() + limits.seconds
        for number, (stdin, stdout) in enumerate(self.cases, start=1):
            left = deadline - time.monotonic()
            if left <= 0:
                judged.complain(f"over the time limit of {limits.seconds:g} s")
                break
            mine = sandbox.Limits(left, limits.memory)
            outcome = sandbox.run_inside({"kind": "run", "program": program}, mine, level, stdin)
            if outcome.failed is not None:
                judged.failed = outcome.failed
                break
            printed = _lines(outcome.output.decode("utf-8", "replace"))
            if outcome.timed_out or outcome.too_much:
                judged.complain(f"input {number}: {_ending(outcome, limits)}")
            elif printed == _lines(stdout):
                judged.passed += 1
            else:
                last = outcome.errors.rsplit("\n", 1)[-1]
                told = f"prints {quote(chr(10).join(printed))}, not {quote(stdout)}"
                judged.complain(f"input {number}: {told}" + (f" ({last})" if last else ""))
        return judged


def _answers(output: bytes, count: int) -> dict[int, tuple[str, str]]:
    """Lines `INDEX KIND TREE` of a process, the first of each index; anything else is passed over."""
    found: dict[int, tuple[str, str]] = {}
    for line in output.decode("ascii", "replace").split("\n"):
        index, _, rest = line.partition(" ")
        kind, _, text = rest.partition(" ")
        if kind not in ("value", "odd", "error") or not re.fullmatch(r"-1|\d{1,6}", index, re.ASCII):
            continue
        if kind != "value":
            try:
                text = str(parse(text))[:300]
            except BadAnswer:
                continue
        if int(index) < count:
            found.setdefault(int(index), (kind, text))
    return found


def _canonical(text: str) -> str | None:
    try:
        return canonical(parse(text))
    except BadAnswer:
        return None


def _complaint(question: str, kind: str, text: str, source: str = "") -> str:
    question = question if len(question) <= 60 else question[:60] + "..."
    if kind == "wrong":
        answer = "nonsense" if _canonical(text) is None else show(parse(text))
        return f"{question} gives {answer}, not as in: {source[:100]}"
    words = {"lost": "gets no answer: the program", "error": "raises", "odd": "gives what"}
    return f"{question} {words[kind]} {text}"


def _ending(outcome: sandbox.Outcome, limits: sandbox.Limits) -> str:
    if outcome.timed_out:
        return f"is over the time limit of {limits.seconds:g} s"
    return "writes too much" if outcome.too_much else "ended early"


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _clean(text: str) -> str:
    """Words that a program had a hand in, as one printable line that is the same in every run."""
    text = _ADDRESS.sub("0x...", " ".join(text.split()))
    return text[:300].encode("ascii", "backslashreplace").decode("ascii")


# ------------------------------------------------------------------------------------------ the reference


def _read_reference(reference: Any) -> _Asserts | _Prints:
    if isinstance(reference, dict) and isinstance(reference.get("tests"), list | tuple):
        tests = list(reference["tests"])
        if 0 < len(tests) <= MAX_TESTS and all(isinstance(line, str) for line in tests):
            return _Asserts(tuple(split_assert(line) for line in tests))
    elif isinstance(reference, dict) and "stdout" in reference:
        inputs, outputs = reference.get("stdin", ""), reference["stdout"]
        if isinstance(inputs, str) and isinstance(outputs, str):
            inputs, outputs = [inputs], [outputs]
        pair = isinstance(inputs, list | tuple) and isinstance(outputs, list | tuple)
        if (
            pair
            and 0 < len(inputs) == len(outputs) <= MAX_TESTS
            and all(isinstance(t, str) for t in [*inputs, *outputs])
        ):
            return _Prints(tuple(zip(inputs, outputs, strict=True)))
    raise UserError(
        'a code reference is {"tests": ["assert f(2) == 4", ...]} or {"stdin": "2", "stdout": "4"} (strings, or two '
        f"lists of as many strings); got {_describe(reference)}"
    )


def _describe(reference: Any) -> str:
    try:
        return ascii(reference)[:120]
    except Exception:
        return f"a {type(reference).__name__} that cannot be shown"


def _parts(parsed: bool, share: float) -> dict[str, float]:
    return {"parsed": float(parsed), "tests": share}
