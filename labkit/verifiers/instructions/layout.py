"""Kinds about how a response is laid out, by IFBench: `format:`, and punctuation that it must have."""

from __future__ import annotations

import functools
import itertools
import re

from labkit.verifiers.instructions import text
from labkit.verifiers.instructions.registry import Text, Word, instruction
from labkit.verifiers.score import quote

_CLOSES = {")": "(", "]": "[", "}": "{"}
_DOUBLE, _SINGLE = '"“”', "'‘’"
_INTERROBANG = re.compile(r"\?!|!\?|‽")
_QUOTED_MARK = re.compile(r"'[\"“”]'")
_ANY_DOUBLE = re.compile(r"[\"“”]")
_OR = re.compile(r",?\s+or\s+")
_LETTERED = re.compile(r"\W*a\W*b\W*c\b", re.IGNORECASE)
_HEADING = re.compile(r"^(?:#{1,6}[ \t].*|[ \t]*<h[1-6]\b.*)$", re.MULTILINE)
_ITALIC = re.compile(r"^[ \t*_>-]*(?:<p>[ \t]*)?<(i|em)\b[^<>]*>", re.MULTILINE | re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_TEMPLATE = {"My Answer:": "[answer]", "My Conclusion:": "[conclusion]", "Future Outlook:": "[outlook]"}


# ---------------------------------------------------------------------------------------------------- nesting


def _deepest(marks: list[tuple[str, str]]) -> int:
    """How deep well-closed pairs nest, given (mark, the opening mark that it closes) in order.

    A mark that equals what it closes opens where it closes nothing: quotes. A closing mark that does not fit ends
    everything that is open.
    """
    open_marks, heights, deepest = [], [0], 0
    for mark, closes in marks:
        if closes and open_marks and open_marks[-1] == closes:
            open_marks.pop()
            height = heights.pop() + 1
            heights[-1] = max(heights[-1], height)
            deepest = max(deepest, height)
        elif closes in ("", mark):
            open_marks.append(mark)
            heights.append(0)
        else:
            open_marks, heights = [], [0]
    return deepest


@instruction("format:parentheses")
def parentheses(response: str) -> str | None:
    """Brackets of any of the three kinds nest five deep, each closed by its own."""
    found = _deepest([(mark, _CLOSES.get(mark, "")) for mark in response if mark in "()[]{}"])
    return None if found >= 5 else f"brackets nest {found} deep, 5 asked for"


@instruction("format:quotes")
def quotes(response: str) -> str | None:
    """Double and single quotes take turns three deep, each closed; an apostrophe between letters is no quote."""
    marks = []
    for place, mark in enumerate(response):
        if mark in _DOUBLE:
            marks.append(('"', '"'))
        elif mark in _SINGLE:
            inside = response[place - 1 : place].isalpha() and response[place + 1 : place + 2].isalpha()
            marks += [] if inside else [("'", "'")]
    found = _deepest(marks)
    return None if found >= 3 else f"quotes nest {found} deep, 3 asked for"


@instruction("format:quote_unquote")
def quote_unquote(response: str) -> str | None:
    """Behind each phrase in double quotes come words outside quotes; a quote that is never closed is no phrase."""
    parts = _ANY_DOUBLE.split(_QUOTED_MARK.sub("", response))  # outside, inside, outside, ...
    behind = parts[2::2]
    bare = next((place for place, part in enumerate(behind) if not any(map(str.isalpha, part))), None)
    return None if bare is None else f"no words behind the quote {quote(parts[2 * bare + 1])}"


@instruction("count:punctuation")
def punctuation(response: str) -> str | None:
    """Each of `. , ! ? ; :` and, apart from these, an interrobang: `?!`, `!?` or `‽`."""
    if not _INTERROBANG.search(response):
        return "no interrobang"
    rest = _INTERROBANG.sub("", response, count=1)
    missing = [mark for mark in ".,!?;:" if mark not in rest]
    return f"no {missing[0]}" if missing else None


# ------------------------------------------------------------------------------------------------ whole answers


def _options(options: str) -> list[str]:
    """The options of `yes/no/maybe`, `I know or I don't know`, `a), b), c)`, `red, green or blue`."""
    if "/" in options:
        pieces = options.split("/")
    else:
        pieces = [piece for part in _OR.split(options) for piece in part.split(",")]
    return [piece.strip() for piece in pieces if piece.strip()]


def _core(answer: str) -> str:
    return answer.strip(" .,;:!?\"'“”‘’*_()[]{}`-\n").lower()


@instruction("format:options")
def options(response: str, options: Text) -> str | None:
    """The response is one of the options: lettered ones exactly as written, others up to case and punctuation."""
    choices, answer = _options(options), response.strip()
    kept = answer in choices if _LETTERED.match(options) else _core(answer) in map(_core, choices)
    return None if kept else f"{quote(answer)} is none of {len(choices)} options"


@instruction("format:output_template")
def output_template(response: str) -> str | None:
    """`My Answer: ... My Conclusion: ... Future Outlook: ...` in this order from the beginning on, each filled in."""
    parts, rest = [], response
    for label in _TEMPLATE:
        before, found, rest = rest.partition(label)
        if not found:
            return f"{label} does not come in its place" if label in response else f"no {label}"
        parts.append(before)
    start, *filled = [*parts, rest]
    if text.split_words(start):
        return "does not begin with My Answer:"
    for (label, gap), part in zip(_TEMPLATE.items(), filled, strict=True):
        if not text.split_words(part) or part.strip().lower() == gap:
            return f"nothing behind {label}"
    return None


@instruction("format:newline")
def one_word_per_line(response: str) -> str | None:
    """No line has two words; blank lines may stand between."""
    lines = [words for words in map(text.split_words, response.split("\n")) if words]
    if not lines:
        return "no word"
    return next((f"{quote(' '.join(words[:5]))} on one line" for words in lines if len(words) > 1), None)


@instruction("format:line_indent")
def stairs(response: str) -> str | None:
    """Each line that is not blank is indented more than the one before; two lines at least."""
    depths = [len(line) - len(line.lstrip(" \t")) for line in response.split("\n") if line.strip()]
    if len(depths) < 2:
        return f"{len(depths)} lines, two at least asked for"
    steps = itertools.pairwise(depths)
    return next(
        (f"a line indented by {after} after one by {before}" for before, after in steps if after <= before), None
    )


# -------------------------------------------------------------------------------------------- lists and sections


def _is_star(line: str) -> bool:
    """Whether a line is a bullet point `* so` or `*so`: `**bold**` and `*slanted* words` are none."""
    return line.startswith("*") and len(line) > 1 and (line[1].isspace() or "*" not in line[1:])


@functools.lru_cache(maxsize=256)
def _marker(sep: str) -> re.Pattern[str]:
    # A word or a mixture of marks stands for an item wherever it comes; one mark (`-`, `...`) is common in sentences.
    return re.compile(rf"(?<!\S){re.escape(sep)}" if len(set(sep)) > 1 else rf"^[ \t]*{re.escape(sep)}", re.MULTILINE)


@instruction("format:list")
def list_of(response: str, sep: Word) -> str | None:
    """At least two items behind the marker: on lines that begin with it, or, where it is no mark of sentences
    (`SEPARATOR`, `!?!?`), anywhere behind white space.
    """
    pieces = _marker(sep).split(response)[1:]
    items = [piece for piece in pieces if piece[:1] != sep[-1] and text.split_words(piece.partition("\n")[0])]
    return None if len(items) >= 2 else f"{len(items)} items behind {quote(sep)}, two at least asked for"


@instruction("format:sub-bullets")
def sub_bullets(response: str) -> str | None:
    """Lines that begin with `*`, one at least, and behind each one, before the next, a line that begins with `-`."""
    marks = "".join("*" if _is_star(line) else "-" if line.startswith("-") else "" for line in text.lines_of(response))
    points = marks.split("*")[1:]
    if not points:
        return "no bullet point *"
    return None if all(points) else "a bullet point * without a - below it"


@instruction("format:no_bullets_bullets")
def sentences_then_bullets(response: str) -> str | None:
    """At least two sentences that end in a full stop, then at least two bullet points `*`."""
    lines = text.lines_of(response)
    stars = [place for place, line in enumerate(lines) if _is_star(line)]
    before = "\n".join(lines[: stars[0]] if stars else lines)
    found = sum(sentence.rstrip("\"'”’)*_").endswith(".") for sentence in text.split_sentences(before))
    if found < 2:
        return f"{found} sentences that end in a full stop before the bullet points, 2 asked for"
    return None if len(stars) >= 2 else f"{len(stars)} bullet points *, 2 asked for"


@instruction("format:thesis")
def thesis(response: str) -> str | None:
    """Each section begins with words in `<i>` or `<em>` and goes on outside them.

    Sections are what stands under headings (`# ...` or `<h2>`); without any, the whole response is one, in which the
    line with the thesis may have others before it.
    """
    before, *sections = _HEADING.split(response)
    sections = [section for section in sections if section.strip()]
    if not sections:
        first = _ITALIC.search(before)
        sections = [before[first.start() :] if first else before]
    return next((wrong for section in sections if (wrong := _without_thesis(section.lstrip("\n")))), None)


def _without_thesis(section: str) -> str | None:
    opens = _ITALIC.match(section)
    closes = section.lower().find(f"</{opens.group(1).lower()}>", opens.end()) if opens else -1
    if opens is None or not text.split_words(section[opens.end() : max(closes, 0)]):
        return "a section that does not begin with a thesis in <i> or <em>"
    return None if text.split_words(_TAG.sub(" ", section[closes:])) else "nothing behind the thesis"
