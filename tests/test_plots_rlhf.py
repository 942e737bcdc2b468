"""Figures of RLHF say what they show, can be read in grey, and draw the numbers that they were given."""

import math
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from labkit import plots
from labkit.errors import UserError
from labkit.evaluation.intervals import wilson_interval
from labkit.evaluation.selection import best_of_n_curve
from labkit.plots import PALETTE


def a_run(seed: int = 0, steps: int = 40) -> SimpleNamespace:
    rng = np.random.default_rng(seed)
    lines = []
    for step in range(steps):
        kl = 0.02 * step
        lines.append(
            {
                "step": step,
                "kl": kl,
                "response_length": 10.0,
                "reward_mean": 0.2 + kl + rng.normal(0, 0.01),
                "gold_mean": 1.0 + kl - kl**2 + rng.normal(0, 0.01),
                "logprob_chosen": -20.0 - 0.1 * step,
                "logprob_rejected": -22.0 - 0.3 * step,
            }
        )
    return SimpleNamespace(metrics=lines, recipe={"name": "ppo-assistant-tiny"})


def legend(axis: Any) -> list[str]:
    return [text.get_text() for text in axis.get_legend().get_texts()]


def differ_in_grey(lines: list[Any]) -> bool:
    """Whether lines are told apart without colour."""
    looks = {(str(x.get_linestyle()), x.get_marker(), x.get_markerfacecolor() == "white") for x in lines}
    return len(looks) == len(lines)


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    proxy = np.random.default_rng(0).normal(size=(40, 32))
    return best_of_n_curve(proxy, {"gold": 1 + proxy - 0.5 * proxy**2})


# -------------------------------------------------------------------------------------------- over-optimisation


def test_rl_and_best_of_n_share_one_axis(rows: list[dict[str, Any]]):
    (axis,) = plots.over_optimization({"RL": [a_run(i) for i in range(3)], "best-of-n": rows}, smooth=1).axes
    assert "√KL" in axis.get_xlabel() and "nats of an answer" in axis.get_xlabel() and axis.get_ylabel()
    assert legend(axis) == [
        "RL, gold, mean of 3 seeds",
        "RL, proxy, mean of 3 seeds",
        "best-of-n, gold",
        "best-of-n, proxy",
    ]
    thick = {line.get_label(): line for line in axis.lines if line.get_linewidth() == 2}
    assert differ_in_grey(list(thick.values()))
    # A run's KL is a token's: the axis is of the whole answer of 10 tokens.
    gold = thick["RL, gold, mean of 3 seeds"]
    assert gold.get_xdata()[-1] == pytest.approx(math.sqrt(0.02 * 39 * 10))
    means = np.mean([[line["gold_mean"] for line in a_run(i).metrics] for i in range(3)], axis=0)
    assert np.allclose(gold.get_ydata(), means)
    # Best-of-n's KL is an answer's already.
    proxy = thick["best-of-n, proxy"]
    assert np.allclose(proxy.get_xdata(), [math.sqrt(row["kl"]) for row in rows])
    assert np.allclose(proxy.get_ydata(), [row["score"] for row in rows])
    bars = [container.lines[2][0].get_segments() for container in axis.containers]
    drawn = np.array([segment[:, 1] for segment in bars[-2]])
    assert np.allclose(drawn, [row["gold_interval"] for row in rows])


def test_gold_and_proxy_may_have_panels_of_their_own(rows: list[dict[str, Any]]):
    figure = plots.over_optimization({"best-of-n": rows, "RL": a_run()}, split=True)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["Gold reward", "Proxy reward"]
    assert legend(figure.axes[0]) == ["best-of-n, gold", "RL, gold"]
    assert legend(figure.axes[1]) == ["best-of-n, proxy", "RL, proxy"]


def test_a_kl_estimate_below_zero_is_drawn_at_zero():
    run = a_run()
    run.metrics[0]["kl"] = -1e-3
    (axis,) = plots.over_optimization({"RL": run}, smooth=1).axes
    assert axis.lines[0].get_xdata()[0] == 0


def test_what_a_curve_lacks_is_named():
    run = a_run()
    del run.metrics[3]["gold_mean"]
    with pytest.raises(UserError, match=r"RL: no 'gold_mean' to draw .* there is: gold_mean, kl"):
        plots.over_optimization({"RL": run})
    with pytest.raises(UserError, match="at least one curve"):
        plots.over_optimization({})
    with pytest.raises(UserError, match="no steps to draw"):
        plots.over_optimization({"RL": SimpleNamespace(metrics=[])})
    with pytest.raises(UserError, match="no run to draw"):
        plots.over_optimization({"RL": []})


# -------------------------------------------------------------------------------------------------- calibration


def test_a_calibrated_forecast_lies_on_the_diagonal_and_a_boaster_below():
    rng = np.random.default_rng(0)
    margins = np.abs(rng.normal(0, 1.5, 4000))
    right = rng.random(4000) < 1 / (1 + np.exp(-margins))
    honest = np.where(right, margins, -margins)
    confidence, happened = plots.pair_confidence(honest)
    assert plots.calibration_error(confidence, happened) < 0.03
    boaster = plots.calibration_error(*plots.pair_confidence(4 * honest))
    assert boaster > 0.1
    rows = plots.calibration_bins(confidence, happened)
    assert sum(row["count"] for row in rows) == 4000
    assert all(row["low"] <= row["observed"] <= row["high"] for row in rows)
    assert sum(row["low"] <= row["predicted"] <= row["high"] for row in rows) >= 6

    (axis,) = plots.calibration({"honest": honest, "boaster": 4 * honest}).axes
    said = legend(axis)
    assert said[0] == "perfectly calibrated" and re.fullmatch(
        r"honest: right 0\.\d\d, calibration error 0\.0\d\d", said[1]
    )
    curves = [container.lines[0] for container in axis.containers]
    assert differ_in_grey(curves) and {c.get_color() for c in curves} <= set(PALETTE)
    assert np.allclose(curves[0].get_xdata(), [row["predicted"] for row in rows])
    assert np.allclose(curves[0].get_ydata(), [row["observed"] for row in rows])
    assert axis.get_xlabel().startswith("said") and axis.get_ylabel().startswith("seen") and axis.get_title(loc="left")


def test_any_forecast_can_be_drawn_and_too_few_cases_cannot():
    p = np.linspace(0.05, 0.95, 20)
    (axis,) = plots.calibration({"rain": (p, p > 0.5)}, bins=4).axes
    assert axis.containers[0].lines[0].get_ydata()[0] == 0
    with pytest.raises(UserError, match="8 bins needs as many cases or more, not 2"):
        plots.calibration([1.0, -1.0])


def test_wilson_interval():
    # Newcombe 1998, table I: 81 of 263 gives .2553 to .3662.
    assert np.allclose(wilson_interval(81, 263), (0.2553, 0.3662), atol=1e-4)
    assert wilson_interval(0, 20)[0] == 0 and wilson_interval(20, 20)[1] == 1
    for wrong in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="wilson_interval needs"):
            wilson_interval(*wrong)


# ----------------------------------------------------------------------------------------------------- win rates


def test_win_rates_are_paired_by_prompt_and_add_up_to_one():
    rng = np.random.default_rng(0)
    base = rng.normal(size=50)
    scores = {"base": base, "better": base + 0.1, "other": rng.normal(size=50)}
    rates = plots.win_rates(scores)
    assert rates["better", "base"] == (1.0, 1.0, 1.0)
    for (one, other), (rate, low, high) in rates.items():
        assert low <= rate <= high and rate + rates[other, one][0] == pytest.approx(1)
    assert rates["base", "other"][0] == np.mean(base > scores["other"])


def test_the_matrix_says_who_wins_how_often_and_how_surely():
    rng = np.random.default_rng(0)
    base = rng.normal(size=60)
    scores = {"base": base, "same": base[::-1].copy(), "better": base + rng.normal(2, 1, 60)}
    figure = plots.win_rate_matrix(scores)
    axis = figure.axes[0]
    rates = plots.win_rates(scores)
    assert [t.get_text() for t in axis.get_yticklabels()] == list(scores)
    assert "60 prompts" in axis.get_title(loc="left") and axis.get_xlabel() == "against"
    written = {(int(t.get_position()[1]), int(t.get_position()[0])): t for t in axis.texts}
    assert len(written) == 6
    for (row, column), text in written.items():
        rate, low, high = rates[list(scores)[row], list(scores)[column]]
        assert text.get_text() == f"{rate:.2f}\n[{low:.2f}, {high:.2f}]"
        assert (text.get_fontweight() == "bold") == (low > 0.5 or high < 0.5)
    assert any(t.get_fontweight() == "bold" for t in axis.texts)
    # Black letters on every colour of the map.
    image = axis.images[0]
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        red, green, blue, _ = image.cmap(image.norm(value))
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.6


@pytest.mark.parametrize("scores", [{}, {"a": [1.0]}, {"a": [1.0], "b": [1.0, 2.0]}, {"a": [], "b": []}])
def test_scores_that_cannot_be_compared_are_refused(scores: dict[str, list[float]]):
    with pytest.raises(UserError, match="equally long lists"):
        plots.win_rates(scores)


# ------------------------------------------------------------------------------------ log-probs and histograms


def test_chosen_and_rejected_are_told_apart():
    figure = plots.logprob_curves({"DPO": a_run(), "IPO": a_run(1)}, smooth=1)
    left, right = figure.axes
    assert legend(left) == ["chosen", "rejected"]
    assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("DPO", "IPO")
    assert left.get_xlabel() == "step" and "nats" in left.get_ylabel()
    chosen, rejected = [line for line in left.lines if line.get_linewidth() == 2]
    assert chosen.get_ydata()[-1] == pytest.approx(-23.9) and rejected.get_ydata()[-1] == pytest.approx(-33.7)
    assert chosen.get_linestyle() != rejected.get_linestyle()
    with pytest.raises(UserError, match="DPO has not logged a and b; there is: gold_mean"):
        plots.logprob_curves({"DPO": a_run()}, fields=("a", "b"))
    with pytest.raises(UserError, match="at least one run"):
        plots.logprob_curves({})


def test_one_updates_histograms_count_every_token():
    advantages = np.array([1.0, 1.0, -1.0, -1.0, 0.0, 0.5])
    ratios = np.array([1.5, 0.5, 1.5, 0.5, 3.0, 1.0])  # clipped: the first (A > 0, above) and the fourth (A < 0, below)
    left, right = plots.update_histograms(advantages, ratios).axes
    assert legend(left) == ["pushed up (3)", "pushed down (2)", "no signal (1)"]
    assert legend(right) == ["kept (4)", "clipped (2)"]
    assert sum(bar.get_height() for bar in right.patches) == 6
    assert {bar.get_hatch() for bar in left.patches} == {"", "//", ".."}
    dashed = [line.get_xdata()[0] for line in right.lines if line.get_linestyle() == "--"]
    assert dashed == [0.8, 1.2]
    assert legend(plots.update_histograms([1.0, -1.0], [1.0, 1.0]).axes[0]) == ["pushed up (1)", "pushed down (1)"]


@pytest.mark.parametrize(
    ("advantages", "ratios", "words"),
    [
        ([1.0], [1.0, 1.0], "not 1 and 2"),
        ([], [], "not 0 and 0"),
        ([1.0], [0.0], "positive, finite ratios"),
        ([math.nan], [1.0], "finite advantages"),
    ],
)
def test_histograms_of_what_is_no_update_are_refused(advantages: list[float], ratios: list[float], words: str):
    with pytest.raises(UserError, match=words):
        plots.update_histograms(advantages, ratios)


def test_figures_are_not_left_open(rows: list[dict[str, Any]]):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    plots.over_optimization({"best-of-n": rows})
    plots.calibration(np.linspace(-1, 3, 40))
    plots.win_rate_matrix({"a": [1.0, 2.0], "b": [2.0, 1.0]})
    plots.logprob_curves(a_run())
    assert plt.get_fignums() == before
