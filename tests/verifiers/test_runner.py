"""The runner: order kept, nothing hangs, every fault is counted, no process is left behind; in threads, in every start
method, in scripts without a main guard and inside Jupyter.
"""

import _thread
import functools
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudpickle
import nbformat
import psutil
import pytest
import torch

from labkit.verifiers import Score, run_verifier
from labkit.verifiers.guardian import GUARDED
from labkit.verifiers.pool import GIVE_UP, Pool, shared_pool
from tests.verifiers import zoo

ALWAYS = {"verifier_error": 1.0}
LATE = Score(0.0, "verifier took longer than 0.5 s", None, ALWAYS)
ROOT = Path(__file__).resolve().parents[2]


def children() -> list[psutil.Process]:
    """Processes that this one has started, zombies too."""
    return psutil.Process().children(recursive=True)


def run(texts: list[str], timeout: float = 0.5, **options) -> list[Score]:
    return run_verifier(zoo.trouble, texts, [None] * len(texts), timeout=timeout, **options)


def gone(pids: list[int], seconds: float) -> bool:
    """Whether all processes have ended within so many seconds."""
    end = time.monotonic() + seconds
    while any(psutil.pid_exists(p) and psutil.Process(p).status() != psutil.STATUS_ZOMBIE for p in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


# ------------------------------------------------------------------------------------------------- order


def test_scores_come_in_order_whoever_is_first() -> None:
    waits = [0.05 * (i % 3) for i in range(24)]
    scores = run_verifier(zoo.sleeper, [str(i) for i in range(24)], waits)
    assert [score.reward for score in scores] == list(range(24))


def test_large_batches_and_large_texts() -> None:
    texts = ["x" * (i % 7) for i in range(3_000)]
    assert [s.reward for s in run_verifier(zoo.length, texts, [None] * 3_000)] == [i % 7 for i in range(3_000)]
    texts = ["\ud800\x00" * 500_000, "", "é"]
    assert [s.reward for s in run_verifier(zoo.length, texts, [None] * 3)] == [1_000_000, 0, 1]
    assert len(run(["long"])[0].extracted or "") == 1_000_000


def test_an_empty_batch_and_wrong_arguments() -> None:
    assert run_verifier(zoo.length, [], []) == []
    with pytest.raises(ValueError, match="2 completions for 1 references"):
        run_verifier(zoo.length, ["a", "b"], [None])
    with pytest.raises(ValueError, match="timeout"):
        run_verifier(zoo.length, ["a"], [None], timeout=0)


# ------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("hang", ["loop", "regex", "power", "sleep"])
def test_a_hang_costs_its_own_answer_and_no_other(hang: str) -> None:
    scores = run(["fine", hang, "fine", "fine"])
    assert [score.reward for score in scores] == [1.0, 0.0, 1.0, 1.0]
    assert scores[1] == LATE


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", "verifier raised ValueError: no such luck"),
        ("exit", "verifier ended its process (exit status 0)"),
        ("sys.exit", "verifier raised SystemExit"),
        ("interrupt", "verifier raised KeyboardInterrupt"),
        ("nan", "verifier returned the reward nan, which is not a finite number"),
        ("input", "verifier raised EOFError: EOF when reading a line"),
    ],
)
def test_a_fault_is_a_zero_with_the_reason_and_is_counted(fault: str, reason: str) -> None:
    scores = run(["fine", fault, "fine"], timeout=10)
    assert scores[1] == Score(0.0, reason, None, ALWAYS)
    assert scores[0].reward == scores[2].reward == 1.0


@pytest.mark.parametrize("fault", ["segfault", "recursion"])
def test_a_crash_is_contained(fault: str) -> None:
    scores = run(["fine", fault, "fine"], timeout=10)
    assert [score.reward for score in scores] == [1.0, 0.0, 1.0]
    assert scores[1].parts == ALWAYS


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the address space is limited on Linux alone")
def test_a_memory_bomb_is_contained() -> None:
    scores = run(["fine", "memory", "fine"], timeout=10)
    assert [score.reward for score in scores] == [1.0, 0.0, 1.0]
    assert scores[1].reason == "verifier raised MemoryError"


def test_a_verifier_that_always_hangs_is_given_up() -> None:
    start = time.monotonic()
    scores = run(["sleep"] * 500, timeout=0.05)
    assert time.monotonic() - start < 60, "500 time-outs would take longer than that to be started"
    assert len(scores) == 500 and all(score.parts == ALWAYS for score in scores)
    tried = [score for score in scores if score.reason == "verifier took longer than 0.05 s"]
    assert GIVE_UP <= len(tried) <= GIVE_UP + 64
    assert "not tried" in scores[-1].reason


def test_what_a_verifier_prints_is_shown_here_in_order(capsys: pytest.CaptureFixture) -> None:
    assert run(["print", "fine", "print"])[0].reward == 1.0
    assert capsys.readouterr().out == "a word of my own\n" * 2


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture) -> None:
    run(["fine"] * 10, progress=True)
    captured = capsys.readouterr()
    assert "scoring" in captured.err and captured.out == ""
    run(["fine"] * 10)
    assert capsys.readouterr().err == ""


# -------------------------------------------------------------------------------------- where it is called


def test_functions_without_a_module_and_closures_go_to_a_worker_by_value() -> None:
    limit = 3

    def verify(completion: str, reference: object) -> float:
        return float(len(completion) > limit) + float(os.getpid() != parent)

    parent = os.getpid()
    scores = run_verifier(verify, ["ab", "abcd"], [None, None])
    assert [score.reward for score in scores] == [1.0, 2.0]
    partial = functools.partial(lambda completion, reference, n: float(n), n=7)
    assert run_verifier(partial, ["a"], [None])[0].reward == 7.0


def test_needs_worker_false_is_called_here() -> None:
    seen: list[str] = []

    def verify(completion: str, reference: object) -> float:
        seen.append(completion)
        return float(os.getpid())

    verify.needs_worker = False  # type: ignore[attr-defined]
    assert run_verifier(verify, ["a", "b"], [None, None])[1].reward == os.getpid()
    assert seen == ["a", "b"]


def _unsendable() -> Callable[[str, object], float]:
    """A verifier that holds a lock and a tensor, so that it can't be pickled, and does what `zoo.trouble` does."""
    lock, weights = threading.Lock(), torch.ones(300, 300)

    def verify(completion: str, reference: object) -> float:
        lock.locked()
        if completion == "pid":
            return float(os.getpid())
        if completion == "model":
            return float((weights @ weights).mean())
        return float(zoo.trouble(completion, reference))

    return verify


@pytest.mark.skipif(not GUARDED, reason="a copy of this process is made on Linux alone")
def test_what_cannot_be_sent_is_called_in_a_copy_of_this_process_and_killed_when_late() -> None:
    texts = ["model", "loop", "pid", "regex", "raise", "exit"]
    scores = run_verifier(_unsendable(), texts, [None] * 6, timeout=0.5)
    assert scores[0].reward == 300.0 and scores[2].reward not in (0.0, float(os.getpid()))
    assert scores[1] == scores[3] == LATE
    assert [s.reason for s in scores[4:]] == [
        "verifier raised ValueError: no such luck",
        "verifier ended its process (exit status 0)",
    ]


def test_what_cannot_be_sent_nor_copied_is_called_here_and_stopped_when_late(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("labkit.verifiers.runner.can_fork", lambda: False)
    before = threading.active_count()
    scores = run_verifier(_unsendable(), ["pid", "loop", "pid"], [None] * 3, timeout=0.5)
    assert [score.reward for score in scores] == [os.getpid(), 0.0, os.getpid()]
    assert scores[1] == LATE and "nothing can stop it" in capsys.readouterr().err
    time.sleep(0.1)
    assert threading.active_count() <= before, "the thread that was late has ended"


def test_an_import_in_the_first_call_is_not_the_verifiers_time(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "slow_package.py").write_text("import time\ntime.sleep(1.5)\nvalue = 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)

    def verify(completion: str, reference: object) -> float:
        from slow_package import value

        time.sleep(60 if completion == "sleep" else 0)
        return value

    scores = run_verifier(verify, ["a", "sleep", "b"], [None] * 3, timeout=0.7, workers=1)
    assert [score.reward for score in scores] == [1.0, 0.0, 1.0]
    assert scores[1].reason == "verifier took longer than 0.7 s"


def test_a_verifier_with_a_process_of_its_own_is_called_from_threads() -> None:
    def verify(completion: str, reference: float) -> float:
        time.sleep(reference)
        return float(completion)

    verify.own_process = True  # type: ignore[attr-defined]
    start = time.monotonic()
    scores = run_verifier(verify, list("12345678"), [2.0] * 8, workers=8)
    assert [score.reward for score in scores] == list(range(1, 9)) and time.monotonic() - start < 16


# --------------------------------------------------------------------------------------- threads, processes


def test_time_outs_work_in_a_worker_thread() -> None:
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(run, ["fine", "loop", "regex"]).result(30)[1:] == [LATE, LATE]


def test_several_threads_share_the_pool() -> None:
    with ThreadPoolExecutor(6) as threads:
        batches = [threads.submit(run, ["fine", "raise"] * 20, 10) for _ in range(6)]
        for batch in batches:
            assert [score.reward for score in batch.result(60)] == [1.0, 0.0] * 20
    assert len(children()) <= 2 * shared_pool().size + 1


def test_workers_stay_warm_and_are_not_shared_between_verifiers() -> None:
    first = {score.reward for score in run_verifier(zoo.pid, ["a"] * 4, [None] * 4, workers=1)}
    again = {score.reward for score in run_verifier(zoo.pid, ["a"] * 4, [None] * 4, workers=1)}
    assert len(first) == 1 and first == again and os.getpid() not in first
    other = run_verifier(lambda completion, reference: os.getpid(), ["a"], [None], workers=1)[0].reward
    assert other not in first


def test_no_zombie_and_no_grandchild_is_left() -> None:
    run(["loop", "exit", "segfault", "child", "fine"])
    assert [p for p in children() if p.status() == psutil.STATUS_ZOMBIE] == []
    assert [p for p in children() if "time.sleep(600)" in " ".join(p.cmdline())] == []


@pytest.mark.skipif(not GUARDED, reason="Linux alone tells a process of its orphans")
@pytest.mark.parametrize("end", ["sleep", "fine"])
def test_what_a_verifier_starts_in_a_session_of_its_own_ends_with_its_worker(tmp_path: Path, end: str) -> None:
    note = tmp_path / "pid"
    code = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"

    def verify(completion: str, reference: object) -> float:
        import subprocess

        if completion == "start":
            subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.DEVNULL)
            while not note.exists() or not note.read_text():
                time.sleep(0.01)
        if completion == "sleep":
            time.sleep(600)
        return 1.0

    pool, items = Pool(1), [pickle.dumps((text, None)) for text in ("start", end)]
    scores, _ = pool.run(cloudpickle.dumps(verify), items, timeout=10 if end == "fine" else 2.0)
    pool.close()
    assert scores[0].reward == 1.0
    assert gone([int(note.read_text())], 5)


def test_a_closed_pool_leaves_nothing_behind() -> None:
    before = {p.pid for p in children()}
    pool = Pool(2)
    payload = pickle.dumps(zoo.trouble)
    items = [pickle.dumps((text, None)) for text in ["fine", "loop", "fine"]]
    scores, _ = pool.run(payload, items, timeout=0.5)
    assert [score.reward for score in scores] == [1.0, 0.0, 1.0]
    assert {p.pid for p in children()} - before, "idle workers wait for the next batch"
    pool.close()
    assert {p.pid for p in children()} - before == set()


@pytest.fixture
def no_gc_callbacks() -> Iterator[None]:
    """Hypothesis watches the garbage collector; an interrupt that comes up in its callback is printed and lost."""
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks[:] = callbacks


def test_control_c_ends_a_batch_and_its_workers(no_gc_callbacks: None) -> None:
    before = {p.pid for p in children()}
    threading.Timer(1.0, _thread.interrupt_main).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(["sleep"] * 4, timeout=60)
    assert time.monotonic() - start < 20
    assert run(["fine"])[0].reward == 1.0, "the next batch is scored as if nothing had been"
    assert all(p.status() != psutil.STATUS_ZOMBIE for p in children() if p.pid not in before)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_every_start_method(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    run(["fine"])  # the parent has warm workers, which the child must leave alone
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=zoo.in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == ["verifier returned 1.0", LATE.reason, "verifier raised ValueError: no such luck"]
    child.join(30)
    assert child.exitcode == 0
    assert run(["fine"])[0].reward == 1.0


SCRIPT = """
import os, re, sys
from labkit.verifiers import run_verifier

def verify(completion, reference):
    print(os.getpid(), flush=True)
    if completion == "regex":
        open(reference, "w").write(str(os.getpid()))
        re.fullmatch("(a+)+b", "a" * 60)
    return 1.0

scores = run_verifier(verify, ["fine", "regex", "fine"], [None, sys.argv[1], None], timeout=float(sys.argv[2]))
print([score.reward for score in scores])
"""


def _script(tmp_path: Path, timeout: float) -> tuple[subprocess.Popen, Path]:
    """A script without a main guard, as students write them; its temporary folder is `tmp`."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    command = [sys.executable, "script.py", str(tmp_path / "pid"), str(timeout)]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    return process, tmp_path / "pid"


def test_a_script_without_a_main_guard_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    process, _ = _script(tmp_path, 0.5)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and output.splitlines()[-1] == "[1.0, 0.0, 1.0]"
    workers = {int(line) for line in output.splitlines()[:-1]}
    assert workers and gone(sorted(workers), 5)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a signal of POSIX")
def test_no_orphan_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    process, note = _script(tmp_path, 1.0)
    end = time.monotonic() + 30
    while not (note.exists() and note.read_text()):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.01)
    workers = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    assert int(note.read_text()) in workers
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert gone(workers, 15), "a worker hangs inside C, holding Python's lock, and its parent is gone"


# ------------------------------------------------------------------------------------------------ Jupyter

CELLS = [
    """
    import re, time
    from dataclasses import replace
    from labkit.verifiers import VERIFIERS, run_verifier

    FACTOR = 2

    def verify(completion, reference):
        "Defined in the notebook, with a global, so it is nowhere to be imported from."
        if completion == "loop":
            while True:
                pass
        if completion == "regex":
            re.fullmatch("(a+)+b", "a" * 60)
        return FACTOR * float(completion == reference)
    """,
    """
    start = time.monotonic()
    scores = run_verifier(verify, ["4", "loop", "regex", "5"], ["4"] * 4, timeout=0.5)
    assert [score.reward for score in scores] == [2.0, 0.0, 0.0, 0.0], scores
    assert [score.reason for score in scores[1:3]] == ["verifier took longer than 0.5 s"] * 2, scores
    assert time.monotonic() - start < 20
    """,
    r"""
    math = VERIFIERS["math"]
    assert math(r"\\boxed{2x+2}", "2(x+1)").reward == 1.0
    assert math(r"\\boxed{\\sin 2x}", r"2\\sin x\\cos x").reward == 1.0
    assert math(r"\\boxed{9^{9^{9^9}}}", "9").reward == 0.0
    print("scored")
    """,
]


@pytest.mark.slow
def test_time_outs_work_inside_jupyter(tmp_path: Path) -> None:
    from nbclient import NotebookClient

    cells = [nbformat.v4.new_code_cell(textwrap.dedent(cell).replace("\\\\", "\\")) for cell in CELLS]
    book = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    printed = [output.text for output in book.cells[-1].outputs if output.output_type == "stream"]
    assert printed == ["scored\n"]
