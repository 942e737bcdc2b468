"""PRIME's process reward model, which learns online from the outcomes of the policy's own samples.

It is a language model that begins as a copy of the frozen reference. Its log-ratio to the reference is summed over an
answer. Training makes beta times this sum the log-odds that the answer is right. The share of one token in it is the
reward of this token (Cui et al. 2025, arXiv:2502.01456). So no step needs a label: the same 0 or 1 rewards the policy
and trains the process reward model.

As in the paper, the process reward model can skip prompts whose answers are nearly all right or all wrong (`accuracy`):
from these it would learn to judge the prompt instead of the answer. Three things differ from the paper: the policy
still learns from such prompts, no other prompts are sampled in their place, and the returns are not divided by the
largest return of the batch.
"""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from labkit.algorithms import implicit_reward_loss, implicit_rewards, outcome_loss, ranking_accuracy
from labkit.models import token_logprobs
from labkit.recipes.schema import Recipe
from labkit.rollouts import Rollouts
from labkit.training.loop.checkpoints import Stateful
from labkit.training.loop.measure import Tally
from labkit.training.loop.memory import Budget
from labkit.training.loop.microbatches import microbatches, minibatches
from labkit.training.loop.optim import apply_gradients, learning_rate, make_optimizer
from labkit.training.rl.experience import Experience, Metrics
from labkit.training.rl.helper import Helper, Setup, Sizes
from labkit.training.rl.logprobs import rollout_logprobs
from labkit.training.rl.reference import Reference


class ImplicitPRM:
    """A process reward model in the form of a language model, its frozen reference, and its own optimiser.

    `model` is trained in place; `reference` never changes. So a checkpoint keeps only the model and the optimiser.
    """

    def __init__(self, model: nn.Module, reference: nn.Module, recipe: Recipe) -> None:
        self.model, self.reference, self.settings = model, reference, recipe.process_reward
        options = recipe.optimizer
        self.optimizer = make_optimizer(model, self.settings.lr, options.betas, options.weight_decay)

    def learn_and_score(
        self, rollouts: Rollouts, recipe: Recipe, step: int, budget: Budget | None = None
    ) -> tuple[Float[Tensor, "batch time"], dict[str, float]]:
        """Learns from the outcomes of scored rollouts; then returns the reward of each of their tokens, and metrics.

        As in the paper, the model first learns from the outcomes of this batch, and then gives the rewards. The metrics
        are measured before it has learnt from an answer, so that they show what it can predict. A reward between 0 and
        1 counts as the probability of success; other rewards are clipped to this range. `budget` is the micro-batch
        budget (None: that of the recipe), which is halved if there is not enough memory.
        """
        temperature = recipe.sampling.temperature
        budget = budget or Budget(recipe.optimizer.microbatch_tokens, rollouts.tokens.device)
        ref = rollout_logprobs(self.reference, rollouts, temperature, budget)
        metrics = self._learn(rollouts, ref, recipe, step, budget)
        now = rollout_logprobs(self.model, rollouts, temperature, budget)
        process = implicit_rewards(now, ref, rollouts.mask, self.settings.beta)
        return process, metrics | {"process_reward_mean": float(process.sum() / rollouts.mask.sum().clamp(min=1))}

    def _learn(self, rollouts: Rollouts, ref: Tensor, recipe: Recipe, step: int, budget: Budget) -> dict[str, float]:
        settings, options = self.settings, recipe.optimizer
        outcomes = rollouts.rewards.clamp(0.0, 1.0)
        lr = learning_rate(step, recipe.steps, settings.lr, options.warmup, options.schedule)
        tally, logits, lengths = Tally(), torch.zeros_like(outcomes), rollouts.total_lengths
        learnt = self.learnt_from(outcomes, rollouts.groups)
        if not learnt.any():
            return {"prm_ranking": float("nan")}
        for turn in range(settings.updates):
            for rows in minibatches(learnt, settings.minibatches, seed=turn):
                work = partial(self._accumulate, rollouts, ref, rows, recipe.sampling.temperature)
                seen, said = budget.fit(work, lengths[rows], undo=self.optimizer.zero_grad)
                apply_gradients(self.model, self.optimizer, lr, options.max_grad_norm)
                if turn == 0:  # in this pass, the model has not learnt from these answers before
                    tally.merge(seen)
                    logits[rows] = said
        # Differences that come from rounding count as ties.
        opinions, learnt_outcomes = logits[learnt].round(decimals=4), outcomes[learnt]
        return tally.means() | {
            "prm_accuracy": float(outcome_loss(opinions, learnt_outcomes)[1]["accuracy"]),
            "prm_ranking": ranking_accuracy(opinions, learnt_outcomes),
        }

    def _accumulate(
        self, rollouts: Rollouts, ref: Tensor, rows: Int[Tensor, " rows"], temperature: float, tokens: int
    ) -> tuple[Tally, Float[Tensor, " rows"]]:
        """Adds up the gradient of the rows' loss, in micro-batches of so many tokens.

        Returns statistics, and the sum of each row's implicit rewards.
        """
        tally, beta = Tally(), self.settings.beta
        said = torch.zeros(len(rows), device=ref.device)
        for part in microbatches(rollouts.total_lengths[rows], tokens):
            chosen = rows[part]
            width = int(rollouts.total_lengths[chosen].max())
            mask, frozen = rollouts.mask[chosen, :width], ref[chosen, :width]
            logprobs = token_logprobs(self.model, rollouts.tokens[chosen, :width], temperature)
            outcomes = rollouts.rewards[chosen].clamp(0.0, 1.0)
            loss, _ = implicit_reward_loss(logprobs, frozen, outcomes, mask, beta, normalizer=len(rows))
            loss.backward()
            said[part] = implicit_rewards(logprobs, frozen, mask, beta).sum(1).detach()
            tally.add({"prm_loss": loss.detach() * len(rows) / len(chosen)}, {}, len(chosen))
        return tally, said

    def learnt_from(self, outcomes: Float[Tensor, " batch"], groups: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """True for each answer whose prompt has a share of right answers within `accuracy`."""
        index = groups.unique(return_inverse=True)[1]
        right = torch.zeros(int(index.max()) + 1, device=outcomes.device).index_add_(0, index, outcomes)
        share = right[index] / index.bincount()[index]
        low, high = self.settings.accuracy
        return (share >= low) & (share <= high)

    def state_dict(self) -> dict[str, Any]:
        """The weights and the optimiser's state, as named tensors."""
        weights = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        moments = self.optimizer.state_dict()["state"].items()
        return weights | {f"optimizer.{i}.{key}": value for i, state in moments for key, value in state.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads weights and optimiser state that `state_dict` returned."""
        kinds: dict[str, dict[str, Any]] = {"model": {}, "optimizer": {}}
        for key, value in state.items():
            kind, _, name = key.partition(".")
            kinds[kind][name] = value
        self.model.load_state_dict(kinds["model"])
        moments: dict[int, dict[str, Any]] = {}
        for key, value in kinds["optimizer"].items():
            index, _, name = key.partition(".")
            moments.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})


class ProcessReward(Helper):
    """The process reward model of a run: it learns from each batch, then gives each token its reward."""

    part = "process"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        start = setup.policy if setup.given_reference is None else setup.given_reference
        self.prm = ImplicitPRM(copy.deepcopy(start.model), setup.frozen, setup.recipe)

    @staticmethod
    def needed_by(recipe: Recipe) -> bool:
        """True if the algorithm adds process rewards."""
        return recipe.preset().process_coef != 0

    @staticmethod
    def memory(recipe: Recipe, sizes: Sizes) -> int:
        """The bytes of weights, gradients, Adam's two moments, and of the reference, if no other helper needs it."""
        return sizes.weights * (4 if Reference.needed_by(recipe) else 5)

    def __call__(self, experience: Experience) -> Metrics:
        """Trains the process reward model on the batch, and fills `process`."""
        recipe, budget = self.setup.recipe, self.setup.budget
        experience.process, metrics = self.prm.learn_and_score(experience.rollouts, recipe, experience.step, budget)
        return metrics

    @property
    def state(self) -> Mapping[str, Stateful]:
        """The model's weights and its optimiser."""
        return {"process_reward": self.prm}
