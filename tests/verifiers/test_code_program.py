"""Which program of a completion the verifier `code` judges, with what it needs of the other blocks."""

import pytest

from labkit.verifiers.code import extract_program, find_program, verify
from labkit.verifiers.code.program import Wanted
from tests.verifiers.hostile import within

F = Wanted(names=frozenset({"f"}))
SCRIPT = Wanted(script=True)
USE = "```python\nprint(f(2))\n```"


def block(text: str, info: str = "python", fence: str = "```") -> str:
    return f"{fence}{info}\n{text}\n{fence}"


ONE = "def f(x):\n    return x"
TWO = "def f(x):\n    return x + 1"
HELPER = "def g(x):\n    return x"
USES_G = "def f(x):\n    return g(x)"

CHOSEN = [
    ("its use behind it", f"{block(ONE)}\nFor example:\n{USE}", ONE),
    ("a use that imports it", f"{block(ONE)}\n{block('from solution import f' + chr(10) + 'print(f(2))')}", ONE),
    ("a test class behind it", f"{block(ONE)}\n{block('import unittest')}\n{block('class T: pass')}", ONE),
    ("the better one last", f"{block(ONE)}\nBetter:\n{block(TWO)}\n{USE}", TWO),
    ("output behind it", f"{block(ONE)}\n{USE}\n{block('2', '')}", ONE),
    ("a helper before", f"{block(HELPER)}\nand\n{block(USES_G)}", f"{HELPER}\n\n{USES_G}"),
    ("a helper behind", f"{block(USES_G)}\nwith\n{block(HELPER)}", f"{HELPER}\n\n{USES_G}"),
    ("imports in a block of their own", f"{block('import math')}\n{block('def f(x): return math.pi')}",
     "import math\n\ndef f(x): return math.pi"),
    ("a chain of helpers", f"{block('K = 3')}\n{block('def g(x): return K')}\n{block(USES_G)}",
     f"K = 3\n\ndef g(x): return K\n\n{USES_G}"),
    ("the nearer helper", f"{block(HELPER)}\n{block('def g(x): return 2')}\n{block(USES_G)}",
     f"def g(x): return 2\n\n{USES_G}"),
    ("no helper that is not needed", f"{block(HELPER)}\n{block(ONE)}", ONE),
    ("a shell block behind", f"{block(ONE)}\n{block('python a.py', 'bash')}", ONE),
    ("another language behind", f"{block(ONE)}\n{block('function f(x) { return x }', 'javascript')}", ONE),
    ("a draft without a language", f"{block(TWO, '')}\n{block(ONE)}", ONE),
    ("only blocks without a language", f"{block(ONE, '')}\n{block('print(f(1))', '')}\n{block('1', '')}", ONE),
    ("a block that is said to be text", block(ONE, "text"), ONE),
    ("a broken block behind", f"{block(ONE)}\n{block('def f(x): return (')}", ONE),
    ("assigned", f"{block('f = lambda x: x')}\n{USE}", "f = lambda x: x"),
    ("nothing that defines it", f"{block(HELPER)}\n{block('print(1)')}", "print(1)"),
    ("a session behind", f"{block(ONE)}\n{block('>>> f(2)' + chr(10) + '2', 'pycon')}", ONE),
    ("a session without a language behind", f"{block(ONE)}\n{block('>>> f(2)' + chr(10) + '2')}", ONE),
]  # fmt: skip


@pytest.mark.parametrize(("text", "program"), [case[1:] for case in CHOSEN], ids=[case[0] for case in CHOSEN])
def test_the_block_that_defines_what_is_asked_for_with_what_it_needs(text, program):
    assert extract_program(text, F) == program


FENCES = [
    ("~~~", f"~~~python\n{ONE}\n~~~"),
    ("four backticks", f"````python\n{ONE}\n````"),
    ("a fence in a fence", f"````markdown\n{block(ONE)}\n````\n{block(ONE)}"),
    ("~~~ around backticks", f"~~~\n{ONE}\n~~~\n"),
    ("in a list", f"1. Do this:\n\n   ```python\n   {ONE.replace(chr(10), chr(10) + '   ')}\n   ```\n2. Done."),
    ("in a list, tabs", f"- So:\n\t```python\n\t{ONE.replace(chr(10), chr(10) + chr(9))}\n\t```"),
    ("next to the bullet", f"- ```python\n  {ONE.replace(chr(10), chr(10) + '  ')}\n  ```"),
    ("next to the number", f"12. ```py\n    {ONE.replace(chr(10), chr(10) + '    ')}\n    ```"),
    ("a quotation", f"> ```python\n> {ONE.replace(chr(10), chr(10) + '> ')}\n> ```"),
    ("indented code, fence not", f"```python\n    {ONE.replace(chr(10), chr(10) + '    ')}\n```"),
    ("behind words", f"Here it is: ```python\n{ONE}\n```"),
    ("closed behind the code", f"```python\n{ONE}```\nThat is all."),
    ("closed behind the code, more blocks", f"```python\n{ONE}```\nUse:\n```python\nprint(f(1))\n```"),
    ("closed behind the code, untagged next", f"```python\n{ONE}```\nIt prints:\n```\n5\n```"),
    ("never closed", f"```python\n{ONE}"),
    ("spaces behind the fences", f"```python   \n{ONE}\n```   "),
    ("carriage returns", f"{block(ONE)}\nDone.\n".replace("\n", "\r\n")),
    ("never closed, prose and the next", f"```python\nx = 1\nNo, that's wrong. Again:\n```python\n{ONE}\n```\nDone."),
    ("a fence in prose", f"Put it between ``` and ```, or behind ```\n{block(ONE)}\nDone."),
]
TAGS = ["python", "Python", "PYTHON3", "py", "py3", "python3.11", "{python}", "{.python .numberLines}", "solution.py"]
TAGS += ["python title='a.py'", "python:main.py", " python", "ipython3", "sage", "", "code", "text", "Python code"]


@pytest.mark.parametrize("text", [case[1] for case in FENCES], ids=[case[0] for case in FENCES])
def test_fences_of_all_kinds(text):
    assert extract_program(text, F).replace("\t", "    ") == ONE
    assert verify(text, {"tests": ["assert f(3) == 3"]}, seconds=20).reward == 1.0


@pytest.mark.parametrize("tag", TAGS)
def test_language_tags_of_all_kinds(tag):
    assert extract_program(f"{block(ONE, tag)}\n{block('5', 'output')}", F) == ONE


RAW = [
    ("the function alone", ONE, ONE),
    ("between prose", f"Here is the function:\n\n{ONE}\n\nIt gives x, doesn't it?\nThanks", ONE),
    ("with an example", f"{ONE}\n\nExample:\n\nprint(f(2)) prints 2 (of course.", ONE),
    ("two pieces", f"First:\n\n{HELPER}\n\nThen:\n\n{USES_G}\n\nDone.", f"{HELPER}\n\n{USES_G}"),
    ("imports first", f"import math\nfrom os import path\n\n{ONE}", f"import math\nfrom os import path\n\n{ONE}"),
    ("decorated", "import functools\n@functools.cache\ndef f(x):\n    return x", None),
    ("a lambda", "f = lambda x: x", "f = lambda x: x"),
    ("prose alone", "I would define f(x) as x. If x is 2: two.", ""),
    ("another function", HELPER, ""),
    ("in answer tags", f"Well.\n<answer>\n{ONE}\n</answer>", ONE),
    ("in answer tags with prose", f"<answer>Here you are:\n\n{ONE}\n\nIt's done.</answer>", ONE),
    ("within a thought", f"<think>{ONE}</think>", ""),
    ("a draft in the thought", f"<think>\n{TWO}\n</think>\n{ONE}", ONE),
]


@pytest.mark.parametrize(("text", "program"), [case[1:] for case in RAW], ids=[case[0] for case in RAW])
def test_code_without_a_fence(text, program):
    assert extract_program(text, F) == (text if program is None else program or None)


READS = "n = int(input())\nprint(n * 2)"
SCRIPTS = [
    ("one block", block(READS), READS),
    ("its input behind it", f"{block(READS)}\nFor:\n{block('3', '')}\nit prints\n{block('6', '')}", READS),
    ("a use that reads nothing behind it", f"{block(READS)}\nTry:\n{block('print(2 * 3)')}", READS),
    ("a helper", f"{block(HELPER)}\n{block('print(g(int(input())))')}", f"{HELPER}\n\nprint(g(int(input())))"),
    ("called in the next block", f"{block('def main():' + chr(10) + '    print(input())')}\n{block('main()')}",
     "def main():\n    print(input())\n\nmain()"),
    ("a better one last", f"{block('print(input())')}\nor\n{block(READS)}", READS),
    ("without a fence", f"Here:\n\n{READS}\n\nThat's it.", READS),
    ("one line without a fence", "print(input()[::-1])", "print(input()[::-1])"),
    ("nothing", "It prints its input.", None),
    ("sys.stdin", f"{block('import sys' + chr(10) + 'print(sys.stdin.read())')}\n{USE}",
     "import sys\nprint(sys.stdin.read())"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "program"), [case[1:] for case in SCRIPTS], ids=[case[0] for case in SCRIPTS])
def test_scripts(text, program):
    assert extract_program(text, SCRIPT) == program


def test_of_two_classes_and_functions_one_is_enough():
    either = Wanted(names=frozenset({"f", "Solution"}), one=True)
    draft = "class Solution:\n    def f(self, x): return 0"
    assert extract_program(f"{block(draft)}\nBetter:\n{block(ONE)}", either) == ONE
    assert extract_program(f"{block(ONE)}\nBetter:\n{block(draft)}\n{block('print(Solution().f(1))')}", either) == draft


def test_the_reference_says_what_is_wanted():
    text = f"{block(ONE)}\n{USE}"
    assert find_program(text, {"tests": ["assert f(2) == 2"]}) == ONE
    assert find_program(text) == "print(f(2))"
    assert verify(text, {"tests": ["assert f(2) == 2"]}, seconds=20).extracted == ONE


PROMPT = 'from typing import List\n\n\ndef f(x: int) -> int:\n    """ Twice x.\n    >>> f(2)\n    4\n    """\n'
BODIES = [
    "    return 2 * x",
    "    y = x\n    return x + y\n",
    "y = x\nreturn x + y",
    "y = x\n    return x + y",
    "    for _ in range(3):\n        if x:\n            return 2 * x\n    return 0",
    "for _ in range(3):\n        if x:\n            return 2 * x\n    return 0",
    block("    return 2 * x"),
    block("return 2 * x"),
    "    return 2 * x\n\n\ndef g(x):\n    return 5\n\nprint(f(2))",
    "    return 2 * x\n\nThis doubles x, doesn't it?",
    "<think>\nreturn 3 * x\n</think>\n    return 2 * x",
    PROMPT + "    return 2 * x",
    "def f(x): return 2 * x",
    f"{block('def f(x): return 2 * x')}\n{USE}",
]


@pytest.mark.parametrize("text", BODIES)
def test_an_answer_may_go_on_from_a_prompt_of_code(text):
    test = "def check(candidate):\n    assert candidate(2) == 4 and candidate(0) == 0 and candidate(-3) == -6"
    score = verify(text, {"prompt": PROMPT, "test": test, "entry_point": "f"}, seconds=20)
    assert score.reward == 1.0, (score.reason, score.extracted)


@pytest.mark.parametrize("text", ["I would double it.", "", "return", "    ", "x", block("print(1)"), block("(")])
def test_what_does_not_go_on_from_the_prompt(text):
    reference = {"prompt": PROMPT, "test": "def check(candidate): assert candidate(2) == 4", "entry_point": "f"}
    score = verify(text, reference, seconds=20)
    assert score.reward == 0.0 and "verifier_error" not in score.parts


HOSTILE = [
    "def f(x):\n" * 5_000,
    "x = (\n" * 9_000,
    ("def f(x): return x\nprose here is not code\n") * 1200,
    "if a:\n" * 9_000,
    block("def f(x): return g(x)\n" * 2_000) * 50,
    "".join(block(f"def g{i}(): return g{i + 1}()") + "\n" for i in range(2_000)) + block("def f(x): return g0()"),
    "```python\n" * 50_000,
    "``` " * 250_000,
    "a```\n" * 100_000,
    "~~~\n" * 200_000,
    "> " * 400_000 + "```",
    "1. ```python\n" * 40_000,
    "for x in y: z\n" * 4_000 + "'''",
    "x = '''\n" * 6_000,
    "A, " * 20_000 + "= 1",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("wanted", [F, SCRIPT, Wanted(names=frozenset({"f"}), prompt=PROMPT)], ids=range(3))
def test_hostile_texts_take_no_time(text, wanted):
    with within(2.5):
        extract_program(text, wanted)
