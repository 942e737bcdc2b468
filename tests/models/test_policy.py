"""Loading policies, encoding prompts, and log-probs: the traps at the beginning of the way."""

import pytest
import torch

from labkit.errors import UserError
from labkit.models import Policy, load_policy, token_logprobs, token_logprobs_and_entropy
from labkit.models.tiny.tokenizer import VOCABULARY, build_tokenizer
from labkit.training.pretrain import PretrainSettings, build_model

TEMPLATE = (
    "{% for message in messages %}<bos>{{ message['role'] }}:{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}bot:{% endif %}"
)


def random_policy(**settings: int) -> Policy:
    tokenizer = build_tokenizer()
    small = {"hidden_size": 32, "layers": 2, "intermediate_size": 64, **settings}
    return Policy(build_model(PretrainSettings(**small), tokenizer), tokenizer, "random")


def test_logprobs_stand_at_their_own_token():
    """Column t is log p(token t | tokens before t), by a loop that can't be shifted by accident."""
    policy = random_policy()
    tokens = torch.tensor([policy.encode("5,6,1->30:"), policy.encode("12,3,4->9:")])
    found = token_logprobs(policy.model, tokens)
    assert (found[:, 0] == 0).all()
    for row in range(2):
        for t in range(1, tokens.shape[1]):
            with torch.no_grad():
                logits = policy.model(tokens[row : row + 1, :t]).logits[0, -1]
            assert found[row, t].item() == pytest.approx(logits.log_softmax(-1)[tokens[row, t]].item(), abs=1e-5)


def test_padding_at_the_right_changes_nothing():
    policy = random_policy()
    ids = policy.encode("5,6,1->30:")
    alone = token_logprobs(policy.model, torch.tensor([ids]))
    padded = token_logprobs(policy.model, torch.tensor([ids + [policy.pad_id] * 7]))
    assert torch.allclose(alone, padded[:, : len(ids)], atol=1e-5)


def test_temperature_divides_the_logits_also_in_the_logprobs():
    policy = random_policy()
    tokens = torch.tensor([policy.encode("5,6,1->30:")])
    with torch.no_grad():
        logits = policy.model(tokens).logits[0, :-1] / 0.5
        found, entropy = token_logprobs_and_entropy(policy.model, tokens, temperature=0.5)
    expected = logits.log_softmax(-1)
    assert torch.allclose(found[0, 1:], expected.gather(-1, tokens[0, 1:, None]).squeeze(-1), atol=1e-5)
    assert torch.allclose(entropy[0, 1:], -(expected.exp() * expected).sum(-1), atol=1e-5)


def test_a_prompt_is_encoded_with_bos_once():
    policy = random_policy()
    ids = policy.encode("5,6,1->30:")
    assert ids.count(policy.tokenizer.bos_token_id) == 1 and ids[0] == policy.tokenizer.bos_token_id


def test_a_chat_template_is_applied_exactly_once():
    policy = random_policy()
    policy.tokenizer.chat_template = TEMPLATE
    ids = policy.encode("open the door")
    text = policy.tokenizer.decode(ids)
    assert ids.count(policy.tokenizer.bos_token_id) == 1
    assert text.count("user:") == 1 and text.endswith("bot:")
    with pytest.raises(UserError, match="already contains the special token '<bos>'"):
        policy.encode(text)


def test_models_come_back_as_they_were_saved(tmp_path):
    policy = random_policy()
    policy.save(tmp_path / "model")
    again = load_policy(tmp_path / "model", device="cpu")
    assert all(
        torch.equal(a, b)
        for a, b in zip(policy.model.state_dict().values(), again.model.state_dict().values(), strict=True)
    )
    assert again.encode("5,6,1->30:") == policy.encode("5,6,1->30:")
    assert again.dtype == torch.float32 and not again.model.training


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "no-such-org/no-such-model"])
def test_a_missing_model_is_one_line(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError) as caught:
        load_policy(name)
    assert "\n" not in str(caught.value) and name.removeprefix("./") in str(caught.value)


def test_the_tokenizer_reads_whole_words_and_whole_numbers():
    tokenizer = build_tokenizer()
    cases = {
        "12,3->15:": ["12", ",", "3", "->", "15", ":"],
        "347+1058:": ["3", "4", "7", "+", "1", "0", "5", "8", ":"],
        "7+8=15\n4+5+1=10\n": ["7", "+", "8", "=", "15", "\n", "4", "+", "5", "+", "1", "=", "10", "\n"],
        " not now no\n": [" not", " now", " no\n"],
        "<think>2*9=18 wait\n</think>": ["<think>", "2", "*", "9", "=", "18", " wait\n", "</think>"],
    }
    for text, tokens in cases.items():
        assert tokenizer.tokenize(text) == tokens
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert len(set(VOCABULARY)) == len(VOCABULARY) == len(tokenizer)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


@pytest.mark.parametrize("name", ["tiny", "micro"])
def test_the_embedded_models_are_what_they_say(name):
    import json

    from labkit.paths import data_path
    from labkit.training.pretrain import BASES

    folder, base = data_path("models", name), load_policy(name, device="cpu")
    report = json.loads((folder / "pretraining.json").read_text())
    assert report["settings"] == BASES[name].model_dump()
    assert base.model.config.model_type == "llama"
    assert base.model.num_parameters() == report["parameters"] < {"tiny": 4_000_000, "micro": 200_000}[name]
    assert sum(file.stat().st_size for file in folder.rglob("*")) < 8_000_000
    assert (folder / "model.safetensors").exists()
    assert report["command"] == f"labkit pretrain {name}" and report["settings"]["seed"] == 0
    losses = [json.loads(line)["loss"] for line in (folder / "pretraining_loss.jsonl").read_text().splitlines()]
    assert losses[0] > 4 and losses[-1] < 1 and len(losses) > 50
    assert base.tokenizer.get_vocab() == build_tokenizer().get_vocab()


def test_shipped_models_load_in_float32_and_say_where_they_come_from():
    import json

    from labkit.models.policy import MODELS
    from labkit.models.smollm2 import NAME
    from labkit.paths import data_path

    for name in MODELS.keys() - {"tiny", "micro", NAME}:
        folder = data_path("models", name)
        policy = load_policy(name, device="cpu")
        assert policy.dtype == torch.float32 and policy.name == name
        assert (folder / "model.safetensors").stat().st_size <= 1_700_000, name
        made = json.loads((folder / "training.json").read_text())
        assert made["commands"] and all(command.startswith("labkit ") for command in made["commands"]), name
        assert 0 < made["pass_at_1"] < 1 and made["task"], name


@pytest.mark.slow
def test_the_base_model_is_mediocre_and_has_the_skills_latent(tiny):
    from labkit.evaluation.report import evaluate
    from labkit.tasks import load_task

    for name in ("countdown", "addition"):
        report = evaluate(tiny, load_task(name), samples=16, limit=48)
        assert 0.08 < report.pass_at_k["1"] < 0.4, str(report)
        assert report.pass_at_k["16"] > 0.8, str(report)


@pytest.mark.slow
def test_the_student_is_weaker_than_the_base_model_and_can_search():
    from labkit.evaluation.report import evaluate
    from labkit.tasks import load_task

    report = evaluate(load_policy("micro", device="cpu"), load_task("countdown"), samples=16, limit=48)
    assert 0.05 < report.pass_at_k["1"] < 0.35, str(report)
    assert report.pass_at_k["16"] > 0.7, str(report)
