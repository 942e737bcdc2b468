"""Escapes from the sandbox of `code`, each tried at each level of isolation that this machine has."""

import os
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from labkit.verifiers import Score
from labkit.verifiers.code import sandbox, scratch, verify
from tests.verifiers.escapes import FRAUD, HARM, RUIN, SPY

SQUARE = {"tests": ["assert f(2) == 4", "assert f(-3) == 9", "assert abs(f(1.5) - 2.25) < 1e-9"]}
RIGHT = "```python\ndef f(x): return x * x\n```"
SECRET = "SECRET-873112"
CHECK = f"""
import sys
HELD = [{SECRET!r}]
def check(candidate):
    for file in (sys.stdout, sys.stderr):
        print(HELD, file=file, flush=True)
    assert candidate(2) == HELD[0]
"""
THREADS = 4
SHORT = 1.0  # seconds for programs that are to run into the limit


def has(level: str) -> bool:
    return level == "limits" or sandbox.holds(level)


LEVELS = [
    pytest.param(level, marks=[] if has(level) else pytest.mark.skip(reason=f"this machine has no {level}"))
    for level in sandbox.LEVELS
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory):
    """Something to reach for: a folder that everybody may write, servers, and the names by which to reach them."""
    place = tmp_path_factory.mktemp("outside")
    (place / "victim").write_text("precious")
    for path in (place, place.parent, place / "victim"):
        path.chmod(0o777)
    tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port = tcp.getsockname()[1]
    udp.bind(("127.0.0.1", port))
    unix, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    path = f"{place}/s"
    unix.bind(path)
    # An abstract name is Linux's own; elsewhere the program of that escape finds nothing to connect to.
    abstract.bind(f"\0labkit-{os.getpid()}" if sys.platform == "linux" else f"{path}2")
    os.environ["LABKIT_TEST_SECRET"] = SECRET
    servers = [tcp, udp, unix, abstract]
    for server in servers:
        server.setblocking(False)
        if server is not udp:
            server.listen()
    names = {"PLACE": repr(str(place)), "PARENT": str(os.getpid()), "PORT": str(port), "SOCKET": repr(path)}
    names["SOURCE"] = repr(sandbox.__file__)
    yield place, names, servers
    del os.environ["LABKIT_TEST_SECRET"]
    for server in servers:
        server.close()


def completion(program: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        program = program.replace(name, value)
    return f"```python\n{program}\n```"


@pytest.fixture(scope="module", params=LEVELS)
def scores(request, world) -> dict[str, tuple[Score, Score, float]]:
    """The score of every escape, of a right program straight after it in the same thread, and the seconds taken."""
    level, names = request.param, world[1]

    def one(case: tuple[str, str]) -> tuple[str, tuple[Score, Score, float]]:
        name, program = case
        reference = {"tests": ["assert f() == 'escaped'"]} if name in HARM else SQUARE
        limit = SHORT if name in RUIN else 6.0
        begun = time.monotonic()
        score = verify(completion(program, names), reference, seconds=limit, isolation=level)
        seconds = time.monotonic() - begun
        return name, (score, verify(RIGHT, SQUARE, seconds=20, isolation=level), seconds)

    with ThreadPoolExecutor(THREADS) as pool:
        return dict(pool.map(one, [*HARM.items(), *RUIN.items(), *FRAUD.items()]))


@pytest.mark.parametrize("name", [*HARM, *RUIN, *FRAUD])
def test_it_is_contained_and_the_next_program_is_judged_rightly(scores, world, name):
    score, after, seconds = scores[name]
    assert score.reward == 0.0, score.reason
    assert "verifier_error" not in score.parts and score.parts["parsed"] == 1.0, score.reason
    assert score.reason.isprintable() and len(score.reason) < 500
    assert "escaped" not in score.reason.split("not as in")[0], score.reason
    assert after.reward == 1.0, after.reason
    limit = SHORT if name in RUIN else 6.0
    assert seconds < 2 * limit + 5
    place, _, servers = world
    assert sorted(path.name for path in place.iterdir() if path.name != "s2") == ["s", "victim"]
    assert (place / "victim").read_text() == "precious" and (place / "victim").stat().st_mode & 0o777 == 0o777
    for server in servers:
        with pytest.raises(BlockingIOError):
            server.recv(1) if server.type == socket.SOCK_DGRAM else server.accept()


def test_nothing_is_left_behind(scores):
    me = psutil.Process()
    assert [child for child in me.children(recursive=True) if "-S" in _command(child)] == []
    launcher = sandbox._source("inside.py")
    assert [p for p in psutil.process_iter() if launcher in _command(p) and _parent(p) in (1, os.getpid())] == []
    assert list(Path(scratch.place()).glob(f"{scratch.PREFIX}{os.getpid()}-*")) == []
    for folder in ("/", "/tmp", "/var/tmp", "/dev/shm", "/etc", "/usr/lib", "/run", str(Path(os.__file__).parent)):
        assert not Path(folder, "labkit-was-here").exists()


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return -1


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", ["tests", "judged", "stdout", "check"])
def test_the_right_answer_is_nowhere_to_be_found(world, level, kind):
    reference = {
        "tests": {"tests": [f"assert f(2) == {SECRET!r}"]},
        "judged": {"tests": [f"assert {SECRET!r} in [f(2)]"]},
        "stdout": {"stdin": "2", "stdout": SECRET},
        # What the check prints must stay with it, too.
        "check": {"test": CHECK, "entry_point": "f"},
    }[kind]
    names = {**world[1], "PLACE": repr(str(world[0]))}
    # A program that reads from the line to its tests takes its own questions away and hangs.
    spy = SPY.replace("handles, ", "") if kind == "check" else SPY
    score = verify(completion(spy, names), reference, seconds=20, isolation=level)
    assert score.reward == 0.0
    # The spy did look: it came back with an answer.
    told = "fails" if kind == "judged" else "nothing found"
    assert told in score.reason, score.reason
    wordy = completion(spy.replace("secret_shape = 0", f"hint = {SECRET!r}"), names)
    assert verify(wordy, reference, seconds=20, isolation=level).reward == 1.0, "the spy finds what is there"


@pytest.mark.parametrize("level", LEVELS)
def test_endless_output_takes_no_memory_here(level):
    before = psutil.Process().memory_info().rss
    for program in ("while True: print('x' * 1000)", "import os\nwhile True: os.write(2, b'x' * 10**6)"):
        score = verify(f"```python\n{program}\n```", {"stdin": "", "stdout": "x"}, seconds=SHORT, isolation=level)
        assert score.reward == 0.0 and len(score.reason) < 500
    assert psutil.Process().memory_info().rss - before < 64 * sandbox.MIB


@pytest.mark.parametrize("level", LEVELS)
def test_a_thread_left_running_does_not_hold_up_the_answer(level):
    program = (
        "import threading, time\ndef f(x): return x * x\n"
        "try: threading.Thread(target=time.sleep, args=(600,)).start()\nexcept Exception: pass"
    )
    begun = time.monotonic()
    score = verify(f"```python\n{program}\n```", SQUARE, seconds=20, isolation=level)
    assert score.reward == 1.0, score.reason
    assert time.monotonic() - begun < 60, "it waited for the thread"


@pytest.mark.parametrize("level", LEVELS)
def test_the_time_limit_holds_in_worker_threads_and_for_all_tests_together(level):
    slow = "import time\ndef f(x):\n time.sleep(0.4)\n return x * x"
    tests = {"tests": [f"assert f({i}) == {i * i}" for i in range(50)]}
    cases = {"stdin": [""] * 50, "stdout": [""] * 50}
    begun = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(verify, f"```python\n{slow}\n```", tests, seconds=3, isolation=level)
        second = pool.submit(verify, "```python\nimport time\ntime.sleep(.4)\n```", cases, seconds=3, isolation=level)
        scores = [first.result(), second.result()]
    assert time.monotonic() - begun < 40, "fifty tests of 0.4 s each, twice, would take that long"
    for score in scores:
        assert 0 < score.parts["tests"] < 0.2 and score.reward == 0.0 and "over the time limit of 3 s" in score.reason


def test_a_killed_caller_leaves_no_process(tmp_path):
    """A worker that is killed in the middle takes its program with it, where the kernel can see to that."""
    level = next((level for level in ("bwrap", "landlock") if has(level)), None)
    if level is None:
        pytest.skip("this machine has neither bwrap nor landlock")
    import subprocess

    code = (
        "from labkit.verifiers.code import verify\n"
        f"verify('```python\\nimport time\\ntime.sleep(60)\\n```', {SQUARE!r}, seconds=60, isolation={level!r})"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    sleeping = _wait_for(
        lambda: [p for p in psutil.Process(worker.pid).children(recursive=True) if "-S" in _command(p)]
    )
    worker.kill()
    worker.wait()
    assert _wait_for(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in sleeping))


def test_a_caller_killed_before_the_locks_are_set_leaves_no_process(monkeypatch):
    """The kernel tells a process of its parent's death only from the moment it was asked to."""
    if not has("landlock"):
        pytest.skip("this machine has no landlock")
    assert verify(RIGHT, SQUARE, seconds=20, isolation="landlock").reward == 1.0
    monkeypatch.setattr(sandbox.os, "getpid", lambda: 1)  # as if the one who wrote the letter were gone
    assert verify(RIGHT, SQUARE, seconds=20, isolation="landlock").reward == 0.0


def _wait_for(condition: Callable[[], object], seconds: float = 30.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if result := condition():
                return result
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    pytest.fail("waited in vain")
