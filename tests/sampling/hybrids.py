"""Tiny random models of architectures whose past is more than keys and values, or that come in a larger config."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from labkit.models import Policy
from labkit.models.tiny.tokenizer import build_tokenizer
from tests.sampling.small_models import SIZES

LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8}
STATES = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
WINDOWS = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
VISION = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
IMAGES = {"image_token_id": 187, "boi_token_id": 186, "eoi_token_id": 185}

# The name that README gives: (type of transformers, its configuration).
HYBRIDS: dict[str, tuple[str, dict]] = {
    "Qwen3-Next": ("qwen3_next", {**SIZES, **LINEAR, **EXPERTS, "shared_expert_intermediate_size": 16}),
    "Qwen3.5": ("qwen3_5", {"text_config": {**SIZES, **LINEAR, "vocab_size": 188}, "image_token_id": 187}),
    "LFM2": ("lfm2", {**SIZES, "layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False}),
    "Falcon-H1": ("falcon_h1", {**SIZES, **MAMBA2, "mamba_d_ssm": 64}),
    "GraniteMoeHybrid": (
        "granitemoehybrid",
        {
            **{**SIZES, **MAMBA2, "layer_types": ["mamba", "attention"], "mamba_expand": 2},
            **{"num_local_experts": 4, "num_experts_per_tok": 2, "shared_intermediate_size": 32},
        },
    ),
    "Nemotron-H": (
        "nemotron_h",
        {
            **{**SIZES, "layers_block_type": ["mamba", "attention"], "mamba_num_heads": 8, "mamba_head_dim": 8},
            **{"ssm_state_size": 8, "n_groups": 1, "chunk_size": 8},
        },
    ),
    "Bamba": ("bamba", {**SIZES, **MAMBA2, "attn_layer_indices": [1], "mamba_expand": 2}),
    "OLMo-hybrid": ("olmo_hybrid", {**SIZES, **LINEAR}),
    "Jamba": (
        "jamba",
        {
            **{**SIZES, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "num_experts": 4},
            **{"mamba_d_state": 8, "mamba_dt_rank": 4, "use_mamba_kernels": False},
        },
    ),
    "Zamba2": (
        "zamba2",
        {
            **{**SIZES, "layers_block_type": ["mamba", "hybrid"], "mamba_d_state": 8, "n_mamba_heads": 8},
            **{"mamba_headdim": 8, "mamba_ngroups": 1, "chunk_size": 8, "num_mem_blocks": 1, "use_mem_rope": True},
        },
    ),
    "Mamba": ("mamba", {**STATES, "intermediate_size": 64}),
    "Mamba-2": ("mamba2", {**STATES, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8}),
    "RWKV": (
        "rwkv",
        {**STATES, "attention_hidden_size": 32, "intermediate_size": 64, "context_length": 128},
    ),
    "RecurrentGemma": ("recurrent_gemma", {**SIZES, "num_hidden_layers": 3, "lru_width": 32}),
    "MiniMax": (
        "minimax",
        {**SIZES, "layer_types": LINEAR["layer_types"], "block_size": 8, "num_local_experts": 4},
    ),
    "Gemma 3 with vision": (
        "gemma3",
        {
            **{"text_config": {**SIZES, **WINDOWS, "vocab_size": 188}, "image_token_index": 187},
            **{"vision_config": {**VISION, "image_size": 28, "patch_size": 14}, **IMAGES},
        },
    ),
    "Gemma 4": (
        "gemma4",
        {
            "text_config": {
                **{**SIZES, **WINDOWS, "vocab_size": 188, "vocab_size_per_layer_input": 188, "global_head_dim": 8},
                **{"hidden_size_per_layer_input": 8, "num_kv_shared_layers": 0},
            },
            **{**IMAGES, "audio_token_id": 184},
        },
    ),
    "Falcon with ALiBi": (
        "falcon",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True, "ffn_hidden_size": 64},
    ),
}


def hybrid_policy(name: str) -> Policy:
    """A random model with large weights, so that its distributions are far from flat."""
    kind, settings = HYBRIDS[name]
    tokenizer = build_tokenizer()
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(kind, **{"vocab_size": len(tokenizer), **ids, **settings})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if weight.dim() >= 2 and "embed" not in key and "conv" not in key:
                weight.mul_(8.0)
    return Policy(model, tokenizer, name)
