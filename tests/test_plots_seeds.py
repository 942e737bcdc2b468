"""Figures of a few seeds: what is drawn is the mean, the interval and every seed."""

import numpy as np
import pytest

from labkit import plots
from labkit.evaluation.intervals import t_interval


def labels(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def test_curves_show_the_mean_of_the_seeds_and_bands_stay_inside_the_limits():
    values = np.array([[0.0, 0.9], [0.2, 1.0], [0.1, 0.95]])
    figure = plots.seed_curves({"Share": {"a": values, "b": values[:1]}}, [0, 10], limits=(0, 1), lines={"a": 0.5})
    (axis,) = figure.axes
    assert labels(axis) == ["a", "b"]
    assert axis.get_legend().get_title().get_text() == "mean of 3 seeds; band: 95 %"
    assert np.allclose(axis.lines[0].get_ydata(), [0.1, 0.95])
    (band,) = axis.collections  # one seed has no band
    low, high = t_interval(list(values[:, 1]))
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == 0.0 and heights.max() == 1.0, "the intervals reach beyond 0 and 1"
    assert high > 1.0 and np.isclose(heights, low).any()


def test_a_curve_without_a_value_per_point_is_refused():
    with pytest.raises(ValueError, match=r"a: the shape \(2, 2\) is not \(seeds, 3\)"):
        plots.seed_curves({"": {"a": [[1, 2], [3, 4]]}}, [0, 1, 2])


def test_every_seed_has_its_mark_and_every_mean_its_bar():
    figure = plots.seed_marks(
        {"DPO": {"chosen": [1, 2, 6], "rejected": [0, 0, 0]}, "IPO": {"chosen": [4]}}, ylabel="", title=""
    )
    (axis,) = figure.axes
    assert labels(axis) == ["chosen", "rejected"]
    assert [list(line.get_ydata()) for line in axis.lines[:3]] == [[1, 2, 6], [0, 0, 0], [4]]
    assert [bars.get_segments()[0][0][1] for bars in axis.collections] == [3.0, 0.0, 4.0]
    assert len({tuple(line.get_xdata()) for line in axis.lines[:3]}) == 3


def test_cost_and_value_of_an_arm_are_its_means():
    figure = plots.against_cost(
        {"DPO": ([1.0, 3.0], [0.5, 0.7])}, xlabel="cost", ylabel="gold", title="", line=("plateau", 0.3)
    )
    (axis,) = figure.axes
    assert labels(axis) == ["plateau", "DPO"]
    point = axis.containers[0].lines[0]
    assert np.allclose([point.get_xdata(), point.get_ydata()], [[2.0], [0.6]])
