"""How far a call is: nested calls move one line, and short ones leave no trace."""

import io
import sys
from typing import Any

import pytest

import labkit as lk
from labkit import progress as progress_module
from labkit.models import RewardModel
from labkit.progress import Line, TerminalLine, each, progress, silent
from tests.training.mini import random_policy
from tests.training.toys import fours


class Page:
    """Keeps what a line draws."""

    def __init__(self) -> None:
        self.drawn: list[str] = []

    def draw(self, share: float, text: str) -> None:
        self.drawn.append(text)

    def clear(self) -> None:
        self.drawn.append("")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Page:
    """A line that appears at once and is drawn at every move."""
    page = Page()
    monkeypatch.setattr(progress_module, "PATIENCE", 0.0)
    monkeypatch.setattr(progress_module, "BETWEEN", 0.0)
    monkeypatch.setattr(progress_module, "line", lambda: Line(page))
    return page


def test_inner_calls_move_the_outer_line():
    seen: list[tuple[str, float | None]] = []
    with progress("outer", 2, lambda what, share: seen.append((what, share))) as outer:
        with outer.part(), progress("inner", 4) as inner:
            inner.advance()
            inner.reach(3)
        with outer.part():
            assert list(each("ab", "letters")) == ["a", "b"]
    assert [share for _, share in seen] == [0.125, 0.375, 0.5, 0.75, 1.0, 1.0, None]
    assert {what for what, _ in seen} == {"outer"}


def test_what_is_quick_or_silent_leaves_no_trace(capsys: pytest.CaptureFixture[str], at_once: Page):
    with silent():
        list(each("abc", "letters"))
    assert at_once.drawn == []
    progress_module.PATIENCE = 60.0  # the fixture puts it back
    list(each("abc", "letters"))
    assert at_once.drawn == [] and capsys.readouterr() == ("", "")


def test_a_line_says_what_how_far_and_how_long(at_once: Page):
    with progress("reading", 4) as bar:
        bar.advance()
    assert at_once.drawn[0].startswith("reading: 25%") and at_once.drawn[-1] == ""


def test_a_terminal_is_written_over_and_left_empty(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    page = TerminalLine()
    page.draw(0.1, "longer text")
    page.draw(0.2, "short")
    page.clear()
    assert sys.stderr.getvalue() == "\rlonger text\rshort      \r           \r"


CALLS: dict[str, Any] = {
    "sample": lambda: lk.sample(random_policy(), ["1"], n=4, max_new_tokens=8),
    "evaluate": lambda: lk.evaluate(random_policy(), fours(), samples=2, limit=4, batch_rows=4),
    "reward model": lambda: RewardModel(random_policy()).score(["1"] * 4, ["2"] * 4),
    "verifier": lambda: fours().score_all(["4"] * 4, fours().sample(4)),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_may_take_long_says_how_far_it_is(at_once: Page, name: str):
    CALLS[name]()
    assert len(at_once.drawn) >= 2 and at_once.drawn[-1] == ""
    assert any("100%" in text for text in at_once.drawn)
