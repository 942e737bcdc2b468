"""The task `code`: every problem can be solved, its hidden tests refuse what is nearly right, splits never meet."""

import itertools
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from labkit.errors import UserError
from labkit.paths import data_path
from labkit.tasks import Problem, load_task
from labkit.verifiers import Score
from tests.tasks.code_solutions import SOLUTIONS

ROWS = [json.loads(line) for line in data_path("code", "problems.jsonl").read_text().splitlines()]
PROBLEMS = {row["id"]: Problem(row["prompt"], row["reference"], row["id"]) for row in ROWS}


@pytest.fixture(scope="module")
def scores() -> dict[tuple[str, str], Score]:
    """The score of every right and every wrong solution, from two threads."""
    task = load_task("code", seconds=30)
    hasty = load_task("code", seconds=1.5)  # one wrong solution is only too slow

    def one(case: tuple[str, str]) -> Score:
        name, kind = case
        program = SOLUTIONS[name][kind == "wrong"]
        slow = kind == "wrong" and name == "fibonacci"
        return (hasty if slow else task).score(f"Sure.\n```python{program}```\nDone.", PROBLEMS[name])

    cases = [(name, kind) for name in SOLUTIONS for kind in ("right", "wrong")]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(cases, pool.map(one, cases), strict=True))


def test_there_are_forty_problems_or_more_each_with_six_hidden_tests_or_more():
    assert len(PROBLEMS) == len(ROWS) == len(SOLUTIONS) >= 40 and set(PROBLEMS) == set(SOLUTIONS)
    for name, problem in PROBLEMS.items():
        tests = problem.reference.get("tests") or problem.reference["stdin"]
        assert len(set(tests)) == len(tests) >= 6, name
        # What the prompt shows is not among what decides.
        shown = [line.removeprefix(">>> ") for line in problem.prompt.splitlines() if line.startswith(">>> ")]
        assert not [test for test in tests if any(f"assert {call} ==" in test for call in shown)], name
        assert shown or "Input:" in problem.prompt


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_right_solution_passes_and_a_plausible_wrong_one_does_not(scores, name):
    right, wrong = scores[name, "right"], scores[name, "wrong"]
    assert right.reward == right.parts["tests"] == 1.0, right.reason
    assert wrong.reward == 0.0 and wrong.parts["parsed"] == 1.0 and "verifier_error" not in wrong.parts, wrong.reason
    assert wrong.parts["tests"] < 1.0


def test_most_wrong_solutions_are_nearly_right(scores):
    """They fail on some hidden tests, not on all: it is the edge cases that tell."""
    shares = [scores[name, "wrong"].parts["tests"] for name in SOLUTIONS]
    assert sum(0 < share < 1 for share in shares) >= 40


@pytest.mark.parametrize("name", [name for name in SOLUTIONS if "tests" in PROBLEMS[name].reference])
def test_the_examples_of_the_prompt_are_true(name):
    space: dict = {}
    exec(SOLUTIONS[name][0], space)
    lines = PROBLEMS[name].prompt.splitlines()
    for call, answer in itertools.pairwise(lines):
        if call.startswith(">>> "):
            assert eval(call.removeprefix(">>> "), space) == eval(answer), call


def test_the_splits_do_not_overlap_and_cover_everything():
    task = load_task("code")
    train, test = task.pool("train"), task.pool("test")
    assert {p.prompt for p in train} | {p.prompt for p in test} == {p.prompt for p in PROBLEMS.values()}
    assert not {p.id for p in train} & {p.id for p in test} and len(train) + len(test) == len(PROBLEMS)
    assert 10 <= len(test) <= len(PROBLEMS) // 2
    for split in (train, test):
        assert {"tests", "stdin"} == {next(iter(p.reference)) for p in split}, "both kinds of problems in each split"


def test_the_share_of_tests_as_the_reward_and_the_format():
    task = load_task("code", fraction=True)
    wrong = f"```python{SOLUTIONS['count_vowels'][1]}```"
    assert 0 < task.score(wrong, PROBLEMS["count_vowels"]).reward < 1
    assert task.format(wrong, None).reward == 1.0 and task.format("no", None).reward == 0.0
    again = pickle.loads(pickle.dumps(task.verifier))
    assert again(wrong, PROBLEMS["count_vowels"].reference).reward == task.score(wrong, PROBLEMS["count_vowels"]).reward
    assert task.fingerprint() != load_task("code").fingerprint()


def test_a_batch_is_scored_in_order():
    problems = [PROBLEMS["flatten"], PROBLEMS["median"], PROBLEMS["add_lines"]] * 3
    right = [f"<answer>{SOLUTIONS[p.id][0]}</answer>" for p in problems]
    right[4] = "no idea"
    assert [score.reward for score in load_task("code").score_all(right, problems)] == [1, 1, 1, 1, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fraction": 2}, "fraction is true or false"),
        ({"seconds": 0}, "seconds is a number"),
        ({"limit": 1}, "does not"),
    ],
)
def test_mistakes_get_one_line(options, words):
    with pytest.raises(UserError, match=words):
        load_task("code", **options)
