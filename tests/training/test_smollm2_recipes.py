"""Each recipe for SmolLM2, as it is, on a small model of that architecture: two steps on the CPU."""

import json
import math
from pathlib import Path

import pytest
from smollm2_like import small_smollm2

from labkit.recipes import list_recipes, load_recipe
from labkit.tasks import gsm8k, load_task
from labkit.training import train

RECIPES = [name for name in list_recipes() if name.endswith("-smollm2")]
SHORT = {"steps": 2, "evaluation.problems": 2, "evaluation.samples": 2, "evaluation.max_new_tokens": 4}
ROWS = {"data.limit": 12, "data.test_limit": 4, "data.batch": 4}
SAMPLES = {"prompts": 2, "samples": 2, "max_new_tokens": 6}


def write_gsm8k(folder: Path) -> None:
    """A few rows in the form of GSM8K."""
    folder.mkdir()
    for split, numbers in (("train", range(30)), ("test", range(40, 50))):
        rows = [{"question": f"{n} and 1?", "answer": f"<<{n}+1={n + 1}>>{n + 1}.\n#### {n + 1}"} for n in numbers]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_gsm8k_demonstrations_have_the_tasks_prompts_and_no_calculator_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_gsm8k(tmp_path / "gsm8k")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    rows, task = gsm8k.demonstrations("train"), load_task("gsm8k")
    problems = task.pool("train")
    assert [row["prompt"] for row in rows] == [problem.prompt for problem in problems]
    assert all("<<" not in row["completion"] for row in rows)
    assert all(task.score(row["completion"], p).reward == 1.0 for row, p in zip(rows, problems, strict=True))


def test_all_announced_recipes_are_there():
    assert set(RECIPES) >= {
        *(f"{kind}-assistant-smollm2" for kind in ("sft", "reward-model", "dpo", "rloo", "ppo")),
        *(f"rlvr-{task}-smollm2" for task in ("word-problems", "chain-sum", "gsm8k")),
        "sft-gsm8k-smollm2",
    }


@pytest.mark.parametrize("name", RECIPES)
def test_two_steps(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if "chain-sum" in name:
        pytest.importorskip("reasoning_gym")
    write_gsm8k(tmp_path / "gsm8k")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    recipe = load_recipe(name)
    assert recipe.model == "smollm2-135m" and "no GPU run is recorded yet" in recipe.description
    changes = {**SHORT, **(SAMPLES if recipe.online else ROWS)}
    if recipe.trainer == "reward_model":
        changes = {key: value for key, value in changes.items() if not key.startswith("evaluation")}
    run = train(name, out=tmp_path / "run", model=small_smollm2(), progress=False, device="cpu", **changes)
    assert run.result["status"] == "finished" and len(run.metrics) == 2
    assert all(math.isfinite(line["loss"]) for line in run.metrics)


def test_a_reward_model_of_the_architecture_judges_its_own_policy(tmp_path: Path):
    changes = {"steps": 1, **ROWS}
    judge = train(
        "reward-model-assistant-smollm2", out=tmp_path / "rm", model=small_smollm2(), progress=False, **changes
    )
    run = train(
        "rloo-assistant-smollm2",
        out=tmp_path / "run",
        model=small_smollm2(),
        reward_model=judge,
        progress=False,
        **{**SHORT, **SAMPLES, "steps": 1},
    )
    assert math.isfinite(run.metrics[0]["gold_mean"]) and math.isfinite(run.metrics[0]["kl"])
