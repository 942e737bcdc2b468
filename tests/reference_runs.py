"""Short runs of every trainer, as numbers: the same before and after a change that must not change behaviour.

    python tests/reference_runs.py record FILE.json     runs all settings (about two minutes on one core)
    python tests/reference_runs.py compare A.json B.json

Record with the old code and with the new code, on one machine, with OMP_NUM_THREADS=1; then compare. What depends on
the clock is left out. Equal means equal: every metric, every logged sample, every weight.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import labkit as lk

CLOCK = ("seconds", "elapsed", "tokens_per_second", "time_", "wall_seconds")
SMALL: dict[str, Any] = {
    "model": "micro",
    "progress": False,
    "device": "cpu",
    "steps": 3,
    "checkpoint_every": 3,
    "warmup": 0,
    "evaluation": {"problems": 4, "samples": 2, "max_new_tokens": 24},
}
DRAWN = SMALL | {
    "rollouts_logged": 4,
    "prompts": 6,
    "samples": 4,
    "max_new_tokens": 40,
    "minibatches": 2,
    "microbatch_tokens": 256,
}
ROWS = SMALL | {"data.batch": 8, "data.limit": 48, "data.test_limit": 16, "microbatch_tokens": 512}
KL = {"kl_coef": 0.05}

# name: recipe and changes
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "grpo": ("r1-zero-tiny", DRAWN),
    "grpo, two updates, k3": ("r1-zero-tiny", DRAWN | {"updates": 2, "algorithm_options": KL | {"kl_kind": "k3"}}),
    "dapo": ("r1-zero-tiny", DRAWN | {"algorithm": "dapo", "algorithm_options": {}}),
    "ppo with KL": ("r1-zero-tiny", DRAWN | {"algorithm": "ppo", "algorithm_options": KL}),
    "ppo, separate critic": (
        "r1-zero-tiny",
        DRAWN | {"algorithm": "ppo", "algorithm_options": {}, "critic": {"trunk": "separate"}},
    ),
    "remax": ("r1-zero-tiny", DRAWN | {"algorithm": "remax", "algorithm_options": {}}),
    "prime": ("prime-tiny", DRAWN),
    "cap and staleness": ("r1-zero-tiny", DRAWN | {"algorithm_options": {"importance_cap": 2.0}, "staleness": 2}),
    "rloo with KL controller": (
        "r1-zero-tiny",
        DRAWN | {"algorithm": "rloo", "algorithm_options": KL, "kl_control": {"target": 0.01, "horizon": 100}},
    ),
    "another verifier": ("leaky-countdown-tiny", DRAWN),
    "lora": ("r1-zero-tiny", DRAWN | {"lora": {"rank": 2}}),
    "assistant": ("rloo-assistant-tiny", DRAWN),
    "sft": ("sft-assistant-tiny", ROWS),
    "sft, worked": ("distill-sft-micro", ROWS | {"data.source": "countdown"}),
    "dpo": ("dpo-assistant-tiny", ROWS),
    "simpo": ("dpo-assistant-tiny", ROWS | {"algorithm": "simpo", "algorithm_options": {}}),
    "kto": ("dpo-assistant-tiny", ROWS | {"algorithm": "kto", "algorithm_options": {}}),
    "reward model": ("reward-model-assistant-tiny", {k: v for k, v in ROWS.items() if k != "evaluation"}),
    "outcome model": ("orm-countdown-tiny", {k: v for k, v in ROWS.items() if k != "evaluation"}),
    "process model": ("prm-countdown-tiny", {k: v for k, v in ROWS.items() if k != "evaluation"}),
    "distillation": ("distill-on-policy-micro", {k: v for k, v in DRAWN.items() if k != "microbatch_tokens"}),
}
# The pipeline, every stage cut short.
PIPELINE: dict[str, Any] = {
    "model": "micro",
    "progress": False,
    "device": "cpu",
    "cold-start.steps": 2,
    "cold-start.checkpoint_every": 2,
    "reasoning-rl.steps": 2,
    "reasoning-rl.sampling.prompts": 4,
    "reasoning-rl.sampling.max_new_tokens": 48,
    "rejection.harvest.prompts": 60,
    "rejection.harvest.readable": 0.0,
    "sft.steps": 3,
    "reward-model.steps": 3,
    "final-rl.steps": 2,
    "final-rl.sampling.prompts": 4,
    "final-rl.sampling.max_new_tokens": 48,
    "r1-zero.steps": 2,
    "r1-zero.sampling.prompts": 4,
    "r1-zero.sampling.max_new_tokens": 48,
    "sft-alone.steps": 2,
    "measure.problems": 4,
    "measure.requests": 4,
}


def timeless(value: Any) -> Any:
    """The same data without what the clock decides."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if not str(k).startswith(CLOCK)}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def numbers_of(folder: Path) -> dict[str, Any]:
    """Metrics, samples and result of a run folder as data, every other tensor file as a checksum."""
    found: dict[str, Any] = {}
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if file.suffix == ".safetensors":
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        elif file.suffix == ".jsonl":
            found[name] = timeless([json.loads(line) for line in file.read_text().splitlines()])
        elif file.name in ("result.json", "report.json", "evaluation.json"):
            found[name] = timeless(json.loads(file.read_text()))
    return found


def record() -> dict[str, Any]:
    """Every setting's numbers, by its name."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (recipe, changes)) in enumerate(SETTINGS.items()):
            print(name, file=sys.stderr)
            out = Path(folder) / str(number)
            torch.manual_seed(0)  # a checkpoint holds the state of torch's own generator too
            lk.train(recipe, out=out, **changes)
            found[name] = numbers_of(out)
        print("pipeline", file=sys.stderr)
        out = Path(folder) / "pipeline"
        torch.manual_seed(0)
        lk.train("r1-pipeline-tiny", out=out, **PIPELINE)
        found["pipeline"] = numbers_of(out)
    # Paths of the temporary folder are in no file that is read; names of folders below it are.
    return found


def differences(a: Any, b: Any, where: str = "") -> list[str]:
    """Where two recordings differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for key in sorted({*a, *b}) for d in differences(a.get(key), b.get(key), f"{where}/{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{where}[{i}]")]
    same = a == b or (a != a and b != b)  # NaN is the same as NaN
    return [] if same else [f"{where}: {str(a)[:80]} | {str(b)[:80]}"]


def compare(a: dict[str, Any], b: dict[str, Any]) -> int:
    """Prints a line per setting; returns how many differ."""
    different = 0
    for name in a:
        found = differences(a[name], b.get(name))
        different += bool(found)
        print(f"{name:28} {'identical' if not found else f'{len(found)} differences, first {found[0]}'}")
    return different


if __name__ == "__main__":
    if sys.argv[1:2] == ["record"] and len(sys.argv) == 3:
        Path(sys.argv[2]).write_text(json.dumps(record()))
    elif sys.argv[1:2] == ["compare"] and len(sys.argv) == 4:
        sys.exit(bool(compare(*(json.loads(Path(file).read_text()) for file in sys.argv[2:]))))
    else:
        sys.exit(__doc__)
