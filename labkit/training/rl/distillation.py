"""On-policy distillation: the student writes texts, and learns the teacher's distribution at every token of them.

    for each step:
        draw prompts, sample completions from the STUDENT      sample
        logits of student and teacher at every token           shifted_logits
        their divergence, exact over the vocabulary            divergence
        optimiser steps on its mean over the tokens

The method is GKD (Agarwal et al. 2024, arXiv:2306.13649). MiniLLM (Gu et al. 2024) reaches the same divergence by a
policy gradient. No reward is needed: the verifier's score is only logged. As in GKD, the gradient treats the student's
texts as fixed: it ignores that a token changes the tokens after it.

Student and teacher must have the same vocabulary. Memory never holds all of their logits at once (`reduce_logits`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.algorithms import Divergence, divergence
from labkit.errors import UserError
from labkit.models import Policy, hidden_states, train_with
from labkit.models.output import Head, output_head, reduce_logits
from labkit.models.trunk import CausalLM, autocast
from labkit.models.vocabulary import never_drawn, rows_of, tokens_without_text
from labkit.recipes.schema import Recipe
from labkit.rollouts import Rollouts, score
from labkit.sampling import sample
from labkit.tasks import Task
from labkit.training.loop.loop import Learner
from labkit.training.loop.measure import Stopwatch, check_finite, describe, records
from labkit.training.loop.memory import Budget
from labkit.training.loop.microbatches import microbatches, minibatches
from labkit.training.loop.optim import apply_gradients, learning_rate, make_optimizer
from labkit.training.rl.step import step_seed


def make_distillation(recipe: Recipe, policy: Policy, task: Task, teacher: Policy) -> Learner:
    """The learner of a distillation run. Call `check_vocabulary` before it."""
    teacher.model.requires_grad_(False)
    settings = recipe.optimizer
    train_with(policy.model, settings.gradient_checkpointing, settings.compile)
    optimizer = make_optimizer(policy.model, settings.lr, settings.betas, settings.weight_decay)
    budget = Budget(settings.microbatch_tokens, policy.device)

    def step(number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        rollouts, metrics = distillation_step(recipe, number, policy, teacher, task, optimizer, budget)
        no_advantages = torch.zeros_like(rollouts.logprobs)
        return metrics, records(rollouts, no_advantages, number, recipe.rollouts_logged, policy)

    shown = {"divergence": "divergence", "pass_rate": "passed", "response_length": "length"}
    return Learner(policy, optimizer, step, {"budget": budget}, shown)


def distillation_step(
    recipe: Recipe,
    step: int,
    policy: Policy,
    teacher: Policy,
    task: Task,
    optimizer: torch.optim.Optimizer,
    budget: Budget | None = None,
) -> tuple[Rollouts, dict[str, Any]]:
    """Takes one step, from prompts to new weights; returns the student's scored rollouts and the metrics."""
    drawing, settings, seed = recipe.sampling, recipe.optimizer, step_seed(recipe.seed, step)
    clock, budget = Stopwatch(policy.device), budget or Budget(settings.microbatch_tokens, policy.device)
    problems = task.sample(drawing.prompts, "train", seed=seed)
    options = drawing.model_dump(exclude={"prompts", "samples"})
    with clock("sample"):
        rollouts = sample(policy, [p.prompt for p in problems], n=drawing.samples, seed=seed, **options)
    with clock("verify"):
        rollouts = score(rollouts, task, problems)
    lr = learning_rate(step, recipe.steps, settings.lr, settings.warmup, settings.schedule)
    with clock("train"):
        stats = learn(recipe, policy.model, teacher.model, optimizer, rollouts, lr, budget)
    metrics = {"step": step, **describe(rollouts, task), **stats, "lr": lr}
    return rollouts, metrics | clock.read(metrics["tokens"])


def learn(
    recipe: Recipe,
    student: CausalLM,
    teacher: CausalLM,
    optimizer: torch.optim.Optimizer,
    rollouts: Rollouts,
    lr: float,
    budget: Budget,
) -> dict[str, Any]:
    """Takes the optimiser steps on one batch of the student's samples; returns statistics.

    The loss is the mean divergence (nats) over the tokens of a mini-batch. The statistic `divergence` is the loss of
    the first mini-batch, before the weights have changed; `loss` is the mean over all of them. Raises NotFiniteError if
    a divergence is NaN or infinite.
    """
    settings, device = recipe.optimizer, rollouts.tokens.device
    lengths, counts = rollouts.total_lengths.cpu(), rollouts.mask.sum(1).cpu()
    kind = cast(Divergence, recipe.algorithm)  # the recipe has checked it
    options = (recipe.sampling.temperature, kind, recipe.algorithm_options.get("beta", 0.5))

    def accumulate(rows: Tensor, tokens: int) -> float:
        """Adds up the gradient of the rows' mean divergence, in micro-batches of so many tokens; returns the mean."""
        total = torch.zeros((), device=device)
        for part in microbatches(lengths[rows], tokens):
            width, chosen = int(lengths[rows[part]].max()), rows[part].to(device)
            texts, mask = rollouts.tokens[chosen, :width], rollouts.mask[chosen, :width]
            loss = summed_divergence(student, teacher, texts, mask, *options) / max(int(counts[rows].sum()), 1)
            loss.backward()
            total += loss.detach()
        return float(total)

    losses, norms, skipped = [], [], 0
    everything = torch.ones(len(rollouts), dtype=torch.bool)
    for turn in range(settings.updates):
        for rows in minibatches(everything, settings.minibatches, seed=turn):
            losses.append(budget.fit(partial(accumulate, rows), lengths[rows], undo=optimizer.zero_grad))
            check_finite(losses[-1], "the divergence of student and teacher")
            norm, bad = apply_gradients(student, optimizer, lr, settings.max_grad_norm)
            norms.append(norm)
            skipped += bad
    return {
        "divergence": losses[0],
        "loss": sum(losses) / len(losses),
        "grad_norm": sum(norms) / len(norms),
        "skipped": skipped,
        "trained_rows": len(rollouts),
        "trained_positions": int(lengths.sum()) * settings.updates,
        "microbatch_tokens": budget.tokens,
    }


def summed_divergence(
    student: CausalLM,
    teacher: CausalLM,
    tokens: Int[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    temperature: float = 1.0,
    kind: Divergence = "reverse_kl",
    beta: float = 0.5,
) -> Float[Tensor, ""]:
    """The divergence (nats) of student and teacher, summed over the tokens where `mask` is True.

    At each token, it compares the two distributions from which this token could be drawn. Column t of `mask` is about
    token t, which the text before it predicts. Rows are right-padded. Differentiable with respect to the student.
    """
    # The shift: column t - 1 of the hidden states predicts the token at column t; `chosen` is [batch, time - 1].
    chosen = mask[:, 1:]
    ours, our_head = _before_logits(student, tokens, chosen)
    with torch.no_grad():
        theirs, their_head = _before_logits(teacher, tokens, chosen)
    vocabulary = min(rows_of(student), rows_of(teacher))
    reduction = _Divergence(theirs, their_head, vocabulary, temperature, kind, beta)
    return reduce_logits(ours, our_head, reduction)[0].sum()


@dataclass(frozen=True)
class _Divergence:
    """The divergence of the student's distribution from the teacher's at each token, for `reduce_logits`.

    `theirs` is the teacher's result of `_before_logits`: hidden states, or the logits if `head` is None.
    """

    theirs: Tensor
    head: Head | None
    vocabulary: int
    temperature: float
    kind: Divergence
    beta: float
    fixed = (False,)

    def prepare(self, logits: Tensor, rows: slice, gradient: bool) -> tuple[Tensor, Tensor]:
        """The student's logits, and the divergences that were computed from them."""
        theirs = self.theirs[rows]
        both = logits.detach().requires_grad_(gradient), theirs if self.head is None else self.head.logits(theirs)
        with torch.set_grad_enabled(gradient):
            ours, theirs = (x[..., : self.vocabulary].float() / self.temperature for x in both)
            return both[0], divergence(ours, theirs, self.kind, self.beta)

    def numbers(self, prepared: tuple[Tensor, Tensor]) -> tuple[Tensor]:
        """The divergences."""
        return (prepared[1].detach(),)

    def slope(self, prepared: tuple[Tensor, Tensor], rows: slice, by_numbers: Sequence[Tensor]) -> Tensor:
        """The gradient, by automatic differentiation of one chunk."""
        return torch.autograd.grad(prepared[1], prepared[0], by_numbers[0])[0]


def _before_logits(model: CausalLM, tokens: Tensor, chosen: Tensor) -> tuple[Tensor, Head | None]:
    """The hidden states where `chosen` is True, [tokens, width], and the output layer that turns them into logits.

    If the model's logits are not a plain output layer of them: the logits themselves, [tokens, vocab], and None.
    """
    head = output_head(model)
    if head is not None:
        return hidden_states(model, tokens)[:, :-1][chosen], head
    with autocast(tokens.device):
        logits = model(input_ids=tokens, use_cache=False).logits[:, :-1][chosen]
    return never_drawn(logits.to(torch.promote_types(logits.dtype, torch.float32)), tokens_without_text(model)), None


def check_vocabulary(student: Policy, teacher: Policy) -> None:
    """Raises UserError unless each token stands for the same text in both models.

    Some models have extra rows after their vocabulary, to make its size a round number. These may differ: they are cut
    off.
    """
    ours, theirs = student.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    if ours == theirs and min(rows_of(student.model), rows_of(teacher.model)) > max(ours.values()):
        return
    other = next((t for t in sorted(ours) if theirs.get(t) != ours[t]), None)
    example = "" if other is None else f"; {other!r} is number {ours[other]} and {theirs.get(other, 'none')}"
    raise UserError(
        f"student {student.name!r} and teacher {teacher.name!r} have different vocabularies (of {len(ours)} and "
        f"{len(theirs)} tokens{example}): their "
        "distributions can't be compared; take a teacher of the same family, or train on the teacher's texts (SFT)"
    )
