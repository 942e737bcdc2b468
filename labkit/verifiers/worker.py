"""The process in which a verifier runs that may hang, crash or eat memory; `pool` starts it and kills it when late.

It speaks with its parent over its standard input and output, in frames: 8 bytes of length, then the body. Requests are
pickles (the parent is trusted here); replies are JSON (a worker is not trusted there: a pickle could run code).

    {"load": bytes, "memory": bytes | None}  ->  {"ok": true} or {"error": "why it cannot be loaded"}
    {"items": [bytes, ...], "limit": seconds}  ->  one reply an item, as soon as it is scored; before it, where the
        verifier imports a module, {"importing": true} and {"importing": false}

It imports nothing but labkit.verifiers and what the verifier itself needs. It ends when its input ends (the parent is
gone), and a clock outside Python's lock ends it when one item takes longer than `limit`: so no worker outlives a parent
that was killed, even inside a loop in C.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import io
import json
import os
import pickle
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from labkit.verifiers.guard import fault, safe_score
from labkit.verifiers.guardian import guarded
from labkit.verifiers.score import Fault, Score

__all__ = ["START_SECONDS", "limit_memory", "main", "read_frame", "serve", "write_frame"]

START_SECONDS = 120.0
"""How long a worker may take to start, to load its verifier, and for each import of a large package."""

MAX_PRINTED = 10_000
"""Characters of a verifier's own printing that go back with one score."""
MAX_TEXT = 2_000_000
"""Characters of a reason or an extracted answer that go back with one score."""
_LENGTH = struct.Struct(">Q")


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next frame's body; None where the stream ends, be it in the middle of a frame."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return body if len(body) == length else None


def write_frame(stream: BinaryIO, body: bytes) -> None:
    """Write one frame and flush it."""
    stream.write(_LENGTH.pack(len(body)))
    stream.write(body)
    stream.flush()


def main() -> None:
    """Serve requests until the input ends, in a process whose descendants end with it."""
    guarded(0)
    serve(*_take_streams())


def serve(
    requests: BinaryIO, replies: BinaryIO, verifier: Any = None, unpack: Callable[[bytes], Any] = pickle.loads
) -> None:
    """Answer requests until they end. `unpack` makes the (completion, reference) of an item."""
    sink = open(os.devnull, "w")  # noqa: SIM115 (open for as long as the process lives)
    limit: list[float] = []

    def started(importing: bool) -> None:
        """Told when an import begins and ends: its time is not the verifier's."""
        if limit:
            write_frame(replies, json.dumps({"importing": importing}).encode())
            faulthandler.dump_traceback_later(START_SECONDS if importing else limit[0], exit=True, file=sink)

    announce_imports(started)
    while (body := read_frame(requests)) is not None:
        request = pickle.loads(body)
        if "load" in request:
            verifier, answer = _load(request)
            write_frame(replies, json.dumps(answer).encode())
            continue
        for item in request["items"]:
            limit[:] = [request["limit"]]
            faulthandler.dump_traceback_later(request["limit"], exit=True, file=sink)
            answer = _score(verifier, item, unpack)
            faulthandler.cancel_dump_traceback_later()
            limit.clear()
            write_frame(replies, json.dumps(answer).encode())
            if answer["leaving"]:
                return


def announce_imports(told: Callable[[bool], None]) -> None:
    """Has `told(True)` called when this thread begins to import a module that is not loaded, `told(False)` when the
    import has ended, with all that it imports in its turn."""
    plain, here, inside = importlib._bootstrap._find_and_load, (os.getpid(), threading.get_ident()), []  # type: ignore[attr-defined]

    def find_and_load(name: str, import_: Any) -> Any:
        if inside or (os.getpid(), threading.get_ident()) != here:
            return plain(name, import_)
        inside.append(name)
        told(True)
        try:
            return plain(name, import_)
        finally:
            told(False)
            inside.clear()

    importlib._bootstrap._find_and_load = find_and_load  # type: ignore[attr-defined]


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the parent under other numbers: what a verifier reads or prints must not mix with the frames."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nothing, number)
    return requests, replies


def _load(request: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    try:
        verifier = pickle.loads(request["load"])
        prepare = getattr(verifier, "prepare_worker", None)
        if prepare is not None:
            prepare()
    except BaseException as error:
        return None, {"error": f"{type(error).__name__}: {error}"}
    limit_memory(request["memory"])
    return verifier, {"ok": True}


def limit_memory(extra: int | None) -> None:
    """Let this process grow by so many bytes from what it has now, where the system can hold it to that (Linux)."""
    if extra is None or not sys.platform.startswith("linux"):
        return
    import resource

    pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115
    wanted = pages * resource.getpagesize() + extra
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))


def _score(verifier: Any, item: bytes, unpack: Callable[[bytes], Any]) -> dict[str, Any]:
    """One reply. After an error that may have left this process in a bad state (no memory), it says that it leaves."""
    printed = io.StringIO()
    leaving = False
    try:
        with contextlib.redirect_stdout(printed):
            completion, reference = unpack(item)
            score = safe_score(verifier, completion, reference)
        leaving = score.fault is Fault.MEMORY
    except BaseException as error:  # SystemExit, KeyboardInterrupt, or a reference that cannot be loaded here
        score, leaving = fault(f"verifier raised {type(error).__name__}", Fault.RAISED), True
    return {**_plain(score), "printed": printed.getvalue()[:MAX_PRINTED], "leaving": leaving}


def _plain(score: Score) -> dict[str, Any]:
    extracted = score.extracted if score.extracted is None else score.extracted[:MAX_TEXT]
    return {
        "reward": score.reward,
        "reason": score.reason[:MAX_TEXT],
        "extracted": extracted,
        "parts": score.parts,
        "fault": score.fault,
    }
