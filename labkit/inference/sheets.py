"""Recordings of many samples, small enough to be kept: who was right, what was voted, what it cost."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from labkit.errors import UserError
from labkit.evaluation.selection import ScoresAnswers
from labkit.inference.curves import Point, point
from labkit.inference.forcing import GoOn, another_line, budget_force, unless_sure
from labkit.models import Policy
from labkit.rollouts import score
from labkit.sampling import sample
from labkit.tasks import Problem, Task
from labkit.verifiers import canonical
from labkit.worlds.countdown.behaviours import verified

RULES: dict[str, GoOn] = {"always": another_line, "unless_sure": unless_sure}
"""When a thought is made to go on, by the name that recordings give it."""


@dataclass
class Sheet:
    """N samples of each problem of a task, and answers under forced budgets.

    `answers[p]` lists the different answers to problem p in normal form; `votes[p][i]` is the index in it of sample i,
    -1 where it gave none. `right` and `accepted` (the thought ends in the model's own "yes") are strings of 0 and 1.
    `scores`: what a reward model gave each sample, where one was asked.
    `forced`: one entry a setting, with right answers and generated tokens of each problem, of `n` samples.
    """

    model: str
    task: str
    seed: int
    prompts: list[str]
    answers: list[list[str]]
    votes: list[list[int]]
    right: list[str]
    accepted: list[str]
    lengths: list[list[int]]
    scores: list[list[float]] = field(default_factory=list)
    forced: list[dict[str, Any]] = field(default_factory=list)
    made: dict[str, Any] = field(default_factory=dict)

    def table(self, name: str) -> Shaped[np.ndarray, "problems samples"]:
        """`right` and `accepted` as bool, `votes` and `lengths` as int, `scores` as float, [problems, samples]."""
        rows = getattr(self, name)
        if name in ("right", "accepted"):
            return np.array([[mark == "1" for mark in row] for row in rows])
        return np.array(rows)

    def forced_curve(self, rule: str | None = None) -> list[Point]:
        """Budgets without extensions (`rule` None; the setting is the budget), or numbers of extensions by a rule."""
        settings = [entry for entry in self.forced if entry["rule"] == rule]
        if not settings:
            raise UserError(f"no forced budgets of rule {rule!r} in the recording of {self.model} on {self.task}")
        return [
            point(
                entry["budget" if rule is None else "extensions"],
                np.array(entry["tokens"]) / entry["n"],
                np.array(entry["right"]) / entry["n"],
            )
            for entry in settings
        ]

    def save(self, file: str | Path) -> None:
        """Writes JSON, one line a field."""
        lines = [
            f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in asdict(self).items()
        ]
        Path(file).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def load_sheet(file: str | Path) -> Sheet:
    """A recording. Raises UserError where the file is missing or holds none."""
    try:
        return Sheet(**json.loads(Path(file).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{file} holds no recording of samples: {error}") from None


def vote_of(answer: str | None, task: Task) -> str | None:
    """What an answer is in a vote: the form that the task's verifier gives it (`labkit.verifiers.canonical`)."""
    return canonical(task.verifier, answer)


def record_samples(
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    n: int,
    *,
    scorer: ScoresAnswers | None = None,
    seed: int = 7,
    per_batch: int = 32,
) -> Sheet:
    """Draws and scores n samples of each problem, at temperature 1, `per_batch` problems at a time."""
    sheet = Sheet(policy.name, task.name, seed, [p.prompt for p in problems], [], [], [], [], [])
    for start in range(0, len(problems), per_batch):
        part = list(problems[start : start + per_batch])
        drawn = sample(policy, [p.prompt for p in part], n=n, max_new_tokens=task.max_new_tokens, seed=seed)
        drawn = score(drawn, task, part)
        if scorer is not None:
            given = np.asarray(scorer.score(drawn.prompts, drawn.completions), dtype=float).round(2)
            sheet.scores += given.reshape(-1, n).tolist()
        for i in range(0, len(drawn), n):
            rows = slice(i, i + n)
            scores = (drawn.scores or [])[rows]
            votes = [vote_of(s.extracted, task) for s in scores]
            answers = list(dict.fromkeys(vote for vote in votes if vote is not None))
            sheet.answers.append(answers)
            sheet.votes.append([-1 if vote is None else answers.index(vote) for vote in votes])
            sheet.right.append("".join("1" if s.reward >= 1 else "0" for s in scores))
            sheet.accepted.append("".join("1" if verified(text) else "0" for text in drawn.completions[rows]))
            sheet.lengths.append(drawn.lengths[rows].tolist())
    return sheet


def record_forcing(
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    n: int,
    *,
    budget: int,
    extensions: int = 0,
    rule: str | None = None,
    seed: int = 7,
) -> dict[str, Any]:
    """n answers per problem under a forced budget, scored: an entry of `Sheet.forced`."""
    forced = budget_force(
        policy,
        [p.prompt for p in problems],
        budget=budget,
        extensions=extensions,
        go_on=RULES[rule or "always"],
        n=n,
        seed=seed,
    )
    scores = task.score_all(forced.completions, [p for p in problems for _ in range(n)])
    right = np.array([s.reward >= 1 for s in scores]).reshape(-1, n).sum(1)
    entry = {"rule": rule, "budget": budget, "extensions": extensions, "n": n, "closed": float(np.mean(forced.closed))}
    entry["extended"] = float(np.mean(forced.extended))
    return entry | {"right": right.tolist(), "tokens": np.reshape(forced.tokens, (-1, n)).sum(1).tolist()}
