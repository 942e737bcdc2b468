"""The rows that are being decoded: one slot each, with all that belongs to it, on the device.

Nothing here asks the device for an answer, so that a step can be captured in a CUDA graph: a row that has ended goes on
drawing tokens that nobody reads, until somebody looks at `alive` and gives its slot to another.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.models.vocabulary import never_drawn
from labkit.sampling.choose import SamplingOptions, choose


class Slots:
    """`size` slots for completions of at most `steps` tokens; the tensors stay where they are for good.

    `starts`: tokens that were given (the prompt). `count`: tokens drawn. `last`: the newest of them, which the model
    has not seen yet. `alive`: neither ended nor at the limit. `ended`: by the policy. `tokens`, `logprobs`, `noise`:
    [slots, steps + 1], of which the last column is for those who draw beyond their end.
    """

    def __init__(self, size: int, steps: int, device: torch.device) -> None:
        self.size, self.steps = size, steps
        self.starts = torch.ones(size, dtype=torch.long, device=device)
        self.count = torch.zeros(size, dtype=torch.long, device=device)
        self.last = torch.zeros(size, dtype=torch.long, device=device)
        self.alive = torch.zeros(size, dtype=torch.bool, device=device)
        self.ended = torch.zeros(size, dtype=torch.bool, device=device)
        self.tokens = torch.zeros(size, steps + 1, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(size, steps + 1, device=device)
        self.noise = torch.zeros(size, steps + 1, device=device)
        self.limit = torch.zeros((), dtype=torch.long, device=device)
        self.eos = torch.zeros(1, dtype=torch.long, device=device)
        self.unwritten: Int[Tensor, " ids"] | None = None
        self.options, self.eos_ids = SamplingOptions(), ()

    @property
    def belongings(self) -> tuple[Tensor, ...]:
        """All that moves with a row, [slots, ...] each."""
        return (
            *(self.starts, self.count, self.last, self.alive, self.ended),
            *(self.tokens, self.logprobs, self.noise),
        )

    def prepare(
        self,
        options: SamplingOptions,
        eos_ids: tuple[int, ...],
        limit: int,
        unwritten: Int[Tensor, " ids"] | None = None,
    ) -> None:
        """For one call of `sample`: how tokens are drawn, what ends a row, the most tokens of a row, and the ids of
        tokens that are never drawn."""
        self.options, self.eos_ids, self.unwritten = options, eos_ids, unwritten
        self.eos = torch.tensor(eos_ids, dtype=torch.long, device=self.last.device)
        self.limit.fill_(limit)

    def fill(self, first: int, starts: Int[Tensor, " rows"], noise: Float[Tensor, "rows steps"]) -> slice:
        """New rows into the slots from `first` on; returns these slots."""
        rows = slice(first, first + len(starts))
        self.starts[rows], self.noise[rows, : noise.shape[1]] = starts, noise
        self.count[rows], self.alive[rows], self.ended[rows] = 0, True, False
        return rows

    def positions(self, rows: int) -> Int[Tensor, " rows"]:
        """Where the newest tokens of the first `rows` slots stand in their texts."""
        return self.starts[:rows] + self.count[:rows] - 1

    def draw(self, rows: slice, logits: Float[Tensor, "rows vocab"]) -> None:
        """One token for each of these slots, and what follows from it."""
        count, alive = self.count[rows], self.alive[rows]
        at, logits = count[:, None], never_drawn(logits, self.unwritten)
        new, logprob = choose(logits, self.noise[rows].gather(1, at).squeeze(1), self.options)
        self.tokens[rows].scatter_(1, at, new[:, None])
        self.logprobs[rows].scatter_(1, at, logprob[:, None])
        self.last[rows] = new
        count += alive
        over = (new[:, None] == self.eos).any(1)
        self.ended[rows] |= over & alive
        alive &= ~over & (count < self.limit)

    def keep(self, holes: Int[Tensor, " moved"], movers: Int[Tensor, " moved"]) -> None:
        """The rows in the slots `movers` move to the slots `holes`."""
        for tensor in self.belongings:
            tensor[holes] = tensor[movers]

    def finish(self, slot: int, length: int) -> None:
        """Ends a row after `length` tokens, for a reason that the device does not know of (a stop string)."""
        self.count[slot], self.alive[slot], self.ended[slot] = length, False, True


def compaction(alive: Bool[Tensor, " rows"]) -> tuple[int, Int[Tensor, " moved"], Int[Tensor, " moved"]]:
    """How to close the gaps: (rows that stay, rows of the front that finished, rows of the back that replace them).

    Only as many rows are copied as finished in the front part, so that leaving costs next to nothing.

    >>> compaction(torch.tensor([True, False, True, False, True]))
    (3, tensor([1]), tensor([4]))
    """
    rows = int(alive.sum())
    holes = (~alive[:rows]).nonzero().squeeze(1)
    movers = alive[rows:].nonzero().squeeze(1) + rows
    return rows, holes, movers
