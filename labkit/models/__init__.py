"""Models: loading a policy or a reward model, and log-probabilities of tokens under a policy.

`__init__.pyi` lists the names, and each is imported at its first use. So code that only lists models
(`labkit.models.at_hand`) runs without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
