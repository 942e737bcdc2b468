"""Samples of another policy than the one that is trained: measured at every step, corrected, made on purpose."""

from dataclasses import replace

import pytest
import torch

from labkit.algorithms import PRESETS, importance_weights
from labkit.recipes import load_recipe
from labkit.runs import open_run
from labkit.sampling import sample
from labkit.training import train
from labkit.training.rl.logprobs import rollout_logprobs
from labkit.training.rl.step import step_seed
from tests.training.mini import mini_run, numbers, random_policy, update_once
from tests.training.toys import fours, scored_rollouts

# What moves a random model quickly although no answer of it is right: a penalty on entropy.
LEARNS = {"task": "addition", "lr": 0.02, "warmup": 0, "samples": 8}
LEARNS |= {"algorithm": "reinforce", "algorithm_options": {"entropy_coef": -1.0}}


def test_weights_of_a_world_that_can_be_summed_over():
    """One token of three: the average over the SAMPLER's tokens with weights min(p / q, C) is the sum of
    min(p, C q) A grad log p, which without a cap is the exact policy gradient."""
    theta = torch.tensor([0.3, -0.2, 1.1], dtype=torch.float64, requires_grad=True)
    sampler = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    gain = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    p = theta.softmax(0).detach()
    assert float(p[2] / sampler[2]) > 2, "the cap must bite"
    exact = torch.autograd.grad((theta.softmax(0) * gain).sum(), theta)[0]
    for cap in (None, 2.0, 0.5):
        chosen = theta.log_softmax(0)[:, None]  # every token as a row of its own
        mask = torch.ones(3, 1, dtype=torch.bool)
        weights = importance_weights(chosen.detach(), sampler.log()[:, None], mask, cap)
        by_row = gain[:, None] * weights
        preset = replace(PRESETS["grpo"], aggregate="sequence_sum")
        total = torch.zeros(3, dtype=torch.float64)
        for row in range(3):  # the ratio is to the trainer's own old log-probs, so 1
            one = slice(row, row + 1)
            loss, _ = preset.loss(chosen[one], chosen[one].detach(), by_row[one], mask[one])
            total -= sampler[row] * torch.autograd.grad(loss, theta, retain_graph=True)[0]
        bounded = p if cap is None else torch.minimum(p, cap * sampler)
        by_hand = ((bounded * gain)[:, None] * (torch.eye(3, dtype=torch.float64) - p)).sum(0)
        assert torch.allclose(total, by_hand, atol=1e-12)
        assert torch.allclose(total, exact, atol=1e-12) == (cap is None)


def test_weights_outside_the_mask_and_of_broken_tokens():
    now = torch.tensor([[0.0, float("nan"), -1.0]])
    drawn = torch.tensor([[-90.0, 0.0, -1.0]])
    weights = importance_weights(now, drawn, torch.tensor([[True, False, True]]), 2.0)
    assert weights.tolist() == [[2.0, 1.0, 1.0]]


def _one_update(cap: float | None, learning_rate: float = 1e-9):
    policy, half = random_policy(), random_policy()
    half.model.to(torch.bfloat16)
    rollouts = scored_rollouts(half)
    options = {"importance_cap": cap, "aggregate": "token_mean"}
    settings = {"minibatches": 1, "microbatch_tokens": 50, "lr": learning_rate, "warmup": 0}
    recipe = load_recipe("r1-zero-tiny", algorithm_options=options, **settings)
    advantages = torch.randn(len(rollouts), generator=torch.Generator().manual_seed(0))
    own = rollout_logprobs(policy.model, rollouts, 1.0, 50)
    optimizer = torch.optim.SGD(policy.model.parameters(), lr=1.0)
    before = torch.cat([p.detach().flatten().clone() for p in policy.model.parameters()])
    stats, _ = update_once(policy, rollouts, advantages, recipe, optimizer)
    after = torch.cat([p.detach().flatten() for p in policy.model.parameters()])
    return rollouts, advantages, own, stats, before - after, policy


def test_the_corrected_gradient_is_the_weighted_one():
    """The update's gradient with a cap against autograd on the formula, written out."""
    rollouts, advantages, own, stats, step, _ = _one_update(0.999, 1.0)
    fresh = random_policy()
    from labkit.models import token_logprobs

    logprobs = token_logprobs(fresh.model, rollouts.tokens)
    weights = (own - rollouts.logprobs).exp().clamp(max=0.999)
    gain = (weights * advantages[:, None] * logprobs)[rollouts.mask].sum() / rollouts.mask.sum()
    gradient = torch.autograd.grad(-gain, list(fresh.model.parameters()))
    flat = torch.cat([g.flatten() for g in gradient])
    flat = flat / max(1.0, float(flat.norm()))  # max_grad_norm
    assert torch.allclose(step, flat, atol=1e-6) and flat.norm() > 1e-3
    assert stats["ratio_mean"] == pytest.approx(1.0, abs=1e-6), "the ratio is to the trainer's own log-probs"
    assert 0 < stats["importance_capped"] < 1 and stats["ess"] < 1 and stats["mismatch_max"] > 1e-4


def test_without_a_cap_the_ratio_itself_carries_the_mismatch():
    _, _, _, stats, _, _ = _one_update(None)
    assert stats["ratio_mean"] != pytest.approx(1.0, abs=1e-6) and "importance_capped" not in stats


def test_corrected_and_not_are_one_where_sampler_and_trainer_are_one(tmp_path):
    plain, capped = (
        mini_run(tmp_path / str(cap), task=fours(), updates=2, algorithm_options={"importance_cap": cap})
        for cap in (None, 2.0)
    )
    for ours, theirs in zip(capped.metrics, plain.metrics, strict=True):
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3, abs=1e-6)
        assert ours["importance_capped"] == 0
    assert capped.metrics[-1]["time_logprobs"] > plain.metrics[-1]["time_logprobs"]


def test_the_mismatch_is_measured_where_nothing_is_learned(tmp_path):
    policy = random_policy()
    run = mini_run(tmp_path / "run", policy, task=fours(lambda completion, reference: 1.0), steps=2)
    for line in run.metrics:
        assert line["trained_rows"] == 0 and 0 < line["mismatch_max"] < 1e-4 and 0 < line["mismatch_mean"] < 1e-4
        assert line["ess"] == pytest.approx(1, abs=1e-4)


def test_the_ess_is_of_before_the_first_update(tmp_path):
    run = mini_run(tmp_path / "run", task=fours(), updates=4, minibatches=2, lr=1e-2, warmup=0, prompts=8)
    assert all(line["ess"] == pytest.approx(1, abs=1e-4) for line in run.metrics)


def test_the_parts_of_a_step_are_timed(tmp_path):
    line = mini_run(tmp_path / "run", task=fours(), steps=1, train_zero_advantage=True).metrics[0]
    assert 0 < line["time_prefill"] + line["time_decode"] <= line["time_sample"]
    assert 0 < line["time_backward"] + line["time_optimizer"] <= line["time_train"]
    parts = line["time_sample"] + line["time_verify"] + line["time_logprobs"] + line["time_train"]
    assert 0.5 * line["seconds"] < parts <= line["seconds"]


def _policies_of(run) -> dict:
    return {step: run.policy(step, device="cpu") for step in run.checkpoints()}


@pytest.mark.parametrize("age", [1, 2])
def test_stale_samples_are_those_of_the_older_policy(tmp_path, age):
    base = tmp_path / "base"
    random_policy().save(base)
    run = mini_run(
        tmp_path / "run", model=base, staleness=age, steps=4, checkpoint_every=1, keep_checkpoints=9, **LEARNS
    )
    assert all(line["mismatch_max"] < 1e-4 for line in run.metrics[:1]), "the first samples are the policy's own"
    assert all(line["mismatch_max"] > 1e-2 and line["ess"] < 1 for line in run.metrics[1:])
    policies = _policies_of(run) | {0: random_policy()}
    for step in range(4):
        rows = run.rollouts(step)
        drawer = policies[max(0, step - age)]
        prompts = list(dict.fromkeys(row["prompt"] for row in rows))
        again = sample(drawer, prompts, n=8, max_new_tokens=8, seed=step_seed(0, step))
        assert again.completions[: len(rows)] == [row["completion"] for row in rows]
        if step > age:
            other = sample(policies[step], prompts, n=8, max_new_tokens=8, seed=step_seed(0, step))
            assert other.completions[: len(rows)] != [row["completion"] for row in rows]


def test_no_staleness_is_the_run_as_it_always_was(tmp_path):
    plain, zero = mini_run(tmp_path / "plain", **LEARNS), mini_run(tmp_path / "zero", staleness=0, **LEARNS)
    assert numbers(plain) == numbers(zero) and plain.rollouts() == zero.rollouts()
    assert not list((tmp_path / "zero").glob("checkpoints/*/past.safetensors"))


def test_stopped_and_resumed_with_stale_samples(tmp_path):
    class StopAfterThree:
        seen = 0

        @property
        def stopped(self) -> bool:
            return self.seen == 3

        def update(self, metrics, rollouts) -> None:
            self.seen += 1

    base = tmp_path / "base"
    random_policy().save(base)
    options = {"model": base, "steps": 6, "staleness": 2, **LEARNS}
    whole = mini_run(tmp_path / "whole", **options)
    mini_run(tmp_path / "part", observer=StopAfterThree(), **options)
    resumed = train(resume=tmp_path / "part", progress=False)
    assert numbers(resumed) == numbers(whole) and resumed.rollouts() == open_run(tmp_path / "whole").rollouts()
