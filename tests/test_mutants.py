"""The tests notice the field's known mistakes: each is planted, and tests fail (see `mutation_check`)."""

import pytest

from tests.mutants import MUTANTS
from tests.mutation_check import check, misfits


def test_every_mutant_applies_exactly_once():
    assert misfits(MUTANTS) == []
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_planted_mistake_is_caught(capsys):
    with capsys.disabled():
        print()
        problems = check(MUTANTS)
    assert problems == [], "\n\n".join(problems)
