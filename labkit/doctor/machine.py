"""Is everything at hand? Versions, device, machine, models, optional packages, known traps, a smoke test.

Each finding says what is there; for what is missing, its `fix` says how to fix that: a command to type.
"""

import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from labkit.doctor.packages import Finding, Status, packages, versions
from labkit.errors import UserError
from labkit.models import load_policy
from labkit.models.at_hand import models_at_hand
from labkit.paths import PACKAGE
from labkit.recipes import list_recipes
from labkit.runs import processor
from labkit.sampling import sample
from labkit.system import cores as usable_cores
from labkit.tasks import TASKS, availability, load_task
from labkit.verifiers.code.sandbox import isolation

GIB = 2**30


@dataclass(frozen=True)
class Diagnosis:
    """All findings. `ok`: nothing that the lab needs is missing. `smoke`: the smoke test's numbers."""

    findings: list[Finding]
    versions: dict[str, str]
    smoke: dict[str, float] | None

    @property
    def ok(self) -> bool:
        """Whether what is needed is there."""
        return all(finding.status != "missing" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis as plain data, for JSON."""
        findings = [asdict(finding) for finding in self.findings]
        return {"ok": self.ok, "versions": self.versions, "smoke": self.smoke, "findings": findings}


def examine() -> Diagnosis:
    """Looks at everything; never raises for what it finds."""
    cores, threads = usable_cores(), torch.get_num_threads()
    speed, smoke = smoke_test()
    findings = [
        *packages(),
        *devices(),
        *machine(cores, threads),
        sandboxing(),
        *models_and_data(),
        *traps(cores, threads, os.environ, Path(sys.prefix), _load()),
        *speed,
    ]
    return Diagnosis(findings, versions(), smoke)


def devices() -> list[Finding]:
    """The accelerators that torch can use, and whether one is there that it can't."""
    if torch.cuda.is_available():
        found = []
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            told = f"{torch.cuda.get_device_name(index)}, {free / GIB:.0f} of {total / GIB:.0f} GiB free"
            found.append(Finding("device", f"cuda:{index}", "ok", f"{told}, CUDA {torch.version.cuda}"))
        return found
    if shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        told = f"an NVIDIA driver is there, but torch {torch.__version__} sees no GPU"
        fix = "install the build of torch for your driver's CUDA version (`nvidia-smi` shows it)"
        return [Finding("device", "cuda", "warning", told, fix)]
    return [Finding("device", "cpu", "ok", f"{processor()} (no GPU is needed for the notebooks)")]


def machine(cores: int, threads: int) -> list[Finding]:
    """Cores, memory, disk, and whether runs can be written here."""
    found = [Finding("machine", "cores", "ok", f"{cores} usable, torch uses {threads} threads")]
    memory = memory_gib()
    if memory is not None:
        total, free = memory
        enough = free >= 2
        fix = None if enough else "close other programs, or end other kernels (Jupyter: Kernel, Shut Down All Kernels)"
        told = f"{free:.1f} of {total:.1f} GiB free"
        found.append(Finding("machine", "memory", "ok" if enough else "warning", told, fix))
    free_disk = shutil.disk_usage(".").free / GIB
    fix = None if free_disk >= 1 else "free some: a run of the tiny model takes about 50 MB (checkpoints: 10 MB each)"
    status: Status = "ok" if free_disk >= 1 else "warning"
    found.append(Finding("machine", "disk", status, f"{free_disk:.1f} GiB free here", fix))
    if not os.access(".", os.W_OK):
        told = "this folder is read-only, and runs are written to runs/ in it"
        found.append(Finding("machine", "folder", "warning", told, "cd to another one, or use `--out DIR`"))
    return found


def sandboxing() -> Finding:
    """What keeps the programs in check that the verifier `code` runs."""
    level = isolation()
    if level == "bwrap":
        return Finding(
            "machine", "sandbox", "ok", "bubblewrap: programs see no file, no network and no process of yours"
        )
    if level == "landlock":
        told = "Landlock and seccomp: files, network, processes and signals are refused by the kernel"
        return Finding("machine", "sandbox", "ok", told)
    told = "resource limits and a Python audit hook alone: not for programs that may mean harm"
    return Finding(
        "machine", "sandbox", "note", told, "use Linux (WSL on Windows) with bubblewrap: apt install bubblewrap"
    )


def memory_gib() -> tuple[float, float] | None:
    """Total and free memory in GiB, as far as the system tells."""
    info = Path("/proc/meminfo")
    if info.exists():
        sizes = {line.split(":")[0]: int(line.split()[1]) for line in info.read_text(encoding="utf-8").splitlines()}
        return sizes["MemTotal"] * 1024 / GIB, sizes["MemAvailable"] * 1024 / GIB
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return page * os.sysconf("SC_PHYS_PAGES") / GIB, page * os.sysconf("SC_AVPHYS_PAGES") / GIB
    except (ValueError, OSError, AttributeError):
        return None


def models_and_data() -> list[Finding]:
    """Models and recorded runs that work without a network, recipes and tasks that load."""
    found = []
    for model in models_at_hand():
        fix = model["fix"]
        needed: Status = "missing" if model["name"] == "tiny" else "note"
        status = "ok" if model["at_hand"] else needed
        found.append(Finding("models and data", model["name"], status, model["where"] or "not at hand", fix))
    try:
        recipes = list_recipes()
        here = [row["name"] for row in availability() if row["name"] in TASKS and row["at_hand"]]
        for name in here:
            load_task(name).sample(1, "test")
        found.append(Finding("models and data", "recipes", "ok", ", ".join(recipes)))
        found.append(Finding("models and data", "tasks", "ok", ", ".join(here)))
        for row in availability():
            if not row["at_hand"]:
                found.append(Finding("models and data", f"task {row['name']}", "note", f"from {row['where']}"))
    except UserError as error:
        found.append(Finding("models and data", "recipes and tasks", "missing", str(error), "reinstall labkit"))
    recorded = sorted(path.parent.name for path in (PACKAGE.parent / "data" / "runs").glob("*/recipe.yaml"))
    told = ", ".join(recorded) or "none here: they come with a checkout of the repository"
    found.append(Finding("models and data", "recorded runs", "ok" if recorded else "note", told))
    return found


def traps(cores: int, threads: int, environment: Mapping[str, str], prefix: Path, load: float = 0.0) -> list[Finding]:
    """What has cost other people an afternoon.

    `prefix` is the environment that this Python belongs to, `load` how many processes were busy in the last minute.
    """
    found = []
    if threads > 1 and load > cores - 0.5:
        # Threads wait for each other by spinning (`labkit.threads`). The sampler makes room by itself, an update does
        # not. One thread is slower where nobody else is busy, so it is no advice for every day.
        told = (
            f"{load:.1f} processes were busy on {cores} cores in the last minute: torch's threads slow each other down "
            "in training steps (sampling leaves cores to others by itself)"
        )
        fix = "if that was not your own run, stop it; where others stay busy: export OMP_NUM_THREADS=1"
        found.append(Finding("traps", "busy cores", "warning", told, fix))
    if threads > cores:
        told = f"torch uses {threads} threads on {cores} usable cores: they wait for each other"
        found.append(Finding("traps", "threads", "warning", told, f"export OMP_NUM_THREADS={cores}"))
    elif threads == 1 and cores > 1:
        told = f"torch uses 1 of {cores} cores"
        set_here = "OMP_NUM_THREADS" in environment
        fix = "unset OMP_NUM_THREADS" if set_here else f"export OMP_NUM_THREADS={cores}"
        found.append(Finding("traps", "threads", "warning", told, fix))
    if environment.get("TOKENIZERS_PARALLELISM", "").lower() not in ("false", "0", "off", "no", "f", "n"):
        told = "TOKENIZERS_PARALLELISM is not false: a process that forks after tokenizing may warn or hang"
        found.append(Finding("traps", "tokenizers", "warning", told, "export TOKENIZERS_PARALLELISM=false"))
    for name in ("jupyter", "labkit"):
        command = shutil.which(name, path=environment.get("PATH"))
        if command is not None and not Path(command).absolute().is_relative_to(prefix):
            told = f"the command {name} is {command}, of another environment than this Python ({prefix})"
            fix = f"activate one environment, or call it as `{sys.executable} -m {name}`"
            found.append(Finding("traps", f"command {name}", "warning", told, fix))
    kernel = _kernel()
    if kernel is not None and not Path(kernel).absolute().is_relative_to(prefix):
        told = f"notebooks run on {kernel}, of another environment than this Python ({prefix})"
        fix = f"{sys.executable} -m ipykernel install --sys-prefix --name python3"
        found.append(Finding("traps", "kernel", "warning", told, fix))
    return found or [Finding("traps", "known traps", "ok", "none sprung")]


def _load() -> float:
    """The load of the last minute, 0 where the system keeps none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _kernel() -> str | None:
    """The interpreter that Jupyter starts for notebooks; None where it is the one that runs Jupyter."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ModuleNotFoundError:
        return None
    try:
        command = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return None
    # A bare "python" means the Python that runs Jupyter.
    return command if os.path.isabs(command) else None


def smoke_test() -> tuple[list[Finding], dict[str, float] | None]:
    """Loads tiny and samples 32 answers of up to 64 tokens; returns findings and the numbers."""
    try:
        policy = load_policy("tiny")
        prompts = [problem.prompt for problem in load_task("countdown").sample(32, "test")]
        sample(policy, prompts[:2], max_new_tokens=8)  # the first call pays for warming up
        started = time.perf_counter()
        rollouts = sample(policy, prompts, max_new_tokens=64)
        seconds = time.perf_counter() - started
    except UserError as error:
        return [Finding("smoke test", "sampling", "missing", str(error), "fix what is missing above")], None
    except Exception as error:  # a broken installation may raise anything, and the report must go on
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        return [Finding("smoke test", "sampling", "missing", told, "reinstall torch and transformers")], None
    tokens = int(rollouts.lengths.sum())
    numbers = {"tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / seconds}
    told = f"tiny on {policy.device.type}: {tokens} tokens in {seconds:.2f} s, {tokens / seconds:,.0f} tokens/s"
    return [Finding("smoke test", "sampling", "ok", told)], numbers
