"""What runs inside the sandbox, in a fresh interpreter: it takes limits on itself, then serves one job.

The whole text of this file is handed to `python -c`, so it uses the standard library alone and never imports
labkit. A job is one of five:

- `run`: the program reads standard input and prints; what it printed is compared outside, by the parent.
- `ask`: the program is executed, then questions (`f([1, 2])`) are put to it one by one; each answer is written
  to the parent as plain data (see `encode`). The program never sees what answer would be right.
- `judge`: no program at all; the author's own expressions over answers (`abs(_0 - 3.14) < 0.01`) are evaluated.
- `serve` and `referee`, a pair of processes with a line between them (see `wire`): one executes the program and
  answers calls, the other executes the tests and makes them.

Nothing that a process with a program says is believed to be more than its answers: it has no way to say
"passed". The exit status counts for `run` alone, and only against the program.
"""

import os
import sys
from _json import encode_basestring_ascii

MAX_CHARACTERS = 2_000_000
MAX_ITEMS = 400_000
MAX_DEPTH = 40


class NotPlain(Exception):
    """A value that cannot cross the border: an object of a class, or one that is too large."""


def encode(value, refer=None, whole=False):
    """A plain value as JSON text: `None`, bools, strings and small ints as themselves, the rest as `[kind, ...]`.

    Subclasses (Counter, namedtuple, IntEnum) become the built-in type below them, so an `__eq__` of their own
    stays behind. Iterators are read out, up to `MAX_ITEMS` items. `refer(value)`, where it is given, may put a text
    of its own in the place of a value, with `whole` only in the place of what the value holds.

    >>> encode((1, "a", None, 2.5))
    '["tuple",[1,"a",null,["float","0x1.4000000000000p+1"]]]'
    >>> encode({2**60: {True}})
    '["dict",[[["int","0x1000000000000000"],["set",[true]]]]]'
    >>> encode(object())
    Traceback (most recent call last):
    ...
    labkit.verifiers.code.inside.NotPlain: is a object, which is no plain data
    """
    pieces, room = [], [MAX_CHARACTERS, MAX_ITEMS]
    _encode(value, pieces.append, room, -1 if whole else 0, refer)
    return "".join(pieces)


def _encode(value, put, room, depth, refer):
    if depth > MAX_DEPTH:
        raise NotPlain("is nested too deeply")
    room[1] -= 1
    kind = type(value)
    text = None if refer is None or depth < 0 else refer(value)
    if text is None:
        text = _scalar(value, kind, room)
    if text is not None:
        room[0] -= len(text)
        if min(room) < 0:
            raise NotPlain("is too large")
        put(text)
        return
    name, items = _items(value, kind)
    put(f'["{name}",[')
    depth = max(depth, 0) + 1
    for index, item in enumerate(items):
        if index:
            put(",")
        if name == "dict":
            put("[")
            _encode(item[0], put, room, depth, refer)
            put(",")
            _encode(item[1], put, room, depth, refer)
            put("]")
        else:
            _encode(item, put, room, depth, refer)
    put("]]")


def _scalar(value, kind, room):
    if value is None or kind is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if issubclass(kind, str):
        if str.__len__(value) > room[0]:
            raise NotPlain("is too large")
        return encode_basestring_ascii(str.__getitem__(value, slice(None)))
    if issubclass(kind, int):
        bits = int.bit_length(value)
        if bits > MAX_CHARACTERS * 4:
            raise NotPlain("is too large")
        return int.__format__(value, "d") if bits <= 53 else f'["int","{int.__format__(value, "#x")}"]'
    if issubclass(kind, float):
        return f'["float","{float.hex(value)}"]'
    if issubclass(kind, complex):
        return f'["complex","{float.hex(value.real)}","{float.hex(value.imag)}"]'
    if issubclass(kind, bytes | bytearray):
        return f'["bytes","{bytes(value[:MAX_CHARACTERS]).hex()}"]'
    if kind.__module__ == "fractions" and kind.__name__ == "Fraction":
        return f'["fraction","{value.numerator:#x}","{value.denominator:#x}"]'
    if kind.__module__ in ("decimal", "_decimal") and kind.__name__ == "Decimal":
        return f'["decimal",{encode_basestring_ascii(str(value))}]'
    return None


def _items(value, kind):
    for base in (list, tuple, set, frozenset):
        if issubclass(kind, base):
            return base.__name__, base.__iter__(value)
    if issubclass(kind, dict):
        return "dict", dict.items(value)
    if kind is range:
        return "range", (value.start, value.stop, value.step)
    if any(base.__module__ == "collections" and base.__name__ == "deque" for base in kind.__mro__):
        return "deque", value
    if kind is type({}.keys()) or kind is type({}.values()) or kind is type({}.items()):
        return "iterator", value
    if hasattr(kind, "__next__"):
        return "iterator", value
    raise NotPlain(f"is a {kind.__name__[:60]}, which is no plain data")


def decode(tree, refer=None):
    """The value of what `json.loads` made of `encode`'s text; `refer(kind, rest)` gives that of a text of `refer`'s.

    >>> decode(["tuple", [1, "a", None, ["float", "0x1.4000000000000p+1"]]])
    (1, 'a', None, 2.5)
    """
    if not isinstance(tree, list):
        return tree
    kind, *rest = tree
    if kind == "int":
        return int(rest[0], 16)
    if kind == "float":
        return float.fromhex(rest[0])
    if kind == "complex":
        return complex(float.fromhex(rest[0]), float.fromhex(rest[1]))
    if kind == "bytes":
        return bytes.fromhex(rest[0])
    if kind == "fraction":
        return __import__("fractions").Fraction(int(rest[0], 16), int(rest[1], 16))
    if kind == "decimal":
        return __import__("decimal").Decimal(rest[0])
    if kind == "dict":
        return {decode(key, refer): decode(item, refer) for key, item in rest[0]}
    makers = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "iterator": iter}
    if kind not in (*makers, "deque", "range") and refer is not None:
        return refer(kind, rest)
    items = [decode(item, refer) for item in rest[0]]
    if kind == "deque":
        return __import__("collections").deque(items)
    if kind == "range":
        return range(*items)
    return makers[kind](items)


def explain(error):
    """An exception in words, whatever its own `__str__` does."""
    try:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
    except BaseException:
        text = type(error).__name__
    return text[:300]


def send(file, line):
    """Write a whole line."""
    data = line.encode("ascii") + b"\n"
    while data:
        data = data[os.write(file, data) :]


def start(job):
    """Execute the program, with nothing on its standard files; the names that it left, and the exception or None."""
    null = os.open(os.devnull, os.O_RDWR)
    for file in (0, 1, 2):
        os.dup2(null, file)
    builtins = give_exit()
    space = {"__name__": "program", "__builtins__": builtins}
    try:
        for text in (*job["given"], job["program"], *job["after"]):
            exec(compile(text, "<program>", "exec", dont_inherit=True), space)
    except BaseException as error:
        return space, error
    return space, None


def give_exit():
    """The built-ins, with `exit` and `quit` among them: the module that adds them is not loaded here."""
    import builtins

    builtins.exit = builtins.quit = sys.exit
    return builtins


def ask(job):
    """Execute the program, then answer the questions: `INDEX value TREE`, `INDEX odd "why"` or `INDEX error "why"`.

    A question is an expression, or an expression for what is called with a list of arguments.
    """
    out = os.dup(1)
    space, error = start(job)
    if error is not None:
        send(out, f"-1 error {encode_basestring_ascii(explain(error))}")
        os._exit(0)
    for name in job["modules"]:
        space.setdefault(name, __import__(name))
    for index, question in enumerate(job["questions"]):
        try:
            if isinstance(question, str):
                answer = eval(question, space)
            else:
                answer = eval(question[0], space)(*question[1])
            line = f"{index} value {encode(answer)}"
        except NotPlain as error:
            line = f"{index} odd {encode_basestring_ascii(str(error))}"
        except BaseException as error:
            line = f"{index} error {encode_basestring_ascii(explain(error))}"
        send(out, line)
    os._exit(0)


def run(job):
    """Execute the program as a script; its standard input and output are the process's own."""
    code = [compile(text, "<program>", "exec", dont_inherit=True) for text in (*job["given"], job["program"])]
    sys.argv = ["program.py"]
    builtins, space = give_exit(), sys.modules["__main__"].__dict__
    # `import __main__` must find the program, not the names of this file.
    space.clear()
    space.update({"__name__": "__main__", "__builtins__": builtins})
    for part in code:
        exec(part, space)


def judge(job):
    """Evaluate the author's expressions over the answers: lines `INDEX value true|false` or `INDEX error "why"`."""
    import json

    space = {name: __import__(name) for name in job["modules"]}
    for index, (expression, answers) in enumerate(job["verdicts"]):
        names = {f"_{number}": decode(json.loads(text)) for number, text in enumerate(answers)}
        try:
            line = f"{index} value {'true' if eval(expression, {**space, **names}) else 'false'}"
        except Exception as error:
            line = f"{index} error {encode_basestring_ascii(explain(error))}"
        send(1, line)


def main():
    """Read the job from standard input, take the limits, serve it."""
    length = int(b"".join(iter(lambda: os.read(0, 1), b"\n")))
    data = b""
    while len(data) < length:
        data += os.read(0, length - len(data))
    job = eval(data)
    os.chdir(job["folder"])
    lock(job["lock"])
    kinds = {"ask": ask, "run": run, "judge": judge}
    if "wire" in job:
        kinds = {"__name__": "wire", "encode": encode, "decode": decode, "NotPlain": NotPlain, "send": send}
        kinds |= {"start": start, "explain": explain, "text": encode_basestring_ascii}
        exec(job["wire"], kinds)
    # From here on, whatever goes wrong is the program's doing. A referee's standard output is the line to the program.
    send(2 if job["kind"] == "referee" else 1, "ready")
    kinds[job["kind"]](job)


def lock(settings):
    """Take the limits; they can't be given back. Anything that can't be taken ends the process at once."""
    if settings["uid"] is not None:
        os.setgroups([])
        os.setgid(settings["uid"])
        os.setuid(settings["uid"])
    if settings["rlimits"]:
        import resource

        for name, value in settings["rlimits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
    if settings["source"]:
        space: dict = {"__name__": "locks"}
        exec(settings["source"], space)
        space["lock"](settings)


if __name__ == "__main__":
    main()
