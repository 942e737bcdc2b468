"""Reading a reference of `code`: the lab's own formats, and those of HumanEval, MBPP and LiveCodeBench as they are."""

from __future__ import annotations

import ast
import functools
import json
import re
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.code.asserts import AsksNothing, Check, NotApart, split_assert
from labkit.verifiers.code.inside import NotPlain
from labkit.verifiers.code.kinds import Asked, Prints, Refereed, Tests
from labkit.verifiers.code.names import BUILTINS, MODULES, Names, names_of
from labkit.verifiers.code.program import Wanted
from labkit.verifiers.code.values import literal

__all__ = ["FORMATS", "read_reference"]

MAX_TESTS = 1000

FORMATS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tests": ((), ()),
    "stdout": (("stdin",), ()),
    "test": (("entry_point", "prompt"), ("task_id", "canonical_solution")),
    "test_list": (
        ("test_setup_code", "challenge_test_list", "test_imports"),
        ("task_id", "text", "prompt", "code", "source_file"),
    ),
    "input_output": ((), ()),
    "inputs": (("outputs", "fn_name"), ()),
}
"""By the key that each format must have: its other keys, and columns of the public set that decide nothing."""

_ENTRY = re.compile(r"[A-Za-z_]\w*(?:\(\))?(?:\.[A-Za-z_]\w*)*")
_FORMS = (
    'a code reference is {"tests": ["assert f(2) == 4", ...]}, {"stdin": "2", "stdout": "4"} (strings, or two lists of '
    'as many), or a row of HumanEval ("test"), MBPP ("test_list") or LiveCodeBench ("input_output")'
)


def read_reference(reference: Any) -> Tests:
    """The tests of a reference; `UserError` for one that is malformed, has a key too many, or asks nothing.

    >>> read_reference({"tests": ["assert f(2) == 4"]}).count
    1
    >>> read_reference({"tests": ["assert f(2) == 4"], "timeout": 3})
    Traceback (most recent call last):
    ...
    labkit.errors.UserError: a code reference with 'tests' has no key 'timeout'; it has tests
    """
    kinds = [key for key in FORMATS if isinstance(reference, dict) and key in reference]
    if not kinds:
        raise _malformed(reference)
    key = kinds[0]
    keys, columns = FORMATS[key]
    strange = [name for name in reference if name not in (key, *keys, *columns)]
    if strange:
        known = ", ".join((key, *keys))
        raise UserError(f"a code reference with {key!r} has no key {ascii(strange[0])[:60]}; it has {known}")
    readers = {"tests": _lines, "stdout": _printed, "test": _check, "test_list": _mbpp}
    tests = readers.get(key, _input_output)(reference)
    if not 0 < tests.count <= MAX_TESTS:
        raise UserError(f"a code reference has from 1 to {MAX_TESTS} tests, not {tests.count}")
    return tests


def _malformed(reference: Any) -> UserError:
    try:
        shown = ascii(reference)[:120]
    except Exception:
        shown = f"a {type(reference).__name__} that cannot be shown"
    return UserError(f"{_FORMS}; got {shown}")


def _strings(reference: Any, key: str, needed: bool = True) -> list[str]:
    values = reference.get(key)
    if not needed and values is None:
        return []
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise _malformed(reference)
    return list(values)


# ------------------------------------------------------------------------------------------ the lab's own formats


def _lines(reference: dict[str, Any]) -> Tests:
    return _asserts(_strings(reference, "tests"), "", public=False)


def _printed(reference: dict[str, Any]) -> Tests:
    inputs, outputs = reference.get("stdin", ""), reference["stdout"]
    if isinstance(inputs, str) and isinstance(outputs, str):
        inputs, outputs = [inputs], [outputs]
    pair = {"stdin": inputs, "stdout": outputs}
    inputs, outputs = _strings(pair, "stdin"), _strings(pair, "stdout")
    if not 0 < len(inputs) == len(outputs):
        raise _malformed(reference)
    return Prints(wanted=Wanted(script=True), cases=tuple(zip(inputs, outputs, strict=True)))


def _asserts(lines: list[str], setup: str, public: bool) -> Tests:
    """Assert lines: questions where all can be taken apart and nothing goes before them, else a referee's."""
    if not 0 < len(lines) <= MAX_TESTS:
        raise _malformed({"tests": lines[:3]})
    checks: list[Check | None] = []
    for line in lines:
        try:
            checks.append(split_assert(line))
        except NotApart:
            checks.append(None)
        except AsksNothing:
            if not setup.strip():
                raise
            checks.append(None)
    apart = tuple(check for check in checks if check is not None)
    if len(apart) == len(lines) and not setup.strip():
        names = frozenset().union(*(check.names for check in apart))
        return Asked(wanted=Wanted(names=names), public=public, checks=apart)
    before = _names(setup, "the setup code")
    asked: set[str] = set(before.used)
    for line, check in zip(lines, checks, strict=True):
        names = check.names if check is not None else _names(line, "a test").used - BUILTINS - MODULES
        if not names and not before.used - BUILTINS:
            raise AsksNothing(f"the test {line.strip()[:100]!r} does not call the program")
        asked |= names
    names, modules = asked - before.bound - BUILTINS - MODULES, (asked | before.used) & MODULES - before.bound
    modules |= frozenset().union(*(_names(line, "a test").used for line in lines)) & MODULES - before.bound
    # A built-in that the program is asked to define anew is the program's.
    names |= {name for check in checks if check is not None for name in check.names & BUILTINS}
    return Refereed(
        wanted=Wanted(names=frozenset(names)),
        public=public,
        tests=tuple(line.strip() for line in lines),
        sources=(setup,) if setup.strip() else (),
        names=tuple(sorted(names)),
        modules=tuple(sorted(modules)),
    )


def _names(source: str, what: str) -> Names:
    names = names_of(source.strip())
    if names is None:
        raise UserError(f"{what} of a code reference is no Python: {source.strip()[:100]!r}")
    return names


# ------------------------------------------------------------------------------------------ the public sets' formats


def _mbpp(reference: dict[str, Any]) -> Tests:
    """MBPP (Austin et al., 2021): the tests and the challenge tests, all of them, after the setup code."""
    setup = reference.get("test_setup_code") or ""
    if not isinstance(setup, str):
        raise _malformed(reference)
    lines = _strings(reference, "test_list") + _strings(reference, "challenge_test_list", needed=False)
    imports = _strings(reference, "test_imports", needed=False)
    return _asserts(lines, "\n".join([*imports, setup]), public=True)


def _check(reference: dict[str, Any]) -> Tests:
    """HumanEval (Chen et al., 2021): `check(candidate)`, run as it stands. It passes as a whole or not at all.

    The prompt, where it is given, holds helpers. The tests take those of the prompt, not what the program makes of
    them.
    """
    test, entry, prompt = reference["test"], reference.get("entry_point"), reference.get("prompt") or ""
    if not isinstance(test, str) or not isinstance(prompt, str) or not isinstance(entry, str):
        raise _malformed(reference)
    if not _ENTRY.fullmatch(entry):
        raise UserError(f"'entry_point' is the name of a function, not {ascii(entry)[:60]}")
    root = re.split(r"\W", entry)[0]
    helpers, is_code = _helpers(prompt, root)
    names = _names(helpers + "\n\n" + test, "'test'")
    own = names_of(test.strip())
    if own is None or "check" not in own.bound:
        raise UserError("'test' of a code reference must define check(candidate)")
    asked = names.used - names.bound - BUILTINS - {root, "candidate"}
    return Refereed(
        wanted=Wanted(names=frozenset({root}), prompt=prompt if is_code else ""),
        given=helpers,
        public=True,
        tests=("check(candidate)",),
        sources=(helpers, test),
        names=tuple(sorted(asked - MODULES)),
        modules=tuple(sorted(asked & MODULES)),
        entry=entry,
    )


@functools.lru_cache(maxsize=256)
def _helpers(prompt: str, entry: str) -> tuple[str, bool]:
    """What a prompt defines besides the function that it asks for, and whether it is code that begins that function."""
    for text in (prompt, prompt.rstrip() + "\n    pass\n"):
        try:
            body = ast.parse(text).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        others = [node for node in body if getattr(node, "name", None) != entry]
        return "\n".join(ast.unparse(node) for node in others), len(others) < len(body)
    return "", False


def _input_output(reference: dict[str, Any]) -> Tests:
    """LiveCodeBench (Jain et al., 2024), and APPS before it: inputs, outputs and, for functions, `fn_name`."""
    cases = reference.get("input_output", reference)
    if isinstance(cases, str):
        return _read_cases(cases)
    return _cases(cases)


@functools.lru_cache(maxsize=64)
def _read_cases(text: str) -> Tests:
    try:
        return _cases(json.loads(text))
    except (ValueError, RecursionError):
        raise UserError(f"'input_output' of a code reference is no JSON: {ascii(text)[:80]}") from None


def _cases(cases: Any) -> Tests:
    if not isinstance(cases, dict) or set(cases) - {"inputs", "outputs", "fn_name"}:
        raise UserError(f"'input_output' is a dictionary with inputs, outputs and fn_name, not {ascii(cases)[:80]}")
    inputs, outputs, name = cases.get("inputs"), cases.get("outputs"), cases.get("fn_name") or None
    if not isinstance(inputs, list | tuple) or not isinstance(outputs, list | tuple) or len(inputs) != len(outputs):
        raise UserError("'inputs' and 'outputs' of a code reference are two lists of the same length")
    given = "import sys\nsys.setrecursionlimit(50000)"
    if name is None:
        pairs = tuple((_text(a), _text(b)) for a, b in zip(inputs, outputs, strict=True))
        return Prints(wanted=Wanted(script=True), given=given, public=True, cases=pairs, tokens=True)
    if not isinstance(name, str) or not name.isidentifier():
        raise UserError(f"'fn_name' is the name of a function, not {ascii(name)[:60]}")
    checks = tuple(_call(name, *pair) for pair in zip(inputs, outputs, strict=True))
    wanted = Wanted(names=frozenset({name, "Solution"}), one=True)
    after = f"_called = Solution().{name} if 'Solution' in globals() else {name}"
    return Asked(wanted=wanted, given=given, public=True, checks=checks, after=after)


def _text(lines: Any) -> str:
    """Standard input or output: a text, or a list of lines."""
    if isinstance(lines, list | tuple) and all(isinstance(line, str) for line in lines):
        return "\n".join(lines)
    if not isinstance(lines, str):
        raise UserError(f"without 'fn_name', inputs and outputs of a code reference are texts, not {ascii(lines)[:60]}")
    return lines


def _call(name: str, given: Any, right: Any) -> Check:
    """One call: arguments as JSON, one a line (LiveCodeBench), or as a list (APPS), and what it must give."""
    answers = [right]
    if isinstance(given, str):
        try:
            arguments = [json.loads(line) for line in given.split("\n") if line.strip()]
            answers = [json.loads(right)]
        except (ValueError, TypeError, RecursionError):
            raise UserError(f"with 'fn_name', inputs and outputs are JSON; got {ascii((given, right))[:100]}") from None
    elif isinstance(given, list | tuple):
        arguments = list(given)
        # APPS: the answer stands alone, or as the only item of a list.
        answers += right[:1] if isinstance(right, list) else []
    else:
        raise UserError(f"with 'fn_name', inputs are texts or lists of arguments, not {ascii(given)[:60]}")
    try:
        texts = tuple(literal(answer) for answer in answers)
    except NotPlain as error:
        raise UserError(f"an output of a code reference {error}") from None
    shown = f"{name}({', '.join(repr(argument)[:60] for argument in arguments)})"[:80]
    return Check(f"{shown} == {repr(answers[0])[:80]}", (("_called", arguments, shown),), "", texts, json=True)
