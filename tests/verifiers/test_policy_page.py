"""The page of policies: every row of its tables is what the verifiers do, and say."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import labkit.verifiers
from labkit.verifiers import get, run_for_prompts

PAGE = (Path(labkit.verifiers.__file__).parent / "POLICY.md").read_text("utf-8")
HEAD = "| verifier | completion | reference | reward | reason |"


class Row(NamedTuple):
    """A row of a table: `opened number` is `number` for a prompt that opens a thought."""

    verifier: str
    completion: str
    reference: Any
    reward: float
    reason: str


def _text(cell: str) -> str:
    return cell.strip().strip("`").replace("\\|", "|").replace("⏎", "\n")


def _reference(cell: str) -> Any:
    text = _text(cell)
    return json.loads(text) if text.startswith("{") or re.fullmatch(r"0\.[0-9]{15,}", text) else text


def _rows() -> list[Row]:
    lines = [line for line in PAGE.splitlines() if re.match(r"\| (?:opened )?(?:number|math|choice) \|", line)]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [Row(v.strip(), _text(c), _reference(r), float(x), _text(why)) for v, c, r, x, why in cells]


ROWS = _rows()


def test_the_page_has_its_tables() -> None:
    sections = PAGE.split("\n## ")[1:]
    assert len(sections) >= 12 and all(HEAD in section for section in sections)
    assert len(ROWS) == sum(line.startswith("| ") and line != HEAD for line in PAGE.splitlines()) >= 80
    assert {row.verifier for row in ROWS} == {"number", "opened number", "math", "choice"}
    assert sum(row.reward == 0 for row in ROWS) >= 30 <= sum(row.reward == 1 for row in ROWS)
    assert max(map(len, re.findall(r"^(?!\|).*$", PAGE, re.MULTILINE))) <= 130


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ascii(row.completion)[:40])
def test_every_row_is_true(row: Row) -> None:
    prompt = "How many?<think>" if row.verifier.startswith("opened") else ""
    verifier = get(row.verifier.split()[-1])
    score = run_for_prompts(verifier, [row.completion], [row.reference], [prompt], timeout=20)[0]
    assert (score.reward, score.reason) == (row.reward, row.reason)
