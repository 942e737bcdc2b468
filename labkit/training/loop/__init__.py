"""What every trainer shares: steps, checkpoints, memory, the optimiser, measurements."""
