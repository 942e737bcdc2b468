"""Figures say what they show (titles, units, legend) and can be read in grey; HTML never runs model text."""

import base64
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit import plots
from labkit.errors import UserError
from labkit.plots import METRICS, PALETTE, gallery, learning_curves, rollout_table, token_strip, token_strips
from labkit.plots.curves import interval_of_mean, running_mean
from labkit.plots.tokens import colour, visible
from labkit.worlds.countdown.behaviours import behaviours
from tests.fake_run import REPORT, FakeRun, Reader

FIELDS_OF_A_RUN = """
step reward_mean reward_std pass_rate response_length truncated format_rate attempts backtracks entropy kl
ratio_mean clip_fraction grad_norm lr loss zero_variance_groups skipped mismatch_mean mismatch_max ess tokens
tokens_per_second seconds time_sample time_verify time_logprobs time_train elapsed
""".split()


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path / "a")


# -------------------------------------------------------------------------------------------------- metrics


def test_every_logged_field_is_documented():
    assert set(FIELDS_OF_A_RUN) | set(behaviours("")) <= set(METRICS)
    for field, (title, unit, description) in METRICS.items():
        assert title and description.endswith("."), field
        assert unit == unit.strip(), field


def test_titles_of_metrics_are_distinct():
    titles = [entry.title for entry in METRICS.values()]
    assert len(set(titles)) == len(titles)


# --------------------------------------------------------------------------------------------------- curves


def _legend(figure: Any) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_learning_curves_name_what_they_show(run: FakeRun):
    figure = learning_curves(run, ["pass_rate", "response_length"])
    axes = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in axes] == ["Pass rate", "Response length"]
    assert [axis.get_xlabel() for axis in axes] == ["step", "step"]
    assert [axis.get_ylabel() for axis in axes] == ["share of samples", "tokens"]
    assert _legend(figure) == ["r1-zero-tiny"]
    assert "r1-zero-tiny" in figure.get_suptitle()


def test_all_panels_show_the_same_steps(run: FakeRun):
    figure = learning_curves(run, ["pass_rate", "response_length"])
    ends = {(line.get_xdata()[0], line.get_xdata()[-1]) for axis in figure.axes for line in axis.lines}
    assert ends == {(0, 29)}


def test_one_run_is_drawn_raw_and_smoothed(run: FakeRun):
    thin, thick = learning_curves(run, ["pass_rate"], smooth=5).axes[0].lines
    raw = np.array([line["pass_rate"] for line in run.metrics])
    assert np.allclose(thin.get_ydata(), raw)
    assert np.allclose(thick.get_ydata(), running_mean(raw, 5))
    assert thick.get_linewidth() > thin.get_linewidth()


def test_seeds_are_averaged_and_get_an_interval(tmp_path: Path):
    seeds = [FakeRun(tmp_path / str(seed), seed) for seed in range(3)]
    figure = learning_curves(seeds, ["pass_rate"], smooth=1)
    *thin, mean = figure.axes[0].lines
    table = np.array([[line["pass_rate"] for line in run.metrics] for run in seeds])
    assert len(thin) == 3
    assert np.allclose(mean.get_ydata(), table.mean(0))
    (band,) = figure.axes[0].collections
    low, high = interval_of_mean(table)
    drawn = band.get_paths()[0].vertices[:, 1]
    assert np.isclose(drawn.min(), low.min()) and np.isclose(drawn.max(), high.max())
    assert _legend(figure) == ["r1-zero-tiny, mean of 3 seeds", "95 % interval"]


def test_two_seeds_are_too_few_for_a_band(tmp_path: Path):
    figure = learning_curves([FakeRun(tmp_path / str(seed), seed) for seed in range(2)], ["pass_rate"])
    assert not figure.axes[0].collections


def test_seeds_of_different_length_are_averaged_where_all_have_steps(tmp_path: Path):
    runs = [FakeRun(tmp_path / "a", 0, steps=30), FakeRun(tmp_path / "b", 1, steps=12)]
    mean = learning_curves(runs, ["pass_rate"]).axes[0].lines[-1]
    assert mean.get_xdata()[-1] == 11


def test_two_recipes_differ_in_colour_and_in_line(tmp_path: Path):
    runs = {"grpo": FakeRun(tmp_path / "a"), "rloo": [FakeRun(tmp_path / "b", 1), FakeRun(tmp_path / "c", 2)]}
    figure = learning_curves(runs, ["pass_rate"])
    main = [line for line in figure.axes[0].lines if line.get_linewidth() == 2]
    assert [line.get_color() for line in main] == list(PALETTE[:2])
    assert len({line.get_linestyle() for line in main}) == 2
    assert _legend(figure) == ["grpo", "rloo, mean of 2 seeds"]


def test_values_that_were_not_finite_are_gaps(run: FakeRun):
    drawn = learning_curves(run, ["entropy"]).axes[0].lines[0].get_ydata()
    assert np.isnan(drawn).all()


def test_figures_are_not_left_open(run: FakeRun):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    learning_curves(run)
    plots.before_after({"before": REPORT})
    assert plt.get_fignums() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"fields": ["pass_rat"]},
            "no run has logged pass_rat; there is: entropy, pass_rate, response_length",
        ),
        ({"fields": []}, "at least one field"),
        ({"labels": ["a", "b"]}, "1 runs need as many labels, not 2"),
    ],
)
def test_wrong_arguments_are_named(run: FakeRun, arguments: dict[str, Any], words: str):
    with pytest.raises(UserError, match=re.escape(words)):
        learning_curves([run], **arguments)


def test_a_run_without_steps_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"the run r1-zero-tiny has no steps to draw yet"):
        learning_curves(FakeRun(tmp_path / "a", steps=0))
    with pytest.raises(UserError, match="at least one run"):
        learning_curves([])


def test_interval_of_the_mean_is_students():
    # Textbook: 1..5 has mean 3, standard error sqrt(2.5 / 5); t(0.975, 4) = 2.7764.
    low, high = interval_of_mean(np.arange(1.0, 6.0)[:, None])
    half = 2.7764 * math.sqrt(0.5)
    assert np.allclose([low[0], high[0]], [3 - half, 3 + half], atol=1e-3)
    with pytest.raises(ValueError, match="at least two"):
        interval_of_mean(np.ones((1, 4)))


# ----------------------------------------------------------------------------------------------- evaluations


def test_before_and_after_as_curves_with_intervals():
    after = {**REPORT, "pass_at_k": {"1": 0.7, "2": 0.8, "4": 0.9}, "interval": {"pass_at_1": [0.6, 0.75]}}
    figure = plots.before_after({"recipe": "r1-zero-tiny", "before": REPORT, "after": after, "steps": 60})
    (axis,) = figure.axes
    assert axis.get_title(loc="left") == "Held-out problems: countdown"
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("k (samples per problem)", "pass@k (share of problems)")
    assert [t.get_text() for t in axis.get_legend().get_texts()] == [
        "before: pass@1 0.20",
        "after: pass@1 0.70",
    ]
    assert [t.get_text() for t in axis.get_xticklabels()] == ["1", "2", "4"]
    bars = [container.lines[2][0].get_segments()[0][:, 1].tolist() for container in axis.containers]
    assert np.allclose(bars, [[0.15, 0.26], [0.6, 0.75]])
    curves = [container.lines[0] for container in axis.containers]
    assert len({(c.get_color(), c.get_marker(), c.get_linestyle()) for c in curves}) == 2
    assert {c.get_color() for c in curves} <= set(PALETTE)


def test_pass_at_1_alone_is_drawn_as_bars():
    figure = plots.before_after({"before": {**REPORT, "pass_at_k": {"1": 0.2}}})
    assert [bar.get_height() for bar in figure.axes[0].patches] == [0.2]
    assert figure.axes[0].get_ylabel() == "pass@1 (share of problems)"


def test_before_after_wants_an_evaluation():
    with pytest.raises(UserError, match="no evaluation to draw"):
        plots.before_after({"seed": 0, "before": None})


@pytest.mark.parametrize("draw", [plots.length_histogram, plots.advantage_histogram])
def test_histograms_count_every_answer(draw: Any, run: FakeRun):
    rows = run.rollouts()
    (axis,) = draw(rows).axes
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    assert sum(int(re.search(r"\((\d+)\)", name).group(1)) for name in names) == len(rows) == 90
    assert axis.get_title(loc="left") and axis.get_xlabel() and axis.get_ylabel() == "answers"
    with pytest.raises(UserError, match="no rollouts"):
        draw([])


# ------------------------------------------------------------------------------------------------------ HTML


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<think>",
    "&lt;",
    "</div>\n",
    "\x1b[31m",
]


def test_tokens_are_shown_as_written_and_never_run():
    page = Reader(token_strip(HOSTILE, 0.5, "advantage", legend=False))
    assert {tag for tag, _ in page.tags} == {"div", "span", "br"}
    assert page.text == "".join(HOSTILE).replace("\n", "⏎").replace("\x1b", "\\x1b")


def test_a_token_tells_its_number():
    spans = [
        a for tag, a in Reader(token_strip(["a", "b"], [1.25, None], "log-prob", legend=False)).tags if tag == "span"
    ]
    assert [span["title"] for span in spans] == ["log-prob 1.250", "log-prob not known"]


def test_strips_of_one_text_share_a_scale_and_a_legend():
    page = token_strips(["a", "<b>"], {"outcome <1>": 1.0, "process": [0.5, -4.0]})
    assert page.count("&lt;b&gt;") == 2 and "outcome &lt;1&gt;" in page and "<b>" not in page
    assert page.count(">+4.00<") == 1 == page.count(">-4.00<"), "one legend, as far as the largest number"
    assert page.count("#ffffff") == 1, "0 stands in the legend alone: full colour is that of all strips"
    with pytest.raises(ValueError, match="2 tokens and 1 values"):
        token_strips(["a", "b"], {"x": [1.0]})


def test_no_value_is_no_colour_and_wrong_numbers_are_refused():
    assert "title=" not in token_strip(["a", "b"], None)
    with pytest.raises(ValueError, match="2 tokens and 1 values"):
        token_strip(["a", "b"], [1.0])


def test_the_legend_shows_the_sides_that_occur():
    assert "-2.00" in token_strip(["a"], [-2.0]) and "+2.00" not in token_strip(["a"], [-2.0])
    assert "-1.00" in token_strip(["a", "b"], [-1.0, 0.5]) and "+1.00" in token_strip(["a", "b"], [-1.0, 0.5])


def _luminance(hexadecimal: str) -> float:
    """Relative luminance, WCAG 2.1."""
    channels = [int(hexadecimal[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("value", [-5.0, -1.0, -0.3, 0.0, 0.3, 1.0, 5.0, math.nan])
def test_letters_stand_out_from_every_colour(value: float):
    ink, ground = _luminance("#111111"), _luminance(colour(value, 1.0))
    assert (ground + 0.05) / (ink + 0.05) > 7  # WCAG AAA


def test_line_breaks_are_seen():
    assert visible("a\nb") == "a⏎<br>b"


def test_gallery_follows_one_problem_through_the_run(run: FakeRun):
    shown = gallery(run, colour="advantage")
    assert [row["step"] for row in shown.rows] == [0, 7, 14, 22, 29]
    assert {row["prompt"] for row in shown.rows} == {"5,6,1->30:"}
    assert Reader(shown._repr_html_()).text.startswith("One problem through the run: 5,6,1->30:")
    assert "step 29, reward 1" in str(shown)
    assert [row["step"] for row in gallery(run, steps=[3, 4, 99]).rows] == [3, 4]


def test_gallery_without_a_recurring_problem_takes_one_rollout_a_step(run: FakeRun):
    class Other:
        def rollouts(self, step: int | None = None) -> list[dict[str, Any]]:
            return [row for row in run.rollouts() if row["group"] == 1]

    page = Reader(gallery(Other())._repr_html_())
    assert "29,1->30:" in page.text and "script" not in {tag for tag, _ in page.tags}
    assert "<script>alert(1)</script>" in page.text


def test_tables_say_what_they_lack(run: FakeRun):
    with pytest.raises(UserError, match="no rollouts to show"):
        rollout_table([])
    with pytest.raises(UserError, match="not by 'entropy'"):
        rollout_table(run.rollouts(0), colour="entropy")
    with pytest.raises(UserError, match="no rollouts with this prompt; steps with some: none"):
        gallery(run, prompt="unknown")
    assert len(rollout_table(run.rollouts(), limit=3).rows) == 3


def test_a_figure_is_stored_once_sharp_and_described(tmp_path: Path):
    figure = learning_curves(FakeRun(tmp_path / "run"), ["pass_rate", "response_length"], title="Mine <b>")
    bundle = figure._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    ((_, image),) = Reader(bundle["text/html"]).tags
    assert image["alt"] == bundle["text/plain"] and image["alt"].startswith("Figure: Mine <b>. Pass rate: ")
    assert "Response length: tokens over step: r1-zero-tiny from 45.5 to 73.5" in image["alt"]
    picture = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
    width = int.from_bytes(picture[16:20], "big")
    assert width // 2 == int(image["width"]) >= 500


def test_signs_are_told_apart_without_colour():
    tags = Reader(token_strip(["a", "b", "c"], [1.0, -1.0, 0.0])).tags
    lines = [re.search(r"border-bottom:2px (\w+) ", attributes["style"]) for tag, attributes in tags if tag == "span"]
    kinds = [found.group(1) for found in lines if found]
    assert kinds == ["solid", "dashed", "solid", "dashed", "solid", "solid"]  # the tokens, then the legend's keys
