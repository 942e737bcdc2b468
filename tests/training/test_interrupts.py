"""However a run is ended, its result says so, it was measured as far as possible, and its observer was told."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import UserError
from labkit.runs import Run, open_run
from labkit.training import train
from labkit.training.loop.interrupts import FirstInterrupt
from tests.training.mini import mini_run, random_policy

MEASURED = {"evaluation.problems": 4, "evaluation.samples": 2}


class Watcher:
    """An observer with every method, which does something at one place."""

    def __init__(self, at: str, what: Any, step: int = 1) -> None:
        self.at, self.what, self.step = at, what, step
        self.stopped = False
        self.results: list[dict[str, Any]] = []
        self.seen: list[str] = []

    def begin(self, policy: Any, task: Any) -> None:
        self.seen.append("begin")

    def measuring(self, what: str, share: float | None) -> None:
        self.seen.append(what)
        if self.at in what and share:
            self.what(self)

    def update(self, metrics: dict[str, Any], rollouts: list[dict[str, Any]]) -> None:
        if self.at == "step" and metrics["step"] == self.step:
            self.what(self)

    def finish(self, result: dict[str, Any]) -> None:
        self.results.append(dict(result))


def interrupt(watcher: Watcher) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def twice(watcher: Watcher) -> None:
    interrupt(watcher)
    interrupt(watcher)


def stop(watcher: Watcher) -> None:
    watcher.stopped = True


def fail(watcher: Watcher) -> None:
    raise UserError("no more")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    random_policy().save(folder)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Run:
    """The same run, left alone."""
    return mini_run(tmp_path_factory.mktemp("whole") / "run", model=base, **MEASURED)


def ended(folder: Path, base: Path, watcher: Watcher) -> Run:
    return mini_run(folder / "run", observer=watcher, model=base, **MEASURED)


@pytest.mark.parametrize(
    ("at", "what", "status", "steps", "measured", "kept"),
    [
        ("step", stop, "stopped", 2, ["before", "after"], [2]),
        ("step", interrupt, "stopped", 2, ["before", "after"], [2]),
        ("step", twice, "interrupted", 2, ["before"], []),
        ("after training", interrupt, "stopped", 4, ["before"], [2, 4]),
        ("before training", interrupt, "stopped", 0, [], [0]),
    ],
)
def test_what_an_early_end_leaves(
    tmp_path: Path,
    base: Path,
    whole: Run,
    at: str,
    what: Any,
    status: str,
    steps: int,
    measured: list[str],
    kept: list[int],
):
    watcher = Watcher(at, what)
    run = ended(tmp_path, base, watcher)
    assert run.result["status"] == status and run.result["steps"] == len(run.metrics) == steps
    assert [when for when in ("before", "after") if run.result.get(when)] == measured
    assert list(run.checkpoints()) == kept and not run.finished
    assert watcher.results == [run.result], "the observer is told once, what the file says"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = train(resume=run, progress=False)
    assert again.result["status"] == "finished" and again.finished
    losses = [[line["loss"] for line in r.metrics] for r in (again, whole)]
    assert losses[0] == losses[1]
    assert again.result["after"]["per_problem"] == whole.result["after"]["per_problem"]


def test_a_failing_run_says_so(tmp_path: Path, base: Path):
    watcher = Watcher("step", fail)
    with pytest.raises(UserError, match="no more"):
        ended(tmp_path, base, watcher)
    assert open_run(tmp_path / "run").result["status"] == "failed"
    assert [result["status"] for result in watcher.results] == ["failed"]


def test_a_measurement_that_is_cut_is_not_mistaken_for_an_earlier_one(tmp_path: Path, base: Path):
    ended(tmp_path, base, Watcher("step", stop))
    run = train(resume=tmp_path / "run", progress=False, observer=Watcher("after training", interrupt))
    assert run.result["status"] == "stopped" and run.result["steps"] == 4 and "after" not in run.result


def test_a_notebook_goes_on_with_a_recorded_run(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]):
    run = ended(tmp_path, base, Watcher("after training", interrupt))
    assert run.or_recorded("rlvr-addition-tiny-seed0").recipe["name"] == "rlvr-addition-tiny"
    assert "rlvr-addition-tiny-seed0" in capsys.readouterr().out
    whole = train(resume=run, progress=False)
    assert whole.or_recorded("rlvr-addition-tiny-seed0") is whole


def test_elsewhere_than_in_the_main_thread_interrupts_are_left_alone():
    before = signal.getsignal(signal.SIGINT)

    def enter() -> None:
        with FirstInterrupt() as interrupts:
            seen.append((interrupts.asked, signal.getsignal(signal.SIGINT)))

    seen: list[Any] = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(False, before)]
