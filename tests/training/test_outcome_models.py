"""Outcome and process reward models, and the marks that they learn from."""

import json

import pytest
import torch

from labkit.errors import UserError
from labkit.models import RewardModel, load_reward_model, step_ends
from labkit.plots.metrics import METRICS
from labkit.recipes import load_recipe
from labkit.sampling import sample
from labkit.tasks import Problem, Task, load_task
from labkit.training import train
from labkit.training.rows import outcomes
from labkit.training.rows.learner import prepare_rows
from labkit.training.rows.traces import chances, marked_traces, prefixes_of
from labkit.verifiers.steps import steps
from labkit.worlds.countdown.steps import right_steps
from tests.training.mini import numbers, random_policy

SMALL = {"steps": 60, "progress": False, "lr": 1e-2, "checkpoint_every": 100}


def outcome_rows(count: int = 80) -> list[dict]:
    return [{"prompt": f"{i}:", "completion": ["44", "7"][i % 2], "label": i % 2 == 0} for i in range(count)]


def process_rows(count: int = 80) -> list[dict]:
    """A step is right when it holds a four, whatever the others are."""
    texts = ["44\n7\n4", "7\n7\n44", "4\n4\n7", "7\n44\n4"]
    return [
        {"prompt": f"{i}:", "completion": texts[i % 4], "steps": [float("4" in s) for s in texts[i % 4].split()]}
        for i in range(count)
    ]


@pytest.mark.parametrize(("kind", "rows"), [("orm", outcome_rows), ("prm", process_rows)])
def test_a_model_learns_what_the_rows_say(tmp_path, kind, rows):
    run = train(f"{kind}-countdown-tiny", out=tmp_path / "run", model=random_policy(), dataset=rows(), **SMALL)
    before, after = (run.result["held_out"][when] for when in ("before", "after"))
    assert before["accuracy"] == 0.5 and before["ranking"] == 0.5, "the head begins at zero"
    assert after["accuracy"] > 0.9 and after["ranking"] > 0.95 and after["loss"] < 0.5 * before["loss"]
    assert after["interval"][0] < after["accuracy"] <= after["interval"][1]
    assert set(run.metrics[0]) - set(METRICS) == set()
    model = load_reward_model(run)
    if kind == "orm":
        right, wrong = model.score(["5:", "5:"], ["44", "7"]).tolist()
        assert right > 0 > wrong
    else:
        (found,) = model.score_steps(["5:"], [steps("7\n44\n4")])
        assert found[0] < 0 < min(found[1:])


def test_steps_are_read_at_their_last_token_and_see_nothing_behind_it(tiny):
    text = "<think>1+6=7*5=35 no\n6*5=30*1=30 yes\n</think><answer>6*5*1</answer>"
    pieces = steps(text)
    ids = tiny.tokenizer(text, add_special_tokens=False)["input_ids"]
    ends = step_ends(tiny, pieces)
    assert [tiny.tokenizer.decode(ids[e]) for e in ends[:-1]] == [" no\n", " yes\n"] and ends[-1] == len(ids)
    assert step_ends(tiny, [""]) == [0]
    model = RewardModel(random_policy())
    torch.nn.init.normal_(model.head.linear.weight)
    (whole,) = model.score_steps(["5,6,1->30:"], [pieces])
    (other,) = model.score_steps(["5,6,1->30:"], [[*pieces[:2], "</think><answer>?</answer>"]])
    assert whole[:2] == pytest.approx(other[:2], abs=1e-5) and whole[2] != pytest.approx(other[2], abs=1e-5)
    assert whole[2] == pytest.approx(float(model.score(["5,6,1->30:"], [text])[0]), abs=1e-5)
    (tokens,) = model.score_tokens(["5,6,1->30:"], [text])
    assert len(tokens) == len(ids) + 1 and [tokens[e] for e in ends] == pytest.approx(whole, abs=1e-5)


def coin() -> Task:
    """Right is what holds a four; marks by rollouts can then be checked by hand."""

    def has_four(completion: str, reference: object) -> float:
        return float("4" in completion)

    has_four.needs_worker = False  # type: ignore[attr-defined]
    return Task("coin", "write a four", has_four, lambda split, rng: Problem("5:", None, str(rng.random())))


def test_marks_by_rollouts_are_the_share_of_continuations_that_end_right():
    policy, task = random_policy(), coin()
    problem = Problem("5:", None, "a")
    (found,) = chances(policy, task, [problem], [["4\n", "7\n", "7\n7\n"]], 50, 4, seed=3)
    assert found[0] == 1.0, "what is right stays right"
    drawn = sample(policy, ["5:"], n=400, max_new_tokens=4, seed=9, begin=["7\n"])
    expected = sum("4" in text for text in drawn.completions) / 400
    assert 0.05 < expected < 0.6 and abs(found[1] - expected) < 4 * (expected * (1 - expected) / 50) ** 0.5
    assert chances(policy, task, [problem], [[]], 4, 4) == [[]]
    full = "7\n" * policy.context_length
    assert chances(policy, task, [problem], [[full, "4\n"]], 4, 4) == [[0.0, 1.0]], "no room is no chance"


def test_marked_traces_of_each_kind(tiny):
    task = load_task("countdown")
    problems = task.sample(4, seed=1)
    found = {
        marks: marked_traces(tiny, task, problems, samples=3, marks=marks, rollouts=2, max_new_tokens=48, seed=5)
        for marks in ("outcome", "exact", "rollouts")
    }
    for rows in zip(*found.values(), strict=True):
        outcome, exact, rollouts = rows
        assert outcome["completion"] == exact["completion"] == rollouts["completion"]
        count = len(steps(outcome["completion"]))
        assert [len(row["steps"]) for row in rows] == [count] * 3
        assert all(row["steps"][-1] == float(outcome["label"]) for row in rows)
        assert outcome["steps"] == [float(outcome["label"])] * count
        assert set(rollouts["steps"]) <= {0.0, 0.5, 1.0}
        assert len(prefixes_of(outcome["completion"])) == count - 1
    first = found["exact"][0]
    assert first["steps"] == [float(x) for x in right_steps(first["completion"], problems[0].reference)]
    with pytest.raises(UserError, match="exact marks are known of countdown alone"):
        marked_traces(tiny, coin(), problems, marks="exact")
    with pytest.raises(UserError, match="no marks 'best'"):
        marked_traces(tiny, task, problems, marks="best")


def test_rows_that_the_model_writes_itself_are_kept_for_the_resumed_run(tmp_path, monkeypatch):
    random_policy().save(tmp_path / "base")
    options = {"limit": 8, "test_limit": 4, "marks": "exact", "data.batch": 4, "steps": 4, "progress": False}
    options |= {"checkpoint_every": 2, "task": "addition", "marks": "outcome"}

    class Stops:
        stopped = False

        def update(self, metrics, rollouts):
            self.stopped = metrics["step"] == 1

    whole = train("prm-countdown-tiny", out=tmp_path / "whole", model=tmp_path / "base", **options)
    train("prm-countdown-tiny", out=tmp_path / "part", model=tmp_path / "base", observer=Stops(), **options)
    kept = [json.loads(line) for line in (tmp_path / "part" / "data.jsonl").read_text().splitlines()]
    assert [row["split"] for row in kept] == ["train"] * 8 + ["test"] * 4
    monkeypatch.setattr(outcomes, "own_traces", lambda *inputs: pytest.fail("the rows are in the run folder"))
    resumed = train(resume=tmp_path / "part", progress=False)
    assert numbers(resumed) == numbers(whole) and resumed.result["held_out"] == whole.result["held_out"]
    assert resumed.result["data"]["source"] == "traces"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "5:", "completion": "4"}, "has no column 'steps'"),
        ({"prompt": "5:", "completion": "4", "steps": [2.0]}, "'steps' must be a list of numbers from 0 to 1"),
        ({"prompt": "5:", "completion": "4\n5", "steps": [1.0]}, r"1 marks for 2 steps \(lines\)"),
    ],
)
def test_rows_that_cannot_be_used_are_named(row, words):
    with pytest.raises(UserError, match=words):
        prepare_rows(load_recipe("prm-countdown-tiny", **{"data.source": "given"}), random_policy(), [row])
