"""Rollouts to read: a table of some, and a gallery of one problem through a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from labkit.errors import UserError
from labkit.plots.tokens import token_strip, visible
from labkit.printable import LINES, printable

Rollout = Mapping[str, Any]


class HasRollouts(Protocol):
    """What a gallery needs of a run."""

    def rollouts(self, step: int | None = None) -> list[dict[str, Any]]:
        """The logged rollouts, of one step or of all."""
        ...


@dataclass(frozen=True)
class RolloutTable:
    """Rollouts as a table: HTML in a notebook, text elsewhere.

    `colour` is the number that colours the tokens: "advantage", "logprob" or None.
    """

    rows: list[Rollout]
    title: str = "Rollouts"
    colour: str | None = None

    def _repr_html_(self) -> str:
        widths = {"step": "3em", "completion": "auto", "score": "14em"}
        head = "".join(f'<th style="text-align:left;width:{w}">{name}</th>' for name, w in widths.items())
        body = "".join(self._row(row) for row in self.rows)
        return (
            f'<div><b>{visible(self._heading)}</b><table style="width:100%"><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def _row(self, row: Rollout) -> str:
        prompt = "" if self._same_prompt else f'<div style="opacity:.75">{visible(row["prompt"])}</div>'
        cell = "vertical-align:top;text-align:left"
        return (
            f'<tr><td style="{cell}">{visible(str(row["step"]))}</td>'
            f'<td style="{cell}">{prompt}{coloured(row, self.colour, legend=False)}</td>'
            f'<td style="{cell};min-width:9em">{badge(row)}<br>{visible(summary(row))}</td></tr>'
        )

    @property
    def _heading(self) -> str:
        """The title, with the prompt where it is the same in all rows."""
        return f"{self.title}: {self.rows[0]['prompt']}" if self._same_prompt else self.title

    @property
    def _same_prompt(self) -> bool:
        return len({row["prompt"] for row in self.rows}) == 1

    def __str__(self) -> str:
        return "\n".join([printable(self._heading), *(as_text(row) for row in self.rows)])

    __repr__ = __str__


def rollout_table(
    rollouts: Sequence[Rollout], title: str = "Rollouts", colour: str | None = None, limit: int | None = None
) -> RolloutTable:
    """A table of the first `limit` rollouts (None: all), lines of `rollouts.jsonl`.

    Tokens are coloured by `colour`: "advantage", "logprob" or None. Raises UserError where there are no
    rollouts.
    """
    if not rollouts:
        raise UserError("there are no rollouts to show: this step logged none")
    if colour not in (None, "advantage", "logprob"):
        raise UserError(f'tokens are coloured by "advantage", "logprob" or None, not by {colour!r}')
    return RolloutTable(list(rollouts)[:limit], title, colour)


def gallery(
    run: HasRollouts, prompt: str | None = None, steps: Sequence[int] | None = None, colour: str | None = None
) -> RolloutTable:
    """Rollouts of one problem through a run, one per step: how the answers to the same question change.

    Without a `prompt` it takes the prompt that was logged at most steps; where no prompt was logged twice, it takes one
    rollout per step, each of another problem. Without `steps` it takes five, evenly spread. Of the rollouts of a step
    it takes the one of middle length, which is neither the best nor the worst choice. Raises UserError where no rollout
    fits.
    """
    rollouts = run.rollouts()
    if not rollouts:
        raise UserError("this run has logged no rollouts: set rollouts_logged above 0 in its recipe")
    prompt = prompt if prompt is not None else _recurring_prompt(rollouts)
    fitting = [r for r in rollouts if prompt is None or r["prompt"] == prompt]
    by_step: dict[int, list[Rollout]] = defaultdict(list)
    for row in fitting:
        by_step[row["step"]].append(row)
    there = sorted(by_step)
    wanted = _spread(there, 5) if steps is None else [step for step in steps if step in by_step]
    if not wanted:
        what = "with this prompt" if prompt is not None else "at these steps"
        raise UserError(f"no rollouts {what}; steps with some: {', '.join(map(str, there)) or 'none'}")
    rows = [_middle(by_step[step]) for step in wanted]
    title = "One problem through the run" if prompt is not None else "One rollout per step"
    return rollout_table(rows, title, colour)


def coloured(row: Rollout, by: str | None, legend: bool = True, most: int | None = None) -> str:
    """HTML of the tokens of a rollout, coloured by "advantage", by "logprob" or not at all (None); `most` as in
    `token_strip`."""
    tokens = row.get("tokens") or [row["completion"]]
    if by == "advantage":
        # Advantages are about 1 in size: a fixed scale makes strips of different rollouts comparable.
        return token_strip(tokens, row["advantage"], "advantage", limit=2.0, legend=legend, most=most)
    if by == "logprob" and row.get("logprobs"):
        return token_strip(tokens, row["logprobs"], "log-prob", limit=4.0, legend=legend, most=most)
    return token_strip(tokens, None, most=most)


def badge(row: Rollout) -> str:
    """The reward as a small label: a tick in blue for a full reward, a cross in orange for zero.

    A reward model's number has no zero and no full mark: its label is neutral, and next to it stands the task's own
    score (gold), with the tick or cross that this one deserves.
    """
    reward, gold = float(row["reward"]), (row.get("parts") or {}).get("gold")
    if unbounded(row):
        return _label(f"score {reward:.2f}", "#e3e3e3") + (_verdict(float(gold), "gold ") if gold is not None else "")
    return _verdict(reward)


def unbounded(row: Rollout) -> bool:
    """Whether the reward is a number without a zero and a full mark, as a reward model gives it.

    >>> unbounded({"reward": 0.4, "reason": "reward model 0.400; gold 1.000: polite", "parts": {"gold": 1.0}})
    True
    >>> unbounded({"reward": 1.0, "reason": "makes 30"})
    False
    """
    reward, judged = float(row["reward"]), str(row.get("reason", "")).startswith("reward model ")
    return judged or not 0 <= reward <= 1


def _verdict(value: float, name: str = "") -> str:
    sign, paint = ("✓", "#a9d3ef") if value >= 1 else ("✗", "#f8c9a2") if value <= 0 else ("~", "#eeeeee")
    return _label(f"{sign} {name}{value:.3g}", paint)


def _label(text: str, paint: str) -> str:
    style = f"color:#111;background:{paint};border-radius:.6em;padding:.05em .55em;margin-right:.3em;white-space:nowrap"
    return f'<span style="{style}">{text}</span>'


def summary(row: Rollout) -> str:
    """The verifier's reason, the length, and whether the token limit ended the completion.

    >>> summary({"reason": "makes 30", "tokens": ["a", "b"], "truncated": True})
    'makes 30; 2 tokens, truncated'
    """
    length = f"{len(row['tokens'])} tokens" if row.get("tokens") else f"{len(row['completion'])} characters"
    return f"{row['reason']}; {length}{', truncated' if row.get('truncated') else ''}"


def as_text(row: Rollout) -> str:
    """A rollout as plain text."""
    head = f"step {row['step']}, reward {float(row['reward']):g} ({summary(row)})"
    body = f"{row['prompt']}{row['completion']}".replace("\n", "\n    ")
    return f"{printable(head)}\n    {printable(body, keep=LINES)}"


def _recurring_prompt(rollouts: Sequence[Rollout]) -> str | None:
    """The prompt that was logged at most steps, if any was logged at more than one step."""
    steps: dict[str, set[int]] = defaultdict(set)
    for row in rollouts:
        steps[row["prompt"]].add(row["step"])
    most = max(steps, key=lambda prompt: len(steps[prompt]))
    return most if len(steps[most]) > 1 else None


def _middle(rows: Sequence[Rollout]) -> Rollout:
    return sorted(rows, key=lambda row: len(row.get("tokens") or row["completion"]))[len(rows) // 2]


def _spread(values: Sequence[int], count: int) -> list[int]:
    """At most `count` of the values, evenly spread, first and last among them.

    >>> _spread([0, 1, 2, 3, 4, 5, 6], 3)
    [0, 3, 6]
    """
    if len(values) <= count:
        return list(values)
    return [values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)]
