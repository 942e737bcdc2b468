"""From logits to a token: temperature, top-k, top-p, min-p, and the draw itself."""

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from labkit.errors import UserError


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How a token is drawn. Temperature 0 is greedy; top_p 1, top_k 0 and min_p 0 switch these filters off.

    The filters run in vLLM's order: min-p, top-k, top-p. Each filter works on the result of the one before it.
    Raises UserError for a value out of range.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        if not self.temperature >= 0 or self.temperature == float("inf"):
            raise UserError(f"temperature must be a number from 0 up, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if self.top_k < 0:
            raise UserError(f"top_k must be 0 (off) or a positive number, not {self.top_k}")
        if not 0 <= self.min_p <= 1:
            raise UserError(f"min_p must be from 0 to 1, not {self.min_p}")

    @property
    def filtered(self) -> bool:
        """Whether any filter is on."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0


def filter_probabilities(
    probabilities: Float[Tensor, "batch vocab"], options: SamplingOptions
) -> Float[Tensor, "batch vocab"]:
    """Sets the probabilities of some tokens to zero: those that min-p, top-k or top-p (Holtzman et al., 2020) drop.

    The rows of the result no longer sum to 1.

    >>> p = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    >>> filter_probabilities(p, SamplingOptions(top_p=0.7)).tolist()[0][2:]
    [0.0, 0.0]
    """
    if options.min_p > 0:
        least = options.min_p * probabilities.amax(-1, keepdim=True)
        probabilities = probabilities.masked_fill(probabilities < least, 0.0)
    if 0 < options.top_k < probabilities.shape[-1]:
        kth = probabilities.topk(options.top_k, dim=-1).values[:, -1:]
        probabilities = probabilities.masked_fill(probabilities < kth, 0.0)
    if options.top_p < 1:
        ordered, index = probabilities.sort(-1, descending=True)
        before = ordered.cumsum(-1) - ordered  # probability of all tokens that are likelier than this one
        dropped = before >= options.top_p * ordered.sum(-1, keepdim=True)
        dropped[:, 0] = False
        probabilities = probabilities.masked_fill(dropped.scatter(-1, index, dropped), 0.0)
    return probabilities


def choose(
    logits: Float[Tensor, "batch vocab"], uniforms: Float[Tensor, " batch"], options: SamplingOptions
) -> tuple[Int[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Draws one token per row. Returns the tokens and their log-probs (nats).

    The log-probs are those of softmax(logits / temperature), before the filters. The draw inverts the cumulative
    distribution at one uniform number per row, so a row's token does not depend on the other rows. For greedy
    decoding (temperature 0) the log-probs are those of temperature 1.
    """
    logits = logits.float()
    if options.temperature == 0:
        tokens = logits.argmax(-1, keepdim=True)
        return tokens.squeeze(1), logits.log_softmax(-1).gather(-1, tokens).squeeze(1)
    if options.temperature != 1:
        logits = logits / options.temperature
    logprobs = logits.log_softmax(-1)
    kept = logprobs.exp()
    if options.filtered:
        kept = filter_probabilities(kept, options)
    cumulative = kept.cumsum(-1)
    # The drawn token is the first one whose cumulative value is above the number. It never has probability 0: the
    # cumulative value of such a token equals the value before it.
    total = cumulative[:, -1:].contiguous()
    drawn = torch.searchsorted(cumulative, uniforms[:, None] * total, right=True)
    # If rounding makes the product equal to the total, no token is above it. Then we take the last token that has a
    # probability. NaN logits end here too: any token will do, because its log-prob is NaN and shows the fault.
    drawn = torch.minimum(drawn, torch.searchsorted(cumulative, total)).clamp_(max=logits.shape[-1] - 1)
    if options.filtered:  # where sums are taken in parallel, rounding can lift the value at a token that was left out
        drawn = torch.where(kept.gather(-1, drawn) > 0, drawn, kept.argmax(-1, keepdim=True))
    return drawn.squeeze(1), logprobs.gather(-1, drawn).squeeze(1)


def uniforms(prompts: list[list[int]], n: int, steps: int, seed: int) -> Float[Tensor, "batch steps"]:
    """The random numbers in [0, 1) of every row, n rows per prompt.

    They depend only on the seed, the prompt and the number of the sample. If a prompt stands twice in a batch, its
    second group gets other numbers than the first. The numbers come from Philox, a counter-based generator (Salmon et
    al., 2011), so they are the same on every machine and device.
    """
    rows, seen = [], Counter()
    for prompt in prompts:
        key = tuple(prompt)
        for _ in range(n):
            text = f"{seed}:{seen[key]}:{key}".encode()
            stream = np.random.Philox(key=int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "big"))
            rows.append(np.random.Generator(stream).random(steps, dtype=np.float32))
            seen[key] += 1
    return torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, steps)
