"""What notebooks and README say of others and of the student: published numbers have a source, exercises are used."""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest
import yaml

from labkit.errors import UserError
from labkit.teaching.published import CHECKED, FIELDS, published, published_numbers
from tests.solved_notebooks import solve

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EACH = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)

# No results: years, arXiv numbers, references inside the course, and numbers that are part of a name (7B, MATH-500).
_NO_RESULT = re.compile(
    r"\b(?:19|20)\d\d\b|\d{4}\.\d{4,5}"
    r"|(?:notebooks?|sections?|claims?|rows?|rung|stages?|exercise|chapter|seeds?) \d+(?:(?:,| and| to) \d+)*"
    r"|\d[\d.,]* [MB]\b|AlpacaEval \d|Llama \d|Tulu \d|Tülu \d"
)
_NUMBER = re.compile(r"(?<![\w.\-,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w]|\.\d|-[A-Za-z])")


def numbers_in(text: str) -> set[str]:
    """The numbers of a text that could be results, as they are written; code is left out.

    >>> sorted(numbers_in("R1 2025: 15.6 → 71.0 % with `k=3`, Qwen2.5-7B, MATH-500, arXiv:2501.12948, 1,000"))
    ['1,000', '15.6', '71.0']
    """
    text = re.sub(r"```.*?```|`[^`]*`|\$[^$\n|]*\$", " ", text, flags=re.DOTALL)
    return set(_NUMBER.findall(_NO_RESULT.sub(" ", text)))


def markdown(notebook: Path) -> str:
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def at_scale(text: str) -> str:
    """The part under a heading that ends in "At scale", up to the next heading; "" where there is none."""
    found = re.search(r"^##+ (?:\d+\. )?At scale[^\n]*\n(.*?)(?=^##+ |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def known_numbers() -> set[str]:
    return {n for entry in published_numbers().values() for n in numbers_in(f"{entry['what']} ; {entry['value']}")}


@EACH
def test_every_number_of_an_at_scale_part_stands_in_the_file_of_published_numbers(notebook: Path):
    missing = numbers_in(at_scale(markdown(notebook))) - known_numbers()
    assert not missing, f"{sorted(missing)}: enter them in data/published.yaml with their source, or drop them"


def test_readme_lines_that_cite_a_paper_have_no_other_number():
    lines = [
        line for line in (ROOT / "README.md").read_text("utf-8").splitlines() if re.search(r"et al\.|DeepSeek-AI", line)
    ]
    assert lines
    assert not numbers_in("\n".join(lines)) - known_numbers()


def test_most_notebooks_have_an_at_scale_part_and_a_made_up_number_would_be_found():
    parts = {notebook.stem: at_scale(markdown(notebook)) for notebook in NOTEBOOKS}
    assert sum(bool(part.strip()) for part in parts.values()) >= 13
    assert numbers_in("AIME 2024: 15.6 → 93.7 %") - known_numbers() == {"93.7"}


def test_every_published_number_names_its_source_once():
    entries = yaml.safe_load((ROOT / "data" / "published.yaml").read_text("utf-8"))
    assert len({entry["id"] for entry in entries}) == len(entries)
    for entry in entries:
        assert set(entry) == set(FIELDS), entry["id"]
        assert all(isinstance(value, str) and value.strip() for value in entry.values()), entry["id"]
        assert entry["checked"] in CHECKED, entry["id"]
    with pytest.raises(UserError, match="not in data/published"):
        published("nonsense")


def test_cited_entries_exist():
    for notebook in NOTEBOOKS:
        code = "\n".join("".join(c["source"]) for c in json.loads(notebook.read_text("utf-8"))["cells"])
        for call in re.findall(r"lk\.published\(([^)]*)\)", code):
            assert set(re.findall(r'"([^"]+)"', call)) <= set(published_numbers()), notebook.stem


def names_of(source: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


@EACH
def test_a_notebook_uses_the_function_of_at_least_one_of_its_exercises(notebook: Path):
    cells = [c for c in json.loads(notebook.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    used = set()
    for place, source in enumerate(sources):
        for name, function in re.findall(r'lk\.check\("([\w-]+)", (\w+)\)', source):
            if f"def {function}(" in source and any(function in names_of(later) for later in sources[place + 1 :]):
                used.add(name)
    assert used, "no later cell calls a function that an exercise asks for: see lk.use"


@EACH
def test_no_cell_of_prose_is_too_long(notebook: Path):
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    long = {c["id"]: len("".join(c["source"]).split()) for c in cells if c["cell_type"] == "markdown"}
    assert not {name: words for name, words in long.items() if words > 250}


@EACH
def test_every_exercise_of_a_notebook_can_be_filled_in_with_its_solution(notebook: Path):
    """What `python -m tests.solved_notebooks` runs; a notebook's own cells are not changed."""
    opened = nbformat.read(notebook, as_version=4)
    names = solve(opened)
    asked = set(re.findall(r"lk\.spec\(\"([a-z0-9-]+)\"\)", "".join(cell.source for cell in opened.cells)))
    assert set(names) == asked
    for cell in opened.cells:
        if cell.cell_type == "code" and "NotImplementedError" in cell.source:
            pytest.fail(f"still empty: {cell.source[:200]}")
