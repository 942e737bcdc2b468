"""Which module imports which, read from the source without running it."""

import ast
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def sources(folder: str) -> list[Path]:
    """The Python files of a folder of the checkout."""
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def module_name(path: Path) -> str:
    """The dotted name of a file of the checkout; that of a package is its folder's.

    >>> module_name(ROOT / "labkit/training/__init__.py"), module_name(ROOT / "tests/import_graph.py")
    ('labkit.training', 'tests.import_graph')
    """
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, known: Collection[str]) -> set[str]:
    """The modules that a file imports anywhere: inside functions, for type checking, lazily by its stub (`.pyi`).

    `known` tells modules from the other names of a package.
    """
    here = module_name(path)
    package = here if path.name == "__init__.py" else here.rpartition(".")[0]
    files = [path, path.with_suffix(".pyi")] if path.with_suffix(".pyi").exists() else [path]
    names = set()
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text()))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                names.add(submodule if submodule in known else base)
    return names - {here}
