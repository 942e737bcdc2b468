"""The critic of PPO, the KL controller, and rewards that a reward model gives."""

import pytest
import torch

from labkit.evaluation.report import evaluate
from labkit.models import RewardModel, load_reward_model
from labkit.recipes import load_recipe
from labkit.rollouts import score
from labkit.sampling import sample
from labkit.training.loop.measure import Stopwatch
from labkit.training.rl.critic import ActorCritic, Critic
from labkit.training.rl.experience import Experience
from labkit.training.rows.comparisons import calibration
from tests.training.mini import random_policy
from tests.training.toys import comparisons, fours, toy_run


@pytest.mark.parametrize("trunk", ["shared", "separate"])
def test_a_value_is_read_before_its_token(trunk):
    """V at column t may depend on tokens before t, and on no other."""
    policy = random_policy()
    critic = Critic(policy, trunk)
    torch.nn.init.normal_(critic.head.linear.weight)
    tokens = torch.tensor([policy.encode("5,6,7:") + policy.encode("44 please")[1:]])
    _, _, values = critic(policy.model, tokens, 1.0)
    values = values.detach()
    assert float(values[0, 0]) == 0
    for t in range(1, tokens.shape[1]):
        other = tokens.clone()
        other[0, t] = (other[0, t] + 1) % 100
        changed = (critic(policy.model, other, 1.0)[2] - values)[0].abs() > 1e-7
        assert not changed[: t + 1].any() and changed[t + 1 :].all()


def test_old_values_are_those_of_the_update_before_it_begins():
    policy = random_policy()
    critic = Critic(policy, "shared")
    torch.nn.init.normal_(critic.head.linear.weight)
    rollouts = sample(policy, ["5:", "17,18:"], n=3, max_new_tokens=6, seed=1)
    logprobs, _, values = critic(policy.model, rollouts.tokens, 1.0)
    old = critic.values(policy.model, rollouts, budget=20)
    assert torch.allclose(torch.where(rollouts.mask, values, 0.0), old, atol=1e-5)
    assert torch.allclose(torch.where(rollouts.mask, logprobs, 0.0), rollouts.logprobs, atol=1e-4)


def test_a_critic_that_knows_the_returns_has_no_error():
    """Its own values stand for the returns: a shift of one side by a token would be an error."""
    policy, recipe = random_policy(), load_recipe("ppo-assistant-tiny")
    critic = Critic(policy, "shared")
    torch.nn.init.normal_(critic.head.linear.weight)
    rollouts = sample(policy, ["5:", "17,18:"], n=3, max_new_tokens=6, seed=1)
    experience = Experience(rollouts, recipe.preset(), 0, Stopwatch(policy.device))
    experience.values = critic.values(policy.model, rollouts, budget=20)
    objective, rows = ActorCritic(policy.model, recipe, critic), torch.tensor([4, 1, 3])
    width = int(rollouts.total_lengths[rows].max())

    def error(returns: torch.Tensor) -> float:
        experience.take(torch.zeros_like(returns), returns, torch.ones(6, dtype=torch.bool))
        return float(objective.loss(experience, rows, width, 3)[1]["value_error"])

    assert error(experience.values) == pytest.approx(0, abs=1e-8)
    assert error(torch.where(rollouts.mask, experience.values + 2, 0.0)) > 1
    assert error(experience.values.roll(1, 1)) > 1e-4


@pytest.mark.parametrize("trunk", ["shared", "separate"])
def test_the_critic_learns_what_comes(tmp_path, trunk):
    changes = {"critic.trunk": trunk, "lr": 3e-3, "updates": 4, "minibatches": 2}
    run = toy_run(tmp_path / trunk, "ppo", steps=16, **changes)
    assert run.metrics[0]["explained_variance"] == pytest.approx(0, abs=1e-6), "the head begins at zero"
    # Above 0: its error is below that of the best constant.
    assert max(line["explained_variance"] for line in run.metrics) > 0.08


def test_ppo_pays_the_kl_by_token_and_stays_near(tmp_path):
    far, near = (
        toy_run(tmp_path / str(coef), "ppo", steps=12, algorithm_options={"kl_coef": coef}) for coef in (1e-6, 3.0)
    )
    assert near.metrics[-1]["kl"] < 0.5 * far.metrics[-1]["kl"]


def test_the_controller_raises_the_coefficient_while_the_kl_is_too_high(tmp_path):
    options = {"algorithm_options": {"kl_coef": 0.1}, "kl_control": {"target": 1e-3, "horizon": 64}}
    run = toy_run(tmp_path / "run", "rloo", steps=10, **options)
    coefficients = [line["kl_coef"] for line in run.metrics]
    # At first the KL is 0, below its target; then every batch of 64 is 20 % too much.
    assert coefficients[1] == pytest.approx(0.08) and coefficients[-1] > 2 * coefficients[1]
    assert coefficients[-1] == pytest.approx(1.2 * coefficients[-2])


def test_proxy_reward_is_trained_on_and_gold_is_logged_beside_it(tmp_path):
    judge = load_reward_model(toy_run(tmp_path / "rm", "reward_model"))
    run = toy_run(tmp_path / "run", "rloo", reward_model=judge, steps=10)
    first, last = run.metrics[0], run.metrics[-1]
    assert last["reward_mean"] > first["reward_mean"] + 0.5
    row = run.rollouts()[-1]
    assert row["reward"] == pytest.approx(float(judge.score([row["prompt"]], [row["completion"]])[0]), abs=1e-4)
    assert row["parts"]["gold"] == pytest.approx(row["completion"].count("4") / max(len(row["completion"]), 1))
    assert first["gold_mean"] == pytest.approx(
        sum(r["parts"]["gold"] for r in run.rollouts(0)) / len(run.rollouts(0)), abs=0.2
    )
    assert "kl" in last, "how far the policy went, also without a penalty"


def test_the_evaluation_of_a_run_on_a_reward_model_is_about_gold(tmp_path):
    policy, judge = random_policy(), RewardModel(random_policy())
    torch.nn.init.constant_(judge.head.linear.bias, 7.0)
    changes = {"evaluation.problems": 4, "evaluation.samples": 2, "steps": 1}
    run = toy_run(tmp_path / "run", "rloo", policy, reward_model=judge, **changes)
    assert run.metrics[0]["reward_mean"] == pytest.approx(7.0)
    assert run.result["before"]["mean_reward"] < 1 and run.result["after"]["mean_reward"] < 1


def test_reward_model_reads_the_eos_whatever_stands_around_the_row():
    policy = random_policy()
    model = RewardModel(policy)
    torch.nn.init.normal_(model.head.linear.weight)
    prompts, replies = ["5:", "17,18,19:", "5:"], ["4", "44 please thank you", "7"]
    together = model.score(prompts, replies)
    alone = torch.cat([model.score([p], [r]) for p, r in zip(prompts, replies, strict=True)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(model.score(prompts, replies, batch_tokens=1), alone, atol=1e-5)
    assert len(set(together.tolist())) == 3
    with torch.no_grad():
        ids = torch.tensor(
            [[*policy.encode("5:"), *policy.tokenizer("4", add_special_tokens=False).input_ids, policy.eos_id]]
        )
        hidden = policy.model(ids, output_hidden_states=True).hidden_states[-1][0, -1]
        assert together[0] == pytest.approx(float(model.head(hidden)), abs=1e-5)
    long = model.score(["5:"], ["4" * 5000])
    assert torch.isfinite(long).all(), "what exceeds the context keeps its beginning"


def test_a_reward_model_is_saved_and_loaded_whole(tmp_path):
    run = toy_run(tmp_path / "rm", "reward_model", steps=5)
    judge = load_reward_model(run)
    judge.save(tmp_path / "copy")
    again = load_reward_model(tmp_path / "copy")
    prompts, replies = ["5:", "6:"], ["44", "7"]
    assert torch.equal(judge.score(prompts, replies), again.score(prompts, replies))
    assert float(judge.score(["5:"], ["44"]) - judge.score(["5:"], ["7"])) > 0
    assert load_reward_model(judge) is judge


def test_margin_and_centring_do_what_they_say(tmp_path):
    plain, wide, centred = (
        toy_run(tmp_path / name, "reward_model", steps=30, algorithm_options=options).result["held_out"]["after"]
        for name, options in {"plain": {}, "wide": {"margin": 3.0}, "centred": {"centering": 1.0}}.items()
    )
    assert wide["margin"] > plain["margin"] > centred["margin"]
    rows = [{**row, "margin": 3.0} for row in comparisons()]
    assert toy_run(tmp_path / "rows", "reward_model", steps=30, dataset=rows).result["held_out"]["after"] == wide


def test_calibration_of_a_perfect_judge_lies_on_the_diagonal():
    generator = torch.Generator().manual_seed(0)
    margins = torch.randn(20_000, generator=generator) * 2
    flipped = torch.rand(20_000, generator=generator) > torch.sigmoid(margins.abs())
    curve = calibration(torch.where(flipped, -margins.abs(), margins.abs()))
    assert len(curve) == 10 and sum(point["count"] for point in curve) == 20_000
    assert all(abs(point["predicted"] - point["observed"]) < 0.04 for point in curve)


def test_an_evaluation_of_real_rewards_reports_their_mean():
    task = fours()
    report = evaluate(random_policy(), task, samples=4, limit=8, max_new_tokens=8)
    assert report.mean_reward == pytest.approx(sum(report.rewards_per_problem) / 8)
    low, high = report.interval["mean_reward"]
    assert low <= report.mean_reward <= high and "mean reward" in str(report)
    judged = task.with_reward_model(RewardModel(random_policy()))
    problems = task.sample(2)
    rollouts = score(sample(random_policy(), [p.prompt for p in problems], n=2, max_new_tokens=4), judged, problems)
    assert {"gold"} <= set(rollouts.scores[0].parts) and rollouts.rewards.tolist() == [0.0] * 4
