"""Recipes that are a list of stages: `run` takes them in turn, `stages` says what each works on, `report` tells all."""
