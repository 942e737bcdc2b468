"""Decoding with transformers' own forward pass: for any causal language model.

This module serves models that the fused decoder does not know (sliding windows, learned positions, other activations).
Rows are left-padded. So all rows write into the same column of the cache, and the distance between two columns equals
the distance between their tokens in the text. As in the fused decoder, a prompt is read once for its group, the cache
is allocated once, and finished rows leave. But new rows wait until all slots are free, and there are no CUDA graphs.
"""

import inspect
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.models import autocast
from labkit.models.trunk import CausalLM
from labkit.sampling.cache import RowCache


@dataclass
class PlainPrefilled:
    """Prompts after their forward pass: next-token logits, lengths, the cache, and which of its columns are real.

    A column is real if it holds a token of the text, and not padding.
    """

    logits: Float[Tensor, "prompts vocab"]
    lengths: Int[Tensor, " prompts"]
    past: RowCache
    real: Bool[Tensor, "prompts columns"]


class PlainDecoder:
    """The model as the sampler uses it; see `FusedDecoder`."""

    joins = False

    def __init__(self, model: CausalLM) -> None:
        self.model, self.device = model, model.device
        self.layers = model.config.get_text_config().num_hidden_layers
        self.takes_4d_mask = plain_attention(model)
        self.takes_positions = "position_ids" in inspect.signature(model.forward).parameters

    def reserve(self, size: int, columns: int) -> bool:
        """Stores the number of columns; `fill` allocates the memory."""
        self.columns = columns
        return False

    def prefill(self, tokens: Int[Tensor, "prompts time"], lengths: Int[Tensor, " prompts"]) -> PlainPrefilled:
        """Reads the prompts, which come right-padded, in one forward pass. Positions count only real tokens."""
        time = tokens.shape[1]
        columns = torch.arange(time, device=self.device)
        shift = (time - lengths)[:, None]
        real = columns >= shift
        tokens = tokens.gather(1, (columns - shift) % time)  # the padding goes to the left
        cache = RowCache(self.layers, time)
        logits = self.forward(tokens, None if bool(real.all()) else real, (columns - shift).clamp(min=0), cache)
        return PlainPrefilled(logits, lengths, cache, real)

    def fill(self, prompts: PlainPrefilled, index: Int[Tensor, " rows"], first: int) -> None:
        """Gives row i a copy of the cache of prompt index[i], with room for the tokens that will be drawn."""
        assert first == 0, "rows of this decoder begin together"
        self.cache = prompts.past.expand(index, self.columns)
        real = prompts.real[index]
        room = real.new_ones(len(index), self.columns - real.shape[1])
        self.real = None if bool(prompts.real.all()) else torch.cat([real, room], 1)

    def step(
        self, tokens: Int[Tensor, " rows"], positions: Int[Tensor, " rows"], spans: object
    ) -> Float[Tensor, "rows vocab"]:
        """Feeds one token per row; returns the logits of the next token."""
        mask = None if self.real is None else self.real[:, : self.cache.get_seq_length() + 1]
        if mask is not None and self.takes_4d_mask:
            mask = mask[:, None, None, :]
        return self.forward(tokens[:, None], mask, positions[:, None], self.cache)

    def forward(self, tokens: Tensor, mask: Tensor | None, positions: Tensor, cache: RowCache) -> Tensor:
        """The next-token logits, [rows, vocab], after `tokens`. The cache grows by these tokens."""
        extra = {"position_ids": positions} if self.takes_positions else {}
        with autocast(tokens.device):
            out = self.model(input_ids=tokens, attention_mask=mask, past_key_values=cache, use_cache=True, **extra)
        return out.logits[:, -1]

    def keep(self, rows: int, holes: Int[Tensor, " moved"], movers: Int[Tensor, " moved"], columns: int) -> None:
        """Moves the rows `movers` into the places `holes`; then the first `rows` rows stay, and the others leave."""
        self.cache.keep(rows, holes, movers)
        if self.real is not None:
            self.real[holes] = self.real[movers]
            self.real = self.real[:rows]


def plain_attention(model: CausalLM) -> bool:
    """Whether all layers attend to the whole past, through PyTorch's sdpa. Then one boolean mask serves them all.

    Other models (sliding windows, ALiBi, eager attention) get a mask of the real columns, [rows, columns], from which
    each layer makes its own mask.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    rotary = hasattr(config, "rope_parameters")
    return config._attn_implementation == "sdpa" and kinds == {"full_attention"} and not windowed and rotary
