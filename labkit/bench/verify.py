"""How many answers per second each verifier judges, `math` next to a plain loop over math-verify in the same run; and
how often the two are right on the labelled answers of `data/verifiers`.

A turn has answers that no turn before it had, in groups of eight to one reference, so what the verifiers remember helps
as it does in training and no more. Verifiers that run here use one core; `math` hands what needs algebra to its worker
processes, `code` runs each program in a sandbox, several at once.
"""

import contextlib
import logging
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from labkit.bench.verify_cases import KINDS, Case, make_cases
from labkit.errors import UserError
from labkit.tables import table
from labkit.verifiers import VERIFIERS, run_verifier
from labkit.verifiers.labelled import labelled_answers

PEER = "math-verify"
FEWER = {"code": 20, "math": 4, "math algebra": 20}
"""Kinds that take milliseconds per answer: so many times fewer answers per turn."""
Row = dict[str, Any]
Sides = dict[str, Callable[[list[Case]], list[float]]]


def bench_verify(peers: list[str] | None = None, answers: int = 2_000, repeats: int = 5, seed: int = 0) -> list[Row]:
    """One row per verifier of `VERIFIERS`, and one per kind of answer of `math` by math-verify.

    A peer that is named (`math-verify`) judges the labelled answers as well, which takes about a minute.

    A row: `what` ("verify"), `side` ("labkit number", "math-verify", ...), `batch` (answers per turn),
    `answers_per_second`, `seconds` (a turn; these are medians), `spread` ([fastest, slowest] turn), `right` (the share
    of answers with reward 1 in the last turn), `ratio` (to each peer on the same answers), `notes`, `confusion` (what
    `confusion` says of `math` and of a peer that is named, else null);
    `tokens_per_second` and `ceiling_fraction` are null, for a verifier reads text and not tokens.

    Raises UserError for an unknown peer, and for numbers below 1.
    """
    named = [peer.replace("_", "-") for peer in peers or []]
    peers = [PEER] if peers is None else named
    if set(peers) - {PEER}:
        raise UserError(f"bench verify knows no peer {sorted(set(peers) - {PEER})[0]!r}; there is {PEER}")
    if min(answers, repeats) < 1:
        raise UserError(f"answers and repeats must be 1 or more, not {answers} and {repeats}")
    rows = []
    for kind in [*VERIFIERS, "math algebra"]:
        if kind not in KINDS:
            continue
        verifier = VERIFIERS[kind.split()[0]]
        size = max(1, answers // FEWER.get(kind, 1))
        sides = {f"labkit {kind}": lambda cases, verifier=verifier: _labkit(verifier, cases)}
        if peers and kind.startswith("math"):
            sides[PEER + kind.removeprefix("math")] = _math_verify
        rows += _race(kind, sides, size, repeats, seed)
    for row in rows:
        judges = {"labkit math": VERIFIERS["math"], PEER: peer_verdict}
        row["confusion"] = confusion(judges[row["side"]]) if named and row["side"] in judges else None
    return rows


def confusion(verifier: Callable[[str, Any], Any], kind: str = "math") -> dict[str, int]:
    """How a verifier judges the labelled answers of a kind: right ones paid or missed, wrong ones refused or paid.

    An answer that it cannot judge in ten seconds counts as refused. Answers whose prompt has opened the thought are
    left out: only labkit's tasks tell a verifier what the prompt was.
    """
    rows = [row for row in labelled_answers(kind) if not row.get("prompt")]
    texts, references = [row["completion"] for row in rows], [row["reference"] for row in rows]
    scores = run_verifier(verifier, texts, references, timeout=10)
    cells = Counter((row["correct"], score.reward == 1.0) for row, score in zip(rows, scores, strict=True))
    return {
        "right_paid": cells[True, True],
        "right_missed": cells[True, False],
        "wrong_refused": cells[False, False],
        "wrong_paid": cells[False, True],
    }


def peer_verdict(completion: str, reference: Any) -> float:
    """What math-verify says of one answer; in a worker process, since some answers keep it busy for ever."""
    return _math_verify([(completion, reference)])[0]


def _prepare() -> None:
    """Import math-verify and its parser before the clock runs."""
    _math_verify([(r"\boxed{\frac{1}{2}}", "0.5")])


peer_verdict.needs_worker = True  # type: ignore[attr-defined]
peer_verdict.prepare_worker = _prepare  # type: ignore[attr-defined]


def _race(kind: str, sides: Sides, size: int, repeats: int, seed: int) -> list[Row]:
    """The sides take turns on the same answers, after a warm-up turn each."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    rewards: dict[str, list[float]] = {}
    for turn in range(repeats + 1):
        cases = make_cases(kind, size, seed=1_000 * seed + turn)
        for side, run in sides.items():
            start = time.perf_counter()
            rewards[side] = run(cases)
            if turn:
                seconds[side].append(time.perf_counter() - start)
    rates = {side: size / statistics.median(turns) for side, turns in seconds.items()}
    ours, *theirs = sides
    return [
        {
            "what": "verify",
            "side": side,
            "batch": size,
            "answers_per_second": rates[side],
            "tokens_per_second": None,
            "seconds": statistics.median(turns),
            "ratio": {peer: rates[ours] / rates[peer] for peer in theirs} if side == ours else {},
            "ceiling_fraction": None,
            "spread": [min(turns), max(turns)],
            "right": statistics.mean(reward == 1.0 for reward in rewards[side]),
            "notes": _notes(rewards[ours], rewards[side]) if side != ours else "",
        }
        for side, turns in seconds.items()
    ]


def _notes(ours: list[float], theirs: list[float]) -> str:
    differ = sum((a == 1.0) != (b == 1.0) for a, b in zip(ours, theirs, strict=True))
    return f"judges {differ} of {len(ours)} answers otherwise than labkit" if differ else ""


def _labkit(verifier: Any, cases: list[Case]) -> list[float]:
    scores = run_verifier(verifier, [text for text, _ in cases], [reference for _, reference in cases])
    return [score.reward for score in scores]


def _math_verify(cases: list[Case]) -> list[float]:
    """The loop that a user of math-verify writes, without its SIGALRM: only a main thread has it, and it costs time."""
    from math_verify import parse, verify

    with _silence("math_verify"):
        rewards = []
        for text, reference in cases:
            gold, answer = parse(f"${reference}$", parsing_timeout=None), parse(text, parsing_timeout=None)
            rewards.append(float(verify(gold, answer, timeout_seconds=None)))
        return rewards


@contextlib.contextmanager
def _silence(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def format_verify(rows: list[Row]) -> str:
    """The rows as an aligned table."""
    head = ("side", "answers", "answers/s", "seconds", "fastest..slowest", "right", "labkit is faster by")
    cells = []
    for row in rows:
        low, high = row["spread"]
        ratios = ", ".join(f"{value:.1f}x {peer}" for peer, value in row["ratio"].items())
        times = (f"{row['answers_per_second']:,.0f}", f"{row['seconds']:.4f}", f"{low:.4f}..{high:.4f}")
        cells.append((row["side"], str(row["batch"]), *times, f"{row['right']:.0%}", ratios))
    notes = [f"{row['side']}: {row['notes']}" for row in rows if row["notes"]]
    return "\n".join([table(head, cells), *([""] if notes else []), *notes, *_confusion_lines(rows)])


def _confusion_lines(rows: list[Row]) -> list[str]:
    compared = [row for row in rows if row.get("confusion")]
    if not compared:
        return []
    counts = list(compared[0]["confusion"])
    head = ["labelled answers", *(count.replace("_", " ") for count in counts)]
    return ["", table(head, [[row["side"], *(str(row["confusion"][count]) for count in counts)] for row in compared])]


__all__ = ["bench_verify", "confusion", "format_verify", "peer_verdict"]
