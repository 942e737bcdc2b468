"""Runs notebooks as a student leaves them who did every exercise: `python -m tests.solved_notebooks [NOTEBOOK ...]`.

The solutions take the place of the empty functions, in a copy. Printed per notebook: how many exercises were filled in,
how many checks passed, and the first error, if there is one. The exit status says whether all is well. (What a student
runs who has done none of them is what `make test` runs.)
"""

import ast
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from labkit.exercises import get, solution_source
from labkit.paths import PACKAGE

NOTEBOOKS = PACKAGE.parent / "notebooks"


def checked(tree: ast.Module) -> dict[str, str]:
    """The exercises that a cell checks: the name of each, and of the student's function."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = {}
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "check" and len(call.args) == 2:
            name, function = call.args
            if isinstance(name, ast.Constant) and isinstance(function, ast.Name):
                found[str(name.value)] = function.id
    return found


def filled(source: str, exercise: str, function: str) -> str:
    """A cell's source with the solution in place of the student's empty function; "" where it is not defined there."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            own = get(exercise).signature.partition("(")[0]
            answer = solution_source(exercise) + ("" if own == function else f"\n{function} = {own}")
            return "\n".join([*lines[: node.lineno - 1], answer, *lines[node.end_lineno :]])
    return ""


def solve(notebook: Any) -> list[str]:
    """Fills in every exercise that the notebook checks; returns their names."""
    code, done = [cell for cell in notebook.cells if cell.cell_type == "code"], []
    for index, cell in enumerate(code):
        for exercise, function in checked(ast.parse(_plain(cell.source))).items():
            for place in (cell, *reversed(code[:index])):  # the definition may stand in an earlier cell
                if answer := filled(_plain(place.source), exercise, function):
                    place.source = answer
                    done.append(exercise)
                    break
            else:
                raise AssertionError(f"no cell defines {function} before cell {index} checks it")
    return done


def _plain(source: str) -> str:
    """A cell's Python, without its magics."""
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in source.splitlines())


def plain_outputs(notebook: Any) -> Iterator[str]:
    """What the cells show, as a terminal would show it."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            yield output.get("text") or output.get("data", {}).get("text/plain", "")


def main(names: list[str]) -> int:
    paths = [Path(name) for name in names] or sorted(NOTEBOOKS.glob("[0-9]*.ipynb")) + sorted(
        NOTEBOOKS.glob("homework/*.ipynb")
    )
    failed = 0
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        exercises = solve(notebook)
        started, error = time.perf_counter(), "no error"
        client = NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(path.parent)}})
        try:
            client.execute()
        except CellExecutionError as caught:
            error = str(caught).strip().splitlines()[-1]
        shown = "\n".join(plain_outputs(notebook))
        missed = [name for name in exercises if f"✓ {name}: passed" not in shown]
        failed += bool(missed) or error != "no error"
        said = f"not passed: {', '.join(missed)}; " if missed else ""
        print(
            f"{path.name}: {len(exercises)} filled in, {said}{error}, {time.perf_counter() - started:.0f} s", flush=True
        )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
