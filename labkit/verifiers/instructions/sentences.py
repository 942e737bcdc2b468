"""Kinds about sentences: their types, their lengths, and how each goes with the one before."""

from __future__ import annotations

import functools
import itertools
import re
import string
from collections import Counter

from labkit.verifiers.instructions import text
from labkit.verifiers.instructions.registry import Number, Percentage, Text, instruction
from labkit.verifiers.score import quote

_END_MARKS = re.compile(r"[.!?…。！？]+$")
_CLOSING = "\"'”’»)]}*_` \t\n"
_AFTER_EMOJI = string.punctuation + "…。！？" + _CLOSING
_PIECE = re.compile(r"\w+|[^\w\s]")
_HYPHEN_APART = re.compile(r"[.!?…][\"'”’)\]]*(?:-\s|[–—])")


# ----------------------------------------------------------------------------------------------- types and ratios


def _type(sentence: str) -> str:
    """`.`, `?` or `!` under its closing quotes, or "" without such a mark; a question may be shouted."""
    end = _END_MARKS.search(sentence.rstrip(_CLOSING)[-20:])
    marks = "" if end is None else end.group()
    if "?" in marks or "？" in marks:
        return "?"
    if "!" in marks or "！" in marks:
        return "!"
    return "." if marks else ""


@instruction("ratio:sentence_type")
def sentence_type(response: str) -> str | None:
    """Two statements for each question, and one question at least."""
    types = Counter(map(_type, text.split_sentences(response)))
    kept = types["?"] > 0 and types["."] == 2 * types["?"]
    return None if kept else f"{types['.']} statements and {types['?']} questions"


@instruction("ratio:sentence_balance")
def sentence_balance(response: str) -> str | None:
    """As many statements as questions as exclamations, and one of each at least."""
    types = Counter(map(_type, text.split_sentences(response)))
    counts = [types[mark] for mark in ".?!"]
    kept = counts[0] > 0 and len(set(counts)) == 1
    return None if kept else "{} statements, {} questions and {} exclamations".format(*counts)


@instruction("ratio:sentence_words")
def sentence_words(response: str) -> str | None:
    """Three sentences of the same number of characters, and no word twice."""
    sentences = text.split_sentences(response)
    if len(sentences) != 3:
        return f"{len(sentences)} sentences, three asked for"
    lengths = [len(sentence) for sentence in sentences]
    if len(set(lengths)) > 1:
        return f"sentences of {', '.join(map(str, lengths))} characters"
    return text.repeated_word(response, 1)


def _trigrams(passage: str) -> set[tuple[str, ...]]:
    pieces = _PIECE.findall(passage)
    return set(zip(pieces, pieces[1:], pieces[2:], strict=False))


_reference_trigrams = functools.lru_cache(maxsize=64)(_trigrams)


def _too_short(reference_text: str, percentage: float) -> str | None:
    return None if _reference_trigrams(reference_text) else "an overlap with a text of fewer than three words"


@instruction("ratio:overlap", sense=_too_short)
def overlap(response: str, reference_text: Text, percentage: Percentage) -> str | None:
    """So many per cent (2 more or less) of the response's different trigrams stand in the reference text.

    A trigram is three words or punctuation marks in a row, capitals kept.
    """
    found = _trigrams(response)
    if not found:
        return "fewer than three words"
    share = 100 * len(found & _reference_trigrams(reference_text)) / len(found)
    kept = percentage - 2 <= share <= percentage + 2
    return None if kept else f"{share:.1f} % overlap, {percentage:g} % asked for"


# ------------------------------------------------------------------------------------------- one after the other


def _of_words(response: str) -> tuple[str | None, list[list[str]]]:
    """(what is wrong, the words of each sentence), where the sentences are to be compared: two at least, with words."""
    sentences = [text.split_words(sentence) for sentence in text.split_sentences(response)]
    if len(sentences) < 2:
        return f"{len(sentences)} sentences, two at least asked for", []
    return ("a sentence without words", []) if not all(sentences) else (None, sentences)


@instruction("sentence:increment")
def increment(response: str, small_n: Number) -> str | None:
    """Each sentence has exactly so many words more than the one before; two sentences at least."""
    wrong, sentences = _of_words(response)
    for before, after in itertools.pairwise(map(len, sentences)):
        if after != before + small_n:
            return f"{after} words after {before}, {small_n} more asked for"
    return wrong


def _longest_alliteration(words: list[str]) -> int:
    """The most words in a row that begin with the same letter."""
    return max(sum(1 for _ in run) for _, run in itertools.groupby(word[0].lower() for word in words))


@instruction("sentence:alliteration_increment")
def alliteration_increment(response: str) -> str | None:
    """Each sentence has a longer run of words that begin alike than the one before; two sentences at least."""
    wrong, sentences = _of_words(response)
    for before, after in itertools.pairwise(map(_longest_alliteration, sentences)):
        if after <= before:
            return f"a run of {after} words that begin alike after one of {before}"
    return wrong


@instruction("words:last_first")
def last_first(response: str) -> str | None:
    """Each sentence begins with the word that the one before ends with, in any case; two sentences at least."""
    wrong, sentences = _of_words(response)
    for before, after in itertools.pairwise(sentences):
        if before[-1].lower() != after[0].lower():
            return f"{quote(after[0])} after {quote(before[-1])}"
    return wrong


@instruction("words:paragraph_last_first")
def paragraph_last_first(response: str) -> str | None:
    """Each paragraph (a line with words) ends with the word that it begins with, in any case."""
    paragraphs = [words for words in map(text.split_words, text.lines_of(response)) if words]
    if not paragraphs:
        return "no word"
    for words in paragraphs:
        if words[0].lower() != words[-1].lower():
            return f"a paragraph begins with {quote(words[0])}, ends with {quote(words[-1])}"
    return None


@instruction("detectable_format:sentence_hyphens")
def sentence_hyphens(response: str) -> str | None:
    """Sentences are joined by hyphens without white space: `One.-Two.`; a single sentence needs none."""
    if text.count_sentences(response) > 1:
        return "white space between two sentences"
    return "no bare hyphen between two sentences" if _HYPHEN_APART.search(response) else None


@instruction("format:emoji")
def emoji_at_ends(response: str) -> str | None:
    """Every sentence ends with an emoji, before or behind its mark.

    An emoji behind the mark stands at the beginning of the next piece.
    """
    sentences = text.split_sentences(response)
    if not sentences:
        return "no sentence"
    for sentence, behind in itertools.zip_longest(sentences, sentences[1:], fillvalue=""):
        last = sentence.rstrip(_AFTER_EMOJI)[-1:]
        if not text.is_emoji(last) and not text.is_emoji(behind[:1]):
            return f"no emoji after {quote(sentence[-20:])}"
    return None


@instruction("custom:sentence_alphabet")
def sentence_alphabet(response: str) -> str | None:
    """26 sentences that begin with the letters of the alphabet in order."""
    sentences = text.split_sentences(response)
    if len(sentences) != 26:
        return f"{len(sentences)} sentences, 26 asked for"
    for letter, sentence in zip("abcdefghijklmnopqrstuvwxyz", sentences, strict=True):
        words = text.split_words(sentence)
        if not words or words[0][0].lower() != letter:
            return f"{quote(sentence[:20])} does not begin with {letter.upper()}"
    return None
