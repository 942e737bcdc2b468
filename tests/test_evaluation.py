"""Evaluation against brute force and against hand-made batches."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from labkit.evaluation.calibration import calibration_bins, calibration_error, pair_confidence
from labkit.evaluation.intervals import bootstrap_interval
from labkit.evaluation.plain import graded
from labkit.evaluation.report import evaluate, maj_at_k, pass_at_k, summarize
from labkit.rollouts import Rollouts
from labkit.tasks import load_task
from labkit.training.rows.comparisons import calibration
from labkit.verifiers import VERIFIERS, Score
from labkit.widgets.dashboard import gains


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_pass_at_k_is_the_average_over_all_choices_of_k_samples(n):
    for c in range(n + 1):
        samples = [True] * c + [False] * (n - c)
        for k in range(1, n + 1):
            choices = list(itertools.combinations(samples, k))
            assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, choices)) / len(choices))


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 1, 0), (4, 1, 5)])
def test_pass_at_k_refuses_what_makes_no_sense(n, c, k):
    with pytest.raises(ValueError, match="pass_at_k needs"):
        pass_at_k(n, c, k)


def test_maj_at_k_on_hand_made_votes():
    answers = ["7", "7", "9", "9", None, "9"]
    correct = [True, True, False, False, False, False]
    assert maj_at_k(answers, correct, 1) == pytest.approx(2 / 6)
    assert maj_at_k(answers, correct, 3) == pytest.approx(1 / 2), "7 7 9 is right, 9 - 9 is wrong"
    assert maj_at_k(answers, correct, 6) == 0.0
    assert maj_at_k([None, None], [False, False], 2) == 0.0
    assert maj_at_k(["a", "b"], [True, False], 2) == 1.0, "a tie goes to the answer that came first"


def test_the_bootstrap_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        low, high = bootstrap_interval(rng.random(60) < 0.3, draws=400, seed=trial)
        covered += low <= 0.3 <= high
    assert 0.88 <= covered / 200 <= 0.99


def _rollouts(rewards: list[float], lengths: list[int], answers: list[str | None]) -> Rollouts:
    batch, width = len(rewards), max(lengths) + 1
    columns = torch.arange(width)
    mask = (columns >= 1) & (columns <= torch.tensor(lengths)[:, None])
    return Rollouts(
        tokens=torch.ones(batch, width, dtype=torch.long),
        mask=mask,
        logprobs=torch.zeros(batch, width),
        groups=torch.arange(batch) // 2,
        lengths=torch.tensor(lengths),
        truncated=torch.tensor([n == max(lengths) for n in lengths]),
        prompts=["p"] * batch,
        completions=["<answer>1</answer>"] * batch,
        scores=[Score(r, "", a) for r, a in zip(rewards, answers, strict=True)],
    )


def test_a_report_counts_what_is_there():
    rollouts = _rollouts([1, 0, 0, 0, 1, 1], [2, 4, 8, 3, 1, 6], ["a", "b", None, "c", "d", "d"])
    report = summarize([rollouts], "m", load_task("addition"), samples=2, seconds=2.0)
    assert report.problems == 3 and report.pass_at_k == {"1": pytest.approx(0.5), "2": pytest.approx(2 / 3)}
    assert report.maj_at_k["2"] == pytest.approx(2 / 3)
    assert report.mean_length == 4.0 and report.truncated == pytest.approx(1 / 6)
    assert report.per_problem == [0.5, 0.0, 1.0] and report.tokens_per_second == 12.0
    low, high = report.interval["pass_at_1"]
    assert 0 <= low < 0.5 < high <= 1
    assert report.well_formed == 0.0, "an answer alone has no thought: not the form that `format` asks for"


def test_a_report_counts_votes_by_value_and_not_by_spelling():
    answers: list[str | None] = ["72", "9", "72.0", "9", "9", "$72", "72 clips", "?"]
    rollouts = _rollouts([a in ("72", "72.0", "$72", "72 clips") for a in answers], [1] * 8, answers)
    task = replace(load_task("addition"), verifier=VERIFIERS["number"])
    assert summarize([rollouts], "m", task, samples=8, seconds=1.0).maj_at_k["8"] == 1.0
    code = replace(task, verifier=VERIFIERS["code"])
    assert summarize([rollouts], "m", code, samples=8, seconds=1.0).maj_at_k["8"] == 0.0, "texts: three votes for 9"


def test_evaluation_is_seeded_and_uses_held_out_problems(tiny):
    task = load_task("countdown")
    first, again = (evaluate(tiny, task, samples=4, limit=6, max_new_tokens=64) for _ in range(2))
    assert first.per_problem == again.per_problem and first.examples == again.examples
    held_out = {p.prompt for p in task.sample(10_000, "test")}
    assert {e["prompt"] for e in first.examples} <= held_out
    assert set(first.to_dict()) >= {
        "model",
        "task",
        "problems",
        "samples",
        "pass_at_k",
        "maj_at_k",
        "interval",
    }
    assert all(math.isfinite(v) for v in first.behaviours.values())


def test_batches_do_not_change_an_evaluation(tiny):
    task = load_task("addition")
    whole = evaluate(tiny, task, samples=4, limit=10, batch_rows=1000)
    parts = evaluate(tiny, task, samples=4, limit=10, batch_rows=8)
    assert whole.per_problem == parts.per_problem


# ------------------------------------------------------------------------------------------------ plain reports


def plain(rewards: list[float], passes: list[float], **changes: Any) -> dict[str, Any]:
    lists = {"rewards_per_problem": rewards, "per_problem": passes}
    means = {"mean_reward": np.mean(rewards), "pass_at_k": {"1": np.mean(passes)}}
    return lists | means | changes


@pytest.mark.parametrize(
    ("report", "answer"),
    [
        (plain([0.5, 1.0], [0.5, 1.0]), False),
        (plain([0.25, 1.0], [0.0, 1.0]), True),
        (plain([0.75, 0.75], [0.5, 1.0]), True),  # the means agree by chance
        (plain([1.0], [1.0], rewards_per_problem=[], mean_reward=2.0), True),
        (plain([1.0], [1.0], rewards_per_problem=[None], mean_reward=None), False),  # NaN, as JSON has it
        (plain([1.0], [1.0], rewards_per_problem=[], mean_reward=float("nan")), False),
        ({}, False),
    ],
)
def test_rewards_are_graded_where_they_say_more_than_right_and_wrong(report: dict[str, Any], answer: bool):
    assert graded(report) is answer


def test_reports_of_both_kinds_are_shown_accordingly():
    for rewards, shown in ([1, 0, 1, 1], False), ([0.25, 0, 1, 1], True):
        rollouts = _rollouts(rewards, [2, 4, 8, 3], ["a", "b", "c", "d"])
        report = summarize([rollouts], "m", load_task("addition"), samples=2, seconds=1.0)
        assert ("mean reward" in str(report)) is shown
        after = report.to_dict()
        assert ("mean reward" in gains({"before": after, "after": after})) is shown


# -------------------------------------------------------------------------------------------------- calibration


def test_a_model_that_never_decides_is_calibrated_and_half_right():
    confidence, right = pair_confidence(np.zeros(40))
    assert right.mean() == 0.5 and calibration_error(confidence, right) == 0


def test_the_trainer_and_the_figure_count_ties_alike():
    margins = torch.tensor([0.0, 0.0, 0.3, -0.2, 2.0, 2.0])
    low, high = calibration(margins, bins=2)
    assert (low["count"], low["observed"]) == (4, 0.5) and high["observed"] == 1.0
    (row,) = calibration_bins(*pair_confidence(margins.numpy()), bins=1)
    assert row["observed"] == pytest.approx((4 * low["observed"] + 2 * high["observed"]) / 6)


def test_bins_by_edges_hold_each_case_once():
    rng = np.random.default_rng(0)
    predicted = rng.uniform(-0.2, 1.2, 500)  # some lie outside of the edges
    rows = calibration_bins(predicted, predicted > 0.5, bins=np.linspace(0, 1, 5))
    assert sum(row["count"] for row in rows) == 500 and len(rows) == 4
    assert [row["observed"] for row in rows] == [0, 0, 1, 1]
