"""The verifier `code`: where the program is found, how asserts are taken apart, what is compared with what."""

import contextlib
import itertools
import json
import os
import pickle
import random
import string
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import UserError
from labkit.verifiers import get, run_verifier
from labkit.verifiers.code import MAX_PROGRAM, extract_program, sandbox, scratch, verify
from labkit.verifiers.code.asserts import split_assert
from labkit.verifiers.code.inside import NotPlain, decode, encode
from labkit.verifiers.code.values import BadAnswer, canonical, literal, parse, show
from tests.verifiers.escapes import FRAUD, HARM, RUIN
from tests.verifiers.hostile import short, within

SQUARE = {"tests": ["assert f(2) == 4", "assert f(-3) == 9"]}
RIGHT = "```python\ndef f(x): return x * x\n```"

# ------------------------------------------------------------------------------------------ finding the program

PROGRAMS = [
    ("```python\na = 1\n```", "a = 1"),
    ("```py\na = 1\n```", "a = 1"),
    ("```Python3\na = 1\n```", "a = 1"),
    ("```\na = 1\n```", "a = 1"),
    ("```python\na = 1\n```\nthen\n```python\na = 2\n```", "a = 2"),
    ("```python\na = 1\n```\nIt prints\n```\n1\n```", "a = 1"),
    ("```python\na = 1\n```\nRun it\n```bash\npython a.py\n```", "a = 1"),
    ("```bash\nls\n```", None),
    ("```python\na = 1", "a = 1"),
    ("  ```python\n  a = 1\n  ```", "a = 1"),
    ("```python\na = '''\n``` `\n'''", "a = '''\n``` `\n'''"),
    ("<think>```python\na = 1\n```</think>", None),
    ("<think>```python\na = 1\n```</think>```python\na = 2\n```", "a = 2"),
    ("```python\na = 1\n```<think>```python\na = 2\n```", "a = 1"),
    ("<answer>a = 1</answer>", "a = 1"),
    ("<answer>\n    a = 1\n</answer>", "    a = 1"),
    ("```python\na = 1\n```<answer>a = 2</answer>", "a = 2"),
    ("<answer>a = 1</answer><answer>```python\na = 2\n```</answer>", "a = 2"),
    ("<answer></answer>```python\na = 1\n```", ""),
    ("a = 1", None),
    ("", None),
    ("```", ""),
]


@pytest.mark.parametrize(("completion", "program"), PROGRAMS, ids=short)
def test_where_the_program_is_found(completion, program):
    assert extract_program(completion) == program


# ------------------------------------------------------------------------------------------ taking asserts apart

SPLITS = [
    ("assert f(1) == 2", ["f(1)"], "_0 == 2", True),
    ("assert 2 == f(1)", ["f(1)"], "2 == _0", True),
    ("assert f(1) == [-1, {'a': (None,)}], 'words'", ["f(1)"], "_0 == [-1, {'a': (None,)}]", True),
    ("  assert f(1) == set()  ", ["f(1)"], "_0 == set()", True),
    ("assert f(1) != 2", ["f(1)"], "_0 != 2", False),
    ("assert f(1)", ["f(1)"], "_0", False),
    ("assert not f(1)", ["f(1)"], "not _0", False),
    ("assert f(1) is None", ["f(1)"], "_0 is None", False),
    ("assert f(1) == f(2)", ["f(1)", "f(2)"], "_0 == _1", False),
    ("assert f(g(1), x=[2]) == 3", ["f(g(1), x=[2])"], "_0 == 3", True),
    ("assert math.isclose(f(1), math.pi)", ["f(1)"], "math.isclose(_0, math.pi)", False),
    ("assert f(1)[0] == 2", ["f(1)"], "_0[0] == 2", False),
    ("assert f(1).upper() == 'A'", ["f(1)"], "_0.upper() == 'A'", False),
    ("assert Stack().push(1).pop() == 1", ["Stack().push(1).pop()"], "_0 == 1", True),
    ("assert thing.size == 1", ["thing.size"], "_0 == 1", True),
    ("assert sum([1, 2]) == 3", ["sum([1, 2])"], "_0 == 3", True),
    ("assert all(x > 0 for x in f(3))", ["f(3)"], "all((x > 0 for x in _0))", False),
    ("assert f(1) == 2 == g(3)", ["f(1)", "g(3)"], "_0 == 2 == _1", False),
    ("assert f(lambda x: x + 1) == 2", ["f(lambda x: x + 1)"], "_0 == 2", True),
    ("assert f(float('inf')) == float('inf')", ["f(float('inf'))"], "_0 == float('inf')", False),
]


@pytest.mark.parametrize(("line", "questions", "verdict", "plain"), SPLITS, ids=short)
def test_asserts_are_taken_apart(line, questions, verdict, plain):
    check = split_assert(line)
    assert [*check.questions] == questions and check.verdict == verdict and bool(check.right) == plain


@pytest.mark.parametrize(
    "line",
    [
        "f(1) == 2",
        "assert",
        "",
        "assert 1 == 1; import os",
        "assert True",
        "assert f(",
        "assert \x00",
        "(" * 10**5,
        "f(1) == 2; f(2)",
        "for x in []: assert x",
    ],
    ids=short,
)
def test_what_is_no_assert_line(line):
    with pytest.raises(UserError, match=r"one assert line|does not call the program"):
        verify(RIGHT, {"tests": [line]})


@pytest.mark.parametrize(
    "reference",
    [
        None,
        "x",
        [],
        {},
        {"tests": []},
        {"tests": "assert f(1) == 2"},
        {"tests": [1]},
        {"stdin": "1"},
        {"stdin": 1, "stdout": "1"},
        {"stdin": ["1", "2"], "stdout": ["1"]},
        {"stdin": ["1"], "stdout": "1"},
        {"stdin": [], "stdout": []},
        {"tests": ["assert f(1) == 2"] * 2000},
    ],
    ids=short,
)
def test_a_malformed_reference(reference):
    for completion in (RIGHT, "no program"):
        with pytest.raises(UserError, match="a code reference is") as caught:
            verify(completion, reference)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


# ------------------------------------------------------------------------------------------ comparing values

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from([0.0, -0.0, 1.0, 2.0, 0.1, float("inf"), 1j, 2 + 0j, Fraction(1, 2), 10**400])
    | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers(-2, 2) | st.text(max_size=1), inner, max_size=3)
        | st.sets(st.integers(-2, 2) | st.booleans() | st.floats(-1, 1), max_size=3)
        | st.frozensets(st.text(max_size=1), max_size=2)
    ),
    max_leaves=6,
)


@given(plain, plain)
@settings(max_examples=600, deadline=None)
def test_two_values_have_one_canonical_text_just_when_python_calls_them_equal(a, b):
    assert (canonical(parse(encode(a))) == literal(b)) == (a == b)
    assert canonical(parse(encode(a))) == literal(a)
    assert decode(json.loads(encode(a))) == a and type(decode(json.loads(encode(a)))) is type(a)
    assert show(parse(encode(a)), 50).isprintable() and len(show(parse(encode(a)), 50)) < 60


def test_nan_equals_nothing_and_bools_equal_numbers():
    assert canonical(parse(encode(float("nan")))) != literal(float("nan"))
    assert canonical(parse(encode([True, 1.0]))) == literal([1, True])
    assert canonical(parse(encode({1: "a"}))) == literal({True: "a"}) != literal({1: "b"})
    assert canonical(parse(encode(iter([1])))) != literal([1])


@given(st.text(max_size=200) | st.recursive(st.text(max_size=3), lambda s: st.lists(s, max_size=3)).map(json.dumps))
@settings(max_examples=500, deadline=None)
def test_forged_answers_are_refused_or_compared(text):
    with contextlib.suppress(BadAnswer):
        canonical(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**6,
        "9" * 10**6,
        "1e999999",
        "NaN",
        '["int"]',
        '["int","9x"]',
        '["fraction","0x1","0x0"]',
        '["dict",[[1]]]',
        '["dict",[["a"]]]',
        '["what",[]]',
        "[]",
        '{"a": 1}',
        '["list",5]',
        '["decimal","x"]',
        '["float","0x1p99999"]',
    ],
    ids=short,
)
def test_nonsense_is_refused_quickly(text):
    with within(0.5), pytest.raises(BadAnswer):
        canonical(parse(text))


def test_numbers_made_to_collide_cost_no_more_than_others():
    """In a set, numbers that are equal modulo 2^61 - 1 would all fall on each other."""
    chosen = [i * (2**61 - 1) for i in range(20_000)]
    text = '["set",[' + ",".join(f'["int","{n:#x}"]' for n in chosen) + "]]"
    with within(2.0):
        canonical(parse(text))


@pytest.mark.parametrize(
    "value",
    [object(), len, type, [object()], {"a": open}, itertools.count(), "x" * 3 * 10**6],
    ids=["object", "function", "class", "list of objects", "dict of functions", "endless", "long"],
)
def test_what_is_no_plain_data_does_not_leave_the_sandbox(value):
    with pytest.raises(NotPlain):
        encode(value)


# ------------------------------------------------------------------------------------------ judging

JUDGED = [
    ("def f(x): return x ** 2", SQUARE, 1.0, "2 of 2 tests pass"),
    ("f = lambda x: x * x", SQUARE, 1.0, "2 of 2 tests pass"),
    ("def f(x): return x * 2", SQUARE, 0.5, "1 of 2 tests pass; f(-3) gives -6, not as in: assert f(-3) == 9"),
    ("def f(x): return 4 if x == 2 else 1 / 0", SQUARE, 0.5, "f(-3) raises ZeroDivisionError: division by zero"),
    ("def f(x): return float(x * x)", SQUARE, 1.0, "2 of 2"),
    ("def f(x): return str(x * x)", SQUARE, 0.0, "f(2) gives '4', not as in"),
    ("def g(x): return x * x", SQUARE, 0.0, "f(2) raises NameError: name 'f' is not defined"),
    ("import numpy", SQUARE, 0.0, "the program raises ModuleNotFoundError: No module named 'numpy'"),
    ("def f(x): return f", SQUARE, 0.0, "f(2) gives what is a function, which is no plain data"),
    ("def f(x): return [x] * 10**6", SQUARE, 0.0, "f(2) gives what is too large"),
    ("return 4", SQUARE, 0.0, "the program raises SyntaxError: 'return' outside function"),
    ("def f(x):\nreturn", SQUARE, 0.0, "no Python: expected an indented block"),
    ("x = '\x00'", SQUARE, 0.0, "no Python: source code string cannot contain null bytes"),
    ("x = '\ud800'", SQUARE, 0.0, "no Python: "),
    ("x = 1" + "0" * MAX_PROGRAM, SQUARE, 0.0, "50000 are allowed"),
    ("(" * 5000, SQUARE, 0.0, "no Python: "),
    ("if __name__ == '__main__': input()\ndef f(x): return x * x", SQUARE, 1.0, "2 of 2"),
    ("print('noise')\ndef f(x):\n    print(x)\n    return x * x", SQUARE, 1.0, "2 of 2"),
    ("def f(x): yield x", {"tests": ["assert list(f(2)) == [2]", "assert f(2) != [2]"]}, 1.0, "2 of 2"),
    (
        "def f(x): return x",
        {"tests": ["assert f(2) is True", "assert f(True) is True"]},
        0.5,
        "fails: assert f(2) is T",
    ),
    ("def f(x): return {x}", {"tests": ["assert 2 in f(2)", "assert f(1) == {1}", "assert f(1)"]}, 1.0, "3 of 3"),
    ("def f(x): return x / 3", {"tests": ["assert math.isclose(f(1), 1 / 3)"]}, 1.0, "1 of 1"),
    (
        "def f(x): return x",
        {"tests": ["assert f(float('inf')) == float('inf')", "assert f(Fraction(1, 2)) == 0.5"]},
        0.5,
        "",
    ),
    ("class A:\n    def __init__(self, x): self.x = x", {"tests": ["assert A(3).x == 3"]}, 1.0, "1 of 1"),
    ("def f(x): return 1", {"tests": ["assert f(2) / 0 == 1", "assert f(1) == 1"]}, 0.5, "ZeroDivisionError"),
    ("def sum(x): return 7", {"tests": ["assert sum([1]) == 7"]}, 1.0, "1 of 1"),
    (
        "import collections\ndef f(x): return collections.Counter(x)",
        {"tests": ["assert f('aab') == {'a': 2, 'b': 1}"]},
        1,
        "",
    ),
    ("print(input()[::-1])", {"stdin": "abc", "stdout": "cba"}, 1.0, "1 of 1"),
    ("print(input()[::-1])", {"stdin": ["abc\n", "12"], "stdout": ["cba", "21  \n\n"]}, 1.0, "2 of 2"),
    ("print(input())", {"stdin": ["aa", "ab"], "stdout": ["aa", "ba"]}, 0.5, "input 2: prints 'ab', not 'ba'"),
    ("print(5)", {"stdout": "5"}, 1.0, "1 of 1"),
    ("print('5')\nraise ValueError('no')", {"stdout": "6"}, 0.0, "input 1: prints '5', not '6' (ValueError: no)"),
    ("import sys\nprint(len(sys.stdin.read()))", {"stdin": "x" * 200_000, "stdout": "200000"}, 1.0, "1 of 1"),
    ("print('é', input())", {"stdin": "ü", "stdout": "é ü"}, 1.0, "1 of 1"),
    ("if __name__ == '__main__':\n    import __main__\n    print(__main__.__name__)", {"stdout": "__main__"}, 1.0, ""),
    (
        "def a(n): return n and a(n - 1)\nimport sys\nsys.setrecursionlimit(9999)\nprint(a(5000))",
        {"stdout": "0"},
        1,
        "",
    ),
    ("import sys\nprint(len(sys.argv), __name__)", {"stdout": "1 __main__"}, 1.0, ""),
]


@pytest.mark.parametrize(("program", "reference", "share", "words"), JUDGED, ids=short)
def test_judgements(program, reference, share, words):
    score = verify(f"```python\n{program}\n```", reference, seconds=20)
    assert score.parts["tests"] == share, score.reason
    assert score.reward == float(share == 1.0)
    assert words in score.reason and score.reason.isprintable() and len(score.reason) < 500
    assert "verifier_error" not in score.parts
    if score.parts["tests"]:
        assert verify(f"```python\n{program}\n```", reference, seconds=20, fraction=True).reward == share


def test_scores_do_not_depend_on_hash_seeds_or_addresses():
    program = "```python\nclass A: pass\ndef f(x): return ''.join({'a', 'b', 'c', 'd', 'e'}) + str(A())\n```"
    assert len({verify(program, SQUARE).reason for _ in range(3)}) == 1


def test_many_threads_at_once_get_the_scores_that_are_theirs():
    completions = [f"```python\ndef f(x): return x * x + {i % 3}\n```" for i in range(24)]
    right = [float(i % 3 == 0) for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        assert [s.reward for s in pool.map(lambda c: verify(c, SQUARE, seconds=30), completions)] == right
    batch = run_verifier(get("code"), completions[:6], [SQUARE] * 6)
    assert [score.reward for score in batch] == right[:6]
    assert pickle.loads(pickle.dumps(get("code")))(RIGHT, SQUARE).reward == 1.0


def test_a_level_that_is_not_there_is_a_users_mistake():
    with pytest.raises(UserError, match="no isolation 'docker'; choose one of: bwrap, landlock, limits"):
        verify(RIGHT, SQUARE, isolation="docker")
    assert sandbox.isolation() in sandbox.LEVELS


def test_without_bubblewrap_another_level_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sandbox, "isolation", sandbox.isolation.__wrapped__)
    sandbox._command.cache_clear()
    with pytest.raises(UserError, match="apt install bubblewrap"):
        verify(RIGHT, SQUARE, isolation="bwrap")
    assert sandbox.isolation() in ("landlock", "limits")
    assert verify(RIGHT, SQUARE).reward == 1.0


def test_a_sandbox_that_cannot_be_had_is_the_verifiers_fault(monkeypatch):
    monkeypatch.setattr(sandbox, "_python", lambda: "/nowhere/python")
    score = verify(RIGHT, SQUARE, isolation="limits")
    assert score.reward == 0.0 and score.parts["verifier_error"] == 1.0 and "could not be had" in score.reason


def test_an_interpreter_that_does_not_start_is_the_verifiers_fault_too(monkeypatch):
    monkeypatch.setattr(sandbox, "_source", lambda name: "import what_is_not_there")
    score = verify(RIGHT, SQUARE, isolation="limits")
    assert score.reward == 0.0 and score.parts["verifier_error"] == 1.0
    assert "could not be had: ModuleNotFoundError: No module named 'what_is_not_there'" in score.reason


JUPYTER = """
import asyncio, time
from concurrent.futures import ThreadPoolExecutor
from labkit.verifiers.code import verify

square = {"tests": ["assert f(2) == 4"]}
good, endless = ("```python\\ndef f(x):\\n    {}\\n```".format(body) for body in ("return x * x", "while True: pass"))
assert asyncio.get_event_loop().is_running()
begun = time.monotonic()
here = [verify(good, square, seconds=20), verify(endless, square, seconds=1)]
with ThreadPoolExecutor(2) as pool:
    there = [pool.submit(verify, good, square, seconds=20), pool.submit(verify, endless, square, seconds=1)]
away = await asyncio.to_thread(verify, endless, square, seconds=1)
print([s.reward for s in here], [f.result().reward for f in there], away.reason, time.monotonic() - begun < 30)
"""


def test_the_time_limit_holds_inside_jupyter_in_its_thread_and_in_others():
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(JUPYTER)])
    NotebookClient(book, timeout=120, kernel_name="python3").execute()
    (output,) = [output for output in book.cells[0].outputs if output.output_type == "stream"]
    said = "0 of 1 tests pass; f(2) gets no answer: the program is over the time limit of 1 s"
    assert output.text == f"[1.0, 0.0] [1.0, 0.0] {said} True\n"


@pytest.mark.skipif(os.name != "posix", reason="folders are swept on POSIX systems only")
def test_folders_of_killed_processes_are_swept_away():
    gone = os.path.join(scratch.place(), f"{scratch.PREFIX}999999999-test")
    os.makedirs(os.path.join(gone, "a/b"))
    scratch._sweep.__wrapped__()
    assert not os.path.exists(gone)


# ------------------------------------------------------------------------------------------ fuzz

PIECES = [*"()[]{}<>\"'\\\n\t:=.,+-*/%@#`~0123456789abcxyz", "```python\n", "```\n", "<answer>", "</answer>", "<think>"]
PIECES += [
    "</think>",
    "def f(x): return ",
    "import os\n",
    "\x00",
    "\ud800",
    "é",
    "\\d",
    "f'{",
    "lambda ",
    "9" * 50,
    "**" * 3,
]


def _noise(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.6:
        return "".join(rng.choices(PIECES, k=rng.randint(0, 40)))
    if kind < 0.8:
        text = list(rng.choice([*HARM.values(), *RUIN.values(), *FRAUD.values()]))
        for _ in range(rng.randint(1, 5)):
            text[rng.randrange(len(text))] = rng.choice("()[]:= \n")
        return "".join(text)
    return "".join(rng.choices(string.printable, k=rng.randint(0, 60)))


def test_twenty_thousand_strings_are_dismissed_quickly(monkeypatch):
    """What Python can't read starts no process; what it can is counted, and a few of those are run for real."""
    rng, runnable, dismissed = random.Random(0), [], 0
    started = []
    outcome = sandbox.Outcome(b"", "")
    monkeypatch.setattr(sandbox, "run_inside", lambda *a, **k: started.append(a) or outcome)
    with within(20.0):
        for _ in range(20_000):
            noise = _noise(rng)
            completion = f"```python\n{noise}\n```" if rng.random() < 0.8 else f"<answer>{noise}</answer>"
            before = len(started)
            score = verify(completion, SQUARE)
            assert score.reward == 0.0 and score.reason.isprintable() and len(score.reason) < 500
            if len(started) > before:
                runnable.append(completion)
            dismissed += len(started) == before
    assert dismissed > 10_000 and len(runnable) > 100
    monkeypatch.undo()
    with ThreadPoolExecutor(4) as pool:
        for score in pool.map(lambda c: verify(c, SQUARE, seconds=1.0), runnable[:60]):
            assert score.reward == 0.0 and score.parts["parsed"] == 1.0


HUGE = [
    "x" * 10**6,
    "```python\n" * 10**5,
    "```" * 300_000,
    "<answer>" + "(" * 10**6 + "</answer>",
    "<answer>" + "-" * 49_000 + "1</answer>",
    "<answer>" + "a=" * 20_000 + "1</answer>",
    "<answer>" + "[" * 40_000 + "</answer>",
    "<answer>" + "lambda:" * 7_000 + "1</answer>",
    "<answer>" + "1," * 24_000 + "</answer>",
    "<answer>x = " + "9" * 49_000 + "</answer>",
    "<answer>" + "\n".join(" " * i + "if 1:" for i in range(300)) + "</answer>",
    "<answer>" + "f'{" * 10_000 + "</answer>",
    "<answer>" + "a if b else " * 4_000 + "c</answer>",
    "<answer>" + "not " * 12_000 + "x</answer>",
    "<answer>" + "a.b" + ".c" * 20_000 + "</answer>",
    "<answer>" + "f(" * 20_000 + ")" * 20_000 + "</answer>",
    "```python\n" + "#" * 10**6 + "\n```",
    " \n" * 400_000 + "```python\n",
    ("```" + " " * 1000 + "\n") * 900,
]


@pytest.mark.parametrize("completion", HUGE, ids=range(len(HUGE)))
def test_a_megabyte_or_deep_nesting_takes_no_time(completion):
    with within(1.0):
        begun = time.monotonic()
        score = verify(completion, SQUARE, seconds=2.0)
    assert score.reward == 0.0 and time.monotonic() - begun < 15
