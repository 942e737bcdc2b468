"""DPO and its family, and KTO: literal values, expectations over all pairs and labels, micro-batches."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from labkit.algorithms import kto_loss, kto_reference_point, preference_loss
from tests.algorithms.tabular_world import ragged_world

KINDS = ("dpo", "cdpo", "robust_dpo", "ipo", "simpo", "orpo")


def close(a, b, atol: float = 1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol, check_dtype=False)


def d(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def ragged():
    return ragged_world()


@pytest.fixture
def pairs():
    """Five pairs: sums of log-probs under policy and reference, and lengths."""
    generator = torch.Generator().manual_seed(4)
    sums = -1 - 9 * torch.rand(4, 5, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, 9, (2, 5), generator=generator)
    return (*sums, {"chosen_lengths": lengths[0], "rejected_lengths": lengths[1]})


def loss_and_gradients(pairs, rows=slice(None), **options):
    *sums, lengths = pairs
    sums = [x[rows].clone().requires_grad_() for x in sums]
    loss, stats = preference_loss(*sums, **{k: v[rows] for k, v in lengths.items()}, **options)
    *gradients, ref_chosen, ref_rejected = torch.autograd.grad(loss, sums, allow_unused=True)
    assert ref_chosen is None and ref_rejected is None  # the reference is frozen
    return loss.detach(), torch.stack(gradients), stats


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# chosen log-ratio 1, rejected -2, so d = 3; 2 and 4 tokens; policy sums -2 and -8.
@pytest.mark.parametrize(
    ("kind", "options", "expected", "gradient"),
    [
        ("dpo", {}, -math.log(sigmoid(1.5)), -0.5 * sigmoid(-1.5)),
        ("dpo", {"average": True}, -math.log(sigmoid(0.5)), -0.5 * sigmoid(-0.5) / 2),
        (
            "cdpo",
            {"label_smoothing": 0.25},
            -0.75 * math.log(sigmoid(1.5)) - 0.25 * math.log(sigmoid(-1.5)),
            -0.5 * (0.75 * sigmoid(-1.5) - 0.25 * sigmoid(1.5)),
        ),
        (
            "robust_dpo",
            {"label_smoothing": 0.25},
            (-0.75 * math.log(sigmoid(1.5)) + 0.25 * math.log(sigmoid(-1.5))) / 0.5,
            -0.5 * (0.75 * sigmoid(-1.5) + 0.25 * sigmoid(1.5)) / 0.5,
        ),
        ("ipo", {}, (3 - 1) ** 2, 2 * (3 - 1)),
        ("ipo", {"average": True}, (0.5 + 0.5 - 1) ** 2, 0.0),
        ("simpo", {"gamma": 0.25}, -math.log(sigmoid(0.5 * (-1 + 2) - 0.25)), -0.5 * sigmoid(-0.25) / 2),
    ],
)
def test_literal_values(kind, options, expected, gradient):
    chosen, rejected = d(-2.0).requires_grad_(), d(-8.0)
    lengths = {"chosen_lengths": torch.tensor([2]), "rejected_lengths": torch.tensor([4])}
    loss, _ = preference_loss(chosen, rejected, d(-3.0), d(-6.0), kind, beta=0.5, **lengths, **options)
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    assert torch.autograd.grad(loss, chosen)[0].item() == pytest.approx(gradient, abs=1e-12)


def test_orpo_by_hand():
    chosen, rejected = d(2 * math.log(0.6)).requires_grad_(), d(4 * math.log(0.2))
    lengths = {"chosen_lengths": torch.tensor([2]), "rejected_lengths": torch.tensor([4])}
    loss, _ = preference_loss(chosen, rejected, kind="orpo", beta=0.5, **lengths)
    ratio = (0.6 / 0.4) / (0.2 / 0.8)  # of the odds: 6
    assert loss.item() == pytest.approx(-math.log(0.6) - 0.5 * math.log(ratio / (1 + ratio)))
    # d log odds / d log p = 1 / (1 - p); the mean log-prob is half the sum.
    by_hand = (-1 - 0.5 * (1 / 7) / 0.4) / 2
    assert torch.autograd.grad(loss, chosen)[0].item() == pytest.approx(by_hand)
    # A sure thing has infinite odds: nothing to gain, and no NaN.
    for sure in (-1e-12, -1e-3, -700.0):
        chosen = d(sure).requires_grad_()
        one = {"chosen_lengths": torch.tensor([1]), "rejected_lengths": torch.tensor([1])}
        loss, _ = preference_loss(chosen, d(-1.0), kind="orpo", **one)
        assert torch.isfinite(loss) and torch.isfinite(torch.autograd.grad(loss, chosen)[0]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_chosen_goes_up_and_rejected_down(kind, pairs):
    *sums, lengths = pairs
    if kind == "ipo":  # up to its target distance
        sums[0] = sums[2].clone()
        sums[1] = sums[3].clone()
    _, gradients, _ = loss_and_gradients((*sums, lengths), kind=kind, beta=0.1, label_smoothing=0.02)
    assert (gradients[0] < 0).all() and (gradients[1] > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_add_up_and_the_reference_is_frozen(kind, pairs):
    loss, gradients, stats = loss_and_gradients(pairs, kind=kind)
    parts = [loss_and_gradients(pairs, rows, kind=kind, normalizer=5) for rows in ([0], [1, 2], [3, 4])]
    close(sum(part[0] for part in parts), loss)
    close(torch.cat([part[1] for part in parts], 1), gradients)
    for name in set(stats) - {"pairs"}:
        close(sum(part[2][name] * part[2]["pairs"] for part in parts) / 5, stats[name])
        assert not stats[name].requires_grad


def test_statistics():
    _, stats = preference_loss(d(-1.0, -5.0, -3.0), d(-2.0, -4.0, -3.0), d(-2.0, -4.0, -3.0), d(-2.0, -4.0, -3.0))
    expected = {"accuracy": 0.5, "margin": 0.0, "reward_chosen": 0.0, "reward_rejected": 0.0, "pairs": 3}
    for name, value in (expected | {"logprob_chosen": -3.0, "logprob_rejected": -3.0}).items():
        close(stats[name], torch.tensor(value), atol=1e-7)


# Exact: over all pairs of answers and both labels.


def all_pairs(world):
    """Every ordered pair of different answers: their numbers, and P(first preferred) by Bradley and Terry."""
    first, second = torch.tensor(list(itertools.permutations(range(len(world.tokens)), 2))).T
    return first, second, torch.sigmoid(world.rewards[first] - world.rewards[second])


def expected_loss(world, theta, weight, kind, **options):
    """Pairs drawn by `weight`, labels by Bradley and Terry: each ordered pair is (chosen, rejected) as often as so."""
    first, second, preferred = all_pairs(world)
    lp, ref = world.logprobs(theta).sum(1), world.logprobs(world.other_theta()).sum(1)
    length = world.mask.sum(1)
    total = torch.tensor(0.0, dtype=torch.float64)
    for a, b, w in zip(first[:, None], second[:, None], weight * preferred, strict=True):
        sums = lp[a], lp[b], ref[a], ref[b]
        lengths = {"chosen_lengths": length[a], "rejected_lengths": length[b]}
        total = total + w * preference_loss(*sums, kind, **lengths, **options)[0]
    return total


def sampling_weight(world):
    """Both answers of a pair are drawn from the reference."""
    first, second, _ = all_pairs(world)
    q = world.probabilities(world.other_theta())
    return q[first] * q[second]


def reward_optimal_theta(world, beta):
    """Logits of pi* = reference * exp(reward / beta) / Z, whose prefixes are summed backwards."""
    unnormalised = world.probabilities(world.other_theta()) * (world.rewards / beta).exp()
    theta = torch.full_like(world.theta, -1e9)
    for row in range(len(world.prefixes)):
        for token in range(3):
            passing = ((world.prefix == row) & world.mask & (world.tokens == token)).any(1)
            theta[row, token] = unnormalised[passing].sum().log()
    return theta.detach().requires_grad_()


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_dpo_is_least_at_the_policy_that_is_optimal_for_the_reward_with_kl(ragged, beta):
    weight = sampling_weight(ragged)
    star = reward_optimal_theta(ragged, beta)
    # It is the optimum of E[reward] - beta KL: its gradient there is zero.
    lp, ref = ragged.logprobs(star).sum(1), ragged.logprobs(ragged.other_theta()).sum(1)
    objective = (lp.exp() * (ragged.rewards - beta * (lp - ref))).sum()
    close(torch.autograd.grad(objective, star)[0], torch.zeros_like(star))
    # And DPO's expected gradient is zero there too; its value is the entropy of the labels.
    loss = expected_loss(ragged, star, weight, "dpo", beta=beta)
    close(torch.autograd.grad(loss, star)[0], torch.zeros_like(star))
    _, _, preferred = all_pairs(ragged)
    close(loss.detach(), -(weight * preferred * preferred.log()).sum())
    assert expected_loss(ragged, ragged.theta, weight, "dpo", beta=beta) > loss


def test_the_expected_dpo_loss_is_the_cross_entropy_of_the_labels(ragged):
    weight, (first, second, preferred) = sampling_weight(ragged), all_pairs(ragged)
    loss = expected_loss(ragged, ragged.theta, weight, "dpo", beta=0.7)
    x = ragged.logprobs(ragged.theta).sum(1) - ragged.logprobs(ragged.other_theta()).sum(1)
    implied = torch.sigmoid(0.7 * (x[first] - x[second]))
    close(loss, -(weight * preferred * implied.log()).sum())
    # The gradient by hand: beta (implied - preferred), on the difference of the two scores.
    pull = (weight * preferred * (1 - implied) * 0.7)[:, None, None]
    scores = ragged.scores()
    close(ragged.gradient(loss), -(pull * (scores[first] - scores[second])).sum(0))


def test_robust_dpo_undoes_the_noise_of_the_labels_and_cdpo_does_not(ragged):
    weight, e = sampling_weight(ragged), 0.2
    clean = expected_loss(ragged, ragged.theta, weight, "dpo", beta=0.7)
    results = {}
    for kind in ("robust_dpo", "cdpo"):
        # A label that is flipped with probability e: the pair the other way round.
        lp, ref = ragged.logprobs(ragged.theta).sum(1), ragged.logprobs(ragged.other_theta()).sum(1)
        first, second, preferred = all_pairs(ragged)
        total = torch.tensor(0.0, dtype=torch.float64)
        for a, b, w in zip(first[:, None], second[:, None], weight * preferred, strict=True):
            for chosen, rejected, share in ((a, b, 1 - e), (b, a, e)):
                sums = lp[chosen], lp[rejected], ref[chosen], ref[rejected]
                total = total + w * share * preference_loss(*sums, kind, beta=0.7, label_smoothing=e)[0]
        results[kind] = total
    close(results["robust_dpo"], clean)
    close(ragged.gradient(results["robust_dpo"]), ragged.gradient(clean))
    assert abs(results["cdpo"] - clean) > 1e-3


def test_cdpo_is_least_where_the_implied_preference_is_one_minus_e():
    wanted = math.log(0.8 / 0.2)  # sigmoid(wanted) = 0.8
    chosen = d(wanted).requires_grad_()
    loss, _ = preference_loss(chosen, d(0.0), d(0.0), d(0.0), "cdpo", beta=1.0, label_smoothing=0.2)
    close(torch.autograd.grad(loss, chosen)[0], d(0.0))


@pytest.mark.parametrize("preferred", [0.5, 0.7, 1.0])
def test_ipo_is_least_at_a_finite_difference(preferred):
    # Over both labels of one pair: d = (2 P - 1) / (2 beta), also where one answer ALWAYS wins.
    beta = 0.25
    chosen = d((2 * preferred - 1) / (2 * beta)).requires_grad_()
    zero = d(0.0)
    won, _ = preference_loss(chosen, zero, zero, zero, "ipo", beta=beta)
    lost, _ = preference_loss(zero, chosen, zero, zero, "ipo", beta=beta)
    close(torch.autograd.grad(preferred * won + (1 - preferred) * lost, chosen)[0], zero)


@pytest.mark.parametrize("kind", KINDS)
def test_the_expected_gradient_of_each_kind_by_hand(ragged, kind):
    weight, (first, second, preferred) = sampling_weight(ragged), all_pairs(ragged)
    beta, e, gamma = 0.7, 0.2, 0.5
    options = {"beta": beta, "label_smoothing": e, "gamma": gamma}
    loss = expected_loss(ragged, ragged.theta, weight, kind, **options)
    lp, length = ragged.logprobs(ragged.theta).sum(1).detach(), ragged.mask.sum(1)
    score = lp - ragged.logprobs(ragged.other_theta()).sum(1)
    per_token = kind in ("simpo", "orpo")
    if per_token:
        score = lp / length
    gap = score[first] - score[second]
    s = torch.sigmoid
    odds = score - torch.log1p(-score.exp()) if per_token else score
    # d loss / d chosen score, and d loss / d rejected score.
    chosen = {
        "dpo": -beta * s(-beta * gap),
        "cdpo": -beta * (s(-beta * gap) - e),
        "robust_dpo": -beta * ((1 - e) * s(-beta * gap) + e * s(beta * gap)) / (1 - 2 * e),
        "ipo": 2 * (gap - 1 / (2 * beta)),
        "simpo": -beta * s(gamma - beta * gap),
        "orpo": -1 - beta * s(odds[second] - odds[first]) / (1 - score[first].exp()),
    }[kind]
    rejected = -chosen
    if kind == "orpo":
        rejected = beta * s(odds[second] - odds[first]) / (1 - score[second].exp())
    if per_token:
        chosen, rejected = chosen / length[first], rejected / length[second]
    scores = ragged.scores()
    w = (weight * preferred)[:, None, None]
    by_hand = (w * (chosen[:, None, None] * scores[first] + rejected[:, None, None] * scores[second])).sum(0)
    close(ragged.gradient(loss), by_hand)


# KTO


@pytest.mark.parametrize(
    ("desirable", "ratio", "loss", "gradient"),
    [
        (True, 2.0, 2 * sigmoid(-0.75), -2 * 0.5 * sigmoid(0.75) * sigmoid(-0.75)),
        (True, 0.5, 2 * 0.5, -2 * 0.5 * 0.25),
        (False, 2.0, 3 * sigmoid(0.75), 3 * 0.5 * sigmoid(0.75) * sigmoid(-0.75)),
        (False, -99.5, 3 * sigmoid(-50), 3 * 0.5 * sigmoid(-50)),
    ],
)
def test_kto_literal_values(desirable, ratio, loss, gradient):
    policy = d(ratio - 5).requires_grad_()
    weights = {"desirable_weight": 2.0, "undesirable_weight": 3.0}
    found, _ = kto_loss(policy, d(-5.0), torch.tensor([desirable]), 0.5, beta=0.5, **weights)
    assert found.item() == pytest.approx(loss, abs=1e-12)
    assert torch.autograd.grad(found, policy)[0].item() == pytest.approx(gradient, abs=1e-12)


def test_kto_in_expectation_over_all_answers_and_marks(ragged):
    # Answers from the reference, marked good with a probability that the reward decides.
    q, good = ragged.probabilities(ragged.other_theta()), torch.sigmoid(ragged.rewards)
    lp, ref = ragged.logprobs(ragged.theta).sum(1), ragged.logprobs(ragged.other_theta()).sum(1)
    z, beta = 0.3, 0.7
    total = torch.tensor(0.0, dtype=torch.float64)
    for i in range(len(q)):
        for desirable, share in ((True, good[i]), (False, 1 - good[i])):
            one, _ = kto_loss(lp[[i]], ref[[i]], torch.tensor([desirable]), z, beta)
            total = total + q[i] * share * one
    s = torch.sigmoid(beta * (lp - ref - z))
    close(total, (q * (good * (1 - s) + (1 - good) * s)).sum())
    pull = (q * (1 - 2 * good) * beta * s * (1 - s)).detach()  # up where good answers outnumber bad ones
    close(ragged.gradient(total), (pull[:, None, None] * ragged.scores()).sum(0))


def test_the_reference_point_is_the_kl_for_samples_of_the_policy():
    # In a world of one prompt a mismatched completion is just another sample. Drawn from the policy (each answer as
    # often as it is likely), the mean is exactly the KL; drawn from the reference, as data is, it is minus the
    # reverse KL, which is cut to 0: the bias of the estimate.
    rows = torch.tensor([0, 0, 1, 2])
    p, q = d(0.5, 0.25, 0.25).log(), d(0.25, 0.25, 0.5).log()
    close(kto_reference_point(p[rows], q[rows]), (p.exp() * (p - q)).sum())
    assert (p - q)[torch.tensor([0, 1, 2, 2])].mean() < 0
    assert kto_reference_point(p[torch.tensor([0, 1, 2, 2])], q[torch.tensor([0, 1, 2, 2])]) == 0


def test_kto_micro_batches_add_up_and_nothing_else_gets_a_gradient():
    generator = torch.Generator().manual_seed(1)
    policy, ref = -5 * torch.rand(2, 6, generator=generator, dtype=torch.float64)
    desirable = torch.tensor([True, False, True, True, False, False])
    z = kto_reference_point(policy.requires_grad_(), ref.requires_grad_())
    assert not z.requires_grad
    loss, stats = kto_loss(policy, ref, desirable, z.clone().requires_grad_())
    gradient = torch.autograd.grad(loss, [policy, ref], allow_unused=True)
    assert gradient[1] is None
    parts = [kto_loss(policy[i], ref[i], desirable[i], z, normalizer=6)[0] for i in ([0], [1, 2, 3], [4, 5])]
    close(sum(parts), loss)
    close(torch.autograd.grad(sum(parts), policy)[0], gradient[0])
    rewards = 0.1 * (policy - ref).detach()
    close(stats["reward_desirable"], rewards[desirable].mean())
    close(stats["reward_undesirable"], rewards[~desirable].mean())
    close(stats["accuracy"], ((rewards / 0.1 > z) == desirable).double().mean())
    # One kind missing: still a number.
    loss, stats = kto_loss(policy, ref, torch.ones(6, dtype=torch.bool), z)
    assert torch.isfinite(loss) and stats["reward_undesirable"] == 0


def test_kto_agrees_with_the_logistic_slope_where_z_is_the_ratio():
    # At the reference point the slope is greatest: beta / 4.
    policy = d(-3.0).requires_grad_()
    loss, _ = kto_loss(policy, d(-3.0), torch.tensor([True]), 0.0, beta=0.8)
    close(torch.autograd.grad(loss, policy)[0], d(-0.2))
    close(loss, 1 - F.sigmoid(d(0.0))[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "ppo"}, "kind='ppo'.*dpo, cdpo"),
        ({"beta": 0.0}, "beta=0.0"),
        ({"kind": "cdpo", "label_smoothing": 0.5}, "label_smoothing"),
        ({"kind": "simpo"}, "chosen_lengths"),
        ({"kind": "simpo", "average": False}, "leave average out"),
        ({"kind": "ipo", "average": True}, "chosen_lengths"),
        ({"ref_chosen": None}, "ref_chosen"),
    ],
)
def test_errors(options, message):
    sums = {name: d(-1.0) for name in ("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected")}
    with pytest.raises(ValueError, match=message):
        preference_loss(**(sums | options))
    with pytest.raises(ValueError, match="beta"):
        kto_loss(d(-1.0), d(-1.0), torch.tensor([True]), 0.0, beta=0)
