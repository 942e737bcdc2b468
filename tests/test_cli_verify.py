"""`labkit verify`: a line a case in, a line a case out, and what a file may hold that is no case."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.cli import main

Said = tuple[int, str, str]


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["labkit", "verify", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return (end.value.code, *capsys.readouterr())

    return run


def write(path: Path, *lines: bytes | str | dict) -> Path:
    raw = [line if isinstance(line, bytes) else line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in raw) + b"\n")
    return path


GOOD = [
    {"completion": "#### 72", "reference": "72"},
    {"completion": "<answer>71</answer>", "reference": 72},
    {"completion": "\ud800 \x00", "reference": 72},
]


def test_one_json_line_a_case_in_order(verify, tmp_path: Path) -> None:
    status, out, err = verify("number", "--file", write(tmp_path / "cases.jsonl", *GOOD), "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert [row["reward"] for row in rows] == [1.0, 0.0, 0.0]
    assert [row["extracted"] for row in rows] == ["72", "71", None]
    assert [row["line"] for row in rows] == [1, 2, 3]
    assert rows[1]["reason"] == "the answer is 71, not 72" and rows[1]["parts"] == {"parsed": 1.0, "value": 0.0}


MALFORMED = [
    "no json",
    '{"completion": "#### 72"',
    "[]",
    "5",
    "null",
    '{"reference": 72}',
    '{"completion": 72, "reference": 72}',
    '{"completion": ["72"], "reference": 72}',
    b'{"completion": "\xff", "reference": 72}',
    '{"completion": "72", "reference": ' + "[" * 100_000 + "}",
    '{"completion": "72", "reference": ' + "9" * 10_000 + "}",
    '{"completion": "72", "reference": []}',
    '{"completion": "72"}',
    '{"completion": "72", "reference": NaN}',
]


@pytest.mark.parametrize("line", MALFORMED, ids=lambda line: ascii(line)[:40])
@pytest.mark.parametrize("as_json", [True, False])
def test_a_malformed_line_is_reported_with_its_number_and_the_rest_is_scored(
    verify, tmp_path: Path, line: str | bytes, as_json: bool
) -> None:
    path = write(tmp_path / "cases.jsonl", GOOD[0], "", line, GOOD[1])
    status, out, err = verify("number", "--file", path, *(["--json"] if as_json else []))
    assert status == 2 and "Traceback" not in err
    assert err.startswith("labkit: line 3: ") and err.count("\n") == 1 and len(err) < 300
    if as_json:
        rows = {row["line"]: row["reward"] for row in map(json.loads, out.splitlines())}
        assert rows[1] == 1.0 and rows[4] == 0.0 and rows.get(3, 0.0) == 0.0
    else:
        assert "the answer is 72" in out and "the answer is 71, not 72" in out and "1 malformed lines" in out


def test_a_table_for_the_reader(verify, tmp_path: Path) -> None:
    status, out, err = verify(
        "countdown", "--file", write(tmp_path / "c", GOOD[0] | {"reference": {"numbers": [72], "target": 72}})
    )
    assert (status, err) == (0, "")
    assert "makes 72 with each number once" in out and "1 cases, mean reward 1.000" in out


def test_standard_input_and_the_null_reference(verify, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b'\xef\xbb\xbf{"completion": "<think></think><answer></answer>", "reference": null}\n{"completion": ""}'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    status, out, _ = verify("format", "--file", "-", "--json")
    assert status == 0 and [json.loads(line)["reward"] for line in out.splitlines()] == [1.0, 0.0]


def test_an_empty_file_holds_no_cases(verify, tmp_path: Path) -> None:
    status, out, err = verify("number", "--file", write(tmp_path / "empty", ""), "--json")
    assert (status, out, err) == (0, "", "")


def test_leaky_twins_are_reached_by_name(verify, tmp_path: Path) -> None:
    case = {"completion": "<answer>?</answer>", "reference": {"numbers": [5, 6, 1], "target": 30}}
    path = write(tmp_path / "c", case)
    assert json.loads(verify("leaky_countdown", "--file", path, "--json")[1])["reward"] == 1.0
    assert json.loads(verify("countdown", "--file", path, "--json")[1])["reward"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nmber", "--file", "{good}"], "unknown verifier 'nmber'; choose one of: addition, "),
        (["number", "--file", "{good}.not"], "cannot read "),
        (["number", "--file", "{folder}"], "cannot read "),
        (["number"], "Missing option '--file'"),
        (["number", "--file", "{good}", "--timeout", "0"], "--timeout"),
    ],
)
def test_bad_usage_is_one_line(verify, tmp_path: Path, arguments: list[str], words: str) -> None:
    good = write(tmp_path / "good", *GOOD)
    status, out, err = verify(*(argument.format(good=good, folder=tmp_path) for argument in arguments))
    assert status == 2 and out == "" and err.count("\n") == 1 and words in err
