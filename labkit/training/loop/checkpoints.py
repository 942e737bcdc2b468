"""Checkpoints that stay intact even if the process is killed.

Each is written under another name, sealed with checksums, and then renamed.
"""

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
from labkit.storage import follow_umask, sync, writing

SEAL = "state.json"
ADAPTER = "adapter.safetensors"


class Stateful(Protocol):
    """An object that can be saved as named tensors, such as a module or a controller."""

    def state_dict(self) -> dict[str, Any]:
        """The whole state, as named tensors."""
        ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> Any:
        """Loads a state that `state_dict` returned."""
        ...


def save_checkpoint(
    run: Run,
    step: int,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    keep: int,
    parts: Mapping[str, Stateful] | None = None,
) -> Path:
    """Saves the state of the run after `step` steps, and returns the folder. Only the newest `keep` checkpoints stay.

    The prompts and random numbers of a step depend only on the recipe's seed and on the step's number. So this number
    is all that a resumed run needs to go on with the right data. The state of torch's own generator is saved too, for
    models that use it. Each of `parts` that has a state is saved as NAME.safetensors. A policy with LoRA adapters is
    saved twice: merged, as a plain model that can be loaded, and as adapters alone, which a resumed run needs.
    """
    folder = run.path / "checkpoints" / f"step-{step}"
    if folder.exists() and _problem(folder) is None:  # it is saved and intact: do not risk it by writing it again
        return folder
    with writing(run.path):
        return _save(run, step, folder, policy, optimizer, keep, parts or {})


def _save(
    run: Run,
    step: int,
    folder: Path,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    keep: int,
    parts: Mapping[str, Stateful],
) -> Path:
    aside = folder.with_name(f".step-{step}.part")
    for left in folder.parent.glob(".step-*.part"):  # left by a process that was killed while it wrote
        shutil.rmtree(left, ignore_errors=True)
    policy.save(aside)
    adapters = adapter_weights(policy.model)
    if adapters:
        save_file(adapters, aside / ADAPTER)
    for name, part in parts.items():
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
    (aside / SEAL).write_text(json.dumps({"step": step, "sha256": sums}, indent=1), encoding="utf-8")
    follow_umask(aside)
    for file in aside.iterdir():
        sync(file)
    run.sync()
    sync(aside)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    sync(folder.parent)
    for old in list(run.checkpoints().values())[:-keep]:
        gone = old.with_name(f".{old.name}.part")  # a kill must not leave half a checkpoint under its own name
        old.rename(gone)
        shutil.rmtree(gone)
    return folder


def restore_checkpoint(
    run: Run, policy: Policy, optimizer: torch.optim.Optimizer, parts: Mapping[str, Stateful] | None = None
) -> int:
    """Loads the newest intact checkpoint into policy, optimiser and parts. Returns its step, or 0 without a checkpoint.

    If a checkpoint is damaged, a line on standard error names it, and the one before it is tried. Raises RunError if
    all are damaged, and UserError if a checkpoint belongs to another model.
    """
    damaged = []
    for step, folder in reversed(run.checkpoints().items()):
        problem = _problem(folder)
        if problem is None:
            _load(folder, policy, optimizer)
            for name, part in (parts or {}).items():
                file = folder / f"{name}.safetensors"
                if file.exists() or part.state_dict():  # a part without any state was not saved
                    part.load_state_dict(load_file(file, device=str(policy.device)))
            return step
        damaged.append(f"{folder}: {problem}")
        print(f"labkit: damaged checkpoint passed over: {damaged[-1]}", file=sys.stderr)
    if damaged:
        raise RunError(f"all checkpoints of {run.path} are damaged; start the run anew (metrics and rollouts are kept)")
    return 0


def _problem(folder: Path) -> str | None:
    """The fault of a checkpoint in words; None if it is intact."""
    try:
        seal = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        if folder.name != f"step-{seal['step']}":
            return f"it was saved as step-{seal['step']}"
        for name, expected in seal["sha256"].items():
            if _checksum(folder / name) != expected:
                return f"{name} is not what was written"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _load(folder: Path, policy: Policy, optimizer: torch.optim.Optimizer) -> None:
    # With LoRA only the adapters were trained: the other weights are still those of the base model.
    with_adapters = bool(adapter_weights(policy.model))
    file = folder / (ADAPTER if with_adapters else "model.safetensors")
    weights = load_file(file, device=str(policy.device))
    missing = policy.model.load_state_dict(weights, strict=False)
    # Tied weights are stored once; tying them again fills in the other name.
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
    """Copies of the tensors: safetensors refuses tensors that share memory."""
    return {key: value.detach().clone().contiguous() for key, value in state.items()}


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
