"""Exercise of notebook 08: which tokens did the policy choose?"""

from __future__ import annotations

import random

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def completion_mask(
    tokens: Int[Tensor, "batch time"], prompt_lengths: Int[Tensor, " batch"], eos_id: int
) -> Bool[Tensor, "batch time"]:
    columns = torch.arange(tokens.shape[1], device=tokens.device)
    chosen = columns >= prompt_lengths[:, None]
    ends = chosen & (tokens == eos_id)
    # How many ends stand BEFORE a column: the first end itself has none before it, so it stays in.
    return chosen & (ends.cumsum(1) - ends.long() == 0)


def _columns(tokens: Tensor) -> Tensor:
    return torch.arange(tokens.shape[1])


def _after_prompt(tokens: Tensor, prompt_lengths: Tensor) -> Tensor:
    return _columns(tokens) >= prompt_lengths[:, None]


def _without_eos(tokens: Tensor, prompt_lengths: Tensor, eos_id: int) -> Tensor:
    after = _after_prompt(tokens, prompt_lengths)
    return after & ((after & (tokens == eos_id)).cumsum(1) == 0)


def _eos_of_prompt(tokens: Tensor, prompt_lengths: Tensor, eos_id: int) -> Tensor:
    ends = tokens == eos_id
    return _after_prompt(tokens, prompt_lengths) & (ends.cumsum(1) - ends.long() == 0)


def _random_tokens(generator: random.Random) -> Case:
    batch, time = generator.randint(1, 4), generator.randint(4, 8)
    eos, pad = 2, generator.choice([0, 2])
    rows, lengths = [], []
    for _ in range(batch):
        prompt = [generator.choice([2, 3, 4, 5]) for _ in range(generator.randint(1, time - 2))]
        room = time - len(prompt)
        answer = [generator.randint(3, 9) for _ in range(generator.randint(0, room))]
        row = prompt + answer + ([eos] if len(answer) < room else [])
        rows.append(row + [pad] * (time - len(row)))
        lengths.append(len(prompt))
    return Case((torch.tensor(rows), torch.tensor(lengths), eos))


EXERCISE = Exercise(
    name="completion-mask",
    title="Which tokens did the policy choose?",
    notebook="08_rlvr_from_scratch",
    spec=(
        "Rows of `tokens` [batch, time] are prompt, completion, padding; the prompt of row i has "
        "`prompt_lengths[i]` tokens. Return a bool mask [batch, time], True on the tokens that the policy "
        "chose: from the first token after the prompt up to and **including** the first `eos_id` after the "
        "prompt.\n\n"
        "- A row without an eos after its prompt was cut off at the limit: True to its end.\n"
        "- The eos may occur in the prompt (chat formats do that), and many models pad with it."
    ),
    stub=(
        "def completion_mask(\n"
        '    tokens: Int[Tensor, "b t"], prompt_lengths: Int[Tensor, " b"], eos_id: int\n'
        ') -> Bool[Tensor, "b t"]:\n'
        "    raise NotImplementedError\n"
    ),
    reference=completion_mask,
    literal=(
        Case(
            (torch.tensor([[7, 5, 6, 2, 0]]), torch.tensor([1]), 2),
            "prompt 7; the policy chose 5, 6 and the eos 2; then padding with 0",
        ),
        Case((torch.tensor([[7, 5, 6, 2, 2]]), torch.tensor([1]), 2), "the eos 2 is the padding too"),
        Case((torch.tensor([[7, 2, 8, 5, 2]]), torch.tensor([3]), 2), "an eos inside the prompt 7, 2, 8"),
        Case((torch.tensor([[7, 2, 5, 6, 2]]), torch.tensor([2]), 2), "the prompt 7, 2 ends in an eos"),
        Case((torch.tensor([[7, 5, 6, 9]]), torch.tensor([2]), 2), "no eos: cut off at the limit"),
        Case(
            (torch.tensor([[7, 2, 0, 0], [7, 8, 5, 2]]), torch.tensor([1, 2]), 2),
            "two rows; the first is an eos at once",
        ),
    ),
    random=_random_tokens,
    misconceptions=(
        Misconception(
            "without-eos",
            _without_eos,
            "The eos is left out. The policy chose it: without it in the mask nothing teaches the policy when to stop.",
        ),
        Misconception(
            "not-eos",
            lambda tokens, lengths, eos: _after_prompt(tokens, lengths) & (tokens != eos),
            "`tokens != eos_id` throws out the eos that the policy chose, and keeps padding whenever the "
            "padding is another token. Where a completion ends is a matter of position: up to and including "
            "its first eos.",
            (lambda tokens, lengths, eos: tokens != eos,),
        ),
        Misconception(
            "with-padding",
            lambda tokens, lengths, eos: _after_prompt(tokens, lengths),
            "The padding after the eos is in the mask: the loss would train on tokens that nobody chose, "
            "more of them the shorter the answer.",
        ),
        Misconception(
            "eos-of-the-prompt",
            _eos_of_prompt,
            "An eos inside the prompt ends the completion before it begins. Look for the first eos AFTER the prompt.",
        ),
        Misconception(
            "starts-late",
            lambda tokens, lengths, eos: completion_mask(tokens, lengths, eos) & (_columns(tokens) > lengths[:, None]),
            "The first token of the completion is missing: columns count from 0, so it stands at column "
            "`prompt_lengths` (`>=`, not `>`).",
            (lambda tokens, lengths, eos: completion_mask(tokens, lengths + 1, eos),),
        ),
        Misconception(
            "starts-early",
            lambda tokens, lengths, eos: completion_mask(tokens, lengths - 1, eos),
            "The last token of the prompt is in the mask: columns count from 0, so the prompt ends at column "
            "`prompt_lengths - 1`, and that one is not the policy's choice.",
            (
                lambda tokens, lengths, eos: (
                    completion_mask(tokens, lengths, eos) | (_columns(tokens) == lengths[:, None] - 1)
                ),
            ),
        ),
        Misconception(
            "with-prompt",
            lambda tokens, lengths, eos: completion_mask(tokens, lengths, eos) | ~_after_prompt(tokens, lengths),
            "The prompt is in the mask. The user wrote it: training on it teaches the policy to ask, not to answer.",
            (
                lambda tokens, lengths, eos: completion_mask(tokens, torch.zeros_like(lengths), eos),
                lambda tokens, lengths, eos: torch.ones_like(tokens, dtype=torch.bool),
            ),
        ),
    ),
    hints=(
        "`torch.arange(time)` compared with `prompt_lengths[:, None]` says which columns lie behind the prompt.",
        "Mark the eos tokens behind the prompt, and take `cumsum(1)` of the marks: what is it before, at "
        "and after the first one?",
        "The first eos has to stay in: count the marks strictly BEFORE each column, `marks.cumsum(1) - "
        "marks.long()`, and keep the columns where that is 0.",
    ),
    # The sampler knows where each completion ends, and makes the same mask from that.
    sources=("labkit.sampling.engine:assemble",),
)
