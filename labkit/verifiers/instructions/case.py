"""Kinds about the whole response as written: its language, its letters' case, marks that it must not have, its ends."""

from __future__ import annotations

from labkit.verifiers.instructions import text
from labkit.verifiers.instructions.language import detect_language, is_likely, other_language
from labkit.verifiers.instructions.registry import Language, Number, Relation, Text, compare, instruction
from labkit.verifiers.instructions.vocabulary import MINOR_WORDS
from labkit.verifiers.score import quote


@instruction("language:response_language")
def response_language(response: str, language: Language) -> str | None:
    """The likeliest language is the one asked for (an ISO 639-1 code), or it may well be it; see `language.is_likely`.

    A text that gives no evidence, such as "12345", does not count as kept; the reference lets it pass, which a policy
    soon finds.
    """
    if is_likely(response, language):
        return None
    found = detect_language(response)
    return f"the language cannot be told, {language} asked for" if found is None else f"in {found}, not in {language}"


def _english(response: str) -> str | None:
    found = other_language(response, "en")
    return None if found is None else f"in {found}, not in English"


@instruction("change_case:english_capital")
def english_capital(response: str) -> str | None:
    """Capital letters alone, and not clearly in another language than English."""
    return _english(response) if response.isupper() else "not all in capital letters"


@instruction("change_case:english_lowercase")
def english_lowercase(response: str) -> str | None:
    """Small letters alone, and not clearly in another language than English."""
    return _english(response) if response.islower() else "not all in small letters"


@instruction("change_case:capital_word_frequency")
def capital_words(response: str, capital_frequency: Number, capital_relation: Relation = "at least") -> str | None:
    """How many words are all in capital letters; see `text.count_capital_words`."""
    return compare(text.count_capital_words(response), capital_relation, capital_frequency, "words in capitals")


@instruction("count:lowercase_counting")
def lowercase_words(response: str, N: Number) -> str | None:
    """At most so many words all in small letters."""
    found = sum(map(str.islower, text.split_words(response)))
    return None if found <= N else f"{found} words in small letters, at most {N} asked for"


@instruction("format:title_case")
def title_case(response: str) -> str | None:
    """Every word begins with a capital letter, save short articles, conjunctions and prepositions inside a title.

    Words with a capital letter inside (`iPhone`) pass; a text all in capital letters is not in title case.
    """
    words = [word for word in text.split_words(response) if word[0].isalpha()]
    if not words:
        return "no word"
    if len(words) > 1 and response.isupper():
        return "all in capital letters"
    for place, word in enumerate(words):
        if word.islower() and (place == 0 or word not in MINOR_WORDS):
            return f"{quote(word)} begins with a small letter"
    return None


# -------------------------------------------------------------------------------------- marks that must not occur


@instruction("punctuation:no_comma")
def no_comma(response: str) -> str | None:
    """No comma."""
    return "has a comma" if "," in response else None


@instruction("punctuation:punctuation_dot")
def no_dot(response: str) -> str | None:
    """No full stop, nor any other dot on the line."""
    return "has a dot" if "." in response else None


@instruction("punctuation:punctuation_exclamation")
def no_exclamation(response: str) -> str | None:
    """No exclamation mark."""
    return "has an exclamation mark" if "!" in response else None


@instruction("format:no_whitespace")
def no_whitespace(response: str) -> str | None:
    """No white space between the first and the last character."""
    return "has white space" if any(map(str.isspace, response.strip())) else None


# ------------------------------------------------------------------------------------------------------ the ends


@instruction("startend:end_checker")
def end_checker(response: str, end_phrase: Text) -> str | None:
    """The response ends with the phrase, in any case; closing double quotes may follow."""
    ends = response.strip().strip('"').lower().endswith(end_phrase.strip().lower())
    return None if ends else f"does not end with {quote(end_phrase.strip())}"


@instruction("startend:quotation")
def quotation(response: str) -> str | None:
    """The whole response stands between double quotes."""
    body = response.strip()
    return None if len(body) > 1 and body[0] == body[-1] == '"' else "not wrapped in double quotes"
