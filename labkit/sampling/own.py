"""Decoding for architectures that keep more than keys and values: with transformers' own cache, or with no cache.

State-space and hybrid models (Mamba, Qwen3-Next, LFM2, Jamba, ...) carry a state from token to token. transformers
keeps this state next to keys and values in `DynamicCache(config=...)`. `OwnCacheDecoder` uses this cache, and copies it
for each row of a prompt's group. Some models keep their state in another way (RWKV, RecurrentGemma). For these,
`Recompute` reads the whole text again for each token: this is slow, but correct for every causal model.
"""

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from labkit.models import autocast
from labkit.models.output import output_head
from labkit.models.trunk import CausalLM, hidden_states

ROOM = 8192
"""`Recompute` reads at most so many tokens in one forward pass, padding included."""


@dataclass
class Prefilled:
    """Prompts after their forward pass: next-token logits, lengths, the cache, and which of its columns are real.

    A column is real if it holds a token of the text, and not padding.
    """

    logits: Float[Tensor, "prompts vocab"]
    lengths: Int[Tensor, " prompts"]
    past: Any
    real: Bool[Tensor, "prompts columns"]


class OwnCacheDecoder:
    """The model as the sampler uses it; see `FusedDecoder`. Rows are left-padded, as in transformers' `generate`."""

    joins = False

    def __init__(self, model: CausalLM) -> None:
        self.model, self.device = model, model.device
        known = inspect.signature(model.forward).parameters
        self.takes_positions = "position_ids" in known
        self.cache_name = "past_key_values" if "past_key_values" in known else "cache_params"

    def reserve(self, size: int, columns: int) -> bool:
        """Does nothing: this cache grows by itself."""
        return False

    def prefill(self, tokens: Int[Tensor, "prompts time"], lengths: Int[Tensor, " prompts"]) -> Prefilled:
        """Reads the prompts, which come right-padded, in one forward pass. Positions count only real tokens."""
        time = tokens.shape[1]
        columns = torch.arange(time, device=self.device)
        shift = (time - lengths)[:, None]
        real, past = columns >= shift, DynamicCache(config=self.model.config)
        tokens = tokens.gather(1, (columns - shift) % time)  # the padding goes to the left
        logits = self.forward(tokens, real, (columns - shift).clamp(min=0), past)
        return Prefilled(logits, lengths, past, real)

    def fill(self, prompts: Prefilled, index: Int[Tensor, " rows"], first: int) -> None:
        """Gives row i a copy of the state after prompt index[i]."""
        assert first == 0, "rows of this decoder begin together"
        self.past = copy.deepcopy(prompts.past)
        self.past.reorder_cache(index)
        self.real = prompts.real[index]

    def step(
        self, tokens: Int[Tensor, " rows"], positions: Int[Tensor, " rows"], spans: object
    ) -> Float[Tensor, "rows vocab"]:
        """Feeds one token per row; returns the logits of the next token."""
        self.real = torch.cat([self.real, self.real.new_ones(len(self.real), 1)], 1)
        return self.forward(tokens[:, None], self.real, positions[:, None], self.past)

    def forward(self, tokens: Tensor, real: Tensor, positions: Tensor, past: Any) -> Tensor:
        """The next-token logits, [rows, vocab], after `tokens`. The cache grows by these tokens."""
        extra = {"position_ids": positions} if self.takes_positions else {}
        extra[self.cache_name] = past
        if self.cache_name == "cache_params":  # a pure state-space model takes a mask of the new tokens alone
            real = real[:, -tokens.shape[1] :]
        with autocast(tokens.device):
            out = self.model(input_ids=tokens, attention_mask=real.long(), use_cache=True, **extra)
        return out.logits[:, -1]

    def keep(self, rows: int, holes: Int[Tensor, " moved"], movers: Int[Tensor, " moved"], columns: int) -> None:
        """Moves the rows `movers` into the places `holes`; then the first `rows` rows stay, and the others leave."""
        order = torch.arange(rows, device=self.device)
        order[holes] = movers
        self.past.reorder_cache(order)
        self.real = self.real[order]


class Recompute:
    """The model as the sampler uses it, without a cache. Rows are right-padded: no token sees the tokens after it."""

    joins = False

    def __init__(self, model: CausalLM) -> None:
        self.model, self.device, self.columns = model, model.device, 0

    def reserve(self, size: int, columns: int) -> bool:
        """Stores the number of columns; `fill` allocates the memory."""
        self.columns = columns
        return False

    def prefill(self, tokens: Int[Tensor, "prompts time"], lengths: Int[Tensor, " prompts"]) -> Prefilled:
        """Reads the prompts in one forward pass. Only their tokens are kept, as there is no cache."""
        real = torch.arange(tokens.shape[1], device=self.device) < lengths[:, None]
        return Prefilled(self.logits(tokens, lengths), lengths, tokens, real)

    def fill(self, prompts: Prefilled, index: Int[Tensor, " rows"], first: int) -> None:
        """Gives row i the tokens of prompt index[i], with room for the tokens that will be drawn."""
        assert first == 0, "rows of this decoder begin together"
        texts = prompts.past[index]
        self.texts = torch.nn.functional.pad(texts, (0, max(0, self.columns - texts.shape[1])))

    def step(
        self, tokens: Int[Tensor, " rows"], positions: Int[Tensor, " rows"], spans: object
    ) -> Float[Tensor, "rows vocab"]:
        """Writes one token at the end of each text; returns the logits of the next token."""
        self.texts.scatter_(1, positions[:, None], tokens[:, None])
        return self.logits(self.texts, positions + 1)

    def logits(self, texts: Int[Tensor, "rows time"], lengths: Int[Tensor, " rows"]) -> Float[Tensor, "rows vocab"]:
        """The logits after the first lengths[i] tokens of row i, computed for a few rows at a time."""
        texts = texts[:, : int(lengths.max())]
        rows = max(1, ROOM // texts.shape[1])
        parts = [self._last(*part) for part in zip(texts.split(rows), lengths.split(rows), strict=True)]
        return torch.cat(parts)

    def _last(self, texts: Tensor, lengths: Tensor) -> Tensor:
        last = (torch.arange(len(texts), device=self.device), lengths - 1)
        head = output_head(self.model)
        if head is not None:
            return head.logits(hidden_states(self.model, texts)[last])
        with autocast(texts.device):
            return self.model(input_ids=texts, use_cache=False).logits[last]

    def keep(self, rows: int, holes: Int[Tensor, " moved"], movers: Int[Tensor, " moved"], columns: int) -> None:
        """Moves the rows `movers` into the places `holes`; then the first `rows` rows stay, and the others leave."""
        self.texts[holes] = self.texts[movers]
        self.texts = self.texts[:rows]
