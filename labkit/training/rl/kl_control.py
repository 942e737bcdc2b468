"""A KL coefficient that is steered, and that a checkpoint can hold."""

from collections.abc import Mapping
from typing import Any

import torch

from labkit.algorithms import AdaptiveKL
from labkit.recipes.settings import KLControl


class Controller(AdaptiveKL):
    """`AdaptiveKL` with its state as tensors."""

    def __init__(self, coef: float, settings: KLControl) -> None:
        super().__init__(coef, settings.target, settings.horizon)

    def state_dict(self) -> dict[str, Any]:
        """The coefficient."""
        return {"coef": torch.tensor(self.coef, dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes it over."""
        self.coef = float(state["coef"])
