"""Prompt and reply as token ids: the template is applied once, the eos ends the reply, and its begin is recorded."""

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
    """A row of token ids. The first `start` ids are the prompt; the rest is the reply, with the eos.

    `cut` is True if the reply did not fit: then its end and the eos are missing. If the reply has several turns,
    `turns` holds the begin and the end of each turn of the assistant; the tokens between them belong to other roles.
    """

    ids: list[int]
    start: int
    cut: bool = False
    turns: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def taught(self) -> tuple[tuple[int, int], ...]:
        """The ranges of columns (begin, end) whose tokens are learnt.

        They are those of the reply, without column 0: nothing predicts the first token of a row.
        """
        return self.turns or ((max(self.start, 1), len(self.ids)),)


def encode_reply(
    policy: Policy,
    prompt: Dialogue,
    completion: Dialogue,
    limit: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Encoded:
    """The token ids of a prompt (with the template or <bos>, once) and of a reply to it, as the policy would write it.

    Prompt and reply are tokenised separately, because in sampling the policy continues the tokens of the prompt. The
    reply ends with the eos at which the sampler stops. If the row has more than `limit` tokens, its end is cut off, and
    the eos with it: a reply that was cut must not teach the policy where to stop. If the prompt alone has more, no
    reply is left, and `start` equals len(ids).

    Prompt and reply may be messages. A reply may have several turns: those of the assistant, and those of other roles
    between them. Then `turns` marks each turn of the assistant, with the eos that ends it. Some chat templates change
    earlier turns when a new one follows (Qwen3 drops their thoughts). Then only the last turn is marked, and the
    dialogue before it is written as the template writes it (see `tells_turns_apart`). Raises UserError as
    `Policy.encode` does, and for a model without an eos.
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
    """Encodes the dialogue piece by piece: the text before a turn of the assistant, the turn, the text before the next
    turn, and so on."""
    pieces = _pieces(policy, prompt, reply, options)
    if pieces is None:  # the template rewrites earlier turns: learn the last turn alone, after the rewritten text
        spoken = [i for i, message in enumerate(reply) if message["role"] == "assistant"]
        return encode_reply(policy, [*prompt, *reply[: spoken[-1]]], reply[spoken[-1]]["content"], None, options)
    ids, turns, templated = [], [], bool(policy.tokenizer.chat_template)
    for number, (before, said) in enumerate(pieces):
        first = number == 0 and not templated
        ids += list(policy.tokenizer(before, add_special_tokens=first)["input_ids"])
        if turns and ids[turns[-1][1]] in policy.eos_ids:  # the eos of the turn before also belongs to the assistant
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
    """For each turn of the assistant: the text before it that is in no earlier piece, and the text of the turn.

    None if the template rewrites earlier turns: the text before a turn then does not begin with the pieces before it.
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
    """The position of each step's last token, counted among the tokens of the reply.

    `steps` are the pieces of the reply, in order. The last step ends with the eos, which follows the reply's tokens. A
    token that covers text of two steps belongs to the first of them. Raises UserError if the tokenizer is not a fast
    one: only fast tokenizers tell which text a token covers.
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
    """Rows of different lengths as one right-padded tensor, and their lengths in tokens.

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
