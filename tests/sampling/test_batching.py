"""Slots, refilling and captured steps: nothing of how rows are batched may show in what is drawn."""

import copy

import pytest
import torch

from labkit.errors import UserError
from labkit.models import Policy, add_lora, merged_adapters, token_logprobs
from labkit.rollouts import Rollouts
from labkit.sampling import batching, sample, workspace
from labkit.sampling.batching import ContinuousBatch, Drawn
from labkit.sampling.choose import SamplingOptions, uniforms
from labkit.sampling.fused import FusedDecoder
from labkit.sampling.plain import PlainDecoder
from labkit.sampling.slots import Slots
from labkit.sampling.stepping import Stepper, row_bucket
from labkit.sampling.stopping import StopStrings
from tests.sampling.captured import Recorded
from tests.sampling.small_models import small_policy

RAGGED = ["5,6,1->30:", "347+1058:", "1+2:", "12,11,10,9->42:", "user: open the door\nbot:"]
FUSED = ("llama", "qwen2", "qwen3", "olmo2")


def ending(architecture: str = "llama", seed: int = 5) -> Policy:
    """A policy whose completions end early, and at all times."""
    policy = small_policy(architecture, seed=seed)
    policy.eos_ids = frozenset(range(4, 30))
    return policy


def completions(rollouts: Rollouts) -> list[list[int]]:
    return [row[mask].tolist() for row, mask in zip(rollouts.tokens, rollouts.mask, strict=True)]


@pytest.mark.parametrize("architecture", [*FUSED, "gpt2", "gemma"])
@pytest.mark.parametrize("slots", [1, 7, 24])
def test_a_sample_is_the_same_whatever_the_slots(architecture, slots):
    policy = ending(architecture)
    together = sample(policy, RAGGED, n=8, max_new_tokens=24, seed=7, slots=40)
    refilled = sample(policy, RAGGED, n=8, max_new_tokens=24, seed=7, slots=slots)
    assert len(set(together.lengths.tolist())) > 5
    assert torch.equal(refilled.tokens, together.tokens) and torch.equal(refilled.mask, together.mask)
    assert torch.equal(refilled.truncated, together.truncated) and refilled.completions == together.completions
    assert (refilled.logprobs - together.logprobs).abs().max() < 1e-5


@pytest.mark.parametrize("architecture", [*FUSED, "mistral", "gemma3_text"])
def test_logprobs_of_refilled_rows_are_those_of_a_full_forward_pass(architecture):
    policy = ending(architecture)
    rollouts = sample(policy, RAGGED, n=6, max_new_tokens=20, seed=1, slots=8)
    with torch.no_grad():
        full = token_logprobs(policy.model, rollouts.tokens)
    assert (full - rollouts.logprobs)[rollouts.mask].abs().max() < 1e-4


def test_the_longest_row_is_truncated_in_a_slot_that_others_had_before():
    policy = small_policy("llama")
    rollouts = sample(policy, RAGGED, n=3, max_new_tokens=5, seed=2, slots=2)
    free = sample(policy, RAGGED, n=3, max_new_tokens=50, seed=2)
    for short, long, cut in zip(completions(rollouts), completions(free), rollouts.truncated, strict=True):
        assert short == long[:5] and bool(cut) == (len(long) > 5)


def test_refilling_keeps_the_distribution():
    """Pairs of tokens from 8 slots that are refilled 500 times, against their exact probabilities: chi-square."""
    policy, prompt, n = small_policy("llama", seed=3), "5,6->30:", 4000
    rollouts = sample(policy, [prompt], n=n, max_new_tokens=2, temperature=0.3, seed=0, slots=8)
    ids = torch.tensor([policy.encode(prompt)])
    vocabulary = policy.model.config.vocab_size
    with torch.no_grad():
        first = (policy.model(ids).logits[0, -1] / 0.3).softmax(-1)
        both = torch.cat([ids.expand(vocabulary, -1), torch.arange(vocabulary)[:, None]], 1)
        second = (policy.model(both).logits[:, -1] / 0.3).softmax(-1)
    exact = first[:, None] * second
    eos = sorted(policy.eos_ids)
    exact[eos] = 0.0
    exact[eos, 0] = first[eos]  # a row that has ended is counted as a pair with token 0
    pairs = [row if len(row) == 2 else [*row, 0] for row in completions(rollouts)]
    counts = torch.bincount(torch.tensor([a * vocabulary + b for a, b in pairs]), minlength=vocabulary**2)
    expected = exact.flatten() * n
    common = expected >= 5
    counts, expected = (torch.cat([x[common], x[~common].sum()[None]]).double() for x in (counts, expected))
    degrees = len(counts) - 1
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert degrees >= 20, "the distribution must be wide for this to mean anything"
    assert chi_square < degrees + 4 * (2 * degrees) ** 0.5  # 4 standard deviations above its mean


def test_refilled_rows_use_their_own_random_numbers():
    policy = small_policy("llama", seed=3)
    rows = completions(sample(policy, ["5,6->30:"], n=64, max_new_tokens=12, seed=0, slots=4))
    assert len({tuple(row) for row in rows}) > 48


def test_a_prompt_is_read_once_for_its_group(monkeypatch):
    read: list[int] = []
    prefill = FusedDecoder.prefill
    monkeypatch.setattr(FusedDecoder, "prefill", lambda self, t, n: read.append(len(t)) or prefill(self, t, n))
    monkeypatch.setattr(batching, "PREFILL_TOKENS", 24)
    policy = ending()
    small = sample(policy, RAGGED, n=12, max_new_tokens=16, seed=1, slots=5)
    assert sum(read) == len(RAGGED) and len(read) > 1, "in several batches, each prompt in one of them"
    monkeypatch.undo()
    assert torch.equal(small.tokens, sample(policy, RAGGED, n=12, max_new_tokens=16, seed=1).tokens)


def test_rows_that_have_ended_cost_no_steps(monkeypatch):
    """The work done is hardly more than what must be done."""
    fed: list[int] = []
    step = FusedDecoder.step
    monkeypatch.setattr(FusedDecoder, "step", lambda self, t, p, s: fed.append(len(t)) or step(self, t, p, s))
    rollouts = sample(ending(), RAGGED, n=32, max_new_tokens=40, seed=7, slots=32)
    useful = int((rollouts.lengths - 1).sum())
    assert useful <= sum(fed) < 1.1 * useful
    assert max(fed) <= 32


def test_bad_slots_are_refused():
    with pytest.raises(UserError, match="slots must be 1 or more"):
        sample(small_policy("llama"), ["1+2:"], max_new_tokens=4, slots=0)


def test_what_falls_back_says_so_once(capsys, monkeypatch):
    monkeypatch.setattr(workspace, "_told", set())
    for _ in range(2):
        sample(small_policy("gpt2"), ["1+2:"], max_new_tokens=2)
        sample(small_policy("llama"), ["1+2:"], max_new_tokens=2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "gpt2" in lines[0] and "transformers' own forward pass" in lines[0]


def test_rollouts_can_be_trained_on():
    """Decoding runs in inference mode, whose tensors autograd refuses: none may come out."""
    rollouts = sample(small_policy("llama"), RAGGED, max_new_tokens=4)
    tensors = [value for value in vars(rollouts).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 6
    assert not any(tensor.is_inference() for tensor in tensors)


# ------------------------------------------------------------------------------ weights that change, buffers that stay


def logits_of(decoder: FusedDecoder, policy: Policy) -> torch.Tensor:
    ids = torch.tensor([policy.encode("5,6->30:")])
    return decoder.prefill(ids, torch.tensor([ids.shape[1]])).logits


@pytest.mark.parametrize("architecture", FUSED)
def test_an_optimiser_step_is_seen_at_once_and_in_place(architecture):
    policy = small_policy(architecture)
    place = workspace.Workspace(policy.model)
    ids = torch.tensor([policy.encode("5,6->30:")])
    optimizer, seen = torch.optim.AdamW(policy.model.parameters(), lr=0.05), []
    for _ in range(2):
        with torch.inference_mode():
            place.prepare(policy.model, 4, 8, 32)
            ours = logits_of(place.decoder, policy)
        theirs = policy.model(ids).logits[:, -1]
        assert (ours - theirs).abs().max() < 1e-3 * theirs.abs().max()
        seen.append((ours.clone(), [s.value.data_ptr() for layer in place.decoder.layers for s in stacks(layer)]))
        theirs.logsumexp(-1).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert (seen[0][0] - seen[1][0]).abs().max() > 0.1
    assert seen[0][1] == seen[1][1], "a captured graph reads the addresses that it was captured with"


def stacks(layer) -> list:
    return [*layer.matrices.values(), *layer.norms.values()]


def test_a_samplers_call_after_an_optimiser_step_samples_the_new_policy():
    policy = small_policy("llama")
    before = sample(policy, RAGGED, n=4, max_new_tokens=12, seed=1)
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.mul_(0.9)
    after = sample(policy, RAGGED, n=4, max_new_tokens=12, seed=1)
    assert not torch.equal(before.logprobs[:, : after.logprobs.shape[1]], after.logprobs[:, : before.logprobs.shape[1]])
    with torch.no_grad():
        full = token_logprobs(policy.model, after.tokens)
    assert (full - after.logprobs)[after.mask].abs().max() < 1e-4


def test_adapters_are_seen_merged_and_at_the_same_addresses():
    pytest.importorskip("peft")
    policy = add_lora(small_policy("llama"), rank=2, alpha=4.0)
    place = workspace.Workspace(policy.model)
    with torch.inference_mode():
        with merged_adapters(policy.model):
            place.prepare(policy.model, 4, 8, 32)
        plain = logits_of(place.decoder, policy)
        for name, weight in policy.model.named_parameters():
            if "lora_B" in name:
                weight.data.normal_(generator=torch.Generator().manual_seed(0))
        with merged_adapters(policy.model):
            place.prepare(policy.model, 4, 8, 32)
        adapted = logits_of(place.decoder, policy)
        theirs = policy.model(torch.tensor([policy.encode("5,6->30:")])).logits[:, -1]
    assert (plain - adapted).abs().max() > 0.1
    assert (adapted - theirs).abs().max() < 1e-3 * theirs.abs().max()


@pytest.mark.parametrize("architecture", FUSED)
def test_rounding_is_that_of_autocast(architecture):
    """The way of CUDA, on the CPU: float32 weights, bfloat16 products, next to transformers under autocast."""
    policy = small_policy(architecture)
    ids = torch.tensor([policy.encode("12,11,10,9->42:")])
    with torch.inference_mode():
        decoder = FusedDecoder(policy.model, torch.bfloat16)
        decoder.load(policy.model)
        decoder.reserve(2, 32)
        ours = logits_of_ids(decoder, ids)
        exact = policy.model(ids).logits[0, 3:]
        with torch.autocast("cpu", torch.bfloat16):
            theirs = policy.model(ids).logits[0, 3:].float()
    assert decoder.cache[0].dtype == torch.bfloat16
    # The mean, and not the largest: a CPU without bfloat16 units rounds otherwise for another number of rows, so that
    # autocast itself differs by as much at single logits when it reads the prompt at once and token by token.
    error = (ours - theirs).abs().mean()
    assert error <= 0.6 * (theirs - exact).abs().mean(), "much nearer to autocast than to float32"


def logits_of_ids(decoder: FusedDecoder, ids: torch.Tensor) -> torch.Tensor:
    """Next-token logits after the fourth token and after each that follows: the first by prefill, then by steps."""
    prompt = decoder.prefill(ids[:, :4], torch.tensor([4]))
    decoder.fill(prompt, torch.tensor([0]), 0)
    rows = [prompt.logits[0]]
    for column in range(4, ids.shape[1]):
        rows.append(decoder.step(ids[:, column], torch.tensor([column]), ((1, column + 1),))[0])
    return torch.stack(rows).float()


# ---------------------------------------------------------------------------- captured steps, with the capture replaced


class Kept:
    """A workspace that stays, as on CUDA."""

    def __init__(self, policy: Policy, size: int, steps: int, columns: int) -> None:
        self.policy, self.decoder = policy, FusedDecoder(policy.model)
        self.decoder.load(policy.model)
        self.decoder.reserve(size, columns)
        self.slots = Slots(size, steps, policy.device)
        self.stepper = Recorded(self.decoder, self.slots)

    def draw(self, n: int, steps: int, seed: int, size: int, stop: tuple[str, ...] = (), top_k: int = 0) -> Drawn:
        encoded = [self.policy.encode(prompt) for prompt in RAGGED]
        self.decoder.load(self.policy.model)
        self.slots.prepare(SamplingOptions(top_k=top_k), tuple(sorted(self.policy.eos_ids)), steps)
        stops = StopStrings(self.policy.tokenizer, stop) if stop else None
        noise = uniforms(encoded, n, steps, seed)
        parts = (self.decoder, self.slots, self.stepper, encoded, n, noise, stops, size)
        return ContinuousBatch(*parts).run()


def drawn_rows(drawn: Drawn) -> list[list[int]]:
    return [row[:length].tolist() for row, length in zip(drawn.tokens, drawn.lengths.tolist(), strict=True)]


@torch.inference_mode()
def test_captured_steps_draw_what_plain_steps_draw():
    policy = ending()
    kept = Kept(policy, size=64, steps=40, columns=96)
    addresses = [t.data_ptr() for t in (*kept.slots.belongings, *kept.decoder.cache, kept.slots.limit)]
    for n, steps, seed, size in ((8, 40, 1, 64), (16, 24, 2, 16), (3, 40, 3, 64), (8, 40, 1, 64)):
        drawn = kept.draw(n, steps, seed, size)
        with torch.inference_mode(False):
            plain = sample(policy, RAGGED, n=n, max_new_tokens=steps, seed=seed)
        assert drawn_rows(drawn) == completions(plain)
        assert drawn.ended.tolist() == (~plain.truncated).tolist()
        for row, length, mask, exact in zip(drawn.logprobs, drawn.lengths, plain.mask, plain.logprobs, strict=True):
            assert (row[:length] - exact[mask]).abs().max() < 1e-5
    assert [t.data_ptr() for t in (*kept.slots.belongings, *kept.decoder.cache, kept.slots.limit)] == addresses
    assert kept.stepper.recorded == len(kept.stepper.graphs) <= 7, "one for each power of two of rows"
    assert kept.stepper.replayed > 10 * kept.stepper.recorded
    recorded = kept.stepper.recorded
    kept.draw(8, 40, 1, 64)
    assert kept.stepper.recorded == recorded, "captured once and kept"


@torch.inference_mode()
def test_captured_steps_are_kept_apart_by_options_and_ends():
    policy = ending()
    kept = Kept(policy, size=40, steps=24, columns=64)
    kept.draw(8, 24, 1, 40)
    first = kept.stepper.recorded
    greedy = kept.draw(8, 24, 1, 40, top_k=1)
    assert kept.stepper.recorded > first
    assert len({tuple(row) for row in drawn_rows(greedy)[:8]}) == 1, "top-k of 1 draws the likeliest"
    policy.eos_ids = frozenset()
    assert set(kept.draw(8, 24, 1, 40).lengths.tolist()) == {24}


@torch.inference_mode()
def test_captured_steps_see_an_optimiser_step():
    policy = ending()
    kept = Kept(policy, size=40, steps=24, columns=64)
    old = drawn_rows(kept.draw(8, 24, 1, 40))
    for weight in policy.model.parameters():
        weight.data.mul_(0.9)
    new = drawn_rows(kept.draw(8, 24, 1, 40))
    assert new != old
    with torch.inference_mode(False):
        assert new == completions(sample(policy, RAGGED, n=8, max_new_tokens=24, seed=1))


@torch.inference_mode()
def test_stop_strings_between_two_looks():
    """A look every 16 steps finds the stop string, and the token that completed it, among what was drawn since."""
    policy, stop = small_policy("llama", seed=11), ("=3", "0 no\n", "</answer>")
    kept = Kept(policy, size=256, steps=64, columns=96)
    kept.slots.prepare(SamplingOptions(), tuple(policy.eos_ids), 64)
    drawn = kept.draw(48, 64, 4, 100, stop=stop)
    with torch.inference_mode(False):
        plain = sample(policy, RAGGED, n=48, max_new_tokens=64, seed=4, stop=stop)
        free = sample(policy, RAGGED, n=48, max_new_tokens=64, seed=4)
    assert drawn_rows(drawn) == completions(plain) != completions(free)
    assert drawn.ended.tolist() == (~plain.truncated).tolist()


def test_row_buckets_hold_their_rows():
    for rows in range(1, 1500):
        assert rows <= row_bucket(rows) < 2 * rows
        assert row_bucket(row_bucket(rows)) == row_bucket(rows)
    assert len({row_bucket(rows) for rows in range(1, 1025)}) == 11, "each is a capture, for each bucket of columns"


def test_the_plain_way_steps_without_graphs():
    """A model that falls back is stepped operation by operation, on every device."""
    policy = small_policy("gpt2")
    place = workspace.Workspace(policy.model)
    with torch.inference_mode():
        place.prepare(policy.model, 4, 8, 32)
    assert isinstance(place.decoder, PlainDecoder) and type(place.stepper) is Stepper


def test_a_workspace_fits_only_the_model_as_it_was():
    policy = small_policy("llama")
    before = workspace.signature(policy.model)
    assert workspace.signature(policy.model) == before
    assert workspace.signature(copy.deepcopy(policy.model)) != before
    assert workspace.signature(policy.model.to(torch.bfloat16)) != before


def test_a_cpu_keeps_small_caches_from_call_to_call_and_gives_large_ones_back(monkeypatch):
    policy = ending()
    first = sample(policy, ["12+30:", "7+8:"], n=3, max_new_tokens=8, seed=0)
    kept = workspace.workspace(policy.model)
    buffers = [cache.data_ptr() for cache in kept.decoder.cache]
    # Longer rows in between leave their numbers in the buffers; they must not be seen.
    sample(policy, ["1+2:"], n=6, max_new_tokens=8, seed=5)
    again = sample(policy, ["12+30:", "7+8:"], n=3, max_new_tokens=8, seed=0)
    assert workspace.workspace(policy.model) is kept
    assert [cache.data_ptr() for cache in kept.decoder.cache] == buffers
    assert again.completions == first.completions
    torch.testing.assert_close(again.logprobs, first.logprobs, rtol=0, atol=1e-5)
    monkeypatch.setattr(workspace, "CPU_KEPT_BYTES", 0)
    sample(policy, ["1+2:"], n=6, max_new_tokens=8, seed=5)
    assert workspace.workspace(policy.model) is not kept
    workspace.release_workspaces()


@pytest.mark.parametrize("architecture", FUSED)
def test_views_are_made_anew_when_what_they_look_at_has_moved(architecture):
    """Views of the cache are kept from step to step: not beyond the day on which a larger call moves the cache."""
    policy = small_policy(architecture)
    policy.eos_ids = frozenset()  # all rows to the end: both calls step over the same slots and columns
    sample(policy, RAGGED[:3], n=2, max_new_tokens=5, seed=2)
    decoder = workspace.workspace(policy.model).decoder
    assert decoder.views and decoder.rooms
    larger = sample(policy, RAGGED[:3], n=2, max_new_tokens=30, seed=1)
    other = small_policy(architecture)
    other.eos_ids = frozenset()
    assert completions(larger) == completions(sample(other, RAGGED[:3], n=2, max_new_tokens=30, seed=1))
    own = torch.where(larger.mask, token_logprobs(policy.model, larger.tokens), 0.0)
    torch.testing.assert_close(larger.logprobs, own.detach(), rtol=0, atol=1e-4)
