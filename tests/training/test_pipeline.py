"""Pipelines: stages run in turn, killed and resumed to the same table, refusing to train on nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import labkit as lk
from labkit.cli.entry import _run as command
from labkit.errors import UserError
from labkit.pipeline.run import PipelineRun, open_pipeline, report, run_pipeline
from labkit.pipeline.stages import harvest, rewarded, stage_rows
from labkit.plots import pipeline_costs, pipeline_stages
from labkit.recipes import is_pipeline, list_recipes, load_recipe
from labkit.recipes.pipeline import load_pipeline, stage_recipe
from labkit.runs import Run
from labkit.tasks import load_task
from labkit.verifiers import VERIFIERS
from labkit.worlds.countdown import trace
from tests.smollm2_like import small_smollm2
from tests.training.mini import numbers, random_policy
from tests.training.mini_pipeline import FEW, by_length, mini_pipeline, without_times

HERE = Path(__file__).resolve().parent


@pytest.fixture
def lucky(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other answer is right, whatever it says: a random model finds rows to keep."""
    monkeypatch.setitem(VERIFIERS, "countdown", by_length)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> PipelineRun:
    """A lucky pipeline that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VERIFIERS, "countdown", by_length)
        return mini_pipeline(tmp_path_factory.mktemp("pipeline") / "whole")


# ------------------------------------------------------------------------------------------------ recipes


def test_pipelines_that_ship_are_valid_and_listed():
    names = [name for name in list_recipes() if is_pipeline(name)]
    assert "r1-pipeline-tiny" in names and not is_pipeline("r1-zero-tiny") and not is_pipeline("no-such")
    assert not is_pipeline(load_recipe("r1-zero-tiny")) and not is_pipeline(None) and not is_pipeline("x" * 5000)
    for name in names:
        pipeline = load_pipeline(name)
        assert pipeline.description and all(stage.title for stage in pipeline.stages)
        # At whatever weights: what is right is worth more than what is only well formed.
        for stage in pipeline.stages:
            extras = sum(weight for key, weight in stage.rewards.items() if key != "accuracy")
            assert not stage.rewards or (stage.rewards["accuracy"] == 1.0 and extras < 1.0)


def test_overrides_reach_a_stage_and_its_recipe():
    pipeline = load_pipeline(
        "r1-pipeline-tiny", seed=7, **{"cold-start.steps": 3, "rejection.harvest.prompts": 5, "sft.data.rows": 20}
    )
    assert pipeline.stage("rejection").harvest.prompts == 5 and pipeline.stage("sft").data.rows == 20
    recipe = stage_recipe(pipeline, pipeline.stage("cold-start"))
    assert (recipe.steps, recipe.seed, recipe.trainer) == (3, 7, "sft")
    assert load_pipeline(pipeline) == pipeline


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"colder.steps": 1}, "no key 'colder.steps'.*cold-start.KEY"),
        ({"cold-start.stepss": 1}, "stage cold-start: .*did you mean 'steps'"),
        ({"cold-start.from": "final-rl"}, "from 'final-rl' is no model so far"),
        ({"cold-start.data.shares": {"curated": 0.5}}, "add up to 1"),
        ({"cold-start.data.shares": {"rejection": 1.0}}, "no rows 'rejection' so far"),
        ({"final-rl.judge": "sft"}, "judge 'sft' is no reward-model stage"),
        ({"final-rl.judge": None}, "need a judge"),
        ({"reasoning-rl.rewards": {"style": 1.0}}, "no reward 'style'"),
        ({"cold-start.rewards": {"accuracy": 1.0}}, "rewards belongs to rl"),
        ({"rejection.steps": 1}, "no recipe and no settings, but harvest"),
        ({"cold-start.recipe": "r1-zero-tiny"}, "is of rl, not of sft"),
        ({"measure.problems": 0}, "measure.problems"),
        ({"model": 3}, "model"),
    ],
)
def test_mistakes_get_one_line_before_anything_is_trained(overrides, words):
    with pytest.raises(UserError, match=words) as caught:
        load_pipeline("r1-pipeline-tiny", **overrides)
    assert "\n" not in str(caught.value)


def test_a_pipeline_is_no_single_run_and_the_other_way_round(tmp_path: Path):
    with pytest.raises(UserError, match="is a pipeline of stages"):
        load_recipe("r1-pipeline-tiny")
    with pytest.raises(UserError, match="has no stages"):
        load_pipeline("r1-zero-tiny")
    with pytest.raises(UserError, match="is a single run"):
        open_pipeline("r1-zero-tiny-seed0")


# ------------------------------------------------------------------------------------- rows, tasks, rewards


def test_rows_are_mixed_in_the_stated_shares_and_never_held_out(tmp_path: Path):
    shares = {"curated": 0.5, "assistant": 0.3, "addition": 0.2}
    pipeline = load_pipeline("r1-pipeline-tiny", **{"sft.data": {"rows": 100, "shares": shares}})
    rows = stage_rows(tmp_path, pipeline, pipeline.stage("sft"))["train"]
    kinds = ["assistant" if "user:" in r["prompt"] else "addition" if "+" in r["prompt"] else "curated" for r in rows]
    assert [kinds.count(name) for name in shares] == [50, 30, 20]
    tests = {p.prompt for name in ("countdown", "assistant") for p in load_task(name).pool("test")}
    assert not tests & {row["prompt"] for row in rows}
    by_prompt = {p.prompt: p for p in load_task("countdown").pool("train")}
    for row, kind in zip(rows, kinds, strict=True):
        if kind == "addition":
            a, b = map(int, row["prompt"].rstrip(":").split("+"))
            assert row["completion"].endswith(f"<answer>{a + b}</answer>")
        if kind == "curated" and row["prompt"] in by_prompt:
            reference = by_prompt[row["prompt"]].reference
            assert load_task("countdown").score(row["completion"], by_prompt[row["prompt"]]).reward == 1.0
            assert trace.verify(row["completion"], reference).reward == 1.0


def test_a_short_source_shrinks_the_mixture_and_keeps_the_shares(tmp_path: Path):
    few = tmp_path / "few.jsonl"
    few.write_text("".join(json.dumps({"prompt": f"{i}:", "completion": "4"}) + "\n" for i in range(10)))
    shares = {str(few): 0.25, "curated": 0.75}
    pipeline = load_pipeline("r1-pipeline-tiny", **{"sft.data": {"rows": 100, "shares": shares}})
    rows = stage_rows(tmp_path, pipeline, pipeline.stage("sft"))["train"]
    assert len(rows) == 40 and sum(row["completion"] == "4" for row in rows) == 10


def test_rewards_are_a_weighted_sum_with_gold_beside_it():
    task = load_task("countdown")
    (problem,) = task.sample(1, "train")
    paid = rewarded(task, {"accuracy": 1.0, "format": 0.1, "trace": 0.4})
    a, b, c = problem.reference["numbers"]
    clean, twice = f"<think>{a}+{b}={a + b}+{c}={a + b + c} no\n", f"{a}+{b}={a + b}+{c}={a + b + c} no\n"
    wrong = paid.score(f"{clean}{twice}</think><answer>?</answer>", problem)
    assert wrong.reward == pytest.approx(0.1 + 0.4 * 0.5) and wrong.parts["gold"] == 0.0


# ------------------------------------------------------------------------------------- running and resuming


def test_every_stage_is_a_run_and_a_row(tmp_path: Path, whole: PipelineRun, lucky: None):
    run = whole
    assert run.result["status"] == "finished"
    folders = sorted(path.name for path in (run.path / "stages").iterdir())
    assert folders[:3] == ["0-base", "1-cold-start", "2-reasoning-rl"] and len(folders) == 9
    assert all(isinstance(one, Run) and one.result["status"] == "finished" for one in run.stages.values())
    table = run.report()
    assert [row["stage"] for row in table.rows] == [
        *("base", "cold-start", "reasoning-rl", "sft", "final-rl"),
        *("r1-zero", "sft-alone"),
    ]
    assert table.to_dict() == json.loads((run.path / "report.json").read_text())
    costs = {row["stage"]: row["cost"] for row in table.rows}
    assert 0 == costs["base"] < costs["cold-start"] < costs["reasoning-rl"] < costs["sft"] < costs["final-rl"]
    assert costs["sft-alone"] < costs["final-rl"]
    header, rows = table.table()
    assert header[:3] == ["stage", "pass@1", "pass@2"] and len(rows) == 7 and "assistant, gold" in header
    same = table.change("base", "base")
    assert same["mean"] == 0.0 and not same["resolved"]
    assert run.policy("sft", device="cpu").name == "r1-pipeline-tiny/sft"
    assert "gold_mean" in run.stages["final-rl"].metrics[0], "paid by a reward model, gold next to it"
    with pytest.raises(UserError, match="already holds a pipeline"):
        mini_pipeline(run.path)
    again = mini_pipeline(tmp_path / "again", seed=1)
    both = report([run, again])
    assert both.seeds == [0, 1] and "over seeds 0, 1" in both.caption
    mean = np.mean([one.report().rows[1]["metrics"]["length"]["mean"] for one in (run, again)])
    assert both.rows[1]["metrics"]["length"]["mean"] == pytest.approx(mean)
    with pytest.raises(UserError, match="the same seed"):
        report([run, run])


def test_the_pipeline_of_smollm2_on_a_small_model_of_its_architecture(tmp_path: Path, lucky: None):
    pipeline = load_pipeline("r1-pipeline-smollm2")
    assert pipeline.model == "smollm2-135m" and "no GPU run is recorded yet" in pipeline.description
    run = run_pipeline("r1-pipeline-smollm2", tmp_path / "run", model=small_smollm2(), progress=False, **FEW)
    assert run.result["status"] == "finished" and len(run.report().rows) == 7
    losses = [line["loss"] for one in run.stages.values() for line in one.metrics]
    assert len(losses) == 14 and np.isfinite(losses).all()


class StopAfter:
    """Stops the run that it watches after so many steps in all."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    @property
    def stopped(self) -> bool:
        return self.left <= 0

    def update(self, metrics, rollouts) -> None:
        self.left -= 1


def test_stopped_in_a_stage_goes_on_there(tmp_path: Path, whole: PipelineRun, lucky: None):
    part = mini_pipeline(tmp_path / "part", observer=StopAfter(3))
    assert part.result["status"] == "stopped" and list(part.stages) == ["cold-start", "reasoning-rl"]
    assert len(part.stages["reasoning-rl"].metrics) == 1
    resumed = lk.train(resume=part.path, model=random_policy(), progress=False, observer=None)
    assert numbers(resumed.stages["final-rl"]) == numbers(whole.stages["final-rl"])
    assert without_times(resumed) == without_times(whole)


def test_the_command_line_runs_resumes_and_lists_pipelines(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    random_policy().save(tmp_path / "base")
    stage = {"name": "cold", "title": "cold start", "method": "sft", "data": {"rows": 8}, "settings": {"steps": 2}}
    recipe = {"model": str(tmp_path / "base"), "stages": [stage], "measure": FEW["measure"]}
    (tmp_path / "own.yaml").write_text(json.dumps(recipe))
    for arguments in (["own.yaml", "--seed", "3", "--out"], ["--resume"]):
        files = [str(tmp_path / name) if name.endswith(".yaml") else name for name in arguments]
        assert command(["train", *files, str(tmp_path / "run")]) == 0
        *said, last = capsys.readouterr().out.splitlines()
        assert last == str(tmp_path / "run") and any(line.startswith("cold start") for line in said)
    assert open_pipeline(tmp_path / "run").pipeline.seed == 3
    assert command(["train", str(tmp_path / "own.yaml"), "--set", "cold.stepps=1"]) == 2
    assert "did you mean 'steps'" in capsys.readouterr().err
    assert command(["recipes", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert listed["r1-pipeline-tiny"]["algorithm"] == "pipeline"


def test_figures_of_a_report(whole: PipelineRun):
    found = whole.report()
    figure = pipeline_stages(found, ["pass_at_1", "length"])
    assert [axis.get_xlabel() for axis in figure.axes] == ["pass@1 (share of samples)", "length (tokens)"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [row["title"] for row in found.rows]
    (axis,) = pipeline_costs(found, "gold").axes
    assert {text.get_text() for text in axis.get_legend().get_texts()} == {row["title"] for row in found.rows}


def test_a_stage_is_not_resumed_by_itself(whole: PipelineRun):
    for stage in (whole.stages["final-rl"], str(whole.stages["final-rl"].path)):
        with pytest.raises(UserError, match=r"is a stage of the pipeline in .*whole: go on with that"):
            lk.train(resume=stage)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_in_any_stage_and_resumed_ends_with_the_same_table(tmp_path: Path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, str(HERE / "kill_pipeline.py"), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_a_harvest_without_a_right_answer_says_so_and_how_to_go_on(tmp_path: Path, tiny):
    with pytest.raises(UserError, match=r"not one answer is right.*nothing to train on.*--resume") as caught:
        mini_pipeline(tmp_path / "run")
    assert "\n" not in str(caught.value)
    folder = tmp_path / "run"
    assert not (folder / "stages" / "4-sft").exists(), "nothing is trained on nothing"
    # As it says: another harvest in recipe.yaml, then on. A lower bar can't help a random model, so it is told again.
    recipe = (folder / "recipe.yaml").read_text()
    assert "prompts: 4" in recipe
    (folder / "recipe.yaml").write_text(recipe.replace("    prompts: 4", "    prompts: 5"))
    with pytest.raises(UserError, match="of 5 problems x 2 samples"):
        lk.train(resume=folder, model=random_policy(), progress=False)
    # A model that is right now and then has something to keep.
    pipeline = load_pipeline("r1-pipeline-tiny", **{"rejection.harvest": {"prompts": 8, "samples": 4, "readable": 1.0}})
    rows, facts = harvest(pipeline, pipeline.stage("rejection"), tiny, load_task("countdown"))
    assert 0 < facts["kept"] == len(rows) <= 8 and facts["drawn"] == 32 and facts["right"] >= facts["kept"]
    problems = {p.prompt: p for p in load_task("countdown").sample(8, "train", seed=1)}
    for row in rows:
        assert load_task("countdown").score(row["completion"], problems[row["prompt"]]).reward == 1.0
        assert trace.verify(row["completion"], problems[row["prompt"]].reference).reward == 1.0


def test_resume_takes_no_changes(tmp_path: Path):
    with pytest.raises(UserError, match="as it was begun"):
        run_pipeline("r1-pipeline-tiny", resume=tmp_path)
    with pytest.raises(UserError, match="which pipeline"):
        run_pipeline()
