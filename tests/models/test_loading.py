"""Damaged model folders end in one line; harmless ones load. All of them: `python -m tests.model_faults`."""

import json
import shutil

import pytest

from labkit.errors import RunError, UserError
from labkit.models import load_policy
from labkit.paths import data_path
from tests.model_faults import FAULTS, HARMLESS, campaign

SHORT = {
    "names begin with _orig_mod.": "saved .*model._orig_mod|prefix '_orig_mod.' comes from torch.compile",
    "names begin with base_model.model.": "merge_and_unload",
    "no model.embed_tokens.weight": "are missing: .*embed_tokens",
    "more layers than weights": r"are missing: model\.layers\.3\.",
    "fewer layers than weights": "has weights that its config.json leaves out",
    "another width": "have other shapes than its config.json says",
    "type gpt2": "contradicts itself: model_type is 'gpt2'",
    "type qwen3": "are missing: .*q_norm",
    "one NaN": "holds NaN or infinity",
    "a weights file that is cut": "are damaged",
    "whole numbers": "are whole numbers",
    "code of its own": "code of its own .* never runs",
    "the tokenizer of a larger model": "50 tokens more than the model",
    "tokenizer.json is cut": "tokenizer.json of model .* is no JSON",
    "a vocabulary of a thousand million": "vocab_size must be from 1 to 10000000",
    "an eos beyond the vocabulary": "eos_token_id",
}


def test_there_are_fifty_unlike_faults():
    assert len(FAULTS) >= 50 and set(SHORT) | HARMLESS <= set(FAULTS)


def test_damaged_folders_end_in_one_line_that_names_the_fault(recwarn):
    import re

    found = campaign(list(SHORT))
    assert {name: end for name, (end, _) in found.items() if end != "clean"} == {}
    assert [name for name, (_, said) in found.items() if not re.search(SHORT[name], said)] == []


def test_what_is_harmless_loads_as_it_is():
    assert {end for end, _ in campaign(sorted(HARMLESS)).values()} == {"same"}


def test_damage_is_a_failed_run_and_a_wrong_config_a_mistake(tmp_path):
    """Exit status 1 and 2 on the command line."""
    shutil.copytree(data_path("models", "micro"), tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"")
    with pytest.raises(RunError):
        load_policy(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"num_hidden_layers": -1}))
    with pytest.raises(UserError) as caught:
        load_policy(tmp_path / "model")
    assert not isinstance(caught.value, RunError)
