"""Stop strings: a row ends with the token that completes one of them."""

from transformers import PreTrainedTokenizerBase

from labkit.errors import UserError


class StopStrings:
    """Searches the text of the newest tokens for stop strings. A stop string may span several tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: tuple[str, ...]) -> None:
        if isinstance(stop, str) or not all(isinstance(s, str) and s for s in stop):
            raise UserError(f"stop must be a list of non-empty strings, not {stop!r}")
        self.tokenizer, self.stop = tokenizer, stop
        # Most tokens hold one character or more, but a rare character can take up to four tokens, one per byte. So
        # many of the newest tokens always hold a whole stop string.
        self.window = 4 * max(len(s.encode()) for s in stop)

    def length(self, ids: list[int], known: int) -> int | None:
        """The number of tokens of the row up to the one that completes a stop string; None if there is none.

        The first `known` tokens were searched before. A token that adds no visible text (a part of a character)
        completes no stop string.
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
