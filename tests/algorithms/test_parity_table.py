"""The table of parity is complete, names tests that exist, and is the one in the README."""

import re
from pathlib import Path
from typing import get_args

from labkit.algorithms import PRESETS, PreferenceKind
from tests.algorithms.parity_cases import ROWS
from tests.algorithms.parity_table import BEGIN, END

HERE = Path(__file__).resolve().parent
README = HERE.parents[1] / "labkit/algorithms/README.md"


def test_each_row_names_a_test_that_exists():
    for row in ROWS:
        file, _, function = row.test.partition("::")
        assert f"def {function.split('[')[0]}(" in (HERE / file).read_text(), row.test


def test_every_preset_and_every_kind_of_preference_has_a_row():
    names = " ".join(re.sub(r"[^a-z+]", "", row.name.lower()) for row in ROWS)
    spelled = {"reinforce_pp": "reinforce++"}
    # Neither TRL 1.16 nor veRL's core has them: test_implicit_rewards and test_enumeration enumerate instead.
    without_peer = {"prime", "maxrl"}
    for name in [*(set(PRESETS) - without_peer), *get_args(PreferenceKind)]:
        assert spelled.get(name, name.replace("_", "")) in names, name
    assert all(row.trl or row.verl for row in ROWS)
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_the_readme_has_the_rows_and_no_other():
    text = README.read_text()
    lines = text[text.index(BEGIN) : text.index(END)].splitlines()
    rows = [line.split("|") for line in lines if line.startswith("| ")][1:]
    shown = [(re.sub(r" \[\d+\]", "", cells[1]).strip(), cells[-2].strip().strip("`")) for cells in rows]
    assert shown == [(row.name, row.test) for row in ROWS]


def test_the_readme_claims_no_difference_above_the_tolerance():
    text = README.read_text()
    numbers = re.findall(r"\d(?:\.\d)?e-\d\d", text[text.index(BEGIN) : text.index(END)])
    assert len(numbers) > 20
    assert max(map(float, numbers)) < 1e-9
