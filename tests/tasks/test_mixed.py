"""Several tasks in one: each problem keeps its verifier, and scales are brought together."""

import math
import random

import pytest
import torch

from labkit.errors import UserError
from labkit.tasks import load_task
from labkit.tasks.mixed import Bounded, bounded, mix_tasks


class Judge:
    """Scores by length, on a scale of its own."""

    def score(self, prompts: list[str], completions: list[str]) -> torch.Tensor:
        return torch.tensor([100.0 + 10.0 * len(text) for text in completions])


def test_each_problem_is_scored_by_its_own_task():
    countdown, assistant = load_task("countdown"), load_task("assistant")
    task = mix_tasks([countdown, assistant.with_reward_model(Judge())], [0.25, 0.75])
    problems = task.sample(200, "train", seed=0)
    kinds = [problem.reference["task"] for problem in problems]
    assert 30 < kinds.count("countdown") < 70
    assert {p.prompt for p in problems if p.reference["task"] == "assistant"} <= {
        p.prompt for p in assistant.pool("train")
    }
    completions = ["<answer>5+5</answer>" if kind == "countdown" else " sure." for kind in kinds]
    scores = task.score_all(completions, problems)
    for kind, problem, completion, score in zip(kinds, problems, completions, scores, strict=True):
        if kind == "assistant":
            assert score.reward == 160.0 and "gold" in score.parts
        else:
            assert score == countdown.verifier(completion, problem.reference["reference"])
        assert task.score(completion, problem) == score
    assert task.sample(200, "train", seed=0) == problems != task.sample(200, "train", seed=1)
    assert task.max_new_tokens == 256 and task.fingerprint() != countdown.fingerprint()


@pytest.mark.parametrize("shares", [[1.0], [0.5, 0.0], [0.5, math.inf]])
def test_shares_that_make_no_mixture(shares):
    with pytest.raises(UserError, match="share"):
        mix_tasks([load_task("countdown"), load_task("addition")], shares)
    with pytest.raises(UserError, match="different tasks"):
        mix_tasks([load_task("countdown")] * 2, [0.5, 0.5])


def test_a_reward_model_is_brought_to_the_scale_of_a_verifier():
    rng = random.Random(0)
    rows = [{"prompt": "p", "chosen": "x" * rng.randint(1, 9), "rejected": "y" * rng.randint(1, 9)} for _ in range(200)]
    scaled = bounded(Judge(), rows)
    assert 140 < scaled.middle < 160 and 20 < scaled.spread < 30
    values = scaled.score(["p"] * 9, ["x" * n for n in range(1, 10)])
    assert values == sorted(values) and 0.1 < values[0] < 0.3 and 0.7 < values[-1] < 0.9
    assert Bounded(Judge(), 0.0, 1e-3).score(["p"], ["x"]) == [pytest.approx(1.0)], "far off: no overflow"
    with pytest.raises(UserError, match="gives all replies one score"):
        bounded(Judge(), [{"prompt": "p", "chosen": "x", "rejected": "y"}])
