"""From ids to tokens and a mask, without a policy; and documents packed into one stream that is cut."""

import copy
import importlib.util

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import labkit
from labkit import concatenate_and_cut, token_logprobs, token_logprobs_and_entropy, tokens_and_mask
from labkit.errors import UserError
from labkit.models import encode_reply

PROMPTS, REPLIES = [[5, 6, 7], [8], [9, 9]], [[1, 2], [3], []]


def test_the_mask_is_true_at_the_replies():
    tokens, mask = tokens_and_mask(PROMPTS, REPLIES, pad_with=0)
    assert tokens.tolist() == [[5, 6, 7, 1, 2], [8, 3, 0, 0, 0], [9, 9, 0, 0, 0]]
    assert mask.tolist() == [[False] * 3 + [True] * 2, [False, True] + [False] * 3, [False] * 5]
    assert tokens.dtype == torch.long and mask.dtype == torch.bool
    assert [tokens[i][mask[i]].tolist() for i in range(3)] == REPLIES
    assert tokens_and_mask([[5]], [[]], 0)[1].tolist() == [[False]]


@pytest.mark.parametrize("kind", [tuple, np.array, torch.tensor])
def test_ids_of_every_kind(kind):
    prompts, replies = [kind(ids) for ids in PROMPTS[:2]], [kind(ids) for ids in REPLIES[:2]]
    found, expected = tokens_and_mask(prompts, replies, 4), tokens_and_mask(PROMPTS[:2], REPLIES[:2], 4)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


def test_it_is_what_the_policy_makes_of_texts(tiny):
    prompts, texts = ["Reach 5 with 2 and 3.", "7 + 8 ="], ["2 + 3", "15, since 7 + 8 = 15"]
    encoded = [encode_reply(tiny, prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
    ids = [(row.ids[: row.start], row.ids[row.start :]) for row in encoded]
    tokens, mask = tokens_and_mask([p for p, _ in ids], [r for _, r in ids], tiny.tokenizer)
    for row, tokens_, mask_ in zip(encoded, tokens, mask, strict=True):
        assert tokens_[: len(row)].tolist() == row.ids and (tokens_[len(row) :] == tiny.pad_id).all()
        assert mask_.nonzero().squeeze(1).tolist() == list(range(row.start, len(row)))


@torch.no_grad()
def test_logprobs_and_entropy_of_replies_stand_in_the_columns_of_the_mask(tiny):
    prompts = [tiny.tokenizer(text)["input_ids"] for text in ("2 + 3 =", "a longer prompt: 10 - 4 =")]
    replies = [[*tiny.tokenizer(text)["input_ids"], tiny.eos_id] for text in (" 5 apples", " 6")]
    tokens, mask = tokens_and_mask(prompts, replies, tiny.tokenizer)
    logprobs, entropy = token_logprobs_and_entropy(tiny.model, tokens, mask=mask)
    for i in range(2):
        logits = tiny.model(torch.tensor([[*prompts[i], *replies[i]]])).logits[0].log_softmax(-1)
        # The logits of column t - 1 [vocab] predict the token of column t.
        before = logits[len(prompts[i]) - 1 : -1]
        expected = before.gather(1, torch.tensor(replies[i])[:, None]).squeeze(1)
        torch.testing.assert_close(logprobs[i][mask[i]], expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(entropy[i][mask[i]], -(before.exp() * before).sum(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(token_logprobs(tiny.model, tokens, mask=mask), logprobs)


def test_a_tokenizer_without_a_pad_token(tiny):
    bare = copy.deepcopy(tiny.tokenizer)
    bare.pad_token = None
    assert tokens_and_mask([[5, 6], [7]], [[1], [2]], bare)[0][1, 2] == bare.eos_token_id
    bare.eos_token = None
    with pytest.raises(UserError, match="neither a pad token nor an eos"):
        tokens_and_mask([[5]], [[1]], bare)


def test_errors():
    with pytest.raises(UserError, match="2 prompts and 1 replies"):
        tokens_and_mask([[5], [6]], [[1]], 0)
    with pytest.raises(UserError, match=r"prompt 1 has no token.*bos"):
        tokens_and_mask([[5], []], [[1], [2]], 0)
    with pytest.raises(UserError, match="no prompt"):
        tokens_and_mask([], [], 0)
    for length in (0, -3):
        with pytest.raises(UserError, match="length"):
            concatenate_and_cut([[1, 2]], length)


documents = st.lists(st.lists(st.integers(0, 99), max_size=9), max_size=8)


@given(documents=documents, length=st.integers(1, 12))
def test_no_token_is_lost_but_those_of_a_short_last_row(documents, length):
    stream = [token for document in documents for token in document]
    rows = concatenate_and_cut(documents, length, drop_last=False)
    assert [token for row in rows for token in row] == stream
    assert all(len(row) == length for row in rows[:-1]) and all(rows)
    full = concatenate_and_cut(iter(documents), length)
    assert full == [row for row in rows if len(row) == length]


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed: pip install 'labkit[bench]'")
def test_it_packs_as_trl_does():
    from datasets import Dataset
    from trl import pack_dataset

    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 12, (40,), generator=generator).tolist()
    rows = [torch.randint(99, (n,), generator=generator).tolist() for n in lengths]
    marks = [[i % 2] * n for i, n in enumerate(lengths)]
    theirs = pack_dataset(Dataset.from_dict({"input_ids": rows, "labels": marks}), 16, "wrapped")
    assert concatenate_and_cut(rows, 16, drop_last=False) == theirs["input_ids"][:]
    assert concatenate_and_cut(marks, 16, drop_last=False) == theirs["labels"][:]


def test_they_are_listed():
    names = ("concatenate_and_cut", "token_logprobs_and_entropy", "tokens_and_mask")
    assert all(name in labkit.__all__ and getattr(labkit, name) is getattr(labkit.models, name) for name in names)
