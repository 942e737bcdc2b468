"""The longest possible batch, tried before the first step: what will not fit should fail in the first minute."""

import torch

from labkit.models import Policy
from labkit.recipes.schema import Recipe
from labkit.rollouts import Rollouts
from labkit.tasks import Task
from labkit.training.loop.memory import Budget
from labkit.training.rl.update import Batch

PROMPTS = 256  # training prompts whose longest is taken


def try_longest(recipe: Recipe, policy: Policy, task: Task, optimizer: torch.optim.Optimizer, budget: Budget) -> None:
    """A forward and backward pass over rows of the longest prompt and `max_new_tokens`, as many as fill a micro-batch.
    Nothing is learned from it; where memory does not suffice, `budget` is halved until it does.

    On a CPU it is done only where the recipe asks for it (`optimizer.try_longest`): there a system that is short of
    memory mostly ends the process instead of saying so, which trying would not prevent but cause.
    """
    asked = recipe.optimizer.try_longest
    if not (policy.device.type == "cuda" if asked is None else asked):
        return
    rollouts = longest_rollouts(recipe, policy, task, budget.tokens)
    batch = longest_batch(policy, rollouts, recipe)
    # Adam's moments come with the first step; until then something as large stands in for them.
    moments = [] if optimizer.state else [torch.empty_like(p) for p in _trained(optimizer) for _ in range(2)]

    def work(tokens: int) -> None:
        batch.accumulate(torch.arange(len(rollouts)), 1, tokens)

    budget.fit(work, batch.lengths, undo=optimizer.zero_grad)
    optimizer.zero_grad()
    del moments


def longest_rollouts(recipe: Recipe, policy: Policy, task: Task, tokens: int) -> Rollouts:
    """Rows of random tokens, as long as a row of this run can be, as many as fill `tokens`, at least one."""
    prompts = [problem.prompt for problem in task.sample(PROMPTS, "train", seed=recipe.seed)]
    start, new = max(len(policy.encode(prompt)) for prompt in prompts), recipe.sampling.max_new_tokens
    length = min(start + new, policy.context_length)
    rows = max(1, min(tokens // length, recipe.sampling.prompts * recipe.sampling.samples))
    vocabulary = policy.model.get_input_embeddings().weight.shape[0]
    inputs = torch.randint(vocabulary, (rows, length), generator=torch.Generator().manual_seed(0)).to(policy.device)
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


def longest_batch(policy: Policy, rollouts: Rollouts, recipe: Recipe) -> Batch:
    """The batch of these rows, with an advantage for each token; without the terms that take no memory of their own."""
    ones = torch.ones_like(rollouts.logprobs)
    return Batch(policy.model, rollouts, ones, rollouts.logprobs, rollouts.logprobs, None, recipe, recipe.preset())


def _trained(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
