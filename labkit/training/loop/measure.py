"""The metrics of a step (time, rewards, lengths, behaviours), and the rollouts that are logged."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.algorithms import LOG_RATIO_LIMIT, zero_variance
from labkit.errors import NotFiniteError, RunError
from labkit.models import Policy
from labkit.rollouts import Rollouts
from labkit.tasks import Task


class Stopwatch:
    """Measures the seconds in each part of a step. Parts may be nested. If a part runs again, its times add up."""

    def __init__(self, device: torch.device | None = None) -> None:
        on_cuda = torch.cuda.is_available() if device is None else device.type == "cuda"
        self.wait = torch.cuda.synchronize if on_cuda else lambda: None
        self.started = time.perf_counter()
        self.parts: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Measures the time of a part. On a GPU it waits until the queued work is done."""
        start = time.perf_counter()
        yield
        self.wait()
        self.add(part, time.perf_counter() - start)

    def add(self, part: str, seconds: float) -> None:
        """Adds seconds that were measured elsewhere to a part."""
        self.parts[f"time_{part}"] = self.parts.get(f"time_{part}", 0.0) + seconds

    def begin(self, *parts: str) -> None:
        """Makes `read` report these parts even if no time is spent in them."""
        for part in parts:
            self.add(part, 0.0)

    def read(self, tokens: int, elsewhere: Mapping[str, float] | None = None) -> dict[str, float]:
        """The seconds of the step so far and of its parts, and its speed in sampled tokens per second.

        `elsewhere` holds the seconds of parts that other code has measured.
        """
        for part, seconds in (elsewhere or {}).items():
            self.add(part, seconds)
        total = time.perf_counter() - self.started
        return {"tokens_per_second": tokens / total, "seconds": total, **self.parts}


@dataclass
class Tally:
    """Statistics of micro-batches: means over tokens, and maxima.

    They stay on their device until they are read, so that the CPU does not wait for the GPU at every micro-batch.
    """

    sums: dict[str, Tensor] = field(default_factory=dict)
    maxima: dict[str, Tensor] = field(default_factory=dict)
    tokens: int = 0

    def add(self, stats: dict[str, Tensor], maxima: dict[str, Tensor], tokens: int) -> None:
        """Adds the statistics of one micro-batch of so many tokens."""
        self.merge(Tally({key: value.detach() * tokens for key, value in stats.items()}, dict(maxima), tokens))

    def merge(self, other: "Tally") -> None:
        """Adds the statistics of another tally."""
        self.tokens += other.tokens
        for key, value in other.sums.items():
            self.sums[key] = self.sums[key] + value if key in self.sums else value
        for key, value in other.maxima.items():
            self.maxima[key] = torch.maximum(self.maxima[key], value) if key in self.maxima else value

    def means(self) -> dict[str, float]:
        """Token means and maxima by name."""
        read = read_together([*self.sums.values(), *self.maxima.values()])
        means = {key: value / max(self.tokens, 1) for key, value in zip(self.sums, read, strict=False)}
        return means | dict(zip(self.maxima, read[len(self.sums) :], strict=True))


def read_together(values: Sequence[Tensor]) -> list[float]:
    """The numbers of tensors with one element each. Python waits for their device once, and not for each of them.

    >>> read_together([torch.tensor(0.5), torch.tensor([2])])
    [0.5, 2.0]
    """
    if not values:
        return []
    dtype = reduce(torch.promote_types, (value.dtype for value in values), torch.float32)
    return torch.stack([value.detach().to(values[0].device, dtype).reshape(()) for value in values]).tolist()


@torch.no_grad()
def mismatch(logprobs: Tensor, sampler: Tensor, mask: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The distance of the trainer's log-probs from the sampler's (nats), [batch, time] each, over the mask.

    Returns means and maxima for a `Tally`.
    """
    gap = torch.where(mask, logprobs - sampler, 0.0)
    weight = torch.where(mask, gap.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp(), 0.0)
    count = mask.sum().clamp(min=1)
    sums = {"mismatch_mean": gap.abs(), "weight": weight, "square": weight.square()}
    return {key: value.sum() / count for key, value in sums.items()}, {"mismatch_max": gap.abs().max()}


def mismatch_metrics(tally: Tally) -> dict[str, float]:
    """The mean and the largest distance (nats per token), and `ess`, the effective share of the tokens.

    ess = (sum w)^2 / (n sum w^2) with w = p_trainer / p_sampler.
    """
    means = tally.means()
    weight, square = means.pop("weight"), means.pop("square")
    return means | {"ess": weight**2 / square if square > 0 else 0.0}


def describe(rollouts: Rollouts, task: Task) -> dict[str, float]:
    """The metrics of a batch of rollouts: rewards, lengths (tokens), format, behaviours, groups without variance."""
    rewards, count = rollouts.rewards, len(rollouts)
    flat = zero_variance(rewards, rollouts.groups)
    metrics: dict[str, float] = {
        "reward_mean": float(rewards.mean()),
        "reward_std": float(rewards.std()) if count > 1 else 0.0,
        "pass_rate": float((rewards >= 1).float().mean()),
        "response_length": float(rollouts.lengths.float().mean()),
        "truncated": float(rollouts.truncated.float().mean()),
        "verifier_errors": sum("verifier_error" in s.parts for s in rollouts.scores or []),
        "zero_variance_groups": len(set(rollouts.groups[flat].tolist())),
        "tokens": int(rollouts.lengths.sum()),
        "prompt_tokens": prompt_tokens(rollouts),
    }
    golds = [s.parts["gold"] for s in rollouts.scores or [] if "gold" in s.parts]
    if golds:  # trained on a reward model or another verifier: the task's own score is logged too
        metrics["gold_mean"] = math.fsum(golds) / len(golds)
    if task.format is not None:
        metrics["format_rate"] = sum(task.format(text, None).reward for text in rollouts.completions) / count
    if task.behaviours is not None:
        seen = [task.behaviours(text) for text in rollouts.completions]
        metrics |= {key: math.fsum(b[key] for b in seen) / count for key in seen[0]}
    return metrics


def prompt_tokens(rollouts: Rollouts) -> int:
    """The number of tokens of the prompts. Each prompt counts once, for any number of samples."""
    by_group = dict(zip(rollouts.groups.tolist(), (rollouts.total_lengths - rollouts.lengths).tolist(), strict=True))
    return sum(by_group.values())


def refuse_broken_rewards(rollouts: Rollouts) -> None:
    """Raises RunError if a reward model returned NaN or infinity.

    Such a reward was replaced by 0, which has no meaning, so the policy must not learn from it.
    """
    broken = [i for i, s in enumerate(rollouts.scores or []) if "not_finite" in s.parts]
    if broken:
        raise RunError(
            f"the reward model returned NaN or infinity for {len(broken)} of {len(rollouts)} answers, first for "
            f"{rollouts.completions[broken[0]][:60]!r}: train it anew (lower its lr); the steps before are kept"
        )


def check_finite(numbers: object, what: str) -> None:
    """Raises NotFiniteError if one of the numbers is NaN or infinite. `what` names them in the error.

    `numbers` may be tensors, floats, or lists, tuples and dictionaries of them.
    """
    if isinstance(numbers, Mapping | tuple | list):
        for value in numbers.values() if isinstance(numbers, Mapping) else numbers:
            check_finite(value, what)
    elif isinstance(numbers, Tensor | float) and not bool(torch.as_tensor(numbers).isfinite().all()):
        raise NotFiniteError(what)


def records(
    rollouts: Rollouts,
    advantages: Float[Tensor, "batch time"],
    step: int,
    count: int,
    policy: Policy,
    process: Float[Tensor, "batch time"] | None = None,
) -> list[dict[str, Any]]:
    """The first `count` rollouts as plain data, for rollouts.jsonl; `advantage` is the mean over the row's tokens.

    `process` holds one reward per token, if there is a process reward model.
    """
    lines = []
    for i, score_ in enumerate((rollouts.scores or [])[:count]):
        mask = rollouts.mask[i]
        ids = rollouts.tokens[i][mask].tolist()
        group = int(rollouts.groups[i])
        shares = {} if process is None else {"process": [round(x, 4) for x in process[i][mask].tolist()]}
        lines.append(
            {
                "step": step,
                "group": group,
                "sample": sum(line["group"] == group for line in lines),
                "prompt": rollouts.prompts[i],
                "completion": rollouts.completions[i],
                "reward": score_.reward,
                "reason": score_.reason,
                "extracted": score_.extracted,
                "parts": dict(score_.parts),
                "advantage": round(float(advantages[i][mask].mean()) if mask.any() else 0.0, 4),
                "truncated": bool(rollouts.truncated[i]),
                "tokens": [policy.tokenizer.decode([t]) for t in ids],
                "logprobs": [round(x, 3) for x in rollouts.logprobs[i][mask].tolist()],
                **shares,
            }
        )
    return lines
