"""RL Renaissance Lab: how language models are trained with reinforcement learning, by doing it.

The public names stand in `__init__.pyi`. Each is imported when it is first asked for, so `import labkit` takes no time
and imports nothing that is not used.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
