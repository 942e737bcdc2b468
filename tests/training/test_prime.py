"""PRIME's process reward model, learning along with the policy."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from labkit.algorithms import implicit_reward_loss
from labkit.errors import UserError
from labkit.models import Policy, token_logprobs
from labkit.recipes import load_recipe
from labkit.rollouts import Rollouts, score
from labkit.sampling import sample
from labkit.tasks import Problem, Task
from labkit.training.loop.memory import Budget
from labkit.training.rl.build import make_learner, make_rl_learner
from labkit.training.rl.process import ImplicitPRM
from labkit.training.rl.step import rl_step
from tests.training.mini import random_policy
from tests.training.short_of_memory import ShortOfMemory
from tests.training.toys import toy_run

SMALL = {"prompts": 4, "samples": 4, "max_new_tokens": 8, "task": "addition", "evaluation.problems": 0}


def wordy(completion: str, reference: object) -> float:
    return float(completion.startswith(" "))


wordy.needs_worker = False  # type: ignore[attr-defined]


def words() -> Task:
    """Right is what begins with a word of English: a random model is right now and then."""
    return Task(
        name="words",
        description="begin with a word",
        verifier=wordy,
        draw=lambda split, rng: Problem(f"{rng.randrange(100)}:", None, str(rng.random())),
    )


def scored(policy: Policy, seed: int = 0) -> Rollouts:
    task = words()
    problems = task.sample(6, seed=seed)
    rollouts = sample(policy, [p.prompt for p in problems], n=6, max_new_tokens=8, seed=seed)
    return score(rollouts, task, problems)


def test_the_judge_pays_after_it_has_learnt_and_is_measured_before():
    policy, recipe = random_policy(), load_recipe("prime-tiny", warmup=0)
    prm = ImplicitPRM(copy.deepcopy(policy.model), policy.model, recipe)
    rollouts = scored(policy)
    process, metrics = prm.learn_and_score(rollouts, recipe, 0)
    # Before: the judge is its reference, so that it says one half of everything.
    assert metrics["prm_loss"] == pytest.approx(0.6931, abs=1e-4)
    assert metrics["prm_accuracy"] == metrics["prm_ranking"] == 0.5
    # After: what it pays is beta times the log-ratio of the weights that it has now.
    with torch.no_grad():
        now, ref = (token_logprobs(m, rollouts.tokens) for m in (prm.model, prm.reference))
    expected = torch.where(rollouts.mask, recipe.process_reward.beta * (now - ref), 0.0)
    assert torch.allclose(process, expected, atol=1e-6) and process.abs().max() > 0
    assert metrics["process_reward_mean"] == pytest.approx(float(process.sum() / rollouts.mask.sum()))


def test_the_step_is_that_of_the_whole_batch_whatever_the_micro_batches():
    policy = random_policy()
    rollouts, found = scored(policy), []
    for tokens in (30, 10_000):
        options = {"optimizer.microbatch_tokens": tokens, "process_reward.accuracy": [0.0, 1.0]}
        recipe = load_recipe("prime-tiny", warmup=0, max_grad_norm=1e9, **options)
        prm = ImplicitPRM(copy.deepcopy(policy.model), policy.model, recipe)
        prm.optimizer = torch.optim.SGD(prm.model.parameters(), lr=1.0)
        _, metrics = prm.learn_and_score(rollouts, recipe, 0)
        found.append((torch.cat([p.detach().flatten() for p in prm.model.parameters()]), metrics))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-6)
    assert found[0][1] == pytest.approx(found[1][1], abs=1e-6)
    again = copy.deepcopy(policy.model)
    ref = token_logprobs(policy.model, rollouts.tokens).detach()
    outcomes, beta = rollouts.rewards.clamp(0, 1), recipe.process_reward.beta
    implicit_reward_loss(token_logprobs(again, rollouts.tokens), ref, outcomes, rollouts.mask, beta)[0].backward()
    with torch.no_grad():
        for p in again.parameters():
            p -= recipe.process_reward.lr * p.grad
    # The learning rate of the step is the settings': SGD with lr 1.0 shows that it was set.
    assert torch.allclose(torch.cat([p.detach().flatten() for p in again.parameters()]), found[1][0], atol=1e-6)


def test_the_judge_learns_to_tell_right_from_wrong(tmp_path):
    changes = {"process_reward.lr": 1e-2, "process_reward.beta": 0.5, "lr": 1e-4, "steps": 12}
    run = toy_run(tmp_path / "run", "prime", task=words(), **changes)
    first, last = run.metrics[0], run.metrics[-1]
    assert first["prm_ranking"] == 0.5 and last["prm_ranking"] > 0.65 and last["prm_loss"] < first["prm_loss"]
    row = run.rollouts()[-1]
    assert len(row["process"]) == len(row["tokens"])


def test_rollouts_of_a_step_hold_process_rewards_and_the_advantages_differ_within_an_answer():
    policy, task = random_policy(), words()
    recipe = load_recipe("prime-tiny", **SMALL, warmup=0, **{"process_reward.lr": 1e-2, "process_reward.beta": 1.0})
    experience, metrics = rl_step(make_rl_learner(recipe, policy, task), 0)
    rollouts, advantages, process = experience.rollouts, experience.advantages, experience.process
    assert process is not None and process.shape == rollouts.mask.shape
    assert process[rollouts.mask].any() and not process[~rollouts.mask].any()
    long = rollouts.lengths.argmax()
    assert advantages[long][rollouts.mask[long]].std() > 0
    assert {"prm_loss", "prm_accuracy", "prm_ranking", "process_reward_mean", "time_process"} <= set(metrics)


def test_a_judge_that_does_not_fit_learns_from_half_at_a_time(monkeypatch):
    policy = random_policy()
    rollouts, found = scored(policy), []
    recipe = load_recipe("prime-tiny", warmup=0, **{"process_reward.accuracy": [0.0, 1.0]})
    for asked, limit in ((100, None), (200, 150)):
        budget = Budget(asked, policy.device)
        prm = ImplicitPRM(copy.deepcopy(policy.model), policy.model, recipe)
        if limit:
            machine = ShortOfMemory(monkeypatch, Policy(prm.model, policy.tokenizer, "judge"), limit)
        process, metrics = prm.learn_and_score(rollouts, recipe, 0, budget)
        found.append((process, metrics, budget.tokens))
    assert machine.failures == 1 and found[0][2] == found[1][2] == 100
    assert torch.allclose(found[0][0], found[1][0], atol=1e-6)
    for _, metrics, _ in found:
        del metrics["prm_accuracy"]  # a judge that is still its reference: rounding decides
    assert found[0][1] == pytest.approx(found[1][1], abs=1e-6)


def test_without_its_weight_no_judge_is_trained():
    policy = random_policy()
    learner = make_learner(load_recipe("prime-tiny", **SMALL, algorithm_options={"process_coef": 0.0}), policy, words())
    assert "process_reward" not in learner.parts
    learner = make_learner(load_recipe("prime-tiny", **SMALL), policy, words())
    judge = learner.parts["process_reward"]
    assert judge.model is not policy.model and judge.reference is not policy.model
    assert not any(p.requires_grad for p in judge.reference.parameters())


def test_settings_are_checked():
    with pytest.raises(UserError, match="beta"):
        load_recipe("prime-tiny", **{"process_reward.beta": 0})
    with pytest.raises(UserError, match="needs credit='token'"):
        load_recipe("prime-tiny", algorithm_options={"whiten": False})
    with pytest.raises(UserError, match="process_reward is a setting of"):
        load_recipe("sft-assistant-tiny", **{"process_reward.beta": 1.0})


def test_the_judge_passes_over_prompts_that_are_too_easy_or_too_hard():
    policy = random_policy()
    recipe = load_recipe("prime-tiny", **SMALL, **{"process_reward.accuracy": [0.2, 0.8]})
    prm = ImplicitPRM(copy.deepcopy(policy.model), copy.deepcopy(policy.model), recipe)
    groups = torch.arange(4).repeat_interleave(4)
    outcomes = torch.tensor([0.0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0])
    learnt = prm.learnt_from(outcomes, groups)
    assert learnt.view(4, 4).all(1).tolist() == [False, True, False, True]
    assert torch.equal(learnt, learnt.view(4, 4).all(1).repeat_interleave(4)), "a group is taken or left whole"
    shuffled = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(prm.learnt_from(outcomes[shuffled], groups[shuffled]), learnt[shuffled])
    before = [p.detach().clone() for p in prm.model.parameters()]
    rollouts = scored(policy)
    rollouts.scores = [replace(s, reward=0.0) for s in rollouts.scores]  # nothing to learn from
    process, metrics = prm.learn_and_score(rollouts, recipe, 0)
    assert not process.any() and math.isnan(metrics["prm_ranking"]) and "prm_loss" not in metrics
    assert all(torch.equal(a, b) for a, b in zip(before, prm.model.parameters(), strict=True))
