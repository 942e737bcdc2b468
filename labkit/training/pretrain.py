"""Pretraining of the lab's base models: ordinary next-token prediction on their small world, from random weights."""

import itertools
import json
import platform
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from labkit.models.tiny.tokenizer import build_tokenizer
from labkit.recipes.types import Count, CountOrNone, Group, Integer, LearningRate, Real, Seed, Switch
from labkit.system import multiplies_bfloat16
from labkit.threads import keep_to_quota
from labkit.training.loop.optim import apply_gradients, learning_rate, make_optimizer
from labkit.worlds.corpus import documents

Width = Annotated[Integer, Field(ge=1, le=65_536)]


class PretrainSettings(BaseModel):
    """Everything that decides which model comes out.

    `autocast`: products in bfloat16, on a processor that has units for them; elsewhere they would take longer than in
    float32, so they stay in float32.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: Seed = 0
    hidden_size: Width = 128
    layers: Annotated[Integer, Field(ge=1, le=1000)] = 4
    heads: Width = 4
    kv_heads: Width = 2
    intermediate_size: Width = 384
    row_length: Annotated[Integer, Field(ge=2, le=10**6)] = 320
    rows_per_step: Group = 32
    steps: Count = 2500
    lr: LearningRate = 4e-3
    warmup: CountOrNone = 100
    weight_decay: Annotated[Real, Field(ge=0, le=100)] = 0.1
    compile: Switch = True
    autocast: Switch = True

    @model_validator(mode="after")
    def _heads_fit(self) -> "PretrainSettings":
        if self.hidden_size % (2 * self.heads) or self.heads % self.kv_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} must be a multiple of 2 x heads={self.heads}, and heads one of "
                f"kv_heads={self.kv_heads}"
            )
        return self


# What `labkit pretrain NAME` makes. `micro` is the student of the distillation notebook: a fifth of the weights, half
# of the tokens. At its size compilation and bfloat16 cost a CPU more than they save.
BASES = {
    "tiny": PretrainSettings(),
    "micro": PretrainSettings(
        hidden_size=64,
        layers=3,
        intermediate_size=192,
        rows_per_step=16,
        steps=2600,
        lr=6e-3,
        compile=False,
        autocast=False,
    ),
}


def special_ids(tokenizer: PreTrainedTokenizerFast) -> tuple[int, int, int]:
    """The ids of `<pad>`, `<bos>` and `<eos>`; this tokenizer has them all, each one token."""
    pad, bos, eos = tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id
    assert isinstance(pad, int) and isinstance(bos, int) and isinstance(eos, int)
    return pad, bos, eos


def build_model(settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama with random weights: 0.8 million parameters at the settings of `tiny`."""
    pad, bos, eos = special_ids(tokenizer)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.kv_heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=pad,
        bos_token_id=bos,
        eos_token_id=eos,
    )
    torch.manual_seed(settings.seed)
    return LlamaForCausalLM(config)


def packed_rows(tokenizer: PreTrainedTokenizerFast, seed: int, row_length: int) -> Iterator[np.ndarray]:
    """Endless rows of whole documents, `<bos> text <eos>` each, padded at the end; no document is cut."""
    pad, bos, eos = special_ids(tokenizer)
    open_rows: list[list[int]] = [[]]
    stream = documents(seed)
    while True:
        texts = [prompt + continuation for prompt, continuation in itertools.islice(stream, 2000)]
        for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
            ids = [bos, *ids, eos][:row_length]
            row = next((r for r in open_rows if len(r) + len(ids) <= row_length), None)
            if row is None:
                if len(open_rows) == 16:
                    fullest = max(range(16), key=lambda i: len(open_rows[i]))
                    done = open_rows.pop(fullest)
                    yield np.array(done + [pad] * (row_length - len(done)), dtype=np.int16)
                open_rows.append(row := [])
            row.extend(ids)


def next_token_loss(
    logits: Float[Tensor, "batch time vocab"], tokens: Int[Tensor, "batch time"], ignore: tuple[int, ...]
) -> Float[Tensor, ""]:
    """Mean cross-entropy (nats per token) of each token given those before it; targets in `ignore` do not count."""
    # The shift: the logits at column t - 1 predict the token at column t; time - 1 pairs are left of each row.
    targets = tokens[:, 1:].clone()
    for token in ignore:
        targets[targets == token] = -100
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), targets.flatten(), ignore_index=-100)


def pretrain(settings: PretrainSettings, out: Path, name: str = "tiny") -> Path:
    """Trains the model and writes it to `out`: weights, tokenizer, `pretraining.json` and the loss curve.

    Same settings, same machine, same threads: same weights. Returns `out`.
    """
    keep_to_quota()
    tokenizer = build_tokenizer()
    model = build_model(settings, tokenizer)
    forward = torch.compile(model) if settings.compile else model
    optimizer = make_optimizer(model, settings.lr, weight_decay=settings.weight_decay)
    rows = packed_rows(tokenizer, settings.seed, settings.row_length)
    bfloat16 = settings.autocast and multiplies_bfloat16()
    autocast = torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext()
    pad, bos, _ = special_ids(tokenizer)
    started, curve, seen = time.perf_counter(), [], 0
    progress = tqdm(range(settings.steps), desc=f"pretrain {name}", unit="step")
    for step in progress:
        batch = np.stack(list(itertools.islice(rows, settings.rows_per_step)))
        tokens = torch.from_numpy(batch).long()
        with autocast:
            loss = next_token_loss(forward(input_ids=tokens, use_cache=False).logits, tokens, (pad, bos))
        loss.backward()
        lr = learning_rate(step, settings.steps, settings.lr, settings.warmup, "cosine", floor=0.02)
        apply_gradients(model, optimizer, lr)
        seen += int((tokens != pad).sum())
        if step % 20 == 0 or step == settings.steps - 1:
            curve.append({"step": step, "loss": round(loss.item(), 4), "tokens": seen, "lr": lr})
            progress.set_postfix(loss=f"{loss.item():.3f}")
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    report = {
        "settings": settings.model_dump(),
        "parameters": model.num_parameters(),
        "tokens": seen,
        "seconds": round(time.perf_counter() - started, 1),
        "final_loss": round(float(np.mean([point["loss"] for point in curve[-10:]])), 4),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {'bfloat16' if bfloat16 else 'float32'}",
        "torch": torch.__version__,
        "command": f"labkit pretrain {name}",
    }
    (out / "pretraining.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (out / "pretraining_loss.jsonl").write_text("".join(json.dumps(point) + "\n" for point in curve), encoding="utf-8")
    return out
