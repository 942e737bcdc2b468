"""The critic of PPO: what reward is still to come, before each token is chosen."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from labkit.algorithms import explained_variance, value_loss
from labkit.models import (
    Policy,
    ScalarHead,
    head_logprobs,
    hidden_states,
    hidden_width,
    logprobs_and_entropy_of,
    output_head,
    shifted_logits,
)
from labkit.models.trunk import CausalLM
from labkit.recipes.schema import Recipe
from labkit.rollouts import Rollouts
from labkit.training.loop.checkpoints import Stateful
from labkit.training.loop.memory import Budget
from labkit.training.loop.microbatches import microbatches
from labkit.training.rl.experience import Experience, Metrics
from labkit.training.rl.helper import Helper, Setup, Sizes
from labkit.training.rl.update import Loss, Objective


class Critic(nn.Module):
    """V at column t: the value of the row before token t is chosen, read where token t - 1 stands; column 0 is 0.

    `shared`: a scalar head on the policy's own hidden states, whose gradient flows into the policy too. `separate`: a
    trunk of its own, which begins as a copy of the policy's.
    """

    def __init__(self, policy: Policy, trunk: Literal["shared", "separate"] = "shared") -> None:
        super().__init__()
        self.head = ScalarHead(hidden_width(policy.model)).to(policy.device)
        self.trunk = copy.deepcopy(policy.model.base_model) if trunk == "separate" else None

    def forward(
        self,
        model: CausalLM,
        tokens: Tensor,
        temperature: float,
        entropy_gradient: bool = False,
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
        """Log-probs and entropy of the tokens under the policy `model`, and the values; one pass where shared.

        `mask` says of which tokens log-prob and entropy are wanted: see `token_logprobs`.
        """
        hidden, head = hidden_states(model, tokens), output_head(model)
        if head is not None:
            found = head_logprobs(hidden, head, tokens, temperature, mask, entropy_gradient=entropy_gradient)
        else:  # its logits come from transformers' own forward pass alone
            found = logprobs_and_entropy_of(shifted_logits(model, tokens, temperature), tokens, entropy_gradient, mask)
        if self.trunk is not None:
            hidden = hidden_states(self.trunk, tokens)
        return *found, self._shifted(hidden)

    @torch.no_grad()
    def values(
        self, model: CausalLM, rollouts: Rollouts, budget: Budget | int | None = None
    ) -> Float[Tensor, "batch time"]:
        """The values of all rollouts' tokens, as the critic judges now; 0 outside the mask."""
        device, lengths = rollouts.tokens.device, rollouts.total_lengths.cpu()
        trunk = model if self.trunk is None else self.trunk
        budget = budget if isinstance(budget, Budget) else Budget(budget, device)

        def compute(tokens: int) -> Tensor:
            found = torch.zeros_like(rollouts.logprobs)
            for part in microbatches(lengths, tokens):
                width, rows = int(lengths[part].max()), part.to(device)
                found[rows, :width] = self._shifted(hidden_states(trunk, rollouts.tokens[rows, :width]))
            return torch.where(rollouts.mask, found, 0.0)

        return budget.fit(compute, lengths)

    def _shifted(self, hidden: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time"]:
        # The shift: the value of the state that the text up to column t - 1 is belongs to the token at column t.
        values = self.head(hidden)  # [batch, time]
        return torch.cat([values.new_zeros(len(values), 1), values[:, :-1]], 1)


@dataclass
class ActorCritic(Objective):
    """The policy's loss plus the critic's (`value_loss`), from one forward pass where they share a trunk."""

    critic: Critic

    @property
    def modules(self) -> nn.Module:
        """Policy and critic."""
        return nn.ModuleList([self.model, self.critic])

    def rows_with_gradient(self, experience: Experience) -> Bool[Tensor, " batch"]:
        """All rows: the critic learns from those without advantage, too."""
        return torch.ones_like(experience.kept)

    def loss(self, experience: Experience, rows: Int[Tensor, " rows"], width: int, normalizer: int) -> Loss:
        """As `Objective.loss`; the statistics hold the critic's as well."""
        algorithm, temperature = experience.algorithm, self.recipe.sampling.temperature
        tokens, mask = experience.rollouts.tokens[rows, :width], experience.rollouts.mask[rows, :width]
        entropy_gradient = algorithm.entropy_coef != 0
        logprobs, entropy, values = self.critic(self.model, tokens, temperature, entropy_gradient, mask)
        loss, stats = self.policy_loss(experience, rows, logprobs, entropy, normalizer)
        assert experience.values is not None
        old, returns = experience.values[rows, :width], experience.returns[rows, :width]
        scale = self.scale(normalizer)
        error, reported = value_loss(
            values, old, returns, mask, algorithm.value_clip, aggregate=algorithm.aggregate, **scale
        )
        return loss + algorithm.value_coef * error, stats | reported, logprobs


class Values(Helper):
    """The critic: what it expects before each token, and its loss in the update."""

    part = "logprobs"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.critic = Critic(setup.policy, setup.recipe.critic.trunk)

    @staticmethod
    def needed_by(recipe: Recipe) -> bool:
        """Where the algorithm has a critic."""
        return recipe.preset().critic

    @staticmethod
    def memory(recipe: Recipe, sizes: Sizes) -> int:
        """A trunk of its own: weights, gradients and Adam's two moments."""
        return 4 * sizes.weights * (recipe.critic.trunk == "separate")

    def __call__(self, experience: Experience) -> Metrics:
        """Fills `values`."""
        experience.values = self.critic.values(self.setup.policy.model, experience.rollouts, self.setup.budget)
        return {}

    def objective(self, objective: Objective) -> Objective:
        """The policy's objective, with the critic's loss."""
        return ActorCritic(objective.model, objective.recipe, self.critic)

    def after(self, experience: Experience) -> Metrics:
        """How much of the returns' variance the values had explained before the update."""
        values, returns = experience.values, experience.returns
        assert values is not None
        return {"explained_variance": float(explained_variance(values, returns, experience.rollouts.mask))}

    @property
    def state(self) -> Mapping[str, Stateful]:
        """The critic's weights."""
        return {"critic": self.critic}
