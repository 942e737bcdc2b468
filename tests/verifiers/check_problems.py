"""Problems in HumanEval's form, made for the tests of `code`: a prompt, the rest of the function, `check(candidate)`.

Each check calls the program in a way of its own: in loops, with random numbers, through helpers of the prompt; it
looks at what became of its arguments, at exceptions, iterators, functions and objects that it gets back.
"""

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class CheckProblem:
    """`wrong` are whole programs that must fail, `right` others that must pass besides the prompt's continuation."""

    prompt: str
    answer: str
    test: str
    entry: str
    wrong: tuple[str, ...] = ()
    right: tuple[str, ...] = ()

    @property
    def reference(self) -> dict[str, str]:
        return {"prompt": self.prompt, "test": self.test, "entry_point": self.entry}

    @property
    def program(self) -> str:
        return self.prompt + self.answer


def _problem(prompt: str, answer: str, test: str, wrong: str | tuple[str, ...] = (), right: tuple[str, ...] = ()):
    prompt, test = textwrap.dedent(prompt), textwrap.dedent(test)
    entry = prompt.rpartition("def ")[2] if "\nclass " not in prompt else prompt.rpartition("class ")[2]
    entry = entry.split("(")[0].split(":")[0].strip()
    wrong = (wrong,) if isinstance(wrong, str) else wrong
    answer = textwrap.indent(textwrap.dedent(answer).strip("\n"), "    ")
    return CheckProblem(prompt, answer, test, entry, tuple(map(textwrap.dedent, wrong)), right)


PROBLEMS: dict[str, CheckProblem] = {
    "loop": _problem(
        """
        def digits(n: int) -> List[int]:
            \"\"\" The decimal digits of n, the last one first.
            >>> digits(120)
            [0, 2, 1]
            \"\"\"
        """.replace("        def", "        from typing import List\n\n\n        def", 1),
        "return [int(c) for c in str(n)][::-1]",
        """
        METADATA = {"author": "labkit"}


        def check(candidate):
            for n in range(1, 40):
                assert sum(d * 10 ** i for i, d in enumerate(candidate(n))) == n, str(n)
            assert candidate(120) == [0, 2, 1]
        """,
        ("def digits(n): return [int(c) for c in str(n)]", "def digits(n): return str(n)[::-1]"),
    ),
    "random and a helper of the prompt": _problem(
        '''
        import math


        def value(coefficients: list, x: float):
            """ The polynomial with these coefficients at x. """
            return sum(c * math.pow(x, i) for i, c in enumerate(coefficients))


        def root(coefficients: list):
            """ A root of a polynomial of odd degree, to six digits. """
        ''',
        """
        low, high = -1e4, 1e4
        up = value(coefficients, high) > 0
        for _ in range(200):
            middle = (low + high) / 2
            if (value(coefficients, middle) > 0) == up:
                high = middle
            else:
                low = middle
        return low
        """,
        """
        def check(candidate):
            import copy
            import random
            rng = random.Random(7)
            for _ in range(20):
                coefficients = [rng.randint(-5, 5) for _ in range(3)] + [rng.choice([1, 2, 3])]
                found = candidate(copy.deepcopy(coefficients))
                assert abs(value(coefficients, found)) < 1e-3
        """,
        # It makes the helper of the tests lie, or tries to.
        ("def value(coefficients, x): return 0\ndef root(coefficients): return 0",),
    ),
    "a test that names the function itself": _problem(
        '''
        def every_second(xs: list):
            """ Every second item, from the first. """
        ''',
        "return xs[::2]",
        """
        def check(candidate):
            assert tuple(candidate([1, 2, 3])) == tuple(every_second([1, 2, 3]))
            assert candidate([4, 5, 6]) == [4, 6]
        """,
        "def every_second(xs): return xs[1::2]",
    ),
    "sorts in place": _problem(
        '''
        def sort_rows(grid):
            """ Sort each row of the grid in place and return nothing. """
        ''',
        "for row in grid: row.sort()",
        """
        def check(candidate):
            row = [3, 1, 2]
            grid = [row, [9, 8], row]
            assert candidate(grid) is None
            assert grid == [[1, 2, 3], [8, 9], [1, 2, 3]] and row == [1, 2, 3]
            assert grid[0] is row and grid[2] is row
        """,
        ("def sort_rows(grid): return [sorted(row) for row in grid]", "def sort_rows(grid): grid[0] = sorted(grid[0])"),
    ),
    "leaves its argument alone": _problem(
        '''
        def largest_two(xs):
            """ The two largest items, the larger first; xs stays as it is. """
        ''',
        "return tuple(sorted(xs, reverse=True)[:2])",
        """
        def check(candidate):
            xs = [4, 9, 2, 7]
            assert candidate(xs) == (9, 7)
            assert xs == [4, 9, 2, 7]
            for n in range(2, 6):
                ys = list(range(n))
                first = candidate(ys)
                assert first == candidate(ys) == (n - 1, n - 2)
        """,
        (
            "def largest_two(xs):\n    xs.sort(reverse=True)\n    return xs[0], xs[1]",
            "def largest_two(xs): return [9, 7] if 9 in xs else list(sorted(xs)[::-1][:2])",
            "def largest_two(xs): return xs.pop(xs.index(max(xs))), max(xs)",
        ),
    ),
    "gives back the very list": _problem(
        '''
        def append(x, xs):
            """ Append x to xs and return xs. """
        ''',
        "xs.append(x)\nreturn xs",
        """
        def check(candidate):
            xs = []
            assert candidate(1, xs) is xs
            assert candidate(2, xs=xs) is xs and xs == [1, 2]
            assert candidate(3, []) is not xs
        """,
        "def append(x, xs): return xs + [x]",
    ),
    "no list that two answers share": _problem(
        '''
        def grow(x):
            """ A new list with x in it. """
        ''',
        "return [x]",
        """
        def check(candidate):
            a = candidate(1)
            b = candidate(2)
            assert a == [1], a
            b.append(3)
            assert candidate(2) == [2]
        """,
        (
            "def grow(x, found=[]):\n    found.append(x)\n    return found",
            "made = {}\ndef grow(x): return made.setdefault(x, [x])",
        ),
    ),
    "exceptions": _problem(
        '''
        def parse_age(text):
            """ The age; ValueError where text is none. """
        ''',
        """
        if not text.isdigit() or int(text) > 150:
            raise ValueError("no age", text)
        return int(text)
        """,
        """
        def check(candidate):
            for text in ("", "x", "-3", "900"):
                try:
                    candidate(text)
                    assert False, "no exception"
                except ValueError as error:
                    assert error.args[-1:] != ("y",)
            assert candidate("12") == 12
        """,
        (
            "def parse_age(text): return int(text)",
            "def parse_age(text): raise ValueError",
            "def parse_age(text):\n    if not text.isdigit(): raise KeyError(text)\n    return int(text)",
            "def parse_age(text):\n    if not text.isdigit(): raise SystemExit\n    return int(text)",
        ),
        right=(
            "class NoAge(ValueError): pass\ndef parse_age(text):\n"
            "    if text not in map(str, range(151)): raise NoAge(text, 1, [2])\n    return int(text)",
        ),
    ),
    "an endless generator": _problem(
        '''
        def squares():
            """ 0, 1, 4, 9 and so on, without an end. """
        ''',
        "n = 0\nwhile True:\n    yield n * n\n    n += 1",
        """
        def check(candidate):
            from itertools import islice
            assert list(islice(candidate(), 5)) == [0, 1, 4, 9, 16]
            numbers = candidate()
            assert next(numbers) == 0 and next(numbers) == 1
            assert iter(numbers) is numbers and numbers != [4]
            for n, square in zip(range(2, 50), numbers):
                assert square == n * n
        """,
        ("def squares(): return [0, 1, 4, 9, 16]", "def squares():\n    yield 0\n    yield 1"),
    ),
    "a generator that ends": _problem(
        '''
        def countdown(n):
            """ n, n - 1, ..., 1 one after the other. """
        ''',
        "while n:\n    yield n\n    n -= 1",
        """
        def check(candidate):
            assert list(candidate(4)) == [4, 3, 2, 1] and sum(candidate(10)) == 55
            assert not isinstance(candidate(2), list)
            numbers = candidate(1)
            next(numbers)
            try:
                next(numbers)
                assert False
            except StopIteration:
                pass
        """,
        ("def countdown(n): return list(range(n, 0, -1))", "def countdown(n): yield from range(n, 1, -1)"),
        right=("def countdown(n): return iter(range(n, 0, -1))", "def countdown(n): return map(abs, range(-n, 0))"),
    ),
    "a function": _problem(
        '''
        def compose(f, g):
            """ The function that applies g and then f. """
        ''',
        "return lambda x: f(g(x))",
        """
        def check(candidate):
            h = candidate(lambda x: x + 1, lambda x: x * 2)
            assert [h(x) for x in range(4)] == [1, 3, 5, 7]
            assert candidate(len, str)(12345) == 5
            assert candidate(sorted, list)("cab") == ["a", "b", "c"]
            assert candidate(h, h)(1) == 7
        """,
        ("def compose(f, g): return lambda x: g(f(x))", "def compose(f, g): return 7"),
    ),
    "a key function and keywords": _problem(
        '''
        def best(items, *, key=None, default=None):
            """ The item with the greatest key; the default where there is none. """
        ''',
        "return max(items, key=key, default=default)",
        """
        def check(candidate):
            seen = []
            def key(item):
                seen.append(item)
                return -len(item)
            assert candidate(["aaa", "b", "cc"], key=key) == "b"
            assert sorted(seen) == ["aaa", "b", "cc"]
            assert candidate([], default="none") == "none" and candidate(x for x in (1, 3, 2)) == 3
        """,
        "def best(items, *, key=None, default=None): return max(items, default=default)",
    ),
    "a class": _problem(
        '''
        from collections import deque


        class Queue:
            """ push(x), pop() in the order of pushing, len(), `in`, iteration, attribute `pushed`. """
        ''',
        """
        def __init__(self, items=()):
            self.items, self.pushed = deque(items), 0
        def push(self, x):
            self.items.append(x)
            self.pushed += 1
            return self
        def pop(self):
            return self.items.popleft()
        def __len__(self):
            return len(self.items)
        def __contains__(self, x):
            return x in self.items
        def __iter__(self):
            return iter(self.items)
        def __getitem__(self, i):
            return self.items[i]
        def __str__(self):
            return f"Queue{tuple(self.items)}"
        """,
        """
        def check(candidate):
            q = candidate([7])
            assert q.push(8).push(9) is q and q.pushed == 2
            assert len(q) == 3 and 8 in q and 5 not in q and q[1] == 8 and list(q) == [7, 8, 9]
            assert str(q) == "Queue(7, 8, 9)" and bool(q)
            q.pushed = 0
            q.push([1])
            assert q.pushed == 1 and [q.pop(), q.pop(), q.pop(), q.pop()] == [7, 8, 9, [1]] and not q
            try:
                q.pop()
                assert False
            except IndexError:
                pass
            assert not hasattr(q, "nothing") and candidate() is not candidate()
        """,
        ("class Queue(list):\n    push = list.append\n    pushed = 2",),
    ),
    "plain values of all kinds": _problem(
        '''
        def same(x):
            """ x, or what is equal to it and of its type. """
        ''',
        "return x",
        """
        def check(candidate):
            from collections import deque
            from decimal import Decimal
            from fractions import Fraction
            values = [0, -1, 2 ** 53, -(2 ** 53), 2 ** 5000, True, None, 1.5, -0.0, 1e300, float("inf"), 3 + 4j, ""]
            values += ["a\\u00e9\\ud800\\x00", b"\\x00ab", (), (1, (2, "x")), [], [[[]]], {}, {1: [2], "k": {3: (4,)}}]
            values += [{1, 2}, frozenset({1}), range(3), bytearray(b"ab"), Decimal("1.10"), Fraction(2, 3), str, int]
            for value in [*values, deque([1, [2]])]:
                answer = candidate(value)
                assert answer == value and type(answer) is type(value), value
            assert str(candidate(-0.0)) == "-0.0" and str(candidate(Decimal("1.10"))) == "1.10"
            nest = []
            for _ in range(200):
                nest = [nest]
            assert candidate(nest) == nest
            assert list(candidate({"b": 1, "a": 2})) == ["b", "a"]
        """,
        (
            "def same(x): return float(x) if type(x) is int else x",
            "def same(x): return list(x) if type(x) is tuple else x",
            "def same(x): return int(x) if x is True else x",
            "def same(x): return set(x) if type(x) is frozenset else x",
            "def same(x): return 0.0 if x == 0 else x",
        ),
    ),
    "not a number": _problem(
        '''
        def skip_nan(xs):
            """ xs as a list without its NaNs, or xs where there is none. """
        ''',
        "return [x for x in xs if x == x]",
        """
        def check(candidate):
            import math
            nan = float("nan")
            assert candidate([1.0, nan, 2.0]) == [1.0, 2.0] and candidate([nan, math.nan]) == []
            assert candidate([nan]) != [nan]
        """,
        "def skip_nan(xs): return list(xs)",
    ),
    "the same NaN": _problem(
        '''
        import math


        def first(xs):
            """ A list with the first item; with math.nan where there is none. """
        ''',
        "return xs[:1] or [math.nan]",
        """
        def check(candidate):
            import math
            nan = float("nan")
            assert candidate([nan, 1]) == [nan] and candidate([]) == [math.nan]
            assert candidate([nan])[0] is nan and candidate([math.nan]) != [nan]
        """,
        ("def first(xs): return [float('nan')]", "def first(xs): return xs[:1] or [float('nan')]"),
    ),
    "tuples and lists": _problem(
        '''
        def halves(xs):
            """ The two halves of xs as a tuple of lists. """
        ''',
        "return xs[: len(xs) // 2], xs[len(xs) // 2 :]",
        """
        def check(candidate):
            assert candidate([1, 2, 3]) == ([1], [2, 3])
            assert candidate([]) == ([], [])
            assert isinstance(candidate([1]), tuple)
        """,
        "def halves(xs): return [xs[: len(xs) // 2], xs[len(xs) // 2 :]]",
    ),
    "truth": _problem(
        '''
        def balanced(text):
            """ Whether the brackets of text are balanced. """
        ''',
        """
        depth = 0
        for c in text:
            depth += (c == "(") - (c == ")")
            if depth < 0:
                return False
        return depth == 0
        """,
        """
        def check(candidate):
            assert candidate("(())")
            assert not candidate("(()")
            assert not candidate(")(")
            assert candidate("") is True
        """,
        (
            "class Yes:\n    def __bool__(s): return True\n    __eq__ = lambda s, o: True\n"
            "def balanced(text): return Yes()",
            "def balanced(text): return text.count('(') == text.count(')')",
            "def balanced(text): return object()",
        ),
    ),
    "close to": _problem(
        '''
        def mean(xs):
            """ The mean of the numbers. """
        ''',
        "return sum(xs) / len(xs)",
        """
        def check(candidate):
            assert abs(candidate([1, 2]) - 1.5) < 1e-6
            assert abs(candidate([0.1] * 10) - 0.1) < 1e-6
        """,
        (
            "class Near:\n    __sub__ = __rsub__ = __abs__ = lambda s, *o: s\n    __lt__ = __eq__ = lambda s, o: True\n"
            "def mean(xs): return Near()",
            "class N(float):\n    __sub__ = lambda s, o: 0\n    __eq__ = lambda s, o: True\n    __hash__ = None\n"
            "def mean(xs): return N(0)",
            "def mean(xs): return float('nan')",
        ),
    ),
    "a bytearray, a set and a dictionary that are changed": _problem(
        '''
        def spread(key, table, names, data):
            """ Put key into all three. """
        ''',
        "table.setdefault(key, []).append(len(names))\nnames.add(key)\ndata.extend(key.encode())\nreturn table[key]",
        """
        def check(candidate):
            table, names, data = {}, set(), bytearray()
            first = candidate("a", table, names, data)
            assert candidate("b", table, names, data) == [1] and candidate("a", table, names, data) is first
            assert table == {"a": [0, 2], "b": [1]} and first == [0, 2] and names == {"a", "b"} and data == b"aba"
            names.clear()
            table["c"] = first
            assert candidate("c", table, names, data) is first and first == [0, 2, 0]
        """,
        "def spread(key, table, names, data): return [1]",
    ),
    "an object of the tests": _problem(
        '''
        def tree_sum(node):
            """ The sum of all values of a tree; a node has value, left and right, which may be None. """
        ''',
        "return 0 if node is None else node.value + tree_sum(node.left) + tree_sum(node.right)",
        """
        class Node:
            def __init__(self, value, left=None, right=None):
                self.value, self.left, self.right = value, left, right


        def check(candidate):
            assert candidate(None) == 0
            assert candidate(Node(1, Node(2, None, Node(3)), Node(4))) == 10
        """,
        "def tree_sum(node): return node.value if node else 0",
    ),
    "calls that are many": _problem(
        '''
        def is_prime(n):
            """ Whether n is prime. """
        ''',
        "return n > 1 and all(n % d for d in range(2, int(n ** 0.5) + 1))",
        """
        def check(candidate):
            found = [n for n in range(1000) if candidate(n)]
            assert len(found) == 168 and found[-1] == 997
            inputs = [[[k, [k] * 20]] for k in range(200)]
            results = [candidate(*inp[0][:1]) for inp in inputs]
            assert sum(results) == 46
        """,
        "def is_prime(n): return n > 1 and n % 2 == 1",
    ),
}
