"""A teacher's answers as rows: the filter, its control, what they cost, and SFT on them from the file."""

import json

import pytest

from labkit.errors import UserError
from labkit.evaluation.cost import Flops, weights
from labkit.tasks import load_task
from labkit.training import train
from labkit.training.rows.demonstrations import draw_demonstrations
from tests.training.mini import random_policy


@pytest.fixture(scope="module")
def drawn(tiny):
    task = load_task("countdown")
    return [draw_demonstrations(tiny, task, 24, 6, seed=3, verified=v, max_new_tokens=96) for v in (True, False)]


def test_verified_rows_are_right_and_the_control_is_not_chosen(drawn, tiny):
    task = load_task("countdown")
    chosen, control = drawn
    problems = {p.prompt: p for p in task.sample(24, "train", seed=3)}
    scores = [
        [task.verifier(row["completion"], problems[row["prompt"]].reference).reward for row in found.rows]
        for found in drawn
    ]
    assert scores[0] == [1.0] * len(chosen.rows) and chosen.score == 1.0
    assert sum(scores[1]) / len(scores[1]) == pytest.approx(control.score) and control.score < 0.8
    # Same problems, same number of rows of each, drawn at the same cost.
    assert [row["prompt"] for row in chosen.rows] == [row["prompt"] for row in control.rows]
    assert len({row["prompt"] for row in chosen.rows}) == len(chosen.rows) > 12
    assert (chosen.tokens, chosen.prompt_tokens) == (control.tokens, control.prompt_tokens)


def test_the_cost_counts_the_answers_that_were_thrown_away(drawn, tiny):
    chosen, _ = drawn
    kept = sum(len(tiny.encode(row["prompt"] + row["completion"])) for row in chosen.rows)
    assert chosen.tokens > 3 * kept, "one of six is kept"
    assert chosen.flops == 2 * weights(tiny.model) * (chosen.tokens + chosen.prompt_tokens)
    assert chosen.cost == Flops(teacher=chosen.flops)
    assert 24 * 8 < chosen.prompt_tokens < 24 * 16


def test_saved_rows_are_a_source_of_sft(drawn, tmp_path):
    chosen, _ = drawn
    file = chosen.save(tmp_path / "deep" / "rows.jsonl")
    assert [json.loads(line) for line in file.read_text().splitlines()] == chosen.rows
    said = json.loads(file.with_suffix(".json").read_text())
    assert said["rows"] == len(chosen.rows) and said["flops"] == chosen.flops and said["verified"] is True
    chosen.save(file)  # once more: written anew, not appended
    assert len(file.read_text().splitlines()) == len(chosen.rows)
    run = train(
        "distill-sft-micro", out=tmp_path / "run", model=random_policy(), dataset=str(file), steps=12, batch=8, lr=1e-2,
        progress=False, **{"evaluation.problems": 0},
    )  # fmt: skip
    assert run.metrics[-1]["loss"] < 0.8 * run.metrics[0]["loss"]


def test_a_teacher_that_is_never_right_leaves_nothing_to_train_on():
    with pytest.raises(UserError, match=r"none of 8 answers has a score of 1 or more"):
        draw_demonstrations(random_policy(), load_task("countdown"), 4, 2, max_new_tokens=4)


def test_the_command_writes_rows_that_the_recipe_reads(tmp_path, capsys):
    from labkit.cli.entry import _run

    file = tmp_path / "traces.jsonl"
    options = ["--prompts", "12", "--samples", "4", "--seed", "1"]
    assert _run(["traces", "tiny", "countdown", "--out", str(file), *options]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert 0 < len(rows) <= 12 and set(rows[0]) == {"prompt", "completion"}
    control = ["--out", str(tmp_path / "control.jsonl"), "--unverified", "--json"]
    assert _run(["traces", "tiny", "countdown", *options, *control]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verified"] is False and said["rows"] == len(rows) and said["score"] <= 1
    assert _run(["traces", "tiny", "countdown", "--out", str(tmp_path / "traces.txt")]) == 2
    assert ".jsonl" in capsys.readouterr().err
