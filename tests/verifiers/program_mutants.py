"""Programs made wrong in eight ways, to see whether the verifier `code` notices; and what Python itself says of them.

`mutants(source, name)` gives each way its mutants of a function, `native(...)` runs a check as its data set does: the
program, the tests and the call in one process. What that says is the truth that the verifier is held against.
"""

import ast
import copy
import random
import subprocess
import sys
from collections.abc import Callable, Iterator

Site = tuple[ast.AST, Callable[[ast.AST], ast.AST]]

OTHER_COMPARISON = {
    **{ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt},
    **{
        ast.Eq: ast.NotEq,
        ast.NotEq: ast.Eq,
        ast.In: ast.NotIn,
        ast.NotIn: ast.In,
        ast.Is: ast.IsNot,
        ast.IsNot: ast.Is,
    },
}
OTHER_OPERATOR = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult},
    **{ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And, ast.BitXor: ast.BitAnd},
}


def _returns(function: ast.AST) -> list[ast.Return]:
    return [node for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None]


def _off_by_one(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, Callable]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            yield node, lambda node: ast.Constant(node.value + 1)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("len", "range"):
            one = ast.Constant(1)
            if node.func.id == "len":
                yield node, lambda node, one=one: ast.BinOp(node, ast.Sub(), one)
            else:
                last = len(node.args) > 1
                yield (
                    node,
                    lambda node, last=last, one=one: ast.Call(
                        node.func,
                        [ast.BinOp(a, ast.Sub(), one) if i == last else a for i, a in enumerate(node.args)],
                        [],
                    ),
                )


def _flipped_comparison(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, Callable]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in OTHER_COMPARISON:
            yield (
                node,
                lambda node: ast.Compare(
                    node.left, [OTHER_COMPARISON[type(node.ops[0])](), *node.ops[1:]], node.comparators
                ),
            )


def _swapped_operator(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, Callable]]:
    for node in ast.walk(function):
        if isinstance(node, ast.BinOp) and type(node.op) in OTHER_OPERATOR:
            yield node, lambda node: ast.BinOp(node.left, OTHER_OPERATOR[type(node.op)](), node.right)
        elif isinstance(node, ast.AugAssign) and type(node.op) in OTHER_OPERATOR:
            yield node, lambda node: ast.AugAssign(node.target, OTHER_OPERATOR[type(node.op)](), node.value)
        elif isinstance(node, ast.BoolOp):
            yield node, lambda node: ast.BoolOp(OTHER_OPERATOR[type(node.op)](), node.values)


def _constant_returned(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, Callable]]:
    for constant in (0, True, "", None):
        yield function, lambda node, constant=constant: _with_body(node, [ast.Return(ast.Constant(constant))])
    yield function, lambda node: _with_body(node, [ast.Return(ast.List([], ast.Load()))])


def _early_return(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, Callable]]:
    for argument in function.args.args:
        back = ast.Return(ast.Name(argument.arg, ast.Load()))
        yield function, lambda node, back=back: _with_body(node, [back, *node.body])
    for node in ast.walk(function):
        if isinstance(node, ast.For | ast.While):
            yield node, lambda node: _with_body(node, [*node.body, ast.Return(ast.Constant(None))])


def _dropped_branch(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, Callable]]:
    for node in ast.walk(function):
        if isinstance(node, ast.If):
            yield node, lambda node: ast.If(ast.Constant(False), node.body, node.orelse)
            yield node, lambda node: ast.If(ast.Constant(True), node.body, node.orelse)
        elif isinstance(node, ast.IfExp):
            yield node, lambda node: node.orelse
            yield node, lambda node: node.body


def _wrong_type(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, Callable]]:
    for node in _returns(function):
        yield node, lambda node: ast.Return(ast.Call(ast.Name("str", ast.Load()), [node.value], []))
        yield node, lambda node: ast.Return(ast.Tuple([node.value], ast.Load()))
        yield node, lambda node: ast.Return(ast.Lambda(_no_arguments(), node.value))


def _raises(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, Callable]]:
    for name in ("ValueError", "AssertionError", "StopIteration", "SystemExit", "KeyError"):
        error = ast.Raise(ast.Call(ast.Name(name, ast.Load()), [], []))
        for node in _returns(function)[-1:]:
            yield node, lambda node, error=error: error
        yield function, lambda node, error=error: _with_body(node, [error])


def _no_arguments() -> ast.arguments:
    return ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])


def _with_body(node: ast.AST, body: list[ast.stmt]) -> ast.AST:
    new = copy.copy(node)
    new.body = body
    return new


WAYS: dict[str, Callable[[ast.FunctionDef], Iterator[tuple[ast.AST, Callable]]]] = {
    "off by one": _off_by_one,
    "flipped comparison": _flipped_comparison,
    "swapped operator": _swapped_operator,
    "constant returned": _constant_returned,
    "early return": _early_return,
    "dropped branch": _dropped_branch,
    "wrong type": _wrong_type,
    "raises": _raises,
}


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST):
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def mutants(source: str, name: str, each: int = 3, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Pairs (way, mutant) of a program with a function `name`: up to `each` for every way, chosen by the seed."""
    tree = ast.parse(source)
    for way, find in WAYS.items():
        rng = random.Random(f"{name}/{way}/{seed}")
        count = len(list(find(_function(tree, name))))
        for index in sorted(rng.sample(range(count), min(each, count))):
            changed = copy.deepcopy(tree)
            node, change = list(find(_function(changed, name)))[index]
            new = _Replace(node, change(node)).visit(changed)
            yield way, ast.unparse(ast.fix_missing_locations(new))


def _function(tree: ast.Module, name: str) -> ast.FunctionDef:
    return [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name][-1]


NATIVE = """
import sys
space = {"__name__": "check"}
exec(sys.stdin.read(), space)
sys.stderr.write("PASSED")
"""


def native(program: str, test: str, entry: str, seconds: float = 3.0) -> bool:
    """Whether a check passes where program and tests share a process, as the data set's own harness runs them."""
    source = f"{program}\n\n{test}\n\ncheck({entry})\n"
    try:
        done = subprocess.run(
            [sys.executable, "-S", "-c", NATIVE], input=source, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and done.stderr.endswith("PASSED")
