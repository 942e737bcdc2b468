"""Verifiers that hang, crash, lie or leave things behind, sendable to a worker or not."""

import importlib
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from labkit.verifiers import Score, run_verifier
from tests.fault_campaign import Kind, Place, forked, kind, outcome

TIMEOUT = 1.0


class _Rude(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


def _raise(error: BaseException) -> Any:
    raise error


def _child(**options: Any) -> float:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(321)"], stdout=subprocess.DEVNULL, **options)
    return 1.0


def _double_fork() -> float:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(321)"])
        os._exit(0)
    os.wait()
    return 1.0


def _package(name: str) -> Any:
    """A package, imported where it is used: most verifiers need none, and a worker would import it for each."""
    return importlib.import_module(name)


SLOW = "import time\ntime.sleep(1.7)\n"
# What a verifier does with the answer "bad", and the reward that it must have; None: it is at fault, and is counted.
FAULTS: dict[str, tuple[Callable[[], Any], float | None]] = {
    "a loop": (lambda: [None for _ in iter(int, 1)], None),
    "a sleep": (lambda: time.sleep(600), None),
    "a regular expression": (lambda: re.match(r"(a+)+$", "a" * 60 + "b"), None),
    "a huge power": (lambda: (9**9**9) % 7, None),
    "an exception": (lambda: _raise(KeyError("x")), None),
    "an exception without words": (lambda: _raise(_Rude()), None),
    "SystemExit": (lambda: sys.exit(3), None),
    "os._exit": (lambda: os._exit(0), None),
    "SIGKILL": (lambda: os.kill(os.getpid(), 9), None),
    "recursion": (lambda: (lambda f: f(f))(lambda f: f(f)), None),
    "memory": (lambda: bytearray(2**36), None),
    "nothing": (lambda: None, None),
    "a text": (lambda: "1.0", None),
    "NaN": (lambda: float("nan"), None),
    "infinity": (lambda: float("inf"), None),
    "1e39": (lambda: 1e39, None),
    "-1e300": (lambda: -1e300, None),
    "10**400": (lambda: 10**400, None),
    "an array of one": (lambda: _package("numpy").array([1.0]), 1.0),
    "an array of none": (lambda: _package("numpy").array([]), None),
    "an array of two": (lambda: _package("numpy").array([1.0, 2.0]), None),
    "a numpy number": (lambda: _package("numpy").float32(0.5), 0.5),
    "a tensor of one": (lambda: _package("torch").tensor([1.0]), 1.0),
    "a tensor of two": (lambda: _package("torch").tensor([1.0, 2.0]), None),
    "a score of NaN parts": (lambda: Score(1.0, "x", None, {"a": float("nan")}), None),
    "a score with control characters": (lambda: Score(1.0, "\x1b]0;x\x07\u202e\ud800", "\x9b2J"), 1.0),
    "a child that stays": (_child, 1.0),
    "a child in its own session": (lambda: _child(start_new_session=True), 1.0),
    "a daemon": (_double_fork, 1.0),
    "a slow import": (lambda: float(__import__("slow_to_import") is not None), 1.0),
    "a print": (lambda: float(print("\x1b[2Jgone") is None), 1.0),
    "a closed standard output": (lambda: float(os.close(1) is None), 1.0),
    "complex": (lambda: 1j, None),
}


def _verifier(name: str, held: Any) -> Callable[[str, Any], Any]:
    def verify(completion: str, reference: Any) -> Any:
        held is None  # noqa: B015 (what is held goes where the verifier goes, or keeps it here)
        return FAULTS[name][0]() if completion == "bad" else 1.0

    return verify


def _scored(name: str, held: Any) -> None:
    scores = run_verifier(_verifier(name, held), ["good", "bad", "good"], [None] * 3, timeout=TIMEOUT)
    print(json.dumps([[score.reward, "verifier_error" in score.parts] for score in scores]))


@kind
def verifiers(place: Place, count: int, rng: random.Random) -> Kind:
    """One bad answer between two good ones. The good ones keep their reward, the bad one has what it must, and no
    process is left."""
    found, home = Kind("verifiers"), place.folder / "verifiers"
    (home / "slow_to_import.py").write_text(SLOW)
    sys.path.insert(0, str(home))
    names = list(FAULTS)
    for number in range(count):
        name = names[number % len(names)]
        sendable = (number // len(names) + number) % 2 == 0
        held = None if sendable else threading.Lock()
        ended = forked(lambda name=name, held=held: _scored(name, held), home, place.timeout)
        wanted = FAULTS[name][1]
        left = _left_behind()
        right = ended.status == 0 and not left and _as_wanted(ended.out, wanted)
        ending = outcome(ended, lambda right=right: right)
        ending = "clean" if ending == "fine" and wanted is None else ending
        found.note(
            ending,
            f"{name}, {'sent' if sendable else 'holds a lock'}: {ended.out[-200:]}{ended.err[-300:]} left: {left}",
        )
    sys.path.remove(str(home))
    return found


def _as_wanted(out: str, wanted: float | None) -> bool:
    lines = [line for line in out.splitlines() if line.startswith("[[")]
    if not lines:
        return False
    (first, fault_before), (reward, fault), (last, fault_after) = json.loads(lines[-1])
    if (first, last, fault_before, fault_after) != (1.0, 1.0, False, False):
        return False
    return fault if wanted is None else (reward == wanted and not fault)


def _left_behind(patience: float = 8.0) -> list[int]:
    """Processes of a verifier that outlive the run by so many seconds (a guardian gives its worker one); they are
    ended."""
    end = time.monotonic() + patience
    while (
        left := [process for process in psutil.process_iter() if _started_by_us(process)]
    ) and time.monotonic() < end:
        time.sleep(0.1)
    for process in left:
        process.kill()
    return [process.pid for process in left]


def _started_by_us(process: psutil.Process) -> bool:
    try:
        return "import time; time.sleep(321)" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
