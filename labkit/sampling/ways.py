"""Which decoder is right for a model: the first one whose logits equal those of a full forward pass.

The name of the architecture does not decide this; a measurement does. When a model is used for the first time, the
decoders are tried one after the other. Each decodes a few tokens after prompts of different lengths, while a row
leaves, and its logits are compared with those of the full pass. So a new architecture either works, or `sample`
refuses it with a one-line error before any training.
"""

from typing import TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from labkit.errors import NotFiniteError, UserError
from labkit.models import autocast
from labkit.models.output import compute_dtype
from labkit.models.trunk import CausalLM
from labkit.models.vocabulary import rows_of
from labkit.sampling.fused import FusedDecoder
from labkit.sampling.own import OwnCacheDecoder, Recompute
from labkit.sampling.plain import PlainDecoder

Decoder: TypeAlias = FusedDecoder | PlainDecoder | OwnCacheDecoder | Recompute
WAYS: tuple[type[PlainDecoder] | type[OwnCacheDecoder] | type[Recompute], ...] = (
    PlainDecoder,
    OwnCacheDecoder,
    Recompute,
)
"""The decoders that are tried, the fastest first."""
LENGTHS, STEPS = (3, 8), 4  # the tokens of each prompt, and the tokens that are decoded after it

_found: "WeakKeyDictionary[nn.Module, type[Decoder]]" = WeakKeyDictionary()


def decoder_of(model: CausalLM) -> type[Decoder]:
    """The decoder class that `sample` uses for this model. Raises UserError if none works."""
    if FusedDecoder.serves(model):
        return FusedDecoder
    if model not in _found:
        _found[model] = _first_right(model)
    return _found[model]


@torch.no_grad()
def _first_right(model: CausalLM) -> type[Decoder]:
    tokens = _tokens(model)
    texts = [tokens[i : i + length + STEPS] for i, length in enumerate(LENGTHS)]
    try:
        with autocast(model.device):
            whole = [model(input_ids=text[None], use_cache=False).logits[0].float() for text in texts]
    except Exception as error:  # any library may raise here: the model can't be run at all
        raise UserError(f"{_named(model)} can't be run: {' '.join(str(error).split())[:200]}") from error
    if not all(logits.isfinite().all() for logits in whole):
        raise NotFiniteError("the model's logit of a plain text")
    faults = []
    for way in WAYS:
        try:
            distance = _distance(way(model), texts, whole)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # an architecture that this way does not know fails somewhere within transformers
            faults.append(f"{type(error).__name__}: {' '.join(str(error).split())[:80]}")
            continue
        if distance <= (1e-3 if compute_dtype(next(model.parameters())) == torch.float32 else 0.1):
            return way
        faults.append(f"logits differ by {distance:.2g} of the largest")
    raise UserError(
        f"{_named(model)} can't be sampled from: its logits depend on what comes after a token, or its cache is of an "
        f"unknown kind ({faults[-1]}); take a causal language model, such as those that README lists"
    )


def _distance(decoder: PlainDecoder | OwnCacheDecoder | Recompute, texts: list[Tensor], whole: list[Tensor]) -> float:
    """The largest difference between the decoder's logits and those of the full pass, as a share of the largest logit.

    There are three rows: the first prompt once, and the second prompt twice. During the decoding the first row leaves,
    and the last row takes its place.
    """
    device = texts[0].device
    decoder.reserve(3, max(LENGTHS) + STEPS)
    prompts = torch.zeros(2, max(LENGTHS), dtype=torch.long, device=device)
    for row, (text, length) in enumerate(zip(texts, LENGTHS, strict=True)):
        prompts[row, :length] = text[:length]
    read = decoder.prefill(prompts, torch.tensor(LENGTHS, device=device))
    worst = max(_apart(read.logits[row].float(), whole[row][LENGTHS[row] - 1]) for row in (0, 1))
    decoder.fill(read, torch.tensor([0, 1, 1], device=device), 0)  # type: ignore[arg-type]
    owners = [0, 1, 1]
    for step in range(STEPS - 1):
        starts = torch.tensor([LENGTHS[owner] + step for owner in owners], device=device)
        newest = torch.stack([texts[owner][start] for owner, start in zip(owners, starts, strict=True)])
        logits = decoder.step(newest, starts, ())
        for row, owner in enumerate(owners):
            worst = max(worst, _apart(logits[row].float(), whole[owner][LENGTHS[owner] + step]))
        if step == 1:
            owners = [1, 1]
            gone, moved = torch.tensor([0], device=device), torch.tensor([2], device=device)
            decoder.keep(2, gone, moved, max(LENGTHS) + STEPS)
    return worst


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-6))


def _tokens(model: CausalLM) -> Tensor:
    """Random tokens, none of them special, because some models treat special ids (such as padding) in another way."""
    count = sum(LENGTHS) + STEPS
    settings = {**model.config.get_text_config().to_dict(), **model.config.to_dict()}
    named = [value for key, value in settings.items() if key.endswith(("_token_id", "_token_index"))]
    special = {id for value in named for id in (value if isinstance(value, list) else [value])}
    plain = [i for i in range(min(rows_of(model), 5000)) if i not in special]
    order = torch.randint(len(plain), (count,), generator=torch.Generator().manual_seed(0))
    return torch.tensor(plain)[order].to(model.device)


def _named(model: CausalLM) -> str:
    return f"a {getattr(model.config, 'model_type', type(model).__name__)} model ({type(model).__name__})"
