"""Prompt and reply as token ids: the template once, the eos at the end, and where the reply begins."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from labkit.errors import UserError
from labkit.models.chat import Dialogue, messages_of, refuse_special, render
from labkit.models.policy import Policy


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row of token ids whose first `start` ids are the prompt; the rest is the reply, the eos included.

    `cut`: the reply did not fit, so that its end and the eos are missing. `turns`: of a reply of several turns, where
    each turn of the assistant begins and ends; what lies between them was said by others.
    """

    ids: list[int]
    start: int
    cut: bool = False
    turns: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def taught(self) -> tuple[tuple[int, int], ...]:
        """The columns whose tokens are learnt: the reply's, but never the first of a row, which nothing predicts."""
        return self.turns or ((max(self.start, 1), len(self.ids)),)


def encode_reply(
    policy: Policy,
    prompt: Dialogue,
    completion: Dialogue,
    limit: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Encoded:
    """The ids of a prompt (template or <bos> applied once) and of a reply to it, as the policy would have written it.

    Prompt and reply are cut into tokens apart, since the policy continues the prompt's own tokens. The reply ends with
    the eos that the sampler stops at. What exceeds `limit` tokens is cut off at the end, the eos with it: a reply that
    was cut must not teach where to stop. A prompt that alone exceeds it leaves no reply: `start` is then len(ids).

    Both may be messages. Of a reply of several turns (the assistant's, and others' between them) each of the
    assistant's turns is marked in `turns`, with the eos that ends it. Where a chat template writes earlier turns
    otherwise than it had them written (Qwen3 leaves their thoughts out), only the last turn is marked, behind the
    dialogue as the template writes it: `tells_turns_apart`.
    """
    reply = messages_of(completion, "assistant")
    if len(reply) > 1:
        return _fitted(_several_turns(policy, messages_of(prompt), reply, options), limit)
    prompt_ids = policy.encode(prompt, options)
    ids = prompt_ids + _ids(policy, reply[0]["content"]) + [policy.eos_id]
    return _fitted(Encoded(ids, len(prompt_ids)), limit)


def _fitted(row: Encoded, limit: int | None) -> Encoded:
    if limit is None or len(row) <= limit:
        return row
    turns = tuple((begin, min(end, limit)) for begin, end in row.turns if begin < limit)
    return Encoded(row.ids[:limit], min(row.start, limit), True, turns)


def _ids(policy: Policy, text: str) -> list[int]:
    return list(policy.tokenizer(text, add_special_tokens=False)["input_ids"])


def _several_turns(
    policy: Policy, prompt: Sequence[Mapping[str, str]], reply: list[dict[str, str]], options: Mapping[str, Any] | None
) -> Encoded:
    """The dialogue, piece by piece: what stands before a turn of the assistant, what it says, what stands before the
    next."""
    pieces = _pieces(policy, prompt, reply, options)
    if pieces is None:  # the template rewrites what was said: then what a model sees before its last turn is that
        spoken = [i for i, message in enumerate(reply) if message["role"] == "assistant"]
        return encode_reply(policy, [*prompt, *reply[: spoken[-1]]], reply[spoken[-1]]["content"], None, options)
    ids, turns, templated = [], [], bool(policy.tokenizer.chat_template)
    for number, (before, said) in enumerate(pieces):
        first = number == 0 and not templated
        ids += list(policy.tokenizer(before, add_special_tokens=first)["input_ids"])
        if turns and ids[turns[-1][1]] in policy.eos_ids:  # the mark that ends the turn before is the assistant's too
            turns[-1] = (turns[-1][0], turns[-1][1] + 1)
        begin = len(ids)
        ids += _ids(policy, said)
        turns.append((begin, len(ids)))
    ids.append(policy.eos_id)
    turns[-1] = (turns[-1][0], len(ids))
    return Encoded(ids, turns[0][0], turns=tuple(turns))


def _pieces(
    policy: Policy, prompt: Sequence[Mapping[str, str]], reply: list[dict[str, str]], options: Mapping[str, Any] | None
) -> list[tuple[str, str]] | None:
    """For each turn of the assistant: the text before it that is not in an earlier piece, and what it says.

    None where the text before a turn does not begin with the turns before it, word for word.
    """
    pieces: list[tuple[str, str]] = []
    done = ""
    for number, message in enumerate(reply):
        refuse_special(policy.tokenizer, message["content"], f"a message of {message['role']}")
        if message["role"] != "assistant":
            continue
        before, templated = render(policy.tokenizer, [*prompt, *reply[:number]], options, script=True)
        if not before.startswith(done):
            return None
        pieces.append((before[len(done) :], message["content"].strip() if templated else f" {message['content']}"))
        done = before + pieces[-1][1]
    return pieces


def tells_turns_apart(
    policy: Policy, prompt: Dialogue, completion: Dialogue, options: Mapping[str, Any] | None = None
) -> bool:
    """Whether all turns of the assistant in a reply can be learnt at once; see `encode_reply`."""
    reply = messages_of(completion, "assistant")
    return len(reply) == 1 or _pieces(policy, messages_of(prompt), reply, options) is not None


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
