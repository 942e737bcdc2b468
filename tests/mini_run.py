"""A random model of a few thousand parameters and a recipe for it: a whole run in a second."""

from pathlib import Path
from typing import Any

import yaml

from labkit.models.tiny.tokenizer import build_tokenizer
from labkit.training.pretrain import PretrainSettings, build_model

TIMES = ("seconds", "elapsed", "tokens_per_second")


def save_random_model(folder: Path) -> Path:
    """Writes a Llama with random weights and tiny's tokenizer, which knows nothing and answers at random."""
    tokenizer = build_tokenizer()
    settings = PretrainSettings(hidden_size=32, layers=2, heads=2, kv_heads=1, intermediate_size=64)
    build_model(settings, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def mini_recipe(model: Path, **changes: Any) -> dict[str, Any]:
    """Two steps on addition. A random model is never right, so it is paid for being short: a signal."""
    return {
        "model": str(model),
        "task": "addition",
        "algorithm_options": {"overlong_buffer": 1.0},
        "steps": 2,
        "checkpoint_every": 2,
        "sampling": {"prompts": 2, "samples": 2, "max_new_tokens": 8},
        "evaluation": {"problems": 4, "samples": 2},
        **changes,
    }


def write_recipe(file: Path, recipe: dict[str, Any]) -> Path:
    """Writes a recipe as YAML."""
    file.write_text(yaml.safe_dump(recipe))
    return file


def without_times(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Metrics lines without what the clock decides."""
    return [{k: v for k, v in m.items() if k not in TIMES and not k.startswith("time_")} for m in metrics]
