"""When memory does not suffice: smaller micro-batches, the same numbers."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from labkit.errors import RunError
from labkit.sampling.workspace import release_workspaces
from labkit.training.loop.microbatches import token_budget

Found = TypeVar("Found")

# How allocators say it that raise a plain RuntimeError.
WORDS = ("out of memory", "not enough memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


class Budget:
    """The micro-batch budget of a run, in tokens. It is halved where memory does not suffice, and stays so: also in a
    checkpoint, so that a resumed run cuts its batches as it did."""

    def __init__(self, asked: int | None, device: torch.device) -> None:
        self.tokens = token_budget(asked, device)
        self.halved = False

    def fit(self, work: Callable[[int], Found], lengths: Tensor, undo: Callable[[], None] = lambda: None) -> Found:
        """work(budget in tokens) over rows of these lengths; where it runs out of memory, once more with half of it.

        `undo` puts away what the failed attempt has left behind (gradients that were already added up). Raises
        RunError where a single row does not fit.
        """
        while True:
            try:
                return work(self.tokens)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            # Out here the error is gone, and with it the failed attempt's tensors.
            undo()
            release_workspaces()  # what the sampler keeps on a GPU between its calls; it takes it again
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
        """The budget, where it is no longer the recipe's."""
        return {"tokens": torch.tensor(self.tokens)} if self.halved else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes it over."""
        if state:
            self.tokens, self.halved = int(state["tokens"]), True


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice, on whatever device."""
    named = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return named or any(word.lower() in str(error).lower() for word in WORDS)
