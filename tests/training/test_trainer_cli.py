"""The trainers from the command line: every recipe that ships, resumed, compared, with its summary."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labkit import lab
from labkit.cli.entry import app
from labkit.models import RewardModel
from labkit.plots.comparison import compare
from labkit.recipes import list_recipes, load_recipe
from labkit.runs import open_run
from tests.training.mini import random_policy
from tests.training.toys import toy_run

SMALL = ("steps=2", "checkpoint_every=1", "optimizer.warmup=0")
ASSISTANTS = [name for name in list_recipes() if name.endswith("-assistant-tiny")]


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "base"
    random_policy().save(folder)
    return folder


def arguments(recipe: str, base: Path) -> list[str]:
    settings = [*SMALL, f"model={base}"]
    trainer = load_recipe(recipe).trainer
    if trainer in ("rl", "ppo"):
        settings += ["prompts=2", "samples=2", "max_new_tokens=8"]
    else:
        settings += ["batch=4", "data.limit=12", "data.test_limit=6"]
    if trainer != "reward_model":
        settings += ["evaluation.problems=2", "evaluation.samples=2"]
    return [part for setting in settings for part in ("--set", setting)]


def test_the_recipes_of_part_one_are_there():
    assert {name.removesuffix("-assistant-tiny") for name in ASSISTANTS} >= {
        "sft",
        "reward-model",
        "dpo",
        "ppo",
        "rloo",
    }


@pytest.mark.parametrize("recipe", ASSISTANTS)
def test_every_recipe_trains_and_sums_up(tmp_path, base, recipe):
    out = tmp_path / "run"
    said = call("train", recipe, "--out", out, *arguments(recipe, base))
    assert said.splitlines()[-1] == str(out)
    run = open_run(out)
    assert run.result["status"] == "finished" and len(run.metrics) == 2
    assert (out / "curves.png").exists()
    told = "accuracy" if load_recipe(recipe).trainer in ("reward_model", "preferences") else "pass@1"
    assert told in said or "Held-out rows" in said
    assert call("train", "--resume", out, "--quiet").splitlines()[-1] == str(out)


def test_a_reward_model_from_the_command_line_is_trained_on(tmp_path, base):
    judge = tmp_path / "judge"
    call(
        "train",
        "reward-model-assistant-tiny",
        "--out",
        judge,
        "--quiet",
        *arguments("reward-model-assistant-tiny", base),
    )
    out = tmp_path / "run"
    settings = arguments("rloo-assistant-tiny", base)
    call("train", "rloo-assistant-tiny", "--out", out, "--quiet", *settings, "--set", f"reward_model={judge}")
    assert {"gold_mean", "kl"} <= set(open_run(out).metrics[0])
    assert open_run(out).recipe["reward_model"] == str(judge)


def test_runs_of_different_trainers_are_compared_on_the_same_problems(tmp_path, base):
    runs = []
    for recipe in ("dpo-assistant-tiny", "rloo-assistant-tiny"):
        out = tmp_path / recipe
        settings = [*arguments(recipe, base), "--set", "evaluation.max_new_tokens=8"]
        call("train", recipe, "--out", out, "--quiet", *settings)
        runs.append(out)
    found = compare(runs)
    (pair,) = found.pairs
    assert pair.why_not is None and pair.what == "mean reward"
    rewards = [open_run(run).result["after"]["rewards_per_problem"] for run in runs]
    assert pair.difference == pytest.approx(sum(b - a for a, b in zip(*rewards, strict=True)) / 2)
    assert "Mean reward" in str(found) and "Held-out pairs" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["pairs"][0]["what"] == "mean reward"
    found.plot(tmp_path / "curves.png")


@pytest.mark.parametrize("trainer", ["sft", "reward_model", "dpo", "kto", "rloo"])
def test_the_dashboard_draws_what_the_trainer_logs(tmp_path, trainer):
    """In Jupyter a run ends with a figure, whatever was trained."""
    boards, drawn = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labkit.widgets.dashboard.front_end", lambda: "widgets")
        patch.setattr("labkit.widgets.dashboard._View.show", lambda view: None)
        patch.setattr("labkit.widgets.dashboard._View.replace", lambda view, charts, html: drawn.append((charts, html)))
        changes = {"observer": lambda recipe: boards.append(lab.dashboard(recipe)) or boards[-1], "steps": 2}
        if trainer == "rloo":
            changes["reward_model"] = RewardModel(random_policy())
        run = toy_run(tmp_path / "run", trainer, **changes)
    [(charts, html)], [board] = drawn, boards
    assert set(board.fixed) <= set(run.metrics[0])
    assert charts.count("<svg") >= 3 and "2 steps" in html
    assert ("held-out problem" in html) == (trainer == "rloo")
