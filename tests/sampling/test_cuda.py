"""The sampler on CUDA: captured graphs, bfloat16, no waiting between two looks."""

import pytest
import torch

from labkit.models import Policy, token_logprobs
from labkit.sampling import sample, workspace
from labkit.sampling.fused import FusedDecoder
from labkit.sampling.stepping import GraphStepper, Stepper
from tests.sampling.small_models import small_policy

pytestmark = pytest.mark.gpu
RAGGED = ["5,6,1->30:", "347+1058:", "1+2:", "12,11,10,9->42:", "user: open the door\nbot:"]
FUSED = ("llama", "qwen2", "qwen3", "olmo2")
TOLERANCE = 0.05  # of log-probs, in nats, in bfloat16; as the docstring of `sample` says


def on_cuda(architecture: str, dtype: torch.dtype = torch.float32) -> Policy:
    """As small_policy, less extreme: weights that are made 8 times larger would make rounding 8 times larger too."""
    policy = small_policy(architecture, head_dim=16)
    with torch.no_grad():
        for name, weight in policy.model.named_parameters():
            if weight.dim() >= 2 and "embed" not in name and "wte" not in name:
                weight.mul_(0.25)
    return Policy(policy.model.to(device="cuda", dtype=dtype), policy.tokenizer, architecture)


@pytest.mark.parametrize("architecture", FUSED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logprobs_are_those_of_the_trainer(architecture, dtype):
    policy = on_cuda(architecture, dtype)
    rollouts = sample(policy, RAGGED, n=16, max_new_tokens=40, seed=1, slots=24)
    with torch.no_grad():
        full = token_logprobs(policy.model, rollouts.tokens)
    error = (full - rollouts.logprobs)[rollouts.mask].abs()
    assert error.max() < TOLERANCE and error.mean() < TOLERANCE / 5
    assert isinstance(workspace.workspace(policy.model).stepper, GraphStepper)


@pytest.mark.parametrize("architecture", FUSED)
def test_a_graph_draws_what_its_operations_draw(architecture):
    policy = on_cuda(architecture)
    graphs = sample(policy, RAGGED, n=8, max_new_tokens=40, seed=1)
    place = workspace.workspace(policy.model)
    kept, place.stepper = place.stepper, Stepper(place.decoder, place.slots)
    eager = sample(policy, RAGGED, n=8, max_new_tokens=40, seed=1)
    place.stepper = kept
    same = (graphs.tokens[:, :30] == eager.tokens[:, :30]).all(1).float().mean()
    assert same > 0.8, "buckets of other shapes may round otherwise, here and there"
    again = sample(policy, RAGGED, n=8, max_new_tokens=40, seed=1)
    assert torch.equal(again.tokens, graphs.tokens) and torch.equal(again.logprobs, graphs.logprobs)


def test_graphs_are_captured_once_and_see_an_optimiser_step():
    policy = on_cuda("llama")
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=0.02)
    sample(policy, RAGGED, n=8, max_new_tokens=40, seed=1)
    stepper = workspace.workspace(policy.model).stepper
    captured = set(stepper.graphs)
    for _ in range(2):
        token_logprobs(policy.model, torch.randint(4, 100, (4, 16), device="cuda")).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        rollouts = sample(policy, RAGGED, n=8, max_new_tokens=40, seed=1)
        with torch.no_grad():
            full = token_logprobs(policy.model, rollouts.tokens)
        assert (full - rollouts.logprobs)[rollouts.mask].abs().max() < 2 * TOLERANCE
    assert workspace.workspace(policy.model).stepper is stepper
    assert len(set(stepper.graphs) - captured) <= 3, "only buckets that were not needed before"


@torch.inference_mode()
def test_steps_do_not_wait_for_the_device():
    policy = on_cuda("llama")
    sample(policy, RAGGED, n=8, max_new_tokens=40, seed=1)
    place = workspace.workspace(policy.model)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        place.stepper.run(((32, 64),), 8)  # replayed
        Stepper(place.decoder, place.slots).run(((32, 64),), 8)  # and operation by operation
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_models_that_fall_back_run_under_autocast():
    policy = on_cuda("gemma")
    assert not FusedDecoder.serves(policy.model)
    rollouts = sample(policy, RAGGED, n=4, max_new_tokens=24, seed=1, slots=7)
    with torch.no_grad():
        full = token_logprobs(policy.model, rollouts.tokens)
    assert (full - rollouts.logprobs)[rollouts.mask].abs().max() < 2 * TOLERANCE


def test_what_is_kept_can_be_given_back():
    policy = on_cuda("llama")
    sample(policy, RAGGED, n=8, max_new_tokens=40)
    before = torch.cuda.memory_allocated()
    workspace.release_workspaces()
    assert torch.cuda.memory_allocated() < before
    sample(policy, RAGGED, n=8, max_new_tokens=8)
