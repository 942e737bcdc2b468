"""Divergences between student and teacher: by hand, by summing over every answer, and next to TRL's."""

import importlib.util
import math

import pytest
import torch

from labkit.algorithms import distillation_rewards, divergence, forward_kl, generalized_jsd, reverse_kl
from tests.algorithms.tabular_world import bandit_world, ragged_world

KINDS = ("reverse_kl", "forward_kl", "jsd")


def random_logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def close(a: torch.Tensor, b: torch.Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def test_each_divergence_is_the_sum_of_its_definition():
    student, teacher = random_logits(3, 4, 5), 2 * random_logits(3, 4, 5, seed=1)
    for i in range(3):
        for j in range(4):
            s, t = student[i, j].softmax(-1).tolist(), teacher[i, j].softmax(-1).tolist()
            assert reverse_kl(student, teacher)[i, j].item() == pytest.approx(by_hand(s, t), abs=1e-12)
            assert forward_kl(student, teacher)[i, j].item() == pytest.approx(by_hand(t, s), abs=1e-12)
            mixture = [0.3 * b + 0.7 * a for a, b in zip(s, t, strict=True)]
            jsd = 0.3 * by_hand(t, mixture) + 0.7 * by_hand(s, mixture)
            assert generalized_jsd(student, teacher, 0.3)[i, j].item() == pytest.approx(jsd, abs=1e-12)


def test_the_two_kls_are_not_the_same():
    """A student on one of the teacher's two modes: cheap for the reverse KL, dear for the forward KL."""
    teacher = torch.tensor([0.49, 0.49, 0.02], dtype=torch.float64).log()
    one_mode = torch.tensor([0.98, 0.01, 0.01], dtype=torch.float64).log()
    spread = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64).log()
    assert forward_kl(one_mode, teacher) > forward_kl(spread, teacher)
    assert reverse_kl(one_mode, teacher) < reverse_kl(spread, teacher)


@pytest.mark.parametrize("kind", KINDS)
def test_zero_at_the_teacher_positive_elsewhere_and_flat_there(kind):
    teacher = random_logits(6, 7)
    same = (teacher + 3.0).requires_grad_()  # a constant on all logits changes no distribution
    value = divergence(same, teacher, kind)
    close(value, torch.zeros(6, dtype=torch.float64))
    close(torch.autograd.grad(value.sum(), same)[0], torch.zeros_like(teacher))
    assert (divergence(random_logits(6, 7, seed=1), teacher, kind) > 0.01).all()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences(kind):
    student, teacher = random_logits(2, 4).requires_grad_(), random_logits(2, 4, seed=1)
    assert torch.autograd.gradcheck(lambda s: divergence(s, teacher, kind, 0.3), (student,))


def test_a_student_that_leaves_out_and_one_that_says_too_much():
    """log 0 is allowed where it makes sense: value and gradient stay finite, or the value is infinite, never NaN."""
    student = torch.tensor([0.0, 1.0, -torch.inf], requires_grad=True)
    teacher = torch.tensor([1.0, 0.0, 2.0])
    for kind in ("reverse_kl", "jsd"):
        value = divergence(student, teacher, kind)
        assert torch.isfinite(value) and torch.isfinite(torch.autograd.grad(value, student)[0]).all()
    assert divergence(student, teacher, "forward_kl").item() == math.inf
    assert divergence(teacher, student.detach(), "reverse_kl").item() == math.inf


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9])
def test_jsd_is_bounded_and_symmetric_in_roles(beta):
    far = torch.tensor([50.0, 0.0], dtype=torch.float64)
    bound = -beta * math.log(beta) - (1 - beta) * math.log(1 - beta)
    assert generalized_jsd(far, far.flip(0), beta).item() == pytest.approx(bound, abs=1e-9)
    a, b = random_logits(5, 4), random_logits(5, 4, seed=1)
    close(generalized_jsd(a, b, beta), generalized_jsd(b, a, 1 - beta))


def test_jsd_tends_to_either_kl():
    a, b = random_logits(5, 4), random_logits(5, 4, seed=1)
    close(generalized_jsd(a, b, 1e-7) / 1e-7, forward_kl(a, b), atol=1e-5)
    close(generalized_jsd(a, b, 1 - 1e-7) / 1e-7, reverse_kl(a, b), atol=1e-5)


# ------------------------------------------------------------------------------- sampled tokens, by enumeration


def expected(world, per_answer):
    """The expectation over all answers of the student, the probabilities held fixed."""
    return (world.probabilities(world.theta).detach() * per_answer).sum()


def test_expected_reward_is_minus_the_reverse_kl_of_whole_answers():
    world = ragged_world()
    teacher = world.other_theta()
    rewards = distillation_rewards(world.logprobs(world.theta), world.logprobs(teacher))
    assert not rewards.requires_grad
    student_p, teacher_p = world.probabilities(world.theta), world.probabilities(teacher)
    exact = (student_p * (student_p / teacher_p).log()).sum()
    close(expected(world, rewards.sum(1)), -exact.detach())
    # The same number as the sum over positions of the exact divergence of next tokens.
    by_position = torch.where(world.mask, reverse_kl(world.theta, teacher)[world.prefix], 0.0).sum(1)
    close(expected(world, by_position), exact.detach())


def test_immediate_credit_has_the_gradient_of_the_exact_divergence_at_fixed_prefixes():
    world = ragged_world()
    teacher = world.other_theta()
    logprobs = world.logprobs(world.theta)
    rewards = distillation_rewards(logprobs, world.logprobs(teacher))
    sampled = world.gradient(-expected(world, (logprobs * rewards).sum(1)))
    exact = torch.where(world.mask, reverse_kl(world.theta, teacher)[world.prefix], 0.0).sum(1)
    gradient = world.gradient(expected(world, exact))
    assert gradient.abs().max() > 0.01
    close(sampled, gradient)


def test_credit_for_all_that_follows_has_the_gradient_of_the_answers_divergence():
    world = ragged_world()
    teacher = world.other_theta()
    logprobs = world.logprobs(world.theta)
    rewards = distillation_rewards(logprobs, world.logprobs(teacher))
    to_go = rewards.flip(1).cumsum(1).flip(1)
    sampled = world.gradient(-expected(world, (logprobs * to_go).sum(1)))
    student_p = world.probabilities(world.theta)
    answers = (student_p * (student_p / world.probabilities(teacher)).log()).sum()
    gradient = world.gradient(answers)
    close(sampled, gradient)
    # At fixed prefixes something is missing, and how much is no rounding error.
    immediate = world.gradient(-expected(world, (world.logprobs(world.theta) * rewards).sum(1)))
    assert (immediate - gradient).abs().max() > 1e-3


def test_one_token_alone_leaves_no_difference():
    world = bandit_world()
    teacher = world.other_theta()
    logprobs = world.logprobs(world.theta)
    rewards = distillation_rewards(logprobs, world.logprobs(teacher))
    sampled = world.gradient(-expected(world, (logprobs * rewards).sum(1)))
    close(sampled, world.gradient(reverse_kl(world.theta[0], teacher[0])))


# ------------------------------------------------------------------------------------------------- mistakes


def test_wrong_use_is_told():
    a = random_logits(2, 5)
    with pytest.raises((ValueError, TypeError)):  # would broadcast in silence; the tests' shape checks see it first
        reverse_kl(a.reshape(1, 10), a.reshape(10, 1))
    with pytest.raises(ValueError, match="beta must lie between 0 and 1"):
        generalized_jsd(a, a, 1.0)
    with pytest.raises(ValueError, match="kind"):
        divergence(a, a, "kl")


# ------------------------------------------------------------------------------------------------------ TRL


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize(("kind", "beta"), [("forward_kl", 0.0), ("jsd", 0.1), ("jsd", 0.5), ("reverse_kl", 1.0)])
def test_value_and_gradient_equal_trl(kind, beta):
    """TRL 1.16's `GKDTrainer.generalized_jsd_loss`, float64: the mean over the tokens of a ragged batch, to 1e-12."""
    if importlib.util.find_spec("trl") is None:
        pytest.skip("trl is not installed: pip install 'labkit[bench]'")
    from trl.experimental.gkd import GKDTrainer

    student, teacher = random_logits(3, 6, 9).requires_grad_(), 2 * random_logits(3, 6, 9, seed=1)
    mask = torch.arange(6) < torch.tensor([[6], [2], [0]])
    labels = torch.where(mask, 1, -100)
    theirs = GKDTrainer.generalized_jsd_loss(student, teacher, labels, beta=beta, temperature=0.7)
    (their_gradient,) = torch.autograd.grad(theirs, student)
    ours = divergence(student / 0.7, teacher / 0.7, kind, beta)[mask].mean()
    (our_gradient,) = torch.autograd.grad(ours, student)
    assert our_gradient.abs().max() > 1e-3
    close(ours, theirs)
    close(our_gradient, their_gradient)
