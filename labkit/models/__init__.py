"""Models: loading a policy or a reward model, and log-probabilities of tokens under a policy.

The names stand in `__init__.pyi`; each is imported when it is first asked for. So what is known about models without
loading one (`labkit.models.at_hand`) needs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
