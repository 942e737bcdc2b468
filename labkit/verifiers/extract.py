r"""Where the answer of a completion is looked for.

Order: the last `<answer>...</answer>` pair, the `\boxed{...}`es, the last `#### x`, the last "the answer is x";
then, for the verifiers that ask for it, the last number or formula of the text. Text inside `<think>` never
counts. Tags are matched exactly, in lower case.

`extract_answer` gives the one answer that counts. `find_claims` gives every final claim: each box is one, so
that a completion with two different boxes can be told from one that has made up its mind.

Every function takes time linear in the text, whatever the text: tags are walked once from left to right,
and what stands without tags is sought in the last `FALLBACK_WINDOW` characters only.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

__all__ = ["FALLBACK_WINDOW", "Claims", "extract_answer", "find_boxes", "find_claims", "split_thinking"]

FALLBACK_WINDOW = 50_000
r"""Characters from the end of the visible text in which `\boxed`, `####` and "the answer is" are sought."""
LINE_WINDOW = 1_000
"""Characters of the line in which the last number or formula is sought."""

ANSWER_OPEN, ANSWER_CLOSE = "<answer>", "</answer>"
_THINK_TAG = re.compile(r"</?think>")
_BRACE = re.compile(r"\\{1,4}(?:boxed|fbox)\s*\{|\\[{}\\]|[{}]")
_BLANK = re.compile(r"(?:\\(?:[hv]?phantom|[hm]space\*?) ?\{[^{}]*\}|\\(?:q?quad|square|[_,;:! ])|\\$|[\s~_?.…])*")
"""What stands in a box that waits to be filled in."""
_CUT_OFF = re.compile(r"<answer>|\\(?:boxed|fbox)\s*\{")
_ANSWER_IS = re.compile(r"\bthe (?:(?:final|correct|right) )?answer is\b", re.IGNORECASE | re.ASCII)
_SENTENCE_END = re.compile(r"\.(?=\s|$)")

_DIGITS = "0123456789½¼¾⅓⅔"
_ASIDE = re.compile(r"(?<=\s)\([^()]*\)[^0-9½¼¾⅓⅔]*$")  # "(in 2 days)" at the end of a line
_BOLD = re.compile(r"\*\*(?!\s?[0-9(])|(?<![0-9)])(?<![0-9)] )\*\*")  # but not the ** of 2**3
_WORD = re.compile(r"[A-Za-z]{2,20}\b|[mgshlLt]\b")
_ENDS = re.compile(r"[^A-Za-z_{\\π√∞]|$")
_FRACTION = r"\\[dt]?frac ?(?:\{[^{}]*\}|[0-9]) ?(?:\{[^{}]*\}|[0-9])"
_RUN = re.compile(
    rf"(?:\^\{{-?[0-9]+\}} ?|[-+−–*/×·÷^=≈<>≤≥≠±~:(] ?|\\[$%] ?|[$€£¥%°] ?|\\(?:times|cdot|div|approx) ?|{_FRACTION} ?|"
    r"[0-9½¼¾⅓⅔⁰¹²³⁴⁵⁶⁷⁸⁹⁻](?:\{,\}|\\,|[.,'’_])?(?:[eE][-+]?(?=[0-9])| and (?=[0-9]+/))? ?|\) ?)+"
)
_HEDGE = re.compile(r"(?:\b(?:not|or|than|least|most)|n['’]t)[ $]*$", re.IGNORECASE)
_FORMULA = re.compile(
    r"\$\$[^$]+\$\$|(?<![\\$])\$(?=[^\s$])[^$\n]*?(?<=[^\s\\])\$(?![0-9$])|\\\([^$\n]*?\\\)|\\\[[^$]*?\\\]"
)


class Claims(NamedTuple):
    """The final claims of a completion.

    Attributes:
        kind: where they stand: "answer", "boxed", "hashes", "sentence", "number", "formula"; or, without any
            claim, "cut off" (a tag or box was opened and never closed) or "none".
        texts: the claims as they stand in the text, stripped, without repeats, in order; the last one is the
            one that an `extract_answer` would take.
    """

    kind: str
    texts: tuple[str, ...]


NO_CLAIM, CUT_OFF = Claims("none", ()), Claims("cut off", ())


def split_thinking(completion: str) -> tuple[str, str]:
    """Split a completion into (thought, visible): what stands inside `<think>` tags, and the rest.

    The first `</think>` closes, so tags do not nest. An unclosed `<think>` hides everything after it. A
    `</think>` that nothing opened hides everything before it: chat templates often put `<think>` into the
    prompt, and the completion then begins in the middle of a thought. Pieces are joined by a line break, so
    that cutting a thought out never forges a tag or a number from its two sides.

    >>> split_thinking("<think>1+6=7 no</think><answer>6*5</answer>")
    ('1+6=7 no', '<answer>6*5</answer>')
    >>> split_thinking("<think>never closed <answer>6*5</answer>")
    ('never closed <answer>6*5</answer>', '')
    >>> split_thinking("opened by the prompt</think>42")
    ('opened by the prompt', '42')
    """
    thought: list[str] = []
    visible: list[str] = []
    start, inside = 0, False
    for tag in _THINK_TAG.finditer(completion):
        opens = tag.group() == "<think>"
        if opens and inside:
            continue
        piece = completion[start : tag.start()]
        if opens:
            visible.append(piece)
        elif inside:
            thought.append(piece)
        else:
            thought += [*visible, piece]
            visible.clear()
        start, inside = tag.end(), opens
    (thought if inside else visible).append(completion[start:])
    return "\n".join(filter(None, thought)), "\n".join(filter(None, visible))


def extract_answer(completion: str) -> str | None:
    r"""Find the answer of a completion, stripped of white space, or None when it states none.

    An empty pair of tags is an answer, the empty string: nothing earlier is dug up in its place.
    "The answer is x" ends with its sentence (a line break, or a full stop before white space), and loses a
    leading colon and the marks `*`, `_`, backtick and `$` around it.

    >>> extract_answer("<think><answer>1</answer></think><answer>2</answer> or <answer> 3 </answer>")
    '3'
    >>> extract_answer(r"so \boxed{1} or rather \boxed{\frac{1}{2}}")
    '\\frac{1}{2}'
    >>> extract_answer("5 + 5 = 10\n#### 10")
    '10'
    >>> extract_answer("I think the answer is: **3.5**. Good luck!")
    '3.5'
    >>> extract_answer("<think>the answer is 7") is None
    True
    """
    visible = split_thinking(completion)[1]
    answer = _last_answer_pair(visible)
    if answer is not None:
        return answer
    claims = _without_tags(visible[-FALLBACK_WINDOW:])
    return claims.texts[-1] if claims.texts else None


def find_claims(completion: str, fallback: Literal["number", "formula"] | None = None) -> Claims:
    r"""Find all final claims of a completion: those of the first place in the order where there are any.

    The last `<answer>` pair counts alone; boxes, `####` or "the answer is" inside it are what it claims. Else
    every `\boxed{...}` (or `\fbox{...}`) is a claim, else the last `####`, else the last "the answer is".
    `fallback="number"` then takes the last number of the text (with the sum it ends, and not from inside
    brackets where a number stands before them), `fallback="formula"` the last number or `$...$`, `\(...\)`,
    `\[...\]`, whichever ends last. There is no fallback behind a tag or box that was opened and never
    closed, since a number cut in two is another number; nor behind "not" and "or".

    >>> find_claims("<answer>1</answer> no, <answer>2</answer>")
    Claims(kind='answer', texts=('2',))
    >>> find_claims(r"\boxed{3}, that is \boxed{3}, or \boxed{4}")
    Claims(kind='boxed', texts=('3', '4'))
    >>> find_claims(r"<answer>so \boxed{1/2}</answer>")
    Claims(kind='boxed', texts=('1/2',))
    >>> find_claims("48 + 24 = 72 (in 2 days)")
    Claims(kind='none', texts=())
    >>> find_claims("48 + 24 = 72 (in 2 days)", fallback="number")
    Claims(kind='number', texts=('48 + 24 = 72',))
    >>> find_claims("so $x$ is in $[0, 1)$.", fallback="formula")
    Claims(kind='formula', texts=('[0, 1)',))
    >>> find_claims(r"which is \boxed{4", fallback="number")
    Claims(kind='cut off', texts=())
    """
    visible = split_thinking(completion)[1]
    answer = _last_answer_pair(visible)
    if answer is not None:
        inner = _without_tags(answer[-FALLBACK_WINDOW:])
        return inner if inner.texts else Claims("answer", (answer,))
    tail = visible[-FALLBACK_WINDOW:]
    claims = _without_tags(tail)
    if claims.texts or fallback is None:
        return claims
    if _CUT_OFF.search(tail):
        return CUT_OFF
    return _last_of_line(tail, fallback)


def _last_answer_pair(text: str) -> str | None:
    """The last opening tag that is closed, up to the first tag that closes it."""
    last_close = text.rfind(ANSWER_CLOSE)
    start = text.rfind(ANSWER_OPEN, 0, max(last_close, 0))
    if start < 0:
        return None
    start += len(ANSWER_OPEN)
    return text[start : text.find(ANSWER_CLOSE, start)].strip()


def _without_tags(text: str) -> Claims:
    """The claims of a text in which there is no pair of answer tags."""
    boxes = find_boxes(text)
    if boxes:
        return Claims("boxed", tuple(dict.fromkeys(boxes)))
    for kind, find in (("hashes", _last_hashes), ("sentence", _last_sentence)):
        answer = find(text)
        if answer is not None:
            return Claims(kind, (answer,))
    return NO_CLAIM


def find_boxes(text: str) -> list[str]:
    r"""Every balanced `\boxed{...}`, in the order in which they begin; one walk over the braces, with a stack.

    A box around nothing but another box is no claim of its own, nor is an empty one (`\boxed{\phantom{00}}`) next to
    a box that is filled. Where boxes stand so deep inside each other that their texts together grow beyond all measure,
    those that begin last are kept.
    """
    if "boxed" not in text and "fbox" not in text:
        return []
    open_braces: list[tuple[int, int, bool]] = []
    found: list[tuple[int, int]] = []
    wrapped = (0, 0)  # from the first to the last character of the newest box, command and braces included
    for match in _BRACE.finditer(text):
        token = match.group()
        if token == "}" and open_braces:
            outside, start, is_box = open_braces.pop()
            if not is_box:
                continue
            end = match.start()
            inside = found and found[-1][0] > start
            if not (inside and not text[start : wrapped[0]].strip() and not text[wrapped[1] : end].strip()):
                found.append((start, end))
            wrapped = (outside, match.end())
        elif token == "{" or (token.endswith("{") and len(token) > 2):
            open_braces.append((match.start(), match.end(), token != "{"))
    texts, room = [], 4 * FALLBACK_WINDOW
    for start, end in sorted(found, reverse=True):
        room -= end - start
        if room < 0:
            break
        texts.append(text[start:end].strip())
    filled = [box for box in texts if len(box) > 200 or not _BLANK.fullmatch(box)]
    return (filled or texts)[::-1]


def _last_hashes(text: str) -> str | None:
    """GSM8K's way: what follows the last `####` on its line."""
    start = text.rfind("####")
    if start < 0:
        return None
    return text[start + 4 :].partition("\n")[0].strip() or None


def _last_sentence(text: str) -> str | None:
    """What follows the last "the answer is", to the end of its sentence."""
    start = -1
    for match in _ANSWER_IS.finditer(text):
        start = match.end()
    if start < 0:
        return None
    line = text[start:].lstrip(" \t:").partition("\n")[0]
    return _SENTENCE_END.split(line, maxsplit=1)[0].strip().strip("*_`$").strip() or None


def _last_of_line(text: str, fallback: str) -> Claims:
    """The last number of a text that claims nothing, or its last formula where that is asked for."""
    place = max(text.rfind(digit) for digit in _DIGITS)
    if fallback == "formula":
        formula = _last_formula(text, place)
        if formula is not None:
            return Claims("formula", (formula,))
    if place < 0:
        return NO_CLAIM
    start = max(text.rfind("\n", 0, place) + 1, place - LINE_WINDOW)
    end = text.find("\n", place)
    line = text[start : min(len(text) if end < 0 else end, place + LINE_WINDOW)]
    number = _last_number(_BOLD.sub("", line))
    # A number that fills its line from the left edge of the window may have been cut there.
    if number is None or len(number) > LINE_WINDOW - 2:
        return NO_CLAIM
    return Claims("number", (number,))


def _last_formula(text: str, place: int) -> str | None:
    """The last formula of the text, if it ends behind the last digit (which may be its own)."""
    last = None
    for found in _FORMULA.finditer(text, max(0, len(text) - 2 * LINE_WINDOW)):
        last = found
    if last is None or last.end() <= place or _HEDGE.search(text[max(0, last.start() - 20) : last.start()]):
        return None
    formula = last.group()
    width = 1 if formula[0] == "$" and formula[1] != "$" else 2
    return formula[width:-width].strip().rstrip(".,") or None


def _last_number(line: str) -> str | None:
    """The last number of a line with the sum that it ends, and the word behind it, which may be its unit."""
    aside = _ASIDE.search(line)
    if aside and any(digit in line[: aside.start()] for digit in _DIGITS):
        line = line[: aside.start()]
    last = None
    for run in _RUN.finditer(line):
        if any(digit in run.group() for digit in _DIGITS):
            last = run
    if last is None:
        return None
    before, run = line[: last.start()], last.group().rstrip(" .,:;(")
    if run.count("(") > run.count(")"):
        run = run.lstrip("( ")
    if run[:1] in "-–−" and run[1:2] == " ":
        if before.strip():
            return None
        run = run[1:].lstrip()  # the bullet of a list
    glued = run[:1] not in "=≈:" and (before[-1:].isalnum() or before[-1:] in ("_", "{", "\\"))
    if glued and "=" in run:
        run, glued = run.rpartition("=")[2], False  # f(3) = 5
    if glued or _HEDGE.search(before) or (before[-1:] == "!" and run[:1] == "="):
        return None
    run = run.lstrip("=≈: ")
    word = _WORD.match(line, last.end())
    if word is None:
        return run if _ENDS.match(line, last.end()) else None
    return f"{run} {word.group()}"
