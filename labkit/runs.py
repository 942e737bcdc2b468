"""Run folders: the recipe, the metrics, the samples and the results of a run, in files that anyone can read.

`recipe.yaml` (resolved), `environment.json`, `metrics.jsonl` (one line per step), `rollouts.jsonl` (samples with
scores), `checkpoints/step-N/`, `result.json`.
"""

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml

from labkit.device import attention_backends
from labkit.errors import UserError, say_once
from labkit.jsonl import finite
from labkit.models import Policy, load_policy
from labkit.paths import PACKAGE, user_path
from labkit.printable import printable
from labkit.storage import (
    RECORDED,
    append_lines,
    json_line,
    read_json,
    read_lines,
    read_yaml,
    refuse_recorded,
    sync,
    write_aside,
    writing,
)

__all__ = ["Run", "append_lines", "create_run", "environment", "open_run", "processor", "read_lines", "write_aside"]

METRICS, ROLLOUTS, RESULT = "metrics.jsonl", "rollouts.jsonl", "result.json"
# What a run that was killed before its first step leaves behind; a new run in its folder begins without them.
LEFTOVERS = (METRICS, ROLLOUTS, RESULT, "data.jsonl", "reference_logprobs.safetensors")
VERSIONS_OF = ("labkit", "torch", "transformers", "numpy", "tokenizers", "safetensors")


class Run:
    """A run folder, for reading and (while the run lasts) for appending to."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        name, steps = self.recipe.get("name", "?"), len(self.metrics)
        told = f"Run({str(self.path)!r}: recipe {name}, seed {self.recipe.get('seed')}, {steps} steps)"
        return printable(told)

    @property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe. Raises UserError where it is missing or damaged, as all that is read here does."""
        return read_yaml(self.path / "recipe.yaml")

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, device and data fingerprint of the run."""
        return read_json(self.path / "environment.json")

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One dict per step; the fields are documented in `labkit.plots.METRICS`."""
        return list(read_lines(self.path / METRICS, "step"))

    @property
    def result(self) -> dict[str, Any] | None:
        """The evaluations before and after; None before the run has written them."""
        file = self.path / RESULT
        return read_json(file) if file.exists() else None

    @property
    def finished(self) -> bool:
        """Whether the run took all its steps and was measured after them: False where it was stopped on its way."""
        return (self.result or {}).get("status") == "finished"

    def or_recorded(self, name: str) -> "Run":
        """This run, where it was measured before and after its training; else the run `name`, which is said in a line.

        For what can only be shown of a measured run, in a notebook in which a reader may have stopped the training.
        """
        result = self.result or {}
        if result.get("before") and result.get("after"):
            return self
        print(f"Your run was stopped before it was measured: what follows shows the recorded run {name} instead.")
        return open_run(name)

    def rollouts(self, step: int | None = None) -> list[dict[str, Any]]:
        """The logged rollouts, of one step or of all."""
        lines = read_lines(self.path / ROLLOUTS, "step")
        return [line for line in lines if step is None or line["step"] == step]

    def checkpoints(self) -> dict[int, Path]:
        """Checkpoint folders by step, ascending. Half-written ones have other names and do not count."""
        folders = {}
        for path in self.path.glob("checkpoints/step-*"):
            step = path.name.removeprefix("step-")
            if step.isascii() and step.isdigit() and path.is_dir():
                folders[int(step)] = path
            else:
                say_once(f"{path} is no checkpoint (step-NUMBER, a folder): it is passed over")
        return dict(sorted(folders.items()))

    def policy(self, step: int | None = None, device: str | None = None) -> Policy:
        """The policy of a checkpoint, by default of the newest. Raises UserError where this checkpoint is not kept."""
        kept = self.checkpoints()
        if not kept:
            raise UserError(f"run {self.path} has no checkpoints")
        step = max(kept) if step is None else step
        if step not in kept:
            raise UserError(f"run {self.path} has no checkpoint of step {step}; it has {', '.join(map(str, kept))}")
        policy = load_policy(kept[step], device=device)
        policy.name = f"{self.recipe['name']}@{step}"
        return policy

    def log(self, metrics: dict[str, Any], rollouts: list[dict[str, Any]]) -> None:
        """Appends one step. Raises RunFolderError where that can't be written."""
        with writing(self.path):
            append_lines(self.path / ROLLOUTS, rollouts)
            append_lines(self.path / METRICS, [metrics])

    def sync(self) -> None:
        """Brings what was logged to the disk: before a checkpoint says that so many steps are done."""
        for name in (ROLLOUTS, METRICS):
            if (self.path / name).exists():
                sync(self.path / name)

    def forget_from(self, step: int) -> None:
        """Removes the logged lines of `step` and later; a resumed run writes them again.

        Raises UserError, and removes nothing, where a line is damaged or steps before `step` are missing.
        """
        needed = {METRICS: ("step", "elapsed", "tokens"), ROLLOUTS: ("step",)}
        kept = {name: list(read_lines(self.path / name, *keys)) for name, keys in needed.items()}
        logged = [line["step"] for line in kept[METRICS] if line["step"] < step]
        if logged != list(range(step)):
            raise UserError(
                f"{self.path / METRICS} does not hold the steps 0 to {step - 1}, once each and in order, that its "
                f"checkpoint of step {step} was saved after: the file was cut, or two processes wrote it. The "
                "checkpoint itself can be used (`labkit eval`, `--set model=`); start a new run to train"
            )
        samples = [line["step"] for line in kept[ROLLOUTS]]
        if samples != sorted(samples):
            raise UserError(
                f"{self.path / ROLLOUTS} is out of order: two processes wrote it, or it was copied into itself"
            )
        if self.recipe.get("rollouts_logged") and set(range(step)) - set(samples):
            say_once(
                f"{self.path / ROLLOUTS} lacks samples of some of the steps 0 to {step - 1}: it goes on without them"
            )
        for name, lines in kept.items():
            if (self.path / name).exists():
                with writing(self.path):
                    write_aside(self.path / name, "".join(json_line(x) for x in lines if x["step"] < step))

    def set_steps(self, steps: int) -> None:
        """Notes in recipe.yaml after how many steps the run ends. Raises RunFolderError as `write_result`."""
        if (recipe := self.recipe).get("steps") != steps:
            with writing(self.path):
                write_aside(self.path / "recipe.yaml", as_yaml({**recipe, "steps": steps}))

    def write_result(self, result: dict[str, Any]) -> None:
        """Writes result.json, all or nothing. Raises RunFolderError where it can't be written."""
        with writing(self.path):
            write_aside(self.path / RESULT, json.dumps(finite(result), indent=1) + "\n")


def as_yaml(settings: dict[str, Any]) -> str:
    """Settings as the text of a recipe file, in their own order."""
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def new_folder(path: Path) -> Path:
    """The folder, made where it is not there. Raises UserError for a recorded run and for one that can't be made."""
    refuse_recorded(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the run folder {path}: {error.strerror}; name another with --out") from None
    return path


def create_run(path: str | Path, recipe: dict[str, Any], environment: dict[str, Any]) -> Run:
    """A new run folder; what a run left there that was killed before its first step is removed.

    Raises UserError for a folder that already has steps, for a recorded run, and for one that can't be written.
    """
    run = Run(new_folder(user_path(path)))
    if has_run(run):
        raise UserError(f"{run.path} already holds a run: continue it with --resume {run.path}, or name another --out")
    try:
        (run.path / "checkpoints").mkdir(exist_ok=True)
        for name in LEFTOVERS:
            (run.path / name).unlink(missing_ok=True)
        for part in run.path.glob(".*.part"):
            part.unlink(missing_ok=True)
        write_aside(run.path / "recipe.yaml", as_yaml(recipe))
        write_aside(run.path / "environment.json", json.dumps(environment, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"cannot write the run folder {run.path}: {error.strerror}; name another with --out") from None
    return run


def has_run(run: Run) -> bool:
    """Whether a folder holds something of a run that took a step, or that ended: what must not be written over."""
    try:
        metrics = run.path / METRICS
        if metrics.exists() and metrics.stat().st_size > 0:
            return True
        return bool(run.checkpoints()) or (run.result or {}).get("status", "running") != "running"
    except (UserError, OSError, ValueError):  # damaged, and so something
        return (run.path / RESULT).exists()


def open_run(path: str | Path) -> Run:
    """An existing run folder, or a recorded run of the checkout by its name. Raises UserError where there is none."""
    for folder in (user_path(path), RECORDED / str(path)):
        if os.path.isfile(folder / "recipe.yaml"):  # unlike Path.is_file it also answers for a name that is too long
            return Run(folder)
    raise UserError(f"no run in {path}: a run folder has a recipe.yaml (recorded runs come with a checkout)")


def environment(device: torch.device, **extra: Any) -> dict[str, Any]:
    """Versions, device, its attention, threads, commit, command: what a reader needs to assess or repeat a run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "versions": {package: _version(package) for package in VERSIONS_OF},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": name,
        "attention": attention_backends(device),
        "threads": torch.get_num_threads(),
        "commit": _commit(),
        "command": " ".join(["labkit", *sys.argv[1:]]) if Path(sys.argv[0]).stem == "labkit" else "labkit.train",
        **extra,
    }


def processor() -> str:
    """The name of the processor, if the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str | None:
    command = ["git", "-C", str(PACKAGE), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
