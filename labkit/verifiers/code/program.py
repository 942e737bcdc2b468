"""Which program of a completion is judged.

Models write their answer in many ways: in one block or in several, with an example of its use behind it, inside a
list, without any fence, or as the rest of a function that the prompt began. The blocks are found first (`_fenced`,
`_unfenced`), then the one that counts is chosen and what it needs is put in front of it (`_chosen`).
"""

from __future__ import annotations

import ast
import collections
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from labkit.verifiers.code.names import BUILTINS, Names, names_of
from labkit.verifiers.extract import ANSWER_CLOSE, ANSWER_OPEN, split_thinking

__all__ = ["MAX_PROGRAM", "Wanted", "extract_program"]

MAX_PROGRAM = 50_000
"""Characters of a program that is still read; the largest model's answer is far below."""
MAX_BLOCKS = 60
"""Blocks of a completion that are looked into, the last ones; pieces of text without a fence, the first ones."""


@dataclass(frozen=True)
class Wanted:
    """What the tests ask of a program.

    Attributes:
        names: what it must define; with `one`, one of them is enough.
        script: whether it is run as a script, which prints; `names` is empty then.
        prompt: the beginning of the program, where the prompt was one; an answer may go on from there.
    """

    names: frozenset[str] = frozenset()
    one: bool = False
    script: bool = False
    prompt: str = ""


ANYTHING = Wanted()
_DEFINITIONS = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
    *(ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign),
)


class _Block(NamedTuple):
    text: str
    rank: int  # 2: said to be Python, 1: no language said, 0: another language


class _Read(NamedTuple):
    """A block that Python can read: what it defines and uses, and whether it does more than define."""

    text: str
    names: Names
    defines: frozenset[str]
    acts: bool


_UNREAD = _Read("", Names(frozenset(), frozenset()), frozenset(), acts=False)
"""Stands for a block that is no Python, or beyond what is read."""


def extract_program(completion: str, wanted: Wanted = ANYTHING) -> str | None:
    """The program of a completion, or None.

    Where it is looked for: the last `<answer>` pair, or without one the whole text outside `<think>`. In it:

    - The fenced blocks (three or more backticks or tildes, also indented, in a list or a quotation; one that is never
      closed runs to the end). Of several, the last that defines what the tests ask for, of a script the last that
      reads and prints; blocks said to be Python go before those that say nothing, these before others. Earlier or
      later blocks that define what it uses are put in front of it. Where nothing is known of the tests, or no block
      fits, the last Python block, else the last that says nothing.
    - Without a fence: what stands between answer tags, whole; else the lines that Python can read, from one that
      begins as code does, if they define what the tests ask for (a script: if they print).
    - What goes on from the prompt's own code, where the prompt was code.

    >>> extract_program("<think>```python\\nx = 1\\n```</think>```python\\nx = 2\\n```\\nIt prints:\\n```\\n2\\n```")
    'x = 2'
    >>> extract_program("<answer>x = 3</answer>")
    'x = 3'
    >>> extract_program("x = 4") is None
    True
    >>> blocks = "```python\\ndef f(x): return x\\n```\\nFor example:\\n```python\\nprint(f(2))\\n```"
    >>> extract_program(blocks, Wanted(names=frozenset({"f"})))
    'def f(x): return x'
    """
    visible = split_thinking(completion)[1].replace("\r\n", "\n")
    close = visible.rfind(ANSWER_CLOSE)
    start = visible.rfind(ANSWER_OPEN, 0, max(close, 0))
    tagged = start >= 0
    if tagged:
        start += len(ANSWER_OPEN)
        visible = visible[start : visible.find(ANSWER_CLOSE, start)]
    blocks = _fenced(visible)
    found = _chosen(blocks, wanted) if blocks else _unfenced(visible, wanted)
    if tagged and not blocks and (found is None or _names(_trim(visible)) is not None):
        found = _trim(visible)
    return _continued(found if blocks else visible, found, wanted) if wanted.prompt else found


def _trim(text: str) -> str:
    return text.strip("\n").rstrip()


def _names(text: str) -> Names | None:
    return names_of(text) if len(text) <= MAX_PROGRAM else None


# ------------------------------------------------------------------------------------------ fences

_HAS_FENCE = re.compile(r"^[^\n]*?(?:`{3}|~{3})[^\n]*$", re.MULTILINE)
_LEAD = r"(?P<lead>[ \t>]*(?:(?:[-*+]|\d{1,3}[.)])[ \t]+)?)"
_OPENS = re.compile(_LEAD + r"(?P<fence>`{3,}|~{3,})(?P<info>[^`\n]*)$")
_OPENS_LATE = re.compile(r"[^`~]*[^`~\s][ \t]*(?P<fence>`{3,}|~{3,})(?P<info>[ \t]*[\w+.-]+[ \t]*)$")
_CLOSES = re.compile(r"[ \t>]*(?P<fence>`{3,}|~{3,})[ \t]*$")
_CLOSES_LATE = re.compile(r"[ \t]*\S[^`]*?(?P<fence>`{3,})[ \t]*$")
_LANGUAGE = re.compile(r"[\w.+#-]+")
_NOT_PROGRAMS = ("pycon", "pytb", "python-repl", "python-console", "py-repl")


def _fenced(text: str) -> list[_Block]:
    """The last `MAX_BLOCKS` fenced blocks, in order."""
    found = collections.deque(_spans(text), maxlen=MAX_BLOCKS)
    return [_block(text[begin:end], opening) for begin, end, opening in found]


def _spans(text: str) -> Iterator[tuple[int, int | None, re.Match[str]]]:
    """Where blocks begin and end.

    One that is never closed ends with a fence at the end of a line, or where the next block opens and it can't be read
    as it stands, or with the text.
    """
    opening, begin, late, room = None, 0, None, 4 * MAX_PROGRAM
    for found in _HAS_FENCE.finditer(text):
        line = found.group()
        if opening is None:
            opening, begin, late = _opens(line), found.end() + 1, None
            continue
        closes = _CLOSES.match(line)
        if closes is not None and closes["fence"].startswith(opening["fence"]):
            if late is None or _names(_block(text[begin : found.start()], opening).text) is not None:
                yield begin, found.start(), opening
                opening = None
                continue
        else:
            opens, closes = _OPENS.match(line), _CLOSES_LATE.match(line)
            named = opens is not None and opens["info"].strip()
            if late is None and closes is not None and closes["fence"] == opening["fence"]:
                late = found.start() + closes.start("fence")
            if named and late is None and room > 0:
                room -= found.start() - begin
                late = found.start() if _names(text[begin : found.start()]) is None else None
            if not named or late is None:
                continue
        yield begin, late, opening
        opening, begin, late = _opens(line), found.end() + 1, None
    if opening is not None:
        yield begin, late, opening


def _opens(line: str) -> re.Match[str] | None:
    return _OPENS.match(line) or _OPENS_LATE.match(line)


def _block(text: str, opening: re.Match[str]) -> _Block:
    """A block without the indentation (or the marks of a quotation) that its fence has."""
    indent = len(opening.groupdict().get("lead", "").expandtabs(4))
    lines = text.rstrip().split("\n")
    if indent:
        lines = [re.sub(rf"^(?:[ \t]*>[ \t]?|[ \t]{{1,{indent}}})", "", line.expandtabs(4)) for line in lines]
    block = "\n".join(lines)
    if block[:1] in " \t" and _names(block) is None:
        block = textwrap.dedent(block)
    return _Block(block, _rank(opening["info"]))


def _rank(info: str) -> int:
    """2 for Python, whatever it is called (`py`, `Python3`, `{.python}`, `a.py`), 1 for nothing, 0 for others."""
    word = _LANGUAGE.search(info)
    if word is None:
        return 1
    name = word.group().lower().lstrip(".")
    python = name.startswith(("py", "ipython", "cpython", "sage")) or info.strip().lower().endswith(".py")
    return 2 if python and name not in _NOT_PROGRAMS else 0


# ------------------------------------------------------------------------------------------ which block


def _chosen(blocks: list[_Block], wanted: Wanted) -> str | None:
    if wanted is not ANYTHING and (len(blocks) > 1 or blocks[0].rank == 0):
        joined = _joined(blocks, wanted)
        if joined is not None:
            return joined
    for rank in (2, 1):
        for block in reversed(blocks):
            if block.rank == rank:
                return block.text
    return None


def _joined(blocks: list[_Block], wanted: Wanted) -> str | None:
    """The last of the blocks that answers best, with what it needs of the others; None where none answers."""
    read: list[_Read] = []
    room = 2 * MAX_PROGRAM
    for block in reversed(blocks):
        room -= len(block.text)
        read.insert(0, _read(block.text) if room >= 0 else _UNREAD)
    scores = [(0, 0)] * len(blocks)
    for index, part in enumerate(read):
        scores[index] = (_worth(part, wanted), blocks[index].rank)
    best = max(range(len(blocks)), key=lambda index: (*scores[index], index))
    if scores[best][0] == 0:
        return None
    before = _needed(read, best, wanted)
    after = _callers(read, best, blocks) if wanted.script and not read[best].acts else []
    return "\n\n".join(blocks[index].text for index in (*before, best, *after))


def _read(text: str) -> _Read:
    names = names_of(text) if text.strip() else None
    if names is None:
        return _UNREAD
    defines, acts = names.bound, False
    for statement in ast.parse(text).body:
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        acts |= not isinstance(statement, _DEFINITIONS) and not is_text
        if isinstance(statement, ast.ImportFrom) and str(statement.module).split(".")[0] not in sys.stdlib_module_names:
            # `from solution import f` defines nothing: it shows how to use the answer.
            defines -= {alias.asname or alias.name for alias in statement.names}
    return _Read(text, names, defines, acts)


def _worth(part: _Read, wanted: Wanted) -> int:
    if not wanted.script:
        return len(wanted.names & part.defines)
    reads = bool(part.names.used & {"input", "open"}) or "stdin" in part.text
    prints = "print" in part.names.used or "stdout" in part.text
    return reads + prints


def _needed(read: list[_Read], best: int, wanted: Wanted) -> list[int]:
    """Other blocks that define what the best one uses or what else is wanted, and what these use, in order."""
    chosen, asked = {best}, frozenset() if wanted.one else wanted.names
    while True:
        parts = [read[index] for index in chosen]
        bound = frozenset().union(*(part.names.bound for part in parts))
        missing = asked.union(*(part.names.used for part in parts)) - bound - BUILTINS
        others = [index for index in range(len(read)) if index not in chosen]
        useful = [index for index in others if missing & read[index].defines]
        if not useful:
            return sorted(chosen - {best})
        # The nearest one before it, else the nearest one behind.
        chosen.add(max(useful, key=lambda index: (index < best, index if index < best else -index)))


def _callers(read: list[_Read], best: int, blocks: list[_Block]) -> list[int]:
    """For a script that only defines: the next block that does something with what it defines."""
    later = range(best + 1, len(read))
    mine = read[best].names.bound
    uses = [i for i in later if blocks[i].rank and read[i].acts and read[i].names.used & mine]
    return uses[:1]


# ------------------------------------------------------------------------------------------ without a fence

_BEGINS = re.compile(
    r"(?:async )?def \w|class \w|import \w|from [\w.]+ import |@\w|print\(|try:"
    r"|[A-Za-z_][\w, ]*(?:: *[\w\[\], .]+)? ?=(?!=)"
    r"|(?:if|for|while|with) .*:\s*(?:#.*)?$"
)
_CLEAR = re.compile(r"^(?:async )?def |^class |^print\(", re.MULTILINE)


def _unfenced(text: str, wanted: Wanted) -> str | None:
    """The lines of a text without a fence that Python can read, where they answer."""
    pieces = _pieces(text[-MAX_PROGRAM:])
    if wanted is ANYTHING:
        return next((piece for piece in reversed(pieces) if _CLEAR.search(piece)), None)
    return _joined([_Block(piece, 1) for piece in pieces], wanted) if pieces else None


def _pieces(text: str) -> list[str]:
    """Runs of lines that Python can read, each from a line that begins as code does."""
    lines, room, pieces, place = text.split("\n"), [8 * MAX_PROGRAM], [], 0
    while room[0] > 0 and len(pieces) < MAX_BLOCKS:
        place = next((i for i in range(place, len(lines)) if _BEGINS.match(lines[i])), len(lines))
        if place == len(lines):
            break
        piece, place = _readable(lines, place, room)
        pieces += [piece] if piece else []
    return pieces


def _readable(lines: list[str], start: int, room: list[int]) -> tuple[str, int]:
    """The longest run of lines from `start` that Python can read, and where to look on; `room` is what may be read."""
    end = len(lines)
    while end > start and room[0] > 0:
        piece = _trim("\n".join(lines[start:end]))
        room[0] -= len(piece) + 200  # Python reads all of it, wherever the mistake is
        try:
            body = ast.parse(piece).body
        except SyntaxError as error:
            # There stands prose; or the first line of what nothing behind it can make whole.
            end = start + min(max(error.lineno or 1, 1), end - start) - 1
        except (ValueError, RecursionError, MemoryError):
            break
        else:
            while body and isinstance(body[-1], ast.Expr) and isinstance(body[-1].value, ast.Name | ast.Tuple):
                body.pop()  # a word of prose
            return "\n".join(piece.split("\n")[: body[-1].end_lineno if body else 0]), end
    return "", max(end, start + 1)


def _continued(text: str | None, found: str | None, wanted: Wanted) -> str | None:
    """The prompt's code with what goes on from it, where the completion does not define the function itself."""
    names = _names(found) if found else None
    if text is None or (names is not None and wanted.names & names.bound):
        return found
    begun, text, best = _trim(wanted.prompt) + "\n", text[:MAX_PROGRAM].strip("\n"), found
    furthest = begun.count("\n")
    for rest in (text, "    " + text, textwrap.indent(textwrap.dedent(text), "    ")):
        whole, _ = _readable((begun + rest).split("\n"), 0, [8 * MAX_PROGRAM])
        named = [node for node in ast.parse(whole).body if getattr(node, "name", None) in wanted.names]
        # The function that the prompt begins, not what stands behind it, must go on.
        end = (named[-1].end_lineno or 0) if named else 0
        if end > furthest:
            best, furthest = whole, end
    return best
