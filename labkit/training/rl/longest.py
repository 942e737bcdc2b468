"""The longest possible batch, tried before the first step: what will not fit should fail in the first minute."""

from functools import partial

import torch

from labkit.models import Policy
from labkit.models.trunk import CausalLM
from labkit.recipes.schema import Recipe
from labkit.rollouts import Rollouts
from labkit.tasks import Task
from labkit.training.loop.measure import Stopwatch
from labkit.training.rl.experience import Experience
from labkit.training.rl.step import RLLearner
from labkit.training.rl.update import Objective

PROMPTS = 256  # training prompts whose longest is taken


def try_longest(learner: RLLearner) -> None:
    """A forward and backward pass over rows of the longest prompt and `max_new_tokens`, as many as fill a micro-batch.
    Nothing is learned from it; where memory does not suffice, the learner's budget is halved until it does.

    On a CPU it is done only where the recipe asks for it (`optimizer.try_longest`): there a system that is short of
    memory mostly ends the process instead of saying so, which trying would not prevent but cause.
    """
    recipe, policy, optimizer = learner.recipe, learner.policy, learner.optimizer
    asked = recipe.optimizer.try_longest
    if not (policy.device.type == "cuda" if asked is None else asked):
        return
    longest = longest_experience(recipe, policy, learner.task, learner.budget.tokens)
    objective = Objective(policy.model, recipe)
    # Adam's moments come with the first step; until then something as large stands in for them.
    moments = [] if optimizer.state else [torch.empty_like(p) for p in _trained(optimizer) for _ in range(2)]
    work = partial(objective.accumulate, longest, torch.arange(len(longest.rollouts)), 1)
    learner.budget.fit(work, longest.row_lengths, undo=optimizer.zero_grad)
    optimizer.zero_grad()
    del moments


def longest_experience(recipe: Recipe, policy: Policy, task: Task, tokens: int) -> Experience:
    """`longest_rollouts`, with an advantage for each token; without the columns that take no memory of their own."""
    rollouts = longest_rollouts(recipe, policy, task, tokens)
    experience = Experience(rollouts, recipe.preset(), 0, Stopwatch(policy.device), ref=rollouts.logprobs)
    ones = torch.ones_like(rollouts.logprobs)
    experience.take(ones, ones, torch.ones(len(rollouts), dtype=torch.bool, device=policy.device))
    return experience


def _vocabulary(model: CausalLM) -> int:
    """How many tokens the model can read."""
    return int(model.get_input_embeddings().weight.shape[0])


def longest_rollouts(recipe: Recipe, policy: Policy, task: Task, tokens: int) -> Rollouts:
    """Rows of random tokens, as long as a row of this run can be, as many as fill `tokens`, at least one."""
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
