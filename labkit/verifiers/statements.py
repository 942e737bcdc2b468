r"""Answers that a text states in its own words: GSM8K's `#### x`, "the answer is x", "Final answer: x".

A Markdown heading with four hashes (`#### Step 3: Add`) is no answer line, and "Answer:" before a whole solution is no
statement: what follows must look like an answer.
"""

from __future__ import annotations

import re

from labkit.verifiers.marks import unwrap
from labkit.verifiers.notation import VULGAR

__all__ = ["last_hashes", "last_statement"]

WINDOW = 1_000
"""Characters behind "the answer is" that may belong to the statement."""
SHORT = 200
"""Characters at the beginning of a statement that show whether it is an answer."""
MAX_TRIES = 20
"""Statements, from the last on, that are looked at until one holds an answer."""

# A value begins with a digit, a sign before one, a formula or a lone symbol; not with a word.
_MARKS = r"[\s*_`\"“„'‘«(\[{$€£¥₹|+\-−–.=<>≤≥≈~±√]*"
_VALUE = re.compile(
    rf"{_MARKS}(?:(?:minus|negative|US|USD|EUR|about) ?)?{_MARKS}"
    rf"(?:[0-9{VULGAR}∞π∅]|\\[A-Za-z{{]|[A-Za-z](?![A-Za-z'’])(?! [a-z]{{2,}}))",
    re.IGNORECASE,
)
_OPTION = re.compile(r"(?:(?:[Oo]ption|[Cc]hoice) )?[*_`(\[]*[A-Z](?:[)\].:*_`]+(?:\s|$)|\s*$)")
_TWO_NUMBERS = re.compile(rf"[0-9{VULGAR}][^=\n]*?(?<![\\A-Za-z{{])[A-Za-z]{{2,}}[^=\n]*[0-9{VULGAR}]")
_SENTENCE_END = re.compile(r"(?<!\bapprox)(?<!\bRs)(?<!\bsq)(?<!\bNo)\.(?=\s|$)|。")

_NUMBERED = re.compile(r"[0-9]{1,3}(?:[.):]| ?[-–])\s+(?!I\b)[A-Za-z]")
_TITLE = re.compile(r"[0-9]+ +[A-Z][a-z]")
_HEADING = re.compile(
    r"[*_]*(?:step|part|case|section|stage|phase|method|problem|question|example|exercise|solution|explanation|answer|"
    r"conclusion|summary|note|verification|check|calculation|reasoning|analysis|given|approach|option|figure|chapter|"
    r"theorem|lemma|proof|day|task|final)\b",
    re.IGNORECASE,
)
_LABELLED = re.compile(
    r"[*_]*(?:the +)?(?:(?:final|correct) +)?(?:answer|result)[*_ ]*(?:is\b|[:=：]|[-–] )[\s:*_]*(?=\S)", re.IGNORECASE
)
# Before and behind the word "answer": a sentence's subject, a title, or a bare label at the start of a line.
_KEY = re.compile(r"(?:[aA]ns(?:wer)?|A(?:NS|NSWER))(?![A-Za-z])")
_SAID = re.compile(
    r"\b(?:the|my|our|your)[\s*_]+(?:(?:final|correct|right|numerical|exact|required)[\s*_]+)?$", re.I | re.A
)
_TITLED = re.compile(r"\b(?:final|correct)[\s*_]+$", re.I | re.A)
_LINE_START = re.compile(r"(?:^|\n)[ \t>#*_-]*(?:(?:the +)?(?P<titled>(?:final|correct) +))?$", re.I | re.A)
_OF_WHAT = r"(?:\s+(?:to|of|for)\s+(?:the|this|that|our)\s+\w{1,30})?[*_]*"
_IS = re.compile(
    rf"{_OF_WHAT}\s+(?:is|was|would be|will be|must be|should be|becomes|equals)\b"
    r"(?:[\s,]+(?:therefore|thus|then|hence|simply|indeed|now)\b,?)?",
    re.I | re.A,
)
_COLON = re.compile(rf"{_OF_WHAT}[ \t*_.]*[:=：]", re.I | re.A)
_LINE_END = re.compile(r"[ \t*_#:]*\n")


def last_hashes(text: str) -> str | None:
    r"""GSM8K's way: what follows the last `####` on its line, unless that is a heading.

    >>> last_hashes("5 + 13 = 18\n#### 18"), last_hashes("####: 18 eggs"), last_hashes("#### Final Answer: 18")
    ('18', '18 eggs', '18')
    >>> last_hashes("#### 18\n#### Step 2: Check\nIt fits."), last_hashes("#### 1. Add\n5 + 13")
    ('18', None)
    """
    place = text.rfind("####")
    if place < 0:
        return None
    content = text[place + 4 :].strip()
    if content.replace(",", "").isdecimal():  # the commonest
        return content
    end, written = len(text), len(text.rstrip("# \t\r\n"))
    while (place := text.rfind("####", 0, end)) >= 0:
        start = text.rfind("\n", 0, place) + 1
        stop = text.find("\n", place)
        stop = len(text) if stop < 0 else stop
        line = text[start:stop].rstrip().rstrip("#").rstrip()
        at = line.rfind("####")
        if at >= 0:
            heads = not line[:at].strip(" \t#>*-")
            answer = _answer_line(line[at + 4 :].lstrip(" \t:=："), heads, stop >= written)
            if answer:
                return answer
        end = start
    return None


def _answer_line(content: str, heads: bool, last: bool) -> str | None:
    """What a line with four hashes answers. `heads`: they begin the line, as in a heading; `last`: no text follows."""
    labelled = _LABELLED.match(content)
    if labelled:
        content = content[labelled.end() :]
    if not content or not (heads or labelled):
        return unwrap(content) or None
    if _NUMBERED.match(content) or (_TITLE.match(content) and not last):
        return None
    if labelled or _begins_right(content) or (last and not _HEADING.match(content) and not content.endswith(":")):
        return unwrap(content) or None
    return None


def last_statement(text: str) -> str | None:
    r"""What the last "the answer is", "Final answer:" or "Answer:" states, to the end of its sentence.

    >>> last_statement("So the answer is: **18**. Well done!"), last_statement("**Final Answer:**\n\\[ 14/3 \\]")
    ('18', '14/3')
    >>> last_statement("Answer: 18 eggs"), last_statement("Answer: There are 15 at first. Later there are 21.")
    ('18 eggs', None)
    """
    end, tries, capitals = len(text), 0, "NS" in text
    while tries < MAX_TRIES:  # from the last word with "ns" on
        end = max(text.rfind("ns", 0, end), text.rfind("NS", 0, end) if capitals else -1)
        if end < 1:
            return None
        key = _KEY.match(text, end - 1)
        tries += key is not None
        answer = _stated(text, key) if key else None
        if answer:
            return answer
    return None


def _stated(text: str, key: re.Match[str]) -> str | None:
    """What the statement around one "answer" says, or None: it is no statement, or what follows is no answer."""
    is_ = _IS.match(text, key.end())
    before = text[max(0, key.start() - 60) : key.start()]
    quick = before[-4:] in ("the ", "The ") and not before[-5:-4].isalpha()
    if is_ and (quick or _SAID.search(before) or _TITLED.search(before)):
        answer, below = _behind(text, is_.end())
        return answer if not below or _looks_right(answer) else None
    line, titled = _LINE_START.search(before), _SAID.search(before) or _TITLED.search(before)
    end = is_ or _COLON.match(text, key.end())
    if end is None and line and line["titled"]:
        end = _LINE_END.match(text, key.end())
    if end is None or not (line or titled):
        return None
    answer, below = _behind(text, end.end() - end.group().endswith("\n"))
    if _TWO_NUMBERS.search(answer, 0, SHORT):
        return None
    looks_right = _looks_right if titled or (line and line["titled"]) else _begins_right
    return answer if looks_right(answer) or (titled and not below) else None


def _behind(text: str, start: int) -> tuple[str, bool]:
    """The sentence at a place of a text without the marks around it, and whether it stands on a line of its own."""
    rest = text[start : start + WINDOW].lstrip(" \t:：")
    if rest[:1] in ("*", "_"):
        rest = re.sub(r"^[*_]+(?=\s|$)[ \t:：]*", "", rest)
    below = rest[:1] == "\n"
    return unwrap(_SENTENCE_END.split(_first_line(rest.lstrip()), maxsplit=1)[0]), below


def _begins_right(answer: str) -> bool:
    """Whether a text begins as an answer does."""
    return bool(_VALUE.match(answer, 0, SHORT) or _OPTION.match(answer))


def _looks_right(answer: str) -> bool:
    """Whether a text begins as an answer does, or holds one number among its words."""
    return _begins_right(answer) or re.fullmatch(r"[^0-9]*[0-9.,]+[^0-9]*", answer) is not None


def _first_line(text: str) -> str:
    """The first line of a text; a displayed formula and what follows it on its last line count as one."""
    for start, end in (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)")):
        if text.startswith(start) and (close := text.find(end, 2)) > 0:
            return f"{start}{' '.join(text[2:close].split())}{end}{text[close + 2 :].partition(chr(10))[0]}"
    return text.partition("\n")[0]
