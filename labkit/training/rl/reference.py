"""The frozen reference with its KL coefficient, and the policy's own log-probs from before the update."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from labkit.algorithms import AdaptiveKL, importance_weights, kl_estimate
from labkit.recipes.schema import Recipe
from labkit.recipes.settings import KLControl
from labkit.training.loop.checkpoints import Stateful
from labkit.training.rl.experience import Experience, Metrics
from labkit.training.rl.helper import Helper, Setup, Sizes
from labkit.training.rl.logprobs import rollout_logprobs


class Reference(Helper):
    """The frozen model to which the policy must stay close, and the controller of the KL coefficient, if any."""

    part = "logprobs"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.model, control, coef = setup.frozen, setup.recipe.kl_control, setup.recipe.preset().kl_coef
        self.controller = None if control is None else Controller(coef, control)

    @staticmethod
    def needed_by(recipe: Recipe) -> bool:
        """True if a KL term needs it, if the recipe names a reference, or if a reward model gives the rewards.

        In the last case the KL from the reference is logged, to compare it with the gain in reward.
        """
        return bool(recipe.preset().kl_coef) or recipe.reward_model is not None or recipe.reference is not None

    @staticmethod
    def memory(recipe: Recipe, sizes: Sizes) -> int:
        """One copy of the weights."""
        return sizes.weights

    def __call__(self, experience: Experience) -> Metrics:
        """Fills `ref` and `kl`; sets the KL coefficient of this step."""
        rollouts, setup = experience.rollouts, self.setup
        experience.ref = rollout_logprobs(self.model, rollouts, setup.recipe.sampling.temperature, setup.budget)
        experience.kl = torch.where(rollouts.mask, kl_estimate(rollouts.logprobs, experience.ref, "k1"), 0.0)
        if self.controller is not None:
            experience.algorithm = replace(experience.algorithm, kl_coef=self.controller.coef)
        return {}

    def after(self, experience: Experience) -> Metrics:
        """The mean KL (nats per token) over all samples of the step. Then the controller updates its coefficient."""
        kl = experience.kl
        assert kl is not None
        metrics = {
            "kl": float(kl.sum() / experience.rollouts.mask.sum()),
            "kl_coef": float(experience.algorithm.kl_coef),
        }
        if self.controller is not None:
            self.controller.update(float(kl.sum(1).mean()), len(kl))
        return metrics

    @property
    def state(self) -> Mapping[str, Stateful]:
        """The controller's coefficient; the model never changes."""
        return {} if self.controller is None else {"kl_control": self.controller}


class Controller(AdaptiveKL):
    """`AdaptiveKL` whose state is a tensor, so that a checkpoint can hold it."""

    def __init__(self, coef: float, settings: KLControl) -> None:
        super().__init__(coef, settings.target, settings.horizon)

    def state_dict(self) -> dict[str, Any]:
        """The coefficient."""
        return {"coef": torch.tensor(self.coef, dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Sets the coefficient to the saved one."""
        self.coef = float(state["coef"])


class OwnLogprobs(Helper):
    """Corrects for small differences between sampler and trainer (`importance_cap`).

    The denominator of the ratio is then the trainer's own probability before the update, and each token is weighted by
    min(p_trainer / p_sampler, cap).
    """

    part = "logprobs"

    @staticmethod
    def needed_by(recipe: Recipe) -> bool:
        """True if the algorithm has an `importance_cap`."""
        return recipe.preset().importance_cap is not None

    def __call__(self, experience: Experience) -> Metrics:
        """Fills `old` and `weights`; returns the share of tokens whose weight reaches the cap."""
        rollouts, setup, cap = experience.rollouts, self.setup, experience.algorithm.importance_cap
        assert cap is not None
        temperature = setup.recipe.sampling.temperature
        experience.old = rollout_logprobs(setup.policy.model, rollouts, temperature, setup.budget)
        experience.weights = importance_weights(experience.old, rollouts.logprobs, rollouts.mask, cap)
        return {"importance_capped": float((experience.weights >= cap)[rollouts.mask].float().mean())}
