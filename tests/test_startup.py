"""What is imported before it is needed: counted by modules, since a clock depends on the machine."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import labkit
from labkit.cli.entry import app

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = [command.name for command in app.registered_commands]
# Each takes a tenth of a second or more.
LARGE = set(
    "torch transformers numpy pandas sympy scipy datasets matplotlib IPython pygments markdown_it httpx".split()
)

# Runs commands in one fresh process, and says after each which modules are there.
SCRIPT = """
import json, sys
from labkit.cli import main
found = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["labkit", *arguments]
    try:
        main()
    except SystemExit as end:
        found.append([" ".join(arguments), end.code, sorted(sys.modules)])
print(json.dumps(found), file=sys.stderr)
"""


def run(code: str, *arguments: str) -> str:
    """Standard error of a fresh interpreter, in which nothing but this code has been run."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV_"))}
    environment |= {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def imported(*commands: list[str]) -> list[tuple[str, set[str]]]:
    """The modules that each command leaves behind, one command after the other in one process."""
    rows = json.loads(run(SCRIPT, json.dumps(commands)).splitlines()[-1])
    assert all(status == 0 for _, status, _ in rows), rows
    return [(name, set(modules)) for name, _, modules in rows]


def test_help_and_lists_import_nothing_large():
    told = [["--help"], *([name, "--help"] for name in COMMANDS)]
    told += [[name, *json_or_not] for name in ("recipes", "models", "tasks") for json_or_not in ([], ["--json"])]
    for name, modules in imported(*told, ["version"]):
        assert sorted(modules & (LARGE | {"pydantic"})) == [], f"labkit {name}"
        assert len(modules) < 450, f"labkit {name} imports {len(modules)} modules"


REFERENCES = {
    "number": 4,
    "addition": 4,
    "math": "4",
    "countdown": {"numbers": [4], "target": 4},
    "leaky_countdown": {"numbers": [4], "target": 4},
    "format": None,
    "length": {"max_length": 100, "buffer": 20},
    "instructions": {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    "code": {"tests": ["assert f(2) == 4"]},
}


@pytest.mark.parametrize("name", REFERENCES)
def test_a_verifier_imports_nothing_large(name: str, tmp_path: Path):
    case = {"completion": "<think>Four.</think><answer>4</answer>", "reference": REFERENCES[name]}
    (tmp_path / "cases.jsonl").write_text(json.dumps(case) + "\n")
    for as_json in ([], ["--json"]):
        ((_, modules),) = imported(["verify", name, "--file", str(tmp_path / "cases.jsonl"), *as_json])
        assert sorted(modules & LARGE) == []
        assert len(modules) < 600


def test_import_labkit_imports_next_to_nothing():
    modules = json.loads(run("import labkit, json, sys; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"))
    assert [name for name in modules if name.startswith("labkit")] == ["labkit"]
    assert len(modules) < 150


@pytest.mark.parametrize("package", ["labkit", "labkit.models", "labkit.recipes"])
def test_lazy_names_are_there(package: str):
    module = sys.modules[package]
    stub = ast.parse(Path(module.__file__).with_suffix(".pyi").read_text())
    names = [alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(names) == module.__all__ and set(names) <= set(dir(module))
    assert all(getattr(module, name) is not None for name in names)
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018


def test_names_of_the_lab():
    """The names that notebooks, homework and the documentation use."""
    names = "load_policy load_task train evaluate open_run compare check hint solution browse sample score pass_at_k"
    assert set(names.split()) <= set(labkit.__all__)
    assert labkit.algorithms.PRESETS and labkit.verifiers.VERIFIERS and labkit.plots.METRICS
    assert labkit.verifiers.math.verify("4", "4").reward == 1.0
