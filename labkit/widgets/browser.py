"""Reading the rollouts of a run, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from labkit.errors import UserError
from labkit.plots.gallery import HasRollouts, as_text, badge, coloured, rollout_table, summary
from labkit.plots.tokens import visible
from labkit.widgets.front_end import front_end

Rollout = dict[str, Any]


def browse(run: HasRollouts) -> None:
    """Shows the run's logged rollouts: choose step, problem and sample, and what the tokens are coloured by.

    Without a notebook it prints the best and the worst of the newest step. A notebook that is read without a
    kernel shows these two as well. Raises UserError where the run has logged no rollouts.
    """
    rollouts = run.rollouts()
    if not rollouts:
        raise UserError("this run has logged no rollouts: set rollouts_logged above 0 in its recipe")
    if front_end() == "plain":
        print("\n\n".join(as_text(row) for row in best_and_worst(rollouts)))
        return
    from IPython.display import display

    display(_bundle(Browser(rollouts)), raw=True)


def best_and_worst(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The rollouts of the newest step with the highest and the lowest reward; one where they are the same."""
    newest = max(row["step"] for row in rollouts)
    there = [row for row in rollouts if row["step"] == newest]
    best = max(there, key=lambda row: row["reward"])
    worst = min(there, key=lambda row: row["reward"])
    return [best] if best is worst else [best, worst]


class Browser:
    """The widgets of `browse`, each choice narrowing the next: step, problem, sample, colour."""

    def __init__(self, rollouts: Sequence[Rollout]) -> None:
        import ipywidgets as w

        self.by_step: dict[int, dict[Any, list[Rollout]]] = {}
        for row in sorted(rollouts, key=lambda row: (row["step"], row["group"], row["sample"])):
            self.by_step.setdefault(row["step"], {}).setdefault(row["group"], []).append(row)
        words = {"style": {"description_width": "5em"}}
        wide = w.Layout(width="min(100%, 44em)")
        steps = list(self.by_step)
        self.step = w.SelectionSlider(options=steps, value=steps[-1], description="step", layout=wide, **words)
        self.group = w.Dropdown(description="problem", layout=wide, **words)
        self.sample = w.Dropdown(description="sample", layout=wide, **words)
        self.colour = w.ToggleButtons(
            options=[("advantage", "advantage"), ("log-prob", "logprob"), ("none", None)],
            description="colour by",
            layout=wide,
            style={"description_width": "5em", "button_width": "7em"},
        )
        self.page = w.HTML(layout=w.Layout(width="100%"))
        self.view = w.VBox([self.step, self.group, self.sample, self.colour, self.page])
        self.step.observe(lambda _: self._fill_groups(), names="value")
        self.group.observe(lambda _: self._fill_samples(), names="value")
        self.sample.observe(lambda _: self._draw(), names="value")
        self.colour.observe(lambda _: self._draw(), names="value")
        self._fill_groups()

    @property
    def chosen(self) -> Rollout:
        """The rollout on show."""
        return self.by_step[self.step.value][self.group.value][self.sample.value]

    def _fill_groups(self) -> None:
        groups = self.by_step[self.step.value]
        self.group.options = [(_group_label(rows), group) for group, rows in groups.items()]
        self.group.index = 0
        # The problems of two steps may have the same numbers: then nothing "changed", but the samples did.
        self._fill_samples()

    def _fill_samples(self) -> None:
        if self.group.value is None:  # between two lists of options
            return
        rows = self.by_step[self.step.value][self.group.value]
        self.sample.options = [(_sample_label(row), index) for index, row in enumerate(rows)]
        self.sample.index = 0
        self._draw()

    def _draw(self) -> None:
        if self.sample.value is not None:
            self.page.value = page(self.chosen, self.colour.value)


def page(row: Rollout, colour: str | None) -> str:
    """HTML of one rollout: its score with reason, parts and length, the prompt, the completion's tokens."""
    named = (row.get("parts") or {}).items()
    parts = ", ".join(f"{escape(name)} {value:g}" for name, value in named)
    answer = row.get("extracted")
    answer_text = f"answer <code>{escape(answer)}</code>" if answer is not None else "no answer found"
    return (
        f'<div style="margin:.4em 0">{badge(row)} {escape(summary(row))}; {answer_text}; '
        f"advantage {_advantage(row)}</div>"
        + (f"<div>parts: {parts}</div>" if parts else "")
        + f'<div style="margin:.4em 0">prompt <code>{visible(row["prompt"])}</code></div>'
        + f'<div style="max-height:24em;overflow:auto">{coloured(row, colour)}</div>'
    )


def _advantage(row: Rollout) -> str:
    value = row.get("advantage")
    return f"{value:+.3f}" if isinstance(value, int | float) else "a token each"


def _group_label(rows: Sequence[Rollout]) -> str:
    right = sum(row["reward"] >= 1 for row in rows)
    return f"{_short(rows[0]['prompt'])}   ({right} of {len(rows)} right)"


def _sample_label(row: Rollout) -> str:
    return f"{row['sample']}: reward {row['reward']:g}, {_short(row['reason'])}"


def _short(text: str, limit: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _bundle(browser: Browser) -> dict[str, Any]:
    """The widget, with a still picture beside it for readers of the stored notebook (GitHub, nbconvert)."""
    rows = best_and_worst([row for groups in browser.by_step.values() for g in groups.values() for row in g])
    still = rollout_table(rows, "Best and worst of the newest step", "advantage")
    bundle = browser.view._repr_mimebundle_()
    return {**bundle, "text/html": still._repr_html_(), "text/plain": str(still)}
