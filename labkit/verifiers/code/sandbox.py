"""Running one Python program in a process of its own that can do no harm.

`run_inside(job, limits)` starts a fresh interpreter (`inside.py`), hands it the job, waits for it no
longer than the wall limit, kills all of it, and returns what it wrote. Output goes to a file of bounded size, so
neither a pipe that fills up nor a program that prints for ever takes memory here. Nothing is run between fork and
exec, no signal handler or alarm is used: it works in any thread, in Jupyter, and from many threads at once.

Three levels of isolation, the best that works on this machine is taken (`isolation()` tries them once):

- `bwrap` (Linux with bubblewrap): own file system with the standard library alone, read-only; scratch folder in
  memory; no network, own process table, own host name. Everything in it dies with it.
- `landlock` (Linux 5.13 or newer, no privilege needed, also in most containers): the kernel refuses files outside
  the standard library and the scratch folder, sockets, processes, threads and signals.
- `limits` (macOS, Windows, old Linux): resource limits where the system has them, and a Python audit hook. This
  stops accidents and ordinary tricks, not a program that breaks out of the interpreter itself. Windows has no
  resource limits: there the wall time is bounded, the memory is not.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import itertools
import os
import select
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.code.scratch import scratch_folder, size

__all__ = ["LEVELS", "Limits", "Outcome", "isolation", "run_inside"]

LEVELS = ("bwrap", "landlock", "limits")
MIB = 2**20
READY = b"ready\n"
"""What the launcher writes when all limits are taken, before it serves the job."""
_HERE = Path(__file__).parent
_counter = itertools.count()


@dataclass(frozen=True)
class Limits:
    """What one process may use.

    Attributes:
        seconds: wall time; the CPU time is limited to the same, rounded up to whole seconds.
        memory: address space in bytes.
        file_size: bytes in any one file that it writes, its output among them.
        disk: bytes in the scratch folder altogether.
        files: files open at once.
    """

    seconds: float = 4.0
    memory: int = 512 * MIB
    file_size: int = 4 * MIB
    disk: int = 32 * MIB
    files: int = 64


@dataclass(frozen=True)
class Outcome:
    """What a process left behind: its output, the end of its errors, and whether it was killed at a limit.

    `status` is its exit status, minus the number of the signal that ended it, None when it was killed at a limit.
    `failed` says in words why the sandbox itself could not be had; the program is then not to blame.
    """

    output: bytes
    errors: str
    timed_out: bool = False
    too_much: bool = False
    failed: str | None = None
    status: int | None = None


def run_inside(job: dict[str, Any], limits: Limits, level: str | None = None, stdin: str = "") -> Outcome:
    """Run a job (see `inside`) at a level of isolation; never raises for what the program does.

    Raises UserError for a level that this machine does not have.
    """
    level = _known(level)
    with contextlib.ExitStack() as stack:
        try:
            folder = _folder(stack, level)
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            _, output, errors = files
            files[0].write(_letter(job, limits, level, folder, stdin))
            files[0].seek(0)
            process = _start(files, folder, limits, level)
            try:
                ended = _wait(process, limits, None if level == "bwrap" else folder)
            finally:
                _kill(process)
            return _outcome(process, ended, output, errors, limits)
        except OSError as error:
            return _unstarted(error)


def run_pair(served: dict[str, Any], referee: dict[str, Any], limits: Limits, level: str | None = None) -> Outcome:
    """Run a job `serve` and a job `referee` with a line between them; what the referee had to say is the output.

    Each has a sandbox of its own, with all the limits. No thread or loop passes their words on: what the one writes
    to its standard output is the other's standard input, which begins with its letter.
    """
    level = _known(level)
    referee = {**referee, "wire": _source("wire.py")}
    served = {**served, "wire": referee["wire"]}
    started: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as stack:
        try:
            folders = [_folder(stack, level) for _ in range(2)]
            said, errors = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            to_program, to_referee = (_pipe(stack) for _ in range(2))
            # The referee writes nothing to the program before it has heard from it, so the letters come first.
            started.append(_start((to_referee[0], to_program[1], said), folders[0], limits, level))
            to_referee[0].close()
            _post(to_referee[1], _letter(referee, limits, level, folders[0], ""), limits.seconds)
            started.append(_start((to_program[0], to_referee[1], errors), folders[1], limits, level))
            to_program[0].close()
            to_referee[1].close()
            _post(to_program[1], _letter(served, limits, level, folders[1], ""), limits.seconds)
            to_program[1].close()
            ended = _wait(started[0], limits, None if level == "bwrap" else folders[1])
        except OSError as error:
            return _unstarted(error)
        finally:
            for process in started:
                _kill(process)
        outcome = _outcome(started[0], ended, said, said, limits)
        if outcome.output.startswith(b"-3"):
            words = _read(errors, limits.file_size)[-2000:].decode("utf-8", "replace").strip()
            return Outcome(b"", words, failed=words.rsplit("\n", 1)[-1] or "Python did not start")
        return outcome


def _pipe(stack: contextlib.ExitStack) -> tuple[Any, Any]:
    reading, writing = os.pipe()
    return (
        stack.enter_context(open(reading, "rb", buffering=0)),
        stack.enter_context(open(writing, "wb", buffering=0)),
    )


def _post(file: Any, letter: bytes, seconds: float) -> None:
    """Write a whole letter; a process that ends or waits before it has read it is told of by what it leaves behind."""
    rest = memoryview(letter)
    with contextlib.suppress(BrokenPipeError):
        # So many bytes are taken at once where poll says that any are.
        while rest and _writable(file, seconds):
            rest = rest[file.write(rest[: getattr(select, "PIPE_BUF", 512)]) :]


def _writable(file: Any, seconds: float) -> bool:
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(file, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


def _known(level: str | None) -> str:
    level = isolation() if level is None else level
    if level not in LEVELS:
        raise UserError(f"no isolation {level!r}; choose one of: {', '.join(LEVELS)}")
    return level


def _folder(stack: contextlib.ExitStack, level: str) -> str:
    return "/scratch" if level == "bwrap" else stack.enter_context(scratch_folder())


def _start(files: Any, folder: str, limits: Limits, level: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*_command(level, limits.disk), *_interpreter()],
        stdin=files[0],
        stdout=files[1],
        stderr=files[2],
        cwd=None if level == "bwrap" else folder,
        env=_environment(),
        close_fds=True,
        start_new_session=os.name == "posix",
    )


def _outcome(process: subprocess.Popen[bytes], ended: str, output: Any, errors: Any, limits: Limits) -> Outcome:
    found, wrong = (_read(file, limits.file_size) for file in (output, errors))
    words = wrong[-2000:].decode("utf-8", "replace").strip()
    too_much = ended == "disk" or len(found) >= limits.file_size
    if not found.startswith(READY) and ended != "time":
        return Outcome(b"", words, failed=words.rsplit("\n", 1)[-1] or "Python did not start")
    status = process.returncode if ended == "end" else None
    return Outcome(found.removeprefix(READY), words, ended == "time", too_much, status=status)


def _unstarted(error: OSError) -> Outcome:
    return Outcome(b"", "", failed=f"{type(error).__name__}: {error.strerror or error}")


def _wait(process: subprocess.Popen[bytes], limits: Limits, folder: str | None) -> str:
    """Wait for the end: "end", or the limit that was passed, "time" or "disk"."""
    deadline = time.monotonic() + limits.seconds
    with _Watch(process) as watch:
        while True:
            left = deadline - time.monotonic()
            if watch.ended(min(max(left, 0.0), 0.05 if folder else limits.seconds)):
                return "end"
            if left <= 0:
                return "time"
            if folder is not None and size(folder) > limits.disk:
                return "disk"


class _Watch:
    """Waiting for a process: woken by the kernel at once where it can (Linux), else by looking now and then."""

    def __init__(self, process: subprocess.Popen[bytes]):
        self.process, self.file = process, -1

    def __enter__(self) -> _Watch:
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self.file = os.pidfd_open(self.process.pid)
        return self

    def __exit__(self, *unused: object) -> None:
        if self.file >= 0:
            os.close(self.file)

    def ended(self, seconds: float) -> bool:
        if self.file >= 0:
            poll = select.poll()
            poll.register(self.file, select.POLLIN)
            return bool(poll.poll(seconds * 1000))
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.returncode is not None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its group, and take its exit status, so that no zombie is left."""
    if os.name == "posix":
        # The group keeps its number until the leader is waited for, so no stranger can be hit.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, 9)
    process.kill()
    process.wait()


def _read(file: Any, limit: int) -> bytes:
    file.seek(0)
    return file.read(limit)


# ------------------------------------------------------------------------------------------ what is started


def _interpreter() -> list[str]:
    """Python without site-packages and without the caller's environment, running `inside.py`."""
    return [_python(), "-S", "-s", "-P", "-B", "-c", _source("inside.py")]


@functools.cache
def _source(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@functools.cache
def _python() -> str:
    """The interpreter itself, not a virtual environment's link to it."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _environment() -> dict[str, str]:
    """A clean environment. A fixed hash seed makes the order of sets the same in every run."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    return {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "HOME": "/", **kept}


def _letter(job: dict[str, Any], limits: Limits, level: str, folder: str, stdin: str) -> bytes:
    """The job, its length in front, and after it what the program will find on its standard input."""
    lock: dict[str, Any] = {"uid": _uid(level), "rlimits": _rlimits(limits), "source": None, "level": level}
    lock["caller"] = os.getpid()  # whose death ends the program
    if level != "bwrap":
        lock |= {"source": _source("locks.py"), "write": [os.path.realpath(folder)], **_readable()}
    text = ascii({**job, "folder": folder, "lock": lock}).encode("ascii")
    return str(len(text)).encode() + b"\n" + text + stdin.encode("utf-8", "surrogatepass")


def _rlimits(limits: Limits) -> dict[str, int]:
    if os.name != "posix":
        return {}
    import resource

    wanted = {
        "RLIMIT_CPU": max(1, int(-(-limits.seconds // 1))),
        "RLIMIT_AS": limits.memory,
        "RLIMIT_FSIZE": limits.file_size,
        "RLIMIT_NOFILE": limits.files,
        "RLIMIT_NPROC": 1,  # itself: no other process and, on Linux, no thread
        "RLIMIT_CORE": 0,
    }
    if sys.platform == "darwin":
        del wanted["RLIMIT_AS"]  # macOS refuses values below what the interpreter has mapped already
    hard = {name: resource.getrlimit(getattr(resource, name))[1] for name in wanted}
    return {name: value if hard[name] < 0 else min(value, hard[name]) for name, value in wanted.items()}


def _uid(level: str) -> int | None:
    """For root under bwrap: a user of its own, since the kernel lets root have any number of processes."""
    if level != "bwrap" or os.geteuid() != 0:
        return None
    mapped = sum(int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines())
    number = (os.getpid() << 8) + next(_counter) % 256
    return 2**30 + number % 2**29 if mapped > 2**31 else 60_001 + number % 5000


@functools.cache
def _readable() -> dict[str, list[str]]:
    """Files that a program may read: the standard library without packages, and the system's libraries."""
    listed, files = _library_folders(), []
    for folder in listed:
        files += [str(path) for path in Path(folder).iterdir() if not path.name.endswith("-packages")]
    files += [str(path) for path in Path(sys.base_prefix, "lib").glob("*.so*")]
    files += [
        os.path.realpath(path) for path in ("/lib", "/lib64", "/usr/lib", "/etc/ld.so.cache") if os.path.exists(path)
    ]
    return {"read": [*files, "/usr/share/zoneinfo", "/dev/urandom"], "list": listed}


def _library_folders() -> list[str]:
    return sorted({os.path.realpath(folder) for folder in (sysconfig.get_path("stdlib"), os.path.dirname(os.__file__))})


@functools.cache
def _command(level: str, disk: int) -> tuple[str, ...]:
    """What stands before the interpreter on the command line: bubblewrap with the world it is to show, or nothing."""
    if level != "bwrap":
        return ()
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise UserError("bubblewrap is not installed (on Debian and Ubuntu: apt install bubblewrap)")
    root = os.geteuid() == 0
    # Root needs no user namespace, and in one it would still count as root; it becomes a plain user inside.
    who = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if root else ["--unshare-user"]
    command = [bwrap, *who, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--die-with-parent"]
    for path in ("/usr/lib", "/usr/lib64", "/lib", "/lib64"):
        command += ["--ro-bind-try", path, path]
    prefix = os.path.realpath(sys.base_prefix)
    shown = [_python()]
    shown += [] if prefix == "/usr" else [os.path.join(prefix, "lib")]
    shown += [folder for folder in _library_folders() if not folder.startswith(("/usr/lib", prefix + "/lib"))]
    # The way to them must be open to a plain user, even where the real one (root's home) is not.
    for parent in sorted({"/dev", *(str(parent) for path in shown for parent in list(Path(path).parents)[:-1])}):
        command += ["--perms", "0755", "--dir", parent]
    for path in [*shown, "/usr/share/zoneinfo"]:
        command += ["--ro-bind-try", path, path]
    # Installed packages, labkit's own data among them, are covered up.
    for path in itertools.chain(*(glob.glob(f"{place}/python*/*-packages") for place in (f"{prefix}/lib", "/usr/lib"))):
        command += ["--tmpfs", path]
    command += ["--dev-bind", "/dev/null", "/dev/null", "--size", str(disk), "--perms", "1777"]
    return (*command, "--tmpfs", "/scratch", "--remount-ro", "/", "--chdir", "/scratch", "--")


# ------------------------------------------------------------------------------------------ what is at hand

_PROBE = """
def attempt(name, action):
    try:
        action()
    except Exception:
        return name
    return None
def held():
    import os, socket
    tries = [attempt("processes", os.fork) if hasattr(os, "fork") else "processes"]
    tries.append(attempt("network", lambda: socket.create_connection(("192.0.2.1", 9), 0.01)))
    tries.append(attempt("files", lambda: open(PATH).read()))
    open("note", "w").close()
    return tries
"""


@functools.cache
def isolation() -> str:
    """The strongest level that works here, found by trying: a program tries to fork, to connect and to read.

    Rests on what happened, so a container that forbids namespaces, a kernel without Landlock or an unknown
    processor is noticed. Remembered for the life of the process.
    """
    return next(level for level in LEVELS if level == "limits" or holds(level))


def holds(level: str) -> bool:
    """Whether a level of isolation can be had on this machine and does what it promises."""
    if not sys.platform.startswith("linux"):
        return False
    program = _PROBE.replace("PATH", repr(str(_HERE / "sandbox.py")))
    try:
        job = {"kind": "ask", "given": [], "program": program, "after": [], "questions": ["held()"], "modules": []}
        outcome = run_inside(job, Limits(seconds=10.0), level)
    except UserError:
        return False
    return outcome.output == b'0 value ["list",["processes","network","files"]]\n'
