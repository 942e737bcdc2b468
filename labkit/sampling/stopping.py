"""Stop strings: a row ends with the token that completes one."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from labkit.errors import UserError


class StopStrings:
    """Looks for stop strings in the text of the newest tokens, also where one spans several tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: tuple[str, ...]) -> None:
        if isinstance(stop, str) or not all(isinstance(s, str) and s for s in stop):
            raise UserError(f"stop must be a list of non-empty strings, not {stop!r}")
        self.tokenizer, self.stop = tokenizer, stop
        # A token of text holds one character or more (bytes of one character: up to four tokens), so so many tokens
        # are enough to see a whole stop string.
        self.window = 4 * max(len(s.encode()) for s in stop)

    def completed(
        self, tokens: Int[Tensor, "batch steps"], rows: Int[Tensor, " rows"], step: int
    ) -> Bool[Tensor, " rows"]:
        """Which of `rows` have a stop string whose last character came with the token at column `step`."""
        first = max(0, step + 1 - self.window)
        recent = tokens[rows, first : step + 1].tolist()
        now = self.tokenizer.batch_decode(recent)
        before = self.tokenizer.batch_decode([ids[:-1] for ids in recent])
        found = [
            any(text.count(s) > earlier.count(s) for s in self.stop) for text, earlier in zip(now, before, strict=True)
        ]
        return torch.tensor(found, dtype=torch.bool, device=tokens.device)
