"""`labkit bench verify`: every verifier has its row, on answers that follow from the seed."""

import json
import subprocess
import sys

import pytest

from labkit.bench.verify import PEER, bench_verify, format_verify
from labkit.bench.verify_cases import GROUP, KINDS, make_cases
from labkit.errors import UserError
from labkit.verifiers import VERIFIERS, run_verifier
from labkit.verifiers.labelled import labelled_answers


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return bench_verify(answers=40, repeats=2)


def test_every_verifier_is_measured():
    assert set(VERIFIERS) <= set(KINDS), "give the new verifier answers in labkit/bench/verify_cases.py"


def test_rows_hold_what_is_documented(rows: list[dict]):
    sides = [row["side"] for row in rows]
    assert sides == [side for name in [*VERIFIERS, "math algebra"] for side in _sides(name)]
    assert json.loads(json.dumps(rows)) == rows
    for row in rows:
        low, high = row["spread"]
        assert row["what"] == "verify" and 0 < low <= row["seconds"] <= high
        assert row["answers_per_second"] == pytest.approx(row["batch"] / row["seconds"], rel=0.5)
        assert 0 < row["right"] < 1 or row["batch"] < 40, f"{row['side']} judges all answers alike"


def _sides(name: str) -> list[str]:
    return [f"labkit {name}", *([PEER + name.removeprefix("math")] if name.startswith("math") else [])]


def test_math_is_faster_than_a_loop_over_math_verify(rows: list[dict]):
    (ours,) = [row for row in rows if row["side"] == "labkit math"]
    assert ours["ratio"][PEER] > 3


def test_a_named_peer_judges_the_labelled_answers(monkeypatch: pytest.MonkeyPatch):
    cases = labelled_answers("math")
    assert len(cases) >= 250
    few = [case for case in cases if case["trap"].startswith("scale words")][:6]
    monkeypatch.setattr("labkit.bench.verify.labelled_answers", lambda kind: few)
    rows = bench_verify(["math_verify"], answers=4, repeats=1)
    found = {row["side"]: row["confusion"] for row in rows if row["confusion"]}
    right = sum(case["correct"] for case in few)
    assert found["labkit math"] == {"right_paid": right, "right_missed": 0, "wrong_refused": 6 - right, "wrong_paid": 0}
    theirs = found[PEER]
    assert theirs["right_paid"] + theirs["right_missed"] == right and sum(theirs.values()) == 6
    header, _, _, last = format_verify(rows).splitlines()[-4:]
    assert "wrong paid" in header and last.split()[1:] == [str(n) for n in theirs.values()]
    assert not any(row["confusion"] for row in bench_verify(answers=4, repeats=1)), "it takes a minute: only if asked"


def test_the_table_names_the_peer(rows: list[dict]):
    table = format_verify(rows)
    assert "answers/s" in table.splitlines()[0] and f"x {PEER}" in table


def test_alone_there_are_no_peers():
    rows = bench_verify([], answers=4, repeats=1)
    assert not any(row["side"].startswith(PEER) for row in rows)
    assert "labelled" not in format_verify(rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"peers": ["trl"]}, "no peer 'trl'"),
        ({"peers": ["math_verify"], "answers": 0}, "1 or more"),
        ({"answers": 0}, "1 or more"),
    ],
)
def test_a_wrong_choice_is_one_clear_line(options: dict, message: str):
    with pytest.raises(UserError, match=message):
        bench_verify(**options)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_answers_are_seeded_grouped_and_different(kind: str):
    cases = make_cases(kind, 4 * GROUP, seed=1)
    assert cases == make_cases(kind, 4 * GROUP, seed=1) != make_cases(kind, 4 * GROUP, seed=2)
    for first in range(0, len(cases), GROUP):
        group = cases[first : first + GROUP]
        assert all(reference == cases[first][1] for _, reference in group)
        assert len({text for text, _ in group}) == GROUP


def test_math_judges_its_ordinary_answers_right():
    """The first spelling of each family is the reference itself; the last one of most is wrong."""
    cases = make_cases("math", 200, seed=5)
    scores = run_verifier(VERIFIERS["math"], [text for text, _ in cases], [reference for _, reference in cases])
    assert all("undecided" not in score.parts and score.parts["parsed"] for score in scores)
    assert 0.3 < sum(score.reward for score in scores) / len(scores) < 0.9


def test_the_command_prints_one_document():
    command = [sys.executable, "-m", "labkit", "bench", "verify", "--answers", "16", "--repeats", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {row["side"] for row in found} >= {f"labkit {name}" for name in VERIFIERS} | {PEER}
    assert {"what", "side", "batch", "tokens_per_second", "seconds", "ratio", "ceiling_fraction"} <= set(found[0])
