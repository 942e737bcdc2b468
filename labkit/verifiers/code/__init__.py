"""Python programs against hidden tests, run where they can do no harm.

How the tests stay hidden: the program's process is asked for answers, and the right ones never enter it. For
`assert f(2) == 4` it is asked `f(2)`; its answer comes back as plain data and is compared in this process (see
`asserts`, `values`). So there is nothing inside to read, to patch or to forge: a program that makes
`==` lie, rewrites `assert`, prints "passed" or leaves with exit status 0 has merely not answered. What it prints
for a `stdout` test is compared here as well. Tests that can't be taken apart, such as HumanEval's `check(candidate)`,
run in a second sandbox and call the program over a line that carries plain data alone (see `wire`).

The parts, in the order of their use: `reference` reads what is asked, `program` finds the program in the completion,
`names` says what it lacks, `kinds` has it judged; `sandbox` starts the processes, `inside`, `wire` and `locks` run in
them.

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
are not; a program at the edge of the time limit may pass on a quiet machine and fail on a busy one. The limit is for
all tests together: what a program had no time for counts as failed.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

from labkit.verifiers.code import sandbox
from labkit.verifiers.code.names import given_imports, names_of
from labkit.verifiers.code.program import ANYTHING, MAX_PROGRAM, extract_program
from labkit.verifiers.code.reference import read_reference
from labkit.verifiers.score import Score

__all__ = ["MAX_PROGRAM", "extract_program", "find_program", "verify"]

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")

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

    `reference` is one of these. A key that its format does not have is an error, as is any malformed one (`UserError`).

    - `{"tests": ["assert f(2) == 4", ...]}`. What an assert line may be: any that calls the program.
    - `{"stdin": "2", "stdout": "4"}`, or two lists of the same length. Each input has a process of its own. Printed
      text is compared line by line, white space at the ends of lines and the last line breaks aside. A program that
      prints what is right and then ends with an exception, a signal or an exit status other than 0 is wrong.
    - HumanEval: `{"test": "def check(candidate): ...", "entry_point": "f", "prompt": "..."}`. The check runs as it
      stands, outside the program's process. Give the prompt: an answer may be its continuation, its imports are the
      program's, and the check then trusts its helper functions and not what a program makes of them.
    - MBPP: `{"test_list": [...], "test_setup_code": "...", "challenge_test_list": [...], "test_imports": [...]}`, the
      last three may be missing. All tests of both lists count.
    - LiveCodeBench: `{"input_output": JSON or a dictionary with "inputs", "outputs", "fn_name"}`. With `fn_name` the
      function, or the method of `class Solution`, is called with JSON values, and a tuple counts as a list. Without
      it the program reads and prints, and lines are equal as text or number by number. APPS and TACO have these keys.

    A program of a public set gets what its harness imports (`math`, `Counter`, `heappush`, ...) where it uses such a
    name and never defines it. In the lab's own two formats it must import what it computes with; names of `typing`
    are given.

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
    tests = read_reference(reference)
    program = extract_program(completion, tests.wanted)
    if program is None:
        return Score(0.0, "no program found", None, _parts(False, 0.0))
    fault = _parse_fault(program)
    if fault is not None:
        return Score(0.0, fault, program[:MAX_PROGRAM], _parts(False, 0.0))
    limits = sandbox.Limits(seconds=float(seconds), memory=memory)
    given = [text for text in (tests.given, given_imports(names_of(program), whole=tests.public)) if text]
    judged = tests.judge(program, given, limits, isolation)
    if judged.failed is not None:
        parts = {**_parts(True, 0.0), "verifier_error": 1.0}
        return Score(0.0, _clean(judged.failed), program, parts)
    share = judged.passed / tests.count
    reason = f"{judged.passed} of {tests.count} tests pass"
    if judged.complaint and judged.passed < tests.count:
        reason += f"; {_clean(judged.complaint)}"
    return Score(share if fraction else float(share == 1.0), reason, program, _parts(True, share))


# It starts and limits processes of its own: the batch runner calls it from threads.
verify.own_process = True  # type: ignore[attr-defined]


def find_program(completion: str, reference: Any = None) -> str | None:
    """The program of a completion that the tests of a reference are about; without a reference, the last one."""
    return extract_program(completion, ANYTHING if reference is None else read_reference(reference).wanted)


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


def _clean(text: str) -> str:
    """Words that a program had a hand in, as one printable line that is the same in every run."""
    text = _ADDRESS.sub("0x...", " ".join(text.split()))
    return text[:300].encode("ascii", "backslashreplace").decode("ascii")


def _parts(parsed: bool, share: float) -> dict[str, float]:
    return {"parsed": float(parsed), "tests": share}
