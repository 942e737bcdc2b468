"""The losses of the trainers that are no RL, and which options each has."""

from typing import Any, get_args

import torch

from labkit.algorithms import bradley_terry_loss, divergence, kto_loss, preference_loss
from labkit.algorithms.preference import PreferenceKind

_BETA = ("beta", "average")
LOSSES: dict[str, dict[str, tuple[str, ...]]] = {
    "distillation": {"reverse_kl": (), "forward_kl": (), "jsd": ("beta",)},
    "sft": {"sft": ()},
    "reward_model": {"bradley_terry": ("margin", "centering"), "outcome": (), "process": ()},
    "preferences": {
        "dpo": _BETA,
        "cdpo": (*_BETA, "label_smoothing"),
        "robust_dpo": (*_BETA, "label_smoothing"),
        "ipo": _BETA,
        "simpo": ("beta", "gamma"),
        "orpo": ("beta", "nll_coef"),
        "kto": ("beta", "desirable_weight", "undesirable_weight"),
    },
}


def check_loss(trainer: str, algorithm: str, options: dict[str, Any]) -> None:
    """Raises ValueError for an unknown algorithm of a trainer, an unknown option, or a value that makes no sense."""
    known = LOSSES[trainer]
    if algorithm not in known:
        raise ValueError(f"unknown algorithm {algorithm!r} of trainer {trainer}; there are {', '.join(known)}")
    for key, value in options.items():
        if key not in known[algorithm]:
            has = ", ".join(known[algorithm]) or "no options"
            raise ValueError(f"algorithm_options of {algorithm} has no {key!r}; it has {has}")
        if not isinstance(value, bool | int | float | None):
            raise ValueError(f"algorithm_options.{key} must be a number, not {value!r}")
    one, two = torch.tensor([-1.0]), torch.tensor([-2.0])
    if algorithm == "kto":
        kto_loss(one, two, torch.tensor([True]), 0.0, **options)
    elif algorithm in get_args(PreferenceKind):
        lengths = torch.tensor([2])
        preference_loss(one, two, one, two, algorithm, chosen_lengths=lengths, rejected_lengths=lengths, **options)
    elif trainer == "distillation":
        divergence(one, two, algorithm, **options)
    elif algorithm == "bradley_terry":
        bradley_terry_loss(one, two, centering=options.get("centering", 0.0))
