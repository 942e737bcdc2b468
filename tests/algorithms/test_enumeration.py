"""The expected gradient of each algorithm, summed exactly over all groups that can be sampled.

Nothing here is statistical: an estimator is unbiased to 1e-12, or has exactly the bias that is stated.
"""

import dataclasses
import itertools
import math

import pytest
import torch

from labkit.algorithms import (
    PRESETS,
    Preset,
    entropy,
    off_policy_sequence_mask,
    policy_loss,
    top_entropy_mask,
)
from tests.algorithms.tabular_world import bandit_world, level_world, ragged_world

NORM_LENGTH = 3


@pytest.fixture
def ragged():
    return ragged_world()


@pytest.fixture
def level():
    return level_world()


@pytest.fixture
def bandit():
    return bandit_world()


def group_gradients(world, preset: Preset, size: int = 2):
    """Every possible group: the gradient of its loss (minus: of its objective) and its probability."""
    indices = torch.tensor(list(itertools.product(range(len(world.tokens)), repeat=size)))
    rewards = world.rewards[indices]
    ids = torch.arange(len(indices))[:, None].expand_as(indices)
    advantage = preset.advantages(rewards.flatten(), ids.flatten()).view_as(rewards)
    logprobs = world.logprobs(world.theta)
    gradients = []
    for rows, values in zip(indices, advantage, strict=True):
        now = logprobs[rows]
        loss, _ = preset.loss(now, now.detach(), values, world.mask[rows], norm_length=NORM_LENGTH)
        gradients.append(-torch.autograd.grad(loss, world.theta, retain_graph=True)[0])
    probability = world.probabilities(world.theta).detach()[indices].prod(dim=1)
    return torch.stack(gradients), probability


def expectation(values, probability):
    return (values * probability.view(-1, *[1] * (values.dim() - 1))).sum(0)


def exact(preset: str, **changes) -> Preset:
    """A preset without the eps that would blur an exact statement."""
    return dataclasses.replace(PRESETS[preset], eps=0.0, **changes)


def close(a, b, atol: float = 1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def test_the_world_is_complete(ragged, level):
    for world, answers in ((ragged, 15), (level, 9)):
        assert len(world.tokens) == answers
        close(world.probabilities(world.theta).sum(), torch.tensor(1.0, dtype=torch.float64))
        # The score by hand is the score by autograd, and has mean zero.
        row = world.gradient(world.logprobs(world.theta)[3].sum())
        close(world.scores()[3], row)
        mean = expectation(world.scores(), world.probabilities(world.theta).detach())
        close(mean, torch.zeros_like(mean))


@pytest.mark.parametrize("name", ["reinforce", "rloo"])
@pytest.mark.parametrize("size", [2, 3])
def test_unbiased(level, ragged, name, size):
    world = ragged if size == 2 else level
    close(expectation(*group_gradients(world, PRESETS[name], size)), world.exact_gradient())


@pytest.mark.parametrize("size", [2, 3])
def test_group_mean_shrinks_the_gradient_by_n_minus_1_over_n(level, size):
    expected = expectation(*group_gradients(level, PRESETS["dr_grpo"], size))
    close(expected, (size - 1) / size * level.exact_gradient() / NORM_LENGTH)


def test_dr_grpo_has_no_length_bias(ragged):
    close(expectation(*group_gradients(ragged, PRESETS["dr_grpo"])), ragged.exact_gradient() / 2 / NORM_LENGTH)


def test_dr_grpo_that_keeps_the_sequence_mean_is_biased(ragged):
    half = dataclasses.replace(PRESETS["dr_grpo"], aggregate="sequence_mean")
    expected = expectation(*group_gradients(ragged, half))
    target = ragged.exact_gradient() / 2
    assert torch.cosine_similarity(expected.flatten(), target.flatten(), dim=0) < 0.999
    # What it follows: the reward's difference from the mean, by length.
    p, length = ragged.probabilities(ragged.theta).detach(), ragged.mask.sum(1)
    weight = (ragged.rewards - (p * ragged.rewards).sum()) / (2 * length)
    close(expected, expectation(ragged.scores() * weight[:, None, None], p))


def test_grpo_with_two_samples_climbs_the_win_rate(level):
    # (R1 - mean) / std of two numbers is sign(R1 - R2) / sqrt(2): how much better no longer matters. The
    # other sample stays fixed in the gradient, else wins and losses would cancel.
    p = level.probabilities(level.theta)
    wins = torch.sign(level.rewards[:, None] - level.rewards[None, :])
    target = level.gradient((p[:, None] * p.detach()[None, :] * wins).sum())
    expected = expectation(*group_gradients(level, exact("grpo")))
    close(expected, target / math.sqrt(2) / 2)  # / 2: the mean over the two tokens of an answer
    cosine = torch.cosine_similarity(expected.flatten(), level.exact_gradient().flatten(), dim=0)
    assert cosine < 0.999


def test_grpo_with_two_samples_and_a_binary_reward_is_right_up_to_a_factor(level):
    level.rewards = (level.rewards > 0).double()
    expected = expectation(*group_gradients(level, exact("grpo")))
    close(expected, level.exact_gradient() / math.sqrt(2) / 2)


def test_grpo_divides_by_the_length_of_the_answer(ragged):
    p, length = ragged.probabilities(ragged.theta).detach(), ragged.mask.sum(1)
    win_rate = (torch.sign(ragged.rewards[:, None] - ragged.rewards[None, :]) * p[None, :]).sum(1)
    weight = win_rate / math.sqrt(2) / length
    target = expectation(ragged.scores() * weight[:, None, None], p)
    close(expectation(*group_gradients(ragged, exact("grpo"))), target)


def test_dapo_divides_by_the_tokens_of_the_batch(ragged):
    p, length = ragged.probabilities(ragged.theta).detach(), ragged.mask.sum(1)
    sign = torch.sign(ragged.rewards[:, None] - ragged.rewards[None, :]) / math.sqrt(2)
    # Both answers of the group pull: the first with +sign, the second with -sign, together over their tokens.
    share = sign * p[:, None] * p[None, :] / (length[:, None] + length[None, :])
    weight = share.sum(1) - share.sum(0)
    close(
        expectation(*group_gradients(ragged, exact("dapo"))),
        (ragged.scores() * weight[:, None, None]).sum(0),
    )


def test_dapo_that_drops_groups_without_variance_divides_by_their_share(ragged):
    ragged.rewards = (ragged.rewards > 0).double()
    preset = exact("dapo")
    gradients, probability = group_gradients(ragged, preset)
    indices = torch.tensor(list(itertools.product(range(len(ragged.tokens)), repeat=2)))
    keep = torch.stack([preset.keep(r, torch.zeros(2, dtype=torch.long)) for r in ragged.rewards[indices]])
    assert (keep[:, 0] == keep[:, 1]).all()
    kept = keep[:, 0]
    p = (ragged.probabilities(ragged.theta).detach() * ragged.rewards).sum()
    close(probability[kept].sum(), 2 * p * (1 - p))
    assert (gradients[~kept] == 0).all()
    conditional = expectation(gradients[kept], probability[kept]) / probability[kept].sum()
    close(conditional, expectation(gradients, probability) / (2 * p * (1 - p)))


def test_sapo_on_policy_is_grpo(ragged):
    # The gate has slope 1 at a ratio of 1, whatever the temperature.
    grpo = expectation(*group_gradients(ragged, exact("grpo")))
    close(expectation(*group_gradients(ragged, exact("sapo"))), grpo)
    close(expectation(*group_gradients(ragged, exact("sapo", tau_pos=0.3, tau_neg=7.0))), grpo)


def sum_of_pass_at_k(world, terms: int):
    """sum over k from 1 to `terms` of pass@k / k, where pass@k = 1 - (1 - p)^k: the series of log p, cut."""
    p = (world.probabilities(world.theta) * world.rewards).sum()
    return sum((1 - (1 - p) ** k) / k for k in range(1, terms + 1))


@pytest.mark.parametrize("size", [2, 3])
def test_maxrl_climbs_the_log_of_the_pass_rate_as_far_as_the_group_allows(level, size):
    level.rewards = (level.rewards > 0).double()
    preset = exact("maxrl")
    close(expectation(*group_gradients(level, preset, size)), level.gradient(sum_of_pass_at_k(level, size - 1)))
    # Without a baseline there is one term more: the group without a right answer no longer counts.
    none = dataclasses.replace(preset, baseline="none")
    close(expectation(*group_gradients(level, none, size)), level.gradient(sum_of_pass_at_k(level, size)))


def test_maxrl_comes_closer_to_the_log_of_the_pass_rate_with_more_samples(bandit):
    bandit.rewards = torch.zeros(3, dtype=torch.float64)
    bandit.rewards[bandit.probabilities(bandit.theta).argmax()] = 1.0
    target = bandit.gradient((bandit.probabilities(bandit.theta) * bandit.rewards).sum().log())
    distances = []
    for size in (2, 4, 6):
        found = expectation(*group_gradients(bandit, exact("maxrl"), size))
        close(found, bandit.gradient(sum_of_pass_at_k(bandit, size - 1)))
        distances.append((found - target).norm() / target.norm())
    assert distances[0] > 2 * distances[1] > 4 * distances[2]


def variance(gradients, probability):
    mean = expectation(gradients, probability)
    return expectation((gradients - mean).square(), probability).sum().item()


def test_a_baseline_lowers_the_variance_and_adds_no_bias(level):
    level.rewards = level.rewards + 5.0  # all answers look good without a baseline
    reinforce, rloo = (group_gradients(level, PRESETS[name]) for name in ("reinforce", "rloo"))
    close(expectation(*reinforce), expectation(*rloo))
    assert variance(*rloo) < 0.2 * variance(*reinforce)


def test_a_baseline_of_the_answer_itself_is_not_free(level):
    # batch_mean includes the answer, hence the factor 1/2 with two samples; leave-one-out removes it.
    own = dataclasses.replace(PRESETS["rloo"], baseline="group_mean")
    close(2 * expectation(*group_gradients(level, own)), level.exact_gradient())


# Presets that give credit by token, batch by batch.


def batch_gradients(world, preset: Preset, size: int, **given):
    """As group_gradients, for advantages by token: every batch of `size` answers to one prompt is one batch.

    `given`: the tensors [answers, ...] that the preset needs, such as `values` or `greedy`.
    """
    indices = torch.tensor(list(itertools.product(range(len(world.tokens)), repeat=size)))
    logprobs, ids = world.logprobs(world.theta), torch.zeros(size, dtype=torch.long)
    gradients = []
    for rows in indices:
        needed = {name: tensor[rows] for name, tensor in given.items()}
        advantage, _ = preset.token_advantages(world.rewards[rows], ids, world.mask[rows], **needed)
        now = logprobs[rows]
        loss, _ = preset.loss(now, now.detach(), advantage, world.mask[rows], norm_length=NORM_LENGTH)
        gradients.append(-torch.autograd.grad(loss, world.theta, retain_graph=True)[0])
    return torch.stack(gradients), world.probabilities(world.theta).detach()[indices].prod(dim=1)


def test_remax_is_unbiased_and_quieter(ragged):
    ragged.rewards = ragged.rewards + 5.0
    greedy = ragged.rewards[ragged.probabilities(ragged.theta).argmax()].expand(len(ragged.tokens))
    remax = batch_gradients(ragged, PRESETS["remax"], 2, greedy=greedy)
    close(expectation(*remax), ragged.exact_gradient())
    reinforce = batch_gradients(ragged, PRESETS["reinforce"], 2)
    close(expectation(*reinforce), ragged.exact_gradient())
    assert variance(*remax) < 0.2 * variance(*reinforce)


@pytest.mark.parametrize("name", ["ppo", "reinforce_pp"])
def test_ppo_and_reinforce_pp_with_kl_in_the_reward_are_unbiased_before_whitening(ragged, name):
    # One batch row, summed over its tokens: the policy gradient of reward minus beta KL. PPO's critic (here: any
    # function of the prefix) changes nothing in expectation with lambda = 1.
    preset = dataclasses.replace(PRESETS[name], whiten=False, lam=1.0, kl_coef=0.3, aggregate="sequence_sum")
    lp, ref = ragged.logprobs(ragged.theta), ragged.logprobs(ragged.other_theta())
    target = ragged.gradient((lp.sum(1).exp() * (ragged.rewards - 0.3 * (lp - ref).sum(1))).sum())
    critic = torch.randn(len(ragged.prefixes), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    given = {"kl": (lp - ref).detach(), "values": critic[ragged.prefix]}
    close(expectation(*batch_gradients(ragged, preset, 1, **given)), target)


@pytest.mark.parametrize("name", ["ppo", "reinforce_pp"])
def test_whitening_over_a_batch_of_two_climbs_the_win_rate(level, name):
    # Two answers of two tokens, no KL: whitened, the four advantages are +-sqrt(3)/2 by who wins, however much
    # better. The known bias: only the order counts, as in GRPO, and the batch's mean includes the answer itself.
    preset = dataclasses.replace(PRESETS[name], lam=1.0)
    p = level.probabilities(level.theta)
    wins = torch.sign(level.rewards[:, None] - level.rewards[None, :])
    target = level.gradient((p[:, None] * p.detach()[None, :] * wins).sum())
    found = expectation(*batch_gradients(level, preset, 2, values=torch.zeros_like(level.logprobs(level.theta))))
    # Both answers pull, and the mean is over four tokens: 2 / 4. The eps of whitening blurs the ninth digit.
    close(found, math.sqrt(3) / 2 * target / 2, atol=1e-6)


def test_the_entropy_bonus_climbs_the_entropy(bandit):
    # Its gradient is that of the entropy of the distribution at each visited prefix, exactly.
    preset = dataclasses.replace(PRESETS["reinforce"], entropy_coef=0.3)
    lp = bandit.logprobs(bandit.theta)
    h = entropy(bandit.theta)[bandit.prefix]
    zero = torch.zeros(len(lp), dtype=torch.float64)
    loss, stats = preset.loss(lp, lp.detach(), zero, bandit.mask, entropy=h)
    p = torch.softmax(bandit.theta.detach(), -1)
    by_hand = 0.3 * -p * (p.log() + entropy(bandit.theta.detach())[:, None])
    close(-bandit.gradient(loss), by_hand)
    close(stats["entropy"], entropy(bandit.theta.detach())[0])
    with pytest.raises(ValueError, match="needs entropy"):
        preset.loss(lp, lp.detach(), zero, bandit.mask)


# Off-policy: samples of an old policy, no clipping. Everything is weighed by the old probabilities.


def off_policy_gradient(world, **options):
    old = world.logprobs(world.other_theta())
    q = old.sum(1).exp()
    loss, stats = policy_loss(
        world.logprobs(world.theta),
        old,
        world.rewards * q,  # linear in the advantage, so that the weight of an answer can go there
        world.mask,
        clip_low=1.0,
        clip_high=math.inf,
        aggregate="sequence_sum",
        normalizer=1,
        **options,
    )
    assert stats["clip_fraction"] == 0
    return -world.gradient(loss), q


def test_importance_weights_give_the_exact_gradient_of_one_step(bandit):
    for objective in ("clip", "cispo"):
        close(off_policy_gradient(bandit, objective=objective)[0], bandit.exact_gradient())


def test_reinforce_off_policy_is_biased_as_it_has_no_ratio(bandit):
    gradient, q = off_policy_gradient(bandit, objective="reinforce")
    close(gradient, expectation(bandit.scores() * bandit.rewards[:, None, None], q))
    assert not torch.allclose(gradient, bandit.exact_gradient(), atol=1e-2)


@pytest.mark.parametrize("objective", ["clip", "cispo"])
def test_token_ratios_climb_the_surrogate_of_trpo(ragged, objective):
    # Schulman et al. 2015, eq. 3: prefixes visited as by the old policy, actions by the new one, the value of
    # an action under the old one. It is not the expected reward, but touches it where the policies agree.
    q = ragged.probabilities(ragged.other_theta())
    action = torch.softmax(ragged.theta, -1)
    surrogate = torch.tensor(0.0, dtype=torch.float64)
    old_action = torch.softmax(ragged.other_theta(), -1)
    for row in range(len(ragged.prefixes)):
        for token in range(3):
            passes = ((ragged.prefix == row) & ragged.mask & (ragged.tokens == token)).any(1)
            visit_times_value = (q * ragged.rewards)[passes].sum() / old_action[row, token]
            surrogate = surrogate + action[row, token] * visit_times_value
    gradient, _ = off_policy_gradient(ragged, objective=objective)
    close(gradient, ragged.gradient(surrogate))
    assert not torch.allclose(gradient, ragged.exact_gradient(), atol=1e-3)


def test_the_sequence_ratio_is_the_geometric_mean(level):
    # GSPO weighs an answer of two tokens by (p / q)^(1/2): the expectation is sum sqrt(p q) R.
    gradient, q = off_policy_gradient(level, ratio="sequence")
    p = level.probabilities(level.theta)
    # sequence_sum adds the same sequence ratio once for each of the two tokens.
    close(gradient, 2 * level.gradient(((p * q).sqrt() * level.rewards).sum()))


@pytest.mark.parametrize("world", ["bandit", "ragged"])
def test_sapo_off_policy_climbs_its_gated_surrogate(world, request):
    # Samples of the old policy, and each token's ratio through the gate: 4 / tau sigmoid(tau (r - 1)), which is
    # 2 / tau (1 + tanh(tau (r - 1) / 2)). The temperature depends on the sign of the reward.
    world = request.getfixturevalue(world)
    gradient, q = off_policy_gradient(world, objective="sapo", tau_pos=1.0, tau_neg=2.5)
    assert (world.rewards > 0).any() and (world.rewards < 0).any()
    tau = torch.where(world.rewards > 0, 1.0, 2.5)[:, None].double()
    ratio = (world.logprobs(world.theta) - world.logprobs(world.other_theta())).exp()
    gated = (2 / tau * torch.tanh(tau * (ratio - 1) / 2) * world.mask).sum(1)
    close(gradient, world.gradient((q * world.rewards * gated).sum()))
    assert not torch.allclose(gradient, world.exact_gradient(), atol=1e-3)


# Masks


def test_the_entropy_mask_keeps_the_exact_gradient_of_the_prefixes_that_it_keeps(ragged):
    # In the table each prefix has logits of its own: the gradient of the others is 0, that of the kept ones is whole.
    lp, p = ragged.logprobs(ragged.theta), ragged.probabilities(ragged.theta).detach()
    by_prefix = entropy(ragged.theta.detach())
    keep = top_entropy_mask(by_prefix[ragged.prefix], ragged.mask, share=0.5)
    weight = (p * ragged.rewards)[:, None] * keep
    loss, _ = policy_loss(lp, lp.detach(), weight, ragged.mask, aggregate="sequence_sum", normalizer=1)
    found, exact_rows = -ragged.gradient(loss), ragged.exact_gradient()
    kept = torch.zeros(len(ragged.prefixes), dtype=torch.bool)
    kept[ragged.prefix[keep]] = True
    assert kept.any() and not kept.all() and by_prefix[kept].min() > by_prefix[~kept].max()
    close(found[kept], exact_rows[kept])
    assert (found[~kept] == 0).all()


def test_the_off_policy_mask_leaves_out_the_bad_answers_that_the_policy_hardly_writes_any_more(level):
    old, now = level.logprobs(level.other_theta(size=1.0)), level.logprobs(level.theta)
    q, threshold = old.sum(1).exp(), 0.2
    keep = off_policy_sequence_mask(now, old, level.rewards, level.mask, threshold)
    far = (old - now.detach()).mean(1) > threshold
    dropped = (level.rewards < 0) & far
    assert dropped.any() and (far & ~dropped).any() and ((level.rewards < 0) & ~far).any()
    weight = (level.rewards * q)[:, None] * keep
    options = {"clip_low": 1.0, "clip_high": math.inf, "aggregate": "sequence_sum", "normalizer": 1}
    loss, _ = policy_loss(now, old, weight, level.mask, **options)
    surrogate = (level.rewards * q * (level.logprobs(level.theta) - old).exp().sum(1))[~dropped].sum()
    close(-level.gradient(loss), level.gradient(surrogate))
    # On-policy it keeps everything.
    assert off_policy_sequence_mask(now, now, level.rewards, level.mask, 0.0).all()
