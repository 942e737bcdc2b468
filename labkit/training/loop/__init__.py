"""The parts that all trainers share: the loop, checkpoints, memory, the optimiser, measurements."""
