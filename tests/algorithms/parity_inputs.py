"""The one random batch on which labkit, TRL and veRL are compared, in float64."""

import torch
from torch import Tensor

ROWS, TIME, VOCABULARY = 8, 9, 5
MAX_LENGTH = 11  # the longest answer allowed, for Dr. GRPO

Inputs = dict[str, Tensor]


def make_inputs(seed: int, peer: str) -> Inputs:
    """Off-policy log-probs far enough apart for both bounds to be active; ragged rows; two groups of four.

    For TRL rows are 1 to 9 tokens long, and one has no token at all. For veRL they are 4 to 9: it adds 1e-8 to each
    length before it divides, which a row of one token would show as a difference of 1e-9, and it leaves a row without
    a token out of the number of sequences, where labkit and TRL count it (it was sampled).
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    old = -3 * uniform(ROWS, TIME)
    lengths = torch.randint(4 if peer == "verl" else 1, TIME + 1, (ROWS,), generator=generator)
    other_lengths = torch.randint(1, TIME + 1, (ROWS,), generator=generator)
    if peer == "trl":
        lengths[3] = 0
    mask = torch.arange(TIME) < lengths[:, None]
    old_values = normal(ROWS, TIME)
    return {
        # policy losses
        "now": old + 0.3 * normal(ROWS, TIME),
        "old": old,
        "ref": old + 0.3 * normal(ROWS, TIME),
        "mask": mask,
        "advantage": normal(ROWS),
        "token_advantage": normal(ROWS, TIME),
        "logits": normal(ROWS, TIME, VOCABULARY),
        # advantages
        "rewards": normal(ROWS),
        "groups": torch.tensor([5, 5, 2, 5, 2, 2, 5, 2]),
        "greedy": normal(ROWS),
        # the critic
        "old_values": old_values,
        "values": old_values + 0.4 * normal(ROWS, TIME),
        "returns": old_values + normal(ROWS, TIME),
        # pairs: log-probs by token, and their masks
        "chosen": -3 * uniform(ROWS, TIME),
        "rejected": -3 * uniform(ROWS, TIME),
        "ref_chosen": -3 * uniform(ROWS, TIME),
        "ref_rejected": -3 * uniform(ROWS, TIME),
        "chosen_mask": torch.arange(TIME) < lengths.clamp(min=1)[:, None],
        "rejected_mask": torch.arange(TIME) < other_lengths[:, None],
        # single answers (KTO) and mismatched ones, and scores of a reward model
        "desirable": uniform(ROWS) < 0.5,
        "score_chosen": normal(ROWS),
        "score_rejected": normal(ROWS),
        "margin": uniform(ROWS),
    }
