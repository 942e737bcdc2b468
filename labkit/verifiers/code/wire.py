"""The line between a program and its tests, each in a process and a sandbox of its own; sent into both as text.

HumanEval's `check(candidate)` calls the program wherever it likes: in loops, with random numbers, through helpers. So
the tests run as they are, in one process (`referee`), and the program in another (`serve`); `candidate` is an object
of the first that sends each call over. A test never enters the program's process, its arguments alone do.

What travels, so that a test cannot tell the two processes from one:

- Plain values that cannot change (numbers, strings, tuples) as copies.
- Lists, dictionaries, sets, bytearrays, deques as copies that both sides hold under one number. Each message brings
  along what has changed in them. So a list that the program sorts in place is sorted for the test, the list that it
  gives back is the very one that it got, and a list that it gave earlier changes when it changes it.
  (A NaN has a number too: whether it is the same NaN decides whether two lists are equal.) What one side holds no
  longer, the other forgets.
- Built-in types by their name, exceptions as the built-in class nearest to them.
- Everything else (functions, generators, objects of classes) stays where it is. The other side gets a `Far` object
  that sends over calls, attributes, items, iteration. It equals itself alone: the program's own `__eq__` is never
  asked, so it cannot lie.

So two things differ from one process: operators on the program's own objects (`a == b`, `a + b`) are not sent over,
and immutable values are equal to those that were sent, not the same objects.

The referee believes nothing: what it reads is parsed as data, bounded in size, and may only do to objects of the
tests what `permitted` lists. The names `encode`, `decode`, `NotPlain`, `send`, `start`, `explain` and `text` come from
`inside`.
"""

import builtins
import math
import os
import sys
from _collections import deque  # pyright: ignore[reportMissingImports]  # without the module around it: less to load
from _json import make_scanner

TYPE_CHECKING = False  # what a checker takes for typing's, which is not imported here
if TYPE_CHECKING:
    from _json import encode_basestring_ascii as text

    from labkit.verifiers.code.inside import NotPlain, decode, encode, explain, send, start

MAX_LINE = 8 * 2**20
PLAIN = (str, int, float, complex, bytes, tuple, frozenset, range, type(None))
EXACT = (("fractions", "Fraction"), ("decimal", "Decimal"))
SHARED = (list, dict, set, bytearray, deque)
EMPTY = {"list": list, "dict": dict, "set": set, "bytes": bytearray, "deque": deque, "nan": lambda: float("nan")}


class Lost(BaseException):
    """No call gets an answer any more: the other process has ended, or wrote what is no answer."""


class Ended(BaseException):
    """The program raised what ends a program (SystemExit, KeyboardInterrupt); no `except Exception` catches it."""


def refuse(number):
    raise ValueError("a bare number")


class Grammar:
    strict, object_hook, object_pairs_hook = True, None, None
    parse_int, parse_float, parse_constant = int, refuse, refuse


parse = make_scanner(Grammar)  # pyright: ignore[reportArgumentType]  # it reads attributes of any object
OPERATIONS = {
    "call": lambda target, arguments, keywords: target(*arguments, **dict(keywords)),
    "getattr": getattr,
    "setattr": setattr,
    "getitem": lambda target, key: target[key],
    "setitem": lambda target, key, value: target.__setitem__(key, value),
    "contains": lambda target, item: item in target,
    "iter": iter,
    "next": next,
    "len": len,
    "bool": bool,
    "str": str,
    "repr": repr,
}


class Wire:
    """One end of the line. `numbers` gives out numbers for what this end shares; the two ends have different ones."""

    def __init__(self, read, write, numbers, referee):
        self.read, self.write, self.numbers, self.referee = read, write, numbers, referee
        self.rest, self.lost = b"", None
        self.copies, self.number_of, self.texts = {}, {}, {}
        self.kept, self.kept_number, self.far = {}, {}, {}
        self.names, self.last, self.labels = {}, None, {}
        self.Far = far_class(self)
        self.share(-1, math.nan)
        probe = {0: []}
        self.held_here_alone = sys.getrefcount(probe[0])

    # ------------------------------------------------------------------------------------- values

    def share(self, number, value):
        self.copies[number] = value
        self.number_of[id(value)] = number

    def forget(self, number):
        value = self.copies.pop(number, None)
        self.number_of.pop(id(value), None)
        self.texts.pop(number, None)

    def refer(self, value):
        """The text that stands for a value; None for one that is written out."""
        kind = type(value)
        if issubclass(kind, SHARED) or (kind is float and value != value):
            if id(value) not in self.number_of:
                self.share(next(self.numbers), value)
            return f'["ref",{self.number_of[id(value)]}]'
        if issubclass(kind, PLAIN) or (kind.__module__, kind.__name__) in EXACT:
            return None
        if kind is self.Far:
            return f'["near",{object.__getattribute__(value, "_labkit_number")}]'
        if kind is type and getattr(builtins, value.__name__, None) is value:
            return f'["type",{text(value.__name__)}]'
        if self.referee and kind is type(sys):
            raise NotPlain("is a module, which does not leave the tests")
        if id(value) not in self.kept_number:
            number = self.kept_number[id(value)] = len(self.kept)
            self.kept[number] = value
        return f'["far",{self.kept_number[id(value)]}]'

    def resolve(self, kind, rest):
        """The value of such a text."""
        if kind == "ref":
            return self.copies[rest[0]]
        if kind == "near":
            return self.kept[rest[0]]
        if kind == "type":
            value = getattr(builtins, rest[0])
        elif kind == "far" and type(rest[0]) is int:
            value = self.far.get(rest[0])
            if value is None:
                value = self.far[rest[0]] = self.Far(rest[0])
            return value
        if type(value) is not type:
            raise ValueError("no type")
        return value

    def content(self, value):
        return '["nan",[]]' if type(value) is float else encode(value, self.refer, whole=True)

    def fill(self, value, tree):
        """Make a shared value hold what the other side says."""
        kind, rest = tree
        if kind == "bytes":
            bytearray.__setitem__(value, slice(None), bytes.fromhex(rest))
        elif kind == "dict":
            pairs = [(decode(key, self.resolve), decode(item, self.resolve)) for key, item in rest]
            dict.clear(value)
            dict.update(value, pairs)
        elif kind != "nan":
            items, base = [decode(item, self.resolve) for item in rest], {"list": list, "set": set}.get(kind, deque)
            base.clear(value)
            (set.update if base is set else base.extend)(value, items)

    # ------------------------------------------------------------------------------------- messages

    def send(self, *message):
        words, changes, done, size = encode(message, self.refer), [], 0, 0
        while done < len(self.copies):
            # What a value holds may be shared for the first time, and then stands at the end.
            for number in list(self.copies)[done:]:
                done += 1
                content = self.content(self.copies[number])
                if content != self.texts.get(number):
                    self.texts[number] = content
                    changes.append(f"[{number},{content}]")
                    size += len(content)
        if size > MAX_LINE // 2:
            raise NotPlain("is too large")
        dropped = []
        for number in list(self.copies):
            if sys.getrefcount(self.copies[number]) <= self.held_here_alone:
                self.forget(number)
                dropped.append(str(number))
        send(self.write, f"[{words},[{','.join(changes)}],[{','.join(dropped)}]]")

    def line(self):
        while b"\n" not in self.rest:
            data = os.read(self.read, 2**16)
            if not data:
                raise Lost("ended early")
            if len(self.rest) > MAX_LINE:
                raise Lost("writes too much")
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        return line.decode("ascii", "replace")

    def receive(self):
        line = self.line()
        try:
            words, changes, dropped = parse(line, 0)[0]
            for number, tree in changes:
                if number not in self.copies:
                    self.share(number, EMPTY[tree[0]]())
            for number, tree in changes:
                self.fill(self.copies[number], tree)
            for number, _ in changes:
                self.texts[number] = self.content(self.copies[number])
            message = decode(words, self.resolve)
            for number in dropped:
                self.forget(number)
            kind, *rest = message  # pyright: ignore[reportGeneralTypeIssues]  # a TypeError is caught below
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, NotPlain):
            raise Lost("answers nonsense") from None
        return kind, rest

    def ask(self, operation, *operands):
        """Have the other side do something: the value that it gives, or the exception that it raises."""
        if self.lost is not None:
            raise Lost(self.lost)
        self.last = None
        try:
            self.send("ask", operation, *operands)
            while (heard := self.receive())[0] == "ask":
                self.answer(heard[1])
            kind, (value, *rest) = heard
            if kind not in ("value", "raise"):
                raise Lost(f"gives what {value}" if kind == "odd" else "answers nonsense")
            error = revive(operation, value, *rest) if kind == "raise" else None
        except BaseException as why:
            # Also where an alarm of the tests goes off: the next answer would be that to this question.
            self.lost = str(why) if isinstance(why, Lost) else "was not heard out"
            raise
        if error is not None:
            raise error
        self.last = (operation, operands, value)
        return value

    def answer(self, request):
        """Do what the other side asks for."""
        try:
            answer = self.perform(*request)
            request.clear()  # the operands are not held from here on
            self.send(*answer)
        except NotPlain as why:
            send(self.write, f'[["tuple",["odd",{text(str(why))}]],[],[]]')

    def perform(self, operation, target, *operands):
        try:
            if operation == "get" and not self.referee:
                return "value", eval(target, self.names)
            if self.referee and not self.permitted(operation, target, operands):
                raise AttributeError("out of reach")
            return "value", OPERATIONS[operation](target, *operands)
        except Lost:
            raise
        except BaseException as error:
            names = [kind.__name__ for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind]
            arguments = [part for part in error.args if type(part) in (str, int, float, bool, type(None))]
            return "raise", tuple(names), explain(error), tuple(arguments)

    def permitted(self, operation, target, operands):
        """What a program may do to an object of the tests that it was given: never look behind it."""
        if id(target) not in self.kept_number:
            return False
        if operation in ("getattr", "setattr"):
            return str(operands[0])[:1] != "_" and operands[0] in getattr(target, "__dict__", ())
        return operation in ("call", "getitem", "contains", "iter", "next", "len", "bool")


def revive(operation, names, words, arguments):
    """The exception that the other side raised, as the nearest built-in one."""
    if not all(type(part) is kind for part, kind in ((names, tuple), (words, str), (arguments, tuple))) or not names:
        raise Lost("answers nonsense")
    if names[0] in ("StopIteration", "StopAsyncIteration") and operation != "next":
        # From a function it would end a loop of the tests as if all had been said.
        names, arguments = ("RuntimeError",), (words,)
    for name in map(str, names):
        kind = getattr(builtins, name, None)
        if type(kind) is type and issubclass(kind, Exception):
            try:
                error = kind(*arguments)
            except TypeError:
                continue
            error.labkit_words = words  # pyright: ignore[reportAttributeAccessIssue]  # any exception takes attributes
            return error
    return Ended(words)


def far_class(wire):
    """The class of objects that stand for objects of the other side."""

    def sent(operation):
        return lambda self, *operands: wire.ask(operation, self, *operands)

    class Far:
        __slots__ = ("_labkit_number",)

        def __init__(self, number):
            object.__setattr__(self, "_labkit_number", number)

        def __getattr__(self, name):
            if name[:2] == "__":
                raise AttributeError(name)
            return wire.ask("getattr", self, name)

        def __call__(self, *arguments, **keywords):
            return wire.ask("call", self, arguments, tuple(keywords.items()))

    for operation in OPERATIONS:
        if operation not in ("call", "getattr"):
            setattr(Far, f"__{operation}__", sent(operation))
    return Far


# ------------------------------------------------------------------------------------- the two processes


def serve(job):
    """The program's process: execute it, then do what the tests ask."""
    wire = Wire(os.dup(0), os.dup(1), iter(range(1, sys.maxsize, 2)), referee=False)
    space, error = start(job)
    wire.names = space
    try:
        if error is None:
            wire.send("value", None)
        else:
            wire.send("raise", explain(error))
        while True:
            wire.answer(wire.receive()[1])
    except (Lost, OSError):
        os._exit(0)


def referee(job):
    """The tests' process. It tells the parent `INDEX value true` or `INDEX error "why"` for each test.

    `-1 error "why"`: no test could be run, and the program is to blame; `-2`: the tests are; `-3`: the other sandbox.
    """
    said, wire = os.dup(2), Wire(os.dup(0), os.dup(1), iter(range(0, sys.maxsize, 2)), referee=True)
    null = os.open(os.devnull, os.O_RDWR)
    for file in (0, 1, 2):
        # What the tests print must not reach the program either.
        os.dup2(null, file)

    def tell(index, words):
        send(said, f"{index} error {text(words[:300])}")

    try:
        if wire.line() != "ready":
            raise Lost
    except Lost:
        tell(-3, "the program's sandbox could not be had")
        os._exit(0)
    try:
        kind, rest = wire.receive()
        if kind == "raise":
            tell(-1, f"the program raises {rest[0]}")
            os._exit(0)
        space = prepare(job, wire)
    except ImportError as error:
        tell(-2, f"the tests raise {explain(error)}")
    except BaseException as error:
        tell(-1, f"the program {error}" if isinstance(error, Lost) else f"before the tests: {told(error, job, wire)}")
    else:
        for index, test in enumerate(job["tests"]):
            try:
                exec(compile(test, "<test>", "exec", dont_inherit=True), space)
                if wire.lost is not None:
                    raise Lost(wire.lost)
                send(said, f"{index} value true")
            except BaseException as error:
                tell(index, told(error, job, wire, test))
    os._exit(0)


def prepare(job, wire):
    """The names that the tests see: those of the program that they use, and what their own source defines."""
    space = {"__name__": "tests", "__builtins__": builtins}
    space.update({name: __import__(name) for name in job["modules"]})
    for name in job["names"]:
        try:
            space[name] = wire.ask("get", name)
        except NameError:
            continue
    if job["entry"] is not None:
        space[job["entry"]] = space["candidate"] = wire.ask("get", job["entry"])
    wire.labels = {id(value): name for name, value in space.items() if name != "candidate"}
    for number, source in enumerate(job["sources"]):
        exec(compile(source, f"<tests {number}>", "exec", dont_inherit=True), space)
    return space


def told(error, job, wire, test=""):
    """What went wrong in words, with the line of the tests at which it did and what the program answered last."""
    sources = {f"<tests {number}>": source for number, source in enumerate(job["sources"])} | {"<test>": test}
    line, place = "", error.__traceback__
    while place is not None:
        source = sources.get(place.tb_frame.f_code.co_filename, "").splitlines()
        line = source[place.tb_lineno - 1].strip()[:150] if 0 < place.tb_lineno <= len(source) else line
        place = place.tb_next
    if isinstance(error, Lost):
        return f"no answer: the program {error}; at: {line}"
    if hasattr(error, "labkit_words") or not isinstance(error, AssertionError):
        return f"{getattr(error, 'labkit_words', None) or explain(error)}"[:150] + f"; at: {line}"
    try:
        operation, operands, value = wire.last
        arguments = ", ".join(repr(operand)[:60] for operand in operands[1])[:80]
        shown = f"{wire.labels[id(operands[0])]}({arguments}) gives {repr(value)[:60]}"
        return f"{shown}; fails: {line}" if operation == "call" else f"fails: {line}"
    except BaseException:
        return f"fails: {line}"
