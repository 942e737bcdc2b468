r"""Words, sentences, bullets and the like, counted in time linear in the text and with nothing to download.

The reference implementation of IFEval counts sentences and capital words with nltk's trained models. What is
counted here in their place is stated in each function; on ordinary prose the two agree.
"""

from __future__ import annotations

import re

__all__ = [
    "count_bullets",
    "count_capital_words",
    "count_highlights",
    "count_placeholders",
    "count_sentences",
    "count_words",
    "has_title",
]

_WORD = re.compile(r"\w+")
# A run of full stops and marks, closing quotes and brackets behind it, then white space or the end.
# Possessive, and begun only where a run begins: a megabyte of dots is walked over once.
_SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’»)\]}*_`]*+(?=\s|\Z)|[。！？]++")
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof rev hon gen col lt sgt capt st jr sr inc ltd co corp vs etc al approx dept est fig no vol "
    "jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
_BEFORE = 12  # characters before a full stop in which an abbreviation is sought
_OPENING = "\"'“‘«([{*_`-–—"
_CAPITAL_TOKEN = re.compile(r"[^\s,;:@#$%&?!()\[\]{}<>\"“”`…—]+")
_HIGHLIGHT = re.compile(r"\*([^\n*]*)\*")
_DOUBLE_HIGHLIGHT = re.compile(r"\*\*([^\n*]*)\*\*")


def count_words(text: str) -> int:
    """Runs of letters, digits and underscores: a word with a hyphen or an apostrophe counts as two, as in IFEval.

    >>> count_words("Well-known facts, don't they?")
    6
    """
    return len(_WORD.findall(text))


def count_sentences(text: str) -> int:
    """Sentences: pieces that end in `. ! ?` (quotes and brackets may follow) before white space or the end.

    A last piece without such an end counts; a line break alone ends nothing, so a list without full stops is one
    sentence, as with nltk. A full stop ends no sentence after a common abbreviation or one with dots inside (`e.g.`)
    or an initial (`J. Bach`); after `...`, an abbreviation of a company or time, or a bare number (`1. Mix it.`), it
    does so unless the next word begins in lower case.

    >>> count_sentences("Dr. J. Bach is here. Is he? \\"Yes.\\" It costs 3.50 dollars")
    4
    >>> count_sentences("")
    0
    """
    count, start = 0, 0
    for match in _SENTENCE_END.finditer(text):
        if _ends_sentence(text, match):
            count += 1
            start = match.end()
    return count + bool(text[start:].strip())


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    marks, start = match.group(), match.start()
    if marks[0] not in ".…" or "!" in marks or "?" in marks:
        return True
    goes_on = _next_letter(text, match.end())
    if not goes_on:
        return True
    if marks[0] == "…" or marks[1:2] == ".":
        return not goes_on.islower()
    words = text[max(0, start - _BEFORE) : start].split()
    word = words[-1].lstrip(_OPENING) if words and not text[start - 1].isspace() else ""
    if word.isdecimal():
        return not goes_on.islower()
    initial = len(word) == 1 and word.isupper() and word != "I"
    return not (initial or "." in word or word.lower() in _ABBREVIATIONS) or _starts_a_sentence(word, goes_on)


def _starts_a_sentence(word: str, goes_on: str) -> bool:
    """After `etc.` and `Inc.` a capital begins a sentence; after `Mr.` and `e.g.` it begins a name."""
    return word.lower() in {"etc", "inc", "ltd", "co", "corp", "jr", "sr", "al"} and goes_on.isupper()


def _next_letter(text: str, start: int, reach: int = 20) -> str:
    """The first character after white space and opening marks, or "" at the end of the text."""
    return text[start : start + reach].lstrip().lstrip(_OPENING)[:1] or text[start + reach :][:1]


def count_capital_words(text: str) -> int:
    """Words whose letters are all capitals, `I` and `A` among them; `WELL-KNOWN` and `DON'T` are one word each.

    nltk takes contractions apart, so that the reference counts `DON'T` twice.

    >>> count_capital_words("NASA and ESA: a WELL-KNOWN fact, I say, in 3D")
    5
    """
    return sum(map(str.isupper, _CAPITAL_TOKEN.findall(text)))


def count_bullets(text: str) -> int:
    """Lines that begin with `-`, or with `*` and something other than a second `*`.

    `---` counts, as in IFEval; a `*` alone on its line does not.

    >>> count_bullets("* one\\n  - two\\n** three\\n*")
    2
    """
    lines = [line.lstrip() for line in text.split("\n")]
    return sum(line[:1] == "-" or (line[:1] == "*" and line[1:2] not in ("", "*")) for line in lines)


def count_placeholders(text: str) -> int:
    """Pairs of square brackets on one line, such as `[address]`.

    >>> count_placeholders("Dear [name], [] and [unclosed")
    2
    """
    return sum(_pairs(line) for line in text.split("\n") if "]" in line)


def _pairs(line: str) -> int:
    count, start = 0, line.find("[")
    while start >= 0:
        end = line.find("]", start)
        if end < 0:
            break
        count, start = count + 1, line.find("[", end)
    return count


def count_highlights(text: str) -> int:
    """Parts marked `*so*` or `**so**` on one line, with something inside.

    >>> count_highlights("*one* **two** ** ** *not\\nthis*")
    2
    """
    single, double = _HIGHLIGHT.findall(text), _DOUBLE_HIGHLIGHT.findall(text)
    return sum(bool(inside.strip()) for inside in single) + sum(bool(inside.strip()) for inside in double)


def has_title(text: str) -> bool:
    """Whether a line holds `<<something>>`.

    >>> has_title("<<poem of joy>>"), has_title("<< >>"), has_title("<<not\\nthis>>")
    (True, False, False)
    """
    for line in text.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start < end and line[start : end + 2].lstrip("<").rstrip(">").strip():
            return True
    return False
