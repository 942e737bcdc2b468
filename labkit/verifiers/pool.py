"""Worker processes that score, are killed and joined when over time, and wait warm for the next batch.

Workers are plain subprocesses of this Python (`labkit.verifiers.worker`). So they need no `if __name__ == "__main__"`
and no fork of a process that holds torch and its threads, and they work the same in a script, a notebook or a thread,
on Linux, macOS and Windows. One thread of this process talks to one worker; the calling thread watches the clock. A
signal (`SIGALRM`) would be silently dead in a worker thread; killing a process is not.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, cast

from labkit.system import cores
from labkit.verifiers.guard import fault
from labkit.verifiers.guardian import GUARDED
from labkit.verifiers.score import Fault, Score
from labkit.verifiers.worker import START_SECONDS, read_frame, write_frame

__all__ = ["CannotLoad", "Pool", "shared_pool"]

MEMORY = 2**30
"""Bytes by which a worker may grow above what it needs once its verifier is loaded; held to on Linux."""
CHUNK = 16
"""Most items that are sent to a worker at once. Each is answered, and timed, alone."""
MAX_SERVED = 5000
"""Items after which a worker is replaced, so that what libraries cache cannot grow without end."""
GIVE_UP = 16
"""Time-outs in one batch, with not one item scored, after which the rest of the batch is not tried any more."""
_START = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from labkit.verifiers.worker import main; main()"


class CannotLoad(Exception):
    """The verifier does not exist in a worker process: its module, say, cannot be imported there."""


class Worker:
    """One process, used by one thread at a time; only `kill_if_late` is called from another thread."""

    def __init__(self, process: Any = None) -> None:
        self.process: Any = process or self._start()
        self.loaded: str | None = None
        self.served = 0
        self.timed_out = False
        self.spent = False
        self._deadline: float | None = None
        self._left = 0.0
        self._imports = START_SECONDS
        self._lock = threading.Lock()

    def _start(self) -> subprocess.Popen[bytes]:
        # One thread for arithmetic libraries: the pool itself fills the cores. A fixed hash seed makes the order of
        # sets, and so the verdicts of libraries that depend on it, the same in every worker.
        environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        options: dict[str, Any] = {"start_new_session": True} if os.name == "posix" else {}
        if os.name == "nt":
            options["creationflags"] = subprocess.CREATE_NO_WINDOW  # type: ignore[attr-defined]
        worker = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            **options,
        )
        return cast("subprocess.Popen[bytes]", worker)

    def start_clock(self, seconds: float) -> None:
        with self._lock:
            self._deadline = time.monotonic() + seconds

    def stop_clock(self) -> None:
        with self._lock:
            self._deadline = None

    def kill_if_late(self) -> None:
        with self._lock:
            if self._deadline is not None and time.monotonic() > self._deadline:
                self.timed_out, self._deadline = True, None
                self.kill()

    def _pause(self, importing: bool) -> None:
        """While a verifier imports a package its own clock stands; all imports of a worker have START_SECONDS."""
        with self._lock:
            if self._deadline is None:
                return
            now = time.monotonic()
            if importing:
                self._left, self._deadline = self._deadline - now, now + self._imports
            else:
                self._imports, self._deadline = max(0.0, self._deadline - now), now + self._left

    def kill(self) -> None:
        """Kill the process, and what it started itself (see `guardian`). `close` joins it."""
        with contextlib.suppress(OSError):  # it has ended by itself
            # Before it is joined its number cannot be another process's, so the group is certainly ours.
            if GUARDED and self.process.returncode is None:
                self.process.send_signal(signal.SIGTERM)  # to the guardian
                return
            self._kill_group()

    def _kill_group(self) -> None:
        if os.name == "posix" and self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()

    def close(self, patience: float = 0.0) -> int:
        """End the process (its input ends; after `patience` seconds it is killed), join it, give its exit code."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()  # type: ignore[union-attr]
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            try:
                code = self.process.wait(15.0)
            except subprocess.TimeoutExpired:  # not even its guardian answers
                with contextlib.suppress(OSError):
                    self._kill_group()
                code = self.process.wait()
        self.process.stdout.close()  # type: ignore[union-attr]
        return code

    def send(self, request: dict[str, Any]) -> bool:
        """Whether the request could be written; False when the process is gone."""
        try:
            write_frame(self.process.stdin, pickle.dumps(request))  # type: ignore[arg-type]
        except OSError:
            return False
        return True

    def receive(self) -> dict[str, Any] | None:
        """The next reply; None when the process is gone."""
        while (body := read_frame(self.process.stdout)) is not None:
            answer = json.loads(body)
            if "importing" not in answer:
                return answer
            self._pause(answer["importing"])
        return None

    def load(self, payload: bytes) -> None:
        """Make the verifier ready; raises CannotLoad with the reason. A worker that served another loads anew."""
        digest = hashlib.blake2b(payload, digest_size=16).hexdigest()
        if self.loaded == digest:
            return
        self.start_clock(START_SECONDS)
        answer = self.receive() if self.send({"load": payload, "memory": MEMORY}) else None
        self.stop_clock()
        if answer is None:
            raise CannotLoad("its process ended while it loaded the verifier")
        if "error" in answer:
            raise CannotLoad(answer["error"])
        self.loaded = digest


class Pool:
    """Workers that wait for work. Any number of threads may call `run` at once; they share `size` workers, which `make`
    makes."""

    def __init__(self, size: int | None = None, make: Callable[[], Worker] = Worker) -> None:
        self.size, self.make = size or cores(), make
        self._free = threading.BoundedSemaphore(self.size)
        self._idle: deque[Worker] = deque()
        self._lock = threading.Lock()

    def run(
        self,
        payload: bytes,
        items: list[bytes],
        timeout: float,
        workers: int | None = None,
        tick: Callable[[int], None] | None = None,
    ) -> tuple[list[Score], str]:
        """The scores of pickled `(completion, reference)` items, in order, and what the verifier printed.

        `payload` is the pickled verifier, `timeout` the seconds that one item may take, `tick(done)` is called now and
        then. Raises CannotLoad when no worker could load the verifier.
        """
        batch = _Batch(payload, items, timeout)
        count = max(1, min(workers or self.size, self.size, -(-len(items) // 2)))
        threads = [threading.Thread(target=self._serve, args=(batch,), daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    batch.kill_late()
                    thread.join(0.02)
                    if tick is not None:
                        tick(batch.done)
        except BaseException as error:  # Ctrl-C: what is under way ends now, and its workers with it
            batch.fail(error)
            for thread in threads:
                while thread.is_alive():
                    batch.kill_all()
                    thread.join(0.02)
            raise
        if batch.error is not None:
            raise batch.error
        return [score for score in batch.scores if score is not None], "".join(batch.printed)

    def close(self) -> None:
        """End and join the idle workers; at the exit of Python this happens by itself."""
        with self._lock:
            idle, self._idle = list(self._idle), deque()
        for worker in idle:
            worker.close(patience=1.0)

    def forget(self) -> None:
        """In a forked child: the workers are the parent's. Drop our copies of their pipes and begin anew."""
        for worker in self._idle:
            for stream in (worker.process.stdin, worker.process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]
            worker.process.returncode = 0  # not ours to wait for
        self.__init__(self.size, self.make)  # type: ignore[misc]

    def _serve(self, batch: _Batch) -> None:
        """Take chunks of the batch until none is left; the work of one thread."""
        try:
            while chunk := batch.take():
                with self._free, self._worker(batch) as worker:
                    batch.score(worker, chunk)
        except BaseException as error:
            batch.fail(error)

    @contextlib.contextmanager
    def _worker(self, batch: _Batch) -> Iterator[Worker]:
        """An idle worker that has this verifier loaded, or any other, or a new one; afterwards it is idle again."""
        with self._lock:
            ready = next((w for w in self._idle if w.loaded == batch.digest), None)
            if ready is None and len(self._idle) >= self.size:
                ready = self._idle[0]
            if ready is not None:
                self._idle.remove(ready)
        if ready is not None and (ready.loaded != batch.digest or ready.process.poll() is not None):
            ready.close()  # never load a second verifier into a process that another one may have changed
            ready = None
        worker = ready or self.make()
        batch.watch(worker)
        try:
            yield worker
        except BaseException:
            worker.spent = True
            raise
        finally:
            batch.unwatch(worker)
            if worker.timed_out or worker.spent or worker.served >= MAX_SERVED:
                worker.kill()
                worker.close()
            else:
                with self._lock:
                    self._idle.append(worker)
                    surplus = self._idle.popleft() if len(self._idle) > self.size else None
                if surplus is not None:
                    surplus.close()


class _Batch:
    """The state of one call of `Pool.run`, shared by its threads."""

    def __init__(self, payload: bytes, items: list[bytes], timeout: float) -> None:
        self.payload, self.items, self.timeout = payload, items, timeout
        self.digest = hashlib.blake2b(payload, digest_size=16).hexdigest()
        self.scores: list[Score | None] = [None] * len(items)
        self.printed = [""] * len(items)
        self.done = 0
        self.error: BaseException | None = None
        self._todo = deque(range(len(items)))
        self._late = 0
        self._watched: set[Worker] = set()
        self._lock = threading.Lock()

    def take(self) -> list[int]:
        """The next few items, fewer towards the end so that all workers end together."""
        with self._lock:
            size = max(1, min(CHUNK, len(self._todo) // 8))
            return [self._todo.popleft() for _ in range(min(size, len(self._todo)))]

    def score(self, worker: Worker, chunk: list[int]) -> None:
        """Have a worker score a chunk. What it leaves undone, for it died over an item, goes back to be taken again."""
        worker.load(self.payload)
        request = {"items": [self.items[i] for i in chunk], "limit": self.timeout + 2.0}
        worker.start_clock(self.timeout)
        sent = worker.send(request)
        for position, i in enumerate(chunk):
            answer = worker.receive() if sent else None
            worker.stop_clock()
            if answer is None:
                self._settle(i, self._death(worker), late=worker.timed_out)
                self._put_back(chunk[position + 1 :])
                return
            worker.served += 1
            fields = {key: answer[key] for key in ("reward", "reason", "extracted", "parts")}
            kind = None if answer["fault"] is None else Fault(answer["fault"])
            self._settle(i, Score(**fields, fault=kind), answer["printed"])
            if answer["leaving"]:
                worker.spent = True
                self._put_back(chunk[position + 1 :])
                return
            worker.start_clock(self.timeout)
        worker.stop_clock()

    def _death(self, worker: Worker) -> Score:
        """Join a worker that ended over an item, and say why it did."""
        worker.spent = True
        worker.kill()
        code = worker.close()
        if worker.timed_out:
            return fault(f"verifier took longer than {self.timeout:g} s", Fault.TIMEOUT)
        return fault(f"verifier ended its process (exit status {code})", Fault.DIED)

    def _settle(self, i: int, score: Score, printed: str = "", late: bool = False) -> None:
        with self._lock:
            self.scores[i], self.printed[i] = score, printed
            self.done += 1
            self._late += late
            if self._late == self.done and self._late >= GIVE_UP and self._todo:
                reason = f"not tried: the verifier took longer than {self.timeout:g} s on each of {self._late} answers"
                for j in self._todo:
                    self.scores[j] = fault(reason, Fault.NOT_TRIED)
                self._todo.clear()

    def _put_back(self, rest: list[int]) -> None:
        with self._lock:
            self._todo.extendleft(reversed(rest))

    def watch(self, worker: Worker) -> None:
        with self._lock:
            self._watched.add(worker)

    def unwatch(self, worker: Worker) -> None:
        with self._lock:
            self._watched.discard(worker)

    def kill_late(self) -> None:
        with self._lock:
            watched = list(self._watched)
        for worker in watched:
            worker.kill_if_late()

    def fail(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error
            self._todo.clear()

    def kill_all(self) -> None:
        with self._lock:
            watched = list(self._watched)
        for worker in watched:
            worker.kill()


_shared: Pool | None = None
_shared_lock = threading.Lock()


def _after_fork() -> None:
    global _shared_lock
    _shared_lock = threading.Lock()
    if _shared is not None:
        _shared.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def shared_pool() -> Pool:
    """The one pool of this process, made when it is first needed; its workers end when Python does."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Pool()
            atexit.register(_shared.close)
        return _shared
