"""Log-probabilities of given tokens. Only this module shifts logits and tokens against each other."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.device import hand_over
from labkit.models.output import Head, chosen_logprobs, output_head
from labkit.models.trunk import CausalLM, autocast, hidden_states
from labkit.models.vocabulary import never_drawn, tokens_without_text


def token_logprobs(
    model: CausalLM,
    tokens: Int[Tensor, "batch time"],
    temperature: float = 1.0,
    positions: Int[Tensor, "batch time"] | None = None,
    mask: Bool[Tensor, "batch time"] | None = None,
) -> Float[Tensor, "batch time"]:
    """log p(tokens[:, t] | tokens[:, :t]) in nats at column t; column 0 is 0. Differentiable.

    Rows are right-padded, so causal attention needs no mask, and positions count from 0. The log-probs are those of
    softmax(logits / temperature): the distribution that the sampler draws from, before top-p, top-k or min-p.

    `positions` are for rows that hold several packed documents. They begin again at 0 with each document, and then each
    token sees only its own document. The first token of a document is predicted from the last token of the document
    before it, so the caller must not count it.

    `mask` is True for the wanted columns; the others are 0 and are not computed. If the logits are a plain output layer
    of the last hidden states (`output_head`), they are computed in chunks, so that memory never holds all of them
    (`chosen_logprobs`). With a GPU the mask may be on the CPU, if it is known there. Finding its columns on the GPU
    makes Python wait until the GPU has done all its work.
    """
    head = output_head(model)
    if head is not None:
        hidden = hidden_states(model, tokens, positions)
        return head_logprobs(hidden, head, tokens, temperature, mask, with_entropy=False)[0]
    logits = shifted_logits(model, tokens, temperature, positions)
    chosen = logits.gather(-1, tokens[:, 1:, None]).squeeze(-1) - logits.logsumexp(-1)
    shifted = torch.cat([chosen.new_zeros(len(tokens), 1), chosen], 1)
    return shifted if mask is None else torch.where(hand_over(mask, tokens.device), shifted, 0.0)


def token_logprobs_and_entropy(
    model: CausalLM,
    tokens: Int[Tensor, "batch time"],
    temperature: float = 1.0,
    entropy_gradient: bool = False,
    mask: Bool[Tensor, "batch time"] | None = None,
) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
    """The log-probs of `token_logprobs`, and the entropy (nats) of the distribution that each token was drawn from.

    The entropy has a gradient only with `entropy_gradient`, which an entropy bonus needs.
    """
    head = output_head(model)
    if head is not None:
        hidden = hidden_states(model, tokens)
        return head_logprobs(hidden, head, tokens, temperature, mask, entropy_gradient=entropy_gradient)
    return logprobs_and_entropy_of(shifted_logits(model, tokens, temperature), tokens, entropy_gradient, mask)


def head_logprobs(
    hidden: Float[Tensor, "batch time width"],
    head: Head,
    tokens: Int[Tensor, "batch time"],
    temperature: float = 1.0,
    mask: Bool[Tensor, "batch time"] | None = None,
    with_entropy: bool = True,
    entropy_gradient: bool = False,
) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
    """The same as `token_logprobs_and_entropy`, from the last hidden states: column t - 1 predicts the token at t."""
    # The shift: the state at column t - 1 predicts the token at column t. So states of columns 0 to time - 2 pair with
    # tokens of columns 1 to time - 1, and both have batch * (time - 1) rows.
    states, targets = hidden[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()
    options = {"with_entropy": with_entropy, "entropy_gradient": entropy_gradient}
    if mask is None:
        values = chosen_logprobs(states, head, targets, temperature, **options)
    else:
        wanted = mask[:, 1:].flatten().nonzero().squeeze(1)  # the mask is about tokens, so it shifts with them
        wanted = hand_over(wanted, states.device)
        some = chosen_logprobs(states[wanted], head, targets[wanted], temperature, **options)
        values = [one.new_zeros(len(targets)).index_put((wanted,), one) for one in some]
    # Back to [batch, time]: nothing predicts the token at column 0, so that column is 0.
    rows = [one.view(len(tokens), -1) for one in values]
    logprobs, entropy = (torch.cat([one.new_zeros(len(tokens), 1), one], 1) for one in rows)
    return logprobs, entropy


def logprobs_and_entropy_of(
    logits: Float[Tensor, "batch before vocab"],
    tokens: Int[Tensor, "batch time"],
    entropy_gradient: bool = False,
    mask: Bool[Tensor, "batch time"] | None = None,
) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
    """The same as `token_logprobs_and_entropy`, from the result of `shifted_logits` (columns 0 to time - 2)."""
    normalizer = logits.logsumexp(-1)  # [batch, time - 1]
    # The shift: logits of columns 0 to time - 2 pair with tokens of columns 1 to time - 1.
    chosen = logits.gather(-1, tokens[:, 1:, None]).squeeze(-1) - normalizer
    with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
        # H = log Z - E[logit]
        entropy = normalizer - ((logits - normalizer[..., None]).exp() * logits).sum(-1)
    front = chosen.new_zeros(len(tokens), 1)
    chosen, entropy = torch.cat([front, chosen], 1), torch.cat([front, entropy], 1)
    if mask is None:
        return chosen, entropy
    mask = hand_over(mask, tokens.device)
    return torch.where(mask, chosen, 0.0), torch.where(mask, entropy, 0.0)


def shifted_logits(
    model: CausalLM,
    tokens: Int[Tensor, "batch time"],
    temperature: float = 1.0,
    positions: Int[Tensor, "batch time"] | None = None,
) -> Float[Tensor, "batch before vocab"]:
    """Logits / temperature, in float32 or better.

    The logits at column t - 1 predict the token at column t. So those of the last column predict nothing that is there,
    and are left out.
    """
    extra = {} if positions is None else {"position_ids": positions}
    with autocast(tokens.device):
        logits = model(input_ids=tokens, use_cache=False, **extra).logits
    # The shift: drop the logits of the last column, which predict a token that is not there: [batch, time - 1, vocab].
    logits = logits[:, :-1].to(torch.promote_types(logits.dtype, torch.float32))
    logits = never_drawn(logits, tokens_without_text(model))
    return logits if temperature == 1.0 else logits / temperature
