"""The leaky twins: honest about honest answers, each with its hole, and as total as their sound siblings."""

import pickle

import pytest
from hostile import check_every_score
from labelled import ROWS

from labkit.errors import UserError
from labkit.verifiers import VERIFIERS, get
from labkit.verifiers.leaky import ATTACKS, LEAKY

SIBLINGS = {
    "leaky_countdown": "countdown",
    "leaky_countdown_stated": "countdown",
    "leaky_format": "format",
    "leaky_number": "number",
}
REFERENCES = {"countdown": {"numbers": [5, 6, 1], "target": 30}, "format": None, "number": 72}


def test_they_are_reached_by_name_and_stand_in_no_list() -> None:
    assert set(LEAKY) == set(ATTACKS) == set(SIBLINGS)
    assert not set(LEAKY) & set(VERIFIERS)
    with pytest.raises(UserError) as caught:
        get("leaky")
    assert "leaky_" not in str(caught.value)
    for name in LEAKY:
        assert pickle.loads(pickle.dumps(get(name))) is get(name)


@pytest.mark.parametrize("name", sorted(SIBLINGS))
def test_the_attack_is_paid_by_the_twin_alone(name: str) -> None:
    completion, reference = ATTACKS[name]
    assert get(name)(completion, reference).reward == 1.0
    assert get(SIBLINGS[name])(completion, reference).reward == 0.0


@pytest.mark.parametrize("name", ["leaky_countdown", "leaky_format", "leaky_number"])
def test_what_its_sound_sibling_pays_it_pays_too(name: str) -> None:
    rows = [row for row in ROWS if row["verifier"] == SIBLINGS[name] and row["correct"]]
    if name == "leaky_number":  # it compares texts, and has its false negatives as well
        rows = [row for row in rows if row["completion"] == f"<answer>{row['reference']}</answer>"]
    if name == "leaky_format":
        rows = [row for row in rows if row["reference"] is None]
    assert rows
    for row in rows:
        assert get(name)(row["completion"], row["reference"]).reward == 1.0, row


def test_the_stated_result_is_believed_only_with_the_right_numbers() -> None:
    puzzle, verify = REFERENCES["countdown"], get("leaky_countdown_stated")
    assert verify("<answer>6*5*1</answer>", puzzle).reward == 1.0
    assert verify("<think>6+6=30</think><answer>6+6</answer>", puzzle).reward == 0.0
    assert verify("<think>6+5+1=12</think><answer>6+5+1</answer>", puzzle).reward == 0.0
    assert verify("<think>6*5*1=29</think><answer>6*5*1</answer>", puzzle).reason.endswith("states 29, not 30")


def test_the_parts_of_leaky_format_are_paid_one_by_one() -> None:
    texts = ["", "<answer>", "<answer></answer>", "</think><answer></answer>"]
    assert [get("leaky_format")(text, None).reward for text in texts] == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("reference", [None, True, [72], 10**5000, {"a": 1}], ids=lambda value: str(type(value)))
def test_a_malformed_reference_of_leaky_number(reference: object) -> None:
    with pytest.raises(UserError, match="a number reference"):
        get("leaky_number")("<answer>72</answer>", reference)


@pytest.mark.parametrize("name", sorted(SIBLINGS))
def test_no_hostile_text_raises_or_takes_long(name: str) -> None:
    check_every_score(get(name), REFERENCES[SIBLINGS[name]])
