"""The kinds of tests, and how a program is judged by each: in which processes, and what is compared with what."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from labkit.verifiers.code import sandbox
from labkit.verifiers.code.asserts import Check, Question
from labkit.verifiers.code.program import Wanted
from labkit.verifiers.code.values import BadAnswer, canonical, parse, show
from labkit.verifiers.score import quote

__all__ = ["Asked", "Judged", "Prints", "Refereed", "Tests"]

MAX_OUTPUT = 64 * sandbox.MIB
"""Bytes that a program may write beyond what is always allowed, where the right answers are long."""


@dataclass
class Judged:
    """How the tests went: how many passed, the first complaint.

    `failed` says why nothing could be judged (the sandbox could not be had, the tests themselves are at fault): then
    the program is not to blame.
    """

    passed: int = 0
    complaint: str | None = None
    failed: str | None = None

    def complain(self, text: str) -> None:
        self.complaint = self.complaint or text


@dataclass(frozen=True)
class Tests:
    """What all kinds have: what they want of a program, and source that is executed before it in its process.

    `public` says that the format is one of a public set, whose harness imports much before a program runs.
    """

    wanted: Wanted = field(default=Wanted(), kw_only=True)
    given: str = field(default="", kw_only=True)
    public: bool = field(default=False, kw_only=True)

    @property
    def count(self) -> int:
        """How many tests there are."""
        raise NotImplementedError

    def judge(self, program: str, given: list[str], limits: sandbox.Limits, level: str | None) -> Judged:
        """Run a program, after the sources `given`, against the tests."""
        raise NotImplementedError


@dataclass(frozen=True)
class Asked(Tests):
    """Questions that a program answers, one by one, and what is right: assert lines taken apart, or calls."""

    checks: tuple[Check, ...] = ()
    after: str = ""

    @property
    def count(self) -> int:
        return len(self.checks)

    def judge(self, program: str, given: list[str], limits: sandbox.Limits, level: str | None) -> Judged:
        """Put all questions to one process; compare its answers here, or in a process that never saw the program."""
        questions = [question for check in self.checks for question in check.questions]
        modules = sorted({name for check in self.checks for name in check.modules})
        # As much output as the right answers need, several times over; the rest is noise.
        room = 8 * sum(len(text) for check in self.checks for text in check.right[:1])
        limits = replace(limits, file_size=limits.file_size + min(room, MAX_OUTPUT))
        job = {"kind": "ask", "given": given, "program": program, "after": [self.after] if self.after else []}
        outcome = sandbox.run_inside({**job, "questions": questions, "modules": modules}, limits, level)
        judged = Judged(failed=_failed(outcome))
        if judged.failed is not None:
            return judged
        answers = _answers(outcome.output, len(questions))
        if -1 in answers:
            judged.complain(f"the program raises {answers[-1][1]}")
        end, left, number = _ending(outcome, limits), [], 0
        for check in self.checks:
            mine = [answers.get(i, ("lost", end)) for i in range(number, number + len(check.questions))]
            number += len(check.questions)
            bad = next((i for i, (kind, _) in enumerate(mine) if kind != "value"), None)
            if bad is not None:
                judged.complain(_complaint(check.questions[bad], *mine[bad]))
            elif not check.right:
                left.append((check, [text for _, text in mine]))
            elif _canonical(mine[0][1], check.json) in check.right:
                judged.passed += 1
            else:
                judged.complain(_complaint(check.questions[0], "wrong", mine[0][1], check.source))
        if left:
            self._second_process(left, modules, limits, level, judged)
        return judged

    def _second_process(self, left: list, modules: list, limits: Any, level: str | None, judged: Judged) -> None:
        sound = [(check, answers) for check, answers in left if None not in map(_canonical, answers)]
        verdicts = [(check.verdict, answers) for check, answers in sound]
        job = {"kind": "judge", "verdicts": verdicts, "modules": modules}
        outcome = sandbox.run_inside(job, limits, level)
        judged.failed = _failed(outcome)
        said = _answers(outcome.output, len(verdicts))
        for index, (check, _) in enumerate(sound):
            kind, text = said.get(index, ("lost", "takes too long to judge"))
            if (kind, text) == ("value", "true"):
                judged.passed += 1
            else:
                judged.complain(f"fails: {check.source[:100]}" + (f" ({text})" if kind != "value" else ""))
        if len(sound) < len(left):
            judged.complain("an answer is no plain data")


@dataclass(frozen=True)
class Refereed(Tests):
    """Tests that run as they stand, in a process of their own from which the program is called (see `wire`).

    `sources` are executed there first, `names` are those of the program that they or the tests use, `entry` is an
    expression for what is tested.
    """

    tests: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    entry: str | None = None

    @property
    def count(self) -> int:
        return len(self.tests)

    def judge(self, program: str, given: list[str], limits: sandbox.Limits, level: str | None) -> Judged:
        """Two processes with a line between them; the one with the tests tells what it found."""
        job = {"kind": "referee", "tests": self.tests, "sources": self.sources, "names": self.names}
        job |= {"modules": self.modules, "entry": self.entry}
        served = {"kind": "serve", "given": given, "program": program, "after": []}
        outcome = sandbox.run_pair(served, job, limits, level)
        judged = Judged(failed=_failed(outcome))
        said = _answers(outcome.output, self.count)
        if -2 in said:
            judged.failed = f"the tests are at fault: {said[-2][1]}"
        if -1 in said:
            judged.complain(said[-1][1])
        for index in range(self.count):
            kind, text = said.get(index, ("lost", f"no answer: the program {_ending(outcome, limits)}"))
            if kind == "value":
                judged.passed += 1
            else:
                judged.complain(text)
        return judged


@dataclass(frozen=True)
class Prints(Tests):
    """Inputs and what a script must print for each, line by line; with `tokens`, as LiveCodeBench compares them."""

    cases: tuple[tuple[str, str], ...] = ()
    tokens: bool = False

    @property
    def count(self) -> int:
        return len(self.cases)

    def judge(self, program: str, given: list[str], limits: sandbox.Limits, level: str | None) -> Judged:
        """A fresh process for each input; what it printed is compared here. All share one budget of seconds."""
        judged, deadline = Judged(), time.monotonic() + limits.seconds
        for number, (stdin, stdout) in enumerate(self.cases, start=1):
            left = deadline - time.monotonic()
            if left <= 0:
                judged.complain(f"over the time limit of {limits.seconds:g} s")
                break
            mine = replace(limits, seconds=left, file_size=limits.file_size + min(2 * len(stdout), MAX_OUTPUT))
            outcome = sandbox.run_inside({"kind": "run", "given": given, "program": program}, mine, level, stdin)
            if outcome.failed is not None:
                judged.failed = _failed(outcome)
                break
            wrong = self._wrong(outcome, stdout, limits)
            if wrong is None:
                judged.passed += 1
            else:
                judged.complain(f"input {number}: {wrong}")
        return judged

    def _wrong(self, outcome: sandbox.Outcome, stdout: str, limits: sandbox.Limits) -> str | None:
        if outcome.timed_out or outcome.too_much:
            return _ending(outcome, limits)
        text, last = outcome.output.decode("utf-8", "replace"), outcome.errors.rsplit("\n", 1)[-1]
        printed, right = _lines(text), _lines(stdout)
        if printed != right and not (self.tokens and _same_tokens(text, stdout)):
            told = f"prints {quote(chr(10).join(printed))}, not {quote(stdout)}"
            return f"{told} ({last})" if last else told
        if outcome.status == 0:
            return None
        status = outcome.status or 0
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"prints what is right, then ends with {how}" + (f" ({last})" if last else "")


def _failed(outcome: sandbox.Outcome) -> str | None:
    return None if outcome.failed is None else f"the sandbox could not be had: {outcome.failed}"


def _answers(output: bytes, count: int) -> dict[int, tuple[str, str]]:
    """Lines `INDEX KIND TREE` of a process, the first of each index; anything else is passed over."""
    found: dict[int, tuple[str, str]] = {}
    for line in output.decode("ascii", "replace").split("\n"):
        index, _, rest = line.partition(" ")
        kind, _, text = rest.partition(" ")
        if kind not in ("value", "odd", "error") or not re.fullmatch(r"-[1-3]|\d{1,6}", index, re.ASCII):
            continue
        if kind != "value":
            try:
                text = str(parse(text))[:300]
            except BadAnswer:
                continue
        if int(index) < count:
            found.setdefault(int(index), (kind, text))
    return found


def _canonical(text: str, json: bool = False) -> str | None:
    try:
        return canonical(parse(text), json=json)
    except BadAnswer:
        return None


def _complaint(question: Question, kind: str, text: str, source: str = "") -> str:
    question = question if isinstance(question, str) else question[2]
    question = question if len(question) <= 60 else question[:60] + "..."
    if kind == "wrong":
        answer = "nonsense" if _canonical(text) is None else show(parse(text))
        return f"{question} gives {answer}, not as in: {source[:100]}"
    words = {"lost": "gets no answer: the program", "error": "raises", "odd": "gives what"}
    return f"{question} {words[kind]} {text}"


def _ending(outcome: sandbox.Outcome, limits: sandbox.Limits) -> str:
    if outcome.timed_out:
        return f"is over the time limit of {limits.seconds:g} s"
    return "writes too much" if outcome.too_much else "ended early"


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _same_tokens(printed: str, right: str) -> bool:
    """LiveCodeBench's rule: line by line, white space at both ends aside, equal as text or number by number."""
    mine, others = ([line.strip() for line in text.strip().split("\n")] for text in (printed, right))
    return len(mine) == len(others) and all(a == b or _same_numbers(a, b) for a, b in zip(mine, others, strict=True))


def _same_numbers(a: str, b: str) -> bool:
    try:
        return [Decimal(word) for word in a.split()] == [Decimal(word) for word in b.split()]
    except InvalidOperation:
        return False
