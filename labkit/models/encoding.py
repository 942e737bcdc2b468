"""Prompt and reply as token ids: the template once, the eos at the end, and where the reply begins."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from labkit.errors import UserError
from labkit.models.policy import Policy


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row of token ids whose first `start` ids are the prompt; the rest is the reply, the eos included.

    `cut`: the reply did not fit, so that its end and the eos are missing.
    """

    ids: list[int]
    start: int
    cut: bool = False

    def __len__(self) -> int:
        return len(self.ids)


def encode_reply(policy: Policy, prompt: str, completion: str, limit: int | None = None) -> Encoded:
    """The ids of a prompt (template or <bos> applied once) and of a reply to it, as the policy would have written it.

    Prompt and reply are cut into tokens apart, since the policy continues the prompt's own tokens. The reply ends with
    the eos that the sampler stops at. What exceeds `limit` tokens is cut off at the end, the eos with it: a reply that
    was cut must not teach where to stop. A prompt that alone exceeds it leaves no reply: `start` is then len(ids).
    """
    prompt_ids = policy.encode(prompt)
    reply = list(policy.tokenizer(completion, add_special_tokens=False)["input_ids"])
    ids = prompt_ids + reply + [policy.eos_id]
    cut = limit is not None and len(ids) > limit
    ids = ids[:limit] if cut else ids
    return Encoded(ids, min(len(prompt_ids), len(ids)), cut)


def step_ends(policy: Policy, steps: list[str]) -> list[int]:
    """Where each step of a reply ends: positions among the reply's tokens; the last step ends with the eos behind them.

    `steps` are the pieces of the reply, in order. Of a token that stands on the border of two steps, it is the first
    step's last. Raises UserError for a tokenizer that cannot say which text a token covers.
    """
    if not policy.tokenizer.is_fast:
        raise UserError(f"steps need a fast tokenizer, which that of model {policy.name!r} is not")
    encoded = policy.tokenizer("".join(steps), add_special_tokens=False, return_offsets_mapping=True)
    offsets, ends, length = encoded["offset_mapping"], [], 0
    for step in steps[:-1]:
        length += len(step)
        ends.append(next(i for i, (_, end) in enumerate(offsets) if end >= length))
    return [*ends, len(offsets)]


def pad(
    rows: list[list[int]], pad_id: int, device: torch.device
) -> tuple[Int[Tensor, "batch time"], Int[Tensor, " batch"]]:
    """Ragged rows as one right-padded tensor, and their lengths.

    >>> pad([[5, 6, 7], [8]], 0, torch.device("cpu"))[0].tolist()
    [[5, 6, 7], [8, 0, 0]]
    """
    lengths = torch.tensor([len(row) for row in rows])
    tokens = torch.full((len(rows), int(lengths.max())), pad_id)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row)
    return tokens.to(device), lengths.to(device)
