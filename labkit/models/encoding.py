"""Prompt and reply as token ids: the template once, the eos at the end, and where the reply begins."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

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
    found = policy.tokenizer("".join(steps), add_special_tokens=False, return_offsets_mapping=True)
    offsets, ends, length = found["offset_mapping"], [], 0
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


def tokens_and_mask(
    prompts: Sequence[Sequence[int]],
    replies: Sequence[Sequence[int]],
    pad_with: int | PreTrainedTokenizerBase,
    device: torch.device | str = "cpu",
) -> tuple[Int[Tensor, "batch time"], Bool[Tensor, "batch time"]]:
    """Ids of prompts and of replies as right-padded tokens, and a mask that is True for the tokens of the replies.

    `prompts[i]` and `replies[i]` are token ids. Put the eos at the end of a reply that is finished. `pad_with` is the
    id to pad with, or a tokenizer: then its pad token, or its eos if it has no pad token. Both results are
    [batch, time], where time is the largest sum of the lengths of a prompt and its reply.

    Column t of both is about token t itself. `token_logprobs` takes them and gives the log-prob of `tokens[:, t]` in
    column t, so there is nothing to shift. Raises UserError unless there is one reply per prompt and at least one
    prompt, for a prompt without a token (nothing would predict the first token of its reply: begin the prompt with the
    bos), and for a tokenizer that has neither a pad token nor an eos.

    >>> tokens, mask = tokens_and_mask([[5, 6, 7], [8]], [[1, 2], [3]], pad_with=0)
    >>> tokens.tolist()
    [[5, 6, 7, 1, 2], [8, 3, 0, 0, 0]]
    >>> mask.int().tolist()
    [[0, 0, 0, 1, 1], [0, 1, 0, 0, 0]]
    """
    if len(prompts) != len(replies):
        raise UserError(f"{len(prompts)} prompts and {len(replies)} replies: give one reply per prompt")
    if not len(prompts):
        raise UserError("there is no prompt and no reply: give at least one of each")
    for i, prompt in enumerate(prompts):
        if not len(prompt):
            raise UserError(f"prompt {i} has no token: begin it with the tokenizer's bos")
    if isinstance(pad_with, PreTrainedTokenizerBase):
        found = pad_with.eos_token_id if pad_with.pad_token_id is None else pad_with.pad_token_id
        if not isinstance(found, int):
            raise UserError("the tokenizer has neither a pad token nor an eos: give the id to pad with")
        pad_with = found
    rows = [[int(token) for token in (*prompt, *reply)] for prompt, reply in zip(prompts, replies, strict=True)]
    tokens, ends = pad(rows, pad_with, torch.device(device))
    starts = torch.tensor([len(prompt) for prompt in prompts], device=device)
    column = torch.arange(tokens.shape[1], device=device)  # [time]
    return tokens, (column >= starts[:, None]) & (column < ends[:, None])


def concatenate_and_cut(documents: Iterable[Sequence[int]], length: int, *, drop_last: bool = True) -> list[list[int]]:
    """All documents as one stream of ids, cut into rows of `length` tokens: packing without padding.

    Pretraining packs in this way (Brown et al. 2020, "Language models are few-shot learners", appendix B); TRL calls it
    `wrapped`. There is no padding, but a document may be cut at any token, and a token sees the documents that precede
    its own in the row. Put the bos or eos of each document into its ids. The SFT trainer packs in another way: it keeps
    documents whole, and no document sees another.

    `drop_last` leaves out a last row that is shorter than the others. To pack a mask of the same lengths, call the
    function a second time with it. Raises UserError for a length below 1.

    >>> concatenate_and_cut([[1, 2, 3, 0], [4, 0], [5, 6, 0]], 4)
    [[1, 2, 3, 0], [4, 0, 5, 6]]
    >>> concatenate_and_cut([[1, 2, 3, 0], [4, 0], [5, 6, 0]], 4, drop_last=False)
    [[1, 2, 3, 0], [4, 0, 5, 6], [0]]
    """
    if length < 1:
        raise UserError(f"length={length} must be at least 1 token")
    stream = list(chain.from_iterable(documents))
    end = len(stream) - len(stream) % length if drop_last else len(stream)
    return [stream[at : at + length] for at in range(0, end, length)]
