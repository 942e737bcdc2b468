"""Learning from rows of data: SFT, reward models, preferences. `trainer` is the contract, `learner` runs them all."""
