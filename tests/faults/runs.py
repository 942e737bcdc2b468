"""Kills at any moment, and run folders that were damaged."""

import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from labkit.runs import open_run
from tests.fault_campaign import Kind, Place, command, forked, kind, outcome
from tests.mini_run import without_times, write_recipe

WRITES = ("replace", "rename", "unlink", "fsync", "open", "rmdir")
"""Calls of the system at which a process is killed, while a checkpoint (or anything else) is written."""


def _dies_at(call: str, number: int, work: Callable[[], None]) -> Callable[[], None]:
    """The work, killed before the `number`-th call of `os.CALL` in a folder of checkpoints."""

    def inside() -> None:
        plain, seen = getattr(os, call), [0]

        def counted(path: Any, *rest: Any, **options: Any) -> Any:
            where = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.fspath(path)
            seen[0] += "checkpoints" in str(where)
            if seen[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return plain(path, *rest, **options)

        setattr(os, call, counted)
        work()

    return inside


def _dies_after(seconds: float, work: Callable[[], None]) -> Callable[[], None]:
    def inside() -> None:
        threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        work()
        os._exit(0)  # it was over before

    return inside


def _same(folder: Path, whole: Path, samples: bool = True) -> bool:
    """Whether a run ended as the one that was never disturbed; `samples`: its logged rollouts, too."""
    ours, theirs = open_run(folder), open_run(whole)
    if without_times(ours.metrics) != without_times(theirs.metrics):
        return False
    if samples and ours.rollouts() != theirs.rollouts():
        return False
    if (ours.result or {}).get("status") != "finished":
        return False
    kept = [run.checkpoints() for run in (ours, theirs)]
    if list(kept[0]) != list(kept[1]):
        return False
    weights = [load_file(max(found.items())[1] / "model.safetensors") for found in kept]
    return all(weights[0][name].equal(weights[1][name]) for name in weights[1])


@kind
def kills(place: Place, count: int, rng: random.Random) -> Kind:
    """Kills by SIGKILL, half of them while a checkpoint is written; then the run is resumed, or begun again where it
    left nothing to go on from."""
    found, home = Kind("kills"), place.folder / "kills"
    recipe = write_recipe(home / "mini.yaml", place.recipe())
    started = time.monotonic()
    whole = forked(place.train(home / "whole", recipe), home, place.timeout)
    seconds = time.monotonic() - started
    assert whole.status == 0, whole.err
    for number in range(count):
        out = home / f"run-{number}"
        if number % 2:
            call, at = rng.choice(WRITES), rng.randint(1, 12)
            told, work = f"before os.{call} number {at}", _dies_at(call, at, place.train(out, recipe))
        else:
            after = rng.uniform(0.02, seconds)
            told, work = f"after {after:.2f} s", _dies_after(after, place.train(out, recipe))
        ended = forked(work, home, place.timeout)
        if ended.status not in (0, -signal.SIGKILL):
            found.note(outcome(ended), f"{told}: {ended.err[-300:]}")
            continue
        if ended.status != 0:
            begun = (out / "recipe.yaml").exists()
            again = command("train", "--resume", out, "--quiet") if begun else place.train(out, recipe)
            ended = forked(again, home, place.timeout)
        ending = outcome(ended, lambda out=out: _same(out, home / "whole"))
        # A run that was killed must go on: a refusal, however clear, is a loss.
        found.note("silent" if ending == "clean" else ending, f"{told}: {ended.err[-300:]}")
        shutil.rmtree(out, ignore_errors=True)
    return found


# ------------------------------------------------------------------------------------------------ damaged folders

FILES = ("recipe.yaml", "environment.json", "metrics.jsonl", "rollouts.jsonl", "result.json", "checkpoint")
DAMAGES = ("cut", "emptied", "garbage", "removed", "made a folder", "half a line inside", "lines twice", "unreadable")


def damage(file: Path, how: str, rng: random.Random) -> None:
    """Damages a file."""
    content = file.read_bytes()
    if how == "cut":
        file.write_bytes(content[: rng.randrange(1, max(2, len(content) - 1))])
    elif how == "emptied":
        file.write_bytes(b"")
    elif how == "garbage":
        file.write_bytes(rng.randbytes(len(content)))
    elif how == "half a line inside":
        lines = content.splitlines(keepends=True)
        which = rng.randrange(max(1, len(lines) - 1))
        lines[which] = lines[which][: len(lines[which]) // 2] + b"\n"
        file.write_bytes(b"".join(lines))
    elif how == "lines twice":
        file.write_bytes(content + content)
    elif how == "unreadable":
        file.unlink()
        file.symlink_to(file)
    else:
        file.unlink()
        if how == "made a folder":
            file.mkdir()


@kind
def folders(place: Place, count: int, rng: random.Random) -> Kind:
    """A run that was killed on its way is damaged; then it is resumed, compared, evaluated or looked at."""
    found, home = Kind("damaged folders"), place.folder / "folders"
    recipe = write_recipe(home / "mini.yaml", place.recipe())
    forked(place.train(home / "whole", recipe), home, place.timeout)
    forked(_dies_at("rename", 3, place.train(home / "killed", recipe)), home, place.timeout)
    assert list(open_run(home / "killed").checkpoints()) == [2, 4]
    for number in range(count):
        out, name, how = home / f"run-{number}", FILES[number % len(FILES)], rng.choice(DAMAGES)
        shutil.copytree(home / "killed", out)
        file = out / name
        if name == "checkpoint":
            file = rng.choice([one for one in sorted((out / "checkpoints" / "step-4").iterdir()) if one.is_file()])
        damage(file, how, rng)
        resumes = number % 3 < 2
        work = (
            command("train", "--resume", out, "--quiet")
            if resumes
            else rng.choice(
                [
                    command("compare", out, home / "whole"),
                    command("sample", out, "addition", "-n", "1"),
                    lambda out=out: _looked_at(out),
                ]
            )
        )
        before = {one: one.stat().st_size for one in out.glob("*.jsonl") if one.is_file()}
        ended = forked(work, home, place.timeout)
        told = "rollouts.jsonl" in ended.err  # samples that the damage has taken can't come back, but that is said
        ending = outcome(ended, lambda: not resumes or _same(out, home / "whole", samples=not told))  # noqa: B023
        if ending == "clean" and any(not one.exists() or one.stat().st_size < size for one, size in before.items()):
            ending = "silent"  # refused, and yet something of the log is gone
        found.note(ending, f"{file.name} {how}, {'resumed' if resumes else 'looked at'}: {ended.err[-300:]}")
        shutil.rmtree(out, ignore_errors=True)
    return found


def _looked_at(folder: Path) -> None:
    """What a notebook does with a run; a user's mistake is told as the command line tells it."""
    from labkit.errors import UserError

    try:
        run = open_run(folder)
        repr(run), run.environment, run.result, run.rollouts(), run.checkpoints()
    except UserError as error:
        print(f"labkit: {error}", file=sys.stderr)
        sys.exit(2)
