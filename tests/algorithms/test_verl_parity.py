"""Values, losses and gradients equal veRL's in float64 to 1e-9: always what it answered once, and live where it is.

The stored answers are made by `fixtures/make_verl_fixtures.py`, which says how to make veRL importable.
"""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from tests.algorithms.parity_cases import ROWS, TOLERANCE, value_and_gradients

STORED = json.loads((Path(__file__).parent / "fixtures/verl.json").read_text())
VERL_ROWS = [row for row in ROWS if row.verl is not None]


def exactly(values: float | list) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def stored_inputs(batch: dict) -> dict[str, torch.Tensor]:
    # Floats are float64; lists of True and False become masks, integers stay integers.
    found = {name: torch.tensor(values) for name, values in batch["inputs"].items()}
    return {name: exactly(batch["inputs"][name]) if x.is_floating_point() else x for name, x in found.items()}


@pytest.mark.parametrize("number", range(len(STORED["batches"])))
@pytest.mark.parametrize("row", VERL_ROWS, ids=lambda row: row.name)
def test_what_verl_answered(row, number):
    batch = STORED["batches"][number]
    answer = batch["answers"][row.name]
    value, gradients = value_and_gradients(row.ours, stored_inputs(batch), row.wrt)
    expected = exactly(answer["value"])
    assert expected.abs().max() > 1e-4  # there is something to compare
    assert (value - expected).abs().max() < TOLERANCE
    assert set(answer["gradients"]) == set(row.wrt)
    for name in row.wrt:
        expected = exactly(answer["gradients"][name])
        assert expected.abs().max() > 1e-4
        assert (gradients[name] - expected).abs().max() < TOLERANCE


def test_every_row_that_verl_has_is_stored_and_nothing_else():
    for batch in STORED["batches"]:
        assert set(batch["answers"]) == {row.name for row in VERL_ROWS}


@pytest.mark.skipif(importlib.util.find_spec("verl") is None, reason="verl is not installed (see make_verl_fixtures)")
@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("row", VERL_ROWS, ids=lambda row: row.name)
def test_verl_still_answers_the_same(row):
    for batch in STORED["batches"]:
        value, gradients = value_and_gradients(row.verl, stored_inputs(batch), row.wrt)
        answer = batch["answers"][row.name]
        assert (value - exactly(answer["value"])).abs().max() < 1e-12
        for name in row.wrt:
            assert (gradients[name] - exactly(answer["gradients"][name])).abs().max() < 1e-12
