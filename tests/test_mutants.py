"""The tests notice the field's known mistakes: each is planted, and tests fail (see `mutation_check`)."""

import ast
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants import MUTANTS
from tests.mutation_check import ROOT, check, misfits
from tests.snippets import replaced, spans


def test_every_mutant_applies_exactly_once():
    assert misfits(MUTANTS) == []
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_every_mutant_leaves_code_that_can_be_read():
    for mutant in MUTANTS:
        healthy = (ROOT / mutant.file).read_text()
        (span,) = spans(healthy, mutant.old)
        assert ast.dump(ast.parse(replaced(healthy, span, mutant.new))) != ast.dump(ast.parse(healthy)), mutant.name


def test_mutants_that_fit_nothing_or_change_nothing_are_told():
    first = MUTANTS[0]
    wrong = [replace(first, old="no_such(name)"), replace(first, old="weight"), replace(first, new=first.old)]
    assert [line.partition(": ")[2].partition(" in ")[0] for line in misfits(wrong)] == [
        "its code stands 0 times",
        f"its code stands {len(spans((ROOT / first.file).read_text(), 'weight'))} times",
        "changes nothing",
    ]


@pytest.mark.parametrize("width", [100, 200])
def test_mutants_survive_a_formatter(tmp_path: Path, width: int):
    """Lines of another length: brackets are broken open, and closed where the last comma allows it."""
    for file in {mutant.file for mutant in MUTANTS}:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    options = ["--isolated", "--config", f"line-length={width}", "--config", "format.skip-magic-trailing-comma=true"]
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", *options, str(tmp_path)], check=True, timeout=60)
    assert any((tmp_path / m.file).read_text() != (ROOT / m.file).read_text() for m in MUTANTS)
    assert misfits(MUTANTS, tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_planted_mistake_is_caught(capsys):
    with capsys.disabled():
        print()
        problems = check(MUTANTS)
    assert problems == [], "\n\n".join(problems)
