"""The cache's share of the memory, and sampling where memory is short: fewer slots, the same samples."""

import math

import pytest
import torch

from labkit.errors import RunError
from labkit.sampling import fused, sample, workspace
from labkit.sampling.fused import FusedDecoder
from labkit.sampling.workspace import default_slots, release_workspaces, sampler_bytes
from tests.sampling.captured import CONTEXT, captured, ending, like, same, text
from tests.sampling.small_models import small_policy

__all__ = ["captured"]
BYTES = 2 * 2 * 2 * 8 * 4  # of a token's keys and values: layers, keys and values, heads, head_dim, float32


@pytest.fixture(autouse=True)
def forget():
    """Each test begins and ends with nothing kept."""
    release_workspaces()
    yield
    release_workspaces()


# ------------------------------------------------------------------------------------------------ the cache's share


def buffers(policy):
    decoder = workspace.workspace(policy.model).decoder
    return decoder.size, decoder.columns


@pytest.mark.usefixtures("captured")
def test_the_cache_grows_within_its_share_and_is_made_anew_beyond_it(monkeypatch):
    """Many short rows, then a few long ones: the larger of each dimension is more than either call needs."""
    policy, many, long = ending(), {"n": 16, "max_new_tokens": 60}, {"n": 2, "max_new_tokens": 20}
    for share, expected in ((16 * 384 * BYTES, (16, 384)), (16 * 384 * BYTES - 1, (2, 384))):
        monkeypatch.setattr(workspace, "cache_share", lambda device, share=share: share)
        release_workspaces()
        sample(policy, ["1+2:"], seed=1, **many)
        assert buffers(policy) == (16, 128)
        ours = sample(policy, [text(300)], seed=2, **long)
        assert buffers(policy) == expected
        same(ours, sample(like(policy), [text(300)], seed=2, **long))
        back = sample(policy, ["1+2:"], seed=1, **many)
        assert buffers(policy) == (16, 384 if expected == (16, 384) else 128)
        same(back, sample(like(policy), ["1+2:"], seed=1, **many))


def test_the_old_cache_is_freed_before_the_new_one_is_made(monkeypatch):
    model, zeros, alive = small_policy("llama").model.requires_grad_(False), fused._zeros, []
    decoder = FusedDecoder(model)
    decoder.load(model)

    def counted(*arguments):
        alive.append(len(decoder.cache) + len(decoder.by_slot))
        return zeros(*arguments)

    monkeypatch.setattr(fused, "_zeros", counted)
    decoder.reserve(2, 16)
    decoder.reserve(4, 16)
    assert alive == [0] * 4, "views of the old memory keep it as the tensors themselves do"


@pytest.mark.usefixtures("captured")
def test_the_default_slots_are_a_bucket_within_the_share(monkeypatch):
    policy = small_policy("llama", max_position_embeddings=CONTEXT)
    for rows in (1, 5, 64, 100, 700, 5000):
        monkeypatch.setattr(workspace, "cache_share", lambda device, rows=rows: rows * 128 * BYTES)
        slots = default_slots(policy.model, 128)
        assert slots <= rows < 2 * slots or slots == workspace.CUDA_SLOTS < rows
        assert (
            sampler_bytes(policy.model, 10**6, 128)[0] - sampler_bytes(policy.model, 0, 128)[0] <= slots * 128 * BYTES
        )


# -------------------------------------------------------------------------------------------------- memory is short


class ShortAllocator:
    """An allocator that has memory for caches of so many bytes in all, and no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
        self.most, self.failures, self.zeros = most, 0, fused._zeros
        monkeypatch.setattr(fused, "_zeros", self)

    def __call__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        if 2 * math.prod(shape) * dtype.itemsize > self.most:  # of two layers
            self.failures += 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.zeros(shape, dtype, device)


@pytest.mark.parametrize("graphs", [False, True])
def test_half_of_the_slots_until_they_fit_and_the_same_samples(monkeypatch, capsys, request, graphs):
    if graphs:
        request.getfixturevalue("captured")
    policy, asked = ending(), {"n": 16, "max_new_tokens": 40, "seed": 4}
    enough = sample(like(policy), ["1+2:", "5,6->30:"], **asked)
    machine = ShortAllocator(monkeypatch, 9 * 128 * BYTES)
    columns_left = 128 if graphs else 60
    ours = sample(policy, ["1+2:", "5,6->30:"], **asked)
    same(ours, enough)
    said = capsys.readouterr().err.splitlines()
    expected = [(32, 16), (16, 8)] if graphs else [(32, 16)]
    told = [f"out of memory while sampling in {before} slots; going on with {after}" for before, after in expected]
    assert [line.split(":")[1].strip() for line in said] == told
    assert buffers(policy)[0] == expected[-1][1] and buffers(policy)[1] <= columns_left
    failed = machine.failures
    same(sample(policy, ["1+2:", "5,6->30:"], **asked), enough)
    assert machine.failures == failed and not capsys.readouterr().err, "it is remembered"


def test_memory_that_runs_out_in_a_step_begins_anew(monkeypatch, capsys):
    policy, step, widest = ending(), FusedDecoder.step, []
    enough = sample(like(policy), ["1+2:"], n=12, max_new_tokens=30, seed=2)

    def short(self, tokens, positions, spans):
        widest.append(len(tokens))
        if len(widest) > 3 and len(tokens) > 4:
            raise RuntimeError("CUDA error: out of memory")
        return step(self, tokens, positions, spans)

    monkeypatch.setattr(FusedDecoder, "step", short)
    same(sample(policy, ["1+2:"], n=12, max_new_tokens=30, seed=2), enough)
    assert capsys.readouterr().err.count("out of memory while sampling") == 2 and max(widest[-10:]) <= 3


def test_a_single_row_that_does_not_fit_is_one_line(monkeypatch):
    ShortAllocator(monkeypatch, 0)
    with pytest.raises(RunError, match="out of memory while sampling a single row of") as caught:
        sample(ending(), ["1+2:"], n=4, max_new_tokens=8)
    assert "\n" not in str(caught.value)


def test_other_errors_are_not_taken_for_it(monkeypatch):
    def broken(*arguments):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(FusedDecoder, "step", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        sample(ending(), ["1+2:"], n=4, max_new_tokens=8)
