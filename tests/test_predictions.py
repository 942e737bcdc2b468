"""Predictions: kept, scored, shown next to the result; none is required, and nothing stops a notebook."""

import json
from pathlib import Path

import numpy as np
import pytest

import labkit as lk
from labkit.errors import UserError
from labkit.teaching.predictions import predictions_file


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "mine"))
    return tmp_path / "mine"


def test_without_an_answer_nothing_is_stored_and_the_result_is_shown(home: Path):
    lk.predict("a")
    lk.predict("a", None)
    assert "0.625" in str(lk.outcome("a", 0.625)) and "no prediction" in str(lk.outcome("a", True))
    assert "No prediction" in str(lk.calibration())
    assert not home.exists()


def test_scores_by_hand():
    lk.predict("chance", 0.7)
    lk.predict("held", (0.2, 0.5))
    lk.predict("missed", [0.2, 0.5])
    lk.predict("number", 12)
    assert "Brier score 0.090" in str(lk.outcome("chance", np.bool_(True)))
    assert "interval score 0.3" in str(lk.outcome("held", 0.2))
    assert "interval score 1.3" in str(lk.outcome("missed", 0.6))  # .3 + 2 / .2 * .1
    assert "off by 3" in str(lk.outcome("number", 9))
    stored = json.loads(predictions_file().read_text())
    assert [stored[name]["score"] for name in ("chance", "held", "missed", "number")] == pytest.approx(
        [0.09, 0.3, 1.3, 3]
    )


def test_calibration_counts_by_kind():
    for number, (said, came) in enumerate([(0.9, True), (0.9, True), (0.9, False), (0.1, False), (1.0, True)]):
        lk.predict(f"p{number}", said)
        lk.outcome(f"p{number}", came)
    for number, result in enumerate([1.0, 5.0]):
        lk.predict(f"i{number}", (0, 2))
        lk.outcome(f"i{number}", result)
    lk.predict("no result yet", 0.5)
    shown = lk.calibration()
    assert [row[:4] for row in shown.rows] == [
        ["said 0% to 20%", "1", "10%", "0%"],
        ["said 80% to 100%", "4", "92%", "75%"],
        ["intervals", "2", "80%", "50% held the result"],
    ]
    assert "7 with a result; mean Brier score 0.168" in shown.title  # (.01 * 3 + .81 + 0) / 5


def test_a_prediction_after_the_result_does_not_count():
    lk.predict("a", 0.1)
    lk.outcome("a", True)
    assert "as before" in str(lk.predict("a", 0.1))
    assert "does not count" in str(lk.predict("a", 1.0))
    lk.outcome("a", True)
    assert "No prediction" in str(lk.calibration())


def test_running_again_keeps_the_first_result_and_before_it_a_prediction_may_change():
    lk.predict("a", 0.1)
    lk.predict("a", 0.8)
    lk.outcome("a", True)
    lk.outcome("a", False)
    assert json.loads(predictions_file().read_text())["a"] == {
        "late": False, "guess": 0.8, "result": True, "score": pytest.approx(0.04)
    }  # fmt: skip


@pytest.mark.parametrize("guess", ["much", (0.5,), (0.6, 0.5), float("nan"), (0, "b"), [], object(), {"a": 1}])
def test_what_is_no_prediction_is_said_in_one_line(guess: object):
    with pytest.raises(UserError, match="is no prediction"):
        lk.predict("a", guess)  # pyright: ignore[reportArgumentType]


def test_a_prediction_of_another_kind_is_told_and_stops_nothing():
    lk.predict("a", (0.2, 0.5))
    lk.predict("b", 1.5)
    assert "yes-or-no" in str(lk.outcome("a", True)) and "yes-or-no" in str(lk.outcome("b", False))


def test_a_damaged_file_says_what_to_do(home: Path):
    home.mkdir()
    for text in ("{", "[1]", '{"a": 3}'):
        predictions_file().write_text(text)
        with pytest.raises(UserError, match="delete it"):
            lk.predict("a", 0.5)


def test_a_folder_that_cannot_be_written_is_told_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "file" / "below"))
    assert "Not stored" in str(lk.predict("a", 0.5))
