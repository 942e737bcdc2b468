"""SmolLM2 in small: its architecture (Llama, tied embeddings, three query heads to a key head), its kind of tokenizer
(bytes, chat template with a system message of its own), random weights; as a policy, and as a GGUF file. Qwen2.5 and
Qwen3 in small, too."""

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from labkit.models import Policy

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = ("h e", "t he", "i n")
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
TOKENS = [*SPECIAL, *BYTES, "he", "the", "in"]
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SIZES = {
    "hidden_size": 96,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "max_position_embeddings": 2048,
}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of bytes and three merges, with SmolLM2's special tokens and template."""
    core = Tokenizer(models.BPE({t: i for i, t in enumerate(TOKENS)}, [tuple(m.split()) for m in MERGES]))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    unk, bos, eos = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=bos, eos_token=eos, pad_token=eos, unk_token=unk, chat_template=TEMPLATE
    )


IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}


def small_smollm2(seed: int = 0) -> Policy:
    """A policy with random weights; they are large, so that greedy ties don't occur."""
    torch.manual_seed(seed)
    config = LlamaConfig(vocab_size=len(TOKENS), tie_word_embeddings=True, rope_theta=1e5, **SIZES, **IDS)
    return Policy(_sharpened(LlamaForCausalLM(config)), byte_tokenizer(), "smollm2-like")


def small_qwen(architecture: str, seed: int = 0) -> Policy:
    """A policy with the architecture "qwen2" or "qwen3" (which norms queries and keys), and random weights."""
    torch.manual_seed(seed)
    sizes = {**SIZES, "head_dim": 32}
    config = AutoConfig.for_model(architecture, vocab_size=len(TOKENS), tie_word_embeddings=True, **sizes, **IDS)
    return Policy(_sharpened(AutoModelForCausalLM.from_config(config)), byte_tokenizer(), f"{architecture}-like")


def _sharpened(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.mul_(4.0)
    return model


def write_gguf(file: Path, seed: int = 0) -> Path:
    """A GGUF file of random weights, its matrices in Q4_1, as llama.cpp writes them. Needs the package gguf."""
    import gguf

    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name("small")
    width, inner, layers, heads, kv_heads, context = SIZES.values()
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(width // heads)
    writer.add_rope_freq_base(1e5)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)))
    writer.add_token_merges(list(MERGES))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    kv_width = width // heads * kv_heads
    shapes = {"token_embd": (len(TOKENS), width), "output_norm": (width,)}
    for i in range(layers):
        block = {"attn_q": (width, width), "attn_k": (kv_width, width), "attn_v": (kv_width, width)}
        block |= {"attn_output": (width, width), "attn_norm": (width,), "ffn_norm": (width,)}
        block |= {"ffn_gate": (inner, width), "ffn_up": (inner, width), "ffn_down": (width, inner)}
        shapes |= {f"blk.{i}.{name}": shape for name, shape in block.items()}
    kind = gguf.GGMLQuantizationType.Q4_1
    rng = np.random.default_rng(seed)
    for name, shape in shapes.items():
        data = rng.normal(1.0 if len(shape) == 1 else 0.0, 0.1, shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", data)
        else:
            writer.add_tensor(f"{name}.weight", gguf.quants.quantize(data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
