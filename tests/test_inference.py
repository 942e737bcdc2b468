"""Votes, curves over samples, budget forcing: against brute force, and on the tiny model."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import UserError
from labkit.evaluation.intervals import bootstrap_interval
from labkit.evaluation.report import pass_at_k
from labkit.inference import (
    Sheet,
    best_of_n_accuracy,
    budget_force,
    load_sheet,
    majority,
    majority_curve,
    normal_form,
    record_forcing,
    record_samples,
    until_accepted,
)
from labkit.inference import forcing as forcing_module
from labkit.models import Policy
from labkit.paths import data_path
from labkit.plots import accuracy_against_tokens
from labkit.tasks import load_task
from labkit.verifiers.arithmetic import evaluate_expression
from labkit.worlds.countdown.chains import chains

PROMPTS = ["5,6,1->30:", "8,1,12->84:", "4,5,9->49:", "5,7,5->40:"]


def shuffled(text: str, rng: random.Random) -> str:
    """An expression of three numbers from `chains`, with the sides of + and * swapped at random, and more brackets."""
    import ast

    def write(node: ast.expr) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        assert isinstance(node, ast.BinOp)
        sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}[type(node.op)]
        sides = [write(node.left), write(node.right)]
        if sign in "+*" and rng.random() < 0.5:
            sides.reverse()
        return f"({sides[0]}{sign}{sides[1]})"

    return write(ast.parse(text, mode="eval").body)


def test_normal_form_sees_through_order_and_brackets_and_keeps_values_apart():
    rng = random.Random(0)
    for numbers in [(5, 6, 1), (2, 3, 12), (7, 7, 2), (4, 1, 9)]:
        forms: dict[str, object] = {}
        for chain in chains(numbers):
            text = chain.expression()
            form = normal_form(text)
            assert form is not None
            for _ in range(4):
                assert normal_form(shuffled(text, rng)) == form
            assert forms.setdefault(form, evaluate_expression(text)[0]) == evaluate_expression(text)[0]
        # `chains` lists what is the same sum or product once: the form merges no two of them, but for sums like a-b-c.
        assert len(forms) >= len(chains(numbers)) - 2


@pytest.mark.parametrize("text", ["?", "", "6*", "2**3", "x", "6÷2", None])
def test_what_is_no_expression_does_not_vote(text: str | None):
    assert normal_form(text) is None


def test_normal_form_by_hand():
    assert normal_form("8-(5-11)") == normal_form("11+8-5") != normal_form("8-5-11")
    assert normal_form("12/(3*2)") == normal_form("12/3/2") != normal_form("12/3*2")
    assert normal_form("-(2-5)*3") == normal_form("3*-(2-5)")
    assert normal_form("(1+2)*(3+4)") == normal_form("(4+3)*(2+1)")


def test_majority_breaks_ties_by_who_came_first():
    assert majority(["b", "a", "a", "b"]) == "b"
    assert majority([None, "a"]) == "a"
    assert majority([]) is None


def brute_majority(votes: list[int], right: list[bool], k: int) -> float:
    """The mean over all ordered choices of k of the samples."""
    wins = []
    for chosen in itertools.permutations(range(len(votes)), k):
        winner = majority([votes[i] if votes[i] >= 0 else None for i in chosen])
        wins.append(winner is not None and right[votes.index(winner)])
    return float(np.mean(wins))


def test_majority_curve_is_the_mean_over_choices():
    rng = np.random.default_rng(5)
    votes = rng.integers(-1, 3, (6, 6))
    right = votes == 1
    lengths = rng.integers(5, 50, votes.shape)
    found = majority_curve(votes, right, lengths, ks=[1, 3, 4], draws=4000)
    for p in found:
        exact = [brute_majority(list(v), list(r), p.setting) for v, r in zip(votes, right, strict=True)]
        assert np.allclose(p.per_problem, exact, atol=0.035)
        assert p.tokens == pytest.approx(p.setting * lengths.mean())
        assert p.interval[0] <= p.accuracy <= p.interval[1]


def test_best_of_n_with_the_truth_is_pass_at_n():
    rng = np.random.default_rng(1)
    right = rng.random((20, 8)) < 0.3
    for p in best_of_n_accuracy(right.astype(float), right, np.ones((20, 8), dtype=int)):
        assert np.allclose(p.per_problem, [pass_at_k(8, int(c), p.setting) for c in right.sum(1)])


def test_a_score_that_knows_nothing_gains_nothing():
    rng = np.random.default_rng(2)
    right = rng.random((30, 8)) < 0.4
    curve = best_of_n_accuracy(np.zeros((30, 8)), right, np.ones((30, 8), dtype=int))
    assert [p.accuracy for p in curve] == pytest.approx([right.mean()] * 4)


def test_until_accepted_costs_no_more_than_all_and_is_as_right():
    accepted = np.array([[False, True, False, False]])
    lengths = np.array([[10, 20, 30, 40]])
    one, two, four = until_accepted(accepted, accepted, lengths, ns=[1, 2, 4])
    assert (one.accuracy, two.accuracy, four.accuracy) == (0.25, 0.5, 1.0)
    assert one.tokens == 25
    assert two.tokens == (30 + 20 + 70 + 50) / 4
    assert four.tokens == (30 + 20 + 100 + 70) / 4 < 100


# ------------------------------------------------------------------------------------------ budget forcing


def thought(text: str) -> str:
    return text.partition("<think>")[2].partition("</think>")[0]


def test_a_budget_cuts_and_a_larger_one_begins_the_same(tiny: Policy):
    runs = {budget: budget_force(tiny, PROMPTS, budget=budget, n=3, seed=1) for budget in (4, 16, 200)}
    for budget, run in runs.items():
        assert len(run.completions) == 12 and run.prompts[3] == PROMPTS[1]
        for text, closed, tokens in zip(run.completions, run.closed, run.tokens, strict=True):
            spent = len(tiny.tokenizer.encode(thought(text), add_special_tokens=False))
            assert spent == budget if closed else spent < budget
            assert tokens <= budget + 24
            assert text.count("</think>") == 1 and "</think><answer>" in text
    for short, long in itertools.pairwise(runs.values()):
        for a, b in zip(short.completions, long.completions, strict=True):
            assert thought(b).startswith(thought(a))
    assert all(runs[4].closed) and not all(runs[200].closed)
    assert len(set(runs[200].completions[:3])) > 1, "samples of one prompt are samples"


def test_tokens_are_all_that_was_sampled(tiny: Policy, monkeypatch: pytest.MonkeyPatch):
    real, calls = forcing_module.sample, []

    def watched(*args, **options):
        calls.append(real(*args, **options))
        return calls[-1]

    monkeypatch.setattr(forcing_module, "sample", watched)
    # One row, so that nothing is sampled beyond a row's own budget.
    run = budget_force(tiny, PROMPTS[:1], budget=120, extensions=2, go_on=forcing_module.another_line, seed=4)
    assert sum(int(drawn.lengths.sum()) for drawn in calls) == run.tokens[0]
    assert run.extended[0] == len(calls) - 2


def test_extensions_take_the_end_away(tiny: Policy):
    plain = budget_force(tiny, PROMPTS, budget=200, n=4, seed=2)
    more = budget_force(tiny, PROMPTS, budget=200, n=4, seed=2, extensions=3, go_on=forcing_module.another_line)
    assert plain.extended == [0] * 16 and max(more.extended) == 3
    for a, b, times in zip(plain.completions, more.completions, more.extended, strict=True):
        assert thought(b).startswith(thought(a)) and b.count("</think>") == 1
        assert thought(b).count("\n") >= thought(a).count("\n") + times - 1
    sure = budget_force(tiny, PROMPTS, budget=200, n=4, seed=2, extensions=3, go_on=forcing_module.unless_sure)
    for a, b, times in zip(plain.completions, sure.completions, sure.extended, strict=True):
        if thought(a).endswith(" yes\n"):
            assert (times, thought(b)) == (0, thought(a))


def test_a_word_may_stand_in_for_the_function(tiny: Policy):
    run = budget_force(tiny, PROMPTS[:2], budget=100, extensions=1, go_on="5+", seed=0)
    for text, times in zip(run.completions, run.extended, strict=True):
        assert ("\n5+" in thought(text)) or times == 0


@pytest.mark.parametrize("wrong", [{"budget": 0}, {"budget": 8, "n": 0}, {"budget": 8, "extensions": -1}])
def test_numbers_out_of_range(tiny: Policy, wrong: dict[str, int]):
    with pytest.raises(UserError, match="1 or more"):
        budget_force(tiny, PROMPTS, **wrong)


# ---------------------------------------------------------------------------------------------- recordings


def test_a_recording_holds_what_was_drawn(tiny: Policy, tmp_path: Path):
    task = load_task("countdown")
    problems = task.sample(6, "test", seed=3)
    sheet = record_samples(tiny, task, problems, 8, per_batch=4)
    sheet.forced = [
        record_forcing(tiny, task, problems, 2, budget=budget, extensions=extensions, rule=rule)
        for budget, extensions, rule in [(8, 0, None), (32, 0, None), (32, 1, "always"), (32, 1, "unless_sure")]
    ]
    sheet.save(tmp_path / "sheet.json")
    again = load_sheet(tmp_path / "sheet.json")
    assert again == sheet and isinstance(again, Sheet)
    right, votes = again.table("right"), again.table("votes")
    assert right.shape == votes.shape == again.table("lengths").shape == again.table("accepted").shape == (6, 8)
    for p, problem in enumerate(problems):
        for form, answer in enumerate(again.answers[p]):
            values = {bool(x) for x in right[p][votes[p] == form]}
            assert len(values) == 1, f"one vote, one verdict: {answer} for {problem.prompt}"
        assert not right[p][votes[p] < 0].any()
    budgets = again.forced_curve()
    assert [p.setting for p in budgets] == [8, 32] and budgets[0].tokens < budgets[1].tokens
    assert again.forced_curve("always")[0].setting == 1
    with pytest.raises(UserError, match="no forced budgets"):
        Sheet("m", "t", 0, [], [], [], [], [], []).forced_curve()


def test_a_damaged_recording_is_refused_in_words(tmp_path: Path):
    (tmp_path / "x.json").write_text('{"model": 1}')
    for file in (tmp_path / "x.json", tmp_path / "missing.json"):
        with pytest.raises(UserError, match="holds no recording"):
            load_sheet(file)


def test_the_figure_has_a_panel_a_method_and_a_line_a_model():
    rng = np.random.default_rng(0)
    right = rng.random((12, 8)) < 0.4
    curve = best_of_n_accuracy(right.astype(float), right, rng.integers(5, 60, right.shape))
    figure = accuracy_against_tokens({"oracle": {"tiny": curve, "other": curve}, "vote": {"other": curve[:2]}})
    first, second = figure.axes
    assert first.get_title(loc="left") == "oracle" and len(first.lines) == 2 and len(second.lines) == 1
    assert first.lines[1].get_color() == second.lines[0].get_color(), "a model keeps its colour"
    assert "generated tokens" in first.get_xlabel()
    with pytest.raises(UserError, match="no point"):
        accuracy_against_tokens({"oracle": {}})


RECORDED = ("tiny", "tiny-sft", "tiny-r1-zero", "micro-distilled")


@pytest.mark.parametrize("model", RECORDED)
def test_the_shipped_recordings_are_whole_and_say_how_they_were_made(model: str):
    sheet = load_sheet(data_path("inference", f"{model}-countdown.json"))
    assert (sheet.model, sheet.task) == (model, "countdown")
    right, votes = sheet.table("right"), sheet.table("votes")
    assert right.shape == votes.shape == sheet.table("scores").shape == (64, 32)
    assert sheet.prompts == [p.prompt for p in load_task("countdown").sample(64, "test", seed=1234)]
    assert sheet.made["command"].startswith(f"python -m labkit.inference {model} ")
    for p in range(len(right)):
        for vote in set(votes[p]) - {-1}:
            assert len(set(right[p][votes[p] == vote])) == 1, "one vote, one verdict"
    assert {entry["rule"] for entry in sheet.forced} == {None, "always", "unless_sure"}


def test_each_recorded_model_gains_from_a_vote():
    for model in RECORDED:
        sheet = load_sheet(data_path("inference", f"{model}-countdown.json"))
        one, all_of = majority_curve(*(sheet.table(name) for name in ("votes", "right", "lengths")), ks=[1, 32])
        assert bootstrap_interval(all_of.per_problem - one.per_problem)[0] > 0, model
