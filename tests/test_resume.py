"""A run that is killed at any moment and resumed ends with the numbers of a run that was never disturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from safetensors.torch import load_file

from labkit.runs import Run, open_run
from tests.mini_run import mini_recipe, save_random_model, without_times, write_recipe

ROOT = Path(__file__).resolve().parent.parent
STEPS = 12


def _start(*arguments: str | Path) -> subprocess.Popen[str]:
    """`labkit train ...` in a process of its own, with one thread, so that sums come in one order."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "labkit", "train", *map(str, arguments), "--quiet"]
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _finish(process: subprocess.Popen[str]) -> Run:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return open_run(out.splitlines()[-1])


def _kill_after(process: subprocess.Popen[str], metrics: Path, lines: int) -> None:
    """Kills the process, without a warning, as soon as so many steps are logged."""
    deadline = time.monotonic() + 300
    while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= lines):
        assert process.poll() is None, f"the run ended before step {lines}: {process.communicate()[1]}"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, "the run was over before it could be killed"


def test_killed_and_resumed_run_equals_one_that_was_not(tmp_path: Path):
    recipe = mini_recipe(
        save_random_model(tmp_path / "model"),
        steps=STEPS,
        # A reference and several clipped updates a batch: more state that a resumed run must get back.
        algorithm_options={"overlong_buffer": 1.0, "kl_coef": 0.05},
        optimizer={"lr": 0.02, "warmup": 3, "updates": 2, "minibatches": 2},
        sampling={"prompts": 4, "samples": 8, "max_new_tokens": 48},
    )
    file = write_recipe(tmp_path / "recipe.yaml", recipe)
    undisturbed = _finish(_start(file, "--out", tmp_path / "undisturbed"))

    kill_at = random.SystemRandom().randint(3, STEPS - 4)
    killed = tmp_path / "killed"
    _kill_after(_start(file, "--out", killed), killed / "metrics.jsonl", kill_at)
    left = len(open_run(killed).metrics)
    assert kill_at <= left < STEPS
    assert (open_run(killed).result or {}).get("after") is None
    resumed = _finish(_start("--resume", killed))

    said = f"killed after {left} steps"
    assert without_times(resumed.metrics) == without_times(undisturbed.metrics), said
    assert resumed.rollouts() == undisturbed.rollouts(), said
    assert [line["step"] for line in resumed.metrics] == list(range(STEPS))
    ours, theirs = (run.result or {} for run in (resumed, undisturbed))
    assert ours["status"] == "finished" and ours["steps"] == STEPS
    for report in ("before", "after"):
        for key in ("per_problem", "pass_at_k", "mean_length", "truncated", "examples"):
            assert ours[report][key] == theirs[report][key], said
    weights = [load_file(run.checkpoints()[STEPS] / "model.safetensors") for run in (resumed, undisturbed)]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])

    # The comparison means something only if the run changed the policy all along.
    assert all(line["grad_norm"] > 0 for line in undisturbed.metrics)
    assert undisturbed.metrics[-1]["kl"] > 0
    assert theirs["after"]["mean_length"] < theirs["before"]["mean_length"]
