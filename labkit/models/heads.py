"""A scalar head on a causal language model: one number for each token's hidden state."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.trunk import CausalLM


class ScalarHead(nn.Module):
    """A linear layer: hidden states [..., width] -> numbers [...], in float32.

    Its weights begin at zero, so that every number is 0 before training.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape"]:
        """One number for each hidden state."""
        with torch.autocast(hidden.device.type, enabled=False):
            return self.linear(hidden.float()).squeeze(-1)


def hidden_width(model: CausalLM) -> int:
    """The width of the model's last hidden state."""
    return int(model.config.get_text_config().hidden_size)
