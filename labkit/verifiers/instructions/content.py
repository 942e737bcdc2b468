"""Kinds about what a response holds and how it is laid out, by IFEval and its training kinds: `detectable_content:`,
`detectable_format:`.
"""

from __future__ import annotations

import functools
import json
import re

from labkit.verifiers.instructions import text
from labkit.verifiers.instructions.registry import Number, Text, compare, instruction
from labkit.verifiers.score import quote

__all__ = ["CONSTRAINED_RESPONSES"]

CONSTRAINED_RESPONSES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_BRACKETED = re.compile(r"\[[^\[\]\s]*\]")
_WRAPPED = re.compile(r"<<([^<>]*)>>")


@instruction("detectable_content:number_placeholders")
def number_placeholders(response: str, num_placeholders: Number) -> str | None:
    """At least so many `[placeholders]`."""
    return compare(text.count_placeholders(response), "at least", num_placeholders, "placeholders")


@instruction("detectable_content:postscript")
def postscript(response: str, postscript_marker: Text = "P.S.") -> str | None:
    """The marker occurs, in any case; `P.S.` and `P.P.S` may have a space after each full stop."""
    marker, lowered = postscript_marker.strip(), response.lower()
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}.get(marker)
    found = re.search(known, lowered) if known else marker.lower() in lowered
    return None if found else f"no postscript {quote(marker)}"


@instruction("detectable_format:number_bullet_lists")
def number_bullet_lists(response: str, num_bullets: Number) -> str | None:
    """Exactly so many bullet points; see `text.count_bullets`."""
    return compare(text.count_bullets(response), "exactly", num_bullets, "bullet points")


@instruction("detectable_format:constrained_response")
def constrained_response(response: str) -> str | None:
    """One of the three answers occurs; other text next to it is let pass, as in the reference."""
    return None if any(answer in response for answer in CONSTRAINED_RESPONSES) else "none of the three answers"


@instruction("detectable_format:number_highlighted_sections")
def number_highlighted_sections(response: str, num_highlights: Number) -> str | None:
    """At least so many parts `*so*` or `**so**`."""
    return compare(text.count_highlights(response), "at least", num_highlights, "highlighted parts")


@functools.lru_cache(maxsize=256)
def _section(name: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(name)}\s?\d+")


@instruction("detectable_format:multiple_sections")
def multiple_sections(response: str, num_sections: Number, section_spliter: Text = "Section") -> str | None:
    """At least so many marks such as `Section 1`; the name is written as given, capitals too."""
    name = section_spliter.strip()
    found = len(_section(name).findall(response))
    return compare(found, "at least", num_sections, f"sections marked {quote(name)}")


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
    return None if text.has_title(response) else "no <<title>>"


@instruction("detectable_format:square_brackets")
def square_brackets(response: str) -> str | None:
    """Each word stands in square brackets of its own; punctuation may stand outside them."""
    if not any(map(text.split_words, _BRACKETED.findall(response))):
        return "no word in square brackets"
    bare = text.split_words(_BRACKETED.sub(" ", response))
    return f"{quote(bare[0])} is not in square brackets" if bare else None


@instruction("detectable_format:bigram_wrapping")
def bigram_wrapping(response: str) -> str | None:
    """Words stand in pairs, `<<each pair>> <<like this>>`; a last word without a partner may stand as it likes."""
    parts = [text.split_words(part) for part in _WRAPPED.split(response)]  # outside, inside, outside, ..., outside
    if not any(len(inside) == 2 for inside in parts[1::2]):
        return "no pair of words in << >>"
    wrong = [words for place, words in enumerate(parts) if len(words) != 2 * (place % 2)]
    lone = len(wrong) == 1 and len(wrong[0]) == 1 and any(wrong[0] is part for part in parts[-2:])
    return f"{quote(' '.join(wrong[0][:5]))} is no pair in << >>" if wrong and not lone else None
