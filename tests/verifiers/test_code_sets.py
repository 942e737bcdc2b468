"""MBPP's and LiveCodeBench's formats in the verifier `code`, scripts that crash, imports, keys that nobody knows."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from labkit.errors import UserError
from labkit.verifiers.code import verify
from tests.verifiers.program_mutants import mutants
from tests.verifiers.set_problems import LIVE, MBPP


def fenced(program: str) -> str:
    return f"Sure.\n```python\n{program}\n```\nDone."


# ------------------------------------------------------------------------------------------ MBPP


@pytest.mark.parametrize("number", range(len(MBPP)))
def test_mbpp_solutions_pass_and_wrong_ones_do_not(number):
    row, wrong = MBPP[number]["row"], MBPP[number]["wrong"]
    count = len(row["test_list"]) + len(row["challenge_test_list"])
    score = verify(fenced(row["code"]), row, seconds=30)
    assert score.reward == 1.0 and score.reason == f"{count} of {count} tests pass", score.reason
    score = verify(fenced(wrong), row, seconds=30)
    assert score.reward == 0.0 and "verifier_error" not in score.parts and score.parts["tests"] < 1.0, score.reason


def test_mbpp_as_python_runs_it_agrees_on_mutants():
    """The truth: the mutant, the setup code and each test, one after the other in one process."""
    rows = [MBPP[number]["row"] for number in (0, 1, 5, 11, 12, 16, 19)]
    names = ["shared_items", "is_odd", "height", "sort_it", "first_repeated", "root", "checked"]
    cases = [
        (row, way, text)
        for row, name in zip(rows, names, strict=True)
        for way, text in mutants(row["code"].replace("\r", ""), name, each=1)
        if way not in ("raises", "early return")  # a SystemExit would end this process, a loop need not end
    ]

    def one(case):
        return verify(fenced(case[2]), case[0], seconds=4, fraction=True)

    with ThreadPoolExecutor(2) as pool:
        scores = list(pool.map(one, cases))
    for (row, way, text), score in zip(cases, scores, strict=True):
        if "time limit" in score.reason:
            continue
        tests = [*row["test_list"], *row["challenge_test_list"]]
        passed = sum(_passes(text, row["test_setup_code"], test) for test in tests)
        assert score.reward == passed / len(tests), (way, text, score.reason)


def _passes(program: str, setup: str, test: str) -> bool:
    space: dict = {}
    try:
        for text in (program, setup, test.strip()):
            exec(text, space)
    except Exception:
        return False
    return True


def test_setup_code_that_needs_what_the_program_lacks_is_the_programs_fault():
    row = MBPP[5]["row"]
    score = verify(fenced("def height(node): return 3"), row)
    assert score.reward == 0.0 and "verifier_error" not in score.parts
    assert "before the tests: NameError: name 'Node' is not defined; at: root = Node(1)" in score.reason


def test_what_setup_code_knows_does_not_reach_the_program():
    row = {"test_list": ["assert f() == word"], "test_setup_code": "word = 'xyzzy'\nletters = list(word)"}
    spy = "import gc\ndef f():\n    w = 'yzzyx'[::-1]\n    return w * any(w in repr(o) for o in gc.get_objects())"
    assert verify(fenced(spy), row, seconds=20).reward == 0.0
    assert verify(fenced(f"hint = ['xyzzy']\n{spy}"), row, seconds=20).reward == 1.0, "the spy finds what is there"
    assert verify(fenced("def f(): return 'xyz' + 'zy'"), row, seconds=20).reward == 1.0


# ------------------------------------------------------------------------------------------ LiveCodeBench

LIVE_CASES = [(case["reference"], text, 1.0) for case in LIVE for text in case["right"]]
LIVE_CASES += [(case["reference"], case["wrong"], 0.0) for case in LIVE]


@pytest.mark.parametrize(("reference", "program", "reward"), LIVE_CASES, ids=range(len(LIVE_CASES)))
def test_live_code_bench(reference, program, reward):
    score = verify(fenced(program), reference, seconds=30)
    assert score.reward == reward and "verifier_error" not in score.parts, score.reason
    cases = json.loads(reference["input_output"])
    for same in ({"input_output": cases}, cases):
        assert verify(fenced(program), same, seconds=30).reason == score.reason


def test_a_solution_keeps_its_state_as_in_the_sets_own_harness():
    reference = {"inputs": ["1", "1"], "outputs": ["1", "2"], "fn_name": "count"}
    program = "class Solution:\n    n = 0\n    def count(self, x):\n        self.n += x\n        return self.n"
    assert verify(fenced(program), reference, seconds=20).reward == 1.0


def test_deep_recursion_is_allowed_where_the_set_allows_it():
    program = "def f(n): return 0 if n == 0 else 1 + f(n - 1)"
    assert verify(fenced(program), {"inputs": ["5000"], "outputs": ["5000"], "fn_name": "f"}, seconds=20).reward == 1.0
    assert verify(fenced(program), {"tests": ["assert f(5000) == 5000"]}, seconds=20).reward == 0.0


TOKENS = [
    ("3\n4", "3.0\n4", True),
    ("  yes  \n\n", "yes", True),
    ("1e3", "1000", True),
    ("3 4", "3\n4", False),
    ("3\n\n4", "3\n4", False),
    ("YES", "yes", False),
    ("nan", "nan", True),
    ("NaN", "nan", False),
    ("sNaN 1", "1 1", False),
    ("1" * 5000, "1" * 5000 + ".0", True),
    ("0.1", "0.10000001", False),
    ("1e999999999", "1", False),
]


@pytest.mark.parametrize(("printed", "right", "same"), TOKENS, ids=lambda value: str(value)[:20])
def test_lines_are_compared_as_text_or_number_by_number(printed, right, same):
    reference = {"inputs": [""], "outputs": [right]}
    assert verify(fenced(f"print({printed!r})"), reference, seconds=20).reward == same


# ------------------------------------------------------------------------------------------ scripts that crash

ENDINGS = [
    ("print(5)\nraise ValueError('no')", "exit status 1 (ValueError: no)"),
    ("print(5)\nimport sys\nsys.exit(3)", "exit status 3"),
    ("print(5)\nimport sys\nsys.exit('no')", "exit status 1 (no)"),
    ("print(5, flush=True)\nimport os\nos._exit(7)", "exit status 7"),
    ("print(5, flush=True)\nimport os\nos.abort()", "then ends with"),
    ("print(5, flush=True)\nimport os\nos.kill(os.getpid(), 11)", ""),
    ("print(5, flush=True)\nimport ctypes\nctypes.string_at(0)", ""),
    ("print(5)\nimport sys\nsys.stdout.flush()\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()", ""),
    ("print(5)\nx = int(input())", "exit status 1 (EOFError: EOF when reading a line)"),
    (
        "print(5, flush=True)\nimport atexit\n@atexit.register\ndef f():\n    import os\n    os._exit(9)",
        "exit status 9",
    ),
    ("print(5)\nimport sys\nsys.stdout.detach()\nprint(6)", ""),
]
CLEAN = ["", "exit()", "quit(0)", "import sys; sys.exit()", "raise SystemExit(0)", "import sys; sys.stderr.write('x')"]


@pytest.mark.parametrize(("program", "words"), ENDINGS, ids=lambda value: value[-25:])
@pytest.mark.parametrize("silent", [False, True])
def test_a_script_that_crashes_is_wrong_whatever_it_printed(program, words, silent):
    program = program.replace("print(5", "print('', end=''") if silent else program
    score = verify(fenced(program), {"stdin": "", "stdout": "" if silent else "5"}, seconds=5)
    assert score.reward == 0.0 and words in score.reason, score.reason
    assert score.parts["parsed"] == 1.0 and "verifier_error" not in score.parts


@pytest.mark.parametrize("ending", CLEAN)
def test_a_script_that_ends_well_is_right(ending):
    for start, stdout in (("print(5)\n", "5"), ("x = 1\n", "")):
        score = verify(fenced(start + ending), {"stdout": stdout}, seconds=20)
        assert score.reward == 1.0, score.reason


# ------------------------------------------------------------------------------------------ imports

USES = [
    ("def f(xs: List[int]) -> Optional[int]: return xs[0]", True),
    ("def f(xs): return math.floor(sqrt(xs[0])) * xs[0]", False),
    ("def f(xs): return Counter(xs).most_common(1)[0][0]", False),
    ("def f(xs):\n    h = list(xs)\n    heapq.heapify(h)\n    return heappop(h)", False),
    ("def f(xs): return reduce(gcd, xs)", False),
    ("def f(xs): return next(accumulate(xs))", False),
    ("class A(NamedTuple):\n    x: int\ndef f(xs): return A(*xs).x", True),
    ("def math(xs): return xs[0]\ndef f(xs): return math(xs)", True),
    ("from __future__ import annotations\ndef f(xs: List[Nothing]): return xs[0]", True),
]


@pytest.mark.parametrize(("program", "alone"), USES, ids=lambda value: str(value)[:30])
def test_public_sets_give_imports_and_the_labs_own_formats_only_names_of_typing(program, alone):
    tests = ["assert f([1]) == 1"]
    check = {"test": "def check(candidate): assert candidate([1]) == 1", "entry_point": "f"}
    for reference in ({"test_list": tests}, check, {"inputs": ["[1]"], "outputs": ["1"], "fn_name": "f"}):
        score = verify(fenced(program), reference, seconds=20)
        assert score.reward == 1.0, score.reason
    assert verify(fenced(program), {"tests": tests}, seconds=20).reward == alone
    script = {"stdin": "", "stdout": "1"}
    assert verify(fenced(f"{program}\nprint(f([1]))"), script, seconds=20).reward == alone
    public = {"inputs": [""], "outputs": ["1"]}
    assert verify(fenced(f"{program}\nprint(f([1]))"), public, seconds=20).reward == 1.0


# ------------------------------------------------------------------------------------------ assert lines of all kinds

LINES = [
    ("def f(x): return x * x", "assert all(f(i) == i * i for i in range(9))", True),
    ("def f(x): return x * x", "assert [f(i) for i in range(3)] == [0, 1, 4]", True),
    ("def f(x): return 0", "assert [f(i) for i in range(3)] == [0, 1, 4]", False),
    ("def f(x): return x * x", "assert (lambda x: f(x))(2) == 4", True),
    ("def f(x): return x", "x = [1]\nassert f(x) is x", True),
    ("def f(x): return x[:]", "x = [1]\nassert f(x) is x", False),
    ("def f(x): return x", "for i in range(3):\n    assert f(i) == i", True),
    ("def f(x): return 1", "for i in range(3):\n    assert f(i) == i", False),
    (
        "class A:\n    def m(self, x): return x",
        "a = A()\nassert a.m(2) == 2 and all(a.m(i) == i for i in range(3))",
        True,
    ),
    ("def f(x): return x", "import math\nassert f(math.pi) == math.pi", True),
    ("def f(x): return x", "  assert all(f(i) == i for i in range(3))  ", True),
    ("def f(x): return x", "\ndef check(c):\n    for i in range(9):\n        assert c(i) == i\n\ncheck(f)\n", True),
    ("def f(x): return 3", "\ndef check(c):\n    for i in range(9):\n        assert c(i) == i\n\ncheck(f)\n", False),
    ("def all(x): return True\ndef f(x): return 0", "assert all(f(i) == i for i in range(9))", False),
]


@pytest.mark.parametrize(("program", "line", "passes"), LINES, ids=range(len(LINES)))
def test_assert_lines_that_cannot_be_taken_apart_run_as_they_stand(program, line, passes):
    for reference in ({"tests": [line]}, {"test_list": [line, "assert f(1) is not f"] if "f(" in line else [line]}):
        score = verify(fenced(program), reference, seconds=20)
        assert (score.reward == 1.0) == passes and "verifier_error" not in score.parts, score.reason


# ------------------------------------------------------------------------------------------ malformed references

CALL = {"inputs": ["1"], "outputs": ["1"], "fn_name": "f"}
MALFORMED = [
    ({"tests": ["assert f(1)"], "timeout": 3}, "with 'tests' has no key 'timeout'; it has tests"),
    ({"tests": ["assert f(1)"], "stdout": "x"}, "has no key 'stdout'"),
    ({"stdin": "1", "stdout": "1", "stdn": "2"}, "with 'stdout' has no key 'stdn'; it has stdout, stdin"),
    ({"test_list": ["assert f(1)"], "test_setup": ""}, "has no key 'test_setup'; it has test_list, test_setup_code"),
    ({"test_list": ["assert f(1)"], "tests": ["assert f(2)"]}, "has no key 'test_list'"),
    ({"test_list": "assert f(1)"}, "a code reference is"),
    ({"test_list": []}, "a code reference is"),
    ({"test_list": ["assert f(1)"], "test_setup_code": 3}, "a code reference is"),
    ({"test_list": ["assert f(1)"], "test_setup_code": "x ="}, "the setup code of a code reference is no Python"),
    ({"test_list": ["f(1)"], "test_setup_code": ""}, "one assert line"),
    ({"test_list": ["assert 1 == 1"], "test_setup_code": "x = 1"}, "does not call the program"),
    ({"input_output": "{"}, "is no JSON"),
    ({"input_output": {"inputs": ["1"]}}, "two lists of the same length"),
    ({"input_output": {**CALL, "timeout": 2}}, "'input_output' is a dictionary with inputs, outputs and fn_name"),
    ({**CALL, "fn_nam": "g"}, "has no key 'fn_nam'"),
    ({**CALL, "fn_name": "f g"}, "'fn_name' is the name of a function"),
    ({**CALL, "inputs": ["{"]}, "inputs and outputs are JSON"),
    ({**CALL, "inputs": [1]}, "inputs are texts or lists of arguments"),
    ({"inputs": [1], "outputs": ["1"]}, "inputs and outputs of a code reference are texts"),
    ({"inputs": [], "outputs": []}, "from 1 to 1000 tests"),
    ({"inputs": ["1"] * 2000, "outputs": ["1"] * 2000}, "from 1 to 1000 tests, not 2000"),
]


@pytest.mark.parametrize(("reference", "words"), MALFORMED, ids=lambda value: str(value)[:40])
def test_a_malformed_reference_of_a_set(reference, words):
    for completion in ("```python\ndef f(x): return x\n```", "no program"):
        with pytest.raises(UserError) as caught:
            verify(completion, reference)
        assert words in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 450
