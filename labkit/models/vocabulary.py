"""Which of a model's tokens its tokenizer knows, and which characters of a text it knows.

Many models have more rows than their tokenizer has tokens, because a round number is faster. Such an extra row was
hardly trained and stands for no text. So its logit is set to a number so low that the token is never drawn. The sampler
and the trainer both do this, because their log-probs must belong to the same distribution.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

NEVER = -1e9
"""The logit of a token that is never drawn. Its probability is 0 in float32. With -inf the entropy would be NaN."""


def limit_vocabulary(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Marks the tokens that the tokenizer does not have, so that they are never drawn. Copies of the model keep it."""
    known = torch.zeros(rows_of(model), dtype=torch.bool)
    ids = torch.tensor(list(tokenizer.get_vocab().values()), dtype=torch.long)
    known[ids[ids < len(known)]] = True
    model.tokens_without_text = None if bool(known.all()) else (~known).nonzero().squeeze(1).to(model.device)


def tokens_without_text(model: Any) -> Int[Tensor, " ids"] | None:
    """The ids that the model's tokenizer does not have; None if it has all, or if no tokenizer was given."""
    return getattr(model, "tokens_without_text", None)


def rows_of(model: Any) -> int:
    """The number of logits of the model per token: the rows of its output layer."""
    layer = model.get_output_embeddings() or model.get_input_embeddings()
    return int(cast(nn.Linear, layer).weight.shape[0])


def never_drawn(
    logits: Float[Tensor, "*shape vocab"], ids: Int[Tensor, " ids"] | None
) -> Float[Tensor, "*shape vocab"]:
    """The logits, where those of the given ids are set so low that these tokens are never drawn.

    >>> never_drawn(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2])).softmax(-1)[2].item()
    0.0
    """
    return logits if ids is None else logits.index_fill(-1, ids, NEVER)


def unknown_share(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> tuple[float, list[str]]:
    """The share of `<unk>` among the tokens of the texts, and the most frequent pieces of text that become `<unk>`.

    A tokenizer over bytes knows every text: its result is (0, []).
    """
    unknown = tokenizer.unk_token_id
    if unknown is None:
        return 0.0, []
    count, pieces = 0, Counter[str]()
    for text in texts:
        offsets = bool(tokenizer.is_fast)
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=offsets)
        ids = encoded["input_ids"]
        count += len(ids)
        spans = encoded["offset_mapping"] if offsets else [(0, len(text))] * len(ids)
        pieces.update(text[slice(*span)] for id, span in zip(ids, spans, strict=True) if id == unknown)
    return sum(pieces.values()) / max(count, 1), [piece for piece, _ in pieces.most_common(8)]
