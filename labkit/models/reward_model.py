"""A reward model: a causal language model with a scalar head, read at the last token of a reply."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from labkit.errors import RunError, UserError
from labkit.models.encoding import encode_reply, pad
from labkit.models.heads import ScalarHead, hidden_states, hidden_width
from labkit.models.policy import Policy, load_policy, model_folder

HEAD = "reward_head.safetensors"


@dataclass
class RewardModel:
    """Scores replies: r(prompt, reply) is the head's number at the reply's last token, its eos.

    `policy` holds the language model below the head, its tokenizer and its name. Rewards have no unit and no zero:
    only their differences mean something (Bradley and Terry, 1952): sigmoid(r(a) - r(b)) is the chance that a is
    preferred to b.
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

    def rewards(self, tokens: Int[Tensor, "batch time"], lengths: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """The rewards of right-padded rows with so many tokens each. Differentiable."""
        hidden = hidden_states(self.policy.model, tokens)
        last = hidden[torch.arange(len(tokens), device=tokens.device), lengths - 1]
        return self.head(last)

    @torch.no_grad()
    def score(self, prompts: list[str], completions: list[str], batch_tokens: int = 8192) -> Float[Tensor, " batch"]:
        """The reward of each completion of its prompt, on the CPU.

        Each completion is read as if it had ended where it stops, its eos put behind it: one that a token limit cut
        off too. A row that does not fit into the model's context keeps its beginning. Raises UserError where the two
        lists have not one length.
        """
        if len(prompts) != len(completions):
            raise UserError(f"{len(prompts)} prompts and {len(completions)} completions: they must be as many")
        limit = self.policy.context_length
        rows = [encode_reply(self.policy, p, c).ids[:limit] for p, c in zip(prompts, completions, strict=True)]
        found = torch.zeros(len(rows))
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and len(rows[order[end]]) * (end + 1 - start) <= batch_tokens:
                end += 1
            part = order[start:end]
            tokens, lengths = pad([rows[i] for i in part], self.policy.pad_id, self.policy.device)
            found[part] = self.rewards(tokens, lengths).float().cpu()
            start = end
        return found

    def save(self, folder: Path) -> None:
        """Writes model, tokenizer and head, for `load_reward_model`."""
        self.policy.save(folder)
        save_file({key: value.contiguous() for key, value in self.head.state_dict().items()}, Path(folder) / HEAD)


def load_reward_model(where: object, device: str | None = None) -> RewardModel:
    """A reward model from a folder that `RewardModel.save` wrote, from a run folder (its newest checkpoint), or a Run.

    Raises UserError where there is none, RunError where its files are damaged.
    """
    if isinstance(where, RewardModel):
        return where
    name = str(getattr(where, "path", where))
    folder = model_folder(Path(name).expanduser())
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
