"""Continuous batching: the loop that decides which rows are decoded at which step.

    while rows wait or are decoded:
        admit     put waiting rows into free slots: read each group's prompt once, and draw the first tokens
        advance   decode one token, or several, in all slots
        retire    take the results of rows that have ended, and move other rows into their slots

The loop must know which rows have ended. It reads this from the device after every few steps, which we call a look.

On a GPU a step of few rows takes as long as a step of many, and each look makes Python wait for the device. So the
loop looks after every 16 steps, and refills the slots that are free. On a CPU the time of a step grows with its rows.
So the loop looks after every step, but refills only when half of the slots are free: rows that are admitted together
have the same age, and attend to the same number of columns. On a CPU refilling saves memory, but no time: 256 rows at
once are faster than 64 slots that are refilled (measured with `tiny`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labkit.device import clock
from labkit.errors import NotFiniteError
from labkit.sampling.fused import Spans
from labkit.sampling.slots import Slots, compaction
from labkit.sampling.stepping import Stepper
from labkit.sampling.stopping import StopStrings
from labkit.sampling.ways import Decoder

# Ended rows leave when they are at least 1 / COMPACT_SHARE of the active rows. A small number makes them leave late,
# which saves copies; a large number makes them leave early, which saves compute.
COMPACT_SHARE = 32
PREFILL_TOKENS = 8192  # one forward pass reads at most so many tokens of prompts, padding included


@dataclass
class Drawn:
    """The tokens that were drawn for each row. Columns from a row's length on have no meaning."""

    tokens: Int[Tensor, "batch steps"]
    logprobs: Float[Tensor, "batch steps"]
    lengths: Int[Tensor, " batch"]
    ended: Bool[Tensor, " batch"]  # by the policy, not by the token limit
    timings: dict[str, float] = field(default_factory=dict)  # seconds


class ContinuousBatch:
    """One call of `sample`, from encoded prompts to drawn tokens. Row i belongs to prompt i // n."""

    def __init__(
        self,
        decoder: Decoder,
        slots: Slots,
        stepper: Stepper,
        encoded: list[list[int]],
        n: int,
        noise: Float[Tensor, "batch steps"],
        stops: StopStrings | None,
        size: int,
    ) -> None:
        self.decoder, self.slots, self.stepper, self.stops = decoder, slots, stepper, stops
        self.encoded, self.n, self.noise, self.size = encoded, n, noise, size
        self.device, (batch, steps) = noise.device, noise.shape
        self.look_every = stepper.look_every(stops is not None)
        self.refill_at = int(size * stepper.refill_share) if decoder.joins else 0
        self.waiting = 0  # the first row that waits; all rows before it have had a slot
        self.active = self.veterans = 0  # slots in use; how many of these were in use before the newest rows came
        self.owner = np.zeros(slots.size, dtype=np.int64)  # the row that each slot decodes
        self.ends = np.zeros(slots.size, dtype=np.int64)  # the columns that the slot's next step attends to
        self.last_column = np.zeros(slots.size, dtype=np.int64)  # the columns that its last possible step attends to
        self.known = np.zeros(slots.size, dtype=np.int64)  # the tokens that were searched for stop strings
        # The result of the decoder's `prefill`, which its `fill` takes; None before the first prompts are read.
        self.prompts: Any = None
        self.first_read = self.end_read = 0  # `prompts` holds the prompts from `first_read` to before `end_read`
        self.drawn = Drawn(
            torch.zeros(batch, steps, dtype=torch.long, device=self.device),
            torch.zeros(batch, steps, device=self.device),
            torch.zeros(batch, dtype=torch.long, device=self.device),
            torch.zeros(batch, dtype=torch.bool, device=self.device),
        )
        self.prefill_seconds = 0.0

    def run(self, looked: Callable[[], None] = lambda: None) -> Drawn:
        """Runs the loop until all rows have ended. Calls `looked` after each look at the rows."""
        started, batch = clock(self.device), len(self.noise)
        while self.active or self.waiting < batch:
            if self.waiting < batch and self.active <= self.refill_at:
                self.admit()
            else:
                self.advance()
            self.retire()
            looked()
        seconds = clock(self.device) - started
        self.drawn.timings = {"prefill": self.prefill_seconds, "decode": seconds - self.prefill_seconds}
        return self.drawn

    @property
    def share(self) -> float:
        """The share of the work that is done. A row that has left counts as 1, an active row by its drawn tokens."""
        active = slice(0, self.active)
        left = (self.last_column[active] - self.ends[active]).sum() / self.noise.shape[1]
        return float(self.waiting - left) / len(self.noise)

    def texts(self) -> list[list[int]]:
        """The tokens that each row has so far, with the newest one."""
        lengths = self.drawn.lengths.tolist()
        found = [row[:length] for row, length in zip(self.drawn.tokens.tolist(), lengths, strict=True)]
        counts, tokens = self.slots.count[: self.active].tolist(), self.slots.tokens[: self.active].tolist()
        for row, count, ids in zip(self.owner[: self.active], counts, tokens, strict=True):
            found[row] = ids[:count]
        return found

    def admit(self) -> None:
        """Puts waiting rows into the slots after the active ones: only rows whose prompts were read in one pass."""
        started = clock(self.device)
        if self.waiting // self.n >= self.end_read:
            self.read_prompts(self.waiting // self.n)
        rows = np.arange(self.waiting, min(self.waiting + self.size - self.active, self.end_read * self.n))
        index = torch.from_numpy(rows // self.n - self.first_read).to(self.device)
        self.decoder.fill(self.prompts, index, self.active)
        starts = self.prompts.lengths[index]
        logits = self.prompts.logits[index]
        self.prefill_seconds += clock(self.device) - started
        used = self.slots.fill(self.active, starts, self.noise[rows[0] : rows[-1] + 1])
        self.slots.draw(used, logits)
        self.refuse_broken(self.slots.logprobs[used, :1])
        lengths = np.array([len(self.encoded[row // self.n]) for row in rows])
        self.owner[used], self.ends[used], self.known[used] = rows, lengths + 1, 0
        self.last_column[used] = lengths + self.noise.shape[1]
        self.veterans, self.active = self.active, used.stop
        self.waiting += len(rows)

    def read_prompts(self, first: int) -> None:
        """Reads prompts in one forward pass: from `first` on, as many as PREFILL_TOKENS allows, and at least one."""
        end, longest = first, 0
        while end < len(self.encoded):
            longest = max(longest, len(self.encoded[end]))
            if end > first and longest * (end + 1 - first) > PREFILL_TOKENS:
                break
            end += 1
        part = self.encoded[first:end]
        longest = max(map(len, part))
        tokens = torch.tensor([ids + [0] * (longest - len(ids)) for ids in part], device=self.device)
        lengths = torch.tensor([len(ids) for ids in part], device=self.device)
        self.prompts = None  # frees memory for the next prompts
        self.prompts = self.decoder.prefill(tokens, lengths)
        self.first_read, self.end_read = first, end

    def advance(self) -> None:
        """Decodes some tokens in all active slots, with no look in between."""
        left = int((self.last_column - self.ends)[: self.active].max())
        steps = max(1, min(self.look_every, left))
        self.stepper.run(self.spans(steps - 1), steps)
        self.ends[: self.active] += steps

    def spans(self, more: int) -> Spans:
        """The active slots in two ranges, veterans and newcomers, and how many columns each attends to in `more` steps.

        The rows of a range have about the same age.
        """
        ends = np.minimum(self.ends + more, self.last_column)
        cuts = sorted({min(self.veterans, self.active), self.active} - {0})
        begins = [0, *cuts]
        return tuple((cut, int(ends[begin:cut].max())) for begin, cut in zip(begins, cuts, strict=False))

    def retire(self) -> None:
        """Takes the results of rows that have ended, and closes the gaps, if enough rows have ended."""
        if self.stops is not None:
            self.search_stops(self.stops)
        alive = self.slots.alive[: self.active].cpu()
        finished = self.active - int(alive.sum())
        if not finished or (finished < self.active and finished * COMPACT_SHARE < self.active):
            return
        gone = (~alive).nonzero().squeeze(1)
        rows = torch.from_numpy(self.owner)[gone].to(self.device)
        slots, steps, drawn = gone.to(self.device), self.noise.shape[1], self.drawn
        lived = torch.arange(steps, device=self.device) < self.slots.count[slots, None]
        self.refuse_broken(torch.where(lived, self.slots.logprobs[slots, :steps], 0.0))
        drawn.tokens[rows] = self.slots.tokens[slots, :steps]
        drawn.logprobs[rows] = self.slots.logprobs[slots, :steps]
        drawn.lengths[rows], drawn.ended[rows] = self.slots.count[slots], self.slots.ended[slots]
        left, holes, movers = compaction(alive)
        for mine in (self.owner, self.ends, self.last_column, self.known):
            mine[holes.numpy()] = mine[movers.numpy()]
        holes, movers = holes.to(self.device), movers.to(self.device)
        self.slots.keep(left, self.active, holes, movers)
        if left:
            self.decoder.keep(left, holes, movers, int(self.ends[:left].max()))
        self.active, self.veterans = left, min(self.veterans, left)

    def refuse_broken(self, logprobs: Float[Tensor, "rows steps"]) -> None:
        """Raises NotFiniteError if a log-prob is NaN or infinite. Then the logits were, and the tokens mean nothing.

        The loop checks rows when they begin and when they leave. A check at each step would wait for the device.
        """
        broken = (~logprobs.isfinite()).any(0).nonzero()
        if len(broken):
            raise NotFiniteError(f"the model's logit at token {int(broken[0]) + 1} of an answer")

    def search_stops(self, stops: StopStrings) -> None:
        """Ends rows whose text holds a stop string. One read from the device fetches the tokens of all rows."""
        counts, tokens = self.slots.count[: self.active].tolist(), self.slots.tokens[: self.active].cpu()
        for slot, count in enumerate(counts):
            if count > self.known[slot]:
                length = stops.length(tokens[slot, :count].tolist(), int(self.known[slot]))
                self.known[slot] = count
                if length is not None:
                    self.slots.finish(slot, length)
