"""Runs the tests of what has changed since the last commit, the nearest first, for at most two and a half minutes.

    python -m tests.quick [options of pytest]

A test file is near to a module that it imports, farther from one that its imports import. Where nothing has changed,
the third of the test files that reach the fewest modules runs: those are the fast ones. Tests marked slow and
notebooks are left to `make test`, and so are those for which no time is left: the summary counts them.
"""

import ast
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.import_graph import ROOT, imports, module_name, sources

SECONDS = 150
PACKAGES = ("labkit", "labkit_exercises", "tests")
ALWAYS = "tests/test_repository.py"  # looks at all that is no module: versions, notebooks, data

Graph = dict[str, set[str]]


def graph() -> tuple[Graph, dict[str, Path]]:
    """What each module of the checkout uses, and the files of the modules."""
    files = {module_name(path): path for package in PACKAGES for path in sources(package)}
    return {name: _uses(path, files) & set(files) - {name} for name, path in files.items()}, files


def _uses(path: Path, files: dict[str, Path]) -> set[str]:
    """Imports, and modules that are named in strings, as registries do it."""
    tree = ast.parse(path.read_text())
    strings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    named = {name for text in strings if "." in (name := text.partition(":")[0])}
    return imports(path, files) | named


def distances(uses: Graph, starts: Iterable[str]) -> dict[str, int]:
    """How many uses away each module is from the nearest start; those that reach none are left out.

    >>> distances({"test": {"a"}, "a": {"b"}, "b": set(), "c": set()}, ["b"])
    {'b': 0, 'a': 1, 'test': 2}
    """
    users: Graph = {}
    for name, used in uses.items():
        for other in used:
            users.setdefault(other, set()).add(name)
    found = dict.fromkeys(sorted(starts), 0)
    queue = deque(found)
    while queue:
        name = queue.popleft()
        for user in sorted(users.get(name, ())):
            if user not in found:
                found[user] = found[name] + 1
                queue.append(user)
    return found


def reached(uses: Graph, start: str) -> set[str]:
    """All modules that a module uses, and that those use.

    >>> sorted(reached({"test": {"a"}, "a": {"b"}, "b": set(), "c": set()}, "test"))
    ['a', 'b', 'test']
    """
    found, left = {start}, [start]
    while left:
        new = uses.get(left.pop(), set()) - found
        found |= new
        left += new
    return found


def changed(folder: Path = ROOT) -> list[str]:
    """Files that differ from the last commit or are new, as git lists them; deleted ones are among them."""
    commands = (["diff", "--name-only", "--no-renames", "HEAD"], ["ls-files", "--others", "--exclude-standard"])
    said = [subprocess.run(["git", *c], cwd=folder, check=True, capture_output=True, text=True) for c in commands]
    return sorted({line for one in said for line in one.stdout.splitlines()})


def is_test(path: Path) -> bool:
    """Whether a file holds tests."""
    return path.name.startswith("test_")


def chosen(changes: list[str]) -> list[str]:
    """The files that pytest is to run after these changes, the nearest first, from the checkout's folder."""
    uses, files = graph()
    tests = {name: path for name, path in files.items() if is_test(path)}
    names = {path: name for name, path in files.items()}
    starts = {names[ROOT / change] for change in changes if ROOT / change in names}
    others = [change for change in changes if ROOT / change not in names]
    # A file of a package that is no module, such as a recipe, or a module that is gone: its package has changed.
    starts |= {name for change in others if (name := change.rpartition("/")[0].replace("/", ".")) in files}
    if not starts and not others:
        fastest = sorted(tests, key=lambda name: (len(reached(uses, name)), name))
        return [_relative(tests[name]) for name in fastest[: len(fastest) // 3]]
    near = distances(uses, starts)
    with_doctests = [files[name] for name in sorted(starts) if name not in tests]
    found = [*with_doctests, *(tests[name] for name in near if name in tests)]
    return list(dict.fromkeys([*map(_relative, found), *([ALWAYS] if others else [])]))


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


class Deadline:
    """A plugin of pytest that skips the tests for which no time is left."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Before any fixture is made."""
        if time.monotonic() > self.end:
            pytest.skip("no time is left: make test runs it")


def main(options: list[str]) -> int:
    """Runs the chosen files; returns pytest's exit status, 0 where they hold no test."""
    files = chosen(changed())
    status = pytest.main([*files, "-m", "not slow", "--maxfail=5", "-q", *options], plugins=[Deadline(SECONDS)])
    return 0 if status == pytest.ExitCode.NO_TESTS_COLLECTED else int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
