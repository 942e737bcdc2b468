"""Kinds about every word: its letters, its sounds, and how it goes with its neighbours."""

from __future__ import annotations

import itertools
import math
import re

from labkit.verifiers.instructions import text
from labkit.verifiers.instructions.registry import Number, Percentage, Position, compare, instruction
from labkit.verifiers.instructions.syllables import count_syllables
from labkit.verifiers.instructions.verbs import is_verb
from labkit.verifiers.instructions.vocabulary import CONJUNCTIONS, PERSON_NAMES, PRONOUNS, STOP_WORDS
from labkit.verifiers.score import quote

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_CLUSTER = re.compile(r"[bcdfghjklmnpqrstvwxyz]{2}")
_TOKEN = re.compile(r"\w+")
_QUOTED = re.compile(r"[\"“]([^\"“”]*)[\"”]")
_JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
# A number as one reads it: digits with marks inside, but no dash and no white space (3.14, 1,000, 10:30, 1/2).
_NUMBER = re.compile(r"\d+(?:[!-/:-@\[-`{-~]++\d+)*")


def _letters(word: str) -> str:
    """A word in small letters without the marks inside it: `don't` is `dont`."""
    return "".join(filter(str.isalnum, word.lower()))


def _words(response: str) -> list[str]:
    """Words that have a letter: numbers are none."""
    return [word for word in text.split_words(response) if any(map(str.isalpha, word))]


# -------------------------------------------------------------------------------------------- the first letters


@instruction("words:alphabet")
def alphabet(response: str) -> str | None:
    """Each word begins with the letter after the one before, A after Z; two words at least, and no numbers."""
    words = text.split_words(response)
    if len(words) < 2:
        return f"{len(words)} words, two at least asked for"
    places = [_ALPHABET.find(word[0].lower()) for word in words]
    for (before, after), word in zip(itertools.pairwise(places), words[1:], strict=True):
        if before < 0 or after != (before + 1) % 26:
            return f"{quote(word)} does not begin with the next letter"
    return None


@instruction("words:no_consecutive")
def no_consecutive(response: str) -> str | None:
    """No two words side by side begin with the same letter."""
    for before, after in itertools.pairwise(text.split_words(response)):
        if before[0].lower() == after[0].lower():
            return f"{quote(before)} and {quote(after)} begin alike"
    return None


@instruction("keywords:no_adjacent_consecutive")
def no_adjacent_consecutive(response: str) -> str | None:
    """No word is followed by one that begins with the next letter of the alphabet."""
    for before, after in itertools.pairwise(text.split_words(response)):
        first, second = _ALPHABET.find(before[0].lower()), _ALPHABET.find(after[0].lower())
        if second - first == 1 and first >= 0:
            return f"{quote(before)} and {quote(after)} begin with neighbours in the alphabet"
    return None


# ------------------------------------------------------------------------------------------- letters and sounds


@instruction("words:vowel")
def three_vowels(response: str) -> str | None:
    """One paragraph (a line) with at most three of the vowels a, e, i, o, u."""
    lines = text.lines_of(response)
    if len(lines) != 1:
        return f"{len(lines)} paragraphs, one asked for"
    found = set("aeiou") & set(text.without_accents(lines[0].lower()))
    return None if len(found) <= 3 else f"the vowels {', '.join(sorted(found))}"


@instruction("words:consonants")
def consonant_clusters(response: str) -> str | None:
    """Every word has two consonants side by side; y is one."""
    words = _words(response)
    if not words:
        return "no word"
    bare = next((word for word in words if not _CLUSTER.search(word.lower())), None)
    return None if bare is None else f"{quote(bare)} has no two consonants together"


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


@instruction("words:prime_lengths")
def prime_lengths(response: str) -> str | None:
    """The letters and digits of every word are a prime number."""
    words = text.split_words(response)
    if not words:
        return "no word"
    lengths = {length: word for word in words for length in [len(_letters(word))]}
    wrong = next((length for length in lengths if not _is_prime(length)), None)
    return None if wrong is None else f"{quote(lengths[wrong])} has {wrong} letters"


def _is_palindrome(letters: str, least: int) -> bool:
    return len(letters) >= least and letters == letters[::-1]


@instruction("words:palindrome")
def ten_palindromes(response: str) -> str | None:
    """At least ten palindromes of five letters or more, each one word; a word may come again."""
    found = sum(_is_palindrome(_letters(word), 5) for word in text.split_words(response))
    return compare(found, "at least", 10, "palindromes")


@instruction("keywords:palindrome")
def palindrome(response: str) -> str | None:
    """A word of three letters or more, a sentence, or a phrase in double quotes that reads the same backwards."""
    phrases = [*_words(response), *text.split_sentences(response), *_QUOTED.findall(response)]
    spelled = ("".join(filter(str.isalpha, phrase.lower())) for phrase in phrases)
    return None if any(_is_palindrome(letters, 3) for letters in spelled) else "no palindrome"


@instruction("words:odd_even_syllables")
def odd_even_syllables(response: str) -> str | None:
    """Words with an odd and an even number of syllables take turns; two words at least, numbers are none.

    Where speech allows two counts (`fire`, `every`), either goes; see `syllables.count_syllables`.
    """
    words = [(word, counts) for word in _words(response) if (counts := count_syllables(word[:100]))]
    if len(words) < 2:
        return f"{len(words)} words, two at least asked for"
    possible = {count % 2 for count in words[0][1]}
    for word, counts in words[1:]:
        possible = {1 - parity for parity in possible} & {count % 2 for count in counts}
        if not possible:
            return f"{quote(word)} has {counts[0]} syllables, {'odd' if counts[0] % 2 else 'even'} as the word before"
    return None


@instruction("words:start_verb")
def start_verb(response: str) -> str | None:
    """The first word can be a verb; see `verbs.is_verb`."""
    words = text.split_words(response)[:2]
    if not words:
        return "no word"
    return None if is_verb(*words) else f"{quote(words[0])} is no verb"


# ------------------------------------------------------------------------------------------------ kinds of words


@instruction("count:words_japanese")
def japanese_words(response: str, N: Position) -> str | None:
    """Every word whose place is a multiple of `N` has a Japanese letter, and there is such a word."""
    words = text.split_words(response)
    if len(words) < N:
        return f"{len(words)} words, {N} at least asked for"
    foreign = next((word for word in words[N - 1 :: N] if not _JAPANESE.search(word)), None)
    return None if foreign is None else f"{quote(foreign)} is not Japanese"


@instruction("count:conjunctions")
def conjunctions(response: str, small_n: Number) -> str | None:
    """At least so many different ones of the seven coordinating conjunctions."""
    found = CONJUNCTIONS & {word.lower() for word in text.split_words(response)}
    return compare(len(found), "at least", small_n, "different conjunctions")


@instruction("count:person_names")
def person_names(response: str, N: Number) -> str | None:
    """At least so many different names out of the fifty that the prompt lists, with their capital letter."""
    found = PERSON_NAMES & set(_TOKEN.findall(response))
    return compare(len(found), "at least", N, "different names")


@instruction("count:pronouns")
def pronouns(response: str, N: Number) -> str | None:
    """At least so many pronouns, each time that one comes; `I'm` and `she/her` have theirs."""
    found = sum(token in PRONOUNS for token in _TOKEN.findall(response.lower()))
    return compare(found, "at least", N, "pronouns")


@instruction("ratio:stop_words")
def stop_words(response: str, percentage: Percentage) -> str | None:
    """At most so many per cent of the words are stop words; `don't` is two words, `don` and `t`."""
    tokens = _TOKEN.findall(response.lower())
    if not tokens:
        return "no word"
    found = 100 * sum(token in STOP_WORDS for token in tokens) / len(tokens)
    return None if found <= percentage else f"{found:.1f} % stop words, at most {percentage:g} % asked for"


@instruction("count:numbers")
def numbers(response: str, N: Number) -> str | None:
    """Exactly so many numbers in digits; `3.14`, `1,000`, `10:30` and `1/2` are one each."""
    return compare(len(_NUMBER.findall(response)), "exactly", N, "numbers")
