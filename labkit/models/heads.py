"""A scalar head on a causal language model: one number for each token's hidden state."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.trunk import CausalLM


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


def hidden_width(model: CausalLM) -> int:
    """The width of the model's last hidden state."""
    return int(model.config.get_text_config().hidden_size)
