"""The sampler: from prompts to rollouts, for any causal language model of transformers.

What makes it fast, and the module that does it:

- A key-value cache lets each step read only one new token per row. It is allocated once and written in place (`fused`).
- Many rows are decoded at once, in slots (`slots`). One pass reads a prompt for its whole group (`batching`).
- Rows that have ended leave, and waiting rows take their slots (`batching`: `retire` and `admit`).
- Llama-shaped models run with fewer and larger operations than in transformers (`fused`, `weights`). Other models run
  with transformers' own forward pass (`plain`, `own`).
- On CUDA each step replays a captured graph, and Python does not wait for the device at every step (`stepping`).

On purpose, the sampler has no beam search, no repetition penalties and no speculative decoding.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

import torch

from labkit.device import out_of_memory
from labkit.errors import UserError
from labkit.models import Policy, merged_adapters
from labkit.models.trunk import CausalLM
from labkit.models.vocabulary import tokens_without_text
from labkit.progress import progress
from labkit.rollouts import Rollouts
from labkit.sampling.batching import ContinuousBatch, Drawn
from labkit.sampling.choose import SamplingOptions, uniforms
from labkit.sampling.stopping import StopStrings
from labkit.sampling.workspace import (
    affordable_slots,
    default_slots,
    fewer_slots,
    keeps_buffers,
    tell_if_plain,
    workspace,
)
from labkit.threads import yielding

Result = TypeVar("Result")


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
    slots: int | None = None,
    watch: Callable[[list[list[int]]], None] | None = None,
) -> Rollouts:
    """Samples n completions of every prompt. Row i of the result belongs to prompt i // n.

    A row ends with the model's eos token, with the token that completes one of the `stop` strings (the string stays in
    the completion), or after `max_new_tokens` tokens. Only in the last case is it marked as truncated. Log-probs (nats)
    are those of the distribution at this temperature, before top-p, top-k and min-p.

    `begin`: one text per prompt, with which the completion begins ("" for none). The text is encoded after the prompt,
    without special tokens. It is not sampled: the mask leaves it out, and `completions` holds only the text after it.

    `slots`: how many rows are decoded at once, at most; the other rows wait for a free slot. None: the default of the
    device. A row's sample depends only on `seed`, its prompt and its number in the group. The other rows of the batch
    and `slots` change it by rounding alone. (In float32 the log-probs agree to about 1e-5, and a draw changes only if
    its random number falls on the edge between two tokens. On CUDA, in bfloat16, the log-probs agree to about 0.05, so
    more draws change.) If there is not enough memory for so many rows, one line says so, and sampling begins again with
    half of the slots.

    `watch`: a function that is called after each look at the rows, with the tokens that each row has so far. On a CPU,
    without stop strings, there is a look after every token. Each call copies all tokens: use it for a few rows.

    `timings` of the result holds two times in seconds: "prefill" for the forward passes over the prompts, "decode" for
    the steps after them. Raises UserError for an option out of range, and for a prompt that does not fit into the
    model's context; NotFiniteError if the model's logits are NaN or infinite; RunError if memory is too short for one
    row.
    """
    options = SamplingOptions(temperature, top_p, top_k, min_p)
    if n < 1 or max_new_tokens < 1:
        raise UserError(f"n and max_new_tokens must be 1 or more, not {n} and {max_new_tokens}")
    encoded = encode(policy, prompts, begin)
    check_lengths(policy, prompts, encoded, max_new_tokens)
    if not prompts:
        raise UserError("no prompts to sample from")
    if slots is not None and slots < 1:
        raise UserError(f"slots must be 1 or more, not {slots}")
    stops = StopStrings(policy.tokenizer, tuple(stop)) if stop else None
    with merged_adapters(policy.model):  # the fused decoder reads the weights, so LoRA adapters must be in them
        drawn = decode(policy, encoded, n, max_new_tokens, options, stops, seed, slots, watch)
    return assemble(policy, prompts, encoded, n, drawn)


def encode(policy: Policy, prompts: list[str], begin: list[str] | None = None) -> list[list[int]]:
    """The token ids of each prompt, followed by those of its `begin` text. Raises UserError for an unfit `begin`."""
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
    """Raises UserError if a prompt is empty, or if prompt and completion do not fit into the model's context."""
    for prompt, ids in zip(prompts, encoded, strict=True):
        if not ids:
            raise UserError("an empty prompt: this tokenizer adds no <bos>, so there is nothing to continue")
        if len(ids) + max_new_tokens > policy.context_length:
            raise UserError(
                f"prompt {prompt[:40]!r} has {len(ids)} tokens; with max_new_tokens={max_new_tokens} it exceeds the "
                f"context of {policy.context_length} of model {policy.name!r}: shorten the prompt or max_new_tokens"
            )


@torch.inference_mode()
def decode(
    policy: Policy,
    encoded: list[list[int]],
    n: int,
    steps: int,
    options: SamplingOptions,
    stops: StopStrings | None,
    seed: int,
    slots: int | None,
    watch: Callable[[list[list[int]]], None] | None = None,
) -> Drawn:
    """Draws n completions of at most `steps` tokens after each encoded prompt."""
    model, columns = policy.model, max(map(len, encoded)) + steps
    size = affordable_slots(model, min(slots or default_slots(model, columns), len(encoded) * n), columns)
    noise = uniforms(encoded, n, steps, seed).to(policy.device)
    tell_if_plain(model)

    def draw(size: int) -> Drawn:
        space = workspace(model)
        alone = yielding() if policy.device.type == "cpu" else nullcontext(lambda: None)
        told = progress(f"sampling {len(noise)} answers", len(noise))
        with space.lock, alone as look_around, told as bar:
            space.prepare(model, size, steps, columns)
            assert space.slots is not None and space.stepper is not None
            space.slots.prepare(options, tuple(sorted(policy.eos_ids)), steps, tokens_without_text(model))
            batch = ContinuousBatch(space.decoder, space.slots, space.stepper, encoded, n, noise, stops, size)

            def looked() -> None:
                look_around()
                bar.reach(batch.share * len(noise))
                if watch is not None:
                    watch(batch.texts())

            return batch.run(looked)

    return in_slots_that_fit(model, size, columns, draw)


def in_slots_that_fit(model: CausalLM, size: int, columns: int, work: Callable[[int], Result]) -> Result:
    """Returns work(slots): with `size` slots, or with half of them as long as there is not enough memory."""
    while True:
        try:
            return work(size)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        # The error keeps the tensors of the failed attempt alive. After the except block it is gone.
        size = fewer_slots(model, size, columns)


@torch.no_grad()
def reserve(policy: Policy, rows: int, prompt_tokens: int, new_tokens: int) -> None:
    """Allocates the buffers that `sample` will keep for so many rows, prompts of so many tokens and their completions.

    Does nothing where they cost nothing before they are used (on a CPU), or are not kept.
    """
    model, columns = policy.model, prompt_tokens + new_tokens
    if not keeps_buffers(model):
        return
    size = affordable_slots(model, min(default_slots(model, columns), rows), columns)
    with torch.inference_mode(), merged_adapters(model):
        in_slots_that_fit(model, size, columns, lambda size: workspace(model).prepare(model, size, new_tokens, columns))


def assemble(policy: Policy, prompts: list[str], encoded: list[list[int]], n: int, drawn: Drawn) -> Rollouts:
    """Builds right-padded rollouts from the prompts and the drawn tokens."""
    device, batch = policy.device, len(prompts) * n
    starts = torch.tensor([len(ids) for ids in encoded]).repeat_interleave(n)
    lengths = drawn.lengths.to("cpu", copy=True)
    ends = starts + lengths
    rows = torch.full((batch, int(ends.max())), policy.pad_id)
    for i, ids in enumerate(encoded):
        rows[i * n : (i + 1) * n, : len(ids)] = torch.tensor(ids)
    columns = torch.arange(rows.shape[1])
    mask = (columns >= starts[:, None]) & (columns < (starts + lengths)[:, None])
    chosen = torch.arange(drawn.tokens.shape[1]) < lengths[:, None]
    # Indexing with a mask goes row by row, so both masks give the tokens in the same order.
    rows[mask] = drawn.tokens.cpu()[chosen]
    row_logprobs = torch.zeros(rows.shape)
    row_logprobs[mask] = drawn.logprobs.cpu()[chosen]
    completions = [ids[:length] for ids, length in zip(drawn.tokens.tolist(), lengths.tolist(), strict=True)]
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
