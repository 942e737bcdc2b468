"""HumanEval's form in the verifier `code`: a check sees of a program elsewhere what it would see next to it."""

import json
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labkit.errors import UserError
from labkit.paths import data_folder
from labkit.verifiers.code import sandbox, verify
from labkit.verifiers.code.reference import read_reference
from tests.verifiers.check_problems import PROBLEMS
from tests.verifiers.escapes import FRAUD, RUIN
from tests.verifiers.program_mutants import WAYS, mutants, native

CASES = [(name, "right", p.program) for name, p in PROBLEMS.items()]
CASES += [(name, "right", text) for name, p in PROBLEMS.items() for text in p.right]
CASES += [(name, "wrong", text) for name, p in PROBLEMS.items() for text in p.wrong]


def fenced(program: str) -> str:
    return f"```python\n{program}\n```"


@pytest.fixture(scope="module")
def scores() -> dict:
    def one(case):
        return verify(fenced(case[2]), PROBLEMS[case[0]].reference, seconds=30)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CASES, pool.map(one, CASES), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}: {case[1]}")
def test_right_programs_pass_and_wrong_ones_do_not(scores, case):
    score = scores[case]
    assert "verifier_error" not in score.parts and score.reason.isprintable() and len(score.reason) < 500
    assert score.reward == (case[1] == "right"), score.reason


LIES = ("value(coefficients, x): return 0", "return Yes()", "return object()", "return Near()", "return N(0)")
"""Wrong programs that Python itself lets pass: they make the helper, `==` or a truth value of the check lie."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}: {case[1]}")
def test_python_itself_says_the_same_except_of_lies(case):
    problem = PROBLEMS[case[0]]
    program = "\n".join(["from typing import *", problem.prompt, case[2]])
    passes = native(program, problem.test, problem.entry)
    assert passes == (case[1] == "right") or any(lie in case[2] for lie in LIES)


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_answer_may_go_on_from_the_prompt(name):
    problem = PROBLEMS[name]
    for text in (problem.answer, problem.answer.strip(), fenced(problem.answer)):
        score = verify(text, problem.reference, seconds=30)
        assert score.reward == 1.0, score.reason


def test_mutants_of_eight_ways_get_what_python_says_of_them():
    names = ["loop", "a test that names the function itself", "sorts in place", "truth", "calls that are many"]
    cases = [(name, way, text) for name in names for way, text in _mutants(name)]
    assert {way for _, way, _ in cases} == set(WAYS)

    def one(case):
        problem = PROBLEMS[case[0]]
        score = verify(fenced(case[2]), problem.reference, seconds=6)
        return score, native(case[2], problem.test, problem.entry, seconds=6)

    with ThreadPoolExecutor(2) as pool:
        for case, (score, passes) in zip(cases, pool.map(one, cases), strict=True):
            assert (score.reward == 1.0) == passes, (case, score.reason)


def _mutants(name):
    return mutants(PROBLEMS[name].program, PROBLEMS[name].entry, each=2)


# ------------------------------------------------------------------------------------------ what a reason says

SQUARE = {
    "entry_point": "f",
    "test": "def check(candidate):\n    for x in range(3):\n        assert candidate(x) == x * x",
}
REASONS = [
    ("def f(x): return x * 2", SQUARE, "f(1) gives 2; fails: assert candidate(x) == x * x"),
    ("def f(x): return 1 / x", SQUARE, "ZeroDivisionError: division by zero; at: assert candidate(x) == x * x"),
    ("def g(x): return x * x", SQUARE, "NameError: name 'f' is not defined"),
    ("f = 5", SQUARE, "TypeError: 'int' object is not callable; at: assert"),
    ("import nowhere\ndef f(x): return x", SQUARE, "the program raises ModuleNotFoundError: No module named 'nowhere'"),
    ("def f(x): raise SystemExit(3)", SQUARE, "SystemExit: 3; at: assert"),
    ("import os\ndef f(x): os._exit(0)", SQUARE, "no answer: the program ended early; at: assert"),
    ("def f(x):\n    while True: pass", SQUARE, "no answer: the program is over the time limit of 2 s"),
    ("def f(x): return 'x' * 10**7", SQUARE, "no answer: the program gives what is too large; at: assert"),
    ("def f(x): return [[0]] * 10**6", SQUARE, "no answer: the program gives what is too large; at: assert"),
]


@pytest.mark.parametrize(("program", "reference", "words"), REASONS, ids=lambda value: str(value)[:30])
def test_reasons(program, reference, words):
    score = verify(fenced(program), reference, seconds=2 if "while" in program else 60)
    assert score.reward == 0.0 and words in score.reason, score.reason
    assert "verifier_error" not in score.parts


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ({"test": "def check(candidate): pass"}, "a code reference is"),
        ({"test": "assert f(1)", "entry_point": "f"}, "must define check"),
        ({"test": "def check(candidate:", "entry_point": "f"}, "'test' of a code reference is no Python"),
        ({"test": "def check(candidate): pass", "entry_point": "f g"}, "'entry_point' is the name of a function"),
        ({"test": "def check(candidate): pass", "entry_point": "f", "promt": "x"}, "has no key 'promt'"),
    ],
)
def test_a_malformed_check(reference, words):
    with pytest.raises(UserError, match=words):
        verify(fenced("def f(): pass"), reference)


def test_a_row_of_the_set_is_a_reference_and_its_solution_counts_for_nothing():
    row = {**SQUARE, "task_id": "Own/1", "prompt": "def f(x):\n", "canonical_solution": "    return x * x"}
    assert verify(fenced("def f(x): return x ** 2"), row).reward == 1.0
    assert verify("I do not know.", row).reason == "no program found"
    assert verify("    return x ** 2", row).reward == 1.0


def test_tests_that_need_what_the_sandbox_has_not_are_told_and_not_blamed_on_the_program():
    test = "import numpy as np\ndef check(candidate): assert np.isclose(candidate(1), 1)"
    score = verify(fenced("def f(x): return x"), {"test": test, "entry_point": "f"})
    assert score.reward == 0.0 and score.parts["verifier_error"] == 1.0
    assert score.reason == "the tests are at fault: the tests raise ModuleNotFoundError: No module named 'numpy'"


# ------------------------------------------------------------------------------------------ hostile programs


def has(level: str) -> bool:
    return level == "limits" or sandbox.holds(level)


LEVELS = [
    pytest.param(level, marks=[] if has(level) else pytest.mark.skip(reason=f"this machine has no {level}"))
    for level in sandbox.LEVELS
]

FORGED = r"""
import os, sys
def find():
    frame = sys._getframe()
    while frame:
        for value in (*frame.f_locals.values(), *frame.f_globals.values()):
            if type(value).__name__ == "Wire":
                return value
        frame = frame.f_back
"""
HOSTILE = {
    "answers before it is asked": """
import os
for file in range(64):
    for line in (b'[["tuple",["value",true]],[],[]]', b'0 value true', b'[["tuple",["value",["far",0]]],[],[]]'):
        try: os.write(file, (line + b'\\n') * 50)
        except OSError: pass
os._exit(0)
""",
    "nonsense": """
import os
for file in range(64):
    try: os.write(file, b'\\xff]\\n[[[[' * 1000 + b'\\n')
    except OSError: pass
def f(x): return x * x
""",
    "a line without an end": """
import os
while True:
    for file in range(64):
        try: os.write(file, b'[' * 65536)
        except OSError: pass
""",
    "nests deeply": """
import os
for file in range(64):
    try: os.write(file, b'[' * 300000 + b'\\n')
    except OSError: pass
def f(x): return x * x
""",
    "reaches for what the tests are": FORGED
    + """
def f(x):
    wire, found = find(), []
    for target in (x, *wire.far.values(), type, eval, object, int):
        for operation in ("getattr", "call", "get", "str", "repr", "setattr"):
            for name in ("__globals__", "__class__", "__code__", "func_globals", "gi_frame", "__init__"):
                try: found.append(wire.ask(operation, target, name))
                except Exception: pass
                try: found.append(wire.ask(operation, target, ("print(1)",), ()))
                except Exception: pass
    return 4 if found and any(type(thing) is dict for thing in found) else 0
""",
    "says that its numbers are those of the tests": FORGED
    + """
def f(x):
    wire = find()
    for number in range(-1, 30):
        wire.copies[number] = [4]
        wire.texts.pop(number, None)
    return 0
""",
    "lists that are no lists": """
class L(list):
    def __iter__(s): return iter([4])
    def __eq__(s, o): return True
    __hash__ = None
class D(dict):
    def __eq__(s, o): return True
    def items(s): return [(1, 2)]
    __hash__ = None
def f(x): return D() if x == 2 else L()
""",
    "an exception that passes": """
def f(x):
    raise StopIteration
""",
    "calls back for ever": """
def f(x):
    while True:
        pass
""",
}
CALLS_BACK = {
    "entry_point": "f",
    "test": "SECRET = 4\ndef helper(x):\n    return x\ndef check(candidate):\n    for x in (2, 3):\n"
    "        assert candidate(x) == x * x\n    assert candidate(lambda x: x) == SECRET, helper",
}


@pytest.mark.parametrize("level", LEVELS)
def test_frauds_and_ruins_get_nothing_from_a_check(level):
    programs = {**FRAUD, **RUIN, **HOSTILE}

    def one(name):
        score = verify(fenced(programs[name]), CALLS_BACK, seconds=1.5, isolation=level)
        return name, score, verify(fenced("def f(x): return x * x if type(x) is int else 4"), CALLS_BACK, seconds=20)

    with ThreadPoolExecutor(2) as pool:
        for name, score, after in pool.map(one, programs):
            assert score.reward == 0.0 and "verifier_error" not in score.parts, (name, score.reason)
            assert score.reason.isprintable() and len(score.reason) < 500
            assert after.reward == 1.0, (name, after.reason)


def test_a_check_that_never_ends_or_eats_memory_is_bounded():
    begun = time.monotonic()
    for body in ("while True: pass", "x = [0]\n    while True: x += x"):
        reference = {"entry_point": "f", "test": f"def check(candidate):\n    {body}"}
        score = verify(fenced("def f(): return 1"), reference, seconds=1.5)
        assert score.reward == 0.0, score.reason
    assert time.monotonic() - begun < 60


def test_an_answer_that_the_check_keeps_costs_little():
    """Ten thousand numbers in a list that stays with the check, and two thousand calls: only what changed travels."""
    test = (
        "def check(candidate):\n    kept = [candidate(i) for i in range(300)]\n    big = list(range(10_000))\n"
        "    for i in range(2000):\n        assert candidate(i) == [i]\n"
        "    assert len(kept) == 300 and candidate(big) == [big]"
    )
    score = verify(fenced("def f(x): return [x]"), {"entry_point": "f", "test": test}, seconds=20)
    assert score.reward == 1.0, score.reason


# ------------------------------------------------------------------------------------------ HumanEval itself

HUMANEVAL = Path(os.environ.get("LABKIT_DATA") or data_folder()) / "humaneval/test.jsonl"
humaneval = pytest.mark.skipif(not HUMANEVAL.is_file(), reason="needs HumanEval: $LABKIT_DATA/humaneval/test.jsonl")


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return [json.loads(line) for line in HUMANEVAL.read_text(encoding="utf-8").splitlines()]


@humaneval
def test_every_canonical_solution_of_humaneval_passes(rows):
    def one(row):
        return row["task_id"], verify(row["canonical_solution"], row, seconds=30)

    with ThreadPoolExecutor(2) as pool:
        failed = {name: score.reason for name, score in pool.map(one, rows) if score.reward < 1}
    assert len(rows) == 164 and failed == {}


@humaneval
def test_mutants_of_humaneval_get_what_python_says_of_them(rows):
    """A tenth of the problems, one mutant for each way; `python -m tests.verifiers.humaneval` runs them all."""
    cases = [
        (row, way, text)
        for row in rows[::10]
        for way, text in mutants(row["prompt"] + row["canonical_solution"], row["entry_point"], each=1)
    ]

    def one(case):
        row, way, text = case
        score = verify(fenced(text), row, seconds=5)
        return way, text, score, native(text, row["test"], row["entry_point"], seconds=5)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(one, cases))
    assert [(way, text, score.reason) for way, text, score, passes in found if (score.reward == 1.0) != passes] == []
    assert set(Counter(way for way, *_ in found)) == set(WAYS)


def test_reading_a_reference_is_quick():
    row = {**SQUARE, "prompt": "def f(x):\n    pass\n"}
    read_reference(row)
    begun = time.process_time()
    for _ in range(200):
        read_reference(row)
    assert time.process_time() - begun < 1.0
