"""Records what notebook 15 reads: `python -m labkit.inference MODEL --task countdown --out FILE.json`."""

import argparse
import time

import torch

from labkit.inference.sheets import record_forcing, record_samples
from labkit.models import load_policy
from labkit.models.reward_model import load_reward_model
from labkit.runs import environment
from labkit.tasks import load_task

BUDGETS = (8, 16, 32, 64, 128, 256)
EXTENSIONS = (0, 1, 2, 4, 8)


def main() -> None:
    """Samples, and for countdown forced budgets and extensions; prints the file's name."""
    parser = argparse.ArgumentParser(prog="python -m labkit.inference", description=__doc__)
    parser.add_argument("model", help="a name, a folder or a hub id")
    parser.add_argument("--task", default="countdown")
    parser.add_argument("--problems", type=int, default=128, help="held-out problems")
    parser.add_argument("--samples", type=int, default=32, help="samples per problem")
    parser.add_argument("--forced", type=int, default=4, help="samples per problem and forced setting; 0: none")
    # --judge is its older name; the commands inside recorded files use it.
    parser.add_argument("--reward-model", "--judge", help="the run folder of a reward model that scores the samples")
    parser.add_argument("--name", help="what the recording calls the model; default: its name")
    parser.add_argument("--out", required=True, help="the JSON file to write")
    asked = parser.parse_args()
    started = time.perf_counter()
    policy, task = load_policy(asked.model), load_task(asked.task)
    policy.name = asked.name or policy.name
    problems = task.sample(asked.problems, "test", seed=1234)
    scorer = load_reward_model(asked.reward_model) if asked.reward_model else None
    sheet = record_samples(policy, task, problems, asked.samples, scorer=scorer)
    if asked.forced:
        longest = max(BUDGETS)
        settings = [{"budget": budget} for budget in BUDGETS]
        settings += [
            {"budget": longest, "extensions": extensions, "rule": rule}
            for rule in ("always", "unless_sure")
            for extensions in EXTENSIONS
        ]
        sheet.forced = [record_forcing(policy, task, problems, asked.forced, **setting) for setting in settings]
    facts = environment(policy.device, task_fingerprint=task.fingerprint())
    flags = f"--task {asked.task} --problems {asked.problems} --samples {asked.samples} --forced {asked.forced}"
    flags += " --reward-model RUN" if asked.reward_model else ""
    command = f"python -m labkit.inference {asked.model} {flags}"
    seconds = round(time.perf_counter() - started, 1)
    sheet.made = {**facts, "command": command, "threads": torch.get_num_threads(), "seconds": seconds}
    sheet.save(asked.out)
    print(asked.out)


if __name__ == "__main__":
    main()
