"""The labelled answers that ship with the lab, out of every file of `data/verifiers/labelled*.jsonl`."""

import json
from typing import Any

from labkit.paths import data_folder

FILES = sorted((data_folder() / "verifiers").glob("labelled*.jsonl"))
ROWS: list[dict[str, Any]] = [json.loads(line) for file in FILES for line in file.read_text("utf-8").splitlines()]
