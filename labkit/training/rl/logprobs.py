"""Log-probs of sampled tokens under a fixed model: a frozen reference, or the policy before its update."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from labkit.models import token_logprobs
from labkit.rollouts import Rollouts
from labkit.training.loop.memory import Budget
from labkit.training.loop.microbatches import microbatches


@torch.no_grad()
def rollout_logprobs(
    model: nn.Module,
    rollouts: Rollouts,
    temperature: float,
    budget: Budget | int | None = None,
    rows: Int[Tensor, " rows"] | None = None,
) -> Float[Tensor, "batch time"]:
    """The log-probs (nats) of the rollouts' sampled tokens under a model, without gradient; 0 outside the mask.

    Column t is about token t. `temperature` divides the logits, as in sampling. If `rows` are given, only these rows
    are computed, and the others are 0. `budget` is the number of tokens of a micro-batch; None: the device's default.
    """
    device, lengths = rollouts.tokens.device, rollouts.total_lengths.cpu()
    host_mask = rollouts.mask.cpu()  # one wait here instead of one per micro-batch
    rows = torch.arange(len(rollouts)) if rows is None else rows
    budget = budget if isinstance(budget, Budget) else Budget(budget, device)

    def compute(tokens: int) -> Tensor:
        logprobs = torch.zeros_like(rollouts.logprobs)
        for part in microbatches(lengths[rows], tokens):
            width, chosen = int(lengths[rows[part]].max()), rows[part].to(device)
            inputs, mask = rollouts.tokens[chosen, :width], host_mask[rows[part], :width]
            logprobs[chosen, :width] = token_logprobs(model, inputs, temperature, mask=mask)
        return logprobs

    return budget.fit(compute, lengths[rows])
