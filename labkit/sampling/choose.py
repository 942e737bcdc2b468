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
    """How a token is drawn. Temperature 0 is greedy; top_p 1, top_k 0 and min_p 0 switch those filters off.

    Order of the filters as in vLLM: min-p, top-k, top-p, each on the distribution that the one before left.
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
    """Sets to zero what min-p, top-k and top-p (nucleus; Holtzman et al., 2020) leave out; rows no longer sum to 1.

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
        before = ordered.cumsum(-1) - ordered  # mass of the tokens that are likelier than this one
        dropped = before >= options.top_p * ordered.sum(-1, keepdim=True)
        dropped[:, 0] = False
        probabilities = probabilities.masked_fill(dropped.scatter(-1, index, dropped), 0.0)
    return probabilities


def choose(
    logits: Float[Tensor, "batch vocab"], uniforms: Float[Tensor, " batch"], options: SamplingOptions
) -> tuple[Int[Tensor, " batch"], Float[Tensor, " batch"]]:
    """One token for each row, and its log-prob under softmax(logits / temperature), before the filters.

    The draw inverts the cumulative distribution at one uniform number per row, so that a row's sample does not depend
    on the rows around it. Greedy (temperature 0) log-probs are those of temperature 1.
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
    # The first token whose cumulative value is above the number: one of probability 0 repeats the value before it.
    total = cumulative[:, -1:].contiguous()
    drawn = torch.searchsorted(cumulative, uniforms[:, None] * total, right=True)
    # A product that is rounded up to the total lies behind all tokens: then it is the last one of any probability.
    # (Of NaN too it lies there: any token will do then, its log-prob tells.)
    drawn = torch.minimum(drawn, torch.searchsorted(cumulative, total)).clamp_(max=logits.shape[-1] - 1)
    if options.filtered:  # where sums are taken in parallel, rounding can lift the value at a token that was left out
        drawn = torch.where(kept.gather(-1, drawn) > 0, drawn, kept.argmax(-1, keepdim=True))
    return drawn.squeeze(1), logprobs.gather(-1, drawn).squeeze(1)


def uniforms(prompts: list[list[int]], n: int, steps: int, seed: int) -> Float[Tensor, "batch steps"]:
    """The random numbers of every row, n rows per prompt: a function of seed, prompt and sample number alone.

    The same prompt twice in a batch gets other numbers the second time. Counter-based Philox streams (Salmon et al.,
    2011), so the same on every machine and device.
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
