"""The command that scores completions from a file: `verify`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from labkit.cli.output import note
from labkit.errors import UserError
from labkit.jsonl import finite
from labkit.paths import user_path

if TYPE_CHECKING:
    from labkit.verifiers import Score

AT_ONCE = 2048
WIDEST = 60


def verify(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A verifier by name.", show_default=False)],
    file: Annotated[
        str,
        typer.Option(
            "--file",
            metavar="CASES.jsonl",
            help='A line per case: {"completion": ..., "reference": ...}, "prompt" too where it ends in <think>; - is '
            "standard input.",
            show_default=False,
        ),
    ],
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds that one case may take.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per case and nothing else.")] = False,
) -> None:
    """Scores completions with a verifier, and says why.

    Example: `labkit verify number --file cases.jsonl`

    Look at: the reasons of the answers that you would have scored otherwise. A line that cannot be read is
    reported with its number on standard error, the others are scored, and the exit status is 2.
    """
    from labkit.verifiers import Fault, get, run_for_prompts

    verifier = get(name)
    malformed, rewards = 0, []
    with _opened(file) as stream:
        lines = _cases(stream)
        while batch := list(islice(lines, AT_ONCE)):
            cases = []
            for number, case in batch:
                if isinstance(case, str):
                    malformed += 1
                    note(f"labkit: line {number}: {case}")
                else:
                    cases.append((number, *case))
            completions, references, prompts = ([case[column] for case in cases] for column in (1, 2, 3))
            progress = sys.stderr.isatty() and len(cases) > 100
            scores = run_for_prompts(verifier, completions, references, prompts, timeout=timeout, progress=progress)
            for (number, *_), score in zip(cases, scores, strict=True):
                if score.fault is Fault.REFERENCE:
                    malformed += 1
                    note(f"labkit: line {number}: {score.reason.removeprefix('verifier raised UserError: ')}")
            _print([case[0] for case in cases], scores, as_json)
            rewards += [score.reward for score in scores]
    if not as_json:
        mean = f", mean reward {sum(rewards) / len(rewards):.3f}" if rewards else ""
        print(f"\n{len(rewards)} cases{mean}" + (f"; {malformed} malformed lines" if malformed else ""))
    if malformed:
        raise typer.Exit(2)


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = user_path(file).open("rb")
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from None
    with stream:
        yield stream


def _cases(stream: BinaryIO) -> Iterator[tuple[int, tuple[str, Any, str] | str]]:
    """(line number from 1, (completion, reference, prompt)) of each line, or what is wrong with it; no blank lines."""
    for number, raw in enumerate(stream, start=1):
        if not raw.strip():
            continue
        try:
            case = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
        except (ValueError, RecursionError) as error:
            yield number, f"no JSON ({type(error).__name__}: {' '.join(str(error).split())[:100]})"
            continue
        if not isinstance(case, dict) or not isinstance(case.get("completion"), str):
            line = ascii(raw[:60].decode("utf-8", "replace").strip())
            yield number, f'no {{"completion": text, "reference": ...}}: {line}'
            continue
        prompt = case.get("prompt")
        yield number, (case["completion"], case.get("reference"), prompt if isinstance(prompt, str) else "")


def _print(numbers: list[int], scores: "list[Score]", as_json: bool) -> None:
    """Prints the scores of some lines; `numbers` are the numbers of the lines."""
    if as_json:
        for number, score in zip(numbers, scores, strict=True):
            row = {"reward": score.reward, "reason": score.reason, "extracted": score.extracted}
            print(json.dumps(finite(row | {"parts": score.parts, "fault": score.fault, "line": number})))
    elif scores:
        from labkit.tables import table
        from labkit.verifiers.score import quote

        rows = []
        for number, score in zip(numbers, scores, strict=True):
            extracted = "" if score.extracted is None else quote(score.extracted, WIDEST)
            rows.append([str(number), f"{score.reward:g}", extracted, score.reason])
        print(table(["line", "reward", "extracted", "reason"], rows))
