"""Each recipe for SmolLM2 and for models of the hub, as it is, on a small model of that architecture: two steps on the
CPU. What they may cost on a GPU: `data/gpu/budget.py`."""

import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType

import pytest

from labkit.models import Policy
from labkit.recipes import is_pipeline, list_recipes, load_recipe
from labkit.tasks import gsm8k, load_task
from labkit.training import train
from tests.smollm2_like import small_qwen, small_smollm2

HUB = {"Qwen/Qwen2.5-0.5B": "qwen2", "Qwen/Qwen3-0.6B-Base": "qwen3"}
RECIPES = [name for name in list_recipes() if name.endswith("-smollm2") and not is_pipeline(name)]
HUB_RECIPES = [name for name in list_recipes() if "-qwen" in name]
SHORT = {"steps": 2, "evaluation.problems": 2, "evaluation.samples": 2, "evaluation.max_new_tokens": 4}
ROWS = {"data.limit": 12, "data.test_limit": 4, "data.batch": 4}
SAMPLES = {"prompts": 2, "samples": 2, "max_new_tokens": 6}


@pytest.fixture(scope="module")
def budget() -> ModuleType:
    """The calculation that lies next to the list of GPU runs."""
    file = Path(__file__).parents[2] / "data" / "gpu" / "budget.py"
    spec = importlib.util.spec_from_file_location("budget", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_math(folder: Path) -> None:
    """A few rows in the form of MATH."""
    folder.mkdir()
    for split, numbers in (("train", range(30)), ("test", range(40, 50))):
        rows = [{"problem": f"${n}+1$?", "solution": rf"\boxed{{{n + 1}}}", "level": "Level 2"} for n in numbers]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


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
        *("sft-gsm8k-smollm2", "sft-countdown-smollm2", "r1-zero-countdown-smollm2"),
    }
    assert set(HUB_RECIPES) == {
        *("rlvr-gsm8k-qwen2.5-0.5b", "r1-zero-countdown-qwen2.5-0.5b", "distill-gsm8k-qwen2.5-0.5b"),
        *("rlvr-gsm8k-qwen3-0.6b-base", "rlvr-math-qwen3-0.6b-base"),
    }


@pytest.mark.parametrize("name", [*RECIPES, *HUB_RECIPES])
def test_a_seed_takes_ten_minutes_at_most_on_an_h100_by_calculation(name: str, budget: ModuleType):
    assert 0 < budget.seconds(load_recipe(name)) < 600


def test_the_calculation_by_hand(budget: ModuleType):
    shape = budget.Shape(parameters=1e9, attention_width=1000, cache_bytes=1000)
    # 100 steps of 15 ms: weights and cache take 2.4 ms to read at a quarter of 3.35 TB/s. 2,000 answers: a second.
    assert budget.sampling_seconds(shape, 2000, 50, 100) == pytest.approx(2.5)
    # Forward and backward of a row of 100 tokens: 6e11 + 6e7 operations at 98.94e12 a second; 28 GB at 837.5 GB/s.
    assert budget.training_seconds(shape, 1, 100) == pytest.approx(6.0006e11 / 98.94e12 + 28 / 837.5)
    recipe = load_recipe("sft-countdown-smollm2", steps=10)
    longer = load_recipe("sft-countdown-smollm2", steps=20)
    assert budget.seconds(longer) - budget.seconds(recipe) == pytest.approx(
        10 * budget.training_seconds(budget.MODELS["smollm2-135m"], 32, 60 + 150)
    )


@pytest.mark.parametrize("name", RECIPES)
def test_two_steps(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if "chain-sum" in name:
        pytest.importorskip("reasoning_gym")
    write_gsm8k(tmp_path / "gsm8k")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    recipe = load_recipe(name)
    assert recipe.model == "smollm2-135m" and "no GPU run is recorded yet" in recipe.description
    two_steps(name, tmp_path, small_smollm2())


@pytest.mark.parametrize("name", HUB_RECIPES)
def test_two_steps_of_a_model_of_the_hub(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_gsm8k(tmp_path / "gsm8k")
    write_math(tmp_path / "math")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    recipe = load_recipe(name)
    assert "no GPU run is recorded yet" in recipe.description
    two_steps(name, tmp_path, small_qwen(HUB[recipe.model]))


def two_steps(name: str, tmp_path: Path, policy: Policy) -> None:
    """Two steps of a recipe, all else as it is but the sizes."""
    recipe = load_recipe(name)
    changes = {**SHORT, **(SAMPLES if recipe.online else ROWS)}
    if recipe.teacher:
        changes["teacher"] = small_qwen(HUB[recipe.model], seed=1)
    if recipe.trainer == "reward_model":
        changes = {key: value for key, value in changes.items() if not key.startswith("evaluation")}
    run = train(name, out=tmp_path / "run", model=policy, progress=False, device="cpu", **changes)
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
