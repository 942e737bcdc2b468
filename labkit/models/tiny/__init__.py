"""The embedded base model `tiny`: its tokenizer. What it is pretrained on is in `labkit.worlds.corpus`."""
