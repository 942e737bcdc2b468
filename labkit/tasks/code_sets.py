"""Programming problems that others collected: rows of HumanEval, MBPP, LiveCodeBench and APPS by their own columns.

Where they are looked for: `labkit.tasks.stored` (`$LABKIT_DATA/humaneval/test.jsonl`, `mbpp/train.jsonl` and
`mbpp/test.jsonl`, `livecodebench/test.jsonl`; else the hub), or a file of JSON lines of your own. HumanEval and
LiveCodeBench have test problems alone, and are left whole: whoever trains on them can measure nothing by them.
"""

import base64
import hashlib
import io
import json
import pickle
import zlib
from typing import Any

from labkit.errors import UserError
from labkit.jsonl import read_objects
from labkit.paths import user_path
from labkit.tasks.base import Problem
from labkit.tasks.own import split_problems
from labkit.tasks.stored import Row, Stored
from labkit.verifiers.code.reference import read_reference

ENDING = "\n\nAnswer with the whole program in one ```python block."
NEEDS = (
    'a row has the columns of HumanEval ("prompt", "test", "entry_point"), MBPP ("text" or "prompt", "test_list"), '
    'LiveCodeBench ("question_content", "public_test_cases") or APPS ("question", "input_output"), '
    'or "prompt" and "reference"'
)


def read_row(row: dict[str, Any]) -> Row | None:
    """A problem's prompt and its reference as JSON, from a row of one of the sets; None for a row of none.

    Raises UserError where the columns are there and their contents are malformed.

    >>> row = {"text": "Write a function to add.", "test_list": ["assert add(1, 2) == 3"], "code": "...", "task_id": 7}
    >>> read_row(row)["reference"]
    '{"test_list": ["assert add(1, 2) == 3"]}'
    """
    for read in (_own, _humaneval, _mbpp, _live_code_bench, _apps):
        found = read(row)
        if found is not None:
            prompt, reference = found
            if not isinstance(prompt, str) or not prompt.strip():
                return None
            read_reference(reference)
            return {"prompt": prompt, "reference": json.dumps(reference)}
    return None


def _own(row: dict[str, Any]) -> tuple[Any, Any] | None:
    return (row.get("prompt"), row["reference"]) if "reference" in row else None


def _humaneval(row: dict[str, Any]) -> tuple[Any, Any] | None:
    if not {"prompt", "test", "entry_point"} <= row.keys():
        return None
    prompt = f"Complete this Python function.\n\n```python\n{str(row['prompt']).strip()}\n```{ENDING}"
    return prompt, {key: row[key] for key in ("prompt", "test", "entry_point")}


def _mbpp(row: dict[str, Any]) -> tuple[Any, Any] | None:
    text, tests = row.get("text", row.get("prompt")), row.get("test_list")
    if not isinstance(text, str) or not tests:
        return None
    keys = ("test_list", "test_setup_code", "challenge_test_list", "test_imports")
    reference = {key: list(row[key]) if key != "test_setup_code" else row[key] for key in keys if row.get(key)}
    setup = f"\nbefore which this runs:\n\n{row['test_setup_code']}" if row.get("test_setup_code") else ""
    # One test shows the name and the arguments; the others stay hidden.
    return (
        f"{text.strip()}\n\nIt must pass tests such as this one:\n\n{str(tests[0]).strip()}\n{setup}{ENDING}",
        reference,
    )


def _live_code_bench(row: dict[str, Any]) -> tuple[Any, Any] | None:
    if not {"question_content", "public_test_cases"} <= row.keys():
        return None
    cases = [case for key in ("public_test_cases", "private_test_cases") for case in _cases(row.get(key))]
    data: dict[str, Any] = {part + "s": [case[part] for case in cases] for part in ("input", "output")}
    name = _json(row.get("metadata") or "{}").get("func_name")
    if name:
        data["fn_name"] = name
    return _asked(row["question_content"], row.get("starter_code"), bool(name)), {"input_output": data}


def _apps(row: dict[str, Any]) -> tuple[Any, Any] | None:
    if "question" not in row or not row.get("input_output"):
        return None
    data = row["input_output"]
    data = _json(data) if isinstance(data, str) else data
    name = isinstance(data, dict) and bool(data.get("fn_name"))
    return _asked(row["question"], row.get("starter_code"), name), {"input_output": data}


def _asked(question: Any, starter: Any, function: bool) -> str:
    how = "" if function else "\n\nRead from standard input and print to standard output."
    begun = (
        f"\n\nBegin with this code:\n\n```python\n{str(starter).rstrip()}\n```" if str(starter or "").strip() else ""
    )
    return f"{str(question).strip()}{begun}{how}{ENDING}"


def _cases(text: Any) -> list[dict[str, Any]]:
    """LiveCodeBench's cases: JSON, or JSON in a pickled text, compressed, in base 64."""
    if not text:
        return []
    try:
        cases = json.loads(text)
    except ValueError:
        try:
            cases = json.loads(_TextAlone(io.BytesIO(zlib.decompress(base64.b64decode(text)))).load())
        except (ValueError, TypeError, zlib.error, EOFError, pickle.UnpicklingError):
            cases = None
    if not isinstance(cases, list) or not all(
        isinstance(case, dict) and {"input", "output"} <= set(case) for case in cases
    ):
        raise UserError("the test cases of LiveCodeBench are a list of inputs and outputs, as JSON or packed")
    return cases


class _TextAlone(pickle.Unpickler):
    """Reads a pickled text and can make nothing else, so that a data set cannot run anything here."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no text")


def _json(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"a dictionary as JSON is needed, not {ascii(text)[:60]}")
    return found


SETS = {
    data.name: data
    for data in (
        Stored("humaneval", "openai/openai_humaneval", "openai_humaneval", "prompt", read_row, NEEDS, test_alone=True),
        Stored("mbpp", "google-research-datasets/mbpp", "full", "prompt", read_row, NEEDS),
        Stored("livecodebench", "livecodebench/code_generation_lite", "release_v1", "prompt", read_row, NEEDS, True),
    )
}


def set_problems(name: str, split: str) -> list[Problem]:
    """The problems of a split of a public set. Raises UserError where it is neither in the folder nor on the hub."""
    return [problem_of(row, name) for row in SETS[name].rows(split)]


def problem_of(row: Row, name: str) -> Problem:
    """The problem of a row of `read_row`."""
    digest = hashlib.blake2b(row["prompt"].encode(), digest_size=6).hexdigest()
    return Problem(row["prompt"], json.loads(row["reference"]), f"{name}/{digest}")


def file_problems(path: str) -> dict[str, list[Problem]]:
    """The problems of a file of JSON lines by split: by its column `split`, else 15 % by a hash of the prompt.

    Raises UserError, with the number of the line, for what can't be read.
    """
    file = user_path(path)
    found = []
    for number, raw in read_objects(file):
        try:
            row = read_row(raw)
        except UserError as error:
            raise UserError(f"{file}, line {number}: {error}") from None
        if row is None:
            raise UserError(f"{file}, line {number}: {NEEDS}")
        found.append((problem_of(row, file.stem), raw.get("split")))
    return split_problems(found, file)
