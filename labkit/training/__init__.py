"""Training: from a recipe to a run folder. `rl/` learns from samples, `rows/` from data; both share `loop/`."""

from labkit.training.train import Observer, train, train_rl

__all__ = ["Observer", "train", "train_rl"]
