r"""Words, sentences, bullets and the like, found in time linear in the text and with nothing to download.

The reference implementations split sentences and words with nltk's trained models. What is split here in their place
is stated in each function; on ordinary prose the two agree.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter

from labkit.verifiers.score import quote

__all__ = [
    "count_bullets",
    "count_capital_words",
    "count_highlights",
    "count_placeholders",
    "count_sentences",
    "count_words",
    "has_title",
    "is_emoji",
    "lines_of",
    "occurrences",
    "repeated_word",
    "split_fields",
    "split_sentences",
    "split_words",
    "tally_words",
    "unfenced",
    "without_accents",
]

_WORD = re.compile(r"\w+")
# A word between white space and dashes, from its first letter or digit to its last: quotes, brackets, asterisks and
# full stops around it are no part of it, what stands inside it is.
_SPOKEN_WORD = re.compile(r"[^\W_](?:[^\s–—]*[^\W_])?")
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


def split_words(text: str) -> list[str]:
    """Words as a reader counts them, without the punctuation around them: `well-known`, `don't` and `3.14` are one.

    nltk cuts contractions (`do` + `n't`) and counts each punctuation mark as a word.

    >>> split_words('"Well-known," he said (twice) - it costs **$3.50**')
    ['Well-known', 'he', 'said', 'twice', 'it', 'costs', '3.50']
    """
    return _SPOKEN_WORD.findall(text)


def tally_words(text: str) -> Counter[str]:
    """How often each word comes, in whatever case; see `split_words`."""
    return Counter(map(str.lower, split_words(text)))


def repeated_word(text: str, most: int) -> str | None:
    """A word that comes more than `most` times, said in words; None where there is none, but "no word" without words.

    >>> repeated_word("The more, the merrier", 1)
    "'the' 2 times, at most 1 asked for"
    """
    word, times = max(tally_words(text).items(), key=lambda item: item[1], default=("", 0))
    if not times:
        return "no word"
    return f"{quote(word)} {times} times, at most {most} asked for" if times > most else None


@functools.lru_cache(maxsize=4)  # one response is asked for its sentences by several instructions
def split_sentences(text: str) -> tuple[str, ...]:
    """Sentences: pieces that end in `. ! ?` (quotes and brackets may follow) before white space or the end.

    A last piece without such an end counts; a line break alone ends nothing, so a list without full stops is one
    sentence, as with nltk. A full stop ends no sentence after a common abbreviation or one with dots inside (`e.g.`)
    or an initial (`J. Bach`); after `...`, an abbreviation of a company or time, or a bare number (`1. Mix it.`), it
    does so unless the next word begins in lower case.

    >>> split_sentences("Dr. J. Bach is here. Is he? 'Yes.' It costs 3.50 dollars")
    ('Dr. J. Bach is here.', 'Is he?', "'Yes.'", 'It costs 3.50 dollars')
    """
    pieces, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        if _ends_sentence(text, match):
            pieces.append(text[start : match.end()].strip())
            start = match.end()
    rest = text[start:].strip()
    return (*pieces, rest) if rest else tuple(pieces)


def count_sentences(text: str) -> int:
    """How many sentences; see `split_sentences`.

    >>> count_sentences("One. Two! Three?"), count_sentences("")
    (3, 0)
    """
    return len(split_sentences(text))


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


@functools.lru_cache(maxsize=4096)
def _whole_word(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)


def occurrences(word: str, text: str) -> int:
    """How often a word or phrase occurs, in any case, not inside a longer word.

    >>> occurrences("art", "Art, the art of the start"), occurrences("c++", "I like C++.")
    (2, 1)
    """
    return len(_whole_word(word).findall(text))


def lines_of(text: str) -> list[str]:
    """The lines that are not blank, without the white space around them."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def unfenced(text: str) -> str:
    """What stands inside the one pair of code fences around a whole text, or the text.

    >>> unfenced("```csv\\na,b\\n```"), unfenced("a,b")
    ('a,b', 'a,b')
    """
    body = text.strip()
    if len(body) > 6 and body.startswith("```") and body.endswith("```") and "\n" in body:
        return body[:-3].partition("\n")[2].strip("\n")
    return body


def split_fields(line: str, delimiter: str) -> list[str]:
    """The fields of a line of CSV, with the double quotes that they stand in.

    >>> split_fields('1, "New York, NY",x', ",")
    ['1', '"New York, NY"', 'x']
    """
    fields, inside, start = [], False, 0
    for place, letter in enumerate(line):
        if letter == '"':
            inside = not inside
        elif letter == delimiter and not inside:
            fields.append(line[start:place].strip())
            start = place + 1
    return [*fields, line[start:].strip()]


class _Plain(dict[int, str]):
    """A letter without its accents; one at a time, since normalizing a whole text can take quadratic time."""

    def __missing__(self, code: int) -> str:
        letter = unicodedata.normalize("NFD", chr(code))[0]
        self[code] = "" if unicodedata.combining(letter) else letter
        return self[code]


_PLAIN = _Plain()


def without_accents(text: str) -> str:
    """Letters without accents.

    >>> without_accents("Chișinău, São Tomé")
    'Chisinau, Sao Tome'
    """
    return text.translate(_PLAIN)


# Emoji by their blocks in Unicode 16, arrows and typographic signs among them that are shown as pictures; with the
# signs that join, colour or enclose them.
_EMOJI = re.compile(
    "[\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935\u2b05-\u2b55"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff\ufe0f\u200d\u20e3\U000e0020-\U000e007f]"
)


def is_emoji(letter: str) -> bool:
    """Whether a character is an emoji, or a part of one.

    >>> is_emoji("😀"), is_emoji("a"), is_emoji("")
    (True, False, False)
    """
    return bool(_EMOJI.match(letter))
