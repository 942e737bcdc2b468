"""Exercise of notebook 03: does it know what it knows?"""

from __future__ import annotations

import random

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def calibration_error(said: Float[Tensor, " cases"], right: Bool[Tensor, " cases"], bins: int) -> float:
    from labkit.evaluation.calibration import calibration_error as error_of

    return error_of(said.numpy(), right.numpy(), bins)


def _error(said: Tensor, right: Tensor, bins: int, by_order: bool = True, absolute: bool = True) -> float:
    order = said.argsort(stable=True) if by_order else torch.arange(len(said))
    gaps = [(said[part].mean() - right[part].float().mean()) for part in order.tensor_split(bins)]
    sizes = [len(part) for part in order.tensor_split(bins)]
    total = sum(size * (abs(gap) if absolute else gap) for size, gap in zip(sizes, gaps, strict=True))
    return float(total) / len(said)


def _equal_width(said: Tensor, right: Tensor, bins: int) -> float:
    which = (said * bins).long().clamp(max=bins - 1)
    gaps = [
        abs(said[which == k].mean() - right[which == k].float().mean()) * (which == k).sum() for k in which.unique()
    ]
    return float(sum(gaps)) / len(said)


def _cases(said: list[float], right: list[int], bins: int) -> tuple[Tensor, Tensor, int]:
    return torch.tensor(said, dtype=torch.float32), torch.tensor(right, dtype=torch.bool), bins


def _random_forecasts(generator: random.Random) -> Case:
    bins = generator.randint(1, 3)
    said = [
        generator.choice([0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 0.95]) + 0.001 * i for i in range(generator.randint(6, 12))
    ]
    generator.shuffle(said)
    return Case(_cases(said, [int(generator.random() < p - 0.1) for p in said], bins))


EXERCISE = Exercise(
    name="calibration-error",
    title="The calibration error",
    notebook="03_reward_models",
    spec=(
        "`said` [cases] is how sure a model was of each choice (0.5 to 1), `right` [cases] whether it was right. Sort "
        "the cases by `said`, cut them into `bins` groups of equally many (as `torch.tensor_split` does), and return "
        "the mean over the groups of |mean of said − share that was right|, each group weighed by its size (a "
        "float).\n\n"
        "- 0 would be a model that knows exactly how sure it may be.\n"
        "- A model that is too modest is miscalibrated as well as one that boasts."
    ),
    stub=(
        "def calibration_error(\n"
        '    said: Float[Tensor, " cases"], right: Bool[Tensor, " cases"], bins: int\n'
        ") -> float:\n"
        "    raise NotImplementedError\n"
    ),
    reference=calibration_error,
    literal=(
        Case(_cases([0.9, 0.9], [1, 0], 1), "said .9, right one time of two: .4"),
        Case(_cases([0.9, 0.6, 0.9, 0.6], [1, 0, 1, 1], 2), "said .6, half of it right: .1; said .9, all right: .1"),
        Case(_cases([0.6, 0.6, 0.9, 0.9], [1, 1, 1, 0], 2), "too modest by .4 below, boasting by .4 above"),
        Case(_cases([0.55, 0.6, 0.65, 0.7, 0.8], [1, 0, 1, 1, 0], 2), "five cases: a group of three and one of two"),
    ),
    random=_random_forecasts,
    misconceptions=(
        Misconception(
            "accuracy",
            lambda said, right, bins: 1 - float(right.float().mean()),
            "This is the share of errors. Calibration asks whether the model KNOWS how often it errs.",
        ),
        Misconception(
            "signed",
            lambda said, right, bins: _error(said, right, bins, absolute=False),
            "The absolute value is missing: boasting in one group and modesty in another cancel.",
        ),
        Misconception(
            "no-bins",
            lambda said, right, bins: abs(float(said.mean()) - float(right.float().mean())),
            "All cases are in one group. A model that boasts where it is sure and is modest elsewhere looks perfect "
            "then: compare group by group.",
        ),
        Misconception(
            "case-by-case",
            lambda said, right, bins: float((said - right.float()).abs().mean()),
            "This compares case by case. One case is either right or wrong, so even a perfect forecast of .7 is .3 or "
            ".7 away: first take the share of a group.",
            (lambda said, right, bins: float((said - right.float()).square().mean()),),
        ),
        Misconception(
            "unsorted",
            lambda said, right, bins: _error(said, right, bins, by_order=False),
            "The cases were cut into groups without being sorted: then each group holds sure and unsure ones alike.",
        ),
        Misconception(
            "equal-width",
            _equal_width,
            "The groups are equally wide, not equally full. Common too, but groups of two or three cases then count "
            "their noise as error.",
        ),
    ),
    hints=(
        "`order = said.argsort()`, then `order.tensor_split(bins)` gives the cases of each group.",
        "For each group: `said[part].mean()` and `right[part].float().mean()`.",
        "Add up the distances times the size of the group, and divide by the number of cases; `float(...)` at the end.",
    ),
    sources=("labkit.evaluation.calibration:calibration_error", "labkit.evaluation.calibration:calibration_bins"),
)
