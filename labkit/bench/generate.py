"""Rollouts by transformers: `generate` with a dynamic or a static cache, and `generate_batch`."""

import contextlib
import copy
import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from labkit.bench.race import Side, Work, Workload
from labkit.models import Policy, autocast


def transformers_side(workload: Workload, static: bool = False) -> Side:
    """`model.generate` on prompts that are already tokenised and left-padded; only generation is timed."""
    policy = workload.policy
    batches = [left_padded(policy, workload, turn) for turn in range(workload.repeats + 1)]
    config = generation_config(workload, static)

    def run(turn: int) -> tuple[int, Tensor]:
        tokens, mask = batches[turn]
        torch.manual_seed(workload.seed + turn)
        with torch.no_grad(), autocast(policy.device):
            out = policy.model.generate(input_ids=tokens, attention_mask=mask, generation_config=config)
        return turn, out[:, tokens.shape[1] :]

    def count(result: tuple[int, Tensor]) -> Work:
        turn, completions = result
        return Work(batches[turn][1].sum(1).tolist(), useful_lengths(completions, policy.eos_ids))

    compiled = "not compiled" if config.disable_compile else "compiled"
    cache = f"static cache, {compiled}" if static else "dynamic cache"
    name = "transformers-static" if static else "transformers"
    return Side(name, run, count, f"tokens in, tokens out; {cache}")


def left_padded(policy: Policy, workload: Workload, turn: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask [prompts, longest prompt] of a turn."""
    encoded = [policy.encode(problem.prompt) for problem in workload.problems(turn)]
    longest = max(map(len, encoded))
    tokens = [[policy.pad_id] * (longest - len(ids)) + ids for ids in encoded]
    mask = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in encoded]
    return torch.tensor(tokens, device=policy.device), torch.tensor(mask, device=policy.device)


def generation_config(workload: Workload, static: bool) -> GenerationConfig:
    """Plain sampling at temperature 1: all filters off (transformers' own default is top_k=50)."""
    return GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        num_return_sequences=workload.samples,
        max_new_tokens=workload.max_new_tokens,
        eos_token_id=sorted(workload.policy.eos_ids),
        pad_token_id=workload.policy.pad_id,
        cache_implementation="static" if static else None,
        # On a CPU, compiling takes longer than the benchmark, and a student's machine may have no compiler.
        disable_compile=workload.policy.device.type == "cpu",
    )


def useful_lengths(completions: Int[Tensor, "batch steps"], eos_ids: frozenset[int]) -> list[int]:
    """Tokens of each row up to its first end-of-sequence token, that one included; all of them without one.

    >>> useful_lengths(torch.tensor([[5, 2, 0, 0], [5, 5, 5, 5], [2, 2, 2, 0]]), frozenset({2}))
    [2, 4, 1]
    """
    ends = torch.isin(completions, torch.tensor(sorted(eos_ids), device=completions.device))
    before = (ends.cumsum(1) - ends.long()) == 0
    return before.sum(1).tolist()


def continuous_side(workload: Workload) -> Side:
    """`model.generate_batch`: paged cache, rows that end make room for waiting ones; only generation is timed.

    Its manager, with cache and CUDA graphs, is kept from turn to turn, as labkit keeps its own. It may change how the
    model attends, so it gets a copy. Its thread does not see autocast: it computes in the dtype of the weights.
    """
    policy, model = workload.policy, copy.deepcopy(workload.policy.model)
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)  # that the manager is kept is meant
    batches = [[policy.encode(p.prompt) for p in workload.problems(turn)] for turn in range(workload.repeats + 1)]
    config, sizes = generation_config(workload, static=False), cache_sizes(workload, batches)

    def run(turn: int) -> tuple[int, list[Any]]:
        torch.manual_seed(workload.seed + turn)
        options = {"generation_config": config, "continuous_batching_config": ContinuousBatchingConfig(**sizes)}
        # It prints when its thread dies; what went wrong is in the results.
        with contextlib.redirect_stdout(None):
            results = model.generate_batch(batches[turn], persistent_manager=True, **options)
        return turn, list(results.values())

    def count(result: tuple[int, list[Any]]) -> Work:
        turn, results = result
        failed = next((one.error for one in results if one.error is not None), None)
        if failed is not None or len(results) != workload.rows:
            raise RuntimeError(f"generate_batch returned {len(results)} of {workload.rows} rows: {failed}")
        prompts = [len(ids) for ids in batches[turn]]
        return Work(prompts, [len(one.generated_tokens) for one in results])

    said = "generate_batch, tokens in, tokens out; paged cache"
    return Side("transformers-continuous", run, count, said, model.destroy_cached_continuous_batching_manager)


def cache_sizes(workload: Workload, batches: list[list[list[int]]]) -> dict[str, Any]:
    """Sizes of the paged cache. On a GPU transformers' own choice within half of the free memory (it would take nine
    tenths, and the other sides run next to it); on a CPU, where all of the cache is masked at every step, just what the
    rows need."""
    if workload.policy.device.type != "cpu":
        return {"max_memory_percent": 0.5}
    page = 16
    longest = max(len(ids) for batch in batches for ids in batch) + workload.max_new_tokens
    return {
        "page_size": page,
        "num_blocks": workload.rows * -(-longest // page) + 8,
        "max_batch_tokens": max(256, workload.rows, longest),
    }


PEER_SIDES: dict[str, Callable[[Workload], Side]] = {
    "transformers": transformers_side,
    "transformers-static": functools.partial(transformers_side, static=True),
    "transformers-continuous": continuous_side,
}
