"""The frozen reference of preference losses: log-probs of whole replies, computed once and kept in the run folder."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from labkit.models import Encoded, Policy, pad, token_logprobs
from labkit.training.loop.memory import Budget
from labkit.training.loop.microbatches import microbatches
from labkit.training.rows.sft import reply_mask

CACHE = "reference_logprobs.safetensors"
Pairs = list[tuple[Encoded, ...]]


def reply_logprobs(policy: Policy, rows: list[Encoded]) -> tuple[Tensor, Tensor]:
    """Log-prob (nats) of each row's reply, summed over its tokens, and their number; [rows] each. Differentiable."""
    tokens, _ = pad([row.ids for row in rows], policy.pad_id, policy.device)
    mask = reply_mask(rows, tokens)
    return torch.where(mask, token_logprobs(policy.model, tokens), 0.0).sum(1), mask.sum(1)


@torch.no_grad()
def logprobs_of(policy: Policy, rows: list[Encoded], budget: Budget) -> Tensor:
    """`reply_logprobs` of many rows, in micro-batches, without gradient."""
    lengths = torch.tensor([len(row) for row in rows])

    def compute(tokens: int) -> Tensor:
        found = torch.zeros(len(rows), device=policy.device)
        for part in microbatches(lengths, tokens):
            found[part.to(policy.device)] = reply_logprobs(policy, [rows[i] for i in part.tolist()])[0]
        return found

    return budget.fit(compute, lengths)


class Reference:
    """Log-probs of all replies of a data set under the frozen model. `prepare` comes before the first step."""

    def __init__(self, policy: Policy, splits: dict[str, Pairs], budget: Budget) -> None:
        self.policy, self.splits, self.budget = policy, splits, budget
        self.table: dict[str, Tensor] = {}

    def prepare(self, run: Path) -> None:
        """Computes the log-probs, or reads what an earlier part of the run has computed for the same rows."""
        file, print_ = run / CACHE, self._fingerprint()
        if file.exists():
            try:
                table = load_file(file, device=str(self.policy.device))
            except SafetensorError:  # written half by a run that was killed: compute it again
                table = {}
            if table.pop("rows", torch.zeros(0)).cpu().tolist() == print_.tolist():
                self.table = table
                return
        for split, rows in self.splits.items():
            sides = [logprobs_of(self.policy, list(side), self.budget) for side in zip(*rows, strict=True)]
            self.table[split] = torch.stack(sides) if sides else torch.zeros(0, 0)
        aside = file.with_name(f".{file.name}.part")
        save_file({**{key: value.cpu() for key, value in self.table.items()}, "rows": print_}, aside)
        aside.replace(file)

    def logprobs(self, split: str, rows: list[int]) -> Tensor:
        """[replies, rows]: one line for the chosen and one for the rejected replies, or one alone."""
        return self.table[split][:, rows]

    def _fingerprint(self) -> Tensor:
        text = repr([(split, [[one.ids for one in row] for row in rows]) for split, rows in self.splits.items()])
        return torch.tensor(list(hashlib.blake2b(text.encode(), digest_size=16).digest()), dtype=torch.uint8)
