"""Types: a checker finds no error in the rooms that are clean, and no more than there were in the others."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Errors that these rooms still have; all others have none. A number may only become smaller.
KNOWN = {
    "bench": 11,
    "cli": 13,
    "doctor": 9,
    "evaluation": 3,
    "exercises": 1,
    "inference": 1,
    "labkit_exercises": 6,
    "models": 21,
    "plots": 18,
    "system": 1,
    "tasks": 9,
    "widgets": 10,
    "worlds": 3,
}


def room(file: Path) -> str:
    """`labkit/plots/figures.py` -> plots; a module next to the rooms is one by itself."""
    package, *rest = file.relative_to(ROOT).parts
    return rest[0].removesuffix(".py") if package == "labkit" else package


@pytest.mark.slow
@pytest.mark.timeout(1800)  # two minutes where nothing else runs
def test_the_checker_finds_no_new_error():
    pytest.importorskip("basedpyright", reason="the type checker belongs to the extra `test`")
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--level", "error", "--outputjson"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 2 and more: it could not run
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] >= len(list((ROOT / "labkit").rglob("*.py")))
    errors: dict[str, list[str]] = {}
    for found in report["generalDiagnostics"]:
        file, line = Path(found["file"]), found["range"]["start"]["line"] + 1
        errors.setdefault(room(file), []).append(f"{file.relative_to(ROOT)}:{line}: {found['message']}")
    worse = [line for name, lines in sorted(errors.items()) if len(lines) > KNOWN.get(name, 0) for line in lines]
    assert not worse, "\n".join(worse)
