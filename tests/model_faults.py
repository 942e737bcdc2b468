"""Model folders that are damaged in unlike ways: what loading and sampling from each ends with.

    python -m tests.model_faults [--json]

Each fault is one function that changes a copy of a small sound model. The end is one of: `clean`, an error of one line
that a user can read; `traceback`, any other error; `same`, the model's own answers, where the change is harmless;
`wrong`, other answers without a word.
"""

import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

import labkit as lk
from labkit.errors import UserError
from labkit.paths import data_path
from labkit.sampling import sample

Fault = Callable[[Path], None]
FAULTS: dict[str, Fault] = {}
HARMLESS = {"an old buffer in the file", "a value head in the file", "type mistral, the same arithmetic"}
HARMLESS |= {"unknown quantization"}  # transformers leaves the weights as they are, and they are plain numbers
PROMPTS = ["5,6,1->30:", "1+2:"]


def fault(name: str) -> Callable[[Fault], Fault]:
    """Enters a function into `FAULTS`."""

    def enter(function: Fault) -> Fault:
        FAULTS[name] = function
        return function

    return enter


def weights_fault(name: str, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    """A fault of the weights: `change` gets and returns them by name."""

    def damage(folder: Path) -> None:
        file = folder / "model.safetensors"
        changed = {key: value.contiguous() for key, value in change(load_file(file)).items()}
        file.unlink()
        save_file(changed, file, metadata={"format": "pt"})

    FAULTS[name] = damage


def config_fault(name: str, file: str = "config.json", **changes: Any) -> None:
    """A fault of a configuration: keys that are set; None removes one."""

    def damage(folder: Path) -> None:
        path = folder / file
        settings = json.loads(path.read_text()) if path.exists() else {}
        settings = {key: value for key, value in {**settings, **changes}.items() if value is not None}
        path.write_text(json.dumps(settings))

    FAULTS[name] = damage


def file_fault(name: str, file: str, content: bytes | None) -> None:
    """A file that is replaced, or removed."""

    def damage(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        if content is not None:
            (folder / file).write_bytes(content)

    FAULTS[name] = damage


EMBEDDING, DOWN = "model.embed_tokens.weight", "model.layers.1.mlp.down_proj.weight"
for _prefix in ("_orig_mod.", "module.", "base_model.model.", "policy.", "_fsdp_wrapped_module."):
    weights_fault(f"names begin with {_prefix}", lambda w, p=_prefix: {p + key: value for key, value in w.items()})
weights_fault("other names", lambda w: {key.replace("model.layers", "transformer.h"): v for key, v in w.items()})
for _part in (EMBEDDING, DOWN, "model.norm.weight", "model.layers.0.input_layernorm.weight"):
    weights_fault(f"no {_part}", lambda w, part=_part: {key: value for key, value in w.items() if key != part})
weights_fault("no layer 2", lambda w: {key: value for key, value in w.items() if ".layers.2." not in key})
weights_fault("no weights at all", lambda w: {})
weights_fault("a matrix on its side", lambda w: {**w, DOWN: w[DOWN].T})
weights_fault("NaN in a weight", lambda w: {**w, DOWN: w[DOWN].clone().fill_(torch.nan)})
weights_fault("one NaN", lambda w: {**w, DOWN: w[DOWN].index_fill(0, torch.tensor([3]), torch.nan)})
weights_fault("infinity in a weight", lambda w: {**w, DOWN: w[DOWN].index_fill(0, torch.tensor([3]), torch.inf)})
weights_fault("NaN in a norm", lambda w: {**w, "model.norm.weight": w["model.norm.weight"] * torch.nan})
weights_fault("an embedding of zeros", lambda w: {**w, EMBEDDING: torch.zeros_like(w[EMBEDDING])})
weights_fault("whole numbers", lambda w: {key: (100 * value).to(torch.int32) for key, value in w.items()})
weights_fault("a layer too many", lambda w: {**w, **{k.replace("s.2.", "s.3."): 2 * w[k] for k in w if "s.2." in k}})
weights_fault("biases that the config leaves out", lambda w: w | {f"{DOWN[:-6]}bias": torch.ones(64)})
weights_fault("an old buffer in the file", lambda w: w | {"model.layers.0.self_attn.bias": torch.ones(4)})
weights_fault("a value head in the file", lambda w: w | {"v_head.summary.weight": torch.ones(1, 64)})

config_fault("more layers than weights", num_hidden_layers=9)
config_fault("fewer layers than weights", num_hidden_layers=1)
config_fault("another width", hidden_size=48, head_dim=12)
config_fault("a larger vocabulary", vocab_size=256)
config_fault("a smaller vocabulary", vocab_size=100)
config_fault("a vocabulary of a thousand million", vocab_size=10**9)
config_fault("a head of its own that is missing", tie_word_embeddings=False)
config_fault("no type", model_type=None)
config_fault("an unknown type", model_type="no-such-model", architectures=None)
config_fault("type gpt2", model_type="gpt2")
config_fault("type gpt2, nothing that contradicts", model_type="gpt2", architectures=None)
config_fault("type qwen3", model_type="qwen3", architectures=["Qwen3ForCausalLM"])
config_fault("type qwen2", model_type="qwen2", architectures=None)
config_fault("type t5", model_type="t5", architectures=None)
config_fault("type mistral, the same arithmetic", model_type="mistral", architectures=["MistralForCausalLM"])
config_fault("a size that is a text", hidden_size="big")
config_fault("heads that do not fit", num_attention_heads=3)
config_fault("fewer than no layers", num_hidden_layers=-1)
config_fault("no layers", num_hidden_layers=0)
config_fault("an unknown activation", hidden_act="nope")
config_fault("unknown angles", rope_parameters={"rope_type": "magic"})
config_fault("code of its own", model_type="mine", architectures=None, auto_map={"AutoConfig": "mine.Config"})
config_fault("unknown quantization", quantization_config={"quant_method": "nope"})
config_fault("an eos beyond the vocabulary", file="generation_config.json", eos_token_id=10**6)

file_fault("config.json is cut", "config.json", b'{"model_type": "lla')
file_fault("config.json is empty", "config.json", b"")
file_fault("config.json is a list", "config.json", b"[1, 2]")
file_fault("no config.json", "config.json", None)
file_fault("no weights file", "model.safetensors", None)
file_fault("an empty weights file", "model.safetensors", b"")
file_fault("a weights file of something else", "model.safetensors", b"<html>not found</html>" * 9)
file_fault("no tokenizer.json", "tokenizer.json", None)
file_fault("tokenizer.json is cut", "tokenizer.json", b'{"version": "1.0", "model": {')
file_fault("tokenizer.json of something else", "tokenizer.json", b"{}")
file_fault("tokenizer_config.json is cut", "tokenizer_config.json", b"{")
file_fault("generation_config.json is cut", "generation_config.json", b'{"eos_token_id": ')
file_fault("a broken chat template", "chat_template.jinja", b"{% for m in messages %}{{ m['content'] ")


@fault("a weights file that is cut")
def _(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@fault("an index that names a missing file")
def _(folder: Path) -> None:
    keys = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    where = {key: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, key in enumerate(keys)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


@fault("the tokenizer of a larger model")
def _(folder: Path) -> None:
    file = folder / "tokenizer.json"
    data = json.loads(file.read_text())
    vocabulary = data["model"]["vocab"]
    if isinstance(vocabulary, dict):
        data["model"]["vocab"] = vocabulary | {f"word{i}": len(vocabulary) + i for i in range(50)}
    else:
        data["model"]["vocab"] = vocabulary + [[f"word{i}", -9.0] for i in range(50)]
    file.write_text(json.dumps(data))


@fault("the weights of another model")
def _(folder: Path) -> None:
    shutil.copy(data_path("models", "tiny") / "model.safetensors", folder / "model.safetensors")


@fault("adapters alone")
def _(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "x"}))


def answers(model: Any) -> list[str]:
    """What a model, by name or folder, writes greedily."""
    return sample(lk.load_policy(model, device="cpu"), PROMPTS, max_new_tokens=24, temperature=0).completions


def outcome(name: str, sound: list[str], base: Path) -> tuple[str, str]:
    """How loading and sampling from a model with this fault ends, and what is said."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        shutil.copytree(base, folder)
        try:
            FAULTS[name](folder)
            found = answers(folder)
        except UserError as error:
            text = str(error)
            return ("clean", text) if "\n" not in text and len(text) < 600 else ("traceback", f"long: {text[:200]!r}")
        except Exception as error:
            return "traceback", f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    return ("same", "") if found == sound else ("wrong", "")


def campaign(names: list[str] | None = None) -> dict[str, tuple[str, str]]:
    """The outcome of each fault, by its name."""
    base = data_path("models", "micro")
    sound = answers(base)
    return {name: outcome(name, sound, base) for name in names or list(FAULTS)}


if __name__ == "__main__":
    found = campaign()
    if "--json" in sys.argv:
        print(json.dumps(found, indent=1))
    else:
        for name, (end, said) in found.items():
            print(f"{end:10} {name}: {said}")
        print(dict(Counter(end for end, _ in found.values())), f"of {len(found)}")
