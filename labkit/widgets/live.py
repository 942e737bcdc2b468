"""A model that writes while you watch: several answers to one problem, growing token by token."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import torch

from labkit.errors import UserError
from labkit.models import Policy
from labkit.plots.gallery import RolloutTable, rollout_table
from labkit.plots.tokens import visible
from labkit.progress import silent
from labkit.rollouts import score
from labkit.sampling import sample
from labkit.tasks import Problem, Task
from labkit.training.loop.measure import records
from labkit.widgets.front_end import deliver_at_once, front_end, show_widget

if TYPE_CHECKING:
    from ipywidgets import Widget

# Faster, and nobody sees that one token comes after the other; slower models take their own time.
SECONDS_PER_TOKEN = 0.04


def sample_live(
    policy: Policy,
    task: Task,
    problem: Problem,
    n: int = 8,
    *,
    seed: int = 0,
    own: Callable[[str], Problem] | None = None,
    example: str = "",
) -> None:
    """Shows n answers of the policy to a problem while they are written, all at once, then with their scores.

    They are the answers of `lk.sample` with the same seed. With `own`, which makes a problem of what a reader types
    (and raises a UserError that says what is wrong with it), a box asks for problems of the reader's; `example` stands
    in it. A notebook that is read without a kernel shows the finished answers; without a notebook they are printed.
    """
    title = f"{n} answers of {policy.name}"
    if front_end() == "plain":
        print(answers(policy, task, problem, n, seed, title))
        return
    from IPython.display import display

    handle = display({"text/html": "", "text/plain": ""}, raw=True, display_id=True)
    assert handle is not None  # there is a front end
    grown = answers(policy, task, problem, n, seed, title, lambda html: handle.update(_bundle(html), raw=True))
    handle.update(_bundle(grown._repr_html_(), str(grown)), raw=True)
    if own is not None:
        show_widget(Box(policy, task, own, n, seed, example).view, "A box for problems of your own")


def answers(
    policy: Policy,
    task: Task,
    problem: Problem,
    n: int,
    seed: int,
    title: str,
    draw: Callable[[str], None] = lambda html: None,
) -> RolloutTable:
    """The scored answers as a table; `draw` is given the HTML of what is there after every token."""
    before: list[int] = []
    latest = time.monotonic()

    def look(tokens: list[list[int]]) -> None:
        nonlocal before, latest
        lengths = [len(ids) for ids in tokens]
        if lengths == before:
            return
        growing = [new > old for new, old in zip(lengths, before or [0] * n, strict=True)]
        draw(growing_answers([policy.decode(ids) for ids in tokens], growing, problem.prompt))
        time.sleep(max(0.0, latest + SECONDS_PER_TOKEN - time.monotonic()))
        before, latest = lengths, time.monotonic()

    with silent():
        watch = None if front_end() == "plain" else look
        options: dict[str, Any] = {"max_new_tokens": task.max_new_tokens, "stop": task.stop}
        drawn = sample(policy, [problem.prompt], n=n, seed=seed, watch=watch, **options)
        drawn = score(drawn, task, [problem])
    rows = records(drawn, torch.zeros_like(drawn.logprobs), 0, n, policy)
    return rollout_table(rows, title, colour="logprob")


def growing_answers(texts: Sequence[str], growing: Sequence[bool], prompt: str) -> str:
    """HTML of answers that are being written: each with its number, those that still grow with a mark at their end."""
    cell = "vertical-align:top;text-align:left;white-space:pre-wrap;font-family:monospace"
    rows = "".join(
        f'<tr><td style="{cell}">{number}</td><td style="{cell}">{visible(text)}{"▌" if more else ""}</td></tr>'
        for number, (text, more) in enumerate(zip(texts, growing, strict=True), 1)
    )
    return f"<div><b>{visible(prompt)}</b><table style='width:100%'>{rows}</table></div>"


class Box:
    """A line to type a problem into, a button, and a page on which the answers to it grow."""

    def __init__(
        self, policy: Policy, task: Task, own: Callable[[str], Problem], n: int, seed: int, example: str
    ) -> None:
        import ipywidgets as w

        self.policy, self.task, self.own, self.n, self.seed = policy, task, own, n, seed
        style = {"description_width": "initial"}
        self.text = w.Text(value=example, description="Your own problem:", style=style, layout=w.Layout(width="24em"))
        self.button = w.Button(description="Ask", icon="play", tooltip="Lets the model answer your problem")
        self.page = w.HTML(layout=w.Layout(width="100%", margin="0"))
        line = w.HBox([self.text, self.button], layout=w.Layout(flex_flow="row wrap", margin="0"))
        self.view: Widget = w.VBox([line, self.page], layout=w.Layout(margin="0", overflow="hidden"))
        self.button.on_click(lambda _: self.ask())
        deliver_at_once(self.button)

    def ask(self) -> None:
        """Draws answers to what was typed; says what is wrong with it, where something is."""
        self.button.disabled = True
        try:
            problem = self.own(self.text.value)
            grown = answers(self.policy, self.task, problem, self.n, self.seed, "Your own", self._show)
            self._show(grown._repr_html_())
        except UserError as error:
            self._show(escape(str(error)))
        finally:
            self.button.disabled = False

    def _show(self, html: str) -> None:
        self.page.value = f'<div style="line-height:1.45;white-space:normal">{html}</div>'


def _bundle(html: str, text: str = "") -> dict[str, str]:
    return {"text/html": html, "text/plain": text}
