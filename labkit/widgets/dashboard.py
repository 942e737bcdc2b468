"""A live view of a training run, with a button that ends it cleanly."""

from __future__ import annotations

import base64
import io
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
from labkit.widgets.front_end import deliver_at_once, front_end
from labkit.widgets.svg import chart

if TYPE_CHECKING:
    import ipywidgets

FIXED = ("pass_rate", "response_length")
_SHOWN_ROLLOUTS = 4
_SECONDS_BETWEEN_DRAWINGS = 1.0


class Dashboard:
    """Live curves, newest rollouts and a Stop button while a run lasts; a figure that stays afterwards.

    Give it to the training loop as its observer: it calls `update` after each step and asks `stopped`. Then
    call `finish`. Where there is no notebook, or with `show=False`, nothing is shown and `stopped` is False
    until `stop` is called. The kernel's interrupt button is a second way to stop: a loop that catches
    KeyboardInterrupt calls `stop` and ends its step. `fixed`: the two metrics that are always drawn; `field`: the one
    that is drawn first of those that can be chosen.
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
        self.fixed = fixed
        self.title = title
        self.metrics: list[dict[str, Any]] = []
        self.rollouts: list[dict[str, Any]] = []
        self._stop = threading.Event()
        self._started = time.monotonic()
        self._drawn = 0.0
        # The field is chosen in a subshell's thread while the main thread draws.
        self._lock = threading.Lock()
        self._view = _View(title, field, fixed) if show and front_end() == "widgets" else None
        if self._view is not None:
            self._view.button.on_click(lambda _: self.stop())
            deliver_at_once(self._view.button, clicked=self._stop.set)
            deliver_at_once(self._view.field)
            self._view.field.observe(lambda _: self._draw(), names="value")
            self._draw()
            self._view.show()

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

    def update(self, metrics: dict[str, Any], rollouts: list[dict[str, Any]]) -> None:
        """Takes a step's metrics and rollouts; draws at most once a second, and after the last step."""
        self.metrics.append(metrics)
        self.rollouts = rollouts or self.rollouts
        due = time.monotonic() - self._drawn >= _SECONDS_BETWEEN_DRAWINGS
        if self._view is not None and (due or metrics["step"] + 1 >= self.total_steps):
            self._draw()

    def finish(self, result: Mapping[str, Any] | None = None) -> None:
        """Puts a figure and the newest rollouts in the live view's place: the stored notebook shows them.

        `result` is the run's result: its evaluations before and after are summed up in a line. A second call,
        and a call without a notebook, does nothing.
        """
        view, self._view = self._view, None
        if view is None:
            return
        with self._lock:
            figure = None
            if self.metrics:
                # No interval of a single run: its curves are drawn as they came.
                fields = [f for f in dict.fromkeys((*self.fixed, view.field.value)) if f in self.metrics[-1]]
                logged = _Logged(self.metrics, {"name": self.title})
                figure = learning_curves(logged, fields, title=self.title) if fields else None
            view.replace(figure, self._closing(result or {}))

    def _draw(self) -> None:
        with self._lock:
            if self._view is None:
                return
            self._drawn = time.monotonic()
            steps = [line["step"] for line in self.metrics]
            fields = (*self.fixed, self._view.field.value)
            for index, (box, field) in enumerate(zip(self._view.charts, fields, strict=True)):
                values = [line.get(field) for line in self.metrics]
                box.value = chart(steps, values, field, self.total_steps, index)
            done = steps[-1] + 1 if steps else 0
            self._view.bar.value = done
            self._view.bar.max = self.total_steps
            self._view.status.value = status(done, len(steps), self.total_steps, time.monotonic() - self._started)
            self._view.newest.value = self._newest()

    def _closing(self, result: Mapping[str, Any]) -> str:
        done = self.metrics[-1]["step"] + 1 if self.metrics else 0
        early = f" of {self.total_steps} planned" if done < self.total_steps else ""
        seconds = duration(time.monotonic() - self._started)
        text = f"<b>{escape(self.title)}</b>: {done} steps{early} in {seconds}"
        gain = gains(result)
        return f"<div>{text}{'. ' + gain if gain else ''}</div>{self._newest()}"

    def _newest(self) -> str:
        # A run on a data set samples nothing while it lasts.
        return "" if self.metrics and not self.rollouts else newest_rollouts(self.rollouts)


@dataclass
class _Logged:
    """Metrics in memory, in the shape of a run."""

    metrics: list[dict[str, Any]]
    recipe: dict[str, Any]


class _View:
    """The widgets of a dashboard."""

    def __init__(self, title: str, field: str, fixed: tuple[str, str]) -> None:
        import ipywidgets as w

        wide = w.Layout(width="100%")
        self.button = w.Button(
            description="Stop",
            icon="stop",
            tooltip="Ends the run cleanly after this step; the kernel's interrupt button does the same",
            layout=w.Layout(width="auto", min_width="7em"),
        )
        self.bar = w.IntProgress(value=0, min=0, max=1, layout=w.Layout(flex="1 1 8em"))
        self.status = w.HTML()
        options = [(metric(f).title, f) for f in METRICS if f not in (*fixed, "step")]
        if field not in METRICS:
            options.append((metric(field).title, field))
        self.field = w.Dropdown(options=options, value=field, layout=w.Layout(width="95%"))
        self.charts = [w.HTML(layout=wide) for _ in range(3)]
        self.newest = w.HTML(layout=wide)
        head = w.HBox([w.HTML(f"<b>{escape(title)}</b>"), self.bar, self.status, self.button])
        head.layout = w.Layout(align_items="center", grid_gap="0.8em", flex_flow="row wrap")
        cells = [w.VBox([self.charts[0]]), w.VBox([self.charts[1]]), w.VBox([self.charts[2], self.field])]
        for cell in cells:
            cell.layout = w.Layout(flex="1 1 15em", min_width="13em", max_width="28em")
        curves = w.HBox(cells, layout=w.Layout(width="100%", flex_flow="row wrap"))
        self.root: ipywidgets.Widget = w.VBox([head, curves, self.newest], layout=wide)

    def show(self) -> None:
        from IPython.display import display

        self.handle = display(self.root, display_id=True)

    def replace(self, figure: Any, html: str) -> None:
        """The same place in the notebook, now without a kernel behind it: a picture, and below it HTML."""
        from IPython.display import HTML, display

        if figure is not None:
            picture = io.BytesIO()
            figure.savefig(picture, format="png")
            bundle = {
                "image/png": base64.b64encode(picture.getvalue()).decode(),
                "text/plain": "Learning curves",
            }
            self.handle.update(bundle, raw=True)
            display(HTML(html))
        else:
            self.handle.update(HTML(html))
        self._close(self.root)

    def _close(self, widget: Any) -> None:
        for child in getattr(widget, "children", ()):
            self._close(child)
        widget.close()


def status(done: int, here: int, total: int, seconds: float) -> str:
    """Progress in words. `here` steps were done in these seconds: a resumed run did the others before.

    >>> status(20, 10, 60, 30.0)
    'step 20 of 60, 3.0 s a step, 2 min left'
    """
    if here == 0:
        return f"step {done} of {total}, starting"
    pace = seconds / here
    left = (total - done) * pace
    return f"step {done} of {total}, {pace:.1f} s a step, " + (f"{duration(left)} left" if left > 0 else "done")


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(12.3), duration(100), duration(7300)
    ('12 s', '1 min 40 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h {whole % 3600 // 60} min"


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
        return '<div style="opacity:.7">The newest rollouts appear here after the first step.</div>'
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
        f'{badge(row)}<br><span style="font-size:90%">{escape(summary(row))}</span></td>'
        '<td style="vertical-align:top;text-align:left"><div style="max-height:11em;overflow:auto">'
        f"{coloured(row, 'advantage', legend=False)}</div></td></tr>"
        for row in picked
    )
    head = f"Step {first['step']}, newest rollouts of one problem: <code>{visible(first['prompt'])}</code>"
    meaning = "blue: pushed up (advantage above 0), orange: pushed down (below 0)"
    note = f'<div style="font-size:85%;opacity:.75">{meaning}</div>'
    return f'<div style="margin-top:.5em"><b>{head}</b>{note}</div><table style="width:100%">{rows}</table>'
