"""The labelled set that ships with the lab: no wrong answer is paid, and hardly a right one is not."""

import json
from collections import Counter

import pytest

from labkit.verifiers import get, run_for_prompts
from labkit.verifiers.labelled import labelled_answers

ROWS = labelled_answers()
NAMES = list(dict.fromkeys(row["verifier"] for row in ROWS))


def test_the_set_is_sound() -> None:
    assert len(ROWS) >= 600 and len({row["id"] for row in ROWS}) == len(ROWS)
    assert set(NAMES) == {"number", "math", "choice", "countdown", "format", "instructions", "code"}
    keys = ("verifier", "completion", "reference", "prompt")
    cases = Counter(json.dumps([row.get(key) for key in keys]) for row in ROWS)
    assert max(cases.values()) == 1, "a case stands twice"
    for row in ROWS:
        assert set(row) - {"missed", "prompt"} == {"id", "verifier", "completion", "reference", "correct", "trap"}
        assert isinstance(row["correct"], bool) and isinstance(row["completion"], str) and len(row["trap"]) > 5
    both = Counter((row["verifier"], row["correct"]) for row in ROWS)
    assert all(both[name, label] >= 5 for name in NAMES for label in (True, False))


@pytest.fixture(scope="module")
def judged() -> dict[str, tuple[dict, float, str]]:
    found = {}
    for name in NAMES:
        rows = [row for row in ROWS if row["verifier"] == name]
        texts, references = [row["completion"] for row in rows], [row["reference"] for row in rows]
        prompts = [row.get("prompt", "") for row in rows]
        scores = run_for_prompts(get(name), texts, references, prompts, timeout=20)
        found |= {row["id"]: (row, s.reward, s.reason) for row, s in zip(rows, scores, strict=True)}
    return found


def test_no_false_positive(judged) -> None:
    assert {key: why for key, (row, reward, why) in judged.items() if reward > 0 and not row["correct"]} == {}


def test_at_most_one_per_cent_false_negatives_each_listed_with_its_reason(judged) -> None:
    missed = {key: why for key, (row, reward, why) in judged.items() if reward < 1 and row["correct"]}
    assert missed.keys() == {row["id"] for row in ROWS if row.get("missed")}, missed
    assert len(missed) <= 0.01 * sum(row["correct"] for row in ROWS)


def test_no_verifier_was_at_fault(judged) -> None:
    assert {key: why for key, (_, _, why) in judged.items() if why.startswith("verifier raised")} == {}
