"""Rows in the very formats of MBPP and LiveCodeBench, made for the tests of `code`, with right and wrong programs."""

import json


def _mbpp(
    text: str,
    code: str,
    tests: list[str],
    wrong: str,
    setup: str = "",
    challenge: list[str] | None = None,
    imports: list[str] | None = None,
) -> dict:
    row = {"task_id": 0, "text": text, "code": code, "test_list": tests, "test_setup_code": setup}
    row["challenge_test_list"] = challenge or []
    if imports is not None:
        row["test_imports"] = imports
    return {"row": row, "wrong": wrong}


NODE = "class Node:\r\n  def __init__(self, value):\r\n    self.value = value\r\n    self.left = self.right = None\r\n"

MBPP = [
    _mbpp(
        "Write a function to find the items that two tuples share.",
        "def shared_items(a, b):\r\n  found = tuple(set(a) & set(b))\r\n  return (found)",
        [
            "assert set(shared_items((3, 4, 5), (5, 7, 4))) == set((4, 5))",
            "assert set(shared_items((1, 2), (3,))) == set(())",
        ],
        "def shared_items(a, b): return a",
    ),
    _mbpp(
        "Write a python function to tell whether a number is odd.",
        "def is_odd(n):\r\n    return n % 2 == 1",
        ["assert is_odd(2) == False", "assert is_odd(35) == True", "assert is_odd(-1) == True"],
        "def is_odd(n): return n % 2",
        challenge=["assert is_odd(10 ** 30 + 1) == True", "assert is_odd(7) is True"],
    ),
    _mbpp(
        "Write a function to find the n largest integers of a list, the largest first.",
        "import heapq as hq\r\ndef largest(nums, n):\r\n  return hq.nlargest(n, nums)",
        ["assert largest([25, 35, 22, 85], 3)==[85, 35, 25] ", " assert largest( [1], 1)==[1]\n"],
        "def largest(nums, n): return sorted(nums)[-n:]",
    ),
    _mbpp(
        "Write a function for the area of a circle.",
        "import math\r\ndef circle(r):\r\n  return math.pi * r ** 2",
        ["assert math.isclose(circle(10), 314.15926, rel_tol=0.001)", "assert math.isclose(circle(0), 0.0)"],
        "def circle(r): return 3 * r * r",
        imports=["import math"],
    ),
    _mbpp(
        "Write a function for the polar form of a complex number.",
        "import cmath\r\ndef polar(x, y):\r\n  z = complex(x, y)\r\n  return cmath.polar(z)",
        ["assert polar(3, 4)==(5.0, 0.9272952180016122)", "assert polar(0, 0)==(0.0, 0.0)"],
        "def polar(x, y): return [(x * x + y * y) ** 0.5, 0.9272952180016122]",
    ),
    _mbpp(
        "Write a function for the height of a binary tree.",
        NODE + "def height(node):\r\n  if node is None:\r\n    return 0\r\n"
        "  return max(height(node.left), height(node.right)) + 1",
        ["assert (height(root)) == 3", "assert (height(root.left)) == 2", "assert (height(one)) == 1"],
        NODE + "def height(node):\r\n  return 0 if node is None else height(node.left) + 1",
        setup="root = Node(1) \r\nroot.left = Node(2) \r\nroot.right = Node(3) \r\nroot.left.right = Node(4) \r\n"
        "one = Node(0)",
    ),
    _mbpp(
        "Write a function to remove all values of a data type from a tuple.",
        "def remove_type(values, kind):\r\n  return [x for x in values if not isinstance(x, kind)]",
        ["assert remove_type((4, 5, 7.7, 1.2), int) == [7.7, 1.2]", "assert remove_type((7, 'a'), str) == [7]"],
        "def remove_type(values, kind): return [x for x in values if isinstance(x, kind)]",
    ),
    _mbpp(
        "Write a function to count how often each item stands in a list.",
        "import collections\r\ndef freq(xs):\r\n  return collections.Counter(xs)",
        ["assert freq([10, 10, 20])==({10: 2, 20: 1})", "assert freq([])==({})"],
        "def freq(xs): return {x: 1 for x in xs}",
    ),
    _mbpp(
        "Write a function to match a letter followed by one or more digits with a regex.",
        'import re\r\ndef match(text):\r\n  return "Found" if re.search("[a-z][0-9]+", text) else "Not found"',
        ['assert match("ab12")==("Found")', "assert match(\"Py'\")==('Not found')"],
        'def match(text): return "Found"',
    ),
    _mbpp(
        "Write a function to square each item with a lambda function.",
        "def squares(xs):\r\n  return list(map(lambda x: x ** 2, xs))",
        ["assert squares([1, 2, 3])==[1, 4, 9]", "assert squares([12,15])==([144,225])"],
        "def squares(xs): return map(lambda x: x ** 2, xs)",
    ),
    _mbpp(
        "Write a function to sum the digits of a big number.",
        "def digit_sum(n):\r\n  return sum(int(c) for c in str(n))",
        ["assert all(digit_sum(10 ** k) == 1 for k in range(30))", "assert digit_sum(345)==12"],
        "def digit_sum(n): return 1 if n < 10 ** 29 else 12",
    ),
    _mbpp(
        "Write a function to sort a list in place.",
        "def sort_it(xs):\r\n  xs.sort()",
        ["xs = [3, 1, 2]\nsort_it(xs)\nassert xs == [1, 2, 3]", "ys = []; sort_it(ys); assert ys == []"],
        "def sort_it(xs): return sorted(xs)",
    ),
    _mbpp(
        "Write a function to find the first repeated character.",
        "def first_repeated(s):\r\n  for i, c in enumerate(s):\r\n    if c in s[:i]:\r\n      return c\r\n"
        '  return "None"',
        ['assert first_repeated("abcabc") == "a"', 'assert first_repeated("abc") == "None"'],
        "def first_repeated(s): return next((c for i, c in enumerate(s) if c in s[:i]), None)",
    ),
    _mbpp(
        "Write a function for the maximum of two numbers, named as the built-in is.",
        "def max(a, b):\r\n  return a if a > b else b",
        ["assert max(5, 10)==10", "assert max(-1, -2)==-1"],
        "def max(a, b): return b",
    ),
    _mbpp(
        "Write a function to interleave lists.",
        "def interleave(a, b):\r\n  return [x for pair in zip(a, b) for x in pair]",
        ["assert interleave([1, 2], [3, 4]) == [1, 3, 2, 4]", "assert interleave([], []) == []"],
        "def interleave(a, b): return zip(a, b)",
        setup="import itertools",
    ),
    _mbpp(
        "Write a function to shift and scale, with an offset that the tests keep.",
        "def scale(x, k):\r\n  return x * k",
        ["assert scale(3, K) == expected", "assert scale(0, K) == 0"],
        "expected = K = 0\ndef scale(x, k): return 0",
        setup="K = 4\nexpected = 12",
    ),
    _mbpp(
        "Write a function for the square root, close enough.",
        "def root(x):\r\n  guess = x\r\n  for _ in range(60):\r\n    guess = (guess + x / guess) / 2\r\n  return guess",
        [
            "assert abs(root(4) - 2) < 1e-6",
            "assert round(root(2), 3) == 1.414",
            "assert root(9) > 2.9 and root(9) < 3.1",
        ],
        "def root(x): return x / 2",
    ),
    _mbpp(
        "Write two functions, one for the mean and one for the spread.",
        "def mean(xs):\r\n  return sum(xs) / len(xs)\r\ndef spread(xs):\r\n  return max(xs) - min(xs)",
        ["assert mean([1, 2, 3]) == 2", "assert spread([1, 5]) == 4", "assert mean([1, 3]) == spread([1, 3])"],
        "def mean(xs): return 2\ndef spread(xs): return max(xs)",
    ),
    _mbpp(
        "Write a function to join keys of a dictionary that a value is true for.",
        "def true_keys(d: Dict[str, bool]) -> str:\r\n  return ','.join(sorted(k for k, v in d.items() if v))",
        ["assert true_keys({'b': True, 'a': 1, 'c': 0}) == 'a,b'", "assert true_keys({}) == ''"],
        "def true_keys(d): return ','.join(d)",
    ),
    _mbpp(
        "Write a function that raises ValueError for a negative number.",
        "def checked(n):\r\n  if n < 0:\r\n    raise ValueError('negative')\r\n  return n",
        ["try:\n    checked(-1)\n    assert False\nexcept ValueError:\n    pass", "assert checked(3) == 3"],
        "def checked(n): return n",
    ),
]


def _live(wrong: str, right: list[str], fn_name: str | None = None, **cases: list) -> dict:
    data = {**cases, "fn_name": fn_name} if fn_name else cases
    return {"reference": {"input_output": json.dumps(data)}, "right": right, "wrong": wrong}


LIVE = [
    _live(
        "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n        return [0, 1]",
        [
            "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n        seen = {}\n"
            "        for i, x in enumerate(nums):\n            if target - x in seen: return [seen[target - x], i]\n"
            "            seen[x] = i",
            "def twoSum(nums, target):\n    return next((i, j) for j in range(len(nums)) for i in range(j)"
            " if nums[i] + nums[j] == target)",
        ],
        "twoSum",
        inputs=["[2, 7, 11, 15]\n9", "[3, 2, 4]\n6"],
        outputs=["[0, 1]", "[1, 2]"],
    ),
    _live(
        "class Solution:\n    def label(self, s): return {'a': [1]}",
        [
            "class Solution:\n    def __init__(self): self.made = 0\n    def label(self, s):\n"
            "        return defaultdict(list, {k: [i for i, c in enumerate(s) if c == k] for k in s})",
        ],
        "label",
        inputs=['"a"', '"aba"', '""'],
        outputs=['{"a": [0]}', '{"a": [0, 2], "b": [1]}', "{}"],
    ),
    _live(
        "a, b = map(int, input().split())\nprint(a * b)",
        [
            "a, b = map(int, input().split())\nprint(a + b)",
            "import sys\ndef main():\n    data = sys.stdin.read().split()\n    print(sum(map(int, data)))\nmain()",
            "def solve():\n    print(float(sum(map(int, stdin.readline().split()))))\n"
            "if __name__ == '__main__':\n    solve()",
            "a, b = map(int, input().split())\nprint(f'  {a + b}')\nexit()",
        ],
        inputs=["1 2\n", "10 -4\n"],
        outputs=["3\n", "6\n"],
    ),
    _live(
        "n = int(input())\nfor _ in range(n): print(input())",
        ["n = int(input())\nq = deque()\nfor _ in range(n): q.append(input())\nprint('\\n'.join(reversed(q)))"],
        inputs=["2\na\nb", "1\nx y"],
        outputs=["b\na", "x y"],
    ),
    _live(
        "def f(x): return x",
        ["def f(x): return x + 1", "class Solution:\n    def f(self, x):\n        return x + 1"],
        "f",
        # APPS: arguments as a list, the answer alone or in a list.
        inputs=[[1], [2.5], [-1]],
        outputs=[[2], 3.5, [0]],
    ),
    _live(
        "def big(n): return list(range(n + 1))",
        ["def big(n): return list(range(n))", "def big(n): return tuple(range(n))"],
        "big",
        inputs=["150000", "0"],
        outputs=[json.dumps(list(range(150_000))), "[]"],
    ),
]  # fmt: skip
