"""Are the tests worth anything? Plants the field's known mistakes, one at a time, and demands that tests fail.

    python -m tests.mutation_check                  all of `mutants.MUTANTS`
    python -m tests.mutation_check GAE "reference"  those whose name contains one of the words

Works on a copy of the tree in a temporary folder. First the healthy copy must pass; then each mutant must make one of
its test files fail, by a failing test and not by an error that stops the file from being read. Each runs in a process
of its own, forked from one that has already imported torch where the system can fork. Exit status 0 when every
mistake was caught, 1 with the list of survivors otherwise.
"""

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants import MUTANTS, Mutant
from tests.snippets import replaced, spans, tokens

ROOT = Path(__file__).resolve().parent.parent
# Imported once, in the process that the others are forked from; a name that is missing is passed over.
HEAVY = """torch torch._dynamo transformers transformers.conversion_mapping transformers.models.auto.modeling_auto
transformers.models.auto.tokenization_auto transformers.models.llama.modeling_llama transformers.generation.utils
safetensors.torch pytest hypothesis jaxtyping beartype""".split()
FAILED, WRONG_TREE, TOO_LONG = 1, 99, -1  # pytest's own status for "tests failed"; ours
SECONDS = 300  # that one mutant may take


def _run_pytest(copy: str, tests: tuple[str, ...], log: str, first_only: bool) -> None:
    """In a process of its own: run the copy's tests against the copy's labkit; the exit status says how it went."""
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(copy)
    os.environ["LABKIT_CHECK_SHAPES"] = "0"  # a mistake is to be seen in numbers; and it is quicker
    sys.dont_write_bytecode = True
    sys.path[:] = [copy, *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
    import pytest
    import torch

    torch.set_num_threads(1)
    options = ["-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-p", "no:nbval"]
    status = int(pytest.main([*options, *(["-x"] if first_only else []), *tests]))
    mine = sys.modules.get("labkit")
    if mine is None or not Path(mine.__file__).resolve().is_relative_to(Path(copy).resolve()):
        status = WRONG_TREE
    os._exit(status)


def run_tests(copy: Path, tests: tuple[str, ...], first_only: bool) -> tuple[int, str]:
    """pytest's exit status (or WRONG_TREE, TOO_LONG) and what it printed."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(HEAVY)
    log = copy.parent / "pytest.log"
    process = context.Process(target=_run_pytest, args=(str(copy), tests, str(log), first_only))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        return TOO_LONG, log.read_text()
    return process.exitcode, log.read_text()


def copy_tree(folder: Path) -> Path:
    """labkit, tests and the settings of pytest, copied; the data linked, which no mutant touches."""
    copy = folder / "tree"
    for name in ("labkit", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    try:
        (copy / "data").symlink_to(ROOT / "data", target_is_directory=True)
    except OSError:  # a system that gives links to administrators alone
        shutil.copytree(ROOT / "data", copy / "data", ignore=shutil.ignore_patterns("runs"))
    return copy


def misfits(mutants: list[Mutant], root: Path = ROOT) -> list[str]:
    """Mutants whose code does not stand exactly once in their file, in words."""
    found = []
    for mutant in mutants:
        file = root / mutant.file
        times = len(spans(file.read_text(), mutant.old)) if file.exists() else 0
        if times != 1:
            found.append(f"{mutant.name}: its code stands {times} times in {mutant.file}, not once")
        if spans(mutant.new, mutant.old) and len(tokens(mutant.new)) == len(tokens(mutant.old)):
            found.append(f"{mutant.name}: changes nothing")
    return found


def check(mutants: list[Mutant], say=print) -> list[str]:
    """What went wrong, in words: empty when the healthy copy passes and every mutant is caught."""
    problems = misfits(mutants)
    if problems:
        return problems
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_tree(Path(folder))
        tests = tuple(sorted({test for mutant in mutants for test in mutant.tests}))
        started = time.perf_counter()
        status, log = run_tests(copy, tests, first_only=False)
        say(f"healthy: status {status}, {time.perf_counter() - started:.1f} s")
        if status != 0:
            return [f"the healthy copy does not pass (status {status}):\n{log[-3000:]}"]
        for mutant in mutants:
            problems += _plant(mutant, copy, say)
    return problems


def _plant(mutant: Mutant, copy: Path, say) -> list[str]:
    file, started = copy / mutant.file, time.perf_counter()
    healthy = file.read_text()
    (span,) = spans(healthy, mutant.old)
    file.write_text(replaced(healthy, span, mutant.new))
    try:
        status, log = run_tests(copy, mutant.tests, first_only=True)
    finally:
        file.write_text(healthy)
    caught = status == FAILED
    lines = [line for line in log.splitlines() if line.startswith(("FAILED", "ERROR"))]
    where = lines[0].split("::")[-1].split(" - ")[0] if lines else ""
    seconds = time.perf_counter() - started
    say(f"{'caught  ' if caught else 'SURVIVED'} {mutant.name}: {where or f'status {status}'} ({seconds:.1f} s)")
    return [] if caught else [f"{mutant.name}: status {status} instead of a failing test\n{log[-1500:]}"]


def main(words: list[str]) -> int:
    """Checks all mutants, or those whose name contains one of the words; returns the exit status."""
    chosen = [m for m in MUTANTS if not words or any(word.lower() in m.name.lower() for word in words)]
    if not chosen:
        print(f"no mutant is called like {', '.join(words)}")
        return 2
    started = time.perf_counter()
    problems = check(chosen, say=lambda line: print(line, flush=True))
    print(f"{len(chosen)} mistakes planted, {len(problems)} problems, {time.perf_counter() - started:.0f} s")
    for problem in problems:
        print(f"\n{problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
