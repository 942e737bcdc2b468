"""A machine with little memory, on purpose."""

import pytest
import torch

from labkit.models import Policy


class ShortOfMemory:
    """Makes the policy's trunk fail where a pass with a gradient has more tokens than this, as a GPU would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, policy: Policy, tokens: int, error: Exception | None = None):
        self.failures, self.limit = 0, tokens
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        trunk, calls = policy.model.base_model, []
        plain = type(trunk).forward

        def forward(module, *args, **inputs):
            if module is trunk and torch.is_grad_enabled():
                calls.append(inputs["input_ids"].numel())
                if calls[-1] > self.limit:
                    self.failures += 1
                    raise self.error
            return plain(module, *args, **inputs)

        # In the class: a model with a `forward` of its own would be sampled from in another way, with other rounding.
        monkeypatch.setattr(type(trunk), "forward", forward)
