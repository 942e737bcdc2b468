"""A live view of a training run, with a button that ends it cleanly."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from labkit.evaluation.plain import graded
from labkit.plots import METRICS, learning_curves, metric
from labkit.plots.gallery import badge, coloured, summary
from labkit.plots.tokens import visible
from labkit.progress import duration
from labkit.widgets.front_end import deliver_at_once, front_end
from labkit.widgets.probe import Probe, probe_of
from labkit.widgets.still import charts, described
from labkit.widgets.svg import chart

if TYPE_CHECKING:
    import ipywidgets

    from labkit.models import Policy
    from labkit.tasks import Task

FIXED = ("pass_rate", "response_length")
_SHOWN_ROLLOUTS = 2
_LONGEST = 120  # tokens of a completion that are shown
_SECONDS_BETWEEN_DRAWINGS = 1.0
_RECENT = 10  # steps whose time tells how long the others will take


class Dashboard:
    """Live curves, a held-out problem, newest rollouts and a Stop button while a run lasts; pictures that stay.

    Give it to the training loop as its observer: it calls `begin` and `measuring`, `update` after each step, asks
    `stopped`, and calls `finish`. Where there is no notebook, or with `show=False`, nothing is shown and `stopped` is
    False until `stop` is called. `fixed`: the two metrics that are always drawn; `field`: the one that is drawn first
    of those that can be chosen. The pass rate gives way to the mean reward where rewards are graded.
    """

    def __init__(
        self,
        total_steps: int,
        title: str = "Training",
        field: str = "entropy",
        show: bool = True,
        fixed: tuple[str, str] = FIXED,
    ) -> None:
        self.total_steps = total_steps
        self.title = title
        self.metrics: list[dict[str, Any]] = []
        self.rollouts: list[dict[str, Any]] = []
        self.probe: Probe | None = None
        self._fixed = fixed
        self._stop = threading.Event()
        self._started = self._last = time.monotonic()
        self._paces: list[float] = []
        self._measured: tuple[str, float] | None = None  # what is being measured, and its share
        self._measuring_began = self._measuring_took = 0.0
        self._drawn = 0.0
        # The field is chosen in a subshell's thread while the main thread draws.
        self._lock = threading.RLock()
        self._view = _View(title, field, fixed) if show and front_end() == "widgets" else None
        if self._view is not None:
            view = self._view
            view.button.on_click(lambda _: self.stop())
            deliver_at_once(view.button, clicked=self._stop.set)
            for choice in (view.field, view.hold):
                deliver_at_once(choice)
                choice.observe(lambda _: self._draw(), names="value")
            self._draw()
            view.show()

    @property
    def fixed(self) -> tuple[str, str]:
        """The two metrics that are always drawn."""
        lines = [line for line in self.metrics if None not in (line.get("reward_mean"), line.get("pass_rate"))]
        partly = any(abs(line["reward_mean"] - line["pass_rate"]) > 1e-6 for line in lines)
        first, second = self._fixed
        return ("reward_mean" if partly and first == "pass_rate" else first), second

    @property
    def stopped(self) -> bool:
        """Whether the run was asked to end."""
        if self._stop.is_set():
            self.stop()  # the click may have been heard, but not yet shown
        return self._stop.is_set()

    def stop(self) -> None:
        """Asks the run to end cleanly after the present step."""
        self._stop.set()
        view = self._view
        if view is not None:
            view.button.disabled = True
            view.button.description = "Stopping after this step ..."

    def begin(self, policy: Policy, task: Task | None) -> None:
        """Pins a held-out problem, and shows the policy's answer before training."""
        if self._view is not None:
            self.probe = probe_of(policy, task)
            self._draw()

    def measuring(self, what: str, share: float | None) -> None:
        """Shows how far a measurement is; `share` None: it has ended."""
        now = time.monotonic()
        if self._measured is None:
            self._measuring_began = now
        self._measured = None if share is None else (what, share)
        if share is None:
            self._measuring_took = now - self._measuring_began
            self._last = now  # what comes now is a step
        if self._view is not None and (share is None or now - self._drawn >= 0.3):
            self._draw()

    def update(self, metrics: dict[str, Any], rollouts: list[dict[str, Any]]) -> None:
        """Takes a step's metrics and rollouts; draws at most once a second, and after the last step."""
        now = time.monotonic()
        self._paces.append(metrics.get("seconds") or now - self._last)
        self._last = now
        self.metrics.append(metrics)
        self.rollouts = rollouts or self.rollouts
        due, done = now - self._drawn >= _SECONDS_BETWEEN_DRAWINGS, metrics["step"] + 1
        if self._view is not None and (due or done >= self.total_steps):
            if self.probe is not None and not self._view.hold.value:
                self.probe.ask(done)
            self._draw()

    def finish(self, result: Mapping[str, Any] | None = None) -> None:
        """Puts pictures and texts in the live view's place: the stored notebook shows them.

        `result` is the run's result: its evaluations before and after are summed up in a line. A second call,
        and a call without a notebook, does nothing.
        """
        view = self._view
        if view is None:
            return
        if self.probe is not None and self.metrics:
            self.probe.ask(self._done, whatever_it_costs=True)
        with self._lock:
            self._view = None
            view.replace(self._stay(view.field.value), self._closing(result or {}))

    @property
    def _done(self) -> int:
        return self.metrics[-1]["step"] + 1 if self.metrics else 0

    def _stay(self, field: str) -> str | None:
        """The charts as they are at the end; None where there is nothing to draw."""
        logged = {key for line in self.metrics for key, value in line.items() if value is not None}
        fields = [name for name in dict.fromkeys((*self.fixed, field)) if name in logged]
        if not fields:
            return None
        # No interval of a single run: its curves are drawn as they came.
        figure = learning_curves(_Logged(self.metrics, {"name": self.title}), fields, title=self.title)
        words = described(self.metrics, {name: metric(name).label for name in fields})
        return charts([self._chart(name, index) for index, name in enumerate(fields)], figure, words)

    def _chart(self, field: str, index: int) -> str:
        steps = [line["step"] for line in self.metrics]
        return chart(steps, [line.get(field) for line in self.metrics], field, self.total_steps, index)

    def _draw(self) -> None:
        with self._lock:
            view = self._view
            if view is None:
                return
            self._drawn = time.monotonic()
            view.offer(self.metrics[-1] if self.metrics else {}, self.fixed)
            for index, (box, field) in enumerate(zip(view.charts, (*self.fixed, view.field.value), strict=True)):
                box.value = self._chart(field, index)
            if self._measured is not None:
                what, share = self._measured
                view.tell(f"{what}: {share:.0%}", share, "info")
            else:
                recent = self._paces[-_RECENT:]
                pace = sum(recent) / len(recent) if recent else None
                words = status(self._done, pace, self.total_steps, self._measuring_took)
                view.tell(words, self._done / max(self.total_steps, 1), "")
            if not view.hold.value:
                view.newest.value = _page(self._texts())

    def _closing(self, result: Mapping[str, Any]) -> str:
        early = f" of {self.total_steps} planned" if self._done < self.total_steps else ""
        seconds = duration(time.monotonic() - self._started)
        text = f"<b>{escape(self.title)}</b>: {self._done} steps{early} in {seconds}"
        gain = gains(result)
        return _page(f"<div>{text}{'. ' + gain if gain else ''}</div>{self._texts()}")

    def _texts(self) -> str:
        asked = "" if self.probe is None else self.probe.html()
        # A run on a data set samples nothing while it lasts.
        nothing = self.metrics and not self.rollouts
        return asked + ("" if nothing else newest_rollouts(self.rollouts))


def _page(html: str) -> str:
    """HTML in the line height of text: a widget's is that of a button."""
    return f'<div style="line-height:1.45;white-space:normal">{html}</div>'


@dataclass
class _Logged:
    """Metrics in memory, in the shape of a run."""

    metrics: list[dict[str, Any]]
    recipe: dict[str, Any]


class _View:
    """The widgets of a dashboard."""

    def __init__(self, title: str, field: str, fixed: tuple[str, str]) -> None:
        import ipywidgets as w

        # By itself a widget has a margin of 2 px, so that one of full width is wider than its box, which then scrolls.
        wide = {"width": "100%", "margin": "0", "overflow": "hidden"}
        self.preferred = field
        self.button = w.Button(
            description="Stop",
            icon="stop",
            tooltip="Ends the run cleanly after this step; the kernel's interrupt button does the same",
            layout=w.Layout(width="auto", min_width="7em"),
        )
        self.hold = w.ToggleButton(
            value=False,
            description="Hold",
            icon="pause",
            tooltip="Keeps the texts below as they are, so that you can read them; the curves go on",
            layout=w.Layout(width="auto", min_width="6em"),
        )
        self.bar = w.FloatProgress(value=0.0, min=0.0, max=1.0, layout=w.Layout(flex="1 1 8em", max_width="20em"))
        self.status = w.HTML()
        self.field = w.Dropdown(options=[(metric(field).title, field)], value=field, layout=w.Layout(width="95%"))
        self.field.tooltip = "Another metric of this run"
        self.charts = [w.HTML(layout=w.Layout(**wide)) for _ in range(3)]
        self.newest = w.HTML(layout=w.Layout(**wide))
        head = w.HBox([w.HTML(f"<b>{escape(title)}</b>"), self.bar, self.status, self.hold, self.button])
        head.layout = w.Layout(align_items="center", grid_gap="0.8em", flex_flow="row wrap", margin="0")
        cells = [w.VBox([self.charts[0]]), w.VBox([self.charts[1]]), w.VBox([self.charts[2], self.field])]
        for cell in cells:
            cell.layout = w.Layout(flex="1 1 15em", min_width="13em", max_width="28em", overflow="hidden")
        curves = w.HBox(cells, layout=w.Layout(flex_flow="row wrap", **wide))
        self.root: ipywidgets.Widget = w.VBox([head, curves, self.newest], layout=w.Layout(**wide))

    def offer(self, line: Mapping[str, Any], fixed: tuple[str, str]) -> None:
        """Puts the metrics that the run has logged into the menu, and keeps what was chosen where it is one of them."""
        known = [name for name in METRICS if name in line and name != "step"]
        own = [name for name, value in line.items() if name not in METRICS and isinstance(value, int | float)]
        names = [name for name in (*known, *own) if name not in fixed]
        offered = [name for _, name in self.field.options]
        if not names or names == offered:
            return
        chosen = self.field.value if self.field.value in names else self.preferred
        self.field.options = [(metric(name).title, name) for name in names]
        self.field.value = chosen if chosen in names else names[0]

    def tell(self, words: str, share: float, style: str) -> None:
        """What is being done, and how far it is."""
        self.status.value, self.bar.value, self.bar.bar_style = escape(words), share, style

    def show(self) -> None:
        from IPython.display import display

        self.handle = display(self.root, display_id=True)

    def replace(self, pictures: str | None, html: str) -> None:
        """The same place in the notebook, now without a kernel behind it: charts, and below them texts."""
        from IPython.display import HTML, display

        if pictures is not None:
            self.handle.update({"text/html": pictures, "text/plain": "Learning curves"}, raw=True)
            display(HTML(html))
        else:
            self.handle.update(HTML(html))
        self._close(self.root)

    def _close(self, widget: Any) -> None:
        for child in getattr(widget, "children", ()):
            self._close(child)
        widget.close()


def status(done: int, pace: float | None, total: int, measuring: float = 0.0) -> str:
    """Progress in words: steps done, seconds per step, and what is left. `measuring`: seconds of a measurement.

    >>> status(20, 3.0, 60, 9.0)
    '20 of 60 steps done, 3.0 s per step, 2 min left, then about 9 s of measuring'
    """
    counted = f"{done} of {total} steps done"
    if pace is None:
        return f"{counted}, starting"
    if done >= total:
        return f"{counted}, {pace:.1f} s per step"
    after = f", then about {duration(measuring)} of measuring" if measuring >= 1 else ""
    return f"{counted}, {pace:.1f} s per step, {duration((total - done) * pace)} left{after}"


def gains(result: Mapping[str, Any]) -> str:
    """The evaluations before and after in a sentence, as HTML; empty where the result holds none.

    >>> report = {"pass_at_k": {"1": 0.2}, "interval": {"pass_at_1": [0.1, 0.3]}, "mean_length": 45.0}
    >>> gains({"before": report, "after": report})
    'Held out: pass@1 0.20 [0.10, 0.30] → 0.20 [0.10, 0.30], mean length 45 → 45 tokens.'
    """
    before, after = result.get("before"), result.get("after")
    if not before or not after:
        return ""
    passed = []
    for report in (before, after):
        low, high = report["interval"]["pass_at_1"]
        passed.append(f"{report['pass_at_k']['1']:.2f} [{low:.2f}, {high:.2f}]")
    rewards = [report.get("mean_reward") for report in (before, after)]
    real = graded(before) or graded(after)
    reward = f"mean reward {rewards[0]:.2f} → {rewards[1]:.2f}, " if real and None not in rewards else ""
    lengths = f"{before['mean_length']:.0f} → {after['mean_length']:.0f}"
    return f"Held out: {reward}pass@1 {passed[0]} → {passed[1]}, mean length {lengths} tokens."


def newest_rollouts(rollouts: Sequence[Mapping[str, Any]], limit: int = _SHOWN_ROLLOUTS) -> str:
    """HTML of some answers to one problem, best and worst among them; unequal rewards preferred."""
    if not rollouts:
        return '<div style="opacity:.8">The newest rollouts appear here after the first step.</div>'
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rollouts:
        groups.setdefault(row["group"], []).append(row)
    chosen = next((g for g in groups.values() if len({r["reward"] for r in g}) > 1), next(iter(groups.values())))
    ranked = sorted(chosen, key=lambda row: -row["reward"])
    half = limit // 2
    picked = ranked if len(ranked) <= limit else [*ranked[: limit - half], *ranked[-half:]]
    first = picked[0]
    rows = "".join(
        '<tr><td style="vertical-align:top;text-align:left;width:16em;padding-right:1em">'
        f'{badge(row)}<br><span style="font-size:90%">{visible(summary(row))}</span></td>'
        '<td style="vertical-align:top;text-align:left;white-space:normal">'
        f"{coloured(row, 'advantage', legend=False, most=_LONGEST)}</td></tr>"
        for row in picked
    )
    which = "best and worst samples" if len(ranked) > limit else "samples"
    head = f"Step {first['step']}, {which} of one training problem: <code>{visible(first['prompt'])}</code>"
    meaning = "blue, whole line: pushed up (advantage above 0); orange, dashed line: pushed down (below 0)"
    note = f'<div style="font-size:85%;opacity:.85">{meaning}</div>'
    return f'<div style="margin-top:.5em"><b>{head}</b>{note}</div><table style="width:100%">{rows}</table>'
