r"""Where the answer of a completion is looked for.

Order: the last `<answer>...</answer>` pair, the `\boxed{...}`es, GSM8K's last `#### x`, the last "the answer is x" or
"Final answer: x"; then, for the verifiers that ask for it, the last number or formula of the text
(`labkit.verifiers.unmarked`). Text inside `<think>` never counts, nor what stands behind the end of the reply
(`<|im_end|>`). Tags are matched exactly, in lower case.

`extract_answer` gives the one answer that counts. `find_claims` gives every final claim: each box is one, so
that a completion with two different boxes can be told from one that has made up its mind.

Every function takes time linear in the text, whatever the text: tags are walked once from left to right,
and what stands without tags is sought in the last `FALLBACK_WINDOW` characters only.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from labkit.verifiers.marks import unwrap, without_emphasis, without_formula_marks
from labkit.verifiers.statements import last_hashes, last_statement
from labkit.verifiers.unmarked import find_unmarked

__all__ = [
    "FALLBACK_WINDOW",
    "MISSING",
    "Claims",
    "extract_answer",
    "find_boxes",
    "find_claims",
    "split_thinking",
    "visible_text",
]

FALLBACK_WINDOW = 50_000
r"""Characters from the end of the visible text in which `\boxed`, `####` and "the answer is" are sought."""
LONGEST_CLAIM = 2_000
"""Characters of a claim beyond which marks around it are not looked for."""

ANSWER_OPEN, ANSWER_CLOSE = "<answer>", "</answer>"
THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
_THINK_TAG = re.compile(r"</?think>")
_BRACE = re.compile(r"\\{1,4}(?:boxed|fbox)\s*\{|\\[{}\\]|[{}]")
_BLANK = re.compile(r"(?:\\(?:[hv]?phantom|[hm]space\*?) ?\{[^{}]*\}|\\(?:q?quad|square|[_,;:! ])|\\$|[\s~_?.…])*")
"""What stands in a box that waits to be filled in."""
_CUT_OFF = re.compile(r"<answer>|\\(?:boxed|fbox)\s*\{")
_BARE_BOX = re.compile(r"\\(?:boxed|fbox)(?:[ \t]+|(?=[0-9\\]))(?=[^\s{])((?:[^\n$<\\]|\\[^)\]\n]){1,200})")
_MARK = re.compile(r"""[*_`"'“„«‘「『<]|\$.*\$|\\[(\[]""", re.DOTALL)
# What a chat template writes behind a reply. The first kind ends it wherever it stands; the second, which may stand
# in a text for another reason (`</s>` is HTML's too), and padding do at its very end alone.
_END_OF_TURN = re.compile(
    r"<\|(?:im_end|eot_id|eom_id|endoftext|end_of_text|END_OF_TURN_TOKEN|endofturn|end_of_turn|return|user|im_start)\|>|"
    r"<end_of_turn>|<start_of_turn>|<eos>|<｜(?:end▁of▁sentence|User)｜>"
)
_END_TOKEN = re.compile(
    r"<\|[A-Za-z_]{1,30}\|>|<｜[^<>｜\n]{1,40}｜>|</?s>|<(?:eos|bos|pad|unk)>|\[(?:EOS|PAD|/INST|SEP)\]"
)


class Claims(NamedTuple):
    """The final claims of a completion.

    Attributes:
        kind: where they stand: "answer", "boxed", "hashes", "sentence", "number", "formula"; or, without any
            claim, a key of `MISSING`, which says why in words.
        texts: the claims in order, without repeats, as they stand in the text but for marks of emphasis and
            quotation around them (and a sign that a word says: `-5` of "minus 5"); the last one is the
            one that `extract_answer` would take.
    """

    kind: str
    texts: tuple[str, ...]


MISSING = {
    "none": "no answer found",
    "cut off": "the answer is cut off: its tag or box is never closed",
    "thinking": "no answer found: the thought is never closed",
    "unclear": "no answer found: the last number is denied, bounded, part of an operation, a label or one of several",
}
"""Why a completion has no claim."""
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
    if "think>" not in completion:
        return "", completion
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
    leading colon and the marks of emphasis, quotation and formulas around it. A Markdown heading with four hashes
    is no answer.

    >>> extract_answer("<think><answer>1</answer></think><answer>2</answer> or <answer> 3 </answer>")
    '3'
    >>> extract_answer(r"so \boxed{1} or rather \boxed{\frac{1}{2}}")
    '\\frac{1}{2}'
    >>> extract_answer("5 + 5 = 10\n#### 10"), extract_answer("#### Step 2: Add\nFinal Answer: 14/3")
    ('10', '14/3')
    >>> extract_answer("I think the answer is: **3.5**. Good luck!<|im_end|>")
    '3.5'
    >>> extract_answer("<think>the answer is 7") is None
    True
    """
    visible = visible_text(completion)
    answer = _last_answer_pair(visible)
    if answer is not None:
        return answer
    claims = _without_tags(visible[-FALLBACK_WINDOW:])
    return claims.texts[-1] if claims.texts else None


def find_claims(completion: str, fallback: Literal["number", "formula"] | None = None) -> Claims:
    r"""Find all final claims of a completion: those of the first place in the order where there are any.

    The last `<answer>` pair counts alone; boxes, `####` or "the answer is" inside it are what it claims. Else
    every `\boxed{...}` (or `\fbox{...}`) is a claim, else the last `####`, else the last "the answer is".
    `fallback="number"` then takes the last number of the text (with its sign, its unit and the sum it ends, and not
    from inside brackets where a number stands before them), `fallback="formula"` the last number or `$...$`,
    `\(...\)`, `\[...\]`, whichever ends last, or the whole text where it is one formula. There is no fallback behind
    a tag or box that was opened and never closed, since a number cut in two is another number; nor where the number
    is denied, bounded or part of something (`labkit.verifiers.unmarked`).

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
    >>> find_claims(r"which is \boxed{4", fallback="number").kind, find_claims("<think>maybe 4", "number").kind
    ('cut off', 'thinking')
    """
    reply = _reply(completion)
    visible = split_thinking(reply)[1]
    claims = _claims_of(visible, fallback)
    if not claims.texts:
        thinking = claims.kind == "none" and reply.rfind(THINK_OPEN) > reply.rfind(THINK_CLOSE)
        return Claims("thinking", ()) if thinking else claims
    return Claims(claims.kind, tuple(dict.fromkeys(map(_bare, claims.texts))))


def _bare(text: str) -> str:
    """A claim without marks of emphasis, quotation and formulas; one that no verifier reads is left as it is."""
    if len(text) > LONGEST_CLAIM or not _MARK.search(text):
        return text
    return unwrap(without_formula_marks(without_emphasis(unwrap(text))))


def _claims_of(visible: str, fallback: Literal["number", "formula"] | None) -> Claims:
    answer = _last_answer_pair(visible)
    if answer is not None:
        inner = _without_tags(answer[-FALLBACK_WINDOW:])
        return inner if inner.texts else Claims("answer", (answer,))
    tail = visible[-FALLBACK_WINDOW:]
    claims = _without_tags(tail)
    if claims.texts and (claims.kind == "boxed" or not _CUT_OFF.search(claims.texts[-1])):
        return claims
    if claims.texts or _CUT_OFF.search(tail):
        return CUT_OFF
    return NO_CLAIM if fallback is None else Claims(*find_unmarked(tail, fallback))


def visible_text(completion: str) -> str:
    """What a reader of the reply sees: without thoughts, and without the tokens of a chat template behind it.

    >>> visible_text("<think>4?</think>It is 5.<|im_end|>")
    'It is 5.'
    """
    return split_thinking(_reply(completion))[1]


def _reply(completion: str) -> str:
    """A completion without what a chat template or the padding of a batch writes behind it."""
    if "|>" in completion or "_turn>" in completion or "<eos>" in completion or "｜>" in completion:
        end = _END_OF_TURN.search(completion)
        completion = completion[: end.start()] if end else completion
    if completion.endswith(ANSWER_CLOSE) or completion[-200:].rstrip()[-1:] not in (">", "]"):
        return completion
    start, last = len(completion), 0
    base = max(0, len(completion) - FALLBACK_WINDOW)
    for token in _END_TOKEN.finditer(completion, base):
        if completion[last : token.start()].strip() or not last:
            start = token.start()  # text stands between this one and the one before
        last = token.end()
    return completion[:start] if last and not completion[last:].strip() else completion


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
    boxes = _boxes(text)
    if boxes:
        return Claims("boxed", tuple(dict.fromkeys(boxes)))
    for kind, find in (("hashes", last_hashes), ("sentence", last_statement)):
        answer = find(text)
        if answer is not None:
            return Claims(kind, (answer,))
    return NO_CLAIM


def _boxes(text: str) -> list[str]:
    r"""The boxes of a text, `\boxed 7` without braces among them: it reaches to the end of its formula or sentence."""
    boxes = find_boxes(text)
    if text.count("boxed") + text.count("fbox") > len(boxes):
        bare = (re.split(r"\.(?=\s|$)", found[1], maxsplit=1)[0] for found in _BARE_BOX.finditer(text))
        boxes += [box.strip(" ,;:") for box in bare if box.strip(" ,;:")]
    return boxes


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
    if len(texts) == 1:
        return texts
    filled = [box for box in texts if len(box) > 200 or not _BLANK.fullmatch(box)]
    return (filled or texts)[::-1]
