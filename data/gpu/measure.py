"""Everything that wants a GPU, part by part: each in its own process, saved row by row, resumable, in order of value.

    python data/gpu/measure.py --list                          # the parts, and how long each should take
    python data/gpu/measure.py --out DIR --minutes 10          # as many as fit; the same line again goes on
    python data/gpu/measure.py --out DIR --parts train step    # these alone; --parts recipes: all recipes
    python data/gpu/measure.py --out DIR --smoke               # a rehearsal on a CPU, with a small stand-in

A part that fails, ends its process or hangs leaves the GPU clean for the others: its process, with all that it has
started, is ended at the latest when its limit is over. In `DIR/parts`, `NAME.jsonl` gets a line for each row as soon as
it is measured, after a first line with device and versions; `NAME.log` is what the part printed; `NAME.json` says at
the end how it went: rows, command, seconds, the peak of the GPU's memory. `DIR/runs` has the run folders of the
recipes. A part that is done is passed over; one that failed, or lacked its data, says why and is tried again by the
next call. Expected times of recipes: `budget.py`, pessimistic.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from parts import MODEL, RECIPES, ROOT, SEEDS, Part, Setting, all_parts, part_file

from labkit.errors import UserError
from labkit.runs import environment

SCRIPT = Path(__file__).resolve()  # what each part's process runs
SMOKE_LIMIT = 600.0  # seconds for a part of a rehearsal, whatever it should take on a GPU
SKIPPED = 3  # the exit status of a part whose data or model is not at hand


# --------------------------------------------------------------------------------------- in the process of one part


def run_part(part: Part, setting: Setting) -> int:
    """Runs a part here, and saves each row at once. Returns 1 where it failed, SKIPPED without its data or model."""
    started = time.time()
    file = part_file(setting.out, part.name, ".jsonl")
    with file.open("w", encoding="utf-8") as lines:

        def save(line: dict[str, Any]) -> None:
            lines.write(json.dumps(line, default=str) + "\n")
            lines.flush()

        save({"part": part.name, "smoke": setting.smoke, **environment(setting.device)})
        try:
            for row in part.run(setting):
                save({"seconds_so_far": round(time.time() - started, 1), **row})
        except UserError as error:
            print(str(error), flush=True)
            return SKIPPED
        except Exception:  # whatever it was, it is this part's alone
            traceback.print_exc()
            return 1
        if setting.device.type == "cuda":
            save({"peak_memory_bytes": torch.cuda.max_memory_allocated()})
    return 0


# ------------------------------------------------------------------------------------------------ the parts in turn


def in_a_process(part: Part, setting: Setting, limit: float) -> tuple[str, str]:
    """Runs a part in a process of its own, at most `limit` seconds: "done", "skipped" or "failed", and why."""
    command = [sys.executable, str(SCRIPT), "--only", part.name, "--out", str(setting.out), "--model", setting.model]
    command += ["--steps", str(setting.steps), *(["--smoke"] if setting.smoke else [])]
    log = part_file(setting.out, part.name, ".log")
    with log.open("wb") as out:
        running = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = running.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            return "failed", f"ended after {limit:.0f} s, its limit"
        finally:  # also what it has started itself, and also after Ctrl-C
            end_group(running)
    said = log.read_text(encoding="utf-8", errors="replace").strip()
    if code < 0:
        return "failed", f"its process was ended by {signal.Signals(-code).name}\n{said[-4000:]}"
    return {0: "done", SKIPPED: "skipped"}.get(code, "failed"), said[-4000:]


def end_group(running: subprocess.Popen) -> None:
    """Ends a process and all others of its session."""
    try:
        os.killpg(running.pid, signal.SIGKILL)
    except ProcessLookupError:  # all have ended by themselves
        return
    running.wait()


def measure(part: Part, setting: Setting, limit: float) -> str:
    """Runs a part and saves how it went; returns "done", "skipped" or "failed"."""
    started = time.time()
    status, said = in_a_process(part, setting, limit)
    rows, facts = saved_rows(setting.out, part.name)
    record = {
        "part": part.name,
        "status": status,
        "seconds": round(time.time() - started, 1),
        "expected_seconds": round(part.seconds),
        "peak_memory_bytes": None,
        **facts,
        "command": " ".join(["python", *sys.argv]),
        "result": rows,
        **({} if status == "done" else {"why": said}),
    }
    for old in ("skipped", "failed"):  # of an earlier call
        part_file(setting.out, f"{part.name}.{old}").unlink(missing_ok=True)
    file = part_file(setting.out, part.name if status == "done" else f"{part.name}.{status}")
    aside = file.with_suffix(".part")
    aside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    aside.rename(file)
    told = "" if status == "done" else ": " + (said.splitlines() or ["it said nothing"])[-1]
    print(
        f"-- {part.name}: {status}, {record['seconds']:.0f} s (expected {part.seconds:.0f} s), {len(rows)} rows{told}",
        flush=True,
    )
    return status


def saved_rows(out: Path, name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows that a part has saved, and the facts before and after them. A line that was cut off is left out."""
    rows, facts = [], dict[str, Any]()
    file = part_file(out, name, ".jsonl")
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
    for number, line in enumerate(line for line in lines if line.endswith("\n")):
        found = json.loads(line)
        if number == 0 or set(found) == {"peak_memory_bytes"}:
            facts |= found
        else:
            rows.append(found)
    return rows, facts


def chosen(parts: list[Part], wanted: list[str] | None) -> list[Part]:
    """The parts of these names; `recipes` means all of them, a recipe's name all of its seeds."""
    if wanted is None:
        return parts
    found = []
    for part in parts:
        stem = part.name.rpartition("-seed")[0]
        if part.name in wanted or (stem and (stem in wanted or "recipes" in wanted)):
            found.append(part)
    unknown = set(wanted) - {p.name for p in parts} - set(RECIPES) - {"recipes"}
    if unknown:
        raise SystemExit(f"no part {', '.join(sorted(unknown))}; --list shows them")
    return found


def stand_in(out: Path) -> str:
    """The folder of a small model of SmolLM2's architecture with random weights."""
    sys.path.insert(0, str(ROOT / "tests"))
    from smollm2_like import small_smollm2

    folder = out / "stand-in"
    if not folder.exists():
        small_smollm2().save(folder)
    return str(folder)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns 1 where a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where results go; the same folder again goes on with it")
    parser.add_argument("--parts", nargs="+", metavar="PART", help="these alone (--list); `recipes`: all recipes")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)), help="of the recipes, with commas")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing that should not fit")
    parser.add_argument("--smoke", action="store_true", help="a rehearsal: tiny sizes, a stand-in, the CPU")
    parser.add_argument("--model", help="instead of SmolLM2, or of the rehearsal's stand-in")
    parser.add_argument("--steps", type=int, default=2, help="steps of a recipe in a rehearsal")
    parser.add_argument("--limit", type=float, help="seconds after which any part is ended, instead of its own limit")
    parser.add_argument("--list", action="store_true", help="the parts and their expected minutes, and nothing else")
    parser.add_argument("--only", help=argparse.SUPPRESS)  # the part that this process is for
    told = parser.parse_args(arguments)
    seeds = tuple(map(int, told.seeds.split(",")))
    if told.only is not None:
        seeds = (int(told.only.rpartition("-seed")[2]),) if "-seed" in told.only else ()
    parts = chosen(all_parts(seeds), told.parts if told.only is None else [told.only])
    if told.list:
        for part in parts:
            print(f"{part.name:40s} {part.seconds / 60:5.1f} min")
        return 0
    if told.out is None:
        parser.error("--out is needed")
    (told.out / "parts").mkdir(parents=True, exist_ok=True)
    model = told.model or (stand_in(told.out) if told.smoke else MODEL)
    setting = Setting(told.out, model, told.smoke, told.steps)
    if told.only is not None:
        return run_part(parts[0], setting)
    return run_all(parts, setting, time.time() + 60 * told.minutes, told.limit)


def run_all(parts: list[Part], setting: Setting, ends: float, limit: float | None) -> int:
    """All parts that are not done and that should fit before the time `ends`; returns 1 where one failed."""
    failed = False
    for part in parts:
        left = ends - time.time()
        if part_file(setting.out, part.name).exists():
            print(f"-- {part.name}: done before", flush=True)
        elif part.seconds > left:
            print(f"-- {part.name}: no time left for it ({part.seconds:.0f} s expected)", flush=True)
        else:
            own = SMOKE_LIMIT if setting.smoke else part.limit
            failed |= measure(part, setting, min(own if limit is None else limit, left)) == "failed"
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
