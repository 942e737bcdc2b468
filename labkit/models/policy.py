"""A policy: a causal language model with its tokenizer, and how a prompt becomes tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from labkit.device import usable_device, without_cudnn_attention
from labkit.errors import UserError
from labkit.models import smollm2
from labkit.models.adapters import without_adapters
from labkit.models.at_hand import MODELS
from labkit.models.chat import Dialogue, refuse_special, render
from labkit.models.loading import load, quiet_transformers
from labkit.models.vocabulary import limit_vocabulary, rows_of
from labkit.paths import data_folder, user_path
from labkit.storage import follow_umask


@dataclass
class Policy:
    """A model, its tokenizer, and a name. The model always stays in eval mode: no dropout in sampling AND in training.

    (With dropout, the trainer would compute log-probs of another distribution than the sampler's.) A policy on CUDA
    switches cuDNN's attention off for the process: see `without_cudnn_attention`.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    eos_ids: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self.model.eval()
        without_cudnn_attention(self.model.device)
        limit_vocabulary(self.model, self.tokenizer)
        declared = self.model.generation_config.eos_token_id if self.model.generation_config else None
        ids = declared if isinstance(declared, list) else [declared]
        self.eos_ids = frozenset(i for i in (*ids, self.tokenizer.eos_token_id) if i is not None)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.model.dtype

    @property
    def pad_id(self) -> int:
        """The id that fills rows up. Only masks decide which tokens count, as many tokenizers pad with the eos."""
        pad = self.tokenizer.pad_token_id
        return pad if pad is not None else next(iter(self.eos_ids), 0)

    @property
    def eos_id(self) -> int:
        """The id that ends a reply in training data: the tokenizer's eos, else the lowest id that the model declares.

        Raises UserError if there is none.
        """
        eos = self.tokenizer.eos_token_id
        if eos is None and not self.eos_ids:
            raise UserError(f"model {self.name!r} declares no eos token: it could not learn where a reply ends")
        return eos if eos is not None else min(self.eos_ids)

    @property
    def context_length(self) -> int:
        """The most tokens, prompt and completion together, that the model was made for."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 10**9)

    def encode(self, prompt: Dialogue, options: Mapping[str, Any] | None = None) -> list[int]:
        """The token ids of a prompt: a text, or messages. If the model has a chat template, it is applied here, once.

        `options`: arguments of the template, such as {"enable_thinking": False}. Raises UserError if the prompt already
        contains the template or a special token, or a token for which the model has no row.
        """
        refuse_special(self.tokenizer, prompt, "the prompt")
        text, templated = render(self.tokenizer, prompt, options)
        ids = list(self.tokenizer(text, add_special_tokens=not templated)["input_ids"])
        rows = rows_of(self.model)
        beyond = next((i for i in ids if i >= rows), None)
        if beyond is not None:
            token = self.tokenizer.convert_ids_to_tokens(beyond)
            raise UserError(f"the prompt has token {token!r}, which model {self.name!r} has no row for: leave it out")
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of token ids, without special tokens."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def save(self, folder: Path) -> None:
        """Writes model (safetensors) and tokenizer, so that `load_policy(folder)` and transformers can read them.

        The written weights have the LoRA adapters merged into them; the policy itself does not change.
        """
        with quiet_transformers():
            without_adapters(self.model).save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        follow_umask(folder)


def load_policy(
    name: str | Path | Policy, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Policy:
    """Loads a policy by name ("tiny", "smollm2-135m"), from a folder, or by hub id.

    The default device is CUDA if there is one, else the CPU. The default dtype is float32, because training in bfloat16
    loses small updates; on CUDA the forward pass runs in bfloat16 autocast. Raises UserError if the model is not at
    hand or its files do not fit together, and RunError if they are damaged (`labkit.models.loading`).
    """
    if isinstance(name, Policy):
        return name
    where: str | Path = name
    if str(name) == smollm2.NAME:
        where = smollm2.locate()
    elif str(name) in MODELS:
        where = data_folder() / "models" / str(name)
    device = usable_device(device)
    if isinstance(where, Path) or str(where).startswith((".", "/", "~")) or Path(where).is_dir():
        where = model_folder(user_path(where))
    model, tokenizer = load(where, str(name), dtype or torch.float32)
    return Policy(model.to(device), tokenizer, str(name))


def model_folder(folder: Path) -> Path:
    """The folder itself if it holds a model; for a run folder, its newest checkpoint. Raises UserError otherwise."""
    if (folder / "config.json").exists():
        return folder
    named = {path.name.removeprefix("step-"): path for path in folder.glob("checkpoints/step-*")}
    steps = {int(step): path for step, path in named.items() if step.isdecimal() and (path / "config.json").exists()}
    if not steps:
        raise UserError(f"no model in folder {folder}: it has no config.json and no checkpoints")
    return steps[max(steps)]
