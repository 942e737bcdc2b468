"""Tokens that the tokenizer does not have, and numbers that are none: never drawn, never trained on."""

import pytest
import torch

from labkit.errors import NotFiniteError
from labkit.models import Policy, token_logprobs, token_logprobs_and_entropy
from labkit.runs import open_run
from labkit.sampling import sample
from labkit.training.rl.distillation import summed_divergence
from tests.sampling.small_models import small_policy
from tests.training.mini import random_policy
from tests.training.toys import fours, toy_run

PROMPTS = ["5,6,1->30:", "1+2:"]


def padded(architecture: str, **changes: object) -> Policy:
    """A model with 20 rows more than its tokenizer has tokens, and large logits for them."""
    plain = small_policy("llama")
    policy = small_policy(architecture, vocab_size=len(plain.tokenizer) + 20, tie_word_embeddings=False, **changes)
    with torch.no_grad():
        policy.model.lm_head.weight[-20:] *= 5
    return policy


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "cohere"])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_rows_without_a_token_are_never_drawn_and_have_no_share(architecture, temperature):
    """Sampler and trainer agree on the distribution over what is left (cohere scales its logits: computed whole)."""
    policy = padded(architecture)
    known = len(policy.tokenizer)
    drawn = sample(policy, PROMPTS, n=8, max_new_tokens=12, temperature=temperature)
    with torch.no_grad():
        logits = policy.model(drawn.tokens).logits[:, :-1]
        assert (logits.argmax(-1) >= known).any(), "left alone the model would draw them"
        expected = (logits[..., :known] / (temperature or 1)).log_softmax(-1)
        found, entropy = token_logprobs_and_entropy(policy.model, drawn.tokens, temperature or 1.0)
    assert int(drawn.tokens.max()) < known
    chosen = expected.gather(-1, drawn.tokens[:, 1:, None]).squeeze(-1)
    assert torch.allclose(found[:, 1:], chosen, atol=1e-4)
    assert torch.allclose(entropy[:, 1:], -(expected.exp() * expected).sum(-1), atol=1e-4)
    assert (found - drawn.logprobs)[drawn.mask].abs().max() < 1e-4


def test_a_hole_in_the_vocabulary_is_left_out_too_and_copies_know_of_it():
    from copy import deepcopy

    policy = small_policy("llama")
    missing = policy.tokenizer.convert_tokens_to_ids("7")
    vocabulary = {token: id for token, id in policy.tokenizer.get_vocab().items() if id != missing}
    policy.tokenizer.get_vocab = lambda: vocabulary
    policy = Policy(policy.model, policy.tokenizer, "holed")
    tokens = sample(policy, PROMPTS, n=64, max_new_tokens=12, temperature=2.0).tokens
    row = torch.tensor([[5, missing]])
    assert not (tokens[:, 11:] == missing).any()
    assert token_logprobs(deepcopy(policy.model), row)[0, 1] < -1e6


def test_gradients_and_distillation_leave_them_out():
    policy, teacher = padded("llama"), padded("llama", num_hidden_layers=1)
    tokens = torch.tensor([policy.encode(PROMPTS[0])])
    token_logprobs(policy.model, tokens).sum().backward()
    assert policy.model.lm_head.weight.grad[-20:].abs().max() == 0 < policy.model.lm_head.weight.grad.abs().max()
    found = summed_divergence(policy.model, teacher.model, tokens, torch.ones_like(tokens, dtype=torch.bool))
    known = len(policy.tokenizer)
    p, q = (model(tokens).logits[0, :-1, :known].log_softmax(-1) for model in (policy.model, teacher.model))
    assert found.item() == pytest.approx((p.exp() * (p - q)).sum().item(), rel=1e-4)


# ------------------------------------------------------------------------------------------------- NaN, infinity


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_broken_model_is_not_sampled_from(architecture, value, temperature):
    policy = small_policy(architecture)
    with torch.no_grad():
        policy.model.get_input_embeddings().weight.fill_(value)
    told = r"logit (at token 1 of an answer|of a plain text) is NaN or infinite"
    with pytest.raises(NotFiniteError, match=told) as caught:
        sample(policy, PROMPTS, max_new_tokens=4, temperature=temperature)
    assert "\n" not in str(caught.value)


def test_a_break_in_the_midst_of_an_answer_is_seen():
    policy = small_policy("llama")
    row = sample(policy, PROMPTS[:1], max_new_tokens=6, temperature=0).tokens[0]
    with torch.no_grad():
        policy.model.model.embed_tokens.weight[row[-2]] = torch.nan
    with pytest.raises(NotFiniteError, match=r"token [2-6] of an answer"):
        sample(policy, PROMPTS[:1], max_new_tokens=6, temperature=0)


@pytest.mark.parametrize("trainer", ["sft", "dpo", "kto", "reward_model"])
def test_rows_are_not_trained_on_by_a_broken_model(tmp_path, trainer):
    policy = random_policy()
    with torch.no_grad():
        policy.model.model.norm.weight[3] = torch.nan
    with pytest.raises(NotFiniteError, match="is NaN or infinite"):
        toy_run(tmp_path / "run", trainer, policy, steps=2)


def test_a_run_that_diverges_stops_at_the_step_and_keeps_the_checkpoint_before(tmp_path):
    policy, scored = random_policy(), 0

    def breaks(completion: str, reference: object) -> float:
        """Breaks the policy between the sampling and the update of step 3 (8 prompts x 8 samples per step)."""
        nonlocal scored
        scored += 1
        if scored == 3 * 64 + 1:
            policy.model.lm_head.weight.data.fill_(torch.inf)
        return completion.count("4")

    breaks.needs_worker = False
    with pytest.raises(NotFiniteError, match=r"step 3: .* of the trained tokens is NaN .* smaller optimizer.lr"):
        toy_run(tmp_path / "run", "rloo", policy, task=fours(breaks), steps=6, checkpoint_every=2)
    run = open_run(tmp_path / "run")
    assert list(run.checkpoints()) == [2] and len(run.metrics) == 3
    assert run.policy().model.lm_head.weight.isfinite().all()
