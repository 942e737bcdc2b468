"""Small data sets that a random model learns in seconds, and runs on them."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from labkit.models import Policy
from labkit.rollouts import Rollouts, score
from labkit.runs import Run
from labkit.sampling import sample
from labkit.tasks import Problem, Task
from labkit.training import train
from labkit.verifiers import Score
from tests.training.mini import random_policy

Row = dict[str, Any]


def demonstrations(count: int = 60) -> list[Row]:
    return [{"prompt": f"{i}:", "completion": "4" * (1 + i % 3)} for i in range(count)]


def comparisons(count: int = 60) -> list[Row]:
    """Fours are preferred to anything else, always."""
    return [
        {"prompt": f"{i}:", "chosen": "44", "rejected": random.Random(i).choice(["7", "77", "5", "98"])}
        for i in range(count)
    ]


def feedback(count: int = 60) -> list[Row]:
    return [{"prompt": f"{i}:", "completion": ["44", "7"][i % 2], "label": i % 2 == 0} for i in range(count)]


def says_four(completion: str, reference: object) -> float:
    """The share of fours, which a random model can learn in seconds."""
    return completion.count("4") / max(len(completion), 1)


says_four.needs_worker = False  # type: ignore[attr-defined]


def fours(verifier: Callable[[str, object], Any] = says_four) -> Task:
    return Task(
        name="fours",
        description="write fours",
        verifier=verifier,
        draw=lambda split, rng: Problem(f"{rng.randrange(100)}:", None, str(rng.random())),
    )


def scored_rollouts(policy: Policy, rewards: list[float] | None = None) -> Rollouts:
    """Four answers to each of four problems of `fours`, with these rewards where they are given."""
    task = fours()
    problems = task.sample(4)
    rollouts = score(sample(policy, [p.prompt for p in problems], n=4, max_new_tokens=8, seed=0), task, problems)
    return rollouts if rewards is None else replace(rollouts, scores=[Score(reward, "") for reward in rewards])


# Recipe, algorithm, data of every trainer.
TRAINERS: dict[str, tuple[str, str | None, Any]] = {
    "sft": ("sft-assistant-tiny", None, demonstrations),
    "reward_model": ("reward-model-assistant-tiny", None, comparisons),
    "dpo": ("dpo-assistant-tiny", "dpo", comparisons),
    "ipo": ("dpo-assistant-tiny", "ipo", comparisons),
    "cdpo": ("dpo-assistant-tiny", "cdpo", comparisons),
    "robust_dpo": ("dpo-assistant-tiny", "robust_dpo", comparisons),
    "simpo": ("dpo-assistant-tiny", "simpo", comparisons),
    "orpo": ("dpo-assistant-tiny", "orpo", comparisons),
    "kto": ("dpo-assistant-tiny", "kto", feedback),
    "rloo": ("rloo-assistant-tiny", "rloo", None),
    "remax": ("rloo-assistant-tiny", "remax", None),
    "reinforce_pp": ("rloo-assistant-tiny", "reinforce_pp", None),
    "ppo": ("ppo-assistant-tiny", "ppo", None),
    "distillation": ("distill-on-policy-micro", "reverse_kl", None),
    "prime": ("rloo-assistant-tiny", "prime", None),
}


def toy_run(out: Path, trainer: str, policy: Policy | str | Path | None = None, **changes: Any) -> Run:
    """A short run of a trainer on its toy data, without evaluation."""
    recipe, algorithm, data = TRAINERS[trainer]
    settings: dict[str, Any] = {"model": policy or random_policy(), "progress": False, "lr": 1e-2, "steps": 12}
    settings |= {"checkpoint_every": 100, "schedule": "constant", "warmup": 0}
    if trainer != "reward_model":
        settings["evaluation.problems"] = 0
    if algorithm is not None:
        settings |= {"algorithm": algorithm, "algorithm_options": {}}
    if data is not None:
        settings["dataset"] = data()
    else:
        settings |= {"task": fours(), "max_new_tokens": 8, "prompts": 8, "samples": 8, "algorithm_options": {}}
    if trainer == "distillation":
        settings |= {"teacher": random_policy(seed=1), "minibatches": 1}
    return train(recipe, out=out, **settings | changes)
