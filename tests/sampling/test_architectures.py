"""Architectures beyond plain attention: sampled as `generate` does, trained on what was sampled, or refused."""

import pytest
import torch

from labkit.errors import UserError
from labkit.models import Policy, token_logprobs
from labkit.paths import PACKAGE
from labkit.sampling import sample
from labkit.sampling.own import OwnCacheDecoder, Recompute
from labkit.sampling.plain import PlainDecoder
from labkit.sampling.ways import WAYS, decoder_of
from tests.sampling.hybrids import HYBRIDS, hybrid_policy
from tests.sampling.small_models import ARCHITECTURES, UNUSUAL, small_policy
from tests.training.mini import mini_run

RAGGED = ["5,6,1->30:", "347+1058:", "1+2:", "12,11,10,9->42:"]
STEPS = 10
RECOMPUTED = {"RWKV", "RecurrentGemma", "MiniMax"}  # their state is kept in ways of their own


def drawn(policy: Policy, **options: object) -> list[list[int]]:
    found = sample(policy, RAGGED, max_new_tokens=STEPS, **options)
    return [row[mask].tolist() for row, mask in zip(found.tokens, found.mask, strict=True)]


def generated(policy: Policy) -> list[list[int]]:
    """Greedy completions of transformers' own, prompt by prompt: some of its models can't be padded."""
    rows = []
    for prompt in RAGGED:
        ids = torch.tensor([policy.encode(prompt)])
        ones = torch.ones_like(ids)
        out = policy.model.generate(ids, attention_mask=ones, max_new_tokens=STEPS, do_sample=False, pad_token_id=0)
        row = out[0, ids.shape[1] :].tolist()
        ends = [i for i, token in enumerate(row) if token in policy.eos_ids]
        rows.append(row[: ends[0] + 1] if ends else row)
    return rows


@pytest.mark.parametrize("name", HYBRIDS)
def test_it_is_sampled_as_generate_does_and_log_probs_agree(name):
    policy = hybrid_policy(name)
    ours = drawn(policy, temperature=0)
    assert ours == generated(policy)
    assert len({tuple(row) for row in ours}) > 1, "the model must react to the prompt for this to mean anything"
    assert (decoder_of(policy.model) is Recompute) == (name in RECOMPUTED)
    policy.eos_ids = frozenset(range(4, 40))  # rows end at all times, and leave
    group = sample(policy, RAGGED[1:3], n=4, max_new_tokens=STEPS, seed=1)
    assert len(set(group.lengths.tolist())) > 1
    with torch.no_grad():
        full = token_logprobs(policy.model, group.tokens)
    assert (full - group.logprobs)[group.mask].abs().max() < 1e-4


@pytest.mark.parametrize("way", [OwnCacheDecoder, Recompute])
def test_every_way_draws_the_same_samples(way, monkeypatch):
    """Seeds mean the same on the fast path and on these: a row's random numbers are its own."""
    policy = small_policy("llama")
    fast = drawn(policy, n=3, seed=5)
    monkeypatch.setattr("labkit.sampling.workspace.decoder_of", lambda model: way)
    assert drawn(Policy(policy.model, policy.tokenizer, "again"), n=3, seed=5) == fast


def test_a_model_that_sees_the_future_is_refused_before_a_folder_is_made(tmp_path):
    policy = small_policy("llama")
    for layer in policy.model.model.layers:
        layer.self_attn.q_proj.weight.data.mul_(3)
    original = policy.model.model.forward

    def sees_everything(*args, **kwargs):
        """Attention in both directions, as a BERT that was loaded as a language model has."""
        out = original(*args, **kwargs)
        out.last_hidden_state = out.last_hidden_state + out.last_hidden_state.mean(1, keepdim=True)
        return out

    policy.model.model.forward = sees_everything
    with pytest.raises(UserError, match="can't be sampled from: its logits depend on what comes after") as caught:
        mini_run(tmp_path / "run", policy)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_plain_architectures_keep_the_fast_ways():
    for name in (*ARCHITECTURES, *UNUSUAL):
        way = decoder_of(small_policy(name).model)
        assert way not in (OwnCacheDecoder, Recompute), name
    assert WAYS[0] is PlainDecoder, "the fastest is asked first"


NAMES = {
    **{"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "gemma": "Gemma", "olmo2": "OLMo 2"},
    **{"mistral": "Mistral", "gemma3_text": "Gemma 3", "gpt2": "GPT-2"},
}


def test_readme_lists_what_is_tested_here():
    names = [NAMES[name] for name in (*ARCHITECTURES, *UNUSUAL)] + list(HYBRIDS)
    listed = ", ".join(names[:-1]) + f" and {names[-1]}"
    readme = " ".join((PACKAGE.parent / "README.md").read_text(encoding="utf-8").split())
    assert f"tested equal to transformers' `generate` on {listed}" in readme
