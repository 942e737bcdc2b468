"""The sampler against transformers' own `generate`, against a full forward pass, and against the field's traps."""

import time

import pytest
import torch

from labkit.errors import UserError
from labkit.models import Policy, token_logprobs
from labkit.sampling import sample
from labkit.sampling.fused import FusedDecoder
from tests.sampling.small_models import ARCHITECTURES, UNUSUAL, small_policy

RAGGED = ["5,6,1->30:", "347+1058:", "1+2:", "12,11,10,9->42:", "user: open the door\nbot:"]


def generate(policy: Policy, prompts: list[str], max_new_tokens: int) -> list[list[int]]:
    """Completions of transformers' greedy `generate`, up to and including eos."""
    encoded = policy.tokenizer(prompts, padding=True, return_tensors="pt")
    out = policy.model.generate(
        **encoded, max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=policy.tokenizer.pad_token_id
    )
    rows = []
    for row in out[:, encoded["input_ids"].shape[1] :].tolist():
        ends = [i for i, token in enumerate(row) if token in policy.eos_ids]
        rows.append(row[: ends[0] + 1] if ends else row)
    return rows


def completions(rollouts) -> list[list[int]]:
    return [row[mask].tolist() for row, mask in zip(rollouts.tokens, rollouts.mask, strict=True)]


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *UNUSUAL])
def test_greedy_is_what_generate_gives(architecture):
    policy = small_policy(architecture)
    ours = completions(sample(policy, RAGGED, max_new_tokens=24, temperature=0))
    assert ours == generate(policy, RAGGED, 24)
    assert len({tuple(row) for row in ours}) > 1, "the models must react to the prompt for this to mean anything"


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *UNUSUAL])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_are_those_of_a_full_forward_pass(architecture, temperature):
    policy = small_policy(architecture)
    rollouts = sample(policy, RAGGED, n=3, max_new_tokens=20, temperature=temperature, seed=1)
    with torch.no_grad():
        full = token_logprobs(policy.model, rollouts.tokens, temperature)
    assert (full - rollouts.logprobs)[rollouts.mask].abs().max() < 1e-4
    assert (rollouts.logprobs[~rollouts.mask] == 0).all()


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_the_fused_step_is_transformers_own(architecture, monkeypatch):
    policy = small_policy(architecture)
    assert FusedDecoder.serves(policy.model)
    fused = sample(policy, RAGGED, n=4, max_new_tokens=24, seed=1)
    monkeypatch.setattr(FusedDecoder, "serves", staticmethod(lambda model: False))
    plain = sample(policy, RAGGED, n=4, max_new_tokens=24, seed=1)
    assert torch.equal(fused.tokens, plain.tokens)
    assert (fused.logprobs - plain.logprobs).abs().max() < 1e-5


def test_the_record_is_consistent():
    policy = small_policy("llama")
    rollouts = sample(policy, RAGGED, n=4, max_new_tokens=12, seed=3)
    assert rollouts.groups.tolist() == [i // 4 for i in range(20)]
    assert rollouts.mask.sum(1).tolist() == rollouts.lengths.tolist()
    for i, row in enumerate(rollouts.tokens):
        prompt = policy.encode(RAGGED[i // 4])
        assert row[: len(prompt)].tolist() == prompt
        first = int(rollouts.mask[i].nonzero()[0])
        assert first == len(prompt), "the mask begins right behind the prompt"
        chosen = row[rollouts.mask[i]].tolist()
        ended = chosen[-1] in policy.eos_ids
        assert bool(rollouts.truncated[i]) != ended, "truncated: the limit ended it, and not the policy"
        assert all(token not in policy.eos_ids for token in chosen[:-1])
        assert rollouts.completions[i] == policy.decode(chosen)
    assert rollouts.truncated.any() or (rollouts.lengths < 12).any()


def test_finished_rows_leave_and_nothing_changes():
    """Rows that end early leave the batch; each row must be what it is when it is sampled alone."""
    policy = small_policy("llama", seed=5)
    policy.eos_ids = frozenset(range(4, 30))  # ends come early and at all times
    together = sample(policy, RAGGED, n=16, max_new_tokens=40, seed=7)
    assert len(set(together.lengths.tolist())) > 5
    row = 0
    for prompt in RAGGED:
        alone = sample(policy, [prompt], n=16, max_new_tokens=40, seed=7)
        assert completions(alone) == completions(together)[row : row + 16]
        row += 16


def test_same_seed_same_sample_other_seed_other_sample():
    policy = small_policy("qwen3")
    first, again, other = (sample(policy, RAGGED, n=4, max_new_tokens=16, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.tokens, again.tokens) and torch.equal(first.logprobs, again.logprobs)
    assert completions(first) != completions(other)


def test_the_same_prompt_twice_gets_other_random_numbers():
    policy = small_policy("llama")
    rows = completions(sample(policy, ["1+2:", "1+2:"], n=4, max_new_tokens=16, seed=1))
    assert len({tuple(row) for row in rows}) > 4


def test_eos_as_pad_is_no_trouble():
    """Many tokenizers pad with eos: the emitted eos must count, the padding must not."""
    policy = small_policy("llama", seed=5)
    plain = sample(policy, RAGGED, n=8, max_new_tokens=24, seed=2)
    policy.tokenizer.pad_token = policy.tokenizer.eos_token
    assert policy.pad_id in policy.eos_ids
    padded = sample(policy, RAGGED, n=8, max_new_tokens=24, seed=2)
    assert completions(padded) == completions(plain)
    assert torch.equal(padded.mask, plain.mask)
    with torch.no_grad():
        full = token_logprobs(policy.model, padded.tokens)
    assert (full - padded.logprobs)[padded.mask].abs().max() < 1e-4


def test_dropout_is_off_even_when_the_model_was_left_in_train_mode():
    policy = small_policy("llama", attention_dropout=0.5)
    assert not policy.model.training
    first, again = (sample(policy, RAGGED, max_new_tokens=8, seed=1).logprobs for _ in range(2))
    assert torch.equal(first, again)


def test_samples_follow_the_distribution():
    """Frequencies of the first token against the model's own probabilities."""
    policy = small_policy("llama")
    for temperature in (1.0, 2.0):
        rollouts = sample(policy, ["5,6->30:"], n=4000, max_new_tokens=1, temperature=temperature, seed=0)
        tokens = torch.tensor([row[0] for row in completions(rollouts)])
        counts = torch.bincount(tokens, minlength=policy.model.config.vocab_size) / 4000
        with torch.no_grad():
            logits = policy.model(torch.tensor([policy.encode("5,6->30:")])).logits[0, -1]
        exact = (logits / temperature).softmax(-1)
        error = (exact * (1 - exact) / 4000).sqrt()
        assert ((counts - exact).abs() <= 5 * error + 1e-4).all()


@pytest.mark.parametrize("stop", ["</answer>", "=3", "0 no\n"])
def test_stop_strings_end_a_row_with_the_token_that_completes_them(stop):
    policy = small_policy("llama", seed=11)
    free = sample(policy, RAGGED, n=64, max_new_tokens=64, seed=4, temperature=1.5)
    stopped = sample(policy, RAGGED, n=64, max_new_tokens=64, seed=4, temperature=1.5, stop=[stop])
    met = 0
    for i, (long, short) in enumerate(zip(completions(free), completions(stopped), strict=True)):
        assert long[: len(short)] == short, "stopping changes nothing before the stop"
        text = policy.tokenizer.decode(long)
        if stop in text:
            met += 1
            assert stop in policy.tokenizer.decode(short)
            assert stop not in policy.tokenizer.decode(short[:-1]), "the last token completes it"
            assert not stopped.truncated[i]
        else:
            assert short == long
    assert met > 0, "some rows must meet the stop string for this to mean anything"


def test_min_p_top_k_and_top_p_leave_out_what_they_should():
    policy = small_policy("llama")
    rollouts = sample(policy, ["5,6->30:"], n=500, max_new_tokens=1, top_k=3, seed=0)
    with torch.no_grad():
        logits = policy.model(torch.tensor([policy.encode("5,6->30:")])).logits[0, -1]
    allowed = set(logits.topk(3).indices.tolist())
    drawn = {row[0] for row in completions(rollouts)}
    assert drawn <= allowed and len(drawn) > 1
    # The log-prob is that of the unfiltered distribution.
    exact = logits.log_softmax(-1)
    for row, mask, lp in zip(rollouts.tokens, rollouts.mask, rollouts.logprobs, strict=True):
        assert abs(float(lp[mask]) - float(exact[row[mask]])) < 1e-4


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"min_p": 2.0}, "min_p"),
        ({"n": 0}, "n and max_new_tokens"),
        ({"max_new_tokens": 1000}, "context of 128"),
        ({"stop": ["</answer>", ""]}, "stop"),
    ],
)
def test_bad_options_get_one_clear_line(options, word):
    with pytest.raises(UserError, match=word) as caught:
        sample(small_policy("llama"), ["1+2:"], **{"max_new_tokens": 4, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_begin_is_continued_and_not_counted(architecture):
    """Budget forcing: the sampler goes on from text that the caller wrote into the completion."""
    policy = small_policy(architecture)
    begin = ["5+6", "", " 12 no\n", "1", "3*4=12"]
    rollouts = sample(policy, RAGGED, n=2, max_new_tokens=12, temperature=0, begin=begin)
    joined = [prompt + text for prompt, text in zip(RAGGED, begin, strict=True)]  # one token a character here
    assert completions(rollouts)[::2] == generate(policy, joined, 12)
    for i, row in enumerate(rollouts.tokens):
        prompt, text = RAGGED[i // 2], begin[i // 2]
        given = policy.encode(prompt) + policy.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert row[: len(given)].tolist() == given
        assert int(rollouts.mask[i].nonzero()[0]) == len(given), "what was given is not in the mask"
        assert rollouts.completions[i] == policy.decode(row[rollouts.mask[i]].tolist())
    assert rollouts.prompts == [prompt for prompt in RAGGED for _ in range(2)]


def test_an_empty_begin_changes_nothing():
    policy = small_policy("llama")
    plain, begun = (sample(policy, RAGGED, n=3, max_new_tokens=8, begin=b) for b in (None, [""] * 5))
    assert torch.equal(plain.tokens, begun.tokens) and torch.equal(plain.mask, begun.mask)


def test_a_begin_that_does_not_fit_is_refused():
    policy = small_policy("llama")
    with pytest.raises(UserError, match="one text for each of the 2 prompts"):
        sample(policy, ["1+2:", "3:"], max_new_tokens=4, begin=["1"])
    with pytest.raises(UserError, match="special token"):
        sample(policy, ["1+2:"], max_new_tokens=4, begin=[f"1{policy.tokenizer.eos_token}"])
    with pytest.raises(UserError, match="context of 128"):
        sample(policy, ["1+2:"], max_new_tokens=4, begin=["1" * 200])


def test_timings_are_seconds_of_this_call():
    started = time.perf_counter()
    timings = sample(small_policy("llama"), RAGGED, max_new_tokens=8).timings
    assert set(timings) == {"prefill", "decode"}
    assert min(timings.values()) > 0
    assert sum(timings.values()) <= time.perf_counter() - started


def test_no_prompts_is_said():
    with pytest.raises(UserError, match="no prompts"):
        sample(small_policy("llama"), [])


def hooked(policy: Policy) -> None:
    policy.model.lm_head.register_forward_hook(lambda module, inputs, logits: logits.index_fill(-1, FORBIDDEN, -1e9))


def replaced(policy: Policy) -> None:
    forward = policy.model.lm_head.forward
    policy.model.lm_head.forward = lambda hidden: forward(hidden).index_fill(-1, FORBIDDEN, -1e9)


class Muted(torch.nn.Linear):
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return super().forward(hidden).index_fill(-1, FORBIDDEN, -1e9)


def of_another_class(policy: Policy) -> None:
    head = policy.model.lm_head
    policy.model.lm_head = Muted(head.in_features, head.out_features, bias=False)
    policy.model.lm_head.weight = head.weight


FORBIDDEN = torch.arange(20, 60)


@pytest.mark.parametrize("touch", [hooked, replaced, of_another_class])
def test_what_somebody_hung_into_the_model_is_seen(touch, capsys):
    policy = small_policy("llama")
    before = sample(policy, ["5:"], n=8, max_new_tokens=12, seed=0)
    touch(policy)
    after = sample(policy, ["5:"], n=8, max_new_tokens=12, seed=0)
    assert torch.isin(before.tokens[before.mask], FORBIDDEN).any()
    assert not torch.isin(after.tokens[after.mask], FORBIDDEN).any()
