"""The command line: what it prints, where, with which exit status; and what a user may get wrong."""

import errno
import io
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import labkit.runs
from labkit.cli import main
from labkit.cli.options import parse_settings
from labkit.cli.streams import sturdy_streams
from labkit.errors import UserError
from labkit.runs import open_run
from labkit.tasks import TASKS, load_task
from tests.mini_run import mini_recipe, save_random_model, without_times, write_recipe

EVAL_KEYS = {
    "model": str,
    "task": str,
    "problems": int,
    "samples": int,
    "pass_at_k": dict,
    "maj_at_k": dict,
    "interval": dict,
    "mean_length": float,
    "truncated": float,
    "well_formed": float,
    "seconds": float,
}
COMMANDS = "train eval sample verify compare bench pretrain traces recipes tasks models doctor version".split()


@dataclass
class Said:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))

    @property
    def error(self) -> str:
        """The one line on standard error; progress bars, which end in a carriage return, left out."""
        lines = [line for line in self.err.splitlines() if line.strip() and "step/s" not in line]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("labkit: ") and "Traceback" not in self.err
        return lines[0].removeprefix("labkit: ")


@pytest.fixture
def labkit_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["labkit", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return Said(end.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_model(tmp_path_factory.mktemp("random") / "model")


@pytest.fixture
def recipe(model: Path, tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "mini.yaml", mini_recipe(model))


@pytest.fixture
def long_recipe(model: Path, tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "mini.yaml", mini_recipe(model, steps=6))


# ------------------------------------------------------------------------------------------------- help


def test_without_arguments_it_says_what_there_is(labkit_command: Callable[..., Said]):
    said = labkit_command()
    assert said.status == 0
    assert all(re.search(rf"\b{command}\b", said.out) for command in COMMANDS)


def test_the_list_of_commands_says_each_in_a_whole_line(labkit_command: Callable[..., Said]):
    commands = labkit_command("--help").out.partition("Commands:")[2]
    assert commands.count("\n") > len(COMMANDS) and "..." not in commands


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_says_what_to_look_at(labkit_command: Callable[..., Said], command: str):
    said = labkit_command(command, "--help")
    assert said.status == 0
    assert "Look at" in said.out or command == "version"


def test_version(labkit_command: Callable[..., Said]):
    assert labkit_command("version").out.startswith(f"labkit {labkit.__version__} (torch {torch.__version__}")


@pytest.mark.parametrize("arguments", [["-h"], ["train", "-h"], ["--version"]])
def test_the_usual_options(labkit_command: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, arguments: list[str]):
    said = labkit_command(*arguments)
    assert said.status == 0 and "labkit" in said.out and said.err == ""


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_that_is_not_utf_8_gets_escapes(encoding: str, monkeypatch: pytest.MonkeyPatch):
    out, err = io.TextIOWrapper(io.BytesIO(), encoding), io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with sturdy_streams():
        print("→ 中")
        print("→ 中", file=sys.stderr)
    for stream in (out, err):
        stream.flush()
        assert stream.buffer.getvalue() == b"\\u2192 \\u4e2d\n"


def test_streams_that_are_closed_or_not_read_end_nothing(monkeypatch: pytest.MonkeyPatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as gone:
        monkeypatch.setattr(sys, "stdout", None)
        monkeypatch.setattr(sys, "stderr", gone)
        with sturdy_streams():
            print("nowhere")
            print("to nobody", file=sys.stderr, flush=True)
        assert sys.stdout is None and sys.stderr is gone


@pytest.mark.parametrize("command", ["recipes", "tasks", "models"])
def test_lists(labkit_command: Callable[..., Said], command: str):
    said = labkit_command(command, "--json")
    assert said.status == 0 and said.err == ""
    plain = labkit_command(command).out
    assert all(row["name"] in plain and row["description"] for row in said.json)
    wanted = {"recipes": "r1-zero-tiny", "tasks": "countdown", "models": "tiny"}[command]
    assert wanted in [row["name"] for row in said.json]


# ------------------------------------------------------------------------------------------------ train


def test_train_ends_with_the_folder_of_a_finished_run(
    labkit_command: Callable[..., Said], recipe: Path, run_folder: Path
):
    said = labkit_command("train", recipe, "--out", run_folder, "--seed", "3", "--set", "lr=1e-3")
    assert said.status == 0, said.err
    assert said.out.splitlines()[-1] == str(run_folder)
    assert "pass@1" in said.out and "before" in said.out and "after" in said.out
    assert "step/s" in said.err and "step/s" not in said.out
    run = open_run(run_folder)
    assert (run.recipe["seed"], run.recipe["optimizer"]["lr"]) == (3, 1e-3)
    assert (run_folder / "curves.png").read_bytes().startswith(b"\x89PNG")

    result = run.result
    assert {"recipe", "seed", "before", "after", "steps", "seconds", "tokens_per_second"} <= set(result)
    assert (result["recipe"], result["seed"], result["steps"]) == ("mini", 3, 2)
    for report in (result["before"], result["after"]):
        assert set(EVAL_KEYS) <= set(report)
        assert (report["task"], report["problems"], report["samples"]) == ("addition", 4, 2)
        assert len(report["per_problem"]) == 4


def test_quiet_training_prints_the_folder_alone(labkit_command: Callable[..., Said], recipe: Path, run_folder: Path):
    said = labkit_command("train", recipe, "--out", run_folder, "--quiet", "--set", "evaluation.problems=0")
    assert (said.status, said.out, said.err) == (0, f"{run_folder}\n", "")
    assert open_run(run_folder).result["after"] is None


def test_without_evaluation_the_summary_says_so(labkit_command: Callable[..., Said], recipe: Path, run_folder: Path):
    said = labkit_command("train", recipe, "--out", run_folder, "--set", "evaluation.problems=0")
    assert said.status == 0 and "no evaluation" in said.out


def test_a_verifier_that_raises_does_not_end_a_run_and_is_told(
    labkit_command: Callable[..., Said], recipe: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(completion: str, reference: Any) -> float:
        raise KeyError("no such column")

    monkeypatch.setitem(TASKS, "broken", lambda: replace(load_task("addition"), name="broken", verifier=broken))
    said = labkit_command("train", recipe, "--out", run_folder, "--set", "task=broken")
    assert said.status == 0, said.err
    assert "verifier was at fault for 8 answers" in said.out
    assert "KeyError" in said.out and "no such column" in said.out
    assert [line["verifier_errors"] for line in open_run(run_folder).metrics] == [4, 4]


def test_interrupt_keeps_the_run_and_says_how_to_go_on(
    labkit_command: Callable[..., Said], long_recipe: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    append, calls = labkit.runs.append_lines, []

    def interrupted(file: Path, rows: list[dict[str, Any]]) -> None:
        append(file, rows)
        calls.append(file)
        if len(calls) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(labkit.runs, "append_lines", interrupted)
    said = labkit_command("train", long_recipe, "--out", run_folder)
    assert said.status == 130 and "Traceback" not in said.err
    assert f"labkit train --resume {run_folder}" in said.out
    assert said.out.splitlines()[-1] == str(run_folder)
    assert open_run(run_folder).result["status"] == "interrupted"
    assert len(open_run(run_folder).metrics) == 3


# ------------------------------------------------------------------------------------------- bad usage


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "stepz=3"], ["stepz", "did you mean 'steps'"]),
        (["--set", "sampling.prompt=3"], ["sampling.prompt", "prompts"]),
        (["--set", "steps"], ["key=value"]),
        (["--set", "steps=many"], ["steps", "number"]),
        (["--set", "lr=-1"], ["lr", "must be greater than 0"]),
        (["--set", "lr=[1"], ["lr", "YAML"]),
        (["--set", "algorithm=gropo"], ["gropo", "grpo"]),
        (["--set", "task=nope"], ["nope", "countdown"]),
        (["--set", "model=./nowhere"], ["nowhere", "config.json"]),
        (["--set", "out=x"], ["out"]),
        (["--device", "abacus"], ["abacus", "cpu"]),
        *([] if torch.backends.mps.is_available() else [(["--device", "mps"], ["mps", "cpu"])]),
        (["--device", "meta"], ["meta", "cpu"]),
        (["--set", "model=~nobody-of-this-name/x"], ["nobody-of-this-name", "no such user"]),
        (["--frobnicate"], ["--frobnicate", "labkit train --help"]),
        (["--seed", "two"], ["--seed"]),
    ],
)
def test_wrong_options_of_train(
    labkit_command: Callable[..., Said],
    recipe: Path,
    run_folder: Path,
    arguments: list[str],
    words: list[str],
):
    said = labkit_command("train", recipe, "--out", run_folder, *arguments)
    assert said.status == 2
    assert all(word in said.error for word in words), said.error
    assert said.out == ""
    assert not run_folder.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], ["which recipe", "labkit recipes"]),
        (["train", "r1-zero-tony"], ["r1-zero-tony", "did you mean 'r1-zero-tiny'"]),
        (["train", "--resume", "nowhere"], ["nowhere", "recipe.yaml"]),
        (["eval"], ["MODEL", "labkit eval --help"]),
        (["eval", "no-such-model-anywhere", "countdown"], ["no-such-model-anywhere", "labkit models"]),
        (["eval", "./no-such-folder", "countdown"], ["no-such-folder"]),
        (["eval", "tiny", "cuontdown"], ["cuontdown", "countdown"]),
        (["eval", "tiny", "countdown", "--samples", "0"], ["--samples"]),
        (["sample", "tiny", "countdown", "-n", "0"], ["-n"]),
        (["sample", "tiny", "countdown", "--split", "dev"], ["--split"]),
        (["bench", "coffee"], ["coffee"]),
        (["compare", "nowhere"], ["nowhere"]),
        (["compare"], ["RUN"]),
        (["pretrain", "huge"], ["huge", "tiny"]),
        (["pretrain", "tiny", "--set", "stepz=3"], ["stepz", "steps"]),
        (["frobnicate"], ["frobnicate", "labkit --help"]),
    ],
)
def test_wrong_usage(labkit_command: Callable[..., Said], arguments: list[str], words: list[str]):
    said = labkit_command(*arguments)
    assert said.status == 2
    assert all(word in said.error for word in words), said.error
    assert said.out == ""


def test_prompt_longer_than_the_context(labkit_command: Callable[..., Said], model: Path):
    said = labkit_command("eval", model, "countdown", "--limit", "2", "--max-new-tokens", "2000", "--json")
    assert said.status == 2 and said.out == ""
    assert "exceeds the context of 1024" in said.error


def test_training_beyond_the_context(labkit_command: Callable[..., Said], recipe: Path, run_folder: Path):
    arguments = ["--set", "sampling.max_new_tokens=2000", "--set", "evaluation.problems=0"]
    said = labkit_command("train", recipe, "--out", run_folder, *arguments)
    assert said.status == 2
    assert "exceeds the context of 1024" in said.error


def test_a_folder_with_a_run_is_not_written_over(labkit_command: Callable[..., Said], recipe: Path, run_folder: Path):
    assert labkit_command("train", recipe, "--out", run_folder, "--quiet").status == 0
    before = (run_folder / "metrics.jsonl").read_bytes()
    said = labkit_command("train", recipe, "--out", run_folder)
    assert said.status == 2 and "--resume" in said.error
    said = labkit_command("train", "--resume", run_folder, "--set", "lr=0.1")
    assert said.status == 2 and "only steps may be given" in said.error
    assert (run_folder / "metrics.jsonl").read_bytes() == before


def test_a_finished_run_is_lengthened(labkit_command: Callable[..., Said], recipe: Path, run_folder: Path):
    assert labkit_command("train", recipe, "--out", run_folder, "--quiet").status == 0
    steps = len((run_folder / "metrics.jsonl").read_text().splitlines())
    said = labkit_command("train", "--resume", run_folder, "--set", f"steps={steps + 2}", "--quiet")
    assert said.status == 0
    assert len((run_folder / "metrics.jsonl").read_text().splitlines()) == steps + 2


def test_a_folder_that_cannot_be_written(labkit_command: Callable[..., Said], recipe: Path, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    said = labkit_command("train", recipe, "--out", tmp_path / "file" / "run")
    assert said.status == 2 and "--out" in said.error
    said = labkit_command("pretrain", "tiny", "--out", tmp_path / "file" / "model")
    assert said.status == 2 and "--out" in said.error


def test_pretrain_writes_over_no_model(labkit_command: Callable[..., Said], model: Path):
    said = labkit_command("pretrain", "tiny", "--out", model)
    assert said.status == 2 and "already holds a model" in said.error


# ------------------------------------------------------------------------------------------ failed runs


def test_a_disk_that_fills_up_on_the_way_loses_nothing(
    labkit_command: Callable[..., Said], long_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    append, calls = labkit.runs.append_lines, []

    def full(file: Path, rows: list[dict[str, Any]]) -> None:
        calls.append(file)
        if len(calls) == 10:  # the metrics of the fifth step: half a line still finds room
            with file.open("a") as handle:
                handle.write('{"step": 4, "reward_m')
            raise OSError(errno.ENOSPC, "No space left on device")
        append(file, rows)

    folder = tmp_path / "full"
    with monkeypatch.context() as patched:
        patched.setattr(labkit.runs, "append_lines", full)
        said = labkit_command("train", long_recipe, "--out", folder)
    assert said.status == 1
    told = said.err.splitlines()[-1]
    assert "No space left on device" in told and f"--resume {folder}" in told
    assert [line["step"] for line in open_run(folder).metrics] == [0, 1, 2, 3]
    assert list(open_run(folder).checkpoints()) == [2, 4]

    assert labkit_command("train", "--resume", folder, "--quiet").status == 0
    assert labkit_command("train", long_recipe, "--out", tmp_path / "other", "--quiet").status == 0
    resumed, undisturbed = open_run(folder), open_run(tmp_path / "other")
    assert without_times(resumed.metrics) == without_times(undisturbed.metrics)
    assert resumed.rollouts() == undisturbed.rollouts()


def test_a_checkpoint_that_does_not_fit(labkit_command: Callable[..., Said], long_recipe: Path, run_folder: Path):
    """A limit of the system on the size of files, smaller than the weights: the real error, not a mock."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        said = labkit_command("train", long_recipe, "--out", run_folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said.status == 1
    assert "too large" in said.error.lower() and "--resume" in said.error
    assert open_run(run_folder).checkpoints() == {}
    assert len(open_run(run_folder).metrics) == 2
    assert labkit_command("train", "--resume", run_folder, "--quiet").status == 0
    assert len(open_run(run_folder).metrics) == 6


def test_damaged_checkpoints(labkit_command: Callable[..., Said], long_recipe: Path, run_folder: Path):
    assert labkit_command("train", long_recipe, "--out", run_folder, "--quiet").status == 0
    logged = without_times(open_run(run_folder).metrics)
    weights = {step: path / "model.safetensors" for step, path in open_run(run_folder).checkpoints().items()}
    assert list(weights) == [4, 6]

    weights[6].write_bytes(weights[6].read_bytes()[:1000])
    said = labkit_command("eval", run_folder, "addition", "--json")
    assert said.status == 1 and said.out == "" and "damaged" in said.error
    said = labkit_command("train", "--resume", run_folder, "--quiet")
    assert said.status == 0, said.err
    assert "step-6" in said.error  # told, and passed over: the run goes on from step 4
    assert without_times(open_run(run_folder).metrics) == logged

    for path in open_run(run_folder).checkpoints().values():
        (path / "optimizer.safetensors").write_bytes(b"")
    said = labkit_command("train", "--resume", run_folder, "--quiet")
    assert said.status == 1 and "Traceback" not in said.err
    assert "all checkpoints" in said.err.splitlines()[-1]
    assert without_times(open_run(run_folder).metrics) == logged


def test_an_unexpected_exception_is_one_line_unless_asked_for(
    labkit_command: Callable[..., Said], recipe: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def wrong(*_: Any) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(labkit.runs.Run, "log", wrong)
    said = labkit_command("train", recipe, "--out", run_folder)
    assert said.status == 1
    assert said.error.startswith("ZeroDivisionError: division by zero")
    assert "LABKIT_TRACEBACK=1" in said.error
    monkeypatch.setenv("LABKIT_TRACEBACK", "1")
    said = labkit_command("train", "--resume", run_folder)
    assert said.status == 1
    assert "Traceback" in said.err and "in wrong" in said.err


# ------------------------------------------------------------------------------- eval, sample, compare


def test_eval_prints_one_json_document(labkit_command: Callable[..., Said], model: Path):
    arguments = ["countdown", "--samples", "4", "--limit", "3", "--max-new-tokens", "8", "--json"]
    said = labkit_command("eval", model, *arguments)
    assert said.status == 0, said.err
    assert list(said.json) == list(EVAL_KEYS)
    assert all(isinstance(said.json[key], kind) for key, kind in EVAL_KEYS.items())
    assert (said.json["task"], said.json["problems"], said.json["samples"]) == ("countdown", 3, 4)
    assert list(said.json["pass_at_k"]) == list(said.json["maj_at_k"]) == ["1", "2", "4"]
    low, high = said.json["interval"]["pass_at_1"]
    assert 0 <= low <= said.json["pass_at_k"]["1"] <= high <= 1


def test_eval_of_a_number_that_is_none_is_null(
    labkit_command: Callable[..., Said], model: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(TASKS, "plain", lambda: replace(load_task("addition"), name="plain", format=None))
    arguments = ["--samples", "1", "--limit", "2", "--max-new-tokens", "4"]
    assert labkit_command("eval", model, "plain", *arguments, "--json").json["well_formed"] is None
    assert "pass@1" in labkit_command("eval", model, "plain", *arguments).out


def test_a_verifier_that_prints_does_not_spoil_the_json(
    labkit_command: Callable[..., Said], model: Path, monkeypatch: pytest.MonkeyPatch
):
    def talks(completion: str, reference: Any) -> float:
        print("looking at it")
        return 1.0

    monkeypatch.setitem(TASKS, "talks", lambda: replace(load_task("addition"), name="talks", verifier=talks))
    said = labkit_command("eval", model, "talks", "--samples", "1", "--limit", "2", "--max-new-tokens", "4", "--json")
    assert said.json["pass_at_k"] == {"1": 1.0}
    assert said.err.count("looking at it") == 2


def test_eval_takes_a_run_folder_and_a_checkpoint(labkit_command: Callable[..., Said], recipe: Path, run_folder: Path):
    assert labkit_command("train", recipe, "--out", run_folder, "--quiet").status == 0
    arguments = ["addition", "--samples", "2", "--limit", "4", "--max-new-tokens", "8", "--json"]
    after = open_run(run_folder).result["after"]
    for place in (run_folder, run_folder / "checkpoints" / "step-2"):
        report = labkit_command("eval", place, *arguments).json
        assert report["mean_length"] == after["mean_length"]
        assert report["pass_at_k"] == after["pass_at_k"]
    assert labkit_command("eval", run_folder, *arguments).json["model"] == "mini@2"


def test_sample_shows_answers_with_a_verdict_in_words(
    labkit_command: Callable[..., Said], model: Path, monkeypatch: pytest.MonkeyPatch
):
    def verify(completion: str, reference: Any) -> float:
        return float(reference % 2)

    monkeypatch.setitem(TASKS, "parity", lambda: replace(load_task("addition"), name="parity", verifier=verify))
    arguments = ["sample", model, "parity", "-n", "4", "--samples", "2", "--max-new-tokens", "6"]
    rows = labkit_command(*arguments, "--json").json
    assert len(rows) == 8
    assert set(rows[0]) == {"prompt", "completion", "reward", "reason", "extracted", "length", "truncated"}
    said = labkit_command(*arguments)
    right = sum(row["reward"] for row in rows)
    assert 0 < right < 8
    assert (said.out.count("RIGHT"), said.out.count("WRONG")) == (right, 8 - right)
    assert all(row["prompt"] in said.out for row in rows)


def test_compare_prints_tables_json_and_curves(labkit_command: Callable[..., Said], recipe: Path, tmp_path: Path):
    folders = [tmp_path / "first", tmp_path / "second"]
    for seed, folder in enumerate(folders):
        assert labkit_command("train", recipe, "--out", folder, "--quiet", "--seed", str(seed)).status == 0
    said = labkit_command("compare", *folders, "--plot", tmp_path / "c.png", "--json")
    assert said.status == 0, said.err
    assert set(said.json) == {"runs", "pairs", "seeds", "settings", "warnings"}
    assert [row["run"] for row in said.json["runs"]] == ["first", "second"]
    assert said.json["pairs"][0]["problems"] == 4
    assert said.json["seeds"][0]["n"] == 2
    assert said.json["warnings"] == []
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    plain = labkit_command("compare", *folders).out
    assert all(words in plain for words in ("first", "second", "Paired", "Over seeds"))
    said = labkit_command("compare", *folders, "--plot", tmp_path / "no" / "c.png")
    assert said.status == 2 and "c.png" in said.error


def test_bench_prints_rows(labkit_command: Callable[..., Said], model: Path):
    arguments = ["--prompts", "2", "--samples", "2", "--max-new-tokens", "8", "--repeats", "1"]
    said = labkit_command("bench", "rollout", "--model", model, "--against", "transformers", *arguments, "--json")
    assert said.status == 0, said.err
    wanted = {"what", "side", "batch", "tokens_per_second", "seconds", "ratio", "ceiling_fraction"}
    assert all(wanted <= set(row) for row in said.json)
    assert [row["side"] for row in said.json] == ["labkit", "transformers"]
    assert "transformers" in said.json[0]["ratio"]


def test_pretrain_makes_a_model_that_can_be_used(labkit_command: Callable[..., Said], tmp_path: Path):
    small = ["hidden_size=32", "layers=1", "heads=2", "kv_heads=1", "intermediate_size=64", "rows_per_step=2"]
    options = [word for pair in (*small, "steps=3", "compile=false") for word in ("--set", pair)]
    folder = tmp_path / "made"
    said = labkit_command("pretrain", "tiny", "--out", folder, "--seed", "5", *options)
    assert said.status == 0, said.err
    assert said.out == f"{folder}\n"
    assert json.loads((folder / "pretraining.json").read_text())["settings"]["seed"] == 5
    assert (folder / "pretraining_loss.jsonl").read_text().count("\n") == 2
    arguments = ["--samples", "1", "--limit", "2", "--max-new-tokens", "4", "--json"]
    assert labkit_command("eval", folder, "addition", *arguments).json["problems"] == 2


# ------------------------------------------------------------------------------------ the way it is called


def test_python_m_labkit_and_a_reader_that_goes_away():
    command = [sys.executable, "-m", "labkit", "recipes"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=120) == 0


def test_set_values_are_yaml_with_exponents():
    given = ["steps=20", "lr=1e-4", "b=true", "n=null", "t=a=b", "l=[1, 2]", "s=1e", "q='5'"]
    assert parse_settings(given) == {
        "steps": 20,
        "lr": 1e-4,
        "b": True,
        "n": None,
        "t": "a=b",
        "l": [1, 2],
        "s": "1e",
        "q": "5",
    }
    with pytest.raises(UserError, match="key=value"):
        parse_settings(["=3"])
