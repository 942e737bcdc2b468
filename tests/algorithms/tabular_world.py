"""A world small enough to be summed over: a tabular softmax policy of which every answer can be listed."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class World:
    """All answers over a vocabulary of 3 up to `max_length` tokens; token 2 ends an answer (if `eos`).

    `prefix[i, t]` numbers the text before token t of answer i: the row of the logits that chose it.
    """

    tokens: Tensor
    mask: Tensor
    prefix: Tensor
    prefixes: list[tuple[int, ...]]
    theta: Tensor
    rewards: Tensor

    @classmethod
    def build(cls, max_length: int, eos: bool, seed: int = 0) -> "World":
        answers = []
        for answer in itertools.product(range(3), repeat=max_length):
            if eos and 2 in answer:
                answer = answer[: answer.index(2) + 1]
            if answer not in answers:
                answers.append(answer)
        prefixes = sorted({a[:t] for a in answers for t in range(len(a))}, key=lambda p: (len(p), p))
        shape = (len(answers), max_length)
        tokens, prefix = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        mask = torch.zeros(shape, dtype=torch.bool)
        for i, answer in enumerate(answers):
            for t, token in enumerate(answer):
                tokens[i, t], prefix[i, t], mask[i, t] = token, prefixes.index(answer[:t]), True
        generator = torch.Generator().manual_seed(seed)
        theta = torch.randn(len(prefixes), 3, generator=generator, dtype=torch.float64)
        rewards = torch.randn(len(answers), generator=generator, dtype=torch.float64)
        return cls(tokens, mask, prefix, prefixes, theta.requires_grad_(), rewards)

    def other_theta(self, seed: int = 7, size: float = 0.5) -> Tensor:
        """Logits of a second policy, near the first."""
        generator = torch.Generator().manual_seed(seed)
        return self.theta.detach() + size * torch.randn(self.theta.shape, generator=generator, dtype=torch.float64)

    def logprobs(self, theta: Tensor) -> Tensor:
        """Log-prob of every token of every answer [answers, time], 0 outside the mask."""
        chosen = torch.log_softmax(theta, -1)[self.prefix, self.tokens]
        return torch.where(self.mask, chosen, 0.0)

    def probabilities(self, theta: Tensor) -> Tensor:
        return self.logprobs(theta).sum(1).exp()

    def gradient(self, value: Tensor, theta: Tensor | None = None) -> Tensor:
        return torch.autograd.grad(value, self.theta if theta is None else theta)[0]

    def exact_gradient(self, rewards: Tensor | None = None) -> Tensor:
        """Gradient of the expected reward, by summing over all answers."""
        rewards = self.rewards if rewards is None else rewards
        return self.gradient((self.probabilities(self.theta) * rewards).sum())

    def scores(self) -> Tensor:
        """Gradient of log p(answer) [answers, prefixes, 3] by hand: a token's one-hot minus probabilities."""
        p = torch.softmax(self.theta.detach(), -1)
        result = torch.zeros(len(self.tokens), *p.shape, dtype=torch.float64)
        for i, t in self.mask.nonzero().tolist():
            row = self.prefix[i, t]
            result[i, row] -= p[row]
            result[i, row, self.tokens[i, t]] += 1
        return result


def ragged_world() -> World:
    """15 answers of 1 to 3 tokens."""
    return World.build(max_length=3, eos=True)


def level_world() -> World:
    """9 answers of exactly 2 tokens."""
    return World.build(max_length=2, eos=False)


def bandit_world() -> World:
    """3 answers of one token."""
    return World.build(max_length=1, eos=False)
