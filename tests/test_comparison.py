"""Comparing runs: paired differences, seeds, warnings, and what it looks like."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labkit as lk
from labkit.errors import UserError
from labkit.evaluation.comparison import Comparison
from labkit.evaluation.intervals import bootstrap_interval, t_interval, t_quantile
from labkit.plots.comparison import compare
from labkit.recipes import Recipe
from labkit.training import train
from tests.made_runs import make_run
from tests.mini_run import mini_recipe, save_random_model

# ------------------------------------------------------------------------------------------ paired


def test_paired_difference_by_hand(tmp_path: Path):
    first = make_run(tmp_path / "first", [0.0, 0.5, 1.0, 0.0, 1.0])
    second = make_run(tmp_path / "second", [0.5, 0.5, 1.0, 1.0, 0.5], seed=1)
    (pair,) = compare([first, second]).pairs
    assert (pair.first, pair.second, pair.why_not) == ("first", "second", None)
    assert pair.difference == pytest.approx(0.2)
    assert pair.interval == list(bootstrap_interval([0.5, 0.0, 0.0, 1.0, -0.5]))
    assert (pair.problems, pair.better, pair.worse) == (5, 2, 1)
    (back,) = compare([second, first]).pairs
    assert back.difference == pytest.approx(-0.2)
    assert (back.better, back.worse) == (1, 2)


def test_pairing_makes_the_interval_narrow(tmp_path: Path):
    hardness = np.linspace(0, 0.9, 60)
    first = make_run(tmp_path / "first", hardness.tolist())
    second = make_run(tmp_path / "second", (hardness + 0.1).tolist(), seed=1)
    comparison = compare([first, second])
    low, high = comparison.pairs[0].interval or (0, 0)
    assert low == pytest.approx(0.1) and high == pytest.approx(0.1)
    before, after = (row.after_interval or [0, 0] for row in comparison.runs)
    assert after[0] < before[1], "unpaired, the two overlap"


def test_each_run_is_paired_with_the_first(tmp_path: Path):
    runs = [make_run(tmp_path / name, [0.5] * 4, seed=i) for i, name in enumerate("abc")]
    assert [(p.first, p.second) for p in compare(runs).pairs] == [("a", "b"), ("a", "c")]
    assert compare(runs[0]).pairs == []


@pytest.mark.parametrize(
    ("after", "changes", "words"),
    [
        ([0.5] * 5, {}, ["problems (4 and 5)"]),
        ([0.5] * 4, {"evaluation": {"seed": 7}}, ["evaluation seed (1234 and 7)"]),
        ([0.5] * 4, {"evaluation": {"temperature": 0.0}}, ["temperature (1.0 and 0.0)"]),
        ([0.5] * 4, {"sampling": {"max_new_tokens": 99}}, ["longest completion (256 and 99)"]),
        ([0.5] * 4, {"facts": {"data_fingerprint": "xyz"}}, ["data fingerprint (abc and xyz)"]),
        (None, {"status": "interrupted"}, ["other has no evaluation after training"]),
    ],
)
def test_what_cannot_be_paired_says_why(
    tmp_path: Path, after: list[float] | None, changes: dict[str, Any], words: list[str]
):
    runs = [make_run(tmp_path / "one", [0.5] * 4), make_run(tmp_path / "other", after, **changes)]
    comparison = compare(runs)
    (pair,) = comparison.pairs
    assert pair.difference is None and pair.interval is None
    assert all(word in (pair.why_not or "") for word in words), pair.why_not
    assert "cannot be paired" in str(comparison)


def test_the_same_problems_with_more_samples_can_be_paired(tmp_path: Path):
    one = make_run(tmp_path / "one", [0.5] * 4)
    other = make_run(tmp_path / "other", [0.75] * 4, evaluation={"samples": 64})
    assert compare([one, other]).pairs[0].difference == pytest.approx(0.25)


# ------------------------------------------------------------------------------------------- seeds


def test_seeds_of_one_recipe_are_summarised_apart_from_another(tmp_path: Path):
    plain = [make_run(tmp_path / f"p{s}", [x] * 4, seed=s) for s, x in enumerate([0.6, 0.7, 0.8])]
    fast = [make_run(tmp_path / f"f{s}", [x] * 4, seed=s, optimizer={"lr": 1e-3}) for s, x in enumerate([0.5, 0.9])]
    comparison = compare([*plain, *fast])
    first, second = comparison.seeds
    assert (first.recipe, first.n, first.seeds) == ("some (lr=0.0002)", 3, [0, 1, 2])
    assert first.after == pytest.approx(0.7)
    assert first.interval == pytest.approx([0.7 - 0.24841, 0.7 + 0.24841], abs=1e-4)  # 4.3027 * 0.1 / sqrt(3)
    assert (second.recipe, second.n) == ("some (lr=0.001)", 2)
    assert comparison.settings == {"optimizer.lr": [2e-4, 2e-4, 2e-4, 1e-3, 1e-3]}
    assert comparison.warnings == []


def test_a_seed_that_was_run_twice_counts_once(tmp_path: Path):
    runs = [make_run(tmp_path / name, [x] * 4, seed=s) for name, s, x in [("a", 0, 0.5), ("b", 0, 0.7), ("c", 1, 0.9)]]
    comparison = compare(runs)
    assert (comparison.seeds[0].n, comparison.seeds[0].after) == (2, pytest.approx(0.7))
    assert any("seed 0" in line and "2 times" in line for line in comparison.warnings)


def test_one_seed_is_no_group_and_bookkeeping_is_no_difference(tmp_path: Path):
    one = make_run(tmp_path / "one", [0.5] * 4)
    two = make_run(tmp_path / "two", [0.5] * 4, seed=1, checkpoint_every=3, rollouts_logged=2)
    assert compare(one).seeds == []
    comparison = compare([one, two])
    assert comparison.settings == {} and comparison.seeds[0].n == 2


def test_t_quantile_against_tables():
    known = {1: 12.706, 2: 4.303, 5: 2.571, 10: 2.228, 11: 2.201, 15: 2.131, 20: 2.086, 30: 2.042, 120: 1.980}
    for freedom, quantile in known.items():
        assert t_quantile(freedom) == pytest.approx(quantile, abs=6e-4), freedom


def test_t_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(4000):
        low, high = t_interval(rng.normal(3.0, 2.0, size=3).tolist())
        hits += low <= 3.0 <= high
    assert hits / 4000 == pytest.approx(0.95, abs=0.012)
    with pytest.raises(ValueError, match="at least two"):
        t_interval([1.0])


# ---------------------------------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"facts": {"data_fingerprint": "xyz"}}, ["differ in their data", "abc", "xyz"]),
        ({"steps": 20}, ["differ in steps (60, 20)"]),
        ({"sampling": {"samples": 4}}, ["differ in sampling.samples (8, 4)"]),
        ({"model": "./mine"}, ["differ in model (tiny, ./mine)"]),
        ({"task_options": {"digits": 3}}, ["differ in task_options"]),
        ({"facts": {"device": "a GPU"}}, ["different machines", "a GPU"]),
        ({"status": "interrupted"}, ["other is interrupted after 3 of 60 steps"]),
    ],
)
def test_runs_that_are_not_alike_are_compared_with_a_warning(tmp_path: Path, changes: dict[str, Any], words: list[str]):
    runs = [make_run(tmp_path / "one", [0.5] * 4), make_run(tmp_path / "other", [0.5] * 4, seed=1, **changes)]
    comparison = compare(runs)
    (warning,) = comparison.warnings
    assert all(word in warning for word in words), warning
    assert f"warning: {warning}" in str(comparison)


def test_a_change_of_method_is_no_warning(tmp_path: Path):
    runs = [make_run(tmp_path / "one", [0.5] * 4), make_run(tmp_path / "two", [0.5] * 4, algorithm="rloo")]
    comparison = compare(runs)
    assert comparison.warnings == []
    assert comparison.settings == {"algorithm": ["grpo", "rloo"]}


def test_not_runs(tmp_path: Path):
    with pytest.raises(UserError, match="at least one run"):
        compare([])
    with pytest.raises(UserError, match=r"recipe\.yaml"):
        compare([tmp_path])


# ---------------------------------------------------------------------------------------- what it shows


def test_it_is_text_html_and_plain_data(tmp_path: Path):
    runs = [make_run(tmp_path / "a<b", [0.5] * 4), make_run(tmp_path / "second", [1.0] * 4, seed=1)]
    comparison = compare([run.path for run in runs])
    text = str(comparison)
    assert "0.125 [0.000, 0.375] -> 1.000 [1.000, 1.000]" in text
    assert "+0.500 [+0.500, +0.500]" in text
    assert "20 -> 20" in text and "0.25 -> 0.25" in text and "12 s" in text and "3000" in text
    page = comparison._repr_html_()
    assert "a&lt;b" in page and "a<b" not in page
    plain = json.loads(json.dumps(comparison.to_dict()))
    assert set(plain) == {"runs", "pairs", "seeds", "settings", "warnings"}
    assert plain["runs"][1]["after"] == 1.0 and plain["runs"][0]["path"] == str(tmp_path / "a<b")


def test_runs_with_the_same_name_are_told_apart(tmp_path: Path):
    runs = [make_run(tmp_path / "x" / "run", [0.5] * 4), make_run(tmp_path / "y" / "run", [0.5] * 4, seed=1)]
    assert [row.run for row in compare(runs).runs] == [str(run.path) for run in runs]
    assert len({row.run for row in compare([runs[0], runs[0]]).runs}) == 2


def test_plot_draws_and_writes(tmp_path: Path):
    runs = [make_run(tmp_path / "one", [0.5] * 4), make_run(tmp_path / "two", [0.5] * 4, algorithm="rloo")]
    figure = compare(runs).plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    labels = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert "algorithm=grpo" in labels and "algorithm=rloo" in labels
    with pytest.raises(UserError, match=r"curves\.xyz"):
        compare(runs).plot(tmp_path / "curves.xyz")


def test_what_the_lab_compares_can_draw_itself(tmp_path: Path):
    runs = [make_run(tmp_path / "one", [0.5] * 4), make_run(tmp_path / "two", [0.5] * 4, algorithm="rloo")]
    comparison = lk.compare(runs)
    assert comparison.to_dict() == Comparison.of(runs).to_dict() and str(comparison) == str(Comparison.of(runs))
    assert comparison.plot().legends


def test_really_trained_runs(tmp_path: Path):
    model = save_random_model(tmp_path / "model")
    runs = [
        train(Recipe(name="mini", **mini_recipe(model)), out=tmp_path / f"seed{seed}", seed=seed, progress=False)
        for seed in (0, 1)
    ]
    comparison = compare(runs)
    assert [row.status for row in comparison.runs] == ["finished", "finished"]
    assert comparison.warnings == [] and comparison.pairs[0].why_not is None
    assert comparison.seeds[0].n == 2
    assert all(math.isfinite(row.seconds or math.nan) for row in comparison.runs)
