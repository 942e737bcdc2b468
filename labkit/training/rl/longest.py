"""Tries the longest possible batch before the first step, so that a run without enough memory fails at once."""

import torch

from labkit.models import Policy
from labkit.models.trunk import CausalLM
from labkit.recipes.schema import Recipe
from labkit.rollouts import Rollouts
from labkit.sampling.engine import reserve
from labkit.tasks import Task
from labkit.training.loop.measure import Stopwatch
from labkit.training.rl.experience import Experience
from labkit.training.rl.step import RLLearner
from labkit.training.rl.update import Objective

PROMPTS = 256  # the longest of so many training prompts is used


def try_longest(learner: RLLearner) -> None:
    """Runs a forward and a backward pass over a full micro-batch of rows of the greatest possible length.

    Before it, the sampler allocates its buffers for such rows, because it keeps them during all updates.

    A row has the tokens of the longest prompt and `max_new_tokens` more. The policy does not change. If there is not
    enough memory, the learner's budget is halved until the pass fits.

    On a CPU this happens only if the recipe asks for it (`optimizer.try_longest`). There a system without enough memory
    usually kills the process without an error, so that the trial itself would end the run.
    """
    recipe, policy, optimizer = learner.recipe, learner.policy, learner.optimizer
    asked = recipe.optimizer.try_longest
    if not (policy.device.type == "cuda" if asked is None else asked):
        return
    longest = longest_experience(recipe, policy, learner.task, learner.budget.tokens)
    objective = Objective(policy.model, recipe)
    # Adam allocates its moments at the first step. Before it, tensors of the same size take their place.
    moments = [] if optimizer.state else [torch.empty_like(p) for p in _trained(optimizer) for _ in range(2)]
    asked_rows, new = recipe.sampling.prompts * recipe.sampling.samples, recipe.sampling.max_new_tokens
    given = int(longest.row_lengths.max()) - new

    def work(tokens: int) -> None:
        # Inside, because the buffers are freed when memory was too short, and the next step allocates them again.
        reserve(policy, asked_rows, max(given, 1), new)
        objective.accumulate(longest, torch.arange(len(longest.rollouts)), 1, tokens)

    learner.budget.fit(work, longest.row_lengths, undo=optimizer.zero_grad)
    optimizer.zero_grad()
    del moments


def longest_experience(recipe: Recipe, policy: Policy, task: Task, tokens: int) -> Experience:
    """`longest_rollouts` with an advantage of 1 for each token, and with log-probs as if there were a reference."""
    rollouts = longest_rollouts(recipe, policy, task, tokens)
    experience = Experience(rollouts, recipe.preset(), 0, Stopwatch(policy.device), ref=rollouts.logprobs)
    ones = torch.ones_like(rollouts.logprobs)
    experience.take(ones, ones, torch.ones(len(rollouts), dtype=torch.bool, device=policy.device))
    return experience


def _vocabulary(model: CausalLM) -> int:
    """The number of different tokens that the model can read."""
    return int(model.get_input_embeddings().weight.shape[0])


def longest_rollouts(recipe: Recipe, policy: Policy, task: Task, tokens: int) -> Rollouts:
    """Rows of random tokens, each as long as the longest possible row of this run.

    There are as many rows as fit into `tokens` tokens, but at least one.
    """
    prompts = [problem.prompt for problem in task.sample(PROMPTS, "train", seed=recipe.seed)]
    start, new = max(len(policy.encode(prompt)) for prompt in prompts), recipe.sampling.max_new_tokens
    length = min(start + new, policy.context_length)
    rows = max(1, min(tokens // length, recipe.sampling.prompts * recipe.sampling.samples))
    inputs = torch.randint(_vocabulary(policy.model), (rows, length), generator=torch.Generator().manual_seed(0)).to(
        policy.device
    )
    mask = torch.zeros_like(inputs, dtype=torch.bool)
    mask[:, start:] = True
    return Rollouts(
        tokens=inputs,
        mask=mask,
        logprobs=torch.zeros(mask.shape, device=policy.device),
        groups=torch.arange(rows, device=policy.device),
        lengths=mask.sum(1),
        truncated=torch.ones(rows, dtype=torch.bool, device=policy.device),
        prompts=[""] * rows,
        completions=[""] * rows,
    )


def _trained(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
