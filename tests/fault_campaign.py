"""What goes wrong, on purpose and many times: kills, damaged run folders, recipe files, task files, verifiers, models.

    python -m tests.fault_campaign --kills 100 --folders 40 --recipes 100 --tasks 100 --verifiers 40 --models 50

prints a table: how many were tried of each kind, and what they ended in. `clean`: one line that begins with
`labkit: `, or for verifiers a score with the fault in it. `fine`: it went on, to the right result. What must never
happen: `traceback` (or "a bug in labkit" for a user's mistake), `hang`, `silent` (a wrong result, or no word at all).
`--json` prints the same as JSON, with an example of each. `--seed` chooses other faults.

Each trial is a forked child of one process that has loaded everything, so that hundreds take minutes. The tests call it
with few of each kind (`test_faults`). It runs on Linux and macOS.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OUTCOMES = ("fine", "clean", "traceback", "hang", "silent")
NEVER = ("traceback", "hang", "silent")


@dataclass
class Ended:
    """How a forked child ended: `status` is None where it was killed for being late."""

    status: int | None
    out: str
    err: str


@dataclass
class Kind:
    """The trials of one kind: how many ended how, and the first few examples of each ending."""

    name: str
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, outcome: str, what: str) -> None:
        """Counts a trial."""
        self.counts[outcome] += 1
        self.examples.setdefault(outcome, []).append(what)


def forked(work: Callable[[], Any], folder: Path, timeout: float) -> Ended:
    """Does work in a child whose output is kept; kills it where it takes longer than `timeout` seconds."""
    out, err = folder / "stdout", folder / "stderr"
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.setsid()
            for number, file in ((1, out), (2, err)):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
            sys.stdout = open(1, "w", buffering=1, encoding="utf-8")  # noqa: SIM115
            sys.stderr = open(2, "w", buffering=1, encoding="utf-8")  # noqa: SIM115
            work()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    end, done = time.monotonic() + timeout, None
    while done is None and time.monotonic() < end:
        ended, raw = os.waitpid(pid, os.WNOHANG)
        done = os.waitstatus_to_exitcode(raw) if ended else None
        time.sleep(0.005)
    if done is None:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return Ended(done, out.read_text(errors="replace"), err.read_text(errors="replace"))


def command(*arguments: str | Path) -> Callable[[], None]:
    """`labkit ARGUMENTS`, to be done in a child."""

    def work() -> None:
        from labkit.cli import main

        sys.argv = ["labkit", *map(str, arguments)]
        main()

    return work


def outcome(ended: Ended, right: Callable[[], bool] = lambda: True) -> str:
    """Which of OUTCOMES it is; `right()` says whether what a successful command left is what it should be."""
    if ended.status is None:
        return "hang"
    if "Traceback" in ended.err or "this is a bug in labkit" in ended.err:
        return "traceback"
    if ended.status == 0:
        return "fine" if right() else "silent"
    lines = [line for line in ended.err.splitlines() if line.strip() and "step/s" not in line]
    return "clean" if lines and lines[-1].startswith("labkit: ") else "silent"


KINDS: dict[str, Callable[["Place", int, random.Random], Kind]] = {}


def kind(function: Callable[["Place", int, random.Random], Kind]) -> Callable[["Place", int, random.Random], Kind]:
    """Registers a kind of faults by its name."""
    KINDS[function.__name__] = function
    return function


@dataclass
class Place:
    """Where the trials happen: a folder with a small random model and a recipe for it."""

    folder: Path
    timeout: float

    @property
    def model(self) -> Path:
        """A Llama of a few thousand random weights."""
        return self.folder / "model"

    def recipe(self, **changes: Any) -> dict[str, Any]:
        """A run that takes two seconds."""
        from tests.mini_run import mini_recipe

        settings = {"steps": 8, "checkpoint_every": 2, "evaluation": {"problems": 2, "samples": 1}}
        return mini_recipe(self.model, **settings | changes)

    def train(self, out: Path, recipe: Path) -> Callable[[], None]:
        """A run of the command line."""
        return command("train", recipe, "--out", out, "--quiet")


def prepare(folder: Path) -> None:
    """Loads what every child needs, and makes the model."""
    import matplotlib.pyplot  # noqa: F401
    import torch

    from tests.mini_run import save_random_model

    torch.set_num_threads(1)  # a child has no threads of its parent's
    save_random_model(folder / "model")


# ---------------------------------------------------------------------------------------------------- running it


def campaign(counts: dict[str, int], seed: int, timeout: float) -> list[Kind]:
    """Tries so many of each kind."""
    import tests.faults.files
    import tests.faults.runs
    import tests.faults.verifiers  # noqa: F401

    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name), timeout)
        prepare(place.folder)
        os.chdir(name)
        found = []
        for what, count in counts.items():
            if count:
                home = place.folder / what
                home.mkdir()
                found.append(KINDS[what](place, count, random.Random(f"{what}/{seed}")))
                print(f"{what}: {found[-1].counts}", file=sys.stderr, flush=True)
        return found


def show(kinds: list[Kind]) -> str:
    """The table."""
    from labkit.tables import table

    rows = [[one.name, *(str(n) for n in (sum(one.counts.values()), *one.counts.values()))] for one in kinds]
    return table(["kind", "tried", *OUTCOMES], rows)


def main() -> None:
    """The command line."""
    names = ("kills", "folders", "recipes", "tasks", "verifiers", "models")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in names:
        parser.add_argument(f"--{name}", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds that a trial may take")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    kinds = campaign({name: getattr(asked, name) for name in names}, asked.seed, asked.timeout)
    if asked.json:
        print(json.dumps([{"kind": one.name, **one.counts, "examples": one.examples} for one in kinds]))
    else:
        print(show(kinds))
        for one in kinds:
            for ending in NEVER:
                for example in one.examples.get(ending, [])[:5]:
                    print(f"\n{one.name}, {ending}: {example}")
    sys.exit(any(one.counts[ending] for one in kinds for ending in NEVER))


if __name__ == "__main__":
    # The kinds register themselves in the module of this name, not in the script that was started.
    from tests.fault_campaign import main as run

    run()
