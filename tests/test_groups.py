"""Groups of seeds: hand-made differences, coverage by simulation, correction, equivalence, what could be resolved."""

from pathlib import Path

import numpy as np
import pytest

import labkit as lk
from labkit.errors import UserError
from labkit.evaluation.comparison.groups import holm
from labkit.evaluation.intervals import t_interval, t_tail
from tests.made_runs import make_run


def test_without_problems_it_is_the_paired_t_test():
    a, b = [0.50, 0.55, 0.52, 0.60], [0.58, 0.60, 0.62, 0.65]
    found = lk.compare_groups({"a": a, "b": b}, "score")["b", "a"]
    paired = t_interval([y - x for x, y in zip(a, b, strict=True)])
    assert found.mean == pytest.approx(0.07)
    assert found.interval == pytest.approx(list(paired), abs=0.003)
    t = 0.07 / (np.std(np.subtract(b, a), ddof=1) / 2)
    assert found.p == pytest.approx(2 * t_tail(t, 3), abs=0.004)


def test_seeds_are_paired_by_their_number_not_by_their_place(tmp_path: Path):
    problems = np.linspace(0, 0.8, 20)
    one = [make_run(tmp_path / f"a{s}", (problems + s / 20).tolist(), seed=s) for s in (0, 1, 2, 3)]
    two = [make_run(tmp_path / f"b{s}", (problems + s / 20 + 0.05).tolist(), seed=s) for s in (3, 1, 2)]
    found = lk.compare_groups({"one": one, "two": two})["two", "one"]
    assert found.seeds == [1, 2, 3] and found.problems == 20
    assert found.mean == pytest.approx(0.05) and found.interval == pytest.approx([0.05, 0.05])
    assert found.resolved


def simulate(rng: np.random.Generator, effect: float, seeds: int = 5, problems: int = 40) -> np.ndarray:
    noise = rng.normal(0, 0.03, (seeds, 1)) + rng.normal(0, 0.2, (1, problems)) + rng.normal(0, 0.1, (seeds, problems))
    return effect + noise


def test_coverage_and_false_alarms_where_seeds_and_problems_vary():
    rng = np.random.default_rng(0)
    held, alarms, trials = 0, 0, 150
    for _ in range(trials):
        zero = np.zeros((5, 40))
        found = lk.compare_groups({"a": zero, "b": simulate(rng, 0.1)}, "score")["b", "a"]
        held += found.interval[0] <= 0.1 <= found.interval[1]
        alarms += lk.compare_groups({"a": zero, "b": simulate(rng, 0.0)}, "score")["b", "a"].resolved
    assert held / trials > 0.9 and alarms / trials < 0.1


def test_what_it_says_it_could_have_resolved_it_resolves_four_times_in_five():
    rng = np.random.default_rng(1)
    noise = np.hypot(0.03, 0.1 / np.sqrt(40)), np.hypot(0.2, 0.1 / np.sqrt(5))
    smallest = lk.power(5, 40, sd_seeds=noise[0], sd_problems=noise[1])
    zero, trials = np.zeros((5, 40)), 150
    found = [lk.compare_groups({"a": zero, "b": simulate(rng, smallest)}, "s")["b", "a"] for _ in range(trials)]
    assert 0.7 < np.mean([f.resolved for f in found]) < 0.95
    assert np.median([f.smallest for f in found]) == pytest.approx(smallest, rel=0.15)


def test_holm_by_hand_and_more_groups_cost_power():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    a, b = [0.50, 0.52, 0.49, 0.51], [0.53, 0.56, 0.51, 0.55]
    alone = lk.compare_groups({"a": a, "b": b}, "score")
    many = lk.compare_groups({"a": a, "b": b, "c": a[::-1], "d": a[1:] + a[:1]}, "score")
    assert many["b", "a"].p == pytest.approx(3 * alone["b", "a"].p, rel=1e-6)
    assert many["b", "a"].smallest > alone["b", "a"].smallest
    assert "3 comparisons" in str(many) and "comparisons" not in str(alone)


def test_equivalence_needs_an_interval_inside_the_margin():
    rng = np.random.default_rng(0)
    a = rng.normal(0.5, 0.01, 8)
    noise = 0.004 * np.array([1, -1, 1, -1, 1, -1, 1, -0.9])
    same = lk.compare_groups({"a": a, "b": a + noise}, "score", margin=0.02)["b", "a"]
    assert same.equivalent and not same.resolved and "equivalent within 0.02" in same.verdict
    tight = lk.compare_groups({"a": a, "b": a + noise}, "score", margin=0.001)["b", "a"]
    assert not tight.equivalent and tight.verdict == "not resolved"
    far = lk.compare_groups({"a": a, "b": a + 0.1}, "score", margin=0.02)["b", "a"]
    assert far.resolved and far.equivalent is False
    assert lk.compare_groups({"a": a, "b": a}, "score")["b", "a"].equivalent is None


def test_intervals_of_shares_stay_in_range():
    shares = {"a": [0.90, 0.99, 1.0], "b": [0.02, 0.0, 0.05]}
    found = lk.compare_groups(shares, "share", limits=(0, 1))
    assert all(0 <= g.interval[0] < g.mean < g.interval[1] <= 1 for g in found.groups)
    low, high = t_interval([100.0, 20.0, 180.0], "log")
    assert 0 < low < 100 < high
    assert t_interval([1.0, 1.0, 1.0], "logit") == (1.0, 1.0)
    with pytest.raises(UserError, match="from 0 to 1"):
        t_interval([0.5, 1.5], "logit")


def test_pairs_are_chosen_and_asked_for_by_name():
    groups = {name: [0.1 * k, 0.1 * k + 0.01, 0.1 * k] for k, name in enumerate("abc")}
    assert len(lk.compare_groups(groups, "s", pairs="all").differences) == 3
    found = lk.compare_groups(groups, "s", pairs=[("c", "b")])
    assert found["c", "b"].mean == pytest.approx(0.1)
    with pytest.raises(UserError, match="there is no difference 'b' minus 'a'"):
        found["b", "a"]


@pytest.mark.parametrize(
    ("groups", "options", "words"),
    [
        ({"a": [0.1, 0.2]}, {}, "two groups"),
        ({"a": [0.1, 0.2], "b": [0.1]}, {}, "at least two"),
        ({"a": {0: 0.1, 1: 0.2}, "b": {2: 0.1, 3: 0.2}}, {}, r"share too few seeds \(none\)"),
        ({"a": [[0.1, 0.2]] * 2, "b": [[0.1]] * 2}, {}, "2 and 1 problems"),
        ({"a": [0.1, float("nan")], "b": [0.1, 0.2]}, {}, "finite"),
        ({"a": [0.1, 0.2], "b": [0.1, 0.2]}, {"margin": 0.0}, "above 0"),
        ({"a": [0.1, 0.2], "b": [0.1, 0.2]}, {"pairs": [("a", "c")]}, "no pair"),
        ({"a": ["nowhere"], "b": ["nowhere"]}, {}, "no run in nowhere"),
    ],
)
def test_what_cannot_be_compared_says_why(groups: dict, options: dict, words: str):
    with pytest.raises(UserError, match=words):
        lk.compare_groups(groups, "score" if "nowhere" not in str(groups) else "pass_at_1", **options)


def test_runs_must_be_finished_alike_and_once_per_seed(tmp_path: Path):
    one = [make_run(tmp_path / f"a{s}", [0.5, 0.2], seed=s) for s in (0, 1)]
    two = [make_run(tmp_path / f"b{s}", [0.5, 0.2], seed=s, evaluation={"seed": 7}) for s in (0, 1)]
    with pytest.raises(UserError, match=r"evaluation\.seed"):
        lk.compare_groups({"one": one, "two": two})
    with pytest.raises(UserError, match="two runs with seed 0"):
        lk.compare_groups({"one": [one[0], make_run(tmp_path / "again", [0.5, 0.2])], "two": one})
    stopped = make_run(tmp_path / "stopped", None, seed=1, status="interrupted")
    with pytest.raises(UserError, match="no pass_at_1 after training"):
        lk.compare_groups({"one": one, "two": [one[0], stopped]})
    measured = lk.compare_groups({"one": one, "two": one}, lambda run: run.recipe["seed"])
    assert measured["two", "one"].mean == 0


def test_power_grows_with_seeds_and_refuses_nonsense():
    few, many = (lk.power(n, 100, sd_seeds=0.05, sd_problems=0.1) for n in (3, 12))
    assert many < few / 2
    assert lk.power(5, 100, sd_seeds=0.05, comparisons=10) > lk.power(5, 100, sd_seeds=0.05)
    with pytest.raises(UserError, match="at least 2 seeds"):
        lk.power(1, 100, sd_seeds=0.05)
