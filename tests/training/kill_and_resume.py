"""Runs each trainer whole, killed, and resumed; prints where the numbers differ. `test_trainer_resume` calls it.

A program of its own, so that it can be killed by SIGKILL at any step without the tests, and so that all runs have one
thread. Each run is a forked child: the libraries are loaded once.
"""

import json
import os
import signal
import sys
from pathlib import Path

from safetensors.torch import load_file

from labkit.models import load_reward_model
from labkit.runs import open_run
from labkit.tasks import Task, load_task
from labkit.training import train
from tests.training.mini import numbers, random_policy
from tests.training.toys import toy_run

STEPS, KILLED_AT, EVERY = 7, 4, 3
CASES: dict[str, dict] = {
    "sft": {},
    "reward_model": {},
    "dpo": {},
    "kto": {},
    "orpo": {"lora": {"rank": 4}},
    "remax": {},
    "distillation": {"minibatches": 2},
    "prime": {"process_reward.updates": 2, "process_reward.minibatches": 2},
    "ppo": {
        "algorithm_options": {"kl_coef": 0.05},
        "kl_control": {"target": 0.01, "horizon": 100},
        "critic.trunk": "separate",
        "minibatches": 2,
        "lora": {"rank": 4},
    },
}


class Kills:
    """An observer that kills its own process after a step: nothing can be written any more."""

    stopped = False

    def update(self, metrics, rollouts) -> None:
        if metrics["step"] == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)


def child(work) -> int:
    """Does work in a forked process; returns its exit status, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def addition() -> Task:
    return load_task("addition")


def differences(folder: Path, trainer: str, changes: dict) -> list[str]:
    """What goes wrong with one trainer, in words."""
    base = folder / "base"
    online = trainer in ("remax", "prime", "ppo")
    options = {"steps": STEPS, "checkpoint_every": EVERY, **changes}
    if trainer == "distillation":
        options |= {"task": "addition", "teacher": str(folder / "teacher"), "max_new_tokens": 8}
    if online:  # by name, so that the resumed run finds both; the reward model pays for something at any rate
        options |= {"task": "addition", "reward_model": str(folder / "judge"), "max_new_tokens": 8}
    whole, killed = folder / f"{trainer}-whole", folder / f"{trainer}-killed"
    statuses = [
        child(lambda: toy_run(whole, trainer, base, **options)),
        child(lambda: toy_run(killed, trainer, base, observer=Kills(), **options)),
    ]
    found = [] if statuses == [0, -signal.SIGKILL] else [f"{trainer}: exit statuses {statuses}"]
    if len(open_run(killed).metrics) != KILLED_AT + 1 or list(open_run(killed).checkpoints()) != [EVERY]:
        found.append(f"{trainer}: was not killed between two checkpoints")
    if child(lambda: train(resume=killed, progress=False)) != 0:
        found.append(f"{trainer}: could not be resumed")
    first, again = open_run(whole), open_run(killed)
    if numbers(first) != numbers(again):
        found.append(f"{trainer}: {first.metrics[-1]} is not {again.metrics[-1]}")
    if first.rollouts() != again.rollouts():
        found.append(f"{trainer}: other rollouts")
    if (first.result or {}).get("held_out") != (again.result or {}).get("held_out"):
        found.append(f"{trainer}: other held-out numbers")
    last = [run.checkpoints()[STEPS] for run in (first, again)]
    for file in sorted(last[0].glob("*.safetensors")):
        ours, theirs = load_file(file), load_file(last[1] / file.name)
        found += [f"{trainer}: {file.name}: {key}" for key in ours if not ours[key].equal(theirs[key])]
    if not all(line["grad_norm"] > 0 for line in first.metrics):
        found.append(f"{trainer}: nothing was learned, so that nothing is compared")
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    random_policy().save(folder / "base")
    random_policy(seed=1).save(folder / "teacher")
    child(lambda: toy_run(folder / "rm", "reward_model", folder / "base", steps=3))
    load_reward_model(folder / "rm", device="cpu").save(folder / "judge")
    cases = {name: CASES[name] for name in sys.argv[2:] or CASES}
    print(json.dumps([line for name, changes in cases.items() for line in differences(folder, name, changes)]))


if __name__ == "__main__":
    main()
