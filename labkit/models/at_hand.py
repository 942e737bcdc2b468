"""Which models can be loaded without a network: the lab's own, SmolLM2, and those in the hub's cache.

The functions only read files: they load no model and do not import torch.
"""

from typing import Any

from labkit.errors import UserError
from labkit.models import smollm2
from labkit.models.hub import cached_models
from labkit.paths import data_folder

MODELS = {
    "tiny": "0.8 M-parameter base model of the lab, pretrained on a small world of arithmetic and chat; runs anywhere",
    "micro": "0.16 M-parameter base model, pretrained as tiny was but shorter: the student of distillation",
    "micro-distilled": "micro after on-policy distillation from tiny-r1-zero on countdown, weights in float16",
    "tiny-sft": "tiny after SFT on 200 curated traces (stage sft-alone of r1-pipeline-tiny, seed 0), in float16",
    "tiny-r1-zero": "tiny after RL on countdown (recipe r1-zero-tiny, seed 0), weights in float16",
    smollm2.NAME: "SmolLM2-135M-Instruct: a chat model of 135 M parameters, for a GPU (a CPU can try it out)",
}
"""Named models, with a description each. All but SmolLM2 are in the data folder, under `models/NAME`."""
_FIX = {"tiny": "reinstall labkit, or make it anew: labkit pretrain tiny --out data/models/tiny"}


def models_at_hand() -> list[dict[str, Any]]:
    """The named models and the causal language models in the hub's cache, as plain data.

    Each is a dictionary: `name`, `description`, `at_hand`, `where` and `fix`. If a model is not at hand, `where` is
    None and `fix` says how to get it; otherwise `fix` is None.
    """
    cached, found = cached_models(), []
    for name, description in MODELS.items():
        cached.pop(name, None)
        if name == smollm2.NAME:
            where, fix = smollm2.where(), smollm2.how_to_get()
        else:
            where, fix = _shipped_folder(name), _FIX.get(name, "reinstall labkit")
        found.append((name, description, where, None if where else fix))
    found += [(name, "in the hub's cache", where, None) for name, where in cached.items()]
    return [
        {"name": name, "description": description, "at_hand": where is not None, "where": where, "fix": fix}
        for name, description, where, fix in found
    ]


def _shipped_folder(name: str) -> str | None:
    """The folder of a model in the data folder; None if its weights are missing."""
    try:
        folder = data_folder() / "models" / name
    except UserError:
        return None
    return str(folder) if (folder / "model.safetensors").exists() else None
