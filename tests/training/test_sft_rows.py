"""What the supervised trainers read: where a reply begins and ends, and that packing changes nothing."""

import pytest
import torch

from labkit.models import Policy, encode_reply, token_logprobs
from labkit.models.encoding import pad
from labkit.models.tiny.tokenizer import build_tokenizer
from labkit.recipes import load_recipe
from labkit.sampling import sample
from labkit.training.rows.data import CUT, EQUAL, NO_ROOM, LeftOut, batch, encode_rows
from labkit.training.rows.packing import pack, packed_rows, packing_is_exact
from labkit.training.rows.reference import reply_logprobs, reply_mask
from labkit.training.rows.sft import SFT
from labkit.training.rows.trainer import Example
from tests.sampling.small_models import small_policy
from tests.training.mini import random_policy
from tests.training.toys import demonstrations, toy_run

TEMPLATE = "{% for m in messages %}user: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}bot:{% endif %}"


def test_a_reply_is_prompt_reply_and_one_eos():
    policy = random_policy()
    found = encode_reply(policy, "5:", "44")
    tokenizer = policy.tokenizer
    assert tokenizer.convert_ids_to_tokens(found.ids) == ["<bos>", "5", ":", "44", "<eos>"]
    assert found.start == 3 and not found.cut


def test_the_chat_template_is_applied_once_to_prompt_and_training_row():
    policy = random_policy()
    policy.tokenizer.chat_template = TEMPLATE
    found = encode_reply(policy, "open the door", " sure")
    text = policy.tokenizer.decode(found.ids)
    assert text.count("user:") == 1 and text.count("bot:") == 1
    assert found.ids[: found.start] == policy.encode("open the door"), "trained on what is sampled from"


def test_a_reply_that_is_cut_has_no_eos():
    policy = random_policy()
    found = encode_reply(policy, "5:", "4 please thank you", limit=5)
    assert found.cut and len(found) == 5 and found.ids[-1] != policy.eos_id


def test_gradient_flows_into_the_replys_tokens_alone():
    """Of the last hidden states, only those that predict a token of the reply, eos included, get a gradient."""
    policy = random_policy()
    rows = [encode_reply(policy, "5,6:", "44 please"), encode_reply(policy, "7:", "4")]
    tokens, _ = pad([row.ids for row in rows], policy.pad_id, policy.device)
    caught = {}

    def catch(module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        if output.requires_grad:  # what is computed before, to get to know the model, is not
            caught["hidden"] = output
            output.retain_grad()

    policy.model.model.norm.register_forward_hook(catch)
    mask = reply_mask(rows, tokens)
    torch.where(mask, token_logprobs(policy.model, tokens), 0.0).sum().backward()
    touched = caught["hidden"].grad.abs().sum(-1) > 0
    expected = torch.zeros_like(mask)
    expected[:, :-1] = mask[:, 1:]  # column t - 1 predicts token t
    assert torch.equal(touched, expected)
    assert [int(row.sum()) for row in mask] == [len(row) - row.start for row in rows]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "olmo2", "gpt2", "gemma", "mistral"])
def test_packed_loss_and_gradient_equal_those_of_lone_documents(architecture):
    policy = small_policy(architecture)
    assert packing_is_exact(policy)
    documents = [encode_reply(policy, f"{i},{i + 1}:", "4" * (1 + i % 5)) for i in range(12)]

    def loss_and_gradient(packing: bool) -> tuple[float, torch.Tensor]:
        policy.model.zero_grad()
        trainer = SFT(load_recipe("sft-assistant-tiny", packing=packing), policy)
        assert trainer.facts == {"packed": packing}
        parts = trainer.cut([Example((document,), None) for document in documents], 4096)
        assert (max(len(row.replies) for part in parts for row in part) > 1) == packing
        count = sum(len(document) - document.start for document in documents)
        assert sum(map(trainer.weight, parts)) == count
        total = sum(trainer.loss(part)[0] * trainer.weight(part) for part in parts)
        (total / count).backward()
        gradients = [p.grad.flatten() for p in policy.model.parameters() if p.grad is not None]
        return float(total.detach()) / count, torch.cat(gradients)

    def by_hand() -> tuple[float, torch.Tensor]:
        """Each document by itself through the model: the mean over the tokens behind its prompt."""
        policy.model.zero_grad()
        logprobs = [token_logprobs(policy.model, torch.tensor([d.ids]))[0, d.start :] for d in documents]
        loss = -torch.cat(logprobs).mean()
        loss.backward()
        return float(loss.detach()), torch.cat(
            [p.grad.flatten() for p in policy.model.parameters() if p.grad is not None]
        )

    expected = by_hand()
    for loss, gradient in (loss_and_gradient(True), loss_and_gradient(False)):
        assert loss == pytest.approx(expected[0], rel=1e-5)
        assert torch.allclose(gradient, expected[1], atol=1e-5 * float(expected[1].abs().max()))


def test_a_model_that_mixes_packed_documents_is_found_out():
    policy = random_policy()
    assert packing_is_exact(policy)
    forward = policy.model.model.forward
    policy.model.model.forward = lambda position_ids=None, **inputs: forward(**inputs)
    assert not packing_is_exact(policy)
    tokens, _, positions = packed_rows([[encode_reply(policy, "5:", "44")] * 2], policy.pad_id, policy.device)
    assert positions.tolist() == [[0, 1, 2, 3, 4] * 2] and tokens.shape == (1, 10)


def test_first_token_of_a_packed_document_never_counts():
    """A tokenizer without <bos> and an empty prompt: the first token must not be predicted from the row before."""
    policy = random_policy()
    documents = [encode_reply(policy, "", "44")] * 2
    bare = [type(d)(d.ids[1:], 0) for d in documents]
    _, mask, _ = packed_rows([bare], policy.pad_id, policy.device)
    assert mask.tolist() == [[False, True, False, True]]


def test_packing_loses_no_document():
    rows = pack([5, 3, 4, 2, 7, 7, 1], 8)
    assert sorted(d for row in rows for d in row) == list(range(7))
    assert all(sum([5, 3, 4, 2, 7, 7, 1][d] for d in row) <= 8 for row in rows)


def test_eos_is_learned_also_where_the_padding_is_eos(tmp_path):
    tokenizer = build_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    policy = Policy(random_policy().model, tokenizer, "pads with eos")
    toy_run(
        tmp_path / "run", "sft", policy, steps=40, dataset=[{"prompt": f"{i}:", "completion": "4"} for i in range(40)]
    )
    drawn = sample(policy, ["5:", "99:"], n=4, max_new_tokens=8, temperature=0.0)
    assert drawn.completions == ["4"] * 8
    assert not drawn.truncated.any() and drawn.lengths.tolist() == [2] * 8


def test_log_probs_of_replies_are_the_samplers_own():
    policy = random_policy()
    drawn = sample(policy, ["5:", "17:"], n=2, max_new_tokens=6, seed=3)
    rows = []
    for i in range(len(drawn)):
        length = int(drawn.total_lengths[i])
        rows.append(
            type(encode_reply(policy, "", ""))(drawn.tokens[i, :length].tolist(), length - int(drawn.lengths[i]))
        )
    with torch.no_grad():
        found, count = reply_logprobs(policy, rows)
    assert torch.allclose(found, (drawn.logprobs * drawn.mask).sum(1), atol=1e-4)
    assert count.tolist() == drawn.lengths.tolist()


def test_dropout_stays_off_in_training(tmp_path):
    """Of a model with dropout, two passes over the same rows agree, in training too."""
    policy = small_policy("gpt2", resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5)
    run = toy_run(tmp_path / "run", "dpo", policy, steps=1)
    assert run.metrics[0]["loss"] == pytest.approx(0.6931, abs=1e-3), "policy = reference before the first step"


def test_rows_that_cannot_be_used_are_counted():
    policy, left_out = random_policy(), LeftOut()
    rows = [
        {"prompt": "5:", "chosen": "4", "rejected": "7"},
        {"prompt": "5:", "chosen": "4", "rejected": "4"},
        {"prompt": "5,6,7,8,9:", "chosen": "4", "rejected": "7"},
        {"prompt": "5:", "chosen": "4 please please please please", "rejected": "7"},
    ]
    used, encoded = encode_rows(policy, rows, ("chosen", "rejected"), 6, left_out)
    assert left_out.counts == {EQUAL: 1, NO_ROOM: 1, CUT: 1}
    assert [row["chosen"] for row in used] == ["4", "4 please please please please"] and len(encoded) == 2
    assert len(left_out.lines(4, "here")) == 3


def test_batches_go_through_all_rows_before_any_comes_again():
    seen = [i for step in range(5) for i in batch(10, 4, 0, step)]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


@pytest.mark.parametrize("column", ["prompt", "completion"])
def test_rows_with_a_special_token_are_left_out_and_counted(tmp_path, capsys, column):
    rows = demonstrations(10)
    rows[3][column] += "<eos>"
    run = toy_run(tmp_path / "run", "sft", dataset={"train": rows}, steps=1)
    assert run.result["data"]["rows"] == 9 and list(run.result["data"]["left_out"].values()) == [1]
    assert "1 of 10 rows skipped: a special token" in capsys.readouterr().err
