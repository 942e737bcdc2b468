"""Exercise of notebook 02: which tokens does a demonstration teach?"""

from __future__ import annotations

import random

import torch
from jaxtyping import Int
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def sft_labels(
    tokens: Int[Tensor, "batch time"], prompt_lengths: Int[Tensor, " batch"], lengths: Int[Tensor, " batch"]
) -> Int[Tensor, "batch time"]:
    columns = torch.arange(tokens.shape[1], device=tokens.device)
    reply = (columns >= prompt_lengths[:, None]) & (columns < lengths[:, None])
    return torch.where(reply, tokens, -100)


def _labels(tokens: Tensor, first: Tensor, end: Tensor) -> Tensor:
    columns = torch.arange(tokens.shape[1])
    return torch.where((columns >= first[:, None]) & (columns < end[:, None]), tokens, -100)


def _shifted(tokens: Tensor, prompt_lengths: Tensor, lengths: Tensor) -> Tensor:
    labels = sft_labels(tokens, prompt_lengths, lengths).roll(-1, 1)
    labels[:, -1] = -100
    return labels


def _random_rows(generator: random.Random) -> Case:
    batch, time, pad = generator.randint(1, 4), generator.randint(5, 9), generator.choice([0, 2])
    rows, prompts, lengths = [], [], []
    for _ in range(batch):
        prompt, reply = generator.randint(1, 3), generator.randint(1, time - 4)
        row = [generator.randint(3, 9) for _ in range(prompt + reply)] + [2]
        prompts.append(prompt)
        lengths.append(len(row))
        rows.append(row + [pad] * (time - len(row)))
    return Case((torch.tensor(rows), torch.tensor(prompts), torch.tensor(lengths)))


EXERCISE = Exercise(
    name="sft-labels",
    title="What a demonstration teaches",
    notebook="02_instruction_tuning",
    spec=(
        "Rows of `tokens` [batch, time] are prompt, reply (it ends in an eos), padding. Row i has `prompt_lengths[i]` "
        "tokens of prompt and `lengths[i]` tokens of prompt and reply together. Return the labels of SFT, [batch, "
        "time]: the token itself where it belongs to the reply, the eos included, and −100 elsewhere.\n\n"
        "- −100 is what PyTorch's cross-entropy and the trainers of transformers ignore.\n"
        "- Column t is about token t itself: those trainers shift by one on their own.\n"
        "- The padding may be the same token as the eos."
    ),
    stub=(
        "def sft_labels(\n"
        '    tokens: Int[Tensor, "b t"], prompt_lengths: Int[Tensor, " b"], lengths: Int[Tensor, " b"]\n'
        ') -> Int[Tensor, "b t"]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=sft_labels,
    literal=(
        Case(
            (torch.tensor([[7, 8, 5, 6, 2, 0]]), torch.tensor([2]), torch.tensor([5])),
            "prompt 7 8, reply 5 6 and its eos 2, then padding with 0",
        ),
        Case(
            (torch.tensor([[7, 8, 5, 6, 2, 2]]), torch.tensor([2]), torch.tensor([5])),
            "the eos 2 is the padding too: the first 2 counts, the second not",
        ),
        Case(
            (torch.tensor([[7, 5, 2, 0, 0], [7, 8, 9, 5, 2]]), torch.tensor([1, 3]), torch.tensor([3, 5])),
            "two rows of different lengths",
        ),
    ),
    random=_random_rows,
    misconceptions=(
        Misconception(
            "prompt-not-masked",
            lambda tokens, prompts, lengths: _labels(tokens, torch.zeros_like(prompts), lengths),
            "The prompt is among the labels: the model is taught to write what users ask, not only what to answer.",
        ),
        Misconception(
            "padding-not-masked",
            lambda tokens, prompts, lengths: _labels(tokens, prompts, torch.full_like(lengths, tokens.shape[1])),
            "The padding after the reply is among the labels: short replies teach mostly padding.",
        ),
        Misconception(
            "eos-left-out",
            lambda tokens, prompts, lengths: _labels(tokens, prompts, lengths - 1),
            "The eos at the end of the reply is missing: nothing teaches the model to stop.",
        ),
        Misconception(
            "by-value",
            lambda tokens, prompts, lengths: torch.where(
                (torch.arange(tokens.shape[1]) >= prompts[:, None]) & (tokens != tokens[:, -1:]), tokens, -100
            ),
            "The padding was found by its value. Where the eos is the padding token too, the real eos is thrown out "
            "with it: go by `lengths`.",
        ),
        Misconception(
            "shifted",
            _shifted,
            "The labels are shifted by one. The trainers that read labels shift them on their own; done twice, the "
            "model learns to forecast the token after the next.",
        ),
        Misconception(
            "starts-late",
            lambda tokens, prompts, lengths: _labels(tokens, prompts + 1, lengths),
            "The first token of the reply is missing. Columns count from 0: it stands at column `prompt_lengths`.",
        ),
        Misconception(
            "mask-instead",
            lambda tokens, prompts, lengths: (_labels(tokens, prompts, lengths) != -100).long(),
            "This is a mask of ones and zeros. Labels hold the token ids themselves, and −100 where nothing is "
            "learned.",
        ),
    ),
    hints=(
        "`torch.arange(time)` compared with `prompt_lengths[:, None]` and with `lengths[:, None]` says where a reply "
        "is.",
        "Both ends: from `prompt_lengths` on, and below `lengths`. The eos is inside.",
        "`torch.where(reply, tokens, -100)`.",
    ),
    sources=("labkit.models.encoding:encode_reply",),
)
