"""Run folders: the recipe, the metrics, the samples and the results of a run, in files that anyone can read.

`recipe.yaml` (resolved), `environment.json`, `metrics.jsonl` (one line per step), `rollouts.jsonl` (samples with
scores), `checkpoints/step-N/`, `result.json`.
"""

import json
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml

from labkit.errors import UserError
from labkit.jsonl import finite
from labkit.models import Policy, load_policy
from labkit.paths import PACKAGE

VERSIONS_OF = ("labkit", "torch", "transformers", "numpy", "tokenizers", "safetensors")


class Run:
    """A run folder, for reading and (while the run lasts) for appending to."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        name, steps = self.recipe.get("name", "?"), len(self.metrics)
        return f"Run({str(self.path)!r}: recipe {name}, seed {self.recipe.get('seed')}, {steps} steps)"

    @property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe."""
        return yaml.safe_load((self.path / "recipe.yaml").read_text())

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, device and data fingerprint of the run."""
        return json.loads((self.path / "environment.json").read_text())

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One dict per step; the fields are documented in `labkit.plots.METRICS`."""
        return list(read_lines(self.path / "metrics.jsonl"))

    @property
    def result(self) -> dict[str, Any] | None:
        """The evaluations before and after; None before the run has written them."""
        file = self.path / "result.json"
        return json.loads(file.read_text()) if file.exists() else None

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
        lines = read_lines(self.path / "rollouts.jsonl")
        return [line for line in lines if step is None or line["step"] == step]

    def checkpoints(self) -> dict[int, Path]:
        """Checkpoint folders by step, ascending. Half-written ones have other names and do not count."""
        folders = {int(p.name.removeprefix("step-")): p for p in self.path.glob("checkpoints/step-*") if p.is_dir()}
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
        """Appends one step."""
        append_lines(self.path / "rollouts.jsonl", rollouts)
        append_lines(self.path / "metrics.jsonl", [metrics])

    def forget_from(self, step: int) -> None:
        """Removes the logged lines of `step` and later; a resumed run writes them again."""
        for name in ("metrics.jsonl", "rollouts.jsonl"):
            file = self.path / name
            if file.exists():
                write_aside(file, "".join(_line(x) for x in read_lines(file) if x["step"] < step))

    def write_result(self, result: dict[str, Any]) -> None:
        """Writes result.json, all or nothing."""
        write_aside(self.path / "result.json", json.dumps(finite(result), indent=1) + "\n")


def create_run(path: str | Path, recipe: dict[str, Any], environment: dict[str, Any]) -> Run:
    """A new run folder. Raises UserError for a folder that already has steps, and for one that can't be written."""
    run = Run(path)
    if (run.path / "metrics.jsonl").exists():
        raise UserError(f"{run.path} already holds a run: continue it with --resume {run.path}, or name another --out")
    try:
        (run.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_aside(run.path / "recipe.yaml", yaml.safe_dump(recipe, sort_keys=False))
        write_aside(run.path / "environment.json", json.dumps(environment, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"cannot write the run folder {run.path}: {error.strerror}; name another with --out") from None
    return run


def open_run(path: str | Path) -> Run:
    """An existing run folder, or a recorded run of the checkout by its name. Raises UserError where there is none."""
    for folder in (Path(path), PACKAGE.parent / "data" / "runs" / str(path)):
        if (folder / "recipe.yaml").is_file():
            return Run(folder)
    raise UserError(f"no run in {path}: a run folder has a recipe.yaml (recorded runs come with a checkout)")


def environment(device: torch.device, **extra: Any) -> dict[str, Any]:
    """Versions, device, threads, commit and command: what a reader needs to assess or repeat a run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "versions": {package: _version(package) for package in VERSIONS_OF},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": name,
        "threads": torch.get_num_threads(),
        "commit": _commit(),
        "command": " ".join(["labkit", *sys.argv[1:]]) if Path(sys.argv[0]).stem == "labkit" else "labkit.train",
        **extra,
    }


def processor() -> str:
    """The name of the processor, if the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def read_lines(file: Path) -> Iterable[dict[str, Any]]:
    """The JSON lines of a file; a last line that a killed run left half-written is skipped; others raise UserError."""
    if not file.exists():
        return
    lines = file.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            if number < len(lines):
                raise UserError(f"{file}, line {number} is not JSON: the file is damaged") from None


def append_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    """Appends rows as JSON lines in one write."""
    with file.open("a") as handle:
        handle.write("".join(_line(row) for row in rows))


def write_aside(file: Path, text: str) -> None:
    """Writes a whole file under another name and renames it, so that no reader ever sees half of it."""
    aside = file.with_name(f".{file.name}.part")
    aside.write_text(text)
    aside.replace(file)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(finite(row)) + "\n"


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
