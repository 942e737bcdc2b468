"""Which of a model's tokens its tokenizer has.

Many models have more rows than their tokenizer has tokens, to make the number round. Such a row was hardly trained and
stands for no text. So its logit is set so low that it is never drawn, in the sampler and in every log-prob of the
trainer alike: both must be of the same distribution.
"""

from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

NEVER = -1e9
"""The logit of a token that is never drawn. Its probability is 0 in float32; unlike -inf it gives an entropy."""


def limit_vocabulary(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """From now on the model never draws a token that the tokenizer does not have. Copies of the model do the same."""
    known = torch.zeros(rows_of(model), dtype=torch.bool)
    ids = torch.tensor(list(tokenizer.get_vocab().values()), dtype=torch.long)
    known[ids[ids < len(known)]] = True
    model.tokens_without_text = None if bool(known.all()) else (~known).nonzero().squeeze(1).to(model.device)


def tokens_without_text(model: Any) -> Int[Tensor, " ids"] | None:
    """The ids that the model's tokenizer does not have; None where it has all, or where there is no tokenizer."""
    return getattr(model, "tokens_without_text", None)


def rows_of(model: Any) -> int:
    """How many logits the model has."""
    layer = model.get_output_embeddings() or model.get_input_embeddings()
    return int(cast(nn.Linear, layer).weight.shape[0])


def never_drawn(
    logits: Float[Tensor, "*shape vocab"], ids: Int[Tensor, " ids"] | None
) -> Float[Tensor, "*shape vocab"]:
    """The logits, those of the given ids so low that they are never drawn.

    >>> never_drawn(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2])).softmax(-1)[2].item()
    0.0
    """
    return logits if ids is None else logits.index_fill(-1, ids, NEVER)
