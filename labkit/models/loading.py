"""Loads weights and tokenizer from a folder or the hub, and refuses files that do not make the model they name.

transformers fills every missing weight with random numbers, and only logs it. This module reads the loading report of
transformers: a key that is missing, left over or of another shape raises a one-line error. Missing keys are no fault
if the weights are tied, or if they are buffers that the model computes. Code inside a repository is never run.
"""

import json
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from labkit.errors import RunError, UserError
from labkit.threads import keep_to_quota

# The prefixes that wrappers add to every key: which wrapper it is, and what to save instead.
WRAPPERS = {
    "_orig_mod.": "torch.compile: save `model._orig_mod`",
    "module.": "DataParallel or DDP: save `model.module`",
    "base_model.model.": "PEFT: save `model.merge_and_unload()`",
    "_fsdp_wrapped_module.": "FSDP: save the full state dict",
    "_forward_module.": "DeepSpeed: save the 16-bit model",
    "policy.": "a trainer: save its `policy`",
    "pretrained_model.": "TRL's value head: save `model.pretrained_model`",
    "actor.": "a trainer: save its `actor`",
}
BUFFERS = (".inv_freq", ".attn.bias", ".self_attn.bias", ".attention.bias", ".masked_bias", ".position_ids")
"""The ends of keys that old checkpoints still hold, although models now compute these buffers."""
OTHER_HEADS = ("v_head.", "value_head.", "score.", "reward_head.", "mtp.", "vision", "visual.", "multi_modal", "audio")
"""Parts of a larger model that a causal language model does not need."""
# No real model is as large. A larger number is a mistake, and building such a model would fill the memory.
LARGEST = {"num_hidden_layers": 1000, "vocab_size": 10**7, "hidden_size": 10**5, "intermediate_size": 10**6}
ASK = "(`labkit models` lists what is at hand offline)"


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Switches off the progress bars and warnings of transformers inside the context.

    A bar per checkpoint would hide the run's own progress bar.
    """
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def load(where: str | Path, name: str, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads and checks the model and the tokenizer of a folder or hub id. Errors call the model `name`.

    Raises RunError for damaged files, and UserError for any other reason why the model cannot be loaded.
    """
    keep_to_quota()
    if isinstance(where, Path):
        check_folder(where, name)
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                where, dtype=dtype, trust_remote_code=False, output_loading_info=True, ignore_mismatched_sizes=True
            )
            model, report = loaded
    except SafetensorError as error:
        raise RunError(f"the weights of model {name!r} are damaged: {error}") from error
    except Exception as error:  # transformers raises errors of every kind about a user's files
        raise UserError(f"cannot load model {name!r}: {_first_line(error)} {ASK}") from error
    check_keys(model, report, name)
    check_weights(model, name)
    check_tokenizer(model, tokenizer, name)
    return model, tokenizer


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "trust_remote_code" in text or "custom code" in text:
        return "it needs Python code of its own (trust_remote_code), which labkit never runs"
    kind = type(error).__name__
    if not text or isinstance(error, KeyError | AttributeError | TypeError | IndexError):
        return f"its files do not fit together ({kind}: {text[:160]})"
    return text[:200]


# ------------------------------------------------------------------------------------------- before it is loaded


def check_folder(folder: Path, name: str) -> None:
    """Checks the files of a folder before the model is built.

    Raises RunError for a damaged file, and UserError if the files do not hold a model that can be loaded.
    """
    for file in sorted(folder.glob("*.json")):
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"cannot read {file}: {error.strerror or error}") from None
        except ValueError as error:
            raise RunError(f"{file.name} of model {name!r} is damaged: it is no JSON ({error})") from None
        if file.name == "config.json":
            check_config(data, name)
    if (folder / "adapter_config.json").exists() and not any(folder.glob("model*.safetensors")):
        raise UserError(
            f"{name!r} holds LoRA adapters without their model: merge them (PEFT's merge_and_unload) and save"
        )
    if not (folder / "config.json").exists():
        return
    quantized = "quantization_config" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for file in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(file, "pt") as weights:
                kinds = {key: weights.get_slice(key).get_dtype() for key in weights.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise RunError(f"the weights of model {name!r} are damaged: {file.name}: {error}") from error
        whole = [key for key, kind in kinds.items() if not kind.startswith(("F", "BF")) and key.endswith("weight")]
        if whole and not quantized:
            raise UserError(
                f"the weights of model {name!r} are whole numbers ({kinds[whole[0]]}, {_some(whole)}) and its config "
                "has no quantization_config that says how to read them: save them as float32, float16 or bfloat16"
            )


def check_config(config: Any, name: str) -> None:
    """Raises UserError if a configuration has no type, has sizes that no model has, or contradicts itself."""
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise UserError(f"config.json of model {name!r} has no model_type: it does not say what kind of model it is")
    for part in (config, *(config[key] for key in ("text_config",) if isinstance(config.get(key), dict))):
        for key, most in LARGEST.items():
            value = part.get(key)
            if isinstance(value, int) and not 1 <= value <= most:
                raise UserError(f"config.json of model {name!r}: {key} must be from 1 to {most}, not {value}")
    for architecture in config.get("architectures") or []:
        declared = getattr(getattr(transformers, str(architecture), None), "config_class", None)
        kind = getattr(declared, "model_type", None)
        if kind is not None and kind != config["model_type"]:
            raise UserError(
                f"config.json of model {name!r} contradicts itself: model_type is {config['model_type']!r}, but its "
                f"architecture {architecture} is of type {kind!r}: set model_type to what the weights were saved from"
            )


# -------------------------------------------------------------------------------------------- after it is loaded


def check_keys(model: PreTrainedModel, report: dict[str, Any], name: str) -> None:
    """Raises UserError if the loading report of transformers says that the files hold other weights than the model."""
    missing, unexpected = set(report["missing_keys"]), set(report["unexpected_keys"])
    unexpected = {key for key in unexpected if not key.endswith(BUFFERS)}
    if report.get("error_msgs"):
        raise UserError(f"cannot load model {name!r}: {' '.join(str(report['error_msgs'][0]).split())[:200]}")
    for wrapper, saved_by in WRAPPERS.items():
        if missing and unexpected and all(key.startswith(wrapper) for key in unexpected):
            raise UserError(
                f"the weights of model {name!r} have other names than the model: {_some(unexpected)} (the prefix "
                f"{wrapper!r} comes from {saved_by}, or take the prefix off the names)"
            )
    if report["mismatched_keys"]:
        key, found, wanted = min(report["mismatched_keys"])
        raise UserError(
            f"weights of model {name!r} have other shapes than its config.json says: {key} is {list(found)} in the "
            f"file and {list(wanted)} in the config ({len(report['mismatched_keys'])} such weights): take the "
            "config.json that belongs to these weights"
        )
    if missing:
        other = f"; the file has others that the model does not have ({_some(unexpected)})" if unexpected else ""
        raise UserError(
            f"weights of model {name!r} are missing: {_some(missing)}{other}: take the config.json that belongs to "
            "the file of weights, or the whole file"
        )
    spare = {key for key in unexpected if not key.removeprefix("model.").startswith(OTHER_HEADS)}
    if spare:
        raise UserError(
            f"the file of model {name!r} has weights that its config.json leaves out: {_some(spare)}: "
            "take the config.json that belongs to these weights"
        )
    if unexpected:
        print(
            f"labkit: weights of model {name!r} that a language model does not use: {_some(unexpected)}",
            file=sys.stderr,
        )


@torch.no_grad()
def check_weights(model: PreTrainedModel, name: str) -> None:
    """Raises UserError if a weight holds NaN or infinity, or if the embedding is all zeros.

    Prints a line about other weights that are all zeros.
    """
    zero = []
    for key, weight in model.named_parameters():
        if not weight.is_floating_point():
            continue
        # The sum shows NaN and infinity, reads the weight only once, and copies nothing.
        total = torch.linalg.vector_norm(weight, ord=1, dtype=torch.float32)
        if not bool(total.isfinite()) and not bool(weight.isfinite().all()):
            raise UserError(
                f"weight {key} of model {name!r} holds NaN or infinity: it was saved after its training had "
                "diverged; take an earlier checkpoint"
            )
        if weight.dim() >= 2 and not bool(total):
            zero.append(key)
    embedding = cast(nn.Module, model.get_input_embeddings())
    if any(model.get_parameter(key) is embedding.weight for key in zero):
        raise UserError(f"the embedding of model {name!r} is all zeros: its file is damaged; load another copy")
    if zero:
        print(f"labkit: weights of model {name!r} are all zeros, as in a damaged file: {_some(zero)}", file=sys.stderr)


def check_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raises UserError if the tokenizer has tokens that the model can't read, or the eos is none of the model's ids."""
    rows = cast(nn.Embedding, model.get_input_embeddings()).weight.shape[0]
    vocabulary: dict[str, int] = cast(Any, tokenizer).get_vocab()
    added = set(cast(Any, tokenizer).get_added_vocab())
    if not vocabulary:
        raise UserError(f"the tokenizer of model {name!r} has no tokens: its files are damaged")
    # Some models come with added tokens for which they have no row: `Policy.encode` refuses a prompt with such a token.
    beyond = {token: id for token, id in vocabulary.items() if id >= rows and token not in added}
    if beyond:
        token = min(beyond, key=beyond.__getitem__)
        raise UserError(
            f"the tokenizer of model {name!r} has {len(beyond)} tokens more than the model ({token!r} is number "
            f"{beyond[token]}, the embedding has {rows} rows): it belongs to another model; take the model's own"
        )
    if len(vocabulary) < 0.75 * rows:
        print(
            f"labkit: the tokenizer of model {name!r} has {len(vocabulary)} tokens, the model {rows}: the others are "
            "never drawn; unless that is on purpose, the tokenizer belongs to another model",
            file=sys.stderr,
        )
    declared = model.generation_config.eos_token_id if model.generation_config else None
    ends = declared if isinstance(declared, list) else [declared]
    for id in ends:
        if id is not None and not (isinstance(id, int) and 0 <= id < rows):
            raise UserError(
                f"model {name!r} says that a text ends with token {id!r}, and has tokens 0 to {rows - 1}: correct "
                "eos_token_id in its generation_config.json or config.json"
            )


def _some(keys: Collection[str], most: int = 3) -> str:
    """The first few of some names, and how many there are."""
    first = sorted(keys)[:most]
    return ", ".join(first) + (f" and {len(keys) - most} more" if len(keys) > most else "")
