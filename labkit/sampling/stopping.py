"""Stop strings: a row ends with the token that completes one."""

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

    def length(self, ids: list[int], known: int) -> int | None:
        """How many of a row's tokens there are when a stop string is complete; None where none is.

        The first `known` tokens were looked at before. A text that no token changes visibly (half of a character)
        completes nothing.
        """
        text = self.tokenizer.decode(ids[max(0, known - self.window) :])
        if not any(s in text for s in self.stop):
            return None
        for end in range(known + 1, len(ids) + 1):
            recent = ids[max(0, end - self.window) : end]
            now, before = self.tokenizer.decode(recent), self.tokenizer.decode(recent[:-1])
            if any(now.count(s) > before.count(s) for s in self.stop):
                return end
        return None
