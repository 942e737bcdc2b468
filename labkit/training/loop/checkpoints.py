"""Checkpoints that a killed process can't spoil: written aside, sealed with checksums, then renamed."""

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from labkit.errors import RunError, UserError
from labkit.models import Policy, adapter_weights
from labkit.runs import Run

SEAL = "state.json"
ADAPTER = "adapter.safetensors"


class Stateful(Protocol):
    """What can be saved as named tensors: any module, a controller."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that it needs to go on, as tensors."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Any:
        """Takes over what `state_dict` returned."""
        ...


def save_checkpoint(
    run: Run,
    step: int,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    keep: int,
    parts: Mapping[str, Stateful] | None = None,
) -> Path:
    """Saves what the run needs to go on after `step` steps; drops all but the newest `keep` checkpoints.

    Prompts and random numbers of a step are functions of the recipe's seed and the step, so the step is the data
    cursor; torch's own generator is kept for models that use it. `parts` are saved as NAME.safetensors, where they have
    any state. Of a policy with LoRA adapters the model is saved merged, for whoever loads it, and the adapters beside
    it, to go on with.
    """
    folder = run.path / "checkpoints" / f"step-{step}"
    aside = folder.with_name(f".step-{step}.part")
    shutil.rmtree(aside, ignore_errors=True)
    policy.save(aside)
    adapters = adapter_weights(policy.model)
    if adapters:
        save_file(adapters, aside / ADAPTER)
    for name, part in (parts or {}).items():
        state = part.state_dict()
        if state:
            save_file(_own_memory(state), aside / f"{name}.safetensors")
    tensors = {
        f"{name}.{index}": value.contiguous()
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    save_file({**tensors, "rng": torch.get_rng_state()}, aside / "optimizer.safetensors")
    sums = {file.name: _checksum(file) for file in sorted(aside.iterdir())}
    (aside / SEAL).write_text(json.dumps({"step": step, "sha256": sums}, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    for old in list(run.checkpoints())[:-keep]:
        shutil.rmtree(run.checkpoints()[old])
    return folder


def restore_checkpoint(
    run: Run, policy: Policy, optimizer: torch.optim.Optimizer, parts: Mapping[str, Stateful] | None = None
) -> int:
    """Loads the newest sound checkpoint into policy, optimiser and parts; returns its step, or 0 without one.

    A damaged checkpoint is named on standard error and the one before it is used; if all are damaged: UserError.
    """
    damaged = []
    for step, folder in reversed(run.checkpoints().items()):
        problem = _problem(folder)
        if problem is None:
            _load(folder, policy, optimizer)
            for name, part in (parts or {}).items():
                file = folder / f"{name}.safetensors"
                if file.exists() or part.state_dict():  # one without any state has left no file
                    part.load_state_dict(load_file(file, device=str(policy.device)))
            return step
        damaged.append(f"{folder}: {problem}")
        print(f"labkit: damaged checkpoint passed over: {damaged[-1]}", file=sys.stderr)
    if damaged:
        raise RunError(f"all checkpoints of {run.path} are damaged; start the run anew (metrics and rollouts are kept)")
    return 0


def _problem(folder: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        sums = json.loads((folder / SEAL).read_text())["sha256"]
        for name, expected in sums.items():
            if _checksum(folder / name) != expected:
                return f"{name} is not what was written"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _load(folder: Path, policy: Policy, optimizer: torch.optim.Optimizer) -> None:
    # Adapters are what was trained; the weights beside them are merged, and those below them still stand.
    with_adapters = bool(adapter_weights(policy.model))
    file = folder / (ADAPTER if with_adapters else "model.safetensors")
    weights = load_file(file, device=str(policy.device))
    missing = policy.model.load_state_dict(weights, strict=False)
    # Tied weights are stored once; tying them again fills in the twin.
    policy.model.tie_weights()
    tied = set(getattr(policy.model, "_tied_weights_keys", None) or ())
    absent = set() if with_adapters else set(missing.missing_keys) - tied
    unknown = absent | set(missing.unexpected_keys)
    if unknown:
        raise UserError(f"checkpoint {folder} belongs to another model: {', '.join(sorted(unknown)[:3])}")
    tensors = load_file(folder / "optimizer.safetensors")
    torch.set_rng_state(tensors.pop("rng"))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        name, index = key.rsplit(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _own_memory(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share no memory with one another, as the file format wants them."""
    return {key: value.detach().clone().contiguous() for key, value in state.items()}


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
