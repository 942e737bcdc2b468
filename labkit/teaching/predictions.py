"""Predictions: said before an experiment, kept in a file of the student's, scored when the result is there.

    lk.predict("07-red-team", 0.6)        # before: a probability, an interval (low, high), or a number
    lk.outcome("07-red-team", found > 0)  # after: what happened, next to what was predicted, with its score
    lk.calibration()                      # at the end: how often things happened that were said to be likely

A prediction is None until the student writes one; then nothing is stored, and the result is shown all the same.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from labkit.errors import UserError
from labkit.exercises.display import Card
from labkit.runs import write_aside
from labkit.tables import ShownTable, number, show_table

__all__ = ["COVERAGE", "calibration", "outcome", "predict", "predictions_file"]

COVERAGE = 0.8
"""The chance with which a predicted interval should hold the result."""
Guess = float | tuple[float, float]


def predictions_file() -> Path:
    """`predictions.json` in the working folder, or in the folder that the environment variable LABKIT_HOME names.

    Delete it to start afresh.
    """
    return Path(os.environ.get("LABKIT_HOME") or ".").expanduser() / "predictions.json"


def predict(name: str, guess: Guess | list[float] | bool | None = None) -> Card:
    """Store a prediction: a probability (0 to 1) that something happens, an interval (low, high), or a number.

    An interval should hold the result with a chance of 80 %. What is predicted after its result was shown is stored,
    marked as late, and does not count. None stores nothing. Raises UserError for what is no prediction.

    >>> predict("doc-example")
    No prediction yet: write one in place of `None`, and run this cell before you read on.
    """
    if guess is None or guess is ...:
        return Card("No prediction yet: write one in place of `None`, and run this cell before you read on.")
    value, stored = _checked(guess), _read()
    entry = stored.setdefault(name, {})
    if entry.get("guess") == value:
        return Card(f"Prediction `{name}`: {_told(value)}, as before.")
    stored[name] = {"guess": value, "late": "result" in entry}
    late = " You had seen the result already: it is kept, but it does not count." if stored[name]["late"] else ""
    return Card(f"Prediction `{name}`: {_told(value)}.{late}{_write(stored)}")


def outcome(name: str, result: float | bool) -> Card:
    """Show a result next to its prediction, with the score, and store both.

    A result of True or False scores a probability with the Brier score, (p - result)^2: 0 is perfect, 0.25 is what
    "one half" always gets (Brier, 1950). A number scores an interval with its width plus ten times the distance by
    which it missed (the interval score for 80 %: Gneiting and Raftery, 2007), and a number with the absolute error.
    Lower is better in all three. Raises UserError where prediction and result are of different kinds.

    >>> outcome("doc-example", 0.62)
    Result: **0.62**. There was no prediction.
    """
    happened = bool(result) if isinstance(result, bool | np.bool_) else float(result)
    told = ("yes" if happened else "no") if isinstance(happened, bool) else f"{happened:.3g}"
    stored = _read()
    entry = stored.get(name)
    if entry is None or "guess" not in entry:
        return Card(f"Result: **{told}**. There was no prediction.")
    try:
        score, words = _score(entry["guess"], happened)
    except UserError as error:
        return Card(f"Result: **{told}**. {error}")
    # The first result counts: running the cell again does not.
    entry |= {"result": entry.get("result", happened), "score": entry.get("score", score)}
    late = " It was made after the result was known and does not count." if entry["late"] else ""
    return Card(f"Result: **{told}**. You said {_told(entry['guess'])}: {words}.{late}{_write(stored)}")


def calibration() -> ShownTable | Card:
    """How well calibrated the predictions so far were: probabilities by how sure they were, intervals, numbers.

    >>> calibration()
    No prediction has a result yet. ...
    """
    done = [e for e in _read().values() if "result" in e and not e["late"]]
    if not done:
        return Card(
            "No prediction has a result yet. Each `lk.predict` before an experiment adds one; none is required."
        )
    rows = []
    chances = [e for e in done if isinstance(e["result"], bool)]
    for low, high in ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)):
        here = [e for e in chances if low <= e["guess"] < high or (high == 1.0 and e["guess"] == 1.0)]
        if here:
            said, came = _mean(e["guess"] for e in here), _mean(float(e["result"]) for e in here)
            score = _mean(e["score"] for e in here)
            rows.append([f"said {low:.0%} to {high:.0%}", len(here), f"{said:.0%}", f"{came:.0%}", number(score)])
    intervals = [e for e in done if isinstance(e["guess"], list)]
    if intervals:
        held = _mean(float(e["guess"][0] <= e["result"] <= e["guess"][1]) for e in intervals)
        rows.append(["intervals", len(intervals), f"{COVERAGE:.0%}", f"{held:.0%} held the result", "-"])
    numbers = [e for e in done if not isinstance(e["guess"], list) and not isinstance(e["result"], bool)]
    if numbers:
        rows.append(["numbers", len(numbers), "-", "-", "-"])
    brier = f"; mean Brier score {_mean(e['score'] for e in chances):.3f} (0.25: always one half)" if chances else ""
    title = f"Your predictions so far: {len(done)} with a result{brier}"
    return show_table(["kind", "how many", "you said", "it came true", "mean score"], rows, title)


def _checked(guess: Any) -> float | list[float]:
    """A number or [low, high]."""
    try:
        values = [float(x) for x in guess] if isinstance(guess, list | tuple) else [float(guess)]
    except (TypeError, ValueError):
        values = [math.nan]
    pair = isinstance(guess, list | tuple)
    if not all(map(math.isfinite, values)) or (pair and (len(values) != 2 or values[0] > values[1])):
        raise UserError(f"{guess!r} is no prediction: give a probability (0.7), a number, or an interval (low, high)")
    return values if pair else values[0]


def _score(guess: float | list[float], result: float | bool) -> tuple[float, str]:
    if isinstance(result, bool):
        if isinstance(guess, list) or not 0 <= guess <= 1:
            raise UserError("This is a yes-or-no question: predict the probability of yes, from 0 to 1.")
        score = (guess - result) ** 2
        return score, f"Brier score {score:.3f} (0 is best, 0.25 is a coin)"
    if isinstance(guess, list):
        low, high = guess
        missed = max(low - result, result - high, 0.0)
        score = high - low + 2 / (1 - COVERAGE) * missed
        return score, f"{'missed it' if missed else 'it held the result'}, interval score {score:.3g} (lower is better)"
    return abs(guess - result), f"off by {abs(guess - result):.3g}"


def _told(guess: float | list[float]) -> str:
    return f"{guess[0]:g} to {guess[1]:g}" if isinstance(guess, list) else f"{guess:g}"


def _mean(values: Any) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)


def _read() -> dict[str, dict[str, Any]]:
    """What is stored; nothing where there is no file. Raises UserError where it is no file of predictions."""
    file = predictions_file()
    if not file.exists():
        return {}
    try:
        stored = json.loads(file.read_text())
        return {str(name): {"late": False} | entry for name, entry in stored.items()}
    except (json.JSONDecodeError, AttributeError, TypeError, OSError):
        raise UserError(f"{file} cannot be read as predictions: delete it to start afresh") from None


def _write(stored: dict[str, Any]) -> str:
    """Stores; where the folder can't be written, a sentence says so, and the notebook goes on."""
    try:
        predictions_file().parent.mkdir(parents=True, exist_ok=True)
        write_aside(predictions_file(), json.dumps(stored, indent=1) + "\n")
    except OSError as error:
        return f" (Not stored: {predictions_file()} cannot be written, {error.strerror}.)"
    return ""
