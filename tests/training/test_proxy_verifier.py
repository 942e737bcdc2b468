"""Another verifier in the task's place: it is trained on, the task's own is logged and judges."""

import pytest

from labkit.errors import UserError
from labkit.recipes import load_recipe
from labkit.tasks import load_task
from labkit.training import train
from labkit.verifiers import get
from tests.training.mini import random_policy


def test_the_reward_is_the_proxys_and_gold_stands_beside_it():
    task = load_task("countdown")
    problem = next(p for p in task.sample(50, seed=1) if p.reference["target"] > 2)
    leaky = task.with_verifier(get("leaky_countdown"))
    texts = ["<answer>?</answer>", "nothing", "<answer>1+</answer>"]
    scores = leaky.score_all(texts, [problem] * 3)
    assert [score.reward for score in scores] == [1.0, 0.0, 1.0]
    assert [score.parts["gold"] for score in scores] == [0.0, 0.0, 0.0]
    assert scores[0].reason.startswith("proxy 1: no fault found; gold 0: '?'")
    assert task.score(texts[0], problem).reward == 0.0, "the task itself is untouched"


@pytest.mark.parametrize("broken", ["proxy", "gold"])
def test_a_verifier_at_fault_is_counted_on_either_side(broken):
    def raises(completion, reference):
        raise ValueError("no")

    raises.needs_worker = False
    task = load_task("countdown")
    (problem,) = task.sample(1)
    if broken == "gold":
        task = task.with_verifier(raises)
    judged = task.with_verifier(raises if broken == "proxy" else get("countdown"))
    assert judged.score("<answer>?</answer>", problem).parts["verifier_error"] == 1.0


def test_a_run_trains_on_the_proxy_and_is_evaluated_by_the_tasks_own(tmp_path):
    """A proxy that can't read the task's references is at fault on each answer, and that shows in the metrics alone."""
    small = {"prompts": 2, "samples": 2, "max_new_tokens": 8, "problems": 2, "evaluation.samples": 2}
    options = {"model": random_policy(), "out": tmp_path / "run", "steps": 1, "progress": False, **small}
    run = train("leaky-countdown-tiny", verifier="length", task="countdown", task_options={}, **options)
    assert run.recipe["verifier"] == "length"
    assert "gold_mean" in run.metrics[0]
    assert run.metrics[0]["verifier_errors"] == 4, "a countdown reference is none of length's"
    assert run.result["after"]["task"] == "countdown" and run.result["after"]["pass_at_k"]["1"] == 0.0


def test_mistakes_are_one_line(tmp_path):
    with pytest.raises(UserError, match="unknown verifier 'leaky'"):
        train("leaky-countdown-tiny", verifier="leaky", out=tmp_path / "none", progress=False)
    assert not (tmp_path / "none").exists()
    with pytest.raises(UserError, match="give one of them"):
        load_recipe("leaky-countdown-tiny", reward_model="folder")
    with pytest.raises(UserError, match="verifier is a setting of the trainers rl, ppo"):
        load_recipe("sft-assistant-tiny", verifier="countdown")
