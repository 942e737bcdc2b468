"""Every trainer, through `train`: it learns, on any architecture, with LoRA, and repeats itself."""

import sys

import pytest
import torch

from labkit.errors import UserError
from labkit.models import load_policy, load_reward_model, token_logprobs
from labkit.plots.metrics import METRICS
from tests.sampling.small_models import small_policy
from tests.training.mini import numbers, random_policy
from tests.training.toys import TRAINERS, comparisons, demonstrations, toy_run

OFFLINE = ("sft", "reward_model", "dpo", "ipo", "cdpo", "robust_dpo", "simpo", "orpo", "kto")


@pytest.mark.parametrize("trainer", OFFLINE)
def test_loss_falls_on_rows_that_can_be_learned(tmp_path, trainer):
    run = toy_run(tmp_path / "run", trainer)
    before, after = (run.result["held_out"][when] for when in ("before", "after"))
    assert after["loss"] < 0.75 * before["loss"] if before["loss"] > 0 else after["loss"] < before["loss"]
    assert run.metrics[-1]["loss"] < run.metrics[0]["loss"]
    if trainer != "sft":
        assert after["accuracy"] > 0.9 and after["margin"] > before["margin"]
        low, high = after["interval"]
        assert low < after["accuracy"] <= high


@pytest.mark.parametrize("trainer", ["rloo", "remax", "reinforce_pp", "ppo", "prime"])
def test_reward_rises_with_every_way_to_give_credit(tmp_path, trainer):
    run = toy_run(tmp_path / "run", trainer, steps=20)
    rewards = [line["reward_mean"] for line in run.metrics]
    assert sum(rewards[-3:]) / 3 > 2 * max(rewards[0], 0.01), rewards


@pytest.mark.parametrize("trainer", list(TRAINERS))
def test_every_logged_field_is_documented(tmp_path, trainer):
    run = toy_run(tmp_path / "run", trainer, steps=1)
    assert set(run.metrics[0]) - set(METRICS) == set()


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "olmo2", "gpt2"])
@pytest.mark.parametrize("trainer", ["sft", "reward_model", "dpo", "kto", "ppo"])
def test_every_architecture_takes_a_step_in_every_trainer(tmp_path, trainer, architecture):
    policy = small_policy(architecture)
    before = [p.detach().clone() for p in policy.model.parameters()]
    run = toy_run(tmp_path / "run", trainer, policy, steps=1)
    line = run.metrics[0]
    assert line["skipped"] == 0 and line["grad_norm"] > 0 and line["loss"] == line["loss"]
    # The head of a reward model begins at zero: its first step moves the head alone.
    moved = any(not torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))
    assert moved or trainer == "reward_model"


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("trainer", ["sft", "reward_model", "dpo", "ppo"])
def test_lora_trains_the_adapters_alone_and_can_be_loaded_without_peft(tmp_path, trainer, architecture):
    policy = small_policy(architecture)
    frozen = {name: p.detach().clone() for name, p in policy.model.named_parameters()}
    run = toy_run(tmp_path / "run", trainer, policy, steps=3, lora={"rank": 4, "alpha": 8.0})
    for name, parameter in policy.model.named_parameters():
        if "lora_" not in name:
            assert torch.equal(parameter, frozen[name.replace(".base_layer", "")]), name
    # What is saved are plain weights, with the adapters merged in.
    tokens = torch.tensor([policy.encode("5:44")])
    with torch.no_grad():
        merged = token_logprobs(load_policy(run.path, device="cpu").model, tokens)
        assert torch.allclose(merged, token_logprobs(policy.model, tokens), atol=1e-4)
    if trainer == "reward_model":
        load_reward_model(run).score(["5:"], ["44"])
    else:
        base = small_policy(architecture)
        with torch.no_grad():
            assert not torch.allclose(merged, token_logprobs(base.model, tokens), atol=1e-4)


def test_lora_samples_with_its_adapters(tmp_path):
    """The fused decoder reads weights: adapters must be in them while it does, and out of them afterwards."""
    policy = random_policy()
    run = toy_run(tmp_path / "run", "ppo", policy, steps=4, lora={"rank": 4, "alpha": 32.0})
    assert max(line["mismatch_max"] for line in run.metrics) < 1e-4
    assert run.metrics[-1]["reward_mean"] != run.metrics[0]["reward_mean"]


def test_lora_without_peft_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match="LoRA needs the package peft"):
        toy_run(tmp_path / "run", "sft", lora={"rank": 4})
    assert not (tmp_path / "run").exists()


def test_lora_targets_that_are_not_there_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r"lora\.targets"):
        toy_run(tmp_path / "run", "sft", lora={"targets": ["no_such_layer"]})


@pytest.mark.parametrize("trainer", ["sft", "reward_model", "dpo", "kto", "ppo"])
def test_same_recipe_same_numbers(tmp_path, trainer):
    first, again = (toy_run(tmp_path / name, trainer, steps=3) for name in "ab")
    assert numbers(first) == numbers(again)
    assert numbers(toy_run(tmp_path / "c", trainer, steps=3, seed=1)) != numbers(first)


def test_rows_of_a_micro_batch_do_not_change_the_gradient(tmp_path):
    for trainer in ("sft", "reward_model", "dpo"):
        whole, cut = (
            numbers(toy_run(tmp_path / f"{trainer}{budget}", trainer, steps=4, microbatch_tokens=budget))
            for budget in (100_000, 20)
        )
        for a, b in zip(whole, cut, strict=True):
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
            assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("trainer", ["sft", "reward_model", "dpo", "kto", "ppo"])
def test_every_trainer_runs_on_the_gpu(tmp_path, trainer):
    base = tmp_path / "base"
    random_policy().save(base)
    run = toy_run(tmp_path / "run", trainer, base, device="cuda", steps=12)
    first, last = run.metrics[0], run.metrics[-1]
    better = last["reward_mean"] > first["reward_mean"] if trainer == "ppo" else last["loss"] < first["loss"]
    assert better


def test_dataset_may_be_split_by_the_caller(tmp_path):
    rows = {"train": demonstrations(20), "test": demonstrations(5)}
    run = toy_run(tmp_path / "run", "sft", steps=1, dataset=rows)
    assert run.result["data"]["rows"] == 20 and run.result["data"]["held_out"] == 5
    run = toy_run(tmp_path / "other", "dpo", steps=1, dataset={"train": comparisons(20)})
    assert run.result["held_out"] == {"before": None, "after": None}
