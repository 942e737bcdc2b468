"""A run small enough for a test, with a model whose weights are random."""

from pathlib import Path
from typing import Any

from labkit.models import Policy
from labkit.models.tiny.tokenizer import build_tokenizer
from labkit.runs import Run
from labkit.training import train
from labkit.training.pretrain import PretrainSettings, build_model

SMALL = {
    "steps": 4,
    "prompts": 3,
    "samples": 4,
    "max_new_tokens": 8,
    "minibatches": 1,
    "schedule": "constant",
    "checkpoint_every": 2,
    "evaluation.problems": 0,
    "progress": False,
}


def random_policy(seed: int = 0) -> Policy:
    tokenizer = build_tokenizer()
    settings = PretrainSettings(seed=seed, hidden_size=32, layers=2, intermediate_size=64)
    return Policy(build_model(settings, tokenizer), tokenizer, "random")


def mini_run(out: Path, policy: Policy | None = None, **changes: Any) -> Run:
    settings = {"model": policy or random_policy(), **SMALL, **changes}
    return train("r1-zero-tiny", out=out, **settings)


def numbers(run: Run) -> list[dict[str, Any]]:
    """Metrics without what depends on the clock."""
    clock = ("seconds", "elapsed", "tokens_per_second", "time_")
    return [{key: value for key, value in line.items() if not key.startswith(clock)} for line in run.metrics]
