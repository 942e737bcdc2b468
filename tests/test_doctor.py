"""`labkit doctor`: what it finds, what it calls a trap, and the fix for each thing missing."""

import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import labkit.doctor.machine as doctor
import labkit.doctor.packages as packages
import labkit.models.at_hand
import labkit.models.policy
from labkit.cli import main
from labkit.doctor.machine import examine, traps
from labkit.doctor.packages import Finding
from labkit.errors import UserError
from labkit.models import MODELS
from labkit.models.at_hand import models_at_hand
from tests.mini_run import save_random_model

if TYPE_CHECKING:
    from labkit.models import Policy

ROOT = Path(__file__).resolve().parent.parent
PREFIX = Path(sys.prefix)
CALM = {"TOKENIZERS_PARALLELISM": "false", "PATH": str(PREFIX / "bin")}


def named(findings: list[Finding], name: str) -> Finding:
    (found,) = [finding for finding in findings if finding.name == name]
    return found


@pytest.fixture
def with_random_tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder in which tiny is a random model."""
    save_random_model(tmp_path / "models" / "tiny")
    for module in (labkit.models.at_hand, labkit.models.policy):
        monkeypatch.setattr(module, "data_folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def without_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise UserError("labkit's data folder is missing")

    for module in (labkit.models.at_hand, labkit.models.policy):
        monkeypatch.setattr(module, "data_folder", missing)


def test_a_whole_installation_is_ok(with_random_tiny: Path):
    diagnosis = examine()
    assert diagnosis.ok, [finding for finding in diagnosis.findings if finding.status == "missing"]
    assert named(diagnosis.findings, "tiny").found == str(with_random_tiny / "models" / "tiny")
    assert named(diagnosis.findings, "torch").found.startswith(torch.__version__.split("+")[0])
    assert diagnosis.smoke is not None
    assert 32 <= diagnosis.smoke["tokens"] <= 32 * 64
    assert diagnosis.smoke["tokens_per_second"] > 0
    told = diagnosis.to_dict()
    assert set(told) == {"ok", "versions", "smoke", "findings"}
    assert json.loads(json.dumps(told))["findings"][0].keys() == {
        "section",
        "name",
        "status",
        "found",
        "fix",
    }


def test_the_lab_as_it_is_here_is_ok(tiny: "Policy"):
    assert examine().ok


def test_what_is_needed_and_missing_has_a_fix_and_status_1(
    without_tiny: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["labkit", "doctor", "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False and told["smoke"] is None
    (tiny_line,) = [finding for finding in told["findings"] if finding["name"] == "tiny"]
    assert tiny_line["status"] == "missing" and "labkit pretrain tiny" in tiny_line["fix"]

    monkeypatch.setattr(sys, "argv", ["labkit", "doctor"])
    with pytest.raises(SystemExit) as end:
        main()
    plain = capsys.readouterr().out
    assert end.value.code == 1
    assert "missing" in plain and "fix: reinstall labkit" in plain


def test_a_broken_installation_is_a_finding_and_no_exception(monkeypatch: pytest.MonkeyPatch):
    def broken(name: str) -> None:
        raise RuntimeError("undefined symbol\nand so on")

    monkeypatch.setattr(doctor, "load_policy", broken)
    (finding,), numbers = doctor.smoke_test()
    assert (finding.status, finding.found, numbers) == ("missing", "RuntimeError: undefined symbol", None)


def test_it_looks_at_every_package_that_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = {text.split(">")[0] for text in project["dependencies"]}
    optional = {text.split(">")[0] for extra in ("lab", "bench", "peft", "smollm2") for text in extras[extra]}
    names = [finding.name for finding in packages.packages()]
    assert set(names) == needed | optional | {"python"}
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("package", "installed", "status", "fix"),
    [
        ("torch", None, "missing", 'pip install "torch<3,>=2.11"'),
        ("trl", None, "note", 'pip install "trl<2,>=1.16"'),
        ("transformers", "4.40.0", "warning", 'pip install "transformers<6,>=5.17"'),
        ("torch", "2.13.0+cu128", "ok", None),
    ],
)
def test_packages(monkeypatch: pytest.MonkeyPatch, package: str, installed: str | None, status: str, fix: str | None):
    version = packages._version
    monkeypatch.setattr(packages, "_version", lambda name: installed if name == package else version(name))
    finding = named(packages.packages(), package)
    assert (finding.status, finding.fix) == (status, fix)


def test_traps():
    assert [finding.status for finding in traps(2, 2, CALM, PREFIX)] == ["ok"]
    assert "OMP_NUM_THREADS=1" in named(traps(2, 2, CALM, PREFIX, load=1.9), "busy cores").fix
    assert [finding.status for finding in traps(2, 1, CALM | {"OMP_NUM_THREADS": "1"}, PREFIX, 5.0)] == ["warning"]
    assert [finding.status for finding in traps(2, 2, CALM, PREFIX, load=1.2)] == ["ok"]
    assert named(traps(2, 8, CALM, PREFIX), "threads").fix == "export OMP_NUM_THREADS=2"
    assert named(traps(4, 1, CALM, PREFIX), "threads").fix == "export OMP_NUM_THREADS=4"
    assert named(traps(4, 1, CALM | {"OMP_NUM_THREADS": "1"}, PREFIX), "threads").fix == "unset OMP_NUM_THREADS"
    unset = traps(2, 2, {"PATH": CALM["PATH"]}, PREFIX)
    assert named(unset, "tokenizers").fix == "export TOKENIZERS_PARALLELISM=false"


def test_a_command_and_a_kernel_of_another_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other = tmp_path / "bin"
    other.mkdir()
    for name in ("labkit", "jupyter"):
        (other / name).write_text("#!/bin/sh\n")
        (other / name).chmod(0o755)
    found = traps(2, 2, CALM | {"PATH": str(other)}, PREFIX)
    assert str(other / "labkit") in named(found, "command labkit").found
    assert "-m jupyter" in (named(found, "command jupyter").fix or "")
    monkeypatch.setattr(doctor, "_kernel", lambda: "/elsewhere/bin/python")
    kernel = named(traps(2, 2, CALM, PREFIX), "kernel")
    assert kernel.status == "warning" and "ipykernel install" in (kernel.fix or "")


@pytest.mark.parametrize(
    ("level", "status", "words"),
    [("bwrap", "ok", "bubblewrap"), ("landlock", "ok", "Landlock"), ("limits", "note", "not for programs")],
)
def test_what_programs_are_kept_in_by(monkeypatch: pytest.MonkeyPatch, level: str, status: str, words: str):
    monkeypatch.setattr(doctor, "isolation", lambda: level)
    finding = doctor.sandboxing()
    assert finding.status == status and words in finding.found and (finding.fix is None) == (status == "ok")


def test_a_gpu_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    (finding,) = doctor.devices()
    assert finding.status == "warning" and "sees no GPU" in finding.found


def test_models_of_the_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_random_tiny: Path):
    cache = tmp_path / "hub"
    for name, kind in (("chat", "LlamaForCausalLM"), ("sorter", "BertForSequenceClassification")):
        repo = cache / f"models--someone--{name}"
        snapshot = repo / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        (repo / "refs").mkdir()
        (repo / "refs" / "main").write_text("0" * 40)
        (snapshot / "config.json").write_text(json.dumps({"architectures": [kind]}))
    cut_off = cache / "models--someone--partial" / "snapshots" / ("1" * 40)
    cut_off.mkdir(parents=True)
    (cut_off / "config.json").write_text("{")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    found = {model["name"]: model["at_hand"] for model in models_at_hand() if model["name"] != "smollm2-135m"}
    shipped = dict.fromkeys(MODELS.keys() - {"smollm2-135m"}, False)  # this data folder has tiny alone
    assert found == {**shipped, "tiny": True, "someone/chat": True}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    assert [model["name"] for model in models_at_hand()] == list(MODELS)
