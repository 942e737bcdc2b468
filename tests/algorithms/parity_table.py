"""Measures how far labkit is from TRL and veRL, and writes the table of `labkit/algorithms/README.md`.

    python tests/algorithms/parity_table.py [FILE]

Without FILE the table goes to standard output; with the README as FILE, the part between its two marks is replaced.
TRL runs live; veRL's side is what `fixtures/verl.json` stores. Differences are the largest of all seeds and elements.
"""

import json
import re
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

import torch  # noqa: E402

from tests.algorithms.parity_cases import ROWS, Row, value_and_gradients  # noqa: E402
from tests.algorithms.parity_inputs import make_inputs  # noqa: E402

SEEDS = range(3)
BEGIN, END = "<!-- parity table: begin -->", "<!-- parity table: end -->"


def _largest(differences: list[torch.Tensor]) -> float:
    return max(float(d.abs().max()) for d in differences)


def beside_trl(row: Row) -> tuple[float | None, float | None]:
    """Largest differences of value and gradient from TRL, live."""
    values, slopes = [], []
    for seed in SEEDS:
        inputs = make_inputs(seed, "trl")
        ours, theirs = (value_and_gradients(side, inputs, row.wrt) for side in (row.ours, row.trl))
        values.append(ours[0] - theirs[0])
        slopes += [ours[1][name] - theirs[1][name] for name in row.wrt]
    return None if row.compare == "gradient" else _largest(values), _largest(slopes) if slopes else None


def beside_verl(row: Row) -> tuple[float | None, float | None]:
    """Largest differences of value and gradient from what veRL answered."""
    values, slopes = [], []
    for batch in json.loads((HERE / "fixtures/verl.json").read_text())["batches"]:
        inputs = {}
        for name, stored in batch["inputs"].items():
            tensor = torch.tensor(stored)
            inputs[name] = torch.tensor(stored, dtype=torch.float64) if tensor.is_floating_point() else tensor
        answer = batch["answers"][row.name]
        value, gradients = value_and_gradients(row.ours, inputs, row.wrt)
        values.append(value - torch.tensor(answer["value"], dtype=torch.float64))
        slopes += [gradients[name] - torch.tensor(answer["gradients"][name], dtype=torch.float64) for name in row.wrt]
    return _largest(values), _largest(slopes) if slopes else None


def table() -> str:
    """The table as markdown."""
    lines = [
        "| What | TRL: loss | gradient | veRL: loss | gradient | Against exact enumeration |",
        "|---|---|---|---|---|---|",
    ]
    notes = []

    def cell(number: float | None, wanted: bool) -> str:
        return "" if not wanted else "0" if number == 0 else "n/a" if number is None else f"{number:.1e}"

    for row in ROWS:
        trl = beside_trl(row) if row.trl else (None, None)
        verl = beside_verl(row) if row.verl else (None, None)
        name = row.name
        if row.note:
            notes.append(row.note)
            name += f" [{len(notes)}]"
        cells = [cell(x, bool(side)) for side, pair in ((row.trl, trl), (row.verl, verl)) for x in pair]
        lines.append(f"| {name} | {' | '.join(cells)} | `{row.test}` |")
    lines += ["", *(f"[{i}] {note}.  " for i, note in enumerate(notes, 1))]
    return "\n".join(lines).rstrip()


def main() -> None:
    warnings.simplefilter("ignore")
    made = table()
    if len(sys.argv) == 1:
        print(made)
        return
    file = Path(sys.argv[1])
    text = file.read_text()
    if BEGIN not in text or END not in text:
        sys.exit(f"{file} has no marks {BEGIN} and {END}")
    between = re.escape(BEGIN) + ".*" + re.escape(END)
    file.write_text(re.sub(between, lambda _: f"{BEGIN}\n\n{made}\n\n{END}", text, flags=re.DOTALL))


if __name__ == "__main__":
    main()
