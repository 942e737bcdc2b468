"""Exercise of notebook 08: how much better was an answer than its group?"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def _tensor(values: list, grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, requires_grad=grad)


def group_advantages(rewards: Float[Tensor, " batch"], groups: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    from labkit.algorithms import advantages

    return advantages(rewards, groups, baseline="group_mean", scale="group_std", ddof=1, eps=1e-6)


def _by_group(rule: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Apply a rule to the rewards of each group."""

    def advantages(rewards: Tensor, groups: Tensor) -> Tensor:
        result = torch.empty_like(rewards)
        for group in groups.unique():
            result[groups == group] = rule(rewards[groups == group])
        return result

    return advantages


def _normalise(rewards: Tensor) -> Tensor:
    return (rewards - rewards.mean(-1, keepdim=True)) / (rewards.std(-1, keepdim=True) + 1e-6)


def _reshaped(rewards: Tensor, groups: Tensor) -> Tensor:
    return _normalise(rewards.reshape(len(groups.unique()), -1)).flatten()


def _reshaped_by_first(rewards: Tensor, groups: Tensor) -> Tensor:
    return _normalise(rewards.reshape(-1, int((groups == groups[0]).sum()))).flatten()


def _reshaped_by_four(rewards: Tensor, groups: Tensor) -> Tensor:
    return _normalise(rewards.reshape(-1, 4)).flatten()


def _random_groups(generator: random.Random) -> Case:
    ids = generator.sample(range(20), generator.randint(2, 4))
    groups = [group for group in ids for _ in range(generator.randint(2, 5))]
    generator.shuffle(groups)
    rewards = [generator.choice([0.0, 1.0, 0.5]) for _ in groups]
    return Case((_tensor(rewards), torch.tensor(groups)))


EXERCISE = Exercise(
    name="group-advantages",
    title="GRPO's advantage",
    notebook="08_rlvr_from_scratch",
    spec=(
        "`rewards` [batch], one a sequence; rows with the same integer in `groups` [batch] answer the same "
        "prompt. Return [batch]: (reward − mean of its group) / (standard deviation of its group + 1e-6), "
        "with the standard deviation of torch (Bessel's correction, n − 1).\n\n"
        "- Rows of a group need not stand together, and groups may differ in size; each has two rows or "
        "more.\n"
        "- A group of equal rewards has advantage 0."
    ),
    stub=(
        'def group_advantages(rewards: Float[Tensor, " b"], groups: Int[Tensor, " b"]) -> Float[Tensor, " b"]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=group_advantages,
    literal=(
        Case((_tensor([1, 0, 0, 1]), torch.tensor([0, 0, 0, 0])), "mean 1/2, standard deviation 0.5774"),
        Case((_tensor([1, 1, 0, 0]), torch.tensor([0, 0, 1, 1])), "two groups of equal rewards: all 0"),
        Case((_tensor([1, 0, 0, 1]), torch.tensor([5, 5, 9, 9])), "any integers may name the groups"),
        Case(
            (_tensor([1, 0, 1, 1, 0, 1, 0, 0]), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])),
            "an easy and a hard problem",
        ),
        Case(
            (_tensor([1, 0, 0, 1, 0, 0]), torch.tensor([0, 1, 0, 1, 0, 1])),
            "the rows of the groups alternate",
        ),
        Case((_tensor([1, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 1])), "groups of 2 and of 3"),
    ),
    random=_random_groups,
    misconceptions=(
        Misconception(
            "batch-statistics",
            lambda rewards, groups: _normalise(rewards),
            "Mean and standard deviation are those of the whole batch. A sequence is compared with the "
            "others that answer the SAME prompt: otherwise a right answer to an easy prompt counts as much "
            "as one to a hard prompt.",
            (
                lambda rewards, groups: (
                    (rewards - rewards.mean()) / (_by_group(lambda r: r.std().expand(len(r)))(rewards, groups) + 1e-6)
                ),
                lambda rewards, groups: rewards - rewards.mean(),
            ),
        ),
        Misconception(
            "not-divided",
            _by_group(lambda r: r - r.mean()),
            "The group's mean is subtracted, but nothing is divided by its standard deviation. (That is Dr. "
            "GRPO, a good algorithm, but not the one asked for.)",
        ),
        Misconception(
            "not-centred",
            _by_group(lambda r: r / (r.std() + 1e-6)),
            "The mean is not subtracted: without a baseline every rewarded answer is pushed up, the common ones most.",
        ),
        Misconception(
            "ddof-0",
            _by_group(lambda r: (r - r.mean()) / (r.std(correction=0) + 1e-6)),
            "The standard deviation divides by n (as numpy's does) instead of n − 1 (as torch.std does): "
            "for a group of 4 the advantages come out 15 % too large.",
        ),
        Misconception(
            "variance",
            _by_group(lambda r: (r - r.mean()) / (r.var() + 1e-6)),
            "It divides by the variance; the standard deviation is its square root.",
        ),
        Misconception(
            "no-eps",
            _by_group(lambda r: (r - r.mean()) / r.std()),
            "A group of equal rewards gives 0/0 = NaN, and one NaN in the loss ruins all weights. Add 1e-6 "
            "to the standard deviation.",
        ),
        Misconception(
            "sorted-equal-groups",
            _reshaped,
            "Reshaping to [groups, size] takes for granted that the rows of a group stand together and that "
            "all groups have the same size. Go by `groups` instead.",
            (_reshaped_by_first, _reshaped_by_four),
        ),
    ),
    hints=(
        "For one row the rows of the same prompt are `rewards[groups == groups[i]]`.",
        "A loop over `groups.unique()` with a bool mask is right and quick enough. What is the standard "
        "deviation of equal rewards?",
        "`same = groups[:, None] == groups[None, :]` gives it without a loop: `same.float() @ rewards / "
        "same.sum(1)` is each row's group mean.",
    ),
    sources=("labkit.algorithms.advantage:advantages",),
)
