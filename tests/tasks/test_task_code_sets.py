"""The task `code` on rows of public sets: by their own columns, from LABKIT_DATA or from a file."""

import base64
import json
import pickle
import zlib

import pytest

from labkit.errors import UserError
from labkit.tasks import load_task, stored
from labkit.tasks.code_sets import read_row
from tests.tasks.own_data import write_lines

HUMANEVAL = [
    {
        "task_id": f"Own/{n}",
        "prompt": f'\n\ndef times_{n}(x: int) -> int:\n    """ x times {n}. """\n',
        "entry_point": f"times_{n}",
        "canonical_solution": f"    return x * {n}\n",
        "test": f"def check(candidate):\n    for x in range(5):\n        assert candidate(x) == x * {n}\n",
    }
    for n in range(2, 22)
]
MBPP = [
    {
        "task_id": n,
        "text": f"Write a function to add {n}.",
        "code": f"def add_{n}(x):\r\n  return x + {n}",
        "test_list": [f"assert add_{n}(1) == {n + 1}", f"assert add_{n}(0) == {n}"],
        "test_setup_code": "" if n % 2 else "K = 0",
        "challenge_test_list": [],
    }
    for n in range(20)
]


def _packed(cases: list) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()


def _case(given: str, right: str, kind: str) -> dict:
    return {"input": given, "output": right, "testtype": kind}


LIVE = [
    {
        "question_title": "Twice",
        "question_content": f"Print twice the number, plus {n}.",
        "starter_code": "",
        "public_test_cases": json.dumps([_case("2\n", f"{4 + n}\n", "stdin")]),
        "private_test_cases": _packed([_case("5\n", f"{10 + n}\n", "stdin")]),
        "metadata": "{}",
    }
    for n in range(3)
] + [
    {
        "question_content": "The sum of a list.",
        "starter_code": "class Solution:\n    def total(self, nums: List[int]) -> int:\n        ",
        "public_test_cases": json.dumps([_case("[1, 2]", "3", "functional")]),
        "private_test_cases": json.dumps([_case("[]", "0", "functional")]),
        "metadata": json.dumps({"func_name": "total"}),
    }
]


@pytest.fixture
def data(monkeypatch, tmp_path):
    write_lines(tmp_path / "humaneval" / "test.jsonl", [json.dumps(row) for row in HUMANEVAL])
    write_lines(tmp_path / "mbpp" / "train.jsonl", [json.dumps(row) for row in MBPP])
    write_lines(tmp_path / "livecodebench" / "test.jsonl", [json.dumps(row) for row in LIVE])
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    return tmp_path


def test_humaneval_is_test_problems_alone(data):
    task = load_task("code", data="humaneval", seconds=30)
    assert len(task.pool("test")) == 20 and task.pool("train") == []
    assert "of humaneval (20 test) from $LABKIT_DATA/humaneval" in task.description
    with pytest.raises(UserError, match="task 'code' has no problems in the split train"):
        task.sample(1, "train")
    problem = task.sample(3, "test", seed=1)[0]
    number = problem.reference["entry_point"].rpartition("_")[2]
    assert HUMANEVAL[int(number) - 2]["prompt"].strip() in problem.prompt and "check" not in problem.prompt
    assert task.score(f"```python\ndef times_{number}(x): return {number} * x\n```", problem).reward == 1.0
    assert task.score(f"    return x * {number}", problem).reward == 1.0
    assert task.score("    return x", problem).reward == 0.0
    assert task.format("    return x", problem.reference).reward == 1.0
    assert task.format("I can't.", problem.reference).reward == 0.0
    assert task.fingerprint() != load_task("code", data="mbpp", seconds=30).fingerprint()


def test_mbpp_is_held_out_by_hash_where_it_is_one_file(data):
    task = load_task("code", data="mbpp", seconds=30)
    train, test = task.pool("train"), task.pool("test")
    assert len(train) + len(test) == 20 and test and not {p.prompt for p in train} & {p.prompt for p in test}
    for problem in [*train[:2], *test[:1]]:
        name = problem.reference["test_list"][0].split()[1].split("(")[0]
        assert problem.reference["test_list"][0] in problem.prompt
        assert problem.reference["test_list"][1] not in problem.prompt, "the other tests stay hidden"
        assert task.score(f"```\ndef {name}(x): return x + {name[4:]}\n```", problem).reward == 1.0
    assert load_task("code", data="mbpp").fingerprint() != task.fingerprint()


def test_live_code_bench_reads_its_packed_cases(data):
    task = load_task("code", data="livecodebench", seconds=30)
    script, method = task.pool("test")[0], task.pool("test")[-1]
    assert script.reference["input_output"]["inputs"] == ["2\n", "5\n"]
    assert "Read from standard input" in script.prompt and "Read from" not in method.prompt
    assert "def total(self" in method.prompt
    assert task.score("```python\nprint(2 * int(input()))\n```", script).reward == 1.0
    assert task.score("```python\nprint(4)\n```", script).reward == 0.0
    right = "class Solution:\n    def total(self, nums: List[int]) -> int:\n        return sum(nums)"
    assert task.score(f"```python\n{right}\n```", method).reward == 1.0


def test_a_file_of_rows_of_several_sets(tmp_path):
    apps = {"question": "Print it back.", "input_output": json.dumps({"inputs": ["a"], "outputs": ["a"]})}
    own = {"prompt": "Write f, the identity.", "reference": {"tests": ["assert f(1) == 1"]}}
    rows = [*HUMANEVAL[:3], *MBPP[:3], *LIVE[:2], apps, own]
    file = tmp_path / "rows.jsonl"
    write_lines(file, [json.dumps(row) for row in rows])
    task = load_task("code", data=str(file), seconds=30)
    pools = {split: task.pool(split) for split in ("train", "test")}
    assert sum(map(len, pools.values())) == len(rows) and all(pools.values())
    by_prompt = {p.prompt.split(".")[0]: p for pool in pools.values() for p in pool}
    assert task.score("```python\nprint(input())\n```", by_prompt["Print it back"]).reward == 1.0
    assert task.score("```python\ndef f(x): return x\n```", by_prompt["Write f, the identity"]).reward == 1.0
    write_lines(file, [json.dumps({**row, "split": "test" if n else "train"}) for n, row in enumerate(rows)])
    assert len(load_task("code", data=f"file:{file}").pool("train")) == 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "x"}, 'a row has the columns of HumanEval ("prompt", "test", "entry_point")'),
        ({**HUMANEVAL[0], "test": "assert True"}, "'test' of a code reference must define check"),
        ({**MBPP[0], "test_list": ["add(1)"]}, "one assert line"),
        ({**LIVE[0], "private_test_cases": "!"}, "the test cases of LiveCodeBench are"),
        ({"prompt": "x", "reference": {"tests": ["assert f(1)"], "time": 3}}, "has no key 'time'"),
    ],
)
def test_malformed_rows_are_told_with_their_line(tmp_path, row, words):
    file = tmp_path / "rows.jsonl"
    write_lines(file, [json.dumps(MBPP[3]), json.dumps(row)])
    with pytest.raises(UserError) as caught:
        load_task("code", data=str(file))
    assert f"{file}, line 2: " in str(caught.value) and words in str(caught.value) and "\n" not in str(caught.value)


def test_packed_cases_can_make_nothing_but_a_text():
    class Evil:
        def __reduce__(self):
            return print, ("escaped",)

    packed = base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode()
    with pytest.raises(UserError, match="the test cases of LiveCodeBench"):
        read_row({**LIVE[0], "private_test_cases": packed})


def test_a_set_that_is_nowhere_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setattr(stored, "_resolves", lambda: False)
    stored._from_hub.cache_clear()
    with pytest.raises(UserError, match=r"humaneval is not at hand: \$LABKIT_DATA/humaneval/test.jsonl is not there"):
        load_task("code", data="humaneval")
    with pytest.raises(UserError, match=r"data is humaneval, mbpp, livecodebench or a file that ends in \.jsonl"):
        load_task("code", data="human")
