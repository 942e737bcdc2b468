"""Programs that try to get out of the sandbox or to be scored without being right; what tests/verifiers runs.

`HARM`: `f()` returns "escaped" when it could do what it should not be able to do. PLACE, PARENT, PORT, SOCKET and
SOURCE are put in by the tests. `RUIN`: programs that end at once, or never. `FRAUD`: programs that don't compute a
square and want to pass for one that does. `SPY` looks for the right answer.
"""

ANYTHING = """
class Anything:
    def __eq__(self, other): return True
    def __abs__(self): return self
    def __bool__(self): return True
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __eq__
    def __sub__(self, other): return self
    __hash__ = None
"""

HARM = {
    "tcp": """
import socket
def f():
    s = socket.create_connection(('127.0.0.1', PORT), 1)
    s.send(b'x')
    return 'escaped'
""",
    "udp": """
import socket
def f():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b'x', ('127.0.0.1', PORT))
    s.settimeout(0.1)
    s.recv(1)
    return 'escaped'
""",
    "unix_socket": """
import socket
def f():
    s = socket.socket(socket.AF_UNIX)
    s.connect(SOCKET)
    return 'escaped'
""",
    "abstract_socket": r"""
import socket
def f():
    s = socket.socket(socket.AF_UNIX)
    s.connect('\0labkit-PARENT')
    return 'escaped'
""",
    "dns": """
import socket
def f():
    socket.getaddrinfo('localhost.localdomain', 80)
    socket.gethostbyname('example.org')
    return 'escaped'
""",
    "fork": """
import os
def f():
    if os.fork() == 0: os._exit(0)
    return 'escaped'
""",
    "fork_bomb": """
import os
def f():
    made = 0
    for _ in range(300):
        try: made += os.fork() > 0
        except OSError: pass
    return 'escaped' if made else 'held'
""",
    "daemon": """
import os, time
def f():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: time.sleep(60)
        os._exit(0)
    return 'escaped'
""",
    "subprocess": """
import subprocess
def f():
    subprocess.run(['/bin/echo', 'x'], check=True)
    return 'escaped'
""",
    "system": """
import os
def f(): return 'escaped' if os.system('true') == 0 else 'held'
""",
    "multiprocessing": """
def f():
    import multiprocessing
    p = multiprocessing.Process(target=print)
    p.start()
    p.join()
    return 'escaped'
""",
    "posix_spawn": """
import os
def f():
    os.posix_spawn('/bin/true', ['true'], {})
    return 'escaped'
""",
    "memory": """
def f(): return 'escaped' if len(bytearray(3 * 2**30)) else ''
""",
    "memory_slowly": """
def f():
    kept = []
    for _ in range(300): kept.append(bytearray(10 * 2**20))
    return 'escaped'
""",
    "memory_mmap": """
import mmap
def f():
    mmap.mmap(-1, 3 * 2**30)
    return 'escaped'
""",
    "one_big_file": """
def f():
    with open('big', 'wb') as file:
        for _ in range(64): file.write(bytes(2**20))
    return 'escaped'
""",
    "many_files": """
def f():
    for i in range(400):
        with open(f'f{i}', 'wb') as file: file.write(bytes(2**20))
    return 'escaped'
""",
    "write_outside": """
def f():
    open(PLACE + '/mine', 'w').close()
    return 'escaped'
""",
    "write_anywhere": """
import os
def f():
    for folder in ['/', '/tmp', '/var/tmp', '/dev/shm', '/etc', '/usr/lib', '/run',
            os.path.dirname(os.__file__), '..', os.path.expanduser('~')]:
        try: open(os.path.join(folder, 'labkit-was-here'), 'w').close()
        except OSError: continue
        return 'escaped'
""",
    "delete_outside": """
import os
def f():
    os.remove(PLACE + '/victim')
    return 'escaped'
""",
    "truncate_outside": """
import os
def f():
    os.truncate(PLACE + '/victim', 0)
    return 'escaped'
""",
    "rename_outside": """
import os
def f():
    os.rename(PLACE + '/victim', PLACE + '/other')
    return 'escaped'
""",
    "chmod_outside": """
import os
def f():
    os.open(PLACE + '/victim', os.O_RDWR)
    return 'escaped'
""",
    "by_a_link": """
import os
def f():
    os.symlink(PLACE, 'link')
    open('link/mine', 'w').close()
    return 'escaped'
""",
    "by_a_hard_link": """
import os
def f():
    os.link(PLACE + '/victim', 'link')
    open('link', 'w').close()
    return 'escaped'
""",
    "by_a_folder_handle": """
import os
def f():
    folder = os.open(PLACE, os.O_RDONLY)
    os.open('mine', os.O_CREAT | os.O_WRONLY, dir_fd=folder)
    return 'escaped'
""",
    "by_sqlite": """
def f():
    import sqlite3
    sqlite3.connect(PLACE + '/mine').execute('create table t (x)')
    return 'escaped'
""",
    "read_outside": """
def f(): return 'escaped' if 'precious' in open(PLACE + '/victim').read() else ''
""",
    "read_system": """
def f(): return 'escaped' if open('/etc/passwd').read() else ''
""",
    "read_labkit": """
def f(): return 'escaped' if open(SOURCE).read() else ''
""",
    "read_environment": """
import os
def f(): return 'escaped' if 'LABKIT_TEST_SECRET' in os.environ else ''
""",
    "read_parents_environment": """
def f(): return 'escaped' if b'PATH' in open('/proc/PARENT/environ', 'rb').read() else ''
""",
    "read_parents_memory": """
def f():
    open('/proc/PARENT/mem', 'rb').close()
    return 'escaped'
""",
    "import_labkit": """
def f():
    import labkit
    return 'escaped'
""",
    "signal_parent": """
import os
def f():
    os.kill(PARENT, 0)
    return 'escaped'
""",
    "signal_everybody": """
import os
def f():
    os.kill(-1, 0)
    return 'escaped'
""",
    "signal_parents_group": """
import os
def f():
    os.killpg(os.getpgid(PARENT), 0)
    return 'escaped'
""",
    "raise_limits": """
import resource as r
def f():
    for name in (r.RLIMIT_AS, r.RLIMIT_CPU, r.RLIMIT_FSIZE):
        try: r.setrlimit(name, (r.RLIM_INFINITY, r.RLIM_INFINITY))
        except (OSError, ValueError): continue
        return 'escaped'
""",
    "become_root": """
import os
def f():
    os.setuid(0)
    open('/etc/shadow').close()
    return 'escaped'
""",
    "mount": """
def f():
    import ctypes
    return 'escaped' if ctypes.CDLL(None).mount(b'x', b'/', b'tmpfs', 0, 0) == 0 else ''
""",
    "unshare": """
def f():
    import ctypes
    libc = ctypes.CDLL(None)
    return 'escaped' if libc.unshare(0x20000) == 0 and libc.mount(b'x', b'/', b'tmpfs', 0, 0) == 0 else ''
""",
    "ctypes_fork": """
def f():
    import ctypes, os
    if ctypes.CDLL(None).fork() == 0: os._exit(0)
    return 'escaped' if ctypes.CDLL(None).fork() > 0 else ''
""",
    "another_program": """
import os
def f(): os.execv('/bin/sh', ['sh', '-c', 'touch ' + PLACE + '/mine'])
""",
}

RUIN = {
    "endless": """
def f(x):
    while True: pass
""",
    "endless_at_import": """
while True: pass
""",
    "sleeps": """
import time
def f(x):
    time.sleep(30)
    return x * x
""",
    "deaf_to_signals": """
import signal
for s in range(1, 65):
    try: signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: pass
""",
    "catches_everything": """
def f(x):
    while True:
        try:
            while True: pass
        except BaseException: pass
""",
    "segfault": """
import ctypes
ctypes.string_at(0)
""",
    "segfault_later": """
def f(x):
    import ctypes
    ctypes.string_at(0)
""",
    "abort": """
import os
os.abort()
""",
    "kills_itself": """
import os
os.kill(os.getpid(), 9)
""",
    "recursion": """
def f(x): return f(x + 1)
""",
    "deep_recursion": """
import sys
sys.setrecursionlimit(2**31 - 1)
def f(x): return f(x + 1)
""",
    "recursion_in_c": """
import sys
sys.setrecursionlimit(2**31 - 1)
class A:
    def __getattr__(s, n): return getattr(s, n)
def f(x): return A().x
""",
    "huge_number": """
def f(x): return 10 ** 10 ** 8
""",
    "huge_number_as_text": """
import sys
sys.set_int_max_str_digits(0)
def f(x): return str(7 ** 5_000_000)
""",
    "huge_answer": """
def f(x): return 'x' * 10**8
""",
    "endless_answer": """
import itertools
def f(x): return itertools.count()
""",
    "nested_answer": """
def f(x):
    a = []
    for _ in range(10**5): a = [a]
    return a
""",
    "answer_in_itself": """
def f(x):
    a = []
    a.append(a)
    return a
""",
    "exit_at_import": """
import os
os._exit(0)
""",
    "exit_later": """
import os
def f(x): os._exit(0)
""",
    "sys_exit": """
import sys
sys.exit(0)
""",
    "sys_exit_later": """
import sys
def f(x): sys.exit(0)
""",
    "closes_files": """
import os
os.closerange(0, 64)
def f(x): return x * x
""",
    "raises_oddly": """
class E(BaseException):
    def __str__(s): raise E
def f(x): raise E
""",
    "many_threads": """
import threading
def f(x):
    for _ in range(500): threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()
""",
    "deep_folders": """
import os
for _ in range(3000):
    os.mkdir('d')
    os.chdir('d')
""",
    "locked_folders": """
import os
os.makedirs('a/b/c')
open('a/b/c/file', 'w').close()
os.chmod('a/b', 0)
os.chmod('a', 0)
""",
    "fills_output": """
import os
while True: os.write(3, b'x' * 65536)
""",
}

FRAUD = {
    "equal_to_everything": ANYTHING
    + """
def f(x): return Anything()
""",
    "int_equal_to_everything": """
class I(int):
    def __eq__(s, o): return True
    def __sub__(s, o): return 0
    def __index__(s): return 4
    def __hash__(s): return 4
def f(x): return I(0)
""",
    "list_equal_to_everything": """
class L(list):
    def __eq__(s, o): return True
    def __iter__(s): return iter([4])
def f(x): return L()
""",
    "pretends_its_class": ANYTHING
    + """
class P(Anything):
    __class__ = int
def f(x): return P()
""",
    "patched_builtins": """
import builtins
builtins.abs = lambda x: 0
builtins.eval = lambda *a: True
builtins.AssertionError = ZeroDivisionError
builtins.bool = lambda x: True
def f(x): return True
""",
    "patched_encoder": """
import __main__
__main__.encode = lambda value: 'true'
def f(x): return None
""",
    "patched_modules": """
import sys, types
fake = types.ModuleType('json')
fake.loads = lambda *a, **k: True
for name in ('json', 'math', 'operator'): sys.modules[name] = fake
def f(x): return True
""",
    "patched_launcher": """
import sys
frame = sys._getframe()
while frame:
    frame.f_globals['_number'] = lambda v, k: 'true'
    frame.f_globals['send'] = lambda *a: None
    frame = frame.f_back
def f(x): return 0
""",
    "emptied_questions": """
import sys
frame = sys._getframe()
while frame:
    job = frame.f_locals.get('job')
    if job: job['questions'].clear()
    frame = frame.f_back
def f(x): return 0
""",
    "forged_verdicts": r"""
import os
for file in range(64):
    try: os.write(file, b'0 value true\n1 value true\n2 value true\n')
    except OSError: pass
os._exit(0)
""",
    "forged_at_exit": r"""
import atexit, os
@atexit.register
def late():
    for file in range(64):
        try: os.write(file, b'pass\n')
        except OSError: pass
def f(x): raise SystemExit(0)
""",
    "forged_nonsense": r"""
import os
for file in range(64):
    try: os.write(file, b'\xff\x00 value ]\n0 value [\n1 value ["int"]\n'
        b'2 value ["set",[["list",[]]]]\n-1 error 5\n99999999999 value true\n')
    except OSError: pass
def f(x): return 0
""",
    "forged_depth": r"""
import os
for file in range(64):
    try: os.write(file, b'0 value ' + b'[' * 200000 + b'\n1 value ' + b'9' * 200000 + b'\n')
    except OSError: pass
os._exit(0)
""",
    "forged_numbers": r"""
import os
for file in range(64):
    try: os.write(file, b'0 value ["decimal","1E+999999999"]\n'
        b'1 value ["float","0x1p+99999"]\n2 value ["fraction","0x1","0x0"]\n')
    except OSError: pass
os._exit(0)
""",
    "says_passed": """
print('3 of 3 tests pass')
print('0 value true')
def f(x): print('PASSED'); return 'PASSED'
""",
    "pickle": """
import os
class P:
    def __reduce__(s): return (os.system, ('true',))
def f(x): return P()
""",
    "pickle_text": r"""
def f(x): return b'cos\nsystem\n(S\'true\'\ntR.'
""",
    "format_text": """
def f(x): return '{0.__class__.__mro__}%s%n' * 9
""",
    "nan": """
def f(x): return float('nan')
""",
    "redefined_names": """
def abs(x): return 0
_0 = 4
def f(x): return 1
""",
}

# Looks for the right answer, a word that begins with "SECRET-", wherever a program can look.
SPY = r"""
import gc, glob, os, re, sys
found = []
def look(text):
    found.extend(re.findall("SECRET-[0-9]+", text if isinstance(text, str) else text.decode("latin-1")))
def attempt(action):
    try: action()
    except BaseException: pass
def frames():
    frame = sys._getframe()
    while frame:
        look(repr(frame.f_locals)); look(repr({k: v for k, v in frame.f_globals.items() if k != "found"}))
        frame = frame.f_back
def files():
    paths = ["/proc/self/cmdline", "/proc/self/environ", "/proc/PARENT/cmdline", "/proc/PARENT/environ"]
    for path in paths + glob.glob("*") + glob.glob("../*") + glob.glob("/proc/*/cmdline") + [SOURCE]:
        attempt(lambda: look(open(path, "rb").read()))
def handles():
    for file in range(64):
        attempt(lambda: os.lseek(file, 0, 0)); attempt(lambda: look(os.read(file, 10**6)))
def objects():
    for thing in gc.get_objects():
        if isinstance(thing, (list, dict, tuple)): attempt(lambda: look(repr(thing)[:10**5]))
def memory():
    for line in open("/proc/PARENT/maps"):
        low, high = (int(part, 16) for part in line.split()[0].split("-"))
        file = open("/proc/PARENT/mem", "rb"); file.seek(low); look(file.read(high - low))
secret_shape = 0
for action in (frames, handles, files, objects, memory, lambda: look(repr(sys.argv)), lambda: look(repr(os.environ))):
    attempt(action)
def f(x): return found[0] if found else "nothing found"
if __name__ == "__main__": print(found[0] if found else "nothing found")
"""
