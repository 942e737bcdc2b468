"""What wants a GPU, as parts: each yields its rows one by one, as they are measured. `measure.py` runs them."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
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
TEST_SECONDS = 60
OUTCOME = re.compile(r"(\S+::.+?) (PASSED|FAILED|SKIPPED|ERROR)\b")  # a line of pytest -v
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


Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """One thing to measure: `run(setting)` yields rows of plain data. `seconds`: how long it should take."""

    name: str
    seconds: float
    run: Callable[[Setting], Rows]

    @property
    def limit(self) -> float:
        """The seconds after which it is ended: it hangs, or was estimated wrongly."""
        return 1.5 * self.seconds + 60


# ------------------------------------------------------------------------------------------------------- the parts


def gpu_tests(setting: Setting) -> Rows:
    """The tests that need a CUDA device (without one they skip), a row for each; none may take more than a minute."""
    where = ["tests/training/test_gpu.py"] if setting.smoke else ["tests"]
    command = [sys.executable, "-m", "pytest", *where, "-m", "gpu", "-v", "-p", "no:cacheprovider"]
    command += ["--timeout", str(TEST_SECONDS)] if find_spec("pytest_timeout") else []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        last = ""
        for line in running.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
            if found := OUTCOME.match(line):
                yield {"test": found[1], "outcome": found[2].lower()}
    if running.returncode != 0:
        raise RuntimeError(f"tests failed: {last}")
    yield {"command": " ".join(command[1:]), "said": last}


def bench(what: str, peers: list[str], batches: list[int] | None = None, **options: Any) -> Callable[[Setting], Rows]:
    """A benchmark of the model, a batch size at a time; `options` as `run_bench` takes them."""

    def run(setting: Setting) -> Rows:
        given = dict(options)
        if setting.smoke:
            given |= SMOKE_BENCH
            given |= {"prompt_tokens": 64} if given.get("workload") == "fixed" else {}
        policy = load_policy(setting.model, device=setting.device)
        for batch in [None] if batches is None else [1, 4] if setting.smoke else batches:
            size = {} if batch is None else {"batches": [batch]}
            rows = run_bench(what, peers, policy, device=str(setting.device), **given, **size)
            print(format_table(rows), flush=True)
            yield from rows

    return run


def recipe(name: str, seed: int, sources: dict[str, str]) -> Callable[[Setting], Rows]:
    """A recipe with a seed, in a run folder of its own; one that was broken off goes on."""

    def run(setting: Setting) -> Rows:
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
        yield {
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


def part_file(out: Path, name: str, ending: str = ".json") -> Path:
    """Where a part's result lies, and, ending in .jsonl, its rows as they were measured."""
    return out / "parts" / f"{name}{ending}"


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
