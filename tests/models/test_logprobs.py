"""Log-probs and entropy from hidden states, chunk by chunk, against the plain way over all logits at once."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from labkit.models import (
    Head,
    Policy,
    add_lora,
    chosen_logprobs,
    load_policy,
    logprobs_and_entropy_of,
    output,
    output_head,
    shifted_logits,
    token_logprobs,
    token_logprobs_and_entropy,
    train_with,
)
from labkit.models.tiny.tokenizer import build_tokenizer

SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# Tied and untied heads, one with a bias, one with soft-capped logits.
PLAIN_HEADS = {
    "llama": {"tie_word_embeddings": False},
    "qwen2": {"tie_word_embeddings": True},
    "gemma": {},
    "gemma2": {"final_logit_softcapping": 2.0},
    "phi": {},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
}
SCALED_LOGITS = {"granite": {"logits_scaling": 3.0}, "cohere": {"logit_scale": 0.3}}
Found = tuple[Tensor, Tensor, list[Tensor]]


def small_model(architecture: str, **options: object) -> PreTrainedModel:
    sizes = {"vocab_size": 97} if architecture == "gpt2" else SIZES
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **{**sizes, **options})).eval()
    with torch.no_grad():
        head = model.get_output_embeddings()
        head.weight.mul_(3)  # so that distributions are far from flat, and soft-capping does something
        if head.bias is not None:
            head.bias.normal_()
    return model


def rows() -> Tensor:
    return torch.randint(97, (3, 11), generator=torch.Generator().manual_seed(1))


def slopes() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(3, 11, generator=generator), torch.randn(3, 11, generator=generator)


def gradients(model: PreTrainedModel, logprobs: Tensor, entropy: Tensor) -> list[Tensor]:
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    by_logprob, by_entropy = (slope.to(logprobs.dtype) for slope in slopes())
    return list(torch.autograd.grad((logprobs * by_logprob + entropy * by_entropy).sum(), weights))


def plainly(model: PreTrainedModel, temperature: float) -> Found:
    found = logprobs_and_entropy_of(shifted_logits(model, rows(), temperature), rows(), entropy_gradient=True)
    return *found, gradients(model, *found)


def in_chunks(model: PreTrainedModel, temperature: float) -> Found:
    found = token_logprobs_and_entropy(model, rows(), temperature, entropy_gradient=True)
    return *found, gradients(model, *found)


def assert_same(found: Found, expected: Found, tolerance: float) -> None:
    """Up to `tolerance`, relative to the largest number where that is above 1."""
    for ours, plain in zip((*found[:2], *found[2]), (*expected[:2], *expected[2]), strict=True):
        scale = max(1.0, float(plain.detach().abs().max()))
        assert float((ours - plain).detach().abs().max()) <= tolerance * scale


@pytest.mark.parametrize("most", [97 * 4, 97 * 1000], ids=["recomputed", "kept"])
@pytest.mark.parametrize("architecture", PLAIN_HEADS)
def test_in_chunks_equals_plain_gradients_too(architecture, most, monkeypatch):
    monkeypatch.setattr(output, "MOST_LOGITS", {"cpu": most})
    model = small_model(architecture, **PLAIN_HEADS[architecture])
    assert output_head(model) is not None, "the way in chunks is the one that is tested"
    assert_same(in_chunks(model, 0.7), plainly(model, 0.7), 1e-6)
    exact = model.double()
    assert_same(in_chunks(exact, 0.7), plainly(exact, 0.7), 1e-12)


@pytest.mark.parametrize("tied", [True, False])
def test_with_adapters_too(tied, monkeypatch):
    monkeypatch.setattr(output, "MOST_LOGITS", {"cpu": 97 * 4})
    model = small_model("llama", tie_word_embeddings=tied)
    policy = add_lora(Policy(model, build_tokenizer(), "small"), rank=2, alpha=4.0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    assert output_head(policy.model) is not None
    assert_same(in_chunks(model, 1.0), plainly(model, 1.0), 1e-6)


@pytest.mark.parametrize("architecture", SCALED_LOGITS)
def test_logits_that_are_scaled_in_a_way_of_their_own_are_computed_whole(architecture, capsys):
    model = small_model(architecture, **SCALED_LOGITS[architecture])
    assert output_head(model) is None and output_head(model) is None
    assert capsys.readouterr().err.count("computed whole") == 1
    with torch.no_grad():
        expected = model(rows()).logits[:, :-1].log_softmax(-1).gather(-1, rows()[:, 1:, None]).squeeze(-1)
        assert torch.allclose(token_logprobs(model, rows())[:, 1:], expected, atol=1e-6)
        assert torch.allclose(token_logprobs_and_entropy(model, rows())[0][:, 1:], expected, atol=1e-6)


def test_what_only_gives_logits_is_served_too():
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[0, 1, 2], [4, 3, 0]])
    found = token_logprobs(lambda **inputs: SimpleNamespace(logits=logits), tokens)  # type: ignore[arg-type]
    expected = logits.log_softmax(-1)[:, :-1].gather(-1, tokens[:, 1:, None]).squeeze(-1)
    assert torch.allclose(found[:, 1:], expected, atol=1e-6) and (found[:, 0] == 0).all()


@pytest.mark.parametrize("architecture", ["llama", "granite"])
def test_a_mask_leaves_columns_out_and_the_others_as_they_are(architecture):
    model = small_model(architecture, **SCALED_LOGITS.get(architecture, {}))
    mask = torch.rand(3, 11, generator=torch.Generator().manual_seed(3)) < 0.4
    mask[1] = False
    whole, whole_entropy = token_logprobs_and_entropy(model, rows())
    logprobs, entropy = token_logprobs_and_entropy(model, rows(), mask=mask)
    mask = mask & (torch.arange(11) > 0)
    assert torch.allclose(logprobs, torch.where(mask, whole, 0.0), atol=1e-6)
    assert torch.allclose(entropy, torch.where(mask, whole_entropy, 0.0), atol=1e-6)
    assert torch.allclose(token_logprobs(model, rows(), mask=mask), logprobs, atol=1e-6)
    logprobs.sum().backward()
    nothing = token_logprobs(model, rows(), mask=torch.zeros_like(mask))
    assert not nothing.any()


def test_the_entropy_has_a_gradient_only_where_it_is_asked_for():
    model = small_model("llama")
    assert not token_logprobs_and_entropy(model, rows())[1].requires_grad
    assert token_logprobs_and_entropy(model, rows(), entropy_gradient=True)[1].requires_grad


def test_gradients_by_finite_differences():
    generator = torch.Generator().manual_seed(0)
    hidden, weight, bias = (torch.randn(s, generator=generator, dtype=torch.float64) for s in ((5, 3), (4, 3), (4,)))
    inputs = [x.requires_grad_() for x in (hidden, weight, bias)]

    def work(hidden: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        targets = torch.tensor([0, 3, 1, 1, 2])
        return chosen_logprobs(hidden, Head(weight, bias, 1.5), targets, 0.8, entropy_gradient=True, chunk=2)

    assert torch.autograd.gradcheck(work, inputs)


def test_no_tensor_of_all_logits_is_ever_held(monkeypatch):
    """The largest tensor that autograd keeps, and that any operation makes, is one chunk's."""
    model = small_model("llama", vocab_size=5000, tie_word_embeddings=False)
    monkeypatch.setattr(output, "MOST_LOGITS", {"cpu": 5000 * 4})
    output_head(model)
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            found = func(*args, **(kwargs or {}))
            sizes.extend(x.numel() for x in torch.utils._pytree.tree_leaves(found) if isinstance(x, Tensor))
            return found

    weight = model.get_output_embeddings().weight.numel()
    with Watch():
        token_logprobs_and_entropy(model, rows(), entropy_gradient=True)[0].sum().backward()
    beside_weights = max(size for size in sizes if size != weight)
    assert beside_weights <= 4 * 5000 < 30 * 5000


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "opt"])
def test_checkpointed_layers_give_the_same_gradient_and_no_dropout(architecture):
    """In eval mode transformers would not checkpoint at all, and in training mode it would drop out."""
    options = {**PLAIN_HEADS.get(architecture, {})}
    if architecture == "opt":  # its layers drop out by their own flag
        options = {"ffn_dim": 64, "word_embed_proj_dim": 32, "dropout": 0.5, "attention_dropout": 0.5}
    model = small_model(architecture, **options)
    plain = in_chunks(model, 1.0)
    kept, kept_plainly = [], []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept_plainly.append(x.numel()) or x, lambda x: x):
        token_logprobs(model, rows())
    train_with(model, gradient_checkpointing=True)
    assert_same(in_chunks(model, 1.0), plain, 1e-6)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        token_logprobs(model, rows())
    assert len(kept) < 0.5 * len(kept_plainly)
    assert not any(module.training for module in model.modules())
    assert model.generate(rows()[:, :4], max_new_tokens=3, do_sample=False).shape == (3, 7), "the cache still works"
    train_with(model)
    assert_same(in_chunks(model, 1.0), plain, 0)


def test_without_a_compiler_the_model_runs_as_it_is_and_a_line_says_so(monkeypatch, capsys):
    def broken(module, **options):
        def call(**inputs):
            raise RuntimeError("no C++ compiler\nand much more")

        return call

    model = small_model("llama")
    plain = in_chunks(model, 1.0)
    monkeypatch.setattr(torch, "compile", broken)
    train_with(model, compile=True)
    assert_same(in_chunks(model, 1.0), plain, 0)
    in_chunks(model, 1.0)
    said = capsys.readouterr().err
    assert said == "labkit: optimizer.compile has no effect here: no C++ compiler\n"


@pytest.mark.slow
def test_compiled_gives_the_same_gradient():
    model = small_model("llama")
    plain = in_chunks(model, 1.0)
    train_with(model, compile=True)
    assert_same(in_chunks(model, 1.0), plain, 1e-5)


def test_the_embedded_model_takes_the_way_in_chunks(tiny):
    policy = copy.deepcopy(tiny)
    assert output_head(policy.model) is not None and isinstance(load_policy(policy), Policy)


@pytest.mark.gpu
def test_in_chunks_equals_plain_on_cuda(monkeypatch):
    """bfloat16 products on both ways; chunks add gradients up in another order."""
    model = small_model("llama", tie_word_embeddings=False).cuda()
    tokens = rows().cuda()
    plain = logprobs_and_entropy_of(shifted_logits(model, tokens), tokens, entropy_gradient=True)
    expected = torch.autograd.grad((plain[0] + plain[1]).sum(), list(model.parameters()))
    monkeypatch.setattr(output, "MOST_LOGITS", {"cuda": 97 * 4})
    found = token_logprobs_and_entropy(model, tokens, entropy_gradient=True)
    gradient = torch.autograd.grad((found[0] + found[1]).sum(), list(model.parameters()))
    assert torch.allclose(found[0], plain[0], atol=0.02)
    for ours, theirs in zip(gradient, expected, strict=True):
        assert float((ours - theirs).abs().max()) <= 0.03 * float(theirs.abs().max())


def test_a_hook_on_the_output_layer_is_seen_though_the_model_is_known():
    policy = load_policy("tiny", device="cpu")
    tokens = torch.randint(5, 100, (2, 9))
    before = token_logprobs(policy.model, tokens)
    handle = policy.model.lm_head.register_forward_hook(lambda module, inputs, logits: logits * 0)
    flat = token_logprobs(policy.model, tokens)
    torch.testing.assert_close(flat[:, 1:], torch.full((2, 8), -math.log(policy.model.config.vocab_size)))
    handle.remove()
    assert torch.equal(token_logprobs(policy.model, tokens), before)
