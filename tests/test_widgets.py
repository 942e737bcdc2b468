"""The dashboard and the rollout browser: in a real kernel, without a notebook, and its Stop button heard."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from labkit.errors import UserError
from labkit.models import Policy
from labkit.plots import PALETTE
from labkit.plots.gallery import badge
from labkit.sampling import sample
from labkit.tasks import load_task
from labkit.widgets import Dashboard, browse, front_end, in_notebook
from labkit.widgets import dashboard as dashboard_module
from labkit.widgets import live as live_module
from labkit.widgets import probe as probe_module
from labkit.widgets.browser import Browser, colours, page, side_by_side
from labkit.widgets.dashboard import gains, newest_rollouts, status
from labkit.widgets.probe import probe_of
from labkit.widgets.svg import axis, chart
from labkit.worlds.countdown.task import typed_problem
from tests.fake_run import REPORT, FakeRun, Reader
from tests.training.mini import mini_run, numbers, random_policy
from tests.training.toys import fours

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
    assert names[2].startswith("Entropy (nats per token) over steps, now no value yet")
    assert live._view.bar.value == 1.0
    assert live._view.status.value.startswith("12 of 12 steps done")
    assert "makes 30" in live._view.newest.value


def test_the_third_curve_is_the_one_that_was_chosen(live: Dashboard, run: FakeRun):
    live.update({**run.metrics[0], "grad_norm": 1.5}, [])
    live._draw()
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


def test_the_browser_shows_all_samples_of_a_problem_and_filters_them(run: FakeRun):
    browser = Browser(run.rollouts())
    assert browser.step.value == 11 and browser.step.options == tuple(range(12))
    assert browser.group.options == (("5,6,1->30:   (1 of 2 right)", 0), ("11,1->30:   (0 of 1 right)", 1))
    browser.step.value = 4
    assert [row["sample"] for row in browser.shown] == [0, 1]
    assert "5+6 is 11, not 30" in Reader(browser.page.value).text and "makes 30" in Reader(browser.page.value).text
    browser.kept.value = "reward below 1"
    assert "makes 30" not in Reader(browser.page.value).text and "1 of 2 samples" in Reader(browser.page.value).text
    browser.text.value = "no such text"
    assert "None of the 2 samples" in browser.page.value
    browser.kept.value, browser.text.value = "all", ""
    browser.group.value = 1
    assert "<script>alert(1)</script>" in Reader(browser.page.value).text
    assert "script" not in {tag for tag, _ in Reader(browser.page.value).tags}


def test_the_browsers_buttons_step_and_stop_at_the_ends(run: FakeRun):
    browser = Browser(run.rollouts())
    back, on, up, down = browser.buttons
    on.click()
    assert browser.step.value == 11
    back.click()
    down.click()
    down.click()
    assert (browser.step.value, browser.rows[0]["prompt"]) == (10, "10,1->30:")
    up.click()
    assert browser.rows[0]["prompt"] == "5,6,1->30:"
    assert all("labkit-key" in button._dom_classes for button in browser.buttons)


def test_the_browser_colours_by_logprobs_first_and_by_what_was_chosen(run: FakeRun):
    browser = Browser(run.rollouts())
    assert 'title="log-prob -0.500"' in browser.page.value
    browser.colour.value = "advantage"
    assert 'title="advantage 0.700"' in browser.page.value
    browser.colour.value = None
    assert "title=" not in browser.page.value
    by_token = [{**row, "advantage": [0.1] * len(row["tokens"]), "process": [0.2] * 9} for row in run.rollouts()]
    assert [value for _, value in colours(by_token)] == ["advantage", "process", "logprob", None]


def test_two_runs_go_along_with_each_other(run: FakeRun, tmp_path: Path):
    short = FakeRun(tmp_path / "short", steps=5)
    first, second = Browser(run.rollouts(), "one"), Browser(short.rollouts(), "two")
    view = side_by_side([first, second])
    assert list(view.children) == [first.view, second.view] and second.step.value == 4
    first.step.value = 2
    first.group.value = 1
    assert (second.step.value, second.rows[0]["prompt"]) == (2, "2,1->30:")
    first.kept.value = "reward below 1"
    assert second.kept.value == "reward below 1"


def test_a_rollout_page_holds_everything_that_was_logged(run: FakeRun):
    row = run.rollouts(3)[0]
    text = Reader(page([{**row, "truncated": True}], 2, "advantage")).text
    for part in [
        "✓ 1",
        "makes 30",
        "7 tokens, truncated",
        "answer 6*5*1",
        "advantage +0.700",
        "value 1",
        "1 of 2 samples",
        row["prompt"],
    ]:
        assert part in text, part


@pytest.mark.parametrize(
    ("row", "label"),
    [
        ({"reward": 1.0, "reason": "makes 30"}, "✓ 1"),
        ({"reward": 0.0, "reason": "makes 29"}, "✗ 0"),
        ({"reward": 0.25, "reason": "one of four"}, "~ 0.25"),
        (
            {"reward": 2.07, "reason": "reward model 2.070; gold 0.000: rude", "parts": {"gold": 0.0}},
            "score 2.07✗ gold 0",
        ),
        ({"reward": 1.0, "reason": "reward model 1.000; gold 1.000: ok", "parts": {"gold": 1.0}}, "score 1.00✓ gold 1"),
        ({"reward": -3.5, "reason": "own judge"}, "score -3.50"),
        ({"reward": 1.0, "reason": "proxy 1: yes; gold 0: no", "parts": {"gold": 0.0}}, "✓ 1"),
    ],
)
def test_only_a_verdict_has_a_tick(row: dict[str, Any], label: str):
    assert Reader(badge(row)).text == label


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


def test_the_time_that_is_left_is_that_of_the_steps(live: Dashboard):
    """A long measurement before training, and steps of which the first were done before this run was resumed."""
    live.measuring("measuring held-out problems before training", 0.0)
    live._measuring_began -= 60
    live.measuring("measuring held-out problems before training", 0.5)
    live.measuring("measuring held-out problems before training", None)
    assert live._view.status.value == "0 of 12 steps done, starting"
    live.update({"step": 7, "seconds": 2.0}, [])
    live._draw()
    assert live._view.status.value == "8 of 12 steps done, 2.0 s per step, 8 s left, then about 1 min of measuring"
    assert status(12, 2.0, 12, 60.0) == "12 of 12 steps done, 2.0 s per step"


def test_a_measurement_is_seen(live: Dashboard):
    live._drawn = -1e9
    live.measuring("measuring held-out problems before training", 0.25)
    assert live._view.status.value == "measuring held-out problems before training: 25%"
    assert (live._view.bar.value, live._view.bar.bar_style) == (0.25, "info")


def test_the_menu_holds_what_the_run_has_logged(live: Dashboard, run: FakeRun):
    live.update({**run.metrics[0], "grad_norm": 1.5, "my_own": 3.0, "note": "text"}, [])
    live._draw()
    assert [name for _, name in live._view.field.options] == ["entropy", "grad_norm", "my_own"]
    assert live._view.field.value == "entropy"


def test_the_pass_rate_gives_way_to_graded_rewards(live: Dashboard):
    live.update({"step": 0, "pass_rate": 0.0, "reward_mean": 0.0}, [])
    assert live.fixed == ("pass_rate", "response_length")
    live.update({"step": 1, "pass_rate": 0.0, "reward_mean": 0.4}, [])
    live._draw()
    assert live.fixed == ("reward_mean", "response_length")
    assert ElementTree.fromstring(live._view.charts[0].value).get("aria-label").startswith("Mean reward")


def test_hold_keeps_the_texts_and_lets_the_curves_go_on(live: Dashboard, run: FakeRun):
    live.update(run.metrics[0], run.rollouts(0))
    live._draw()
    text = live._view.newest.value
    live._view.hold.value = True
    live._drawn = -1e9
    live.update(run.metrics[1], run.rollouts(1))
    assert live._view.newest.value == text and live._view.status.value.startswith("2 of 12")
    live._view.hold.value = False
    assert "Step 1," in Reader(live._view.newest.value).text


def test_no_widget_of_the_dashboard_is_wider_than_its_box(live: Dashboard):
    """By itself a widget has a margin of 2 px on both sides, and with a width of 100 % its box would scroll."""
    root = live._view.root
    for widget in (root, *live._view.charts, live._view.newest, root.children[1]):
        assert (widget.layout.width, widget.layout.margin) == ("100%", "0")


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


# ------------------------------------------------------------------------------- a model that is watched


@pytest.fixture(scope="module")
def policy() -> Policy:
    return random_policy()


def test_the_probe_keeps_problem_and_random_numbers_and_the_first_answer(policy: Policy):
    probe = probe_of(policy, fours())
    assert probe is not None and probe.first is probe.newest and "Before training" in Reader(probe.html()).text
    probe.ask(3)
    assert probe.newest is probe.first, "asked again at once it would take more than its share of the time"
    probe.ask(3, whatever_it_costs=True)
    assert probe.newest["step"] == 3 and probe.newest["completion"] == probe.first["completion"]
    text = Reader(probe.html()).text
    assert "Before training" in text and "After 3 steps" in text and text.count(probe.problem.prompt) == 1
    assert probe_of(policy, None) is None
    assert probe_of(policy, replace(fours(), pool=lambda split: [])) is None, "nothing is held out"


def test_watching_changes_no_number_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def observer(recipe: Any) -> Dashboard:
        monkeypatch.setattr(dashboard_module, "front_end", lambda: "widgets")
        monkeypatch.setattr(dashboard_module._View, "show", lambda self: None)
        monkeypatch.setattr(dashboard_module._View, "replace", lambda self, *what: shown.extend(what))
        monkeypatch.setattr(dashboard_module, "_SECONDS_BETWEEN_DRAWINGS", 0.0)
        monkeypatch.setattr(probe_module, "SHARE", 1e9)
        return Dashboard(recipe.steps, fixed=("pass_rate", "response_length"))

    shown: list[str] = []
    watched = mini_run(tmp_path / "watched", observer=observer, steps=2)
    assert numbers(watched) == numbers(mini_run(tmp_path / "alone", steps=2))
    pictures, texts = shown
    assert pictures.count("<svg") == 3 and "After 2 steps" in Reader(texts).text


def test_live_answers_grow_and_are_those_of_sample(policy: Policy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_module, "front_end", lambda: "widgets")
    monkeypatch.setattr(live_module, "SECONDS_PER_TOKEN", 0.0)
    task, drawn = replace(fours(), max_new_tokens=6), []
    problem = task.sample(1, "test")[0]
    table = live_module.answers(policy, task, problem, 3, 5, "three", drawn.append)
    expected = sample(policy, [problem.prompt], n=3, max_new_tokens=6, seed=5).completions
    assert [row["completion"] for row in table.rows] == expected
    longest = max(len(row["tokens"]) for row in table.rows)
    assert len(drawn) == longest and drawn[0].count("▌") == 3
    lengths = [len(Reader(html).text) for html in drawn]
    assert lengths == sorted(lengths)


def test_the_box_asks_what_was_typed_and_says_what_is_wrong_with_it(policy: Policy):
    task = replace(load_task("countdown"), max_new_tokens=4)
    box = live_module.Box(policy, task, typed_problem, 2, 0, "5 6 1 -> 30")
    box.button.click()
    assert "Your own: 5,6,1->30:" in Reader(box.page.value).text and not box.button.disabled
    for wrong in ("", "5 30", "1 2 3 4 5 6 -> 7", "500 6 1 -> 30", "5 6 1 -> 0", "<b>"):
        box.text.value = wrong
        box.button.click()
        assert "Your own" not in box.page.value and "numbers" in box.page.value, wrong


def test_a_long_answer_is_shown_with_its_end():
    row = {"step": 0, "group": 0, "sample": 0, "prompt": "p", "reason": "r", "reward": 1.0, "advantage": 0.5}
    row |= {"tokens": [f"t{i} " for i in range(500)], "completion": ""}
    text = Reader(newest_rollouts([row])).text
    assert "t0 " in text and "t499 " in text and "t200 " not in text and "380 tokens" in text


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
    shown = Reader(figure.data["text/html"])
    assert {"svg", "img"} <= {tag for tag, _ in shown.tags} and "Pass rate" in shown.text
    (image,) = [attributes for tag, attributes in shown.tags if tag == "img"]
    assert image["src"].startswith("data:image/png;base64,") and "Pass rate" in image["alt"]
    assert "application/vnd.jupyter.widget-view+json" not in figure.data
    shown = Reader(html.data["text/html"]).text
    assert "five steps: 5 steps in" in shown and "pass@1 0.20 [0.15, 0.26]" in shown and "makes 30" in shown
    assert text.text == "widgets\n"

    still, words, browser = browsing
    # Hidden, unless the widget that follows has lost its kernel.
    assert "run this cell to use it" in words.data["text/html"] and "display:none" in words.data["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in browser.data
    assert "application/vnd.jupyter.widget-view+json" not in still.data
    assert "makes 30" in Reader(still.data["text/html"]).text


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
