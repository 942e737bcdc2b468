"""Locks that a process puts on itself where bubblewrap is not at hand; sent into the sandbox as text.

- Linux: Landlock (files) and seccomp (system calls), both of the kernel and both irrevocable. They need no
  privilege and work inside containers, where namespaces are often forbidden.
- Elsewhere: a Python audit hook. It stops what a program does by Python's own means (files, sockets, processes,
  signals, ctypes), not a program that finds a fault in the interpreter.

Sources: landlock(7), seccomp(2), prctl(2), PEP 578. Numbers of system calls from the kernel's tables.
"""

import os
import sys

# name: (x86_64, aarch64). What a program that computes an answer never needs; each is answered "not permitted".
DENIED = {
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "clone3": (435, 435),
    "execve": (59, 221),
    "execveat": (322, 281),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "io_uring_setup": (425, 425),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "setrlimit": (160, 164),
    "prlimit64": (302, 261),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "setpriority": (141, 140),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "mount": (165, 40),
    "unshare": (272, 97),
    "setns": (308, 268),
    "chroot": (161, 51),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "reboot": (169, 142),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
}
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

READ_FILE, READ_DIR = 1 << 2, 1 << 3
# In the scratch folder: write, read, list, remove, make folders, files and links, rename, truncate.
WORK = (1 << 1) | READ_FILE | READ_DIR | (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8) | (1 << 12)
RIGHTS_BY_VERSION = (13, 14, 15, 15, 16)


def lock(settings):
    """Apply the locks of `settings["level"]`; raises where one can't be had."""
    if settings["level"] == "landlock":
        _kernel_locks(settings)
    else:
        _audit_hook(settings)


def _kernel_locks(settings):
    import ctypes
    import struct

    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long

    def call(what, *arguments):
        result = what(*arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), "a lock of the sandbox could not be set")
        return result

    call(libc.prctl, 1, 9, 0, 0, 0)  # the kernel kills this process when its parent dies
    if os.getppid() != settings["caller"]:  # it has died already, while this interpreter started
        os._exit(1)
    call(libc.prctl, 38, 1, 0, 0, 0)  # no new privileges, for good
    # Even root: no capability is left.
    call(libc.capset, struct.pack("Ii", 0x20080522, 0), bytes(24))
    _landlock(libc, call, settings, struct)
    index, architecture = MACHINES[os.uname().machine]
    numbers = sorted(pair[index] for pair in DENIED.values() if pair[index] is not None)
    program = _filter(numbers, architecture, struct)
    buffer = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    call(libc.prctl, 22, 2, ctypes.c_char_p(header), 0, 0)


def _landlock(libc, call, settings, struct):
    import ctypes

    version = call(libc.syscall, 444, None, ctypes.c_size_t(0), 1)
    every = (1 << RIGHTS_BY_VERSION[min(version, len(RIGHTS_BY_VERSION)) - 1]) - 1
    rules = call(libc.syscall, 444, struct.pack("Q", every), ctypes.c_size_t(8), 0)
    wanted = [(path, READ_FILE | READ_DIR) for path in settings["read"]]
    wanted += [(path, READ_DIR) for path in settings["list"]]
    wanted += [(path, every & (WORK | (1 << 13) | (1 << 14))) for path in settings["write"]]
    wanted += [(os.devnull, READ_FILE | (1 << 1))]
    for path, rights in wanted:
        try:
            file = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        if not os.path.isdir(path):
            rights &= READ_FILE | (1 << 1)
        call(libc.syscall, 445, rules, 1, struct.pack("=Qi", rights, file), 0)
        os.close(file)
    call(libc.syscall, 446, rules, 0)
    os.close(rules)


def _filter(numbers, architecture, struct):
    """A classic BPF program: these system calls are refused, a foreign architecture is killed."""

    def step(code, if_true, if_false, value):
        return struct.pack("HBBI", code, if_true, if_false, value)

    load, jump_equal, jump_at_least, give = 0x20, 0x15, 0x35, 0x06
    kill, allow, refuse = 0x80000000, 0x7FFF0000, 0x00050001  # refuse: errno 1, EPERM
    steps = [step(load, 0, 0, 4), step(jump_equal, 1, 0, architecture), step(give, 0, 0, kill), step(load, 0, 0, 0)]
    # Numbers from 2^30 on are the x32 twins of the same calls.
    steps.append(step(jump_at_least, len(numbers) + 1, 0, 0x40000000))
    steps += [step(jump_equal, len(numbers) - i, 0, number) for i, number in enumerate(numbers)]
    return b"".join([*steps, step(give, 0, 0, allow), step(give, 0, 0, refuse)])


REFUSED_EVENTS = frozenset(
    """os.system os.exec os.fork os.forkpty os.posix_spawn os.spawn os.startfile os.kill os.killpg
    os.chown os.chflags os.link os.symlink os.setxattr os.removexattr os.add_dll_directory os.lockf
    pty.spawn subprocess.Popen signal.pthread_kill resource.setrlimit resource.prlimit syslog.openlog fcntl.ioctl
    sqlite3.connect sqlite3.enable_load_extension mmap.__new__ _thread.start_new_thread _thread.start_joinable_thread
    code.__new__ sys.setprofile sys.settrace cpython.run_command cpython.run_file webbrowser.open""".split()
)
REFUSED_FAMILIES = ("socket.", "ctypes.", "_winapi.", "winreg.", "msvcrt.", "gc.", "ftplib.", "shutil.", "ensurepip.")
PATH_EVENTS = frozenset(
    """os.chdir os.chmod os.listdir os.mkdir os.remove os.rename os.rmdir os.scandir os.truncate os.utime os.mkfifo
    glob.glob os.walk os.listxattr os.getxattr os.fwalk tempfile.mkstemp tempfile.mkdtemp""".split()
)
REFUSED_MODULES = frozenset(
    """_ctypes _ctypes_test _posixsubprocess _multiprocessing _posixshmem _winapi _gdbm _dbm _testcapi
    _testinternalcapi _sqlite3 _xxsubinterpreters _interpreters readline _curses _tkinter""".split()
)


def _audit_hook(settings):
    """Refuse events for good. Everything that the hook uses is bound here, out of the program's reach by name."""
    readable = tuple(settings["read"]) + tuple(settings["list"]) + tuple(settings["write"]) + (os.devnull,)
    writable = (*settings["write"], os.devnull)
    real, text, instance, separator = os.path.realpath, os.fsdecode, isinstance, os.sep
    write_flags = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    events, families, path_events, modules = REFUSED_EVENTS, REFUSED_FAMILIES, PATH_EVENTS, REFUSED_MODULES
    refuse, string, data, number, no = PermissionError, str, bytes, int, None

    def inside(path, folders):
        if instance(path, number):
            return True
        if path is no:
            path = "."
        path = real(text(path))
        for folder in folders:  # noqa: SIM110 - no generator, whose frame the program could reach
            if path == folder or path.startswith(folder + separator):
                return True
        return False

    def hook(event, arguments):
        if event == "open":
            path, mode, flags = arguments
            writes = bool(flags & write_flags) if instance(flags, number) else mode not in ("r", "rb", no)
            if not inside(path, writable if writes else readable):
                raise refuse("files outside the scratch folder are out of reach")
        elif event == "import":
            if arguments[0] in modules:
                raise refuse("this module is out of reach")
        elif event in path_events:
            for argument in arguments:
                if instance(argument, (string, data)) and not inside(argument, readable):
                    raise refuse("folders outside the scratch folder are out of reach")
            if event not in ("os.listdir", "os.scandir", "glob.glob", "os.chdir"):
                for argument in arguments:
                    if instance(argument, (string, data)) and not inside(argument, writable):
                        raise refuse("files outside the scratch folder are out of reach")
        elif event in events or event.startswith(families):
            raise refuse("this is not permitted in the sandbox")

    sys.addaudithook(hook)
