"""The critic of PPO: it predicts, before each token is chosen, the reward that is still to come."""

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
    """Column t of its values is the value of the text before token t is chosen; column 0 is 0.

    It is computed from the hidden state at token t - 1. A `shared` critic is a scalar head on the policy's own hidden
    states, and its gradient flows into the policy too. A `separate` critic has its own trunk, which begins as a copy of
    the policy's trunk.
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
        """The log-probs and entropies (nats) of the tokens under the policy `model`, and the values.

        A shared trunk needs only one forward pass. `mask` is True for the tokens whose log-prob and entropy are wanted:
        see `token_logprobs`.
        """
        hidden, head = hidden_states(model, tokens), output_head(model)
        if head is not None:
            found = head_logprobs(hidden, head, tokens, temperature, mask, entropy_gradient=entropy_gradient)
        else:  # only transformers' own forward pass gives this model's logits
            found = logprobs_and_entropy_of(shifted_logits(model, tokens, temperature), tokens, entropy_gradient, mask)
        if self.trunk is not None:
            hidden = hidden_states(self.trunk, tokens)
        return *found, self._shifted(hidden)

    @torch.no_grad()
    def values(
        self, model: CausalLM, rollouts: Rollouts, budget: Budget | int | None = None
    ) -> Float[Tensor, "batch time"]:
        """The critic's present values for all tokens of the rollouts; 0 outside the mask."""
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
        # The shift: the value of the text up to column t - 1 belongs to the token at column t.
        values = self.head(hidden)  # [batch, time]
        return torch.cat([values.new_zeros(len(values), 1), values[:, :-1]], 1)


@dataclass
class ActorCritic(Objective):
    """The policy's loss plus the critic's (`value_loss`). If they share a trunk, one forward pass gives both."""

    critic: Critic

    @property
    def modules(self) -> nn.Module:
        """Policy and critic."""
        return nn.ModuleList([self.model, self.critic])

    def rows_with_gradient(self, experience: Experience) -> Bool[Tensor, " batch"]:
        """All rows, because the critic also learns from rows whose advantages are 0."""
        return torch.ones_like(experience.kept)

    def loss(self, experience: Experience, rows: Int[Tensor, " rows"], width: int, normalizer: int) -> Loss:
        """The same as `Objective.loss`, with the critic's loss and statistics added."""
        algorithm, temperature = experience.algorithm, self.recipe.sampling.temperature
        host_mask, rows = experience.host_mask[rows, :width], rows.to(experience.old.device)
        tokens, mask = experience.rollouts.tokens[rows, :width], experience.rollouts.mask[rows, :width]
        entropy_gradient = algorithm.entropy_coef != 0
        logprobs, entropy, values = self.critic(self.model, tokens, temperature, entropy_gradient, host_mask)
        loss, stats = self.policy_loss(experience, rows, logprobs, entropy, normalizer)
        assert experience.values is not None
        old, returns = experience.values[rows, :width], experience.returns[rows, :width]
        scale = self.scale(normalizer)
        error, reported = value_loss(
            values, old, returns, mask, algorithm.value_clip, aggregate=algorithm.aggregate, **scale
        )
        return loss + algorithm.value_coef * error, stats | reported, logprobs


class Values(Helper):
    """The helper that fills in the critic's values, and adds its loss to the update."""

    part = "logprobs"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.critic = Critic(setup.policy, setup.recipe.critic.trunk)

    @staticmethod
    def needed_by(recipe: Recipe) -> bool:
        """True if the algorithm has a critic."""
        return recipe.preset().critic

    @staticmethod
    def memory(recipe: Recipe, sizes: Sizes) -> int:
        """The bytes of a separate trunk: weights, gradients and Adam's two moments; 0 for a shared trunk."""
        return 4 * sizes.weights * (recipe.critic.trunk == "separate")

    def __call__(self, experience: Experience) -> Metrics:
        """Fills `values`."""
        experience.values = self.critic.values(self.setup.policy.model, experience.rollouts, self.setup.budget)
        return {}

    def objective(self, objective: Objective) -> Objective:
        """The policy's objective, with the critic's loss."""
        return ActorCritic(objective.model, objective.recipe, self.critic)

    def after(self, experience: Experience) -> Metrics:
        """The share of the returns' variance that the values explained before the update."""
        values, returns = experience.values, experience.returns
        assert values is not None
        return {"explained_variance": float(explained_variance(values, returns, experience.rollouts.mask))}

    @property
    def state(self) -> Mapping[str, Stateful]:
        """The critic's weights."""
        return {"critic": self.critic}
