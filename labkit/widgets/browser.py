"""Reading the rollouts of a run, or of two runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, cast

from labkit.errors import UserError
from labkit.plots.gallery import HasRollouts, RolloutTable, as_text, badge, coloured, rollout_table, summary
from labkit.plots.tokens import token_strip, visible
from labkit.widgets.front_end import front_end, show_widget

Rollout = dict[str, Any]

FILTERS: dict[str, Callable[[Rollout], bool]] = {
    "all": lambda row: True,
    "reward 1 or more": lambda row: row["reward"] >= 1,
    "reward below 1": lambda row: row["reward"] < 1,
    "truncated": lambda row: bool(row.get("truncated")),
    "not truncated": lambda row: not row.get("truncated"),
}
# The letters are those of the buttons' places: previous and next step, previous and next problem.
_KEYS = """<div tabindex="0" data-lm-suppress-shortcuts="true" style="line-height:1.5;padding:.1em .5em;
border:1px solid var(--jp-border-color1,#bbb)" onkeydown="
const place = {ArrowLeft: 0, ArrowRight: 1, ArrowUp: 2, ArrowDown: 3}[event.key];
if (place !== undefined) {
  event.preventDefault();
  event.stopPropagation();
  this.closest('.labkit-browser').querySelectorAll('.labkit-key')[place].click();
}">Keys: click here, then ← → for the step, ↑ ↓ for the problem</div>"""


def browse(run: HasRollouts, other: HasRollouts | None = None) -> None:
    """Shows the run's logged rollouts: choose step and problem, which samples, and what the tokens are coloured by.

    All samples of a problem are shown at once; filters and a text that they must contain leave fewer. With `other`, a
    second run stands next to the first and goes along: to its nearest step, and to the same problem where it has it.
    Without a notebook it prints the best and the worst of the newest step. A notebook that is read without a kernel
    shows these two as well. Raises UserError where a run has logged no rollouts.
    """
    runs = [run] if other is None else [run, other]
    rollouts = [one.rollouts() for one in runs]
    if not all(rollouts):
        raise UserError("this run has logged no rollouts: set rollouts_logged above 0 in its recipe")
    titles = _titles(runs)
    if front_end() == "plain":
        for title, rows in zip(titles, rollouts, strict=True):
            print("\n\n".join([*([title] if title else []), *(as_text(row) for row in best_and_worst(rows))]))
        return
    from IPython.display import display

    for title, rows in zip(titles, rollouts, strict=True):
        # An output of its own: the widget's is lost with its kernel.
        display(still(rows, title))
    view = side_by_side([Browser(rows, title) for title, rows in zip(titles, rollouts, strict=True)])
    show_widget(view, "The rollouts of every step, with filters")


def best_and_worst(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The rollouts of the newest step with the highest and the lowest reward; one where they are the same."""
    newest = max(row["step"] for row in rollouts)
    there = [row for row in rollouts if row["step"] == newest]
    best = max(there, key=lambda row: row["reward"])
    worst = min(there, key=lambda row: row["reward"])
    return [best] if best is worst else [best, worst]


def still(rollouts: Sequence[Rollout], title: str = "") -> RolloutTable:
    """The best and the worst of the newest step, as a table."""
    rows = best_and_worst(rollouts)
    name = f"{title}, best and worst" if title else "Best and worst"
    return rollout_table(rows, f"{name} of the newest step", colours(rows)[0][1])


def colours(rows: Sequence[Rollout]) -> list[tuple[str, str | None]]:
    """What the tokens of these rollouts can be coloured by, best choice first, with the name of each choice.

    An advantage that is one number for a whole row paints it in one colour, which says less than its log-probs do.
    """
    by_token = isinstance(rows[0].get("advantage"), Sequence)
    found: list[tuple[str, str | None]] = []
    if any("process" in row for row in rows):
        found.append(("process reward", "process"))
    if any(row.get("logprobs") for row in rows):
        found.append(("log-prob", "logprob"))
    if any(row.get("advantage") is not None for row in rows):
        found.insert(0 if by_token else len(found), ("advantage", "advantage"))
    return [*found, ("none", None)]


class Browser:
    """The widgets of `browse` for one run: step, problem, filters, colour, and a page with the samples."""

    def __init__(self, rollouts: Sequence[Rollout], title: str = "") -> None:
        import ipywidgets as w

        self.by_step: dict[int, dict[Any, list[Rollout]]] = {}
        for row in sorted(rollouts, key=lambda row: (row["step"], row["group"], row["sample"])):
            self.by_step.setdefault(row["step"], {}).setdefault(row["group"], []).append(row)
        style = {"description_width": "5em"}
        wide = w.Layout(width="min(99%, 44em)")
        steps = list(self.by_step)
        self.step = w.SelectionSlider(options=steps, value=steps[-1], description="step", layout=wide, style=style)
        self.group = w.Dropdown(description="problem", layout=wide, style=style)
        self.kept = w.Dropdown(options=list(FILTERS), description="samples", style=style)
        self.text = w.Text(placeholder="only those that contain ...", continuous_update=False)
        self.colour = w.ToggleButtons(
            options=colours(rollouts), description="colour by", style={**style, "button_width": "8em"}
        )
        moves = {
            "‹ step": self._step(-1),
            "step ›": self._step(1),
            "‹ problem": self._turn(-1),
            "problem ›": self._turn(1),
        }
        self.buttons = [w.Button(description=name, layout=w.Layout(width="7em")) for name in moves]
        for button, move in zip(self.buttons, moves.values(), strict=True):
            button.on_click(move)
            button.add_class("labkit-key")
        self.page = w.HTML(layout=w.Layout(width="100%", margin="0"))
        row = w.Layout(flex_flow="row wrap", align_items="center")
        heading = [w.HTML(f"<b>{escape(title)}</b>")] if title else []
        choices = [self.step, self.group, w.HBox([self.kept, self.text], layout=row), self.colour]
        moving = w.HBox([*self.buttons, w.HTML(_KEYS)], layout=row)
        self.view = w.VBox([*heading, *choices, moving, self.page], layout=w.Layout(margin="0", overflow="hidden"))
        self.view.add_class("labkit-browser")
        self.step.observe(lambda _: self._fill_groups(), names="value")
        for choice in (self.group, self.kept, self.text, self.colour):
            choice.observe(lambda _: self._draw(), names="value")
        self._fill_groups()

    @property
    def rows(self) -> list[Rollout]:
        """All samples of the problem that is chosen."""
        return self.by_step[self.step.value][self.group.value]

    @property
    def shown(self) -> list[Rollout]:
        """Those of them that the filters leave."""
        wanted, keep = self.text.value, FILTERS[self.kept.value]
        return [row for row in self.rows if keep(row) and wanted in row["prompt"] + row["completion"]]

    def go_to(self, step: int, prompt: str) -> None:
        """Goes to the nearest step that was logged, and to the same problem where it is there."""
        self.step.value = min(self.by_step, key=lambda mine: (abs(mine - step), mine))
        groups = self.by_step[self.step.value]
        same = [group for group, rows in groups.items() if rows[0]["prompt"] == prompt]
        if same:
            self.group.value = same[0]

    def _step(self, by: int) -> Callable[[Any], None]:
        def move(_: Any) -> None:
            self.step.index = min(max(self.step.index + by, 0), len(self.by_step) - 1)

        return move

    def _turn(self, by: int) -> Callable[[Any], None]:
        def move(_: Any) -> None:
            self.group.index = min(max(self.group.index + by, 0), len(self.group.options) - 1)

        return move

    def _fill_groups(self) -> None:
        groups = self.by_step[self.step.value]
        self.group.options = [(_group_label(rows), group) for group, rows in groups.items()]
        self.group.index = 0
        # The problems of two steps may have the same numbers: then nothing "changed", but the samples did.
        self._draw()

    def _draw(self) -> None:
        if self.group.value is not None:  # None: between two lists of options
            self.page.value = page(self.shown, len(self.rows), self.colour.value)


def side_by_side(browsers: Sequence[Browser]) -> Any:
    """The views in a row. What is chosen in the first is chosen in the others, too."""
    import ipywidgets as w

    first, *others = browsers
    for other in others:
        for choice in ("kept", "text", "colour"):
            w.link((getattr(first, choice), "value"), (getattr(other, choice), "value"))
        for choice in (first.step, first.group):
            choice.observe(lambda _, other=other: _follow(first, other), names="value")
        _follow(first, other)
    for browser in browsers:
        browser.view.layout.flex = "1 1 30em"
    return w.HBox([browser.view for browser in browsers], layout=w.Layout(flex_flow="row wrap", margin="0"))


def _follow(first: Browser, other: Browser) -> None:
    if first.group.value is not None:
        other.go_to(first.step.value, first.rows[0]["prompt"])


def page(rows: Sequence[Rollout], of: int, colour: str | None) -> str:
    """HTML of some samples of one problem, of `of` in all: for each its score with reason, parts and length, and its
    tokens."""
    if not rows:
        return f'<div style="line-height:1.5">None of the {of} samples of this problem is left by the filters.</div>'
    head = f"{len(rows)} of {of} samples to the prompt <code>{visible(rows[0]['prompt'])}</code>"
    return (
        f'<div style="line-height:1.5;white-space:normal"><div>{head}</div>'
        + "".join(f'<div style="margin:.7em 0">{_facts(row)}{_strip(row, colour)}</div>' for row in rows)
        + "</div>"
    )


def _strip(row: Rollout, colour: str | None) -> str:
    if colour == "process":
        return token_strip(row.get("tokens") or [row["completion"]], row.get("process"), "process reward")
    return coloured(row, colour)


def _facts(row: Rollout) -> str:
    parts = ", ".join(f"{name} {value:g}" for name, value in (row.get("parts") or {}).items() if name != "gold")
    answer = row.get("extracted")
    answer_text = f"answer <code>{visible(str(answer))}</code>" if answer is not None else "no answer found"
    words = f"sample {row['sample']}: {badge(row)} {visible(summary(row))}; {answer_text}; advantage {_advantage(row)}"
    return words + (f"; parts: {visible(parts)}" if parts else "")


def _advantage(row: Rollout) -> str:
    value = row.get("advantage")
    return f"{value:+.3f}" if isinstance(value, int | float) else "of its own for each token"


def _group_label(rows: Sequence[Rollout]) -> str:
    right = sum(row["reward"] >= 1 for row in rows)
    return f"{_short(rows[0]['prompt'])}   ({right} of {len(rows)} right)"


def _short(text: str, limit: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _titles(runs: Sequence[HasRollouts]) -> list[str]:
    """Names of two runs that are compared; none where there is one run."""
    if len(runs) == 1:
        return [""]
    recipes = [cast(Mapping[str, Any], getattr(run, "recipe", {})) for run in runs]
    names = [f"{recipe.get('name', 'run')}, seed {recipe.get('seed', '?')}" for recipe in recipes]
    return [f"{name} ({place})" for name, place in zip(names, ("first", "second"), strict=True)]
