"""A policy: a causal language model with its tokenizer, and how a prompt becomes tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from labkit.device import usable_device
from labkit.errors import RunError, UserError
from labkit.models import smollm2
from labkit.models.adapters import without_adapters
from labkit.models.at_hand import MODELS
from labkit.paths import data_folder, user_path
from labkit.storage import follow_umask


@dataclass
class Policy:
    """A model, its tokenizer, and a name. The model is in eval mode for good: dropout is off in sampling AND training.

    (Dropout in training would make the trainer's log-probs another distribution than the sampler's.)
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    eos_ids: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self.model.eval()
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
        """The id that fills up rows. Masks, never this id, decide what counts: many tokenizers pad with eos."""
        pad = self.tokenizer.pad_token_id
        return pad if pad is not None else next(iter(self.eos_ids), 0)

    @property
    def eos_id(self) -> int:
        """The id that ends a reply in training data: the tokenizer's eos, else the first that the model declares."""
        eos = self.tokenizer.eos_token_id
        if eos is None and not self.eos_ids:
            raise UserError(f"model {self.name!r} declares no eos token: it could not learn where a reply ends")
        return eos if eos is not None else min(self.eos_ids)

    @property
    def context_length(self) -> int:
        """The longest sequence, prompt and completion together, that the model was made for."""
        return int(getattr(self.model.config, "max_position_embeddings", None) or 10**9)

    def encode(self, prompt: str) -> list[int]:
        """Token ids of a prompt. A chat model's template is applied here, exactly once, to the plain text.

        Raises UserError for a prompt that already carries the template or a special token.
        """
        special = next((t for t in self.tokenizer.all_special_tokens if t in prompt), None)
        if special is not None:
            raise UserError(
                f"the prompt already contains the special token {special!r}; pass plain text: "
                "the chat template and <bos> are added here, once"
            )
        if self.tokenizer.chat_template:
            messages = [{"role": "user", "content": prompt}]
            try:
                encoded = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
            except Exception as error:  # a template is a program of the model's, which may raise anything
                told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
                raise UserError(f"the chat template of model {self.name!r} fails: {told[:200]}") from error
            return list(encoded["input_ids"])
        return list(self.tokenizer(prompt)["input_ids"])

    def decode(self, ids: list[int]) -> str:
        """Text of token ids, without special tokens."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def save(self, folder: Path) -> None:
        """Writes model (safetensors) and tokenizer, so that `load_policy(folder)` and transformers can read them.

        LoRA adapters are merged into the weights that are written; the policy itself keeps them.
        """
        with quiet_transformers():
            without_adapters(self.model).save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        follow_umask(folder)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no warnings of transformers inside: a bar a checkpoint would bury the run's own."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def load_policy(
    name: str | Path | Policy, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Policy:
    """A policy by name ("tiny", "smollm2-135m"), from a folder, or by hub id.

    Device: CUDA where there is one, else CPU. Dtype: float32, since weights that are trained in bfloat16 lose small
    updates; on CUDA the forward pass runs under bfloat16 autocast. Raises UserError where the model is not at hand.
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
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(where)
            model = AutoModelForCausalLM.from_pretrained(where, dtype=dtype or torch.float32)
    except SafetensorError as error:
        raise RunError(f"the weights of model {str(name)!r} are damaged: {error}") from error
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"cannot load model {str(name)!r}: {first[:200]} (`labkit models` lists what is at hand offline)"
        ) from error
    return Policy(model.to(device), tokenizer, str(name))


def model_folder(folder: Path) -> Path:
    """The folder itself, or the newest checkpoint where it is a run folder. Raises UserError where neither is there."""
    if (folder / "config.json").exists():
        return folder
    named = {path.name.removeprefix("step-"): path for path in folder.glob("checkpoints/step-*")}
    steps = {int(step): path for step, path in named.items() if step.isdecimal() and (path / "config.json").exists()}
    if not steps:
        raise UserError(f"no model in folder {folder}: it has no config.json and no checkpoints")
    return steps[max(steps)]
