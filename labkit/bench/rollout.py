"""Rollouts: labkit's sampler beside `generate` of transformers."""

import dataclasses

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import GenerationConfig

from labkit.bench.ceiling import ceilings
from labkit.bench.race import Row, Side, Work, Workload, make_rows, race
from labkit.models import Policy, autocast
from labkit.rollouts import Rollouts
from labkit.sampling import sample

NO_TOKEN = 2**31 - 1  # an id beyond every vocabulary: no row ever draws it


def bench_rollout(workload: Workload, peers: list[str], full_length: bool = False) -> list[Row]:
    """One row a side; see `run_bench`."""
    if full_length:
        workload = dataclasses.replace(workload, policy=without_eos(workload.policy))
    sides = [labkit_side(workload), *(transformers_side(workload, peer) for peer in peers)]
    trials = race(sides, workload.repeats, workload.policy.device)
    decoding, _ = ceilings(workload.policy.model)
    what = "rollout-full" if full_length else "rollout"
    return make_rows(what, trials, {side.name: side.notes for side in sides}, decoding)


def without_eos(policy: Policy) -> Policy:
    """The same policy with nothing that could end a row but the token limit."""
    endless = Policy(policy.model, policy.tokenizer, policy.name)
    endless.eos_ids = frozenset({NO_TOKEN})
    return endless


def labkit_side(workload: Workload) -> Side:
    """`labkit.sample`, from text to rollouts: tokenising, log-probs and decoding of text are timed too."""
    policy = workload.policy
    batches = [[p.prompt for p in workload.problems(turn)] for turn in range(workload.repeats + 1)]

    def run(turn: int) -> Rollouts:
        return sample(
            policy,
            batches[turn],
            n=workload.samples,
            max_new_tokens=workload.max_new_tokens,
            seed=workload.seed + turn,
        )

    return Side("labkit", run, lambda rollouts: work_of(policy, rollouts), "text in, text and log-probs out")


def work_of(policy: Policy, rollouts: Rollouts, samples: int | None = None) -> Work:
    """What sampling these rollouts was."""
    each = samples or int((rollouts.groups == 0).sum())
    return Work([len(policy.encode(p)) for p in rollouts.prompts[::each]], rollouts.lengths.tolist())


def transformers_side(workload: Workload, name: str) -> Side:
    """`model.generate` on prompts that are already tokenised and left-padded; only generation is timed."""
    policy, static = workload.policy, name == "transformers-static"
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
