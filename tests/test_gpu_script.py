"""`data/gpu/measure.py`, rehearsed on a CPU: every part runs, is saved, and is passed over by the next call."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

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
    for name in ("measure", "budget"):
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
            assert "is not at hand" in record["result"] or "comes first" in record["result"], record
            assert any(word in name for word in ("gsm8k", "math"))
    rows = found["rollout"]["result"]
    assert [row["batch"] for row in rows if row["side"] == "labkit"] == [1, 4]
    assert found["train"]["result"][0]["mfu"]["measured"] > 0
    learned = found["r1-zero-countdown-smollm2-seed0"]["result"]
    assert learned["status"] == "finished" and learned["after"]["pass_at_k"] and "mismatch_max" in learned["last"]
    assert learned["training_peak_bytes"] is None and learned["estimated"]["bytes"] > 0
    recipe = (tmp_path / learned["folder"] / "recipe.yaml").read_text()
    assert "runs/sft-countdown-smollm2-seed0" in recipe, "it begins with the cold start"


def test_a_part_is_saved_passed_over_and_mended(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    ran: list[str] = []

    def part(name: str, error: Exception | None = None) -> object:
        def run(_: object) -> str:
            ran.append(name)
            if error is not None:
                raise error
            return name

        return script.Part(name, 60.0, run)

    parts = [part("one"), part("two", RuntimeError("broken")), part("three", UserError("no data")), part("four")]
    monkeypatch.setattr(script, "all_parts", lambda _: parts)
    monkeypatch.setattr(script, "stand_in", lambda _: "nothing")
    command = ["--out", str(tmp_path), "--smoke"]
    assert script.main(command) == 1
    assert {name: record["status"] for name, record in saved(tmp_path).items()} == {
        "one": "done",
        "two.failed": "failed",
        "three.skipped": "skipped",
        "four": "done",
    }
    assert "broken" in saved(tmp_path)["two.failed"]["result"]
    parts[1], ran[:] = part("two"), []
    assert script.main(command) == 0
    assert ran == ["two", "three"] and "two.failed" not in saved(tmp_path) and saved(tmp_path)["two"]["result"] == "two"
    assert "one: done before" in capsys.readouterr().out


def test_nothing_is_begun_that_should_not_fit(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    parts = [script.Part("long", 120.0, lambda _: 1), script.Part("short", 30.0, lambda _: 2)]
    monkeypatch.setattr(script, "all_parts", lambda _: parts)
    monkeypatch.setattr(script, "stand_in", lambda _: "nothing")
    assert script.main(["--out", str(tmp_path), "--smoke", "--minutes", "1"]) == 0
    assert set(saved(tmp_path)) == {"short"} and "long: no time left" in capsys.readouterr().out


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
