"""Small random models of several architectures, with a tokenizer, as policies."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from labkit.models import Policy
from labkit.models.tiny.tokenizer import build_tokenizer

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
}
ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma", "olmo2")
# Windows, soft-capping and learned positions take other ways through the engine.
UNUSUAL = {
    "mistral": {"sliding_window": 6},
    "gemma3_text": {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
}


def small_policy(architecture: str, seed: int = 0, **changes: object) -> Policy:
    """A random model; weights are large, so that its distributions are far from flat and greedy ties don't occur."""
    tokenizer = build_tokenizer()
    sizes = {} if architecture == "gpt2" else SIZES
    config = AutoConfig.for_model(
        architecture,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **{"vocab_size": len(tokenizer), **sizes, **UNUSUAL.get(architecture, {}), **changes},
    )
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() >= 2:
                weight.mul_(8.0 if "embed" not in name and "wte" not in name else 1.0)
    return Policy(model, tokenizer, architecture)
