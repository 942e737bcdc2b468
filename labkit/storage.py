"""Files of a run, written so that neither a kill nor a power cut leaves half of one, and read with one clear line for
what is damaged. Text is UTF-8, whatever the locale says.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from labkit.errors import RunError, RunFolderError, UserError, say_once
from labkit.jsonl import finite
from labkit.paths import PACKAGE

RECORDED = PACKAGE.parent / "data" / "runs"
"""The recorded runs of a checkout."""


def refuse_recorded(path: Path) -> None:
    """Raises UserError for a path in a recorded run of the checkout: one below `data/runs` that is finished."""
    try:
        inside = path.resolve().relative_to(RECORDED.resolve()).parts
    except (ValueError, OSError, RuntimeError):  # somewhere else, or a circle of links
        return
    if not inside:
        return
    root = RECORDED / inside[0]
    try:
        finished = json.loads((root / "result.json").read_text(encoding="utf-8"))["status"] == "finished"
    except (OSError, ValueError, KeyError, TypeError):
        return
    if finished:
        raise UserError(
            f"{root} is a recorded run of the repository, which is read-only: train a run of your own "
            "(`labkit recipes` lists what there is), or work on a copy of its folder"
        )


# ------------------------------------------------------------------------------------------------- writing


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Whatever fails inside is told as a run folder that can't be written: RunFolderError."""
    from safetensors import SafetensorError  # wraps the system's errors while tensors are written

    try:
        yield
    except (OSError, SafetensorError) as error:
        raise RunFolderError(folder, getattr(error, "strerror", None) or str(error)) from error


def write_aside(file: Path, text: str) -> None:
    """Writes a whole file under another name, brings it to the disk and renames it: no reader ever sees half of it,
    and what was said to be written is there after a power cut. Raises UserError in a recorded run."""
    refuse_recorded(file)
    # A name of its own: two processes that write the same file do not mix.
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".part", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o666 & ~umask())  # mkstemp lets nobody else read it
        os.replace(name, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    sync(file.parent)


def append_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    """Appends rows as JSON lines in one write. Raises UserError in a recorded run."""
    refuse_recorded(file)
    with file.open("a", encoding="utf-8", newline="\n") as handle:
        handle.write("".join(json_line(row) for row in rows))


def json_line(row: dict[str, Any]) -> str:
    """A row as a line of JSON; numbers that are not finite become null."""
    return json.dumps(finite(row)) + "\n"


def sync(path: Path) -> None:
    """Brings a file, or the names in a folder, to the disk; where the system can't open a folder, nothing happens."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        if path.is_dir():  # Windows opens no folder
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not path.is_dir():
            raise RunError(f"cannot bring {path} to the disk: {error.strerror}") from error
    finally:
        os.close(descriptor)


def follow_umask(folder: Path) -> None:
    """Gives the files in a folder the permissions that the umask asks for: safetensors writes for the owner alone."""
    permissions = 0o666 & ~umask()
    for file in folder.iterdir():
        if file.is_file():
            file.chmod(permissions)


def umask() -> int:
    """The permissions that new files of this process are not given."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
        return int(status.split("Umask:")[1].split()[0], 8)
    except (OSError, IndexError, ValueError):  # no Linux: asking means setting it for a moment
        mask = os.umask(0o022)
        os.umask(mask)
        return mask


# ------------------------------------------------------------------------------------------------- reading


def read_text(file: Path) -> str:
    """The text of a file of a run. Raises UserError where it can't be read or is no UTF-8 text."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{file.parent} has no {file.name}: it is no run folder, or the file was removed") from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is damaged: it is not UTF-8 text") from None


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file of a run. Raises UserError where it is missing or damaged (cut, say)."""
    try:
        found = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file} is damaged: it is no whole JSON ({getattr(error, 'msg', error)})") from None
    if not isinstance(found, dict):
        raise UserError(f"{file} is damaged: it holds {type(found).__name__}, not an object")
    return found


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file of a run. Raises UserError where it is missing or damaged (cut, say)."""
    try:
        found = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file} is damaged: it is no YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(found, dict):
        raise UserError(f"{file} is damaged: it is no list of `key: value` lines")
    return found


def read_lines(file: Path, *needed: str) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines; none where there is no file. A link that leads nowhere can't be read.

    A last line without its line break is what a kill leaves (or is being written just now): it is passed over, and
    said once on standard error. Any other line that is no object with numbers under the keys `needed` raises
    UserError: the file is damaged there.
    """
    if not os.path.lexists(file):
        return
    lines = read_bytes(file).split(b"\n")
    for number, line in enumerate(lines, 1):
        if number == len(lines):
            if line:
                say_once(f"the last line of {file} was not written to its end: it is passed over")
            return
        try:
            row = json.loads(line.decode())
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            what = repr(line[:40])[1:] if line else "an empty line"
            raise UserError(f"{file}, line {number}: not a JSON object: the file is damaged there: {what}")
        for key in needed:
            if isinstance(row.get(key), bool) or not isinstance(row.get(key), int | float):
                raise UserError(f"{file}, line {number}: no number {key!r}: the file is damaged there")
        yield row


def read_bytes(file: Path) -> bytes:
    """What is in a file. Raises UserError where it can't be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
