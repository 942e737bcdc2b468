"""Bad data: one clear line each, before anything is written; what is done already stays."""

import json
import math
from dataclasses import replace

import pytest
import torch

from labkit.errors import RunError, UserError
from labkit.models import RewardModel, load_reward_model
from labkit.recipes import load_recipe
from labkit.runs import open_run
from labkit.tasks import Problem
from labkit.training import train
from tests.training.mini import numbers, random_policy
from tests.training.toys import comparisons, demonstrations, feedback, fours, toy_run


@pytest.mark.parametrize(
    ("trainer", "rows", "words"),
    [
        ("dpo", [], "no rows to train on"),
        ("reward_model", [], "no rows to train on"),
        ("sft", [{"prompt": "5:", "completion": "4"}, {"prompt": "5:"}], "row 2 .* has no column 'completion'"),
        ("dpo", [{"prompt": "5:", "chosen": "4"}], "row 1 .* has no column 'rejected' .it has: prompt, chosen"),
        ("dpo", [{"prompt": "5:", "chosen": 4, "rejected": "7"}], "row 1 .*: 'chosen' must be a text, not int"),
        ("dpo", ["5:"], "row 1 .* is no mapping"),
        ("kto", [{"prompt": "5:", "completion": "4", "label": "yes"}], "'label' must be true or false"),
        ("kto", [row for row in feedback() if row["label"]], "all 30 rows .* the label True: KTO .* needs both"),
        ("kto", [row for row in feedback() if not row["label"]], "the label False"),
        ("dpo", [{"prompt": "5:", "chosen": "4", "rejected": "4"}] * 3, "no row .* 3 skipped: chosen equals rejected"),
        ("sft", [{"prompt": "1" * 2000 + ":", "completion": "4"}], "the prompt leaves no room"),
        ("reward_model", [{**comparisons(1)[0], "margin": -1}], "'margin' must be a number from 0 up"),
        ("reward_model", [{**comparisons(1)[0], "margin": math.nan}], "'margin' must be a number"),
    ],
)
def test_rows_that_cannot_be_trained_on_are_one_line(tmp_path, trainer, rows, words):
    with pytest.raises(UserError, match=words) as caught:
        toy_run(tmp_path / "run", trainer, dataset={"train": rows})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists(), "said before a folder is made"


def test_equal_pairs_and_long_prompts_are_skipped_counted_and_told(tmp_path, capsys):
    rows = [*comparisons(20), *[{"prompt": "5:", "chosen": "4", "rejected": "4"}] * 2]
    rows.append({"prompt": "1" * 2000 + ":", "chosen": "4", "rejected": "7"})
    run = toy_run(tmp_path / "run", "dpo", steps=1, dataset={"train": rows})
    told = capsys.readouterr().err
    assert "2 of 23 rows skipped: chosen equals rejected" in told
    assert "1 of 23 rows skipped: the prompt leaves no room" in told
    assert run.result["data"]["rows"] == 20
    assert sum(run.result["data"]["left_out"].values()) == 3


def test_a_jsonl_file_names_the_row_too(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in demonstrations(3)) + '{"prompt": "5:"}\n')
    with pytest.raises(UserError, match="row 4"):
        toy_run(tmp_path / "run", "sft", dataset=file)
    with pytest.raises(UserError, match=r"no such|cannot read|No such"):
        toy_run(tmp_path / "run", "sft", dataset=tmp_path / "none.jsonl")


class BreaksAfter:
    """A reward model whose numbers end in NaN."""

    name = "breaks"

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def score(self, prompts, completions):
        self.calls -= 1
        return torch.full((len(completions),), 1.0 if self.calls >= 0 else math.nan)


def test_a_reward_model_that_returns_nan_ends_the_run_and_loses_nothing(tmp_path):
    """The steps before are kept, in a checkpoint of the last of them, and the run goes on with a sound one."""
    base = tmp_path / "base"
    random_policy().save(base)
    task = fours().with_reward_model(BreaksAfter(3))
    with pytest.raises(RunError, match="the reward model returned NaN or infinity for 64 of 64 answers") as caught:
        toy_run(tmp_path / "run", "rloo", base, task=task, steps=5)
    assert "\n" not in str(caught.value)
    broken = open_run(tmp_path / "run")
    assert len(broken.metrics) == 3 and list(broken.checkpoints()) == [3]
    kept = numbers(broken)
    fixed = train(resume=tmp_path / "run", task=fours(), progress=False)
    assert fixed.result["status"] == "finished" and len(fixed.metrics) == 5
    assert numbers(fixed)[:3] == kept


def test_a_prompt_that_turns_up_too_long_ends_the_run_and_loses_nothing(tmp_path):
    """Only a later step draws it: the steps before it are kept in a checkpoint."""

    class Grows:
        calls = 0

        def __call__(self, split, rng):
            self.calls += 1
            # The fingerprint draws the first 64 problems, the check before the run one, each step 8.
            return Problem("1" * (2000 if self.calls > 90 else 3) + ":", None, str(rng.random()))

    with pytest.raises(UserError, match="it exceeds the context of 1024"):
        toy_run(tmp_path / "run", "rloo", task=replace(fours(), draw=Grows()), steps=12)
    broken = open_run(tmp_path / "run")
    assert 0 < len(broken.metrics) < 12 and list(broken.checkpoints()) == [len(broken.metrics)]


def test_the_policy_itself_as_reference_means_the_policy_as_it_begins(tmp_path):
    policy = random_policy()
    run = toy_run(tmp_path / "run", "rloo", policy, reference=policy, steps=4, algorithm_options={"kl_coef": 0.1})
    assert run.metrics[-1]["kl"] > 0


def test_reward_model_and_reference_that_are_not_there_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r"no reward model in|no model in"):
        toy_run(tmp_path / "run", "rloo", reward_model=str(tmp_path / "none"))
    policy = random_policy()
    policy.save(tmp_path / "policy")
    with pytest.raises(UserError, match=r"has no reward_head\.safetensors"):
        load_reward_model(tmp_path / "policy")
    with pytest.raises(UserError, match=r"cannot load model|no model in"):
        toy_run(tmp_path / "run", "dpo", reference=str(tmp_path / "none"))
    with pytest.raises(UserError, match="must be as many"):
        RewardModel(policy).score(["5:"], [])


@pytest.mark.parametrize(
    ("recipe", "changes", "words"),
    [
        (
            "sft-assistant-tiny",
            {"prompts": 8},
            "sampling is a setting of the trainers rl, ppo, distillation; this one is sft",
        ),
        ("rlvr-addition-tiny", {"batch": 8}, "data is a setting of the trainers sft, reward_model, preferences"),
        (
            "dpo-assistant-tiny",
            {"minibatches": 2},
            "optimizer.minibatches is a setting of the trainers rl, ppo, distillation",
        ),
        ("reward-model-assistant-tiny", {"problems": 2}, "evaluation is a setting of the trainers"),
        ("dpo-assistant-tiny", {"algorithm": "grpo"}, "unknown algorithm 'grpo' of trainer preferences; there are dpo"),
        ("rloo-assistant-tiny", {"algorithm": "dpo"}, "'dpo' belongs to trainer: preferences"),
        ("dpo-assistant-tiny", {"algorithm_options": {"bta": 1}}, "has no 'bta'; it has beta"),
        ("dpo-assistant-tiny", {"algorithm_options": {"beta": -1}}, "beta"),
        ("dpo-assistant-tiny", {"algorithm_options": {"beta": "big"}}, "beta must be a number"),
        ("ppo-assistant-tiny", {"algorithm": "rloo", "algorithm_options": {}}, "'rloo' has no critic"),
        ("ppo-assistant-tiny", {"trunk": "third"}, "critic.trunk"),
        ("rloo-assistant-tiny", {"kl_control": {}, "algorithm_options": {}}, "kl_control steers a KL coefficient"),
        ("sft-assistant-tiny", {"trainer": "sfft"}, "trainer"),
        ("sft-assistant-tiny", {"lora": {"rnk": 3}}, "no key 'lora.rnk'"),
    ],
)
def test_settings_of_another_trainer_are_refused_in_one_line(recipe, changes, words):
    with pytest.raises(UserError, match=words.replace(".", r"\.")) as caught:
        load_recipe(recipe, **changes)
    assert "\n" not in str(caught.value)


def test_nested_optional_settings_are_reached_by_path_and_by_name():
    assert load_recipe("sft-assistant-tiny", rank=4).lora.rank == 4
    assert load_recipe("ppo-assistant-tiny", **{"kl_control.target": 3}).kl_control.target == 3
