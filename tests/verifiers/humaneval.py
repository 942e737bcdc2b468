"""HumanEval whole through the verifier `code`: `python -m tests.verifiers.humaneval FILE [--each 3]`.

Its canonical solutions in seven ways of answering, and mutants of each in eight ways. Every mutant is also run as the
data set's own harness runs it, program and check in one process: the two verdicts must be the same. A mutant that
passes both is no fault of the verifier: the data set's tests don't notice it.
"""

import argparse
import json
import textwrap
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from labkit.verifiers.code import verify
from tests.verifiers.program_mutants import WAYS, mutants, native


def _fenced(text: str) -> str:
    return f"```python\n{text}\n```"


def _in_a_list(text: str) -> str:
    return (
        f"1. Here:\n\n{textwrap.indent(_fenced(text), '   ')}\n\n2. Try it:\n\n   ```python\n   print(help())\n   ```\n"
    )


FORMS = {
    "a block": lambda row: _fenced(row["prompt"] + row["canonical_solution"]),
    "no fence": lambda row: row["prompt"] + row["canonical_solution"],
    "no fence, between prose": lambda row: (
        f"Here it is:\n\n{row['prompt']}{row['canonical_solution']}\n\nIt's simple: it does what is asked.\nGood luck"
    ),
    "a block in a list, its use behind it": lambda row: _in_a_list(row["prompt"] + row["canonical_solution"]),
    "the prompt's continuation": lambda row: row["canonical_solution"],
    "the same, stripped": lambda row: row["canonical_solution"].strip(),
    "the same, in a block": lambda row: _fenced(row["canonical_solution"]),
}


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--each", type=int, default=3, help="mutants of each way for a problem, at most")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.file.read_text(encoding="utf-8").splitlines()]
    with ThreadPoolExecutor(2) as pool:
        for form, make in FORMS.items():
            scores = list(pool.map(lambda row, make=make: verify(make(row), row, seconds=30), rows))
            print(f"{form:40} {sum(score.reward for score in scores):.0f} of {len(rows)} right", flush=True)
        cases = [
            (row, way, text)
            for row in rows
            for way, text in mutants(row["prompt"] + row["canonical_solution"], row["entry_point"], options.each)
        ]

        def one(case: tuple[dict, str, str]) -> tuple[str, bool, bool]:
            row, way, text = case
            score = verify(_fenced(text), row, seconds=options.seconds)
            return way, score.reward == 1.0, native(text, row["test"], row["entry_point"], options.seconds)

        found = list(pool.map(one, cases))
    print(f"\n{'mutants':20} {'tried':>6} {'pass':>6} {'pass natively':>14} {'verdicts differ':>16}")
    for way in (*WAYS, "all"):
        mine = [(ours, truth) for name, ours, truth in found if way in (name, "all")]
        passed, truth = (Counter(pair[side] for pair in mine)[True] for side in (0, 1))
        print(f"{way:20} {len(mine):6} {passed:6} {truth:14} {sum(a != b for a, b in mine):16}")


if __name__ == "__main__":
    main()
