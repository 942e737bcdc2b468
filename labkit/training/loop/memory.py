"""Where memory does not suffice: smaller micro-batches, the same numbers."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from labkit.errors import RunError
from labkit.sampling.workspace import release_workspaces
from labkit.training.loop.microbatches import token_budget

Result = TypeVar("Result")

# torch has one error type for CUDA alone. The allocators of other devices raise a plain RuntimeError, which nothing but
# its text tells from other errors.
WORDS = ("out of memory", "not enough memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


class Budget:
    """The micro-batch budget of a run, in tokens. It is halved where memory does not suffice, and stays halved. A
    checkpoint keeps it, so that a resumed run cuts its batches in the same way."""

    def __init__(self, asked: int | None, device: torch.device) -> None:
        self.tokens = token_budget(asked, device)
        self.halved = False

    def fit(self, work: Callable[[int], Result], lengths: Tensor, undo: Callable[[], None] = lambda: None) -> Result:
        """Returns work(budget in tokens) on rows of these lengths (tokens); where it runs out of memory, the budget is
        halved and the work begins anew.

        `undo` removes what a failed attempt has left behind: gradients that were already added up. Raises RunError
        where a single row does not fit.
        """
        while True:
            try:
                return work(self.tokens)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            # The error holds the tensors of the failed attempt; here, behind the except block, it is gone.
            undo()
            release_workspaces()  # memory that the sampler keeps between its calls; the next call takes it again
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
        """Takes over a halved budget."""
        if state:
            self.tokens, self.halved = int(state["tokens"]), True


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice, on any device."""
    named = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return named or any(word.lower() in str(error).lower() for word in WORDS)
