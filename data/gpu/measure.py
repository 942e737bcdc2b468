"""Everything that wants a GPU, part by part: saved after each part, resumable, in order of value.

    python data/gpu/measure.py --list                          # the parts, and how long each should take
    python data/gpu/measure.py --out DIR --minutes 10          # as many as fit; the same line again goes on
    python data/gpu/measure.py --out DIR --parts train step    # these alone; --parts recipes: all recipes
    python data/gpu/measure.py --out DIR --smoke               # a rehearsal on a CPU, with a small stand-in

`DIR/parts/NAME.json` holds what a part gave, with device, versions, command, seconds and the peak of the
GPU's memory; `DIR/runs/` the run folders of the recipes. A part that is done is passed over; one that failed, or lacked
its data, says why and is tried again by the next call. Expected times of recipes: `budget.py`, pessimistic.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from budget import budgets

import labkit as lk
from labkit.bench import LADDER, format_table, run_bench
from labkit.doctor.estimates import estimate
from labkit.errors import UserError
from labkit.models import load_policy
from labkit.recipes import load_recipe
from labkit.runs import environment

ROOT = Path(__file__).parents[2]
MODEL = "smollm2-135m"
SEEDS = (0, 1, 2)
# Recipes in order of value, and where a run takes its models from: an earlier run of the same seed. (A pipeline is no
# part: it is a command of its own and goes on by itself, `labkit train r1-pipeline-smollm2`.)
SFT, JUDGE = "sft-assistant-smollm2", "reward-model-assistant-smollm2"
RECIPES: dict[str, dict[str, str]] = {
    "rlvr-chain-sum-smollm2": {},
    "sft-countdown-smollm2": {},
    "r1-zero-countdown-smollm2": {"model": "sft-countdown-smollm2"},
    SFT: {},
    JUDGE: {},
    "rloo-assistant-smollm2": {"model": SFT, "reward_model": JUDGE},
    "sft-gsm8k-smollm2": {},
    "rlvr-gsm8k-smollm2": {"model": "sft-gsm8k-smollm2"},
    "rlvr-word-problems-smollm2": {},
    "prime-word-problems-smollm2": {},
    "ppo-assistant-smollm2": {"model": SFT, "reward_model": JUDGE},
    "dpo-assistant-smollm2": {"model": SFT},
    "rlvr-gsm8k-qwen2.5-0.5b": {},
    "rlvr-math-qwen3-0.6b-base": {},
    "rlvr-gsm8k-qwen3-0.6b-base": {},
    "r1-zero-countdown-qwen2.5-0.5b": {},
    "distill-gsm8k-qwen2.5-0.5b": {},
}
# A rehearsal's sizes: everything is run, nothing is learned.
SMOKE_RUN = {"evaluation.problems": 2, "evaluation.samples": 2, "evaluation.max_new_tokens": 4}
SMOKE_ONLINE = {"sampling.prompts": 2, "sampling.samples": 2, "sampling.max_new_tokens": 6}
SMOKE_ROWS = {"data.limit": 12, "data.test_limit": 4, "data.batch": 4}
SMOKE_BENCH = {"prompts": 2, "samples": 2, "max_new_tokens": 4, "repeats": 1}


@dataclass(frozen=True)
class Setting:
    """What holds for all parts."""

    out: Path
    model: str
    smoke: bool
    steps: int

    @property
    def device(self) -> torch.device:
        """Where everything runs: a rehearsal stays on the CPU."""
        return torch.device("cpu" if self.smoke or not torch.cuda.is_available() else "cuda")


@dataclass(frozen=True)
class Part:
    """One thing to measure: `run(setting)` returns plain data for its file."""

    name: str
    seconds: float
    run: Callable[[Setting], Any]


# ------------------------------------------------------------------------------------------------------- the parts


def gpu_tests(setting: Setting) -> dict[str, Any]:
    """The tests that need a CUDA device (without one they skip)."""
    where = ["tests/training/test_gpu.py"] if setting.smoke else ["tests"]
    command = [sys.executable, "-m", "pytest", *where, "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"tests failed:\n{done.stdout[-4000:]}")
    return {"command": " ".join(command[1:]), "said": done.stdout.strip().splitlines()[-1]}


def bench(what: str, peers: list[str], **options: Any) -> Callable[[Setting], Any]:
    """A benchmark of the model; `options` as `run_bench` takes them."""

    def run(setting: Setting) -> list[dict[str, Any]]:
        given = dict(options)
        if setting.smoke:
            given |= SMOKE_BENCH | ({"batches": [1, 4]} if "batches" in given else {})
            given |= {"prompt_tokens": 64} if given.get("workload") == "fixed" else {}
        policy = load_policy(setting.model, device=setting.device)
        rows = run_bench(what, peers, policy, device=str(setting.device), **given)
        print(format_table(rows), flush=True)
        return rows

    return run


def recipe(name: str, seed: int, sources: dict[str, str]) -> Callable[[Setting], Any]:
    """A recipe with a seed, in a run folder of its own; one that was broken off goes on."""

    def run(setting: Setting) -> dict[str, Any]:
        folder = setting.out / "runs" / f"{name}-seed{seed}"
        given: dict[str, Any] = {key: source(setting, other, seed) for key, other in sources.items()}
        changes: dict[str, Any] = {"seed": seed}
        if setting.smoke:
            settings = load_recipe(name)
            changes |= {"steps": setting.steps, **(SMOKE_ONLINE if settings.online else SMOKE_ROWS)}
            changes |= {} if settings.trainer == "reward_model" else SMOKE_RUN
            given.setdefault("model", setting.model)
            changes |= {"teacher": setting.model} if settings.teacher else {}
        device, peak = str(setting.device), Peak(setting.device)
        if (folder / "recipe.yaml").exists():
            found = lk.train(resume=folder, device=device, progress=False, observer=peak)
        else:
            found = lk.train(name, out=folder, device=device, progress=False, observer=peak, **given, **changes)
        result, metrics = found.result, found.metrics
        return {
            "folder": f"runs/{folder.name}",
            "status": result["status"],
            "before": short(result.get("before")),
            "after": short(result.get("after")),
            "training_seconds": result["seconds"],
            "tokens_per_second": result["tokens_per_second"],
            "training_peak_bytes": peak.bytes,
            "estimated": estimated(folder, device),
            "last": {key: metrics[-1][key] for key in ("mismatch_mean", "mismatch_max", "ess") if key in metrics[-1]},
        }

    return run


class Peak:
    """Watches a run: the peak of the GPU's memory in its training steps, the evaluations around them left out."""

    stopped = False

    def __init__(self, device: torch.device) -> None:
        self.device, self.bytes = device, None

    def update(self, metrics: dict[str, Any], rollouts: list[dict[str, Any]]) -> None:
        """After the first step the count begins anew; the steps from then on are what is told."""
        if self.device.type == "cuda":
            if metrics["step"] > 0:
                self.bytes = torch.cuda.max_memory_allocated(self.device)
            else:
                torch.cuda.reset_peak_memory_stats(self.device)


def estimated(folder: Path, device: str) -> dict[str, Any]:
    """What `labkit doctor --recipe` says of a run's settings: its peak of memory, its seconds; or why nothing."""
    try:
        told = estimate(load_recipe(folder / "recipe.yaml"), device).to_dict()
    except UserError as error:
        return {"bytes": None, "seconds": {}, "why": str(error)}
    return {"bytes": told["peak_bytes"], "seconds": told["seconds"]}


def source(setting: Setting, name: str, seed: int) -> str:
    """The folder of the run that another one begins with. Raises UserError where it is not finished."""
    if not part_file(setting.out, f"{name}-seed{seed}").exists():
        raise UserError(f"{name}-seed{seed} comes first")
    return str(setting.out / "runs" / f"{name}-seed{seed}")


def short(report: dict[str, Any] | None) -> dict[str, Any] | None:
    """What of an evaluation is worth a line."""
    if report is None:
        return None
    return {key: report[key] for key in ("pass_at_k", "interval", "mean_length", "truncated")}


def all_parts(seeds: tuple[int, ...]) -> list[Part]:
    """The parts in order: what tells most comes first, then the recipes with the first seed, then the other seeds."""
    ladder = {"workload": "fixed", "batches": list(LADDER), "repeats": 2}
    words = {"task": "word_problems", "max_new_tokens": 256, "repeats": 3}
    few = ladder | {"batches": [64, 1024]}
    parts = [
        Part("tests", 90, gpu_tests),
        Part("rollout", 240, bench("rollout", ["transformers"], **ladder)),
        Part("train", 60, bench("train", ["transformers"], batches=[64, 512], **words)),
        Part("step", 150, bench("step", ["trl"], prompts=16, **words)),
        Part("rollout-continuous", 120, bench("rollout", ["transformers-continuous"], **few)),
    ]
    expected = budgets()
    for seed in seeds:
        parts += [Part(f"{name}-seed{seed}", expected[name], recipe(name, seed, of)) for name, of in RECIPES.items()]
    parts += [
        Part("step-microbatch", 120, bench("step", ["trl-microbatch"], prompts=16, **words)),
        Part("rollout-static", 300, bench("rollout", ["transformers-static"], **few)),
        Part("rollout-task", 90, bench("rollout", ["transformers"], **words | {"prompts": 32})),
    ]
    return parts


# ------------------------------------------------------------------------------------------------- running and saving


def part_file(out: Path, name: str) -> Path:
    """Where a part's result lies."""
    return out / "parts" / f"{name}.json"


def measure(part: Part, setting: Setting) -> str:
    """Runs a part and saves what it gave, or why it gave nothing; returns "done", "skipped" or "failed"."""
    on_gpu = setting.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    started, status, result = time.time(), "done", None
    try:
        result = part.run(setting)
    except UserError as error:  # data or a model that is not at hand
        status, result = "skipped", str(error)
    except Exception:  # whatever it was, the other parts still count
        status, result = "failed", traceback.format_exc()
    record = {
        "part": part.name,
        "status": status,
        "seconds": round(time.time() - started, 1),
        "expected_seconds": round(part.seconds),
        "smoke": setting.smoke,
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if on_gpu else None,
        **environment(setting.device),
        "command": " ".join(["python", *sys.argv]),
        "result": result,
    }
    name = part.name if status == "done" else f"{part.name}.{status}"
    file = part_file(setting.out, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".part")
    aside.write_text(json.dumps(record, indent=1, default=str) + "\n")
    aside.rename(file)
    if status == "done":  # an earlier call's failure is mended
        for old in ("skipped", "failed"):
            part_file(setting.out, f"{part.name}.{old}").unlink(missing_ok=True)
    gc.collect()
    if on_gpu:
        torch.cuda.empty_cache()
    told = "" if status == "done" else ": " + str(result).strip().splitlines()[-1]
    print(f"-- {part.name}: {status}, {record['seconds']:.0f} s (expected {part.seconds:.0f} s){told}", flush=True)
    return status


def chosen(parts: list[Part], wanted: list[str] | None) -> list[Part]:
    """The parts of these names; `recipes` means all of them, a recipe's name all of its seeds."""
    if wanted is None:
        return parts
    found = []
    for part in parts:
        stem = part.name.rpartition("-seed")[0]
        if part.name in wanted or (stem and (stem in wanted or "recipes" in wanted)):
            found.append(part)
    unknown = set(wanted) - {p.name for p in parts} - set(RECIPES) - {"recipes"}
    if unknown:
        raise SystemExit(f"no part {', '.join(sorted(unknown))}; --list shows them")
    return found


def stand_in(out: Path) -> str:
    """The folder of a small model of SmolLM2's architecture with random weights."""
    sys.path.insert(0, str(ROOT / "tests"))
    from smollm2_like import small_smollm2

    folder = out / "stand-in"
    if not folder.exists():
        small_smollm2().save(folder)
    return str(folder)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns 1 where a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where results go; the same folder again goes on with it")
    parser.add_argument("--parts", nargs="+", metavar="PART", help="these alone (--list); `recipes`: all recipes")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)), help="of the recipes, with commas")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing that should not fit")
    parser.add_argument("--smoke", action="store_true", help="a rehearsal: tiny sizes, a stand-in, the CPU")
    parser.add_argument("--model", help="instead of SmolLM2, or of the rehearsal's stand-in")
    parser.add_argument("--steps", type=int, default=2, help="steps of a recipe in a rehearsal")
    parser.add_argument("--list", action="store_true", help="the parts and their expected minutes, and nothing else")
    told = parser.parse_args(arguments)
    parts = chosen(all_parts(tuple(map(int, told.seeds.split(",")))), told.parts)
    if told.list:
        for part in parts:
            print(f"{part.name:40s} {part.seconds / 60:5.1f} min")
        return 0
    if told.out is None:
        parser.error("--out is needed")
    told.out.mkdir(parents=True, exist_ok=True)
    model = told.model or (stand_in(told.out) if told.smoke else MODEL)
    setting = Setting(told.out, model, told.smoke, told.steps)
    ends, failed = time.time() + 60 * told.minutes, False
    for part in parts:
        if part_file(told.out, part.name).exists():
            print(f"-- {part.name}: done before", flush=True)
        elif time.time() + part.seconds > ends:
            print(f"-- {part.name}: no time left for it ({part.seconds:.0f} s expected)", flush=True)
        else:
            failed |= measure(part, setting) == "failed"
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
