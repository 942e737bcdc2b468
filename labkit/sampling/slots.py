"""The rows that are being decoded. Each row has one slot, and all tensors of the slots are on the device.

A step can be captured in a CUDA graph, because it never reads a value back from the device. So a row that has ended
goes on drawing tokens, which are ignored, until the loop in `batching` reads `alive` and gives the slot to another row.

A captured step also runs over slots that no row uses. Such a slot must not be alive. Otherwise its count would grow, in
a later call with a higher limit too, until its position is outside the cache.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.models.vocabulary import never_drawn
from labkit.sampling.choose import SamplingOptions, choose


class Slots:
    """`size` slots for completions of at most `steps` tokens. The tensors never move in memory.

    Per slot: `starts` is the number of given tokens (the prompt), `count` the number of drawn tokens, and `last` the
    newest drawn token, which the model has not read yet. `alive` is True while the row has neither ended nor reached
    its limit. `ended` is True if the policy ended the row. `tokens`, `logprobs` and `noise` are [slots, steps + 1]:
    a row that draws after its end writes into the last column.
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
        """All tensors that hold something of each row, [slots, ...] each: they move with the row."""
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
        """Sets the options of one call of `sample`, and empties all slots, whatever the call before has left in them.

        `eos_ids` end a row, `limit` is the most tokens of a row, and the tokens `unwritten` are never drawn.
        """
        self.options, self.eos_ids, self.unwritten = options, eos_ids, unwritten
        self.eos = torch.tensor(eos_ids, dtype=torch.long, device=self.last.device)
        self.limit.fill_(limit)
        self.alive.fill_(False)
        self.starts.fill_(1)  # with a count of 0 this is position 0, which every cache has
        self.count.zero_()

    def fill(self, first: int, starts: Int[Tensor, " rows"], noise: Float[Tensor, "rows steps"]) -> slice:
        """Puts new rows into the slots from `first` on; returns these slots."""
        rows = slice(first, first + len(starts))
        self.starts[rows], self.noise[rows, : noise.shape[1]] = starts, noise
        self.count[rows], self.alive[rows], self.ended[rows] = 0, True, False
        return rows

    def positions(self, rows: int) -> Int[Tensor, " rows"]:
        """The positions of the newest tokens of the first `rows` slots, each in its own text."""
        return self.starts[:rows] + self.count[:rows] - 1

    def draw(self, rows: slice, logits: Float[Tensor, "rows vocab"]) -> None:
        """Draws one token in each of these slots, and updates count, `alive` and `ended`."""
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

    def keep(self, left: int, used: int, holes: Int[Tensor, " moved"], movers: Int[Tensor, " moved"]) -> None:
        """Copies the rows in the slots `movers` to the slots `holes`; then the slots from `left` to `used` are free."""
        if len(holes):
            for tensor in self.belongings:
                tensor[holes] = tensor[movers]
        self.alive[left:used] = False  # the row that has moved must not run on in its old slot

    def finish(self, slot: int, length: int) -> None:
        """Ends a row after `length` tokens, for a reason that only the host can see: a stop string."""
        self.count[slot], self.alive[slot], self.ended[slot] = length, False, True


def compaction(alive: Bool[Tensor, " rows"]) -> tuple[int, Int[Tensor, " moved"], Int[Tensor, " moved"]]:
    """How to close the gaps: (number of rows that stay, finished rows in the front, rows from the back to put there).

    The front is the first part, with as many rows as stay. Only the rows that finished there are replaced by copies, so
    closing the gaps costs very little.

    >>> compaction(torch.tensor([True, False, True, False, True]))
    (3, tensor([1]), tensor([4]))
    """
    rows = int(alive.sum())
    holes = (~alive[:rows]).nonzero().squeeze(1)
    movers = alive[rows:].nonzero().squeeze(1) + rows
    return rows, holes, movers
