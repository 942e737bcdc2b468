"""The cases of homework 1: labkit's own solution and another one judge all of them rightly, and each mistake fails."""

import json
import time

import pytest

from labkit.exercises import EXERCISES
from labkit.paths import data_folder
from tests.exercises.other_solutions import date_verifier as another

EXERCISE = EXERCISES["date-verifier"]
ROWS = [json.loads(line) for line in (data_folder() / "verifiers/dates.jsonl").read_text("utf-8").splitlines()]


def wrong(verify) -> list[str]:
    return [row["id"] for row in ROWS if verify(row["completion"], row["reference"]) != row["correct"]]


def test_the_set_is_sound():
    assert len(ROWS) >= 60 and len({row["id"] for row in ROWS}) == len(ROWS)
    assert len({(row["completion"], row["reference"]) for row in ROWS}) == len(ROWS)
    assert min(sum(row["correct"] for row in ROWS), sum(not row["correct"] for row in ROWS)) >= 20


@pytest.mark.parametrize("verify", [EXERCISE.reference, another], ids=["labkit", "another"])
def test_right_solutions_judge_every_case_rightly(verify):
    assert wrong(verify) == []


@pytest.mark.parametrize(
    "mistake", [m for m in EXERCISE.misconceptions if "raises" not in m.name], ids=lambda m: m.name
)
def test_each_mistake_shows_in_the_set(mistake):
    assert all(wrong(fn) for fn in mistake.implementations)


@pytest.mark.parametrize("piece", ["9", "29 February 2024 ", "thursday,", "<answer>", "th of ", "\x00", "٢"])
def test_a_megabyte_is_refused_at_once(piece):
    text = f"<answer>{piece * (2**20 // len(piece))}</answer>"
    start = time.process_time()
    assert not EXERCISE.reference(text, "2024-02-29")
    assert time.process_time() - start < 2
