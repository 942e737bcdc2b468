"""Kinds about given words and letters: `keywords:`, `letters:`, and IFBench's kinds that place or count keywords.

IFEval's own kinds count a keyword inside longer words too, as its reference implementation does; the later kinds say
"the word" or "exactly" and count whole words. Keywords are plain text everywhere: in the public checkers most are
regular expressions, so that "C++" raises and "a.b" matches "axb".
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.verifiers.instructions import text
from labkit.verifiers.instructions.registry import (
    Letter,
    Number,
    Position,
    Relation,
    Text,
    Word,
    Words,
    compare,
    instruction,
)
from labkit.verifiers.score import quote


@instruction("keywords:existence")
def existence(response: str, keywords: Words) -> str | None:
    """Every keyword occurs, in any case, also inside a longer word."""
    lowered = response.lower()
    missing = [word for word in keywords if word.lower() not in lowered]
    return f"{quote(missing[0])} does not occur" if missing else None


@instruction("keywords:frequency")
def frequency(response: str, keyword: Word, frequency: Number, relation: Relation = "at least") -> str | None:
    """How often the keyword occurs, in any case, also inside longer words, without overlaps."""
    found = response.lower().count(keyword.lower())
    return compare(found, relation, frequency, f"times {quote(keyword)}")


@instruction("keywords:forbidden_words")
def forbidden(response: str, forbidden_words: Words) -> str | None:
    """None of the words occurs, in any case, as a whole word."""
    found = next((word for word in sorted(forbidden_words) if text.occurrences(word, response)), None)
    return None if found is None else f"{quote(found)} is forbidden"


@instruction("keywords:letter_frequency", "letters:letter_counting2")
def letter_frequency(
    response: str, letter: Letter, let_frequency: Number, let_relation: Relation = "at least"
) -> str | None:
    """How often one character (also `#` or `!`) occurs, in any case."""
    found = response.lower().count(letter.lower())
    return compare(found, let_relation, let_frequency, f"times {quote(letter)}")


@instruction("letters:letter_counting")
def letter_counting(response: str, N: Number, relation: Relation = "at least") -> str | None:
    """How many letters, of any alphabet."""
    return compare(sum(map(str.isalpha, response)), relation, N, "letters")


# -------------------------------------------------------------------------------------------------- how often


def _exactly(response: str, *wanted: tuple[str, int]) -> str | None:
    """Each keyword occurs so often, as a whole word in any case."""
    for keyword, times in wanted:
        found = text.occurrences(keyword, response)
        if found != times:
            return compare(found, "exactly", times, f"times {quote(keyword)}")
    return None


@instruction("keywords:word_once")
def word_once(response: str, keyword: Word) -> str | None:
    """The word occurs exactly once."""
    return _exactly(response, (keyword, 1))


@instruction("keywords:word_count_different_numbers")
def word_count(response: str, keyword: Word, frequency: Number, relation: Relation | None = None) -> str | None:
    """How often the word occurs; exactly so often where no relation is given, as the prompts put it."""
    found = text.occurrences(keyword, response)
    return compare(found, relation or "exactly", frequency, f"times {quote(keyword)}")


@instruction("count:count_increment_word")
def count_increment_word(response: str, keyword1: Word, keyword2: Word) -> str | None:
    """One word exactly once, the other exactly twice."""
    return _exactly(response, (keyword1, 1), (keyword2, 2))


@instruction("count:keywords_multiple")
def keywords_multiple(
    response: str, keyword1: Word, keyword2: Word, keyword3: Word, keyword4: Word, keyword5: Word
) -> str | None:
    """Five words exactly 1, 2, 3, 5 and 7 times."""
    return _exactly(response, (keyword1, 1), (keyword2, 2), (keyword3, 3), (keyword4, 5), (keyword5, 7))


@instruction("keywords:exclude_word_harder")
def exclude_word(response: str, keyword: Word, instruction: Text | None = None) -> str | None:
    """The word does not occur, in any case. `instruction` is the request that it was drawn from, and is not needed.

    Such words are cut out of a request at white space, so punctuation at their ends is no part of them.
    """
    word = keyword.strip(" .,;:!?\"'“”‘’()[]{}") or keyword
    return f"{quote(word)} is forbidden" if text.occurrences(word, response) else None


# ------------------------------------------------------------------------------------------------------- where


def _word_is(words: list[str], place: int, keyword: str) -> bool:
    """Whether the words from `place` on are the keyword, which may be a phrase."""
    wanted = keyword.lower().split()
    return [word.lower() for word in words[place : place + len(wanted)]] == wanted


def _nth_sentence(response: str, n: int) -> tuple[str | None, str]:
    """(what is wrong, sentence n)."""
    sentences = text.split_sentences(response)
    if len(sentences) < n:
        return f"{len(sentences)} sentences, sentence {n} asked for", ""
    return None, sentences[n - 1]


@instruction("keywords:keyword_specific_position", "words:keywords_specific_position")
def keyword_position(response: str, keyword: Word, n: Position, m: Position) -> str | None:
    """Sentence `n` has the keyword as its word `m`, in any case; punctuation marks are no words."""
    wrong, sentence = _nth_sentence(response, n)
    if wrong is not None:
        return wrong
    words = text.split_words(sentence)
    if len(words) < m:
        return f"sentence {n} has {len(words)} words, word {m} asked for"
    return None if _word_is(words, m - 1, keyword) else f"word {m} of sentence {n} is {quote(words[m - 1])}"


@instruction("sentence:keyword")
def sentence_keyword(response: str, word: Word, N: Position) -> str | None:
    """Sentence `N` has the word, in any case."""
    wrong, sentence = _nth_sentence(response, N)
    if wrong is not None:
        return wrong
    return None if text.occurrences(word, sentence) else f"sentence {N} is without {quote(word)}"


@instruction("words:words_position")
def words_position(response: str, keyword: Word) -> str | None:
    """The second word and the second to last are the keyword, in any case."""
    words = text.split_words(response)
    if len(words) < 2:
        return f"{len(words)} words, two at least asked for"
    for word, name in ((words[1], "second"), (words[-2], "second to last")):
        if word.lower() != keyword.lower():
            return f"the {name} word is {quote(word)}"
    return None


def _first_or_last(pieces: Sequence[str], wanted: str, first: bool, what: str) -> str | None:
    """Each piece that has words begins (or ends) with the wanted word."""
    spoken = [words for words in map(text.split_words, pieces) if words]
    if not spoken:
        return "no word"
    for words in spoken:
        word = words[0] if first else words[-1]
        if word.lower() != wanted.lower():
            return f"a {what} {'begins' if first else 'ends'} with {quote(word)}, not {quote(wanted)}"
    return None


@instruction("first_word:first_word_sent")
def first_word_of_sentences(response: str, first_word: Word) -> str | None:
    """Every sentence begins with the word, in any case."""
    return _first_or_last(text.split_sentences(response), first_word, True, "sentence")


@instruction("first_word:first_word_answer")
def first_word_of_answer(response: str, first_word: Word) -> str | None:
    """The response begins with the word, in any case."""
    return _first_or_last([response], first_word, True, "response")


@instruction("last_word:last_word_sent")
def last_word_of_sentences(response: str, last_word: Word) -> str | None:
    """Every sentence ends with the word, in any case, before its punctuation."""
    return _first_or_last(text.split_sentences(response), last_word, False, "sentence")


@instruction("last_word:last_word_answer")
def last_word_of_answer(response: str, last_word: Word) -> str | None:
    """The response ends with the word, in any case, before its punctuation."""
    return _first_or_last([response], last_word, False, "response")


@instruction("keywords:start_end")
def start_end(response: str) -> str | None:
    """The first and the last word are the same, in any case, with nothing behind the last, not even a full stop."""
    words = text.split_words(response)
    if len(words) < 2:
        return f"{len(words)} words, two at least asked for"
    if not response.endswith(words[-1]):
        return f"something stands behind the last word {quote(words[-1])}"
    same = words[0].lower() == words[-1].lower()
    return None if same else f"begins with {quote(words[0])}, ends with {quote(words[-1])}"
