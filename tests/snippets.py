"""Finds a piece of source by its tokens, so that a formatter may break its lines anew, and replaces it."""

import io
import tokenize
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

# Where a line ends, how far it is indented and what a comment says are a formatter's business, not the code's.
LAYOUT = {
    *(tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.COMMENT, tokenize.ENCODING, tokenize.ENDMARKER),
}


class Span(NamedTuple):
    """A piece of a text, from character `start` to before character `end`."""

    start: int
    end: int


@lru_cache
def tokens(source: str) -> list[tuple[str, Span]]:
    """The tokens of a source, or of a fragment whose brackets may be open, and where they are.

    Layout is left out, and so is the comma that a formatter puts before a closing bracket.

    >>> [text for text, _ in tokens("f(a,  # first\\n  b,\\n)")]
    ['f', '(', 'a', ',', 'b', ')']
    """
    lines = [0]
    for line in io.StringIO(source):
        lines.append(lines[-1] + len(line))
    found: list[tuple[str, Span]] = []
    # The end of a fragment may be an error (an open bracket, an indentation that was never begun): its tokens are read.
    with suppress(tokenize.TokenError, IndentationError):
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in LAYOUT or not token.string.strip():
                continue
            if token.string in (")", "]", "}") and found and found[-1][0] == ",":
                found.pop()
            (row, column), (end_row, end_column) = token.start, token.end
            found.append((token.string, Span(lines[row - 1] + column, lines[end_row - 1] + end_column)))
    return found


def spans(source: str, snippet: str) -> list[Span]:
    """Where the snippet's tokens follow each other in a source, from the first one's start to the last one's end.

    >>> spans("x = f(\\n    a,\\n)", "f(a)")
    [Span(start=4, end=15)]
    """
    wanted = [text for text, _ in tokens(snippet)]
    there = tokens(source)
    texts = [text for text, _ in there]
    starts = [i for i in range(len(texts) - len(wanted) + 1) if texts[i : i + len(wanted)] == wanted]
    return [Span(there[i][1].start, there[i + len(wanted) - 1][1].end) for i in starts] if wanted else []


def replaced(source: str, span: Span, new: str) -> str:
    """The source with other code at a span; lines of `new` after its first are indented as far as the span's line.

    >>> replaced("if a:\\n    b()\\n", Span(10, 13), "if b:\\n    c()")
    'if a:\\n    if b:\\n        c()\\n'
    """
    line = source[source.rfind("\n", 0, span.start) + 1 : span.start]
    margin = line[: len(line) - len(line.lstrip())]
    return source[: span.start] + new.replace("\n", f"\n{margin}") + source[span.end :]
