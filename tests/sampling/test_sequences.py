"""Calls of `sample` one after another on the way of CUDA: what an earlier call has left behind may not show."""

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.models import Policy
from labkit.rollouts import Rollouts
from labkit.sampling import sample, workspace
from labkit.sampling.workspace import release_workspaces
from tests.sampling.captured import Recorded, captured
from tests.sampling.small_models import small_policy

__all__ = ["captured"]
CONTEXT = 384  # tokens: three buckets of columns
SHORT = "1+2:"


def ending() -> Policy:
    """A policy whose rows end at all times, so that many of them move to other slots."""
    policy = small_policy("llama", seed=5, max_position_embeddings=CONTEXT)
    policy.eos_ids = frozenset(range(4, 10))
    return policy


def like(policy: Policy) -> Policy:
    """The same policy with an engine of its own."""
    other = Policy(copy.deepcopy(policy.model), policy.tokenizer, policy.name)
    other.eos_ids = policy.eos_ids
    return other


def text(length: int) -> str:
    """A prompt of about so many tokens."""
    return "5,6,1->30:" + ",7" * max(0, (length - 10) // 2)


def same(ours: Rollouts, fresh: Rollouts) -> None:
    """Raises AssertionError unless both hold the same tokens, and the same log-probs up to rounding."""
    assert torch.equal(ours.tokens, fresh.tokens) and torch.equal(ours.mask, fresh.mask)
    assert torch.equal(ours.truncated, fresh.truncated) and ours.completions == fresh.completions
    torch.testing.assert_close(ours.logprobs, fresh.logprobs, rtol=0, atol=1e-4)


@pytest.mark.usefixtures("captured")
def test_a_slot_that_its_row_has_left_does_not_run_on_in_a_later_call():
    """Long prompts leave their slots. Then a short prompt takes fewer slots of the same bucket, and a higher limit."""
    policy = ending()
    sample(policy, [text(200)], n=8, max_new_tokens=100, seed=3)
    place = workspace.workspace(policy.model)
    assert isinstance(place.stepper, Recorded) and place.stepper.replayed > 0
    assert not bool(place.slots.alive.any()), "no call is under way"
    policy.eos_ids = frozenset()  # all rows run to the limit, which is beyond the cache for the long prompt
    ours = sample(policy, [SHORT], n=5, max_new_tokens=300, seed=1)
    same(ours, sample(like(policy), [SHORT], n=5, max_new_tokens=300, seed=1))
    release_workspaces()


CALL = st.tuples(
    st.lists(st.integers(4, 250), min_size=1, max_size=3),  # tokens of each prompt
    st.integers(1, 9),  # samples of each
    st.integers(1, 120),  # new tokens
    st.sampled_from([None, 1, 3, 8, 20]),  # slots
    st.booleans(),  # rows end, or run to the limit
)


@pytest.mark.usefixtures("captured")
@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(CALL, min_size=2, max_size=4))
def test_any_sequence_of_calls_draws_what_fresh_engines_draw(calls):
    policy = ending()
    ends = policy.eos_ids
    for seed, (lengths, n, steps, slots, ending_) in enumerate(calls):
        policy.eos_ids = ends if ending_ else frozenset()
        asked = {"n": n, "max_new_tokens": steps, "slots": slots, "seed": seed}
        ours = sample(policy, [text(length) for length in lengths], **asked)
        same(ours, sample(like(policy), [text(length) for length in lengths], **asked))
    release_workspaces()
