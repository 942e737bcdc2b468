r"""The 25 kinds of instruction of IFEval, each a short function that returns what is wrong, or None.

Ids and argument names are the public ones of Zhou et al. (2023), "Instruction-Following Evaluation for Large Language
Models". What is asked is what the reference implementation asks, except where a docstring here says otherwise; the
differences in common:

- keywords, section names, postscript markers and forbidden words are plain text (there they are regular expressions,
  so that "C++" raises and "a.b" matches "axb");
- nothing is drawn at random: a missing relation is "at least", a missing number is a malformed reference.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable
from typing import Any

from labkit.verifiers.instructions import text as count
from labkit.verifiers.instructions.language import detect_language
from labkit.verifiers.score import quote

__all__ = ["CHECKS", "CONSTRAINED_RESPONSES", "Check"]

Check = Callable[..., str | None]
CONSTRAINED_RESPONSES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
CHECKS: dict[str, Check] = {}
"""Public id -> the check. Its keyword arguments are IFEval's; those without a default are needed."""


def instruction(name: str) -> Callable[[Check], Check]:
    """Enters a check into `CHECKS` under its public id."""

    def enter(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return enter


def _compare(found: int, relation: str, wanted: int, what: str) -> str | None:
    kept = found < wanted if relation == "less than" else found >= wanted
    return None if kept else f"{found} {what}, {relation} {wanted} asked for"


# ------------------------------------------------------------------------------------------------- keywords


@instruction("keywords:existence")
def keywords_existence(response: str, keywords: list[str]) -> str | None:
    """Every keyword occurs, in any case, also inside a longer word."""
    lowered = response.lower()
    missing = [word for word in keywords if word.lower() not in lowered]
    return f"{quote(missing[0])} does not occur" if missing else None


@instruction("keywords:frequency")
def keywords_frequency(response: str, keyword: str, frequency: int, relation: str = "at least") -> str | None:
    """How often the keyword occurs, in any case, also inside longer words, without overlaps."""
    found = response.lower().count(keyword.strip().lower())
    return _compare(found, relation, frequency, f"times {quote(keyword.strip())}")


@functools.lru_cache(maxsize=4096)
def _whole_word(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)


@instruction("keywords:forbidden_words")
def forbidden_words(response: str, forbidden_words: list[str]) -> str | None:
    """None of the words occurs, in any case, as a whole word."""
    found = next((word for word in sorted(forbidden_words) if _whole_word(word).search(response)), None)
    return None if found is None else f"{quote(found)} is forbidden"


@instruction("keywords:letter_frequency")
def letter_frequency(response: str, letter: str, let_frequency: int, let_relation: str = "at least") -> str | None:
    """How often one character (also `#` or `!`) occurs, in any case."""
    found = response.lower().count(letter.strip().lower())
    return _compare(found, let_relation, let_frequency, f"times {quote(letter.strip())}")


# ------------------------------------------------------------------------------------- language and case


@instruction("language:response_language")
def response_language(response: str, language: str) -> str | None:
    """The likeliest language is the one asked for (an ISO 639-1 code).

    A text that gives no evidence, such as "12345", does not count as kept; the reference lets it pass, which a policy
    soon finds.
    """
    found = detect_language(response)
    if found == language.lower().split("-")[0]:
        return None
    return f"the language cannot be told, {language} asked for" if found is None else f"in {found}, not in {language}"


@instruction("change_case:english_capital")
def english_capital(response: str) -> str | None:
    """Capital letters alone, in English (or too little of it to tell)."""
    if not response.isupper():
        return "not all in capital letters"
    return _not_english(response)


@instruction("change_case:english_lowercase")
def english_lowercase(response: str) -> str | None:
    """Small letters alone, in English (or too little of it to tell)."""
    if not response.islower():
        return "not all in small letters"
    return _not_english(response)


def _not_english(response: str) -> str | None:
    found = detect_language(response)
    return None if found in ("en", None) else f"in {found}, not in English"


@instruction("change_case:capital_word_frequency")
def capital_word_frequency(response: str, capital_frequency: int, capital_relation: str = "at least") -> str | None:
    """How many words are all in capital letters; see `text.count_capital_words`."""
    found = count.count_capital_words(response)
    return _compare(found, capital_relation, capital_frequency, "words in capitals")


# --------------------------------------------------------------------------------------------------- length


@instruction("length_constraints:number_sentences")
def number_sentences(response: str, num_sentences: int, relation: str = "at least") -> str | None:
    """How many sentences; see `text.count_sentences`."""
    return _compare(count.count_sentences(response), relation, num_sentences, "sentences")


@instruction("length_constraints:number_words")
def number_words(response: str, num_words: int, relation: str = "at least") -> str | None:
    """How many words; see `text.count_words`."""
    return _compare(count.count_words(response), relation, num_words, "words")


@instruction("length_constraints:number_paragraphs")
def number_paragraphs(response: str, num_paragraphs: int) -> str | None:
    """Exactly so many paragraphs between dividers `***`; only the first and the last piece may be empty."""
    pieces = [piece.strip() for piece in response.split("***")]
    if not all(pieces[1:-1]):
        return "an empty paragraph between two dividers"
    found = sum(map(bool, pieces))
    return None if found == num_paragraphs else f"{found} paragraphs, {num_paragraphs} asked for"


@instruction("length_constraints:nth_paragraph_first_word")
def nth_paragraph_first_word(response: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> str | None:
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


# -------------------------------------------------------------------------------------- content and format


@instruction("detectable_content:number_placeholders")
def number_placeholders(response: str, num_placeholders: int) -> str | None:
    """At least so many `[placeholders]`."""
    return _compare(count.count_placeholders(response), "at least", num_placeholders, "placeholders")


@instruction("detectable_content:postscript")
def postscript(response: str, postscript_marker: str = "P.S.") -> str | None:
    """The marker occurs, in any case; `P.S.` and `P.P.S` may have a space after each full stop."""
    marker, lowered = postscript_marker.strip(), response.lower()
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}.get(marker)
    found = re.search(known, lowered) if known else marker.lower() in lowered
    return None if found else f"no postscript {quote(marker)}"


@instruction("detectable_format:number_bullet_lists")
def number_bullet_lists(response: str, num_bullets: int) -> str | None:
    """Exactly so many bullet points; see `text.count_bullets`."""
    found = count.count_bullets(response)
    return None if found == num_bullets else f"{found} bullet points, {num_bullets} asked for"


@instruction("detectable_format:constrained_response")
def constrained_response(response: str) -> str | None:
    """One of the three answers occurs; other text beside it is let pass, as in the reference."""
    return None if any(answer in response for answer in CONSTRAINED_RESPONSES) else "none of the three answers"


@instruction("detectable_format:number_highlighted_sections")
def number_highlighted_sections(response: str, num_highlights: int) -> str | None:
    """At least so many parts `*so*` or `**so**`."""
    return _compare(count.count_highlights(response), "at least", num_highlights, "highlighted parts")


@functools.lru_cache(maxsize=256)
def _section(name: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(name)}\s?\d+")


@instruction("detectable_format:multiple_sections")
def multiple_sections(response: str, num_sections: int, section_spliter: str = "Section") -> str | None:
    """At least so many marks such as `Section 1`; the name is written as given, capitals too."""
    name = section_spliter.strip()
    found = len(_section(name).findall(response))
    return _compare(found, "at least", num_sections, f"sections marked {quote(name)}")


@instruction("detectable_format:json_format")
def json_format(response: str) -> str | None:
    """The whole response is JSON, bare or in one pair of code fences."""
    body = response.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        body = body.removeprefix(fence)
    try:
        json.loads(body.removesuffix("```").strip())
    except ValueError:
        return "not JSON"
    except RecursionError:
        return "JSON nested too deeply"
    return None


@instruction("detectable_format:title")
def title(response: str) -> str | None:
    """A title in double angular brackets."""
    return None if count.has_title(response) else "no <<title>>"


# ------------------------------------------------------------------------ combination, start and end, commas


@instruction("combination:two_responses")
def two_responses(response: str) -> str | None:
    """Two different responses with `******` between them."""
    pieces = [piece.strip() for piece in response.split("******")]
    if not all(pieces[1:-1]):
        return "an empty response between two dividers"
    found = [piece for piece in pieces if piece]
    if len(found) != 2:
        return f"{len(found)} responses, two asked for"
    return "the two responses are the same" if found[0] == found[1] else None


@instruction("combination:repeat_prompt")
def repeat_prompt(response: str, prompt_to_repeat: str) -> str | None:
    """The response begins with the request, in any case."""
    begins = response.strip().lower().startswith(prompt_to_repeat.strip().lower())
    return None if begins else "does not begin with the request"


@instruction("startend:end_checker")
def end_checker(response: str, end_phrase: str) -> str | None:
    """The response ends with the phrase, in any case; closing double quotes may follow."""
    ends = response.strip().strip('"').lower().endswith(end_phrase.strip().lower())
    return None if ends else f"does not end with {quote(end_phrase.strip())}"


@instruction("startend:quotation")
def quotation(response: str) -> str | None:
    """The whole response stands between double quotes."""
    body = response.strip()
    return None if len(body) > 1 and body[0] == body[-1] == '"' else "not wrapped in double quotes"


@instruction("punctuation:no_comma")
def no_comma(response: str) -> str | None:
    """No comma."""
    return "has a comma" if "," in response else None


def arguments_of(check: Check) -> dict[str, Any]:
    """The argument names of a check, each with its default, or `...` where it is needed.

    >>> arguments_of(CHECKS["keywords:frequency"])
    {'keyword': Ellipsis, 'frequency': Ellipsis, 'relation': 'at least'}
    """
    parameters = [*inspect.signature(check).parameters.values()][1:]
    return {each.name: ... if each.default is each.empty else each.default for each in parameters}
