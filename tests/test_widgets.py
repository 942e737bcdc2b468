"""The dashboard and the rollout browser: in a real kernel, without a notebook, and its Stop button heard."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from labkit.errors import UserError
from labkit.plots import PALETTE
from labkit.widgets import Dashboard, browse, front_end, in_notebook
from labkit.widgets import dashboard as dashboard_module
from labkit.widgets.browser import Browser, page
from labkit.widgets.dashboard import gains, newest_rollouts, status
from labkit.widgets.svg import axis, chart
from tests.fake_run import REPORT, FakeRun, Reader

ROOT = Path(__file__).resolve().parent.parent
PREPARE = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path / "run", steps=12)


# ------------------------------------------------------------------------------------- without a notebook


def test_outside_a_notebook_there_is_no_front_end():
    assert (in_notebook(), front_end()) == (False, "plain")


def test_without_a_notebook_the_dashboard_is_silent_and_never_in_the_way(run: FakeRun, capsys: Any):
    dashboard = Dashboard(12)
    for line in run.metrics:
        dashboard.update(line, run.rollouts(line["step"]))
        assert not dashboard.stopped
    dashboard.finish({"before": REPORT, "after": REPORT})
    assert capsys.readouterr().out == ""


def test_a_run_can_be_stopped_by_hand_everywhere():
    dashboard = Dashboard(12)
    dashboard.stop()
    assert dashboard.stopped


def test_without_a_notebook_browse_prints_the_best_and_the_worst(run: FakeRun, capsys: Any):
    browse(run)
    text = capsys.readouterr().out
    assert "step 11, reward 1 (makes 30; " in text and "step 11, reward 0 (5+6 is 11, not 30; " in text
    assert "step 10" not in text


def test_browse_says_that_there_is_nothing(tmp_path: Path):
    with pytest.raises(UserError, match="rollouts_logged"):
        browse(FakeRun(tmp_path / "empty", steps=0))


# ------------------------------------------------------------------------------ widgets, without a front end


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Dashboard:
    """A dashboard with its widgets, as a notebook would make it."""
    monkeypatch.setattr(dashboard_module, "front_end", lambda: "widgets")
    monkeypatch.setattr(dashboard_module._View, "show", lambda self: None)
    return Dashboard(12, title="r1-zero-tiny <b>")


def test_a_click_on_stop_asks_the_run_to_end(live: Dashboard):
    assert not live.stopped
    live._view.button.click()
    assert live.stopped
    assert live._view.button.disabled and "Stopping" in live._view.button.description


def test_the_dashboard_draws_curves_progress_and_rollouts(live: Dashboard, run: FakeRun):
    for line in run.metrics:
        live.update(line, run.rollouts(line["step"]))
    drawn = [ElementTree.fromstring(box.value) for box in live._view.charts]
    names = [svg.get("aria-label") for svg in drawn]
    assert names[0].startswith("Pass rate (share of samples) over steps, now 0.4")
    assert names[1] == "Response length (tokens) over steps, now 56"
    assert names[2] == "Entropy (nats per token) over steps, now no value yet"
    assert (live._view.bar.value, live._view.bar.max) == (12, 12)
    assert live._view.status.value.startswith("step 12 of 12")
    assert "makes 30" in live._view.newest.value


def test_the_third_curve_is_the_one_that_was_chosen(live: Dashboard, run: FakeRun):
    live.update({**run.metrics[0], "grad_norm": 1.5}, [])
    live._view.field.value = "grad_norm"
    assert ElementTree.fromstring(live._view.charts[2].value).get("aria-label") == "Gradient norm over steps, now 1.5"


def test_drawing_is_not_done_more_than_once_a_second(live: Dashboard, run: FakeRun):
    live._drawn = time.monotonic()
    live.update(run.metrics[0], [])
    assert "no value yet" in live._view.charts[0].value
    live._drawn -= 2
    live.update(run.metrics[1], [])
    assert "no value yet" not in live._view.charts[0].value


def test_the_title_is_no_markup(live: Dashboard):
    assert "r1-zero-tiny &lt;b&gt;" in live._view.root.children[0].children[0].value


def test_the_browser_narrows_step_problem_and_sample(run: FakeRun):
    browser = Browser(run.rollouts())
    assert browser.chosen["step"] == 11 and browser.step.options == tuple(range(12))
    assert browser.group.options == (("5,6,1->30:   (1 of 2 right)", 0), ("11,1->30:   (0 of 1 right)", 1))
    browser.step.value = 4
    browser.sample.value = 1
    assert (browser.chosen["step"], browser.chosen["reward"]) == (4, 0.0)
    assert "5+6 is 11, not 30" in Reader(browser.page.value).text
    browser.group.value = 1  # it has one sample: the second is no longer there
    assert browser.chosen["prompt"] == "4,1->30:" and browser.sample.value == 0
    assert "<script>alert(1)</script>" in Reader(browser.page.value).text
    assert "script" not in {tag for tag, _ in Reader(browser.page.value).tags}


def test_the_browser_colours_by_what_was_chosen(run: FakeRun):
    browser = Browser(run.rollouts())
    assert 'title="advantage 0.700"' in browser.page.value
    browser.colour.value = "logprob"
    assert 'title="log-prob -0.500"' in browser.page.value
    browser.colour.value = None
    assert "title=" not in browser.page.value


def test_a_rollout_page_holds_everything_that_was_logged(run: FakeRun):
    row = run.rollouts(3)[0]
    text = Reader(page({**row, "truncated": True}, "advantage")).text
    for part in [
        "✓ 1",
        "makes 30",
        "7 tokens, truncated",
        "answer 6*5*1",
        "advantage +0.700",
        "value 1",
        row["prompt"],
    ]:
        assert part in text, part


# ------------------------------------------------------------------------------------------------- pieces


def test_a_chart_has_title_unit_ticks_and_a_colour_of_the_palette():
    svg = chart([0, 1, 2], [0.2, None, 0.6], "pass_rate", total=60, index=1)
    texts = [node.text for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"Pass rate", "share of samples", "0.6", "0", "0.5", "1", "20", "40", "step"} <= set(texts)
    (points,) = re.findall(r'points="([^"]*)"', svg)
    assert len(points.split()) == 2  # the gap is no point
    assert f'stroke="{PALETTE[1]}"' in svg


def test_a_chart_of_a_long_run_stays_small():
    svg = chart(list(range(100_000)), [1.0] * 100_000, "loss", total=100_000)
    (points,) = re.findall(r'points="([^"]*)"', svg)
    assert len(points.split()) <= 301


@pytest.mark.parametrize(("low", "high"), [(0, 1), (43, 139), (-1e-3, 2e-3), (5, 5), (0, 1e6), (-7, -7)])
def test_an_axis_holds_its_values_with_few_ticks(low: float, high: float):
    scale = axis(low, high)
    assert scale.low <= low and scale.high >= high and scale.high > scale.low
    assert 2 <= len(scale.ticks) <= 7


def test_progress_of_a_resumed_run_counts_only_the_steps_done_here():
    assert status(50, 10, 60, 20.0) == "step 50 of 60, 2.0 s a step, 20 s left"
    assert status(30, 0, 60, 5.0) == "step 30 of 60, starting"
    assert status(60, 10, 60, 20.0).endswith("done")


def test_gains_are_told_only_where_both_evaluations_are_there():
    assert gains({}) == gains({"before": REPORT}) == gains({"before": REPORT, "after": None}) == ""
    assert "0.20 [0.15, 0.26]" in gains({"before": REPORT, "after": REPORT})


def test_newest_rollouts_prefer_a_problem_with_unequal_rewards_and_show_best_and_worst(run: FakeRun):
    rows = [{**run.rollouts(3)[2], "group": 7}, *run.rollouts(3)]
    text = Reader(newest_rollouts(rows)).text
    assert "5,6,1->30:" in text and "3,1->30:" not in text
    many = [{**rows[1], "sample": i, "reward": float(i == 5), "reason": f"number {i}"} for i in range(8)]
    text = Reader(newest_rollouts(many, limit=2)).text
    assert "number 5" in text and len(re.findall(r"number \d", text)) == 2


# ----------------------------------------------------------------------------------------- a real kernel

FIVE_STEPS = f"""{PREPARE}
import pathlib, tempfile
from tests.fake_run import REPORT, FakeRun
from labkit.widgets import Dashboard, browse, front_end
run = FakeRun(pathlib.Path(tempfile.mkdtemp()) / "run", steps=5)
dashboard = Dashboard(5, title="five steps")
for line in run.metrics:
    dashboard.update(line, run.rollouts(line["step"]))
    assert not dashboard.stopped
dashboard.finish({{"before": REPORT, "after": REPORT}})
print(front_end())
"""


def test_a_stored_notebook_shows_the_run_without_a_kernel(tmp_path: Path):
    cells = [nbformat.v4.new_code_cell(FIVE_STEPS), nbformat.v4.new_code_cell("browse(run)")]
    book = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    training, browsing = (cell.outputs for cell in book.cells)

    figure, html, text = training
    assert "image/png" in figure.data and "application/vnd.jupyter.widget-view+json" not in figure.data
    shown = Reader(html.data["text/html"]).text
    assert "five steps: 5 steps in" in shown and "pass@1 0.20 [0.15, 0.26]" in shown and "makes 30" in shown
    assert text.text == "widgets\n"

    (browser,) = browsing
    assert "application/vnd.jupyter.widget-view+json" in browser.data
    assert "makes 30" in Reader(browser.data["text/html"]).text


@pytest.fixture(scope="module")
def kernel() -> Iterator[BlockingKernelClient]:
    """A running kernel, as a front end sees it."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=120)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


WAIT = f"""{PREPARE}
import time
from labkit.widgets import Dashboard
dashboard = Dashboard(1000)
print("button", dashboard._view.button.comm.comm_id, flush=True)
end = time.monotonic() + 60
while not dashboard.stopped and time.monotonic() < end:
    time.sleep(0.05)
print("stopped", dashboard.stopped)
dashboard.finish({{}})
"""


@pytest.mark.parametrize("over_subshell", [True, False], ids=["with subshells", "without subshells"])
def test_the_stop_button_is_heard_while_the_cell_runs(kernel: BlockingKernelClient, over_subshell: bool):
    subshell = _new_subshell(kernel) if over_subshell else None
    request = kernel.execute(WAIT)
    printed = ""
    while not (found := re.search(r"button (\w+)\n", printed)):
        printed += _printed(kernel, request)
    click = {"comm_id": found.group(1), "data": {"method": "custom", "content": {"event": "click"}}}
    message = kernel.session.msg("comm_msg", click)
    if subshell is not None:
        message["header"]["subshell_id"] = subshell
    kernel.shell_channel.send(message)
    while "stopped" not in printed:
        printed += _printed(kernel, request)
    assert "stopped True" in printed


def _new_subshell(kernel: BlockingKernelClient) -> str:
    kernel.control_channel.send(kernel.session.msg("create_subshell_request"))
    return kernel.control_channel.get_msg(timeout=60)["content"]["subshell_id"]


def _printed(kernel: BlockingKernelClient, request: str) -> str:
    """What the next message of a request prints."""
    message = kernel.get_iopub_msg(timeout=120)
    assert message["msg_type"] != "error", message["content"]
    mine = message["parent_header"].get("msg_id") == request and message["msg_type"] == "stream"
    return message["content"]["text"] if mine else ""
