r"""Where the answer of a completion is looked for.

Order: the last `<answer>...</answer>` pair, the last `\boxed{...}`, the last `#### x`, the last
"the answer is x". Text inside `<think>` never counts. Tags are matched exactly, in lower case.

Every function takes time linear in the text, whatever the text: tags are walked once from left to
right, and the three fallbacks look at the last `FALLBACK_WINDOW` characters only.
"""

from __future__ import annotations

import re

__all__ = ["FALLBACK_WINDOW", "extract_answer", "split_thinking"]

FALLBACK_WINDOW = 50_000
r"""Characters from the end of the visible text in which `\boxed`, `####` and "the answer is" are sought."""

ANSWER_OPEN, ANSWER_CLOSE = "<answer>", "</answer>"
_THINK_TAG = re.compile(r"</?think>")
_BRACE = re.compile(r"\\boxed\s*\{|\\[{}\\]|[{}]")
_ANSWER_IS = re.compile(r"the answer is", re.IGNORECASE | re.ASCII)
_SENTENCE_END = re.compile(r"\.(?=\s|$)")


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
    tail = visible[-FALLBACK_WINDOW:]
    for find in (_last_boxed, _last_hashes, _last_sentence):
        answer = find(tail)
        if answer is not None:
            return answer
    return None


def _last_answer_pair(text: str) -> str | None:
    """The last opening tag that is closed, up to the first tag that closes it."""
    last_close = text.rfind(ANSWER_CLOSE)
    start = text.rfind(ANSWER_OPEN, 0, max(last_close, 0))
    if start < 0:
        return None
    start += len(ANSWER_OPEN)
    return text[start : text.find(ANSWER_CLOSE, start)].strip()


def _last_boxed(text: str) -> str | None:
    r"""The balanced `\boxed{...}` that begins last; one walk over the braces, with a stack."""
    open_braces: list[tuple[int, bool]] = []
    best_start, best_end = -1, -1
    for match in _BRACE.finditer(text):
        token = match.group()
        if token == "}":
            if open_braces:
                start, boxed = open_braces.pop()
                if boxed and start > best_start:
                    best_start, best_end = start, match.start()
        elif token == "{" or token.startswith(r"\boxed"):
            open_braces.append((match.end(), token != "{"))
    return text[best_start:best_end].strip() if best_start >= 0 else None


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
