"""The repository as a whole: versions agree, notebooks are stored executed, modules keep their floors,
`import labkit` is quick, and a wheel works far from the checkout.
"""

import ast
import graphlib
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import jaxtyping
import nbformat
import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.import_graph import imports, module_name, sources
from tests.shapes import CHECK_SHAPES

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "labkit"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NOTEBOOKS = sorted(path for place in ("notebooks", "notebooks/homework") for path in (ROOT / place).glob("*.ipynb"))
MODULES = sources("labkit")


# ---------------------------------------------------------------------------------------------- versions


def pins() -> dict[str, Version]:
    """requirements.txt as name -> exact version."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    found = {}
    for requirement in wanted:
        (specifier,) = requirement.specifier
        assert specifier.operator == "==" and "*" not in specifier.version, f"not an exact pin: {requirement}"
        name = canonicalize_name(requirement.name)
        assert name not in found, f"requirements.txt names {name} twice"
        found[name] = Version(specifier.version)
    return found


def declared() -> list[Requirement]:
    """What pyproject.toml asks for: dependencies, every extra and the build backend."""
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(text) for group in [*groups, PYPROJECT["build-system"]["requires"]] for text in group]


def test_every_declared_dependency_is_pinned_inside_its_range():
    pinned = pins()
    for requirement in declared():
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{requirement} of pyproject.toml is not pinned in requirements.txt"
        assert pinned[name] in requirement.specifier, f"{name}=={pinned[name]} is outside {requirement}"


def test_every_pin_is_a_declared_dependency():
    assert set(pins()) == {canonicalize_name(requirement.name) for requirement in declared()}


def test_environment_yml_reads_requirements_txt_and_a_supported_python():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *plain, with_pip = environment["dependencies"]
    assert environment["channels"] == ["conda-forge"]
    assert with_pip == {"pip": ["-r requirements.txt"]}
    assert "pip" in plain
    (python,) = [entry for entry in plain if entry.startswith("python=")]
    version = Version(python.removeprefix("python="))
    assert version in SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert f"Programming Language :: Python :: {version}" in PYPROJECT["project"]["classifiers"]
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{version.major}{version.minor}"


def test_one_version_number_everywhere():
    version = PYPROJECT["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## \[(\d[^\]]*)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert (citation["version"], str(citation["date-released"])) == newest.groups()
    assert version == citation["version"]


# --------------------------------------------------------------------------------------------- notebooks

# A folder of one machine, wherever it stands in a text; "a/tmp/b" or "https://x.org/home/y" is none.
MACHINE_PATH = re.compile(
    r"(?<![\w./~])(?:file://)?/(?:root|home|tmp|work|Users|opt|usr|var|mnt)\b"
    r"|\b[A-Z]:[\\/]+(?:Users|Windows|Program)"
)


def _texts(value: Any) -> Iterator[str]:
    """Every string inside nested lists and dictionaries; pictures in base64 are no text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not str(key).startswith("image/"):
                yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def test_machine_paths_are_recognised():
    for text in [
        "saved in /tmp/x",
        "'/home/ada'",
        "C:\\Users\\ada",
        "(/mnt/main)",
        "at:/root",
        "file:///home/a",
    ]:
        assert MACHINE_PATH.search(text), text
    for text in [
        "runs/tmp/x",
        "https://x.org/home/ada",
        "../data",
        "a / root",
        "/working",
        "~/work",
        "P:\\pi",
    ]:
        assert not MACHINE_PATH.search(text), text


def test_there_are_notebooks():
    assert {"00_start_here", "07_verifiers", "08_rlvr_from_scratch", "12_r1_zero", "hw1_write_a_verifier"} <= {
        path.stem for path in NOTEBOOKS
    }


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    book = nbformat.read(request.param, as_version=4)
    nbformat.validate(book)
    return book


def _code(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def test_notebook_is_stored_as_executed_from_top_to_bottom(notebook: nbformat.NotebookNode):
    cells = _code(notebook)
    assert all(cell.source.strip() for cell in cells), "an empty code cell"
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell.outputs for cell in cells)


def test_every_cell_that_shows_something_has_its_output_stored(notebook: nbformat.NotebookNode):
    for cell in _code(notebook):
        assert cell.outputs or not _shows(cell.source), f"no stored output: {cell.source[:200]}"


def _shows(source: str) -> bool:
    """Whether a cell certainly prints: a `print(...)` at its top level that is not inside a block."""
    magics = re.compile(r"\s*[%!?]|.*\?\s*$")
    lines = [line for line in source.splitlines() if not magics.match(line)]
    calls = [node.value for node in ast.parse("\n".join(lines)).body if isinstance(node, ast.Expr)]
    names = {call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}
    return bool(names & {"print", "display"})


def test_notebook_stores_no_error(notebook: nbformat.NotebookNode):
    outputs = [output for cell in _code(notebook) for output in cell.outputs]
    assert [output.evalue for output in outputs if output.output_type == "error"] == []


def test_notebook_names_no_folder_of_a_machine(notebook: nbformat.NotebookNode):
    for cell in notebook.cells:
        for text in _texts([cell.source, cell.get("outputs", [])]):
            found = MACHINE_PATH.search(text)
            assert found is None, f"a machine's path: {text[max(0, found.start() - 60) : found.end() + 60]!r}"
    assert not any(MACHINE_PATH.search(text) for text in _texts(notebook.metadata))


def test_code_cells_fit_on_a_screen(notebook: nbformat.NotebookNode):
    long = {cell.source.splitlines()[0]: len(cell.source.splitlines()) for cell in _code(notebook)}
    assert {first: lines for first, lines in long.items() if lines > 25} == {}


# ----------------------------------------------------------------------------------------------- modules

# DESIGN in one table: a module imports from rooms on its own floor or on floors below it, never from above.
FLOORS = {
    **dict.fromkeys(["errors", "paths", "progress", "registry", "system", "jsonl", "tables"], 0),
    **dict.fromkeys(["device", "folder_lock", "printable", "storage", "threads", "algorithms", "verifiers"], 0),
    **dict.fromkeys(["rollouts", "tasks", "models", "recipes", "data"], 1),
    **dict.fromkeys(["sampling", "evaluation", "runs", "inference", "worlds"], 2),
    **dict.fromkeys(["training", "pipeline"], 3),
    **dict.fromkeys(["plots", "widgets", "exercises", "teaching"], 4),
    **dict.fromkeys(["cli", "bench", "doctor", "lab"], 5),
    **dict.fromkeys(["", "__main__"], 6),
}


KNOWN = {module_name(path) for path in MODULES}


def _imports(path: Path) -> set[str]:
    return {name for name in imports(path, KNOWN) if name.split(".")[0] == "labkit"}


def _room(module: str) -> str:
    return module.removeprefix("labkit").strip(".").split(".")[0]


def test_the_table_of_floors_in_the_readme_is_whole():
    told: dict[str, int] = {}
    for floor, rooms in re.findall(r"^\| (\d) \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE):
        told |= dict.fromkeys((name for name in re.findall(r"`([\w.]+)`", rooms) if name != "lk.train"), int(floor))
    assert told == {room: floor for room, floor in FLOORS.items() if room not in ("", "__main__")}


def test_every_room_has_its_floor_and_every_floor_its_rooms():
    assert set(FLOORS) == {_room(module) for module in KNOWN}, "FLOORS and the README name each room, and no other"


def test_modules_import_only_from_their_floor_or_below():
    upward = [
        f"{module_name(path)} (floor {FLOORS[_room(module_name(path))]}) imports {name} (floor {FLOORS[_room(name)]})"
        for path in MODULES
        for name in sorted(_imports(path))
        if FLOORS[_room(name)] > FLOORS[_room(module_name(path))]
    ]
    assert upward == []


def test_no_circle_of_imports():
    graph = {module_name(path): _imports(path) for path in MODULES}
    assert len(graph) > 10
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("circle: " + " <- ".join(error.args[1]))


def test_no_test_imports_another_test():
    """What tests share stands in modules of its own, so that each test file can be read and changed by itself."""
    wrong = [
        f"{module_name(path)} imports {name}"
        for path in sources("tests")
        for name in sorted(imports(path, ()))
        if name.rpartition(".")[2].startswith("test_") or name.rpartition(".")[2] == "conftest"
    ]
    assert wrong == []


def test_modules_are_short():
    lengths = {module_name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > 420} == {}


@pytest.mark.skipif(not CHECK_SHAPES, reason="LABKIT_CHECK_SHAPES=0")
def test_shapes_in_signatures_are_checked_while_the_tests_run():
    from labkit.algorithms import advantages

    assert advantages(torch.tensor([1.0, 0.0]), torch.tensor([0, 0])).shape == (2,)
    with pytest.raises(jaxtyping.TypeCheckError):
        advantages(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.long))


# ------------------------------------------------------------------------------------ import and wheel

HEAVY = [
    "datasets",
    "matplotlib",
    "sympy",
    "reasoning_gym",
    "py3langid",
    "trl",
    "peft",
    "jupyter_core",
    "jupyterlab",
    "ipywidgets",
    "IPython",
]


def _python(code: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter, in a folder away from the checkout."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV_"))}
    environment |= {"HF_HUB_OFFLINE": "1", **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_import_labkit_leaves_heavy_packages_alone(tmp_path: Path):
    code = f"import sys, json, labkit; print(json.dumps(sorted(set({HEAVY}) & set(sys.modules))))"
    assert json.loads(_python(code, tmp_path, PYTHONPATH=str(ROOT)).stdout) == []


def test_import_labkit_is_quick(tmp_path: Path):
    code = "import time, labkit; print(time.process_time())"
    seconds = []
    for _ in range(3):  # the first may write byte code; other jobs do not count, but slow the processor's caches
        seconds.append(float(_python(code, tmp_path, PYTHONPATH=str(ROOT)).stdout))
        if seconds[-1] < 4:
            return
    pytest.fail(f"import labkit took {min(seconds):.1f} s of processor time at best; 4 s are allowed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built without a network from a copy of the checkout, in which a recorded run lies."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ["pyproject.toml", "setup.py", "README.md", "LICENSE"]:
        (copy / name).write_bytes((ROOT / name).read_bytes())
    for package in (PACKAGE, ROOT / "labkit_exercises"):
        copytree(package, copy / package.name, ignore=ignore_patterns("__pycache__"))
    copytree(ROOT / "data", copy / "data", ignore=ignore_patterns("runs"))
    (copy / "data/runs/big").mkdir(parents=True)
    (copy / "data/runs/big/metrics.jsonl").write_text("{}\n")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    build = [sys.executable, "-m", "pip", "wheel", ".", *options, "--wheel-dir", "dist"]
    done = subprocess.run(build, cwd=copy, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (copy / "dist").glob("labkit-*.whl")
    return built


def test_wheel_holds_every_module_the_recipes_and_the_small_data(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {path.relative_to(ROOT).as_posix() for path in MODULES} <= names
    others = [path for pattern in ("*.yaml", "*.pyi", "py.typed") for path in PACKAGE.rglob(pattern)]
    assert {".yaml", ".pyi", ".typed"} == {path.suffix for path in others}
    assert {path.relative_to(ROOT).as_posix() for path in others} <= names
    model = {path.name for path in (ROOT / "data/models/tiny").iterdir() if path.is_file()}
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= model
    assert {f"labkit/_data/models/tiny/{name}" for name in model} <= names
    assert not [name for name in names if name.startswith("labkit/_data/runs/")]
    assert {name.split("/")[0] for name in names} == {
        "labkit",
        "labkit_exercises",
        f"labkit-{PYPROJECT['project']['version']}.dist-info",
    }


def test_wheel_is_small(wheel: Path):
    assert wheel.stat().st_size < 20 * 2**20


HOMEWORK = """
import json
import labkit as lk
from labkit.paths import data_folder

policy = lk.load_policy("tiny", device="cpu")
task = lk.load_task("countdown")
problems = task.sample(2, split="train", seed=0)
print(json.dumps({
    "package": lk.__file__,
    "data": str(data_folder()),
    "prompt": policy.decode(policy.encode(problems[0].prompt)),
    "given": problems[0].prompt,
    "reward": task.score("<answer>no</answer>", problems[1]).reward,
    "recipes": str(lk.list_recipes()),
}))
"""


def test_wheel_works_far_from_the_checkout(wheel: Path, tmp_path: Path):
    target, homework = tmp_path / "installed", tmp_path / "homework"
    homework.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", str(target), str(wheel)], check=True, timeout=300)

    answer = json.loads(_python(HOMEWORK, homework, PYTHONPATH=str(target)).stdout.splitlines()[-1])
    assert Path(answer["package"]).is_relative_to(target)
    assert Path(answer["data"]) == target / "labkit/_data"
    assert answer["given"] in answer["prompt"]
    assert answer["reward"] == 0
    assert "r1-zero-tiny" in answer["recipes"] and "rlvr-addition-tiny" in answer["recipes"]

    command = "import sys; sys.argv = ['labkit', 'recipes']; from labkit.cli import main; main()"
    assert "r1-zero-tiny" in _python(command, homework, PYTHONPATH=str(target)).stdout
    entry = zipfile.ZipFile(wheel).read(f"labkit-{PYPROJECT['project']['version']}.dist-info/entry_points.txt")
    assert "labkit = labkit.cli:main" in entry.decode()
