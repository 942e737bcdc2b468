"""Learning from rows of data: SFT, preference losses, reward models."""
