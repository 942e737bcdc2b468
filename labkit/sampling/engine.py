"""The sampler: batched decoding with a key-value cache, for any causal language model of transformers.

What makes it fast: a prompt is prefilled once for its whole group; the cache is allocated once and written in place;
rows that have finished leave the batch at once, so that no step computes what nobody will read; for Llama-shaped models
on the CPU a step is written out in fewer operations (`fused`).

What is left out, on purpose: beam search, repetition penalties, speculative decoding.
"""

import inspect
import time
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from labkit.errors import UserError
from labkit.models import Policy, autocast, merged_adapters
from labkit.rollouts import Rollouts
from labkit.sampling.cache import RowCache, compaction
from labkit.sampling.choose import SamplingOptions, choose, uniforms
from labkit.sampling.fused import FusedDecoder
from labkit.sampling.stopping import StopStrings

COMPACT_SHARE = 32  # rows leave when one in so many has finished: less often saves copies, more often saves compute


@dataclass
class Drawn:
    """What the loop drew for each row; what lies behind a row's length means nothing."""

    tokens: Int[Tensor, "batch steps"]
    logprobs: Float[Tensor, "batch steps"]
    lengths: Int[Tensor, " batch"]
    ended: Bool[Tensor, " batch"]  # by the policy, not by the token limit
    timings: dict[str, float]  # seconds


@torch.no_grad()
def sample(
    policy: Policy,
    prompts: list[str],
    *,
    n: int = 1,
    max_new_tokens: int = 256,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    min_p: float = 0.0,
    stop: tuple[str, ...] | list[str] = (),
    seed: int = 0,
    begin: list[str] | None = None,
) -> Rollouts:
    """Samples n completions of every prompt; row i belongs to prompt i // n.

    `begin`: a text for each prompt that its completion already begins with ("" for none). It is encoded behind the
    prompt, without special tokens; it is not sampled: not in the mask, and `completions` holds what comes after it.

    A row ends with the model's eos token, after the token that completes one of the `stop` strings (which stays part
    of the completion), or at `max_new_tokens`, and is then marked as truncated. Log-probs are of the distribution at
    this temperature, before top-p, top-k and min-p. A row's sample depends on `seed`, its prompt and its number alone
    (up to rounding, not on the batch around it).

    `timings` of the result: seconds of the prompts' forward pass ("prefill") and of the steps after it ("decode").
    Raises UserError for options out of range and for a prompt that does not fit into the model's context.
    """
    options = SamplingOptions(temperature, top_p, top_k, min_p)
    if n < 1 or max_new_tokens < 1:
        raise UserError(f"n and max_new_tokens must be 1 or more, not {n} and {max_new_tokens}")
    encoded = encode(policy, prompts, begin)
    check_lengths(policy, prompts, encoded, max_new_tokens)
    if not prompts:
        raise UserError("no prompts to sample from")
    noise = uniforms(encoded, n, max_new_tokens, seed).to(policy.device)
    stops = StopStrings(policy.tokenizer, tuple(stop)) if stop else None
    with merged_adapters(policy.model):  # for LoRA; the fused decoder reads the weights
        drawn = decode(policy, encoded, n, noise, options, stops)
    return assemble(policy, prompts, encoded, n, drawn)


def encode(policy: Policy, prompts: list[str], begin: list[str] | None = None) -> list[list[int]]:
    """Token ids of each prompt, and behind them those of the text that its completion begins with."""
    encoded = [policy.encode(prompt) for prompt in prompts]
    if begin is None:
        return encoded
    if isinstance(begin, str) or len(begin) != len(prompts):
        raise UserError(f"begin must be a list with one text for each of the {len(prompts)} prompts")
    for text in begin:
        special = next((token for token in policy.tokenizer.all_special_tokens if token in text), None)
        if special is not None:
            raise UserError(f"begin contains the special token {special!r}: pass plain text")
    behind = [policy.tokenizer(text, add_special_tokens=False)["input_ids"] for text in begin]
    return [ids + list(more) for ids, more in zip(encoded, behind, strict=True)]


def check_lengths(policy: Policy, prompts: list[str], encoded: list[list[int]], max_new_tokens: int) -> None:
    """Raises UserError where a prompt is empty or prompt and completion exceed the model's context."""
    for prompt, ids in zip(prompts, encoded, strict=True):
        if not ids:
            raise UserError("an empty prompt: this tokenizer adds no <bos>, so there is nothing to continue")
        if len(ids) + max_new_tokens > policy.context_length:
            raise UserError(
                f"prompt {prompt[:40]!r} has {len(ids)} tokens; with max_new_tokens={max_new_tokens} it exceeds the "
                f"context of {policy.context_length} of model {policy.name!r}: shorten the prompt or max_new_tokens"
            )


def decode(
    policy: Policy,
    encoded: list[list[int]],
    n: int,
    noise: Float[Tensor, "batch steps"],
    options: SamplingOptions,
    stops: StopStrings | None,
) -> Drawn:
    """The decoding loop, over all rows of the batch."""
    device, (batch, steps) = policy.device, noise.shape
    tokens = torch.full((batch, steps), policy.pad_id, device=device)
    logprobs = torch.zeros(batch, steps, device=device)
    lengths = torch.full((batch,), steps, device=device)
    done = torch.zeros(batch, dtype=torch.bool, device=device)
    eos = torch.tensor(sorted(policy.eos_ids), device=device)
    started = clock(device)
    state = prefill(policy, encoded, n, steps)
    prefilled = clock(device)
    rows = torch.arange(batch, device=device)  # which of the batch's rows the state's rows are
    alive = torch.ones(batch, dtype=torch.bool, device=device)
    for step in range(steps):
        new, logprob = choose(state.logits, noise[rows, step], options)
        tokens[rows, step], logprobs[rows, step] = new, logprob
        ended = torch.isin(new, eos)
        if stops is not None:
            ended |= stops.completed(tokens, rows, step)
        just_ended = rows[ended & alive]
        lengths[just_ended], done[just_ended] = step + 1, True
        alive &= ~ended
        # Asking costs a wait for the device, which a GPU should not do at every step.
        if (step % 8 == 7 or device.type == "cpu") and step + 1 < steps:
            finished = len(rows) - int(alive.sum())
            if finished == len(rows):
                break
            if finished * COMPACT_SHARE >= len(rows):
                left, holes, movers = compaction(alive)
                rows[holes], new[holes] = rows[movers], new[movers]
                rows, new = rows[:left], new[:left]
                state.keep(left, holes, movers)
                alive = torch.ones(left, dtype=torch.bool, device=device)
        if step + 1 < steps:
            state.advance(new)
    timings = {"prefill": prefilled - started, "decode": clock(device) - prefilled}
    return Drawn(tokens, logprobs, lengths, done, timings)


def clock(device: torch.device) -> float:
    """Seconds, after all work that was given to the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@dataclass
class DecodingState:
    """The rows that are being sampled: cache, which columns of it are real, next positions, next-token logits."""

    model: nn.Module
    cache: RowCache
    columns: Bool[Tensor, "rows capacity"] | None  # None: no row is padded
    positions: Int[Tensor, " rows"]
    logits: Float[Tensor, "rows vocab"]
    takes_4d_mask: bool
    takes_positions: bool
    fused: FusedDecoder | None

    def advance(self, new: Int[Tensor, " rows"]) -> None:
        """Feeds one token a row, and leaves the logits of the next."""
        end = self.cache.get_seq_length() + 1
        mask = None if self.columns is None else self.columns[:, :end]
        if self.fused is not None:
            self.logits = self.fused.step(new, self.cache, mask, self.positions)
        else:
            if mask is not None and self.takes_4d_mask:
                mask = mask[:, None, None, :]
            self.logits = self.forward(new[:, None], mask, self.positions[:, None])
        self.positions = self.positions + 1

    def forward(self, tokens: Tensor, mask: Tensor | None, positions: Tensor) -> Float[Tensor, "rows vocab"]:
        """Next-token logits after `tokens`; the cache grows."""
        extra = {"position_ids": positions} if self.takes_positions else {}
        with autocast(tokens.device):
            out = self.model(input_ids=tokens, attention_mask=mask, past_key_values=self.cache, use_cache=True, **extra)
        return out.logits[:, -1]

    def expand(self, n: int, steps: int) -> None:
        """From one row a prompt to n."""
        self.cache.expand(n, steps)
        self.positions = self.positions.repeat_interleave(n)
        self.logits = self.logits.repeat_interleave(n, 0)
        if self.columns is not None:
            room = self.columns.new_ones(len(self.columns), steps)
            self.columns = torch.cat([self.columns, room], 1).repeat_interleave(n, 0)

    def keep(self, rows: int, holes: Int[Tensor, " moved"], movers: Int[Tensor, " moved"]) -> None:
        """Rows leave: see `RowCache.keep`."""
        self.cache.keep(rows, holes, movers)
        for name in ("positions", "columns"):
            tensor = getattr(self, name)
            if tensor is not None:
                tensor[holes] = tensor[movers]
                setattr(self, name, tensor[:rows])


def prefill(policy: Policy, encoded: list[list[int]], n: int, steps: int) -> DecodingState:
    """One forward pass over the (left-padded) prompts; then each row is repeated for its n samples.

    Left padding puts all rows' next token into the same cache column. Padded columns are masked, and positions count
    real tokens only.
    """
    longest = max(map(len, encoded))
    padded = [[policy.pad_id] * (longest - len(ids)) + ids for ids in encoded]
    tokens = torch.tensor(padded, device=policy.device)
    lengths = torch.tensor([len(ids) for ids in encoded], device=policy.device)
    real = torch.arange(longest, device=policy.device) >= (longest - lengths)[:, None]
    model, config = policy.model, policy.model.config
    parameters = inspect.signature(model.forward).parameters
    state = DecodingState(
        model=model,
        cache=RowCache(config.num_hidden_layers, longest),
        columns=None if bool(real.all()) else real,
        positions=lengths,
        logits=torch.empty(len(encoded), 0, device=policy.device),
        takes_4d_mask=plain_attention(model),
        takes_positions="position_ids" in parameters,
        fused=FusedDecoder(model) if FusedDecoder.serves(model) else None,
    )
    positions = (real.cumsum(1) - 1).clamp(min=0)
    state.logits = state.forward(tokens, None if state.columns is None else real, positions)
    state.expand(n, steps)
    return state


def plain_attention(model: nn.Module) -> bool:
    """Whether all layers attend to the whole past through sdpa, so that one boolean mask serves them all.

    Others (sliding windows, ALiBi, eager attention) get the 2-d mask of real columns and make their own of it.
    """
    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    rotary = hasattr(config, "rope_parameters")
    return config._attn_implementation == "sdpa" and kinds == {"full_attention"} and not windowed and rotary


def assemble(policy: Policy, prompts: list[str], encoded: list[list[int]], n: int, drawn: Drawn) -> Rollouts:
    """Right-padded rollouts from prompts and completions."""
    device, batch = policy.device, len(prompts) * n
    starts = torch.tensor([len(ids) for ids in encoded]).repeat_interleave(n)
    lengths, chosen, logprobs = drawn.lengths.cpu(), drawn.tokens.cpu(), drawn.logprobs.cpu()
    rows = torch.full((batch, int((starts + lengths).max())), policy.pad_id)
    row_logprobs = torch.zeros(rows.shape)
    for i, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
        rows[i, :start] = torch.tensor(encoded[i // n])
        rows[i, start : start + length] = chosen[i, :length]
        row_logprobs[i, start : start + length] = logprobs[i, :length]
    columns = torch.arange(rows.shape[1])
    mask = (columns >= starts[:, None]) & (columns < (starts + lengths)[:, None])
    completions = [row[:length].tolist() for row, length in zip(chosen, lengths.tolist(), strict=True)]
    return Rollouts(
        tokens=rows.to(device),
        mask=mask.to(device),
        logprobs=row_logprobs.to(device),
        groups=torch.arange(batch, device=device) // n,
        lengths=lengths.to(device),
        truncated=~drawn.ended,
        prompts=[prompt for prompt in prompts for _ in range(n)],
        completions=policy.tokenizer.batch_decode(completions, skip_special_tokens=True),
        timings=drawn.timings,
    )
