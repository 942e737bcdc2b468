"""Taking an assert line apart, so that the program answers and somebody else judges.

`assert f([1, 2]) == 3` becomes the question `f([1, 2])`, put to the program inside the sandbox, and the answer
that is right, `3`, which stays in the parent. The program never meets the 3, the `==` or the `assert`.

What is more than a comparison with a literal, such as `assert abs(f(2) - 1.41) < 0.01`, becomes the question
`f(2)` and the verdict `abs(_0 - 1.41) < 0.01`, which a second process evaluates that has never seen the program.
What cannot be taken apart, such as `assert all(f(i) == i for i in range(9))`, runs as it stands in that second
process, with a line to the program (see `wire`).
"""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.code.inside import NotPlain
from labkit.verifiers.code.names import BUILTINS, MODULES
from labkit.verifiers.code.values import literal

__all__ = ["AsksNothing", "Check", "NotApart", "Question", "split_assert"]


Question = str | tuple[str, list[Any], str]
"""An expression; or one for what is called, the arguments, and the call as it is shown."""


class NotApart(UserError):
    """A test that calls the program, but not in a way that can be asked apart from the rest of it."""


class AsksNothing(UserError):
    """A test that does not call the program."""


@dataclass(frozen=True)
class Check:
    """One assert line, taken apart.

    Attributes:
        source: the line as it was given.
        questions: what the program is to evaluate.
        verdict: an expression over their answers `_0`, `_1`, ..., true when the test passes.
        right: the canonical texts of right answers, when the verdict is "the only answer equals it"; else none.
        modules: modules that the expressions use.
        names: names of the program that they use.
        json: whether a tuple counts as a list, as it must where the right answer comes from JSON.
    """

    source: str
    questions: tuple[Question, ...]
    verdict: str
    right: tuple[str, ...]
    modules: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    json: bool = False


@functools.lru_cache(maxsize=4096)
def split_assert(line: str) -> Check:
    """Take an assert line apart; `UserError` when it is none, `NotApart` when the program can't be asked apart from it.

    The program is whatever name is neither a built-in nor one of `MODULES`. From `f(x)` on, the rest of a chain
    (`f(x)[0]`, `f(x).upper()`) is left to the judge; a chain that begins with a capital letter, `Stack().pop()`,
    is asked as a whole, since objects can't leave the sandbox. Where all names are built-in, the program is taken
    to have written the function that is called on the left.

    >>> check = split_assert("assert add(2, 2) == 4")
    >>> check.questions, check.right == (literal(4),)
    (('add(2, 2)',), True)
    >>> check = split_assert("assert sorted(f(x=1)) == list(g()) and len(f(2)) > 1")
    >>> check.questions, check.verdict, check.right
    (('f(x=1)', 'g()', 'f(2)'), 'sorted(_0) == list(_1) and len(_2) > 1', ())
    >>> split_assert("assert all(f(i) == i for i in range(9))")
    Traceback (most recent call last):
    ...
    labkit.verifiers.code.asserts.NotApart: the test 'assert all(f(i) == i for i in range(9))' calls ... with i, ...
    """
    test = _parse(line)
    cutter = _Cutter(line)
    verdict = cutter.visit(test)
    if not cutter.questions:
        verdict = _cut_left(test, cutter)
    used = {node.id for node in ast.walk(_parse(line)) if isinstance(node, ast.Name)} & MODULES
    right = _right_answer(verdict, len(cutter.questions))
    text = ast.unparse(ast.fix_missing_locations(verdict))
    questions = tuple(cutter.questions)
    return Check(line.strip(), questions, text, right, tuple(sorted(used)), frozenset(cutter.names))


def _parse(line: str) -> ast.expr:
    try:
        body = ast.parse(line.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        body = []
    if len(body) == 1 and isinstance(body[0], ast.Assert):
        return body[0].test
    if any(isinstance(node, ast.Assert) for statement in body for node in ast.walk(statement)):
        raise NotApart(f"the test {line.strip()[:100]!r} is more than one assert line")
    raise UserError(f"a test of the code verifier is one assert line, such as 'assert f(2) == 4'; got {line[:100]!r}")


class _Cutter(ast.NodeTransformer):
    """Replaces each part that the program must evaluate by `_0`, `_1`, ... and keeps it as a question."""

    def __init__(self, line: str):
        self.line = line
        self.questions: list[str] = []
        self.names: set[str] = set()
        self.bound: list[set[str]] = []

    def ask(self, node: ast.expr) -> ast.expr:
        names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        loose = sorted(names & set().union(*self.bound))
        if loose:
            raise NotApart(
                f"the test {self.line.strip()[:100]!r} calls the program with {', '.join(loose)}, "
                "which the line itself binds"
            )
        self.names |= names - BUILTINS - MODULES - {a.arg for a in ast.walk(node) if isinstance(a, ast.arg)}
        self.questions.append(ast.unparse(node))
        return ast.Name(f"_{len(self.questions) - 1}", ast.Load())

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            links = _chain(node)
            root = links[0]
            if isinstance(root, ast.Name) and self._is_of_program(root.id):
                return self._cut(root, links)
        return super().visit(node)

    def _is_of_program(self, name: str) -> bool:
        return name not in BUILTINS and name not in MODULES and not any(name in names for names in self.bound)

    def _cut(self, root: ast.Name, links: list[ast.expr]) -> ast.expr:
        calls = [index for index, link in enumerate(links) if isinstance(link, ast.Call)]
        whole = root.id[:1].isupper() or not calls
        end = len(links) - 1 if whole else calls[0]
        result = self.ask(links[end])
        for link in links[end + 1 :]:
            if isinstance(link, ast.Attribute):
                result = ast.Attribute(result, link.attr, ast.Load())
            elif isinstance(link, ast.Subscript):
                result = ast.Subscript(result, self.visit(link.slice), ast.Load())
            elif isinstance(link, ast.Call):
                arguments = [self.visit(argument) for argument in link.args]
                keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in link.keywords]
                result = ast.Call(result, arguments, keywords)
        return result

    def _with_bound(self, node: ast.AST, names: set[str]) -> ast.AST:
        self.bound.append(names)
        try:
            return self.generic_visit(node)
        finally:
            self.bound.pop()

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self._with_bound(
            node, {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
        )

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> ast.AST:
        targets = [inner for generator in node.generators for inner in ast.walk(generator.target)]
        return self._with_bound(node, {inner.id for inner in targets if isinstance(inner, ast.Name)})

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension


def _chain(node: ast.expr) -> list[ast.expr]:
    """`a.b(1)[2]` as its links from the root: `a`, `a.b`, `a.b(1)`, `a.b(1)[2]`."""
    links = [node]
    while isinstance(links[-1], ast.Attribute | ast.Call | ast.Subscript):
        links.append(links[-1].func if isinstance(links[-1], ast.Call) else links[-1].value)
    return links[::-1]


def _cut_left(test: ast.expr, cutter: _Cutter) -> ast.expr:
    """For `assert sum([1, 2]) == 3`, where the program has redefined a built-in."""
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Call):
        cutter.names |= {test.left.func.id} if isinstance(test.left.func, ast.Name) else set()
        return ast.Compare(cutter.ask(test.left), test.ops, test.comparators)
    raise AsksNothing(f"the test {cutter.line.strip()[:100]!r} does not call the program")


def _right_answer(verdict: ast.expr, questions: int) -> tuple[str, ...]:
    """The canonical right answer of `_0 == literal`; none for any other verdict."""
    if questions != 1 or not isinstance(verdict, ast.Compare) or len(verdict.ops) != 1:
        return ()
    sides = [verdict.left, verdict.comparators[0]]
    if not isinstance(sides[0], ast.Name):
        sides.reverse()
    if not isinstance(verdict.ops[0], ast.Eq) or not isinstance(sides[0], ast.Name) or sides[0].id != "_0":
        return ()
    try:
        return (literal(ast.literal_eval(sides[1])),)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, NotPlain):
        return ()
