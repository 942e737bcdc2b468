"""Which attention a policy on CUDA takes, seen without a GPU: the model only says that it is there."""

import copy
from pathlib import Path

import pytest
import torch

from labkit import bench
from labkit.device import attention_backends
from labkit.models import Policy, load_policy
from labkit.runs import environment
from tests.training.mini import mini_run
from tests.training.toys import fours

CUDA = torch.device("cuda")


@pytest.fixture
def switches():
    """All implementations of attention are on, as when torch starts; afterwards they are as they were."""
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    yield
    torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.fixture
def moved(tiny: Policy, monkeypatch: pytest.MonkeyPatch, switches: None) -> Policy:
    """A policy on the CPU whose model can be moved to CUDA, in words."""
    policy = Policy(copy.deepcopy(tiny.model), tiny.tokenizer, "moved")
    kind, places = type(policy.model), []

    def to(model: torch.nn.Module, *place: object, **options: object) -> torch.nn.Module:
        places.extend([*place, *options.values()])
        return model

    monkeypatch.setattr(kind, "to", to)
    monkeypatch.setattr(kind, "device", property(lambda _: CUDA if CUDA in places else torch.device("cpu")))
    return policy


def test_a_policy_on_the_cpu_changes_no_switch(tiny: Policy, switches: None) -> None:
    Policy(tiny.model, tiny.tokenizer, "again")
    assert "cudnn" in attention_backends(CUDA) and "cudnn" not in attention_backends(torch.device("cpu"))


def test_a_loaded_policy_on_cuda_leaves_cudnn_attention_out(moved: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.models.policy.usable_device", lambda _: CUDA)
    monkeypatch.setattr("labkit.models.policy.load", lambda *_: (moved.model, moved.tokenizer))
    assert load_policy("tiny", device="cuda").device == CUDA
    assert attention_backends(CUDA) == ["efficient", "flash", "math"]


def test_a_benchmark_on_cuda_leaves_it_out_for_all_sides(moved: Policy) -> None:
    assert bench._own_policy(moved, "cuda", None, "rollout").device == CUDA
    assert attention_backends(CUDA) == ["efficient", "flash", "math"]


def test_a_run_folder_says_which_attention_torch_may_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, switches: None
) -> None:
    run = mini_run(tmp_path / "run", task=fours(), steps=1, samples=2)
    assert run.environment["attention"] == ["flash", "math"]
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    torch.backends.cuda.enable_cudnn_sdp(False)
    told = environment(CUDA)
    assert told["device"] == "a GPU" and told["attention"] == ["efficient", "flash", "math"]
