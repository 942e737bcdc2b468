"""Learning from samples of the model's own: start with `step`, the loop whole."""
