"""Verifiers as they should not be, for the tests of the runner; a worker process imports this module by its name."""

import ctypes
import os
import re
import subprocess
import sys
import time

from labkit.verifiers import Score, run_verifier


def length(completion: str, reference: object) -> float:
    return float(len(completion))


def pid(completion: str, reference: object) -> float:
    return float(os.getpid())


def sleeper(completion: str, reference: float) -> float:
    """Takes as many seconds as its reference says."""
    time.sleep(reference)
    return float(completion)


def trouble(completion: str, reference: object) -> float | Score:
    """Does what its completion says; anything else is right."""
    match completion:
        case "loop":
            while True:
                pass
        case "regex":  # inside C, holding Python's lock
            re.fullmatch("(a+)+b", "a" * 60)
        case "power":
            return float((9**9**9) % 7)
        case "sleep":
            time.sleep(600)
        case "exit":
            os._exit(0)
        case "sys.exit":
            sys.exit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "segfault":
            ctypes.string_at(0)
        case "memory":
            return float(len(bytearray(2**34)))
        case "raise":
            raise ValueError("no such luck")
        case "recursion":
            return trouble_for_ever(0)
        case "nan":
            return float("nan")
        case "input":
            return float(input())
        case "print":
            print("a word of my own")
        case "child":  # a process of its own, then a hang
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.DEVNULL)
            time.sleep(600)
        case "long":
            return Score(1.0, "r" * 10, "x" * 1_000_000)
    return 1.0


def trouble_for_ever(depth: int) -> float:
    return trouble_for_ever(depth + 1) + 1


def in_child(queue) -> None:
    """What a process of another start method does: it scores a batch and reports the reasons."""
    scores = run_verifier(trouble, ["fine", "loop", "raise"], [None] * 3, timeout=0.5)
    queue.put([score.reason for score in scores])
