"""The embedded base model `tiny`: its tokenizer, its architecture, and the small world that it is pretrained on."""
