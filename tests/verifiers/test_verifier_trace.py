"""How readable a thought is: each fault by itself, and no string that makes the verifier raise."""

import pickle
import random

import pytest

from labkit.errors import UserError
from labkit.tasks import load_task
from labkit.worlds.countdown import task as countdown
from labkit.worlds.countdown import trace
from labkit.worlds.countdown.curated import curated_rows, curated_trace
from tests.verifiers.hostile import PIECES

PUZZLE = {"numbers": [5, 6, 1], "target": 30}


def judge(*lines: str, closed: bool = True):
    return trace.verify("<think>" + "".join(f"{line}\n" for line in lines) + ("</think>" if closed else ""), PUZZLE)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("6*5=30*1=30 yes", None),
        ("6/1=6*5=30 no", None),
        ("5-6=-1*1=-1 no", "notation"),
        ("6*5=30*1=30 wait", "notation"),
        ("6*5=30*1=30", "notation"),
        ("6*5=30*1=3", "notation"),
        ("so 6*5=30*1=30 yes", "notation"),
        ("6*5=31*1=31 no", "false"),
        ("6/5=1*1=1 no", "false"),
        ("6/0=0 no", "false"),
        ("6*5=30 yes", "numbers"),
        ("6*5=30*5=150 no", "numbers"),
        ("6*5=30*1=30*1=30 no", "numbers"),
    ],
)
def test_a_line_has_the_fault_that_it_has(line, fault):
    score = judge(line)
    assert score.reward == float(fault is None)
    assert {name: score.parts[name] for name in trace.FAULTS} == {name: float(name == fault) for name in trace.FAULTS}


def test_what_was_said_before_is_not_clean_whatever_its_verdict():
    assert judge("6*5=30*1=30 no", "6*5=30*1=30 yes").reward == 0.5
    assert judge("6*5=30*1=30 no", "5*6=30*1=30 yes").reward == 1.0, "another order of the numbers is another line"


def test_nothing_to_read_is_worth_nothing_and_the_answer_is_not_read():
    for text in ("", "<answer>6*5*1</answer>", "<think></think><answer>6*5*1</answer>", "6*5=30*1=30 yes\n"):
        assert trace.verify(text, PUZZLE).reward == 0.0 and trace.verify(text, PUZZLE).parts["lines"] == 0.0
    assert judge("6*5=30*1=30 yes", closed=False).reward == 1.0, "a thought that was cut off is read as far as it goes"


def test_the_careful_author_is_clean_and_right_and_never_held_out():
    task, held_out = load_task("countdown"), {p.prompt for p in countdown.pool("test")}
    for row in curated_rows(40, seed=5, most=6):
        *numbers, target = map(int, row["prompt"].rstrip(":").replace("->", ",").split(","))
        problem = countdown.problem_of(tuple(numbers), target)
        assert task.score(row["completion"], problem).reward == 1.0
        assert trace.verify(row["completion"], problem.reference).reward == 1.0
        assert countdown.countdown_split(tuple(numbers), target) == "train" and row["prompt"] not in held_out
        assert row["completion"].count("\n") <= 6
    assert curated_rows(5, seed=1) == curated_rows(5, seed=1) != curated_rows(5, seed=2)
    with pytest.raises(ValueError, match="no chain"):
        curated_trace((1, 1, 1), 99)
    with pytest.raises(ValueError, match="has no 9 problems"):
        curated_rows(9, most=0)


def test_total_and_picklable():
    verify = pickle.loads(pickle.dumps(trace.verify))
    rng = random.Random(0)
    texts = [*PIECES, *("".join(rng.choices("<think>/0159+-*=\n noyes", k=60)) for _ in range(2000))]
    for text in texts:
        assert 0.0 <= verify(text, PUZZLE).reward <= 1.0
        assert verify(f"<think>{text}", PUZZLE).reason.isprintable()
    for reference in (None, {}, {"numbers": []}, {"numbers": ["5"]}, 3):
        with pytest.raises(UserError, match="next to its problem"):
            verify("<think>", reference)
