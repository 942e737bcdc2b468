r"""Equivalence of mathematical answers: numbers, expressions, sets, intervals, tuples, matrices, equations, words.

Three steps, each only for what the one before left open:

1. `answers` reads both texts (`latex` tidies them first, `measures` and `digits` read units and numbers, `relations`
   and `sets` what is solved or put together); `comparing` settles structure, and exact normal forms (`polynomials`)
   settle rational numbers, square roots and polynomials: microseconds, in this process.
2. What needs algebra (`\sin 2x` and `2\sin x\cos x`) is decided by sympy and math-verify's LaTeX parser in a worker
   process (`symbolic`), killed when it takes longer than the time limit; verdicts are remembered.
3. What nobody could decide scores 0, and `parts["undecided"]` = 1 counts it.

A model's text is never run: not even sympy's parser sees it, since that one executes Python. Power towers, factorials
and other giants are refused by their size before anything is computed.

What is accepted and what is refused, with examples: `POLICY.md` in this folder, one page. Rounding: none, 1.414 is not
`\sqrt2`.

Several boxes: all of them must be the answer, since two different answers to one question score 0. Where the reference
is a list or a set, they may be its items instead. A completion that is one formula and nothing else is its answer.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.choice import read_option
from labkit.verifiers.extract import MISSING, find_claims
from labkit.verifiers.guard import raised
from labkit.verifiers.math import symbolic
from labkit.verifiers.math.answers import MAX_ITEMS, Answer, Assignment, Group, Scalar, Words, read_answer
from labkit.verifiers.math.comparing import compare, settle
from labkit.verifiers.math.measures import is_word
from labkit.verifiers.runner import TIMEOUT, run_verifier
from labkit.verifiers.score import Fault, Score, quote

__all__ = ["run_batch", "verify"]

_OPTION = re.compile(r"\s*(?:\\text(?:bf)?\{)?\(?[A-H]\)?\}?\s*")
MAX_REMEMBERED = 20_000
MAX_BARE = 200
"""Characters of a completion that may be a formula and nothing else."""
MAX_PENDING = 200
"""Open questions about one answer that are put to the workers; an answer that raises more is not decided."""
_PROSE = re.compile(r"\n|<[/|A-Za-z]|^[-*] |\b(?:[Ii]t|[Ii]s|[Ss]o|[Bb]e|[Ww]e|[Hh]e|[Mm]y|of)\b")
_LETTERS = re.compile(r"(?<![A-Za-z\\])(?!sqrt|sin|cos|tan|log|exp|abs)[A-Za-z]{3,}")
Question = tuple[str, Any, Any]


def verify(completion: str, reference: Any) -> Score:
    r"""Judge a mathematical answer: reward 1.0 when every final claim is equal to the reference, else 0.0.

    `reference` is a LaTeX or plain string, or a number; anything else, or an empty string, raises `UserError`.
    `parts`: `parsed` (the claim was understood) and `value` (it is equal), each 0 or 1; `undecided`, 1, only where the
    workers could not decide in time. Takes microseconds, or where algebra is needed at most about the time limit of
    the runner. Many answers at once: `labkit.verifiers.run_verifier`.

    >>> verify(r"so \boxed{\frac{\sqrt{3}}{3}}", r"\frac{1}{\sqrt{3}}").reward
    1.0
    >>> [verify(text, r"(1, 2]").reward for text in (r"\boxed{(1,2]}", r"\boxed{(1,2)}", r"$1 < x \le 2$")]
    [1.0, 0.0, 1.0]
    >>> verify(r"\boxed{x=5} and \boxed{6}", "5").reason
    "two different final answers: 'x=5' and '6'"
    >>> verify(r"\boxed{9^{9^{9^9}}}", "9").reason
    "'9^{9^{9^9}}' is not '9': a power is too large"
    """
    case = _read_case(completion, reference)
    return _finish([case], TIMEOUT, None, False)[0]


def run_batch(
    completions: list[str],
    references: list[Any],
    *,
    timeout: float = TIMEOUT,
    workers: int | None = None,
    progress: bool = False,
) -> list[Score]:
    """The scores of a batch: what needs algebra is decided in parallel, each question once. Called by the runner."""
    cases: list[_Case | Score] = []
    for completion, reference in zip(completions, references, strict=True):
        try:
            cases.append(_read_case(completion, reference))
        except UserError as error:
            cases.append(raised(error))
    return _finish(cases, timeout, workers, progress)


verify.run_batch = run_batch  # type: ignore[attr-defined]


@dataclass
class _Case:
    """One completion on its way to a score. Where boxes are items of one answer, `claims` is that answer alone."""

    texts: tuple[str, ...]
    claims: list[Answer]
    wanted: str
    target: Answer
    missing: str = ""


def _read_case(completion: str, reference: Any) -> _Case:
    wanted = _read_reference(reference)
    target = read_answer(wanted)
    kind, texts = find_claims(completion, fallback="formula")
    if kind in ("number", "formula", "none") and (formula := _bare_formula(completion)):
        texts = (formula,)
    read = texts
    if _OPTION.fullmatch(wanted):  # \textbf{(E)}\ 5 for E
        # A small letter is no option: e is a number, and E is not.
        read = tuple(text if text.islower() else read_option(text)[0] or text for text in texts)
    claims: list[Answer] = [read_answer(text) for text in read]
    if 1 < len(texts) <= MAX_ITEMS and _has_items(target) and not any(map(_has_items, claims)):
        texts = (", ".join(texts),)
        claims = [Group("list", tuple(claims))]
    return _Case(texts, claims, wanted, target, MISSING.get(kind, ""))


def _has_items(answer: Answer) -> bool:
    value = answer.value if isinstance(answer, Assignment) else answer
    return isinstance(value, Group) and value.kind in ("list", "{}") and len(value.items) > 1


def _bare_formula(completion: str) -> str | None:
    """The completion, where it is one line that reads as a formula from end to end."""
    text = completion.strip()
    if len(text) > MAX_BARE or _PROSE.search(text) or any(map(is_word, _LETTERS.findall(text))):
        return None
    answer = read_answer(text)
    return None if isinstance(answer, Words) or _unread(answer) or text.isalpha() else text


def _read_reference(reference: Any) -> str:
    if isinstance(reference, int | float) and not isinstance(reference, bool):
        try:
            reference = str(reference)
        except ValueError:  # more digits than Python turns into text
            reference = ""
    if not isinstance(reference, str) or not reference.strip():
        shown = quote(reference) if isinstance(reference, str) else f"a {type(reference).__name__}"
        raise UserError(rf'a math reference is a number or a string such as "\frac{{1}}{{2}}"; got {shown}')
    return reference


def _finish(cases: list[_Case | Score], timeout: float, workers: int | None, progress: bool) -> list[Score]:
    """Settle what can be settled here, put the open questions to the workers, then read the verdicts."""
    asked: dict[Question, None] = {}
    for case in cases:
        if isinstance(case, _Case):
            own: dict[Question, None] = {}
            for claim in case.claims:
                if compare(claim, case.target, _ask(own)) is False:
                    own.clear()  # one wrong claim decides: nothing has to be asked
                    break
            asked |= dict(list(own.items())[:MAX_PENDING])
    _memory.learn(asked, timeout, workers, progress)
    return [case if isinstance(case, Score) else _score(case) for case in cases]


def _score(case: _Case) -> Score:
    if not case.texts:
        return Score(0.0, case.missing, None, {"parsed": 0.0, "value": 0.0})
    shown, last = quote(case.wanted), case.texts[-1]
    results = [compare(claim, case.target, _memory.oracle) for claim in case.claims]
    parts = {"parsed": float(not any(_unread(claim) for claim in case.claims)), "value": float(all(results))}
    if all(results):
        return Score(1.0, f"the answer is {shown}", last, parts)
    if False not in results:
        at = results.index(None)
        reason = f"could not decide in time whether {quote(case.texts[at])} is {shown}"
        return Score(0.0, reason, last, {**parts, "undecided": 1.0})
    for text, claim in zip(case.texts[1:], case.claims[1:], strict=True):
        if compare(claim, case.claims[0]) is not True:
            reason = f"two different final answers: {quote(case.texts[0])} and {quote(text)}"
            return Score(0.0, reason, last, parts)
    wrong = results.index(False)
    claim = case.claims[wrong]
    problem = f": {claim.problem}" if isinstance(claim, Scalar) and claim.problem else ""
    return Score(0.0, f"{quote(case.texts[wrong])} is not {shown}{problem}", last, parts)


def _unread(claim: Answer) -> bool:
    return isinstance(claim, Scalar) and claim.tree is None


# ----------------------------------------------------------------------------------------- open questions


def _question(relation: str, a: Scalar, b: Scalar) -> Question | None:
    """What a worker is asked, the same whichever side comes first; None where it could not answer either."""
    sides = [side.tree if side.tree is not None else side.text for side in (a, b)]
    texts = [side for side in sides if isinstance(side, str)]
    if texts and (relation or not all(map(symbolic.readable, texts))):
        return None
    return (relation, *sorted(sides, key=repr))


def _ask(asked: dict[Question, None]) -> Callable[[str, Scalar, Scalar], bool | None]:
    """An oracle that notes what it does not know."""

    def oracle(relation: str, a: Scalar, b: Scalar) -> bool | None:
        known = _memory.oracle(relation, a, b)
        if known is None:
            asked[_question(relation, a, b)] = None  # type: ignore[index]
        return known

    return oracle


class _Memory:
    """Verdicts of the workers, the newest kept; safe for threads. A question that took too long is not asked again."""

    def __init__(self) -> None:
        self._verdicts: OrderedDict[Question, bool | None] = OrderedDict()
        self._lock = threading.Lock()

    def oracle(self, relation: str, a: Scalar, b: Scalar) -> bool | None:
        settled = settle(relation, a, b)
        if settled is not None:
            return settled
        question = _question(relation, a, b)
        if question is None:
            return False
        with self._lock:
            return self._verdicts.get(question)

    def learn(self, questions: dict[Question, None], timeout: float, workers: int | None, progress: bool) -> None:
        with self._lock:
            new = [question for question in questions if question not in self._verdicts]
        if not new:
            return
        relations, sides = [question[0] for question in new], [question[1:] for question in new]
        options: dict[str, Any] = {"timeout": timeout, "workers": workers, "progress": progress}
        scores = run_verifier(symbolic.decide, relations, sides, **options)
        with self._lock:
            for question, score in zip(new, scores, strict=True):
                if score.fault is Fault.NOT_TRIED:
                    continue
                unsure = score.fault is not None and score.fault is not Fault.RAISED  # raised: no mathematics
                self._verdicts[question] = None if unsure else score.reward == 1.0
            while len(self._verdicts) > MAX_REMEMBERED:
                self._verdicts.popitem(last=False)


_memory = _Memory()
