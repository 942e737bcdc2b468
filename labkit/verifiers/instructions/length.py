"""Kinds that count words, sentences and paragraphs, and the distinct words among them."""

from __future__ import annotations

import re

from labkit.verifiers.instructions import text
from labkit.verifiers.instructions.registry import Number, Position, Relation, Word, compare, instruction
from labkit.verifiers.score import quote

_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_DIVIDER = re.compile(r"\*[ \t]?\*[ \t]?\*")


@instruction("length_constraints:number_sentences")
def number_sentences(response: str, num_sentences: Number, relation: Relation = "at least") -> str | None:
    """How many sentences; see `text.split_sentences`."""
    return compare(text.count_sentences(response), relation, num_sentences, "sentences")


@instruction("length_constraints:number_words")
def number_words(response: str, num_words: Number, relation: Relation = "at least") -> str | None:
    """How many words; see `text.count_words`."""
    return compare(text.count_words(response), relation, num_words, "words")


def _range(min_words: int, max_words: int) -> str | None:
    return f"{min_words} to {max_words} words" if min_words > max_words else None


@instruction("count:word_count_range", sense=_range)
def word_count_range(response: str, min_words: Number, max_words: Number) -> str | None:
    """How many words, both ends included; see `text.count_words`."""
    found = text.count_words(response)
    return None if min_words <= found <= max_words else f"{found} words, {min_words} to {max_words} asked for"


# --------------------------------------------------------------------------------------------------- paragraphs


def _paragraphs(pieces: list[str], wanted: int) -> str | None:
    """Exactly so many paragraphs; only the first and the last piece may be empty."""
    if not all(piece.strip() for piece in pieces[1:-1]):
        return "an empty paragraph between two dividers"
    found = sum(bool(piece.strip()) for piece in pieces)
    return None if found == wanted else f"{found} paragraphs, {wanted} asked for"


@instruction("length_constraints:number_paragraphs")
def number_paragraphs(response: str, num_paragraphs: Number) -> str | None:
    """Exactly so many paragraphs between dividers `***`."""
    return _paragraphs(response.split("***"), num_paragraphs)


@instruction("paragraphs:paragraphs")
def two_paragraphs(response: str) -> str | None:
    """Two paragraphs with a divider `***` between them."""
    return _paragraphs(response.split("***"), 2)


@instruction("paragraphs:paragraphs2")
def two_paragraphs_apart(response: str) -> str | None:
    """Two paragraphs with one blank line between them."""
    return _paragraphs(_BLANK_LINE.split(response), 2)


def _nth(num_paragraphs: int, nth_paragraph: int, first_word: str) -> str | None:
    return f"paragraph {nth_paragraph} of {num_paragraphs}" if nth_paragraph > num_paragraphs > 0 else None


@instruction("length_constraints:nth_paragraph_first_word", sense=_nth)
def nth_paragraph_first_word(
    response: str, num_paragraphs: Number, nth_paragraph: Position, first_word: Word
) -> str | None:
    """Exactly so many paragraphs between blank lines, and the first word of one of them.

    As in the reference, an empty piece (three line breaks and more) counts where the paragraph is sought but not where
    paragraphs are counted. The word is compared in lower case, up to its first punctuation mark.
    """
    pieces = response.split("\n\n")
    found = sum(bool(piece.strip()) for piece in pieces)
    if found != num_paragraphs:
        return f"{found} paragraphs, {num_paragraphs} asked for"
    words = pieces[nth_paragraph - 1].split(maxsplit=1)
    if not words:
        return f"paragraph {nth_paragraph} is empty"
    word = re.split(r"[.,?!'\"]", words[0].lstrip("'").lstrip('"').lower(), maxsplit=1)[0]
    if word == first_word.lower():
        return None
    return f"paragraph {nth_paragraph} begins with {quote(word)}, not {quote(first_word)}"


@instruction("count:counting_composition")
def counting_composition(response: str, n_sent: Number, n_words: Number) -> str | None:
    """Three paragraphs between dividers `* * *` or `***`, so many sentences each, so many words in each sentence."""
    pieces = _DIVIDER.split(response)
    wrong = _paragraphs(pieces, 3)
    if wrong is not None:
        return wrong
    for piece in filter(str.strip, pieces):
        sentences = text.split_sentences(piece)
        if len(sentences) != n_sent:
            return f"{len(sentences)} sentences in a paragraph, {n_sent} asked for"
        for sentence in sentences:
            found = len(text.split_words(sentence))
            if found != n_words:
                return f"{found} words in a sentence, {n_words} asked for"
    return None


# ----------------------------------------------------------------------------------------------- distinct words


@instruction("count:unique_word_count")
def unique_word_count(response: str, N: Number) -> str | None:
    """At least so many different words, in whatever case."""
    return compare(len(text.tally_words(response)), "at least", N, "different words")


@instruction("count:count_unique")
def no_word_twice(response: str) -> str | None:
    """No word twice, in whatever case."""
    return text.repeated_word(response, 1)


@instruction("words:repeats")
def word_repeats(response: str, small_n: Position) -> str | None:
    """No word more than so many times, in whatever case."""
    return text.repeated_word(response, small_n)
