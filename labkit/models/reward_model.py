"""A reward model: a causal language model with a scalar head, read at the last token of a reply."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from labkit.errors import RunError, UserError
from labkit.models.encoding import Encoded, encode_reply, pad, step_ends
from labkit.models.heads import ScalarHead, hidden_width
from labkit.models.policy import Policy, load_policy, model_folder
from labkit.models.trunk import hidden_states
from labkit.paths import user_path
from labkit.progress import each

HEAD = "reward_head.safetensors"


@dataclass
class RewardModel:
    """Scores replies: r(prompt, reply) is the head's number at the reply's last token, its eos.

    `policy` holds the language model below the head, its tokenizer and its name. The rewards of a model that was
    trained on comparisons have no unit and no zero. Only their differences mean something: sigmoid(r(a) - r(b)) is the
    probability that a is preferred to b (Bradley and Terry, 1952). The number of a model that was trained on outcomes
    or on steps is a log-odds: sigmoid(r) is the probability that the answer, or the step, is right.
    """

    policy: Policy
    head: ScalarHead = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.head is None:
            self.head = ScalarHead(hidden_width(self.policy.model)).to(self.policy.device)

    @property
    def name(self) -> str:
        """The name of the model below the head."""
        return self.policy.name

    def token_rewards(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time"]:
        """The head's number at every token; rows are right-padded. Differentiable."""
        return self.head(hidden_states(self.policy.model, tokens))

    def rewards(self, tokens: Int[Tensor, "batch time"], lengths: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """The reward of each row: the number at its last token. Row i is right-padded and has lengths[i] tokens.

        Differentiable.
        """
        hidden = hidden_states(self.policy.model, tokens)
        last = hidden[torch.arange(len(tokens), device=tokens.device), lengths - 1]
        return self.head(last)

    @torch.no_grad()
    def score(self, prompts: list[str], completions: list[str], batch_tokens: int = 8192) -> Float[Tensor, " batch"]:
        """The reward of each completion, given its prompt, as a tensor on the CPU.

        An eos is put after each completion, also after one that a token limit cut off. If a row does not fit into the
        model's context, its end is cut off. A forward pass reads about `batch_tokens` tokens, padding included. Raises
        UserError if the two lists differ in length.
        """
        rows = self._encoded(prompts, completions)
        rewards = torch.zeros(len(rows))
        for part in each(_parts([len(row) for row in rows], batch_tokens), f"scoring {len(rows)} answers"):
            tokens, lengths = pad([rows[i].ids for i in part], self.policy.pad_id, self.policy.device)
            rewards[part] = self.rewards(tokens, lengths).float().cpu()
        return rewards

    @torch.no_grad()
    def score_tokens(self, prompts: list[str], completions: list[str], batch_tokens: int = 8192) -> list[list[float]]:
        """The head's number at each token of each completion, and at the eos that is put after it.

        Its meaning depends on the training. For a process reward model, the number at the end of a step is a log-odds
        that the step is right (see `score_steps`). A model that learnt only from the number at the eos has learnt
        nothing about the other tokens: their numbers have no meaning.
        """
        rows = self._encoded(prompts, completions)
        rewards: list[list[float]] = [[]] * len(rows)
        for part in each(_parts([len(row) for row in rows], batch_tokens), f"scoring {len(rows)} answers"):
            tokens, _ = pad([rows[i].ids for i in part], self.policy.pad_id, self.policy.device)
            for i, numbers in zip(part, self.token_rewards(tokens).float().tolist(), strict=True):
                rewards[i] = numbers[rows[i].start : len(rows[i])]
        return rewards

    def score_steps(self, prompts: list[str], steps: list[list[str]], batch_tokens: int = 8192) -> list[list[float]]:
        """The head's number at the end of each step of each completion. The last step ends at the eos.

        `steps` holds the pieces of each completion, for example its lines. Steps that end outside the model's context
        are left out.
        """
        numbers = self.score_tokens(prompts, ["".join(pieces) for pieces in steps], batch_tokens)
        ends = [step_ends(self.policy, pieces) for pieces in steps]
        return [[row[e] for e in positions if e < len(row)] for row, positions in zip(numbers, ends, strict=True)]

    def _encoded(self, prompts: list[str], completions: list[str]) -> list[Encoded]:
        if len(prompts) != len(completions):
            raise UserError(f"{len(prompts)} prompts and {len(completions)} completions: they must be as many")
        limit = self.policy.context_length
        return [encode_reply(self.policy, p, c, limit) for p, c in zip(prompts, completions, strict=True)]

    def save(self, folder: Path) -> None:
        """Writes model, tokenizer and head, for `load_reward_model`."""
        self.policy.save(folder)
        save_file({key: value.contiguous() for key, value in self.head.state_dict().items()}, Path(folder) / HEAD)


def _parts(lengths: list[int], batch_tokens: int) -> list[list[int]]:
    """The row numbers in parts, the shortest rows first. In each part, rows x longest row is at most `batch_tokens`.

    A row that is longer than this gets a part of its own.

    >>> _parts([5, 2, 4], 8)
    [[1, 2], [0]]
    """
    parts: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if parts and lengths[i] * (len(parts[-1]) + 1) <= batch_tokens:
            parts[-1].append(i)
        else:
            parts.append([i])
    return parts


def load_reward_model(where: object, device: str | None = None) -> RewardModel:
    """Loads a reward model from a folder of `RewardModel.save`, or from a run's newest checkpoint (a folder or a Run).

    Raises UserError if there is none, and RunError if its files are damaged.
    """
    if isinstance(where, RewardModel):
        return where
    name = str(getattr(where, "path", where))
    folder = model_folder(user_path(name))
    if not (folder / HEAD).exists():
        raise UserError(
            f"no reward model in {name}: it has no {HEAD}; train one with `labkit train reward-model-assistant-tiny`"
        )
    policy = load_policy(folder, device=device)
    policy.name = name
    model = RewardModel(policy)
    try:
        model.head.load_state_dict(load_file(folder / HEAD, device=str(policy.device)))
    except (SafetensorError, RuntimeError) as error:
        raise RunError(f"the head of the reward model {name} is damaged: {str(error).splitlines()[0]}") from error
    return model
