"""Trains in a process of its own and prints how far its memory rose, in bytes, next to the estimate.

Arguments: a model (a name or a folder), then settings as JSON.
"""

import ctypes
import gc
import json
import resource
import sys
import tempfile
from pathlib import Path

import torch

from labkit.doctor.estimates import estimate
from labkit.models import load_policy
from labkit.recipes import load_recipe
from labkit.training import train


def resident() -> int:
    """Bytes of this process that lie in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def forget_peak() -> None:
    """The peak is counted from here on."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """The most that has lain in memory since."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def main() -> None:
    model, settings = sys.argv[1], json.loads(sys.argv[2])
    recipe = load_recipe("r1-zero-tiny", **settings, model=model)
    # A small run loads what is loaded at the first use.
    folder = Path(tempfile.mkdtemp())
    small = {**settings, "steps": 1, "prompts": 2, "max_new_tokens": 4, "model": "tiny", "progress": False}
    train("r1-zero-tiny", out=folder / "small", **small)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed goes back to the system
    before = resident()
    forget_peak()
    policy = load_policy(model)
    run = train(recipe, out=folder / "run", model=policy, progress=False)
    measured = peak() - before
    assert torch.get_num_threads() == 1
    told = estimate(recipe).to_dict()
    print(json.dumps({"measured": measured, "estimate": told, "seconds": run.metrics[-1]["seconds"]}))


if __name__ == "__main__":
    main()
