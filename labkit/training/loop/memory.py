"""Micro-batches become smaller when there is not enough memory; the results stay the same."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from labkit.device import out_of_memory
from labkit.errors import RunError
from labkit.sampling.workspace import release_workspaces
from labkit.training.loop.microbatches import token_budget

Result = TypeVar("Result")


class Budget:
    """The micro-batch budget of a run, in tokens. If there is not enough memory, it is halved, and stays so.

    A checkpoint keeps a halved budget, so that a resumed run cuts its batches in the same way.
    """

    def __init__(self, asked: int | None, device: torch.device) -> None:
        self.tokens = token_budget(asked, device)
        self.halved = False

    def fit(self, work: Callable[[int], Result], lengths: Tensor, undo: Callable[[], None] = lambda: None) -> Result:
        """Returns work(budget in tokens), on rows of these lengths (tokens).

        If the work runs out of memory, the budget is halved and the work starts again. Before that, `undo` removes what
        the failed attempt has left, such as gradients that were already added up. Raises RunError if a single row does
        not fit.
        """
        while True:
            try:
                return work(self.tokens)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            # The error keeps the tensors of the failed attempt alive. After the except block it is gone.
            undo()
            release_workspaces()  # free what the sampler keeps between calls; its next call allocates it again
            self._halve(int(lengths.max()), len(lengths))

    def _halve(self, longest: int, rows: int) -> None:
        if self.tokens <= longest or rows == 1:
            raise RunError(
                f"out of memory with a single row of {longest} tokens: lower sampling.max_new_tokens or "
                "data.max_length, set optimizer.gradient_checkpointing=true, train adapters (lora), or take a smaller "
                "model"
            )
        before = min(self.tokens, longest * rows)
        self.tokens, self.halved = max(before // 2, 1), True
        print(
            f"labkit: out of memory with micro-batches of {before} tokens; going on with {self.tokens}: the numbers "
            f"stay the same (to begin with it: optimizer.microbatch_tokens={self.tokens})",
            file=sys.stderr,
        )

    def state_dict(self) -> dict[str, Any]:
        """The budget, if it was halved."""
        return {"tokens": torch.tensor(self.tokens)} if self.halved else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Sets a halved budget that a checkpoint has kept."""
        if state:
            self.tokens, self.halved = int(state["tokens"]), True
