"""The one record that flows through everything: prompts, the completions of the policy, and their scores."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.tasks import Problem, Task
from labkit.verifiers import Score


@dataclass
class Rollouts:
    """A batch of prompts with their completions. Column t of every [batch, time] tensor is about token t itself.

    A row is its prompt, then its completion, then padding at the right. `mask` is True on the tokens that the policy
    chose, including the eos that it emitted; `logprobs` is 0 elsewhere. Rows with the same id in `groups` answer one
    prompt. A row is `truncated` when the token limit ended it, not the policy. `timings`: seconds of
    "prefill" and "decode", where they were measured.
    """

    tokens: Int[Tensor, "batch time"]
    mask: Bool[Tensor, "batch time"]
    logprobs: Float[Tensor, "batch time"]
    groups: Int[Tensor, " batch"]
    lengths: Int[Tensor, " batch"]
    truncated: Bool[Tensor, " batch"]
    prompts: list[str]
    completions: list[str]
    problems: list[Problem] | None = None
    scores: list[Score] | None = None
    timings: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def rewards(self) -> Float[Tensor, " batch"]:
        """The scores' rewards, on the tokens' device. Raises ValueError before scoring."""
        if self.scores is None:
            raise ValueError("these rollouts have no scores yet: call score(rollouts, task) first")
        return torch.tensor([s.reward for s in self.scores], dtype=torch.float32, device=self.tokens.device)

    @property
    def total_lengths(self) -> Int[Tensor, " batch"]:
        """Prompt and completion tokens of each row, padding left out."""
        columns = torch.arange(1, self.mask.shape[1] + 1, device=self.mask.device)
        return (self.mask * columns).amax(1)


def score(rollouts: Rollouts, task: Task, problems: list[Problem]) -> Rollouts:
    """The same rollouts with a score for each row; `problems[g]` is the problem of group g."""
    per_row = [problems[g] for g in rollouts.groups.tolist()]
    return replace(rollouts, problems=per_row, scores=task.score_all(rollouts.completions, per_row))
