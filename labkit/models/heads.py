"""A scalar head on a causal language model: one number for each token's hidden state."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from labkit.models.logprobs import autocast


class ScalarHead(nn.Module):
    """hidden state [..., width] -> one number [...], in float32; it begins at zero, so that nothing is claimed yet."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape"]:
        """The numbers of the given states."""
        with torch.autocast(hidden.device.type, enabled=False):
            return self.linear(hidden.float()).squeeze(-1)


def hidden_width(model: PreTrainedModel) -> int:
    """The width of the model's last hidden state."""
    return int(model.config.get_text_config().hidden_size)


def hidden_states(model: PreTrainedModel, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time width"]:
    """The last hidden state (after the final norm) of every token; the output layer is not computed.

    Rows are right-padded: a token sees those before it alone, so padding changes nothing.
    """
    with autocast(tokens.device):
        return model.base_model(input_ids=tokens, use_cache=False).last_hidden_state


def logits_and_hidden(
    model: PreTrainedModel, tokens: Int[Tensor, "batch time"]
) -> tuple[Float[Tensor, "batch time vocab"], Float[Tensor, "batch time width"]]:
    """Next-token logits and last hidden states from one pass."""
    with autocast(tokens.device):
        out = model(input_ids=tokens, use_cache=False, output_hidden_states=True)
    return out.logits, out.hidden_states[-1]
