"""Training: labkit's `update` next to a plain loop, on the same batch of rollouts."""

import copy
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.bench.ceiling import ceilings, compute_dtype, device_facts, model_costs, train_flops
from labkit.bench.race import Row, Side, Work, Workload, make_rows, race
from labkit.bench.rollout import work_of
from labkit.models import Policy, autocast
from labkit.recipes import Recipe
from labkit.recipes.schema import OptimizerSettings, SamplingSettings
from labkit.rollouts import Rollouts
from labkit.sampling import sample
from labkit.training.loop.measure import Stopwatch
from labkit.training.loop.optim import apply_gradients, make_optimizer
from labkit.training.rl.build import make_rl_learner
from labkit.training.rl.experience import Experience
from labkit.training.rl.update import update

STANDSTILL = 1e-9  # a learning rate at which all turns and all sides keep the same policy, and so the same lengths


def bench_train(workload: Workload, peers: list[str]) -> list[Row]:
    """One row per side; see `run_bench`."""
    policy = workload.policy
    prompts = [problem.prompt for problem in workload.problems(0)]
    rollouts = sample(policy, prompts, n=workload.samples, max_new_tokens=workload.max_new_tokens, seed=workload.seed)
    # Random advantages, none of them 0: what a row costs must not hang on how good the model is.
    generator = torch.Generator().manual_seed(workload.seed)
    advantages = torch.randn(len(rollouts), generator=generator).to(policy.device)
    work = replace(work_of(policy, rollouts, workload.samples), parts={})  # sampling is no part of this
    sides = [labkit_side(workload, rollouts, advantages, work)]
    if "transformers" in peers:
        sides.append(transformers_side(policy, rollouts, advantages, work))
    trials = race(sides, workload.repeats, policy.device)
    _, training = ceilings(policy.model)
    facts = device_facts(policy.model)
    rows = make_rows("train", trials, {side.name: side.notes for side in sides}, training, device=facts)
    flops = train_flops(work, model_costs(policy.model, compute_dtype(policy.model)))
    return [row | {"mfu": utilisation(flops / row["seconds"], facts)} for row in rows]


def utilisation(flops_per_second: float, device: dict[str, Any]) -> dict[str, float | None]:
    """Model FLOPs utilisation (MFU): operations that the model needs a second, over what the device can do.

    `measured`: over this device's measured matmul rate; `nominal`: over its maker's number, None where not known.

    >>> utilisation(2e14, {"flops_per_second": 8e14, "nominal_flops_per_second": 1e15})
    {'measured': 0.25, 'nominal': 0.2}
    """
    nominal = device["nominal_flops_per_second"]
    return {
        "measured": flops_per_second / device["flops_per_second"],
        "nominal": None if nominal is None else flops_per_second / nominal,
    }


def bench_recipe(workload: Workload, train_zero_advantage: bool) -> Recipe:
    """GRPO on-policy, the loss a mean over all tokens, at a learning rate that changes nothing."""
    return Recipe(
        name="bench",
        algorithm="grpo",
        algorithm_options={"aggregate": "token_mean"},
        sampling=SamplingSettings(
            prompts=workload.prompts, samples=workload.samples, max_new_tokens=workload.max_new_tokens
        ),
        optimizer=OptimizerSettings(lr=STANDSTILL, warmup=0),
        train_zero_advantage=train_zero_advantage,
    )


def labkit_side(workload: Workload, rollouts: Rollouts, advantages: Float[Tensor, " batch"], work: Work) -> Side:
    """`labkit.training.rl.update.update`: rows sorted by length, cut into micro-batches by a token budget."""
    policy = Policy(copy.deepcopy(workload.policy.model), workload.policy.tokenizer, workload.policy.name)
    learner = make_rl_learner(bench_recipe(workload, train_zero_advantage=True), policy, workload.task)
    by_token = torch.where(rollouts.mask, advantages[:, None], 0.0)
    kept = torch.ones(len(rollouts), dtype=torch.bool, device=advantages.device)

    def run(turn: int) -> None:
        experience = Experience(rollouts, learner.algorithm, turn, Stopwatch(policy.device))
        experience.take(by_token, by_token, kept)
        update(learner, experience)

    notes = f"micro-batches of at most {learner.budget.tokens} tokens"
    return Side("labkit", run, lambda _: work, notes)


def transformers_side(policy: Policy, rollouts: Rollouts, advantages: Float[Tensor, " batch"], work: Work) -> Side:
    """The loop that one writes first: the whole padded batch with its mask, one forward, one backward."""
    model, recipe = copy.deepcopy(policy.model), OptimizerSettings(lr=STANDSTILL, warmup=0)
    optimizer = make_optimizer(model, recipe.lr, recipe.betas, recipe.weight_decay)
    columns = torch.arange(rollouts.tokens.shape[1], device=policy.device)
    attention = (columns < rollouts.total_lengths[:, None]).long()

    def run(turn: int) -> None:
        with autocast(policy.device):
            logits = model(input_ids=rollouts.tokens, attention_mask=attention, use_cache=False).logits
        # The shift: logits of columns 0 to time - 2 pair with tokens, mask and old log-probs of columns 1 to time - 1.
        log_softmax = logits[:, :-1].float().log_softmax(-1)
        chosen = log_softmax.gather(-1, rollouts.tokens[:, 1:, None]).squeeze(-1)
        mask, old = rollouts.mask[:, 1:], rollouts.logprobs[:, 1:]
        ratio = (chosen - old).exp()
        gain = torch.min(ratio * advantages[:, None], ratio.clamp(0.8, 1.2) * advantages[:, None])
        loss = -(gain * mask).sum() / mask.sum()
        loss.backward()
        apply_gradients(model, optimizer, recipe.lr, recipe.max_grad_norm)

    return Side("transformers", run, lambda _: work, "whole padded batch at once")
