r"""What an answer is: an expression, words, a set, an interval, a tuple, a matrix, an equation or an inequality.

`read_answer` turns text into one of these. Brackets, commas and relation signs are split here, so that `(1,2)`,
`(1,2]`, `[1,2]` and `\{1,2\}` are different things from the start; what lies between them is read by `expressions`.
Everything has a reading: what is not understood becomes a `Scalar` without a tree, which equals only what is spelt
like it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from labkit.verifiers.math.expressions import Tree, Unreadable, negative, read_expression
from labkit.verifiers.math.latex import MAX_LENGTH, ROW, tidy
from labkit.verifiers.math.measures import split_unit
from labkit.verifiers.math.polynomials import Form, TooLarge, normal_form

__all__ = ["Answer", "Assignment", "Equation", "Group", "Scalar", "Words", "read_answer"]

MAX_ITEMS = 40
"""Items of a set, tuple or matrix; an answer with more is compared as a string."""


@dataclass(frozen=True)
class Scalar:
    """A number or expression. `tree` is None where it could not be read, `form` where it is too large or undefined.

    `source` is the text without spaces; `text` keeps them where there is no tree.
    """

    source: str
    tree: Tree | None = None
    form: Form | None = None
    unit: str = ""
    problem: str = ""
    text: str = field(default="", compare=False)

    @property
    def percent(self) -> bool:
        return self.unit == "%"


@dataclass(frozen=True)
class Words:
    """Text, in lower case."""

    text: str


@dataclass(frozen=True)
class Group:
    """Several answers: `kind` is the pair of brackets, `list` (commas alone), `{}` (a set), `union` or `matrix`."""

    kind: str
    items: tuple[Answer, ...]
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Assignment:
    """`name = value`, and `x in S`, which gives x the value S."""

    name: str
    value: Answer


@dataclass(frozen=True)
class Equation:
    """`left = 0` (or `left < 0`, `left <= 0`), for what does not give one symbol a value."""

    relation: str
    left: Scalar


Answer = Scalar | Words | Group | Assignment | Equation

EMPTY = Group("{}", ())
_INFINITY = ("sym", "∞")
_JOIN = re.compile(r"\\text ?\{ ?,? ?(and|or) ?\}|,? (and|or) ")
_NO_SOLUTION = re.compile(
    r"∅|\\\{ ?\\\}|(?:\\text ?\{)?(?:there (?:is|are) )?no (?:real )?solutions?\}?", re.IGNORECASE
)
_WORDS = re.compile(r"(?:[Yy]es|[Nn]o|[Oo]dd|[Aa]ll|[A-Za-z][A-Za-z' -]{3,}|\(?\\text ?\{[^{}]*\}\)?[ .!]*)")
_TEXT = re.compile(r"\\text ?\{([^{}]*)\}")
_CHOICES = re.compile(r"\\text ?\{ ?([A-Z](?:(?: ?, ?| and | or |, and )[A-Z])+) ?\}")
_REPEATING = re.compile(r"([0-9]{0,20})\.([0-9]{0,20})(?:\\(?:overline|bar) ?\{([0-9]{1,20})\}|\(([0-9]{1,20})\))")
_MATRIX = re.compile(
    r"[(\[]? ?\\begin ?\{(?:[pbB]?matrix|smallmatrix|array)\}(?: ?\{[clr| ]*\})?(.*)\\end ?\{[A-Za-z]+\} ?[)\]]?"
)
_FUNCTION = re.compile(r"[A-Za-z]'*\([A-Za-z, ]{1,12}\)")
_RELATION = re.compile(r"\\in(?![A-Za-z])|\\notin|[=≈<>≤≥≠]")
_MIRROR = {"<": ">", ">": "<", "≤": "≥", "≥": "≤"}
_CHOICE = re.compile(r"\(?([A-H])[).]")


def read_answer(text: str) -> Answer:
    r"""The reading of a text; total, with time and memory bounded by its length.

    >>> read_answer(r"\{1, 2\}").kind, read_answer("(1, 2]").kind
    ('{}', '(]')
    >>> read_answer("x = 5").name, read_answer(r"\text{No}").text
    ('x', 'no')
    >>> read_answer(r"3 \text{ cm}").unit
    'cm'
    """
    if len(text) > MAX_LENGTH:
        return Scalar(" ".join(text.split()), problem=f"longer than {MAX_LENGTH} characters")
    return _read_short(text)


@lru_cache(maxsize=8192)
def _read_short(text: str) -> Answer:
    text = tidy(text)
    text = _CHOICES.sub(r"\1", text)
    joined = _JOIN.sub(lambda found: "∨" if "or" in (found.group(1), found.group(2)) else "∧", text)
    return _read(joined, 0)


def _read(text: str, depth: int) -> Answer:
    text = text.strip()
    if depth > 6:
        return Scalar(_key(text), problem="brackets are too deep inside each other")
    if _NO_SOLUTION.fullmatch(text):
        return EMPTY
    if _WORDS.fullmatch(text) and not _choice(text):
        plain = _TEXT.sub(r" \1 ", text).lower().replace("(", " ").replace(")", " ")
        return Words(" ".join(plain.split()).strip(" .!"))
    items, separators = _split(text, ",;∨∧")
    if len(items) > 1 and not _is_number_with_commas(text):
        return _several(items, separators, depth)
    relation = _relation(text, depth)
    if relation is not None:
        return relation
    pieces = _split_words(text, "\\cup")
    if len(pieces) > 1 and len(pieces) <= MAX_ITEMS:
        return Group("union", tuple(_read(piece, depth + 1) for piece in pieces))
    if text == "\\R":
        return Group("()", (_scalar("-∞"), _scalar("∞")))
    matrix = _MATRIX.fullmatch(text)
    if matrix:
        return _matrix(matrix.group(1), depth)
    brackets = _brackets(text)
    if brackets is not None:
        return _bracketed(text, brackets, depth)
    if "±" in text and text.count("±") == 1:
        return Group("list", tuple(_scalar(text.replace("±", sign).lstrip("+")) for sign in "+-"))
    return _scalar(text)


def _key(text: str) -> str:
    return re.sub(r"([_^])\{([0-9A-Za-z])\}", r"\1\2", "".join(text.split()))


def _as_fraction(found: re.Match[str]) -> str:
    r"""`0.1\overline{6}` as a fraction: with n digits before the r that repeat, over 10^n (10^r - 1)."""
    whole, fixed, repeated = found.group(1) or "0", found.group(2), found.group(3) or found.group(4)
    over = int(whole + fixed + repeated) - int(whole + fixed)
    return f"\\frac{{{over}}}{{{10 ** len(fixed) * (10 ** len(repeated) - 1)}}}"


def _choice(text: str) -> re.Match[str] | None:
    return _CHOICE.fullmatch(_TEXT.sub(r"\1", text).strip())


# ----------------------------------------------------------------------------------------------- brackets


def _split(text: str, separators: str) -> tuple[list[str], str]:
    """The pieces between separators that stand outside all brackets, and the separators."""
    pieces, found, depth, start = [], "", 0, 0
    for place, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0 and character in separators:
            pieces.append(text[start:place].strip())
            found += character
            start = place + 1
    return [*pieces, text[start:].strip()], found


def _split_words(text: str, command: str) -> list[str]:
    if command not in text:
        return [text]
    return _split(re.sub(re.escape(command) + "(?![A-Za-z])", "\0", text), "\0")[0]


def _is_number_with_commas(text: str) -> bool:
    return re.fullmatch(r"[-+]?(?:\\?\$)? ?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?(?![0-9,])[^,;∨∧]*", text) is not None


def _brackets(text: str) -> str | None:
    r"""The kind of the brackets around the whole text, if one pair of them stands there."""
    opening = "{" if text.startswith("\\{") else text[:1]
    if opening not in ("(", "[", "{") or (opening == "{" and not (text.startswith("\\{") and text.endswith("\\}"))):
        return None
    if text[-1] not in ")]}":
        return None
    depth = 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and character in ")]}":
            return opening + text[-1] if place == len(text) - 1 else None
    return None


def _bracketed(text: str, kind: str, depth: int) -> Answer:
    width = 2 if kind == "{}" else 1
    inside = text[width:-width].strip()
    if kind == "{}":
        builder = re.fullmatch(r"([A-Za-z]) ?[|:](.*)", inside)
        if builder:
            condition = _read(builder.group(2), depth + 1)
            return condition.value if isinstance(condition, Assignment) else condition
    items, _ = _split(inside, ",;")
    if len(items) == 1 and kind in ("()", "{}"):
        inner = _read(inside, depth + 1)
        if kind == "()":
            return _scalar(text) if isinstance(inner, Scalar) else inner
    if len(items) > MAX_ITEMS or (kind not in ("{}", "()", "[]") and len(items) != 2):
        return Scalar(_key(text), problem="brackets that do not match")
    return Group(kind, tuple(_read(item, depth + 1) for item in items if item))


def _matrix(body: str, depth: int) -> Answer:
    rows = [row.strip() for row in body.split(ROW)]
    cells = [[cell.strip() for cell in row.split("&")] for row in rows if row]
    flat = [cell for row in cells for cell in row]
    if not cells or len({len(row) for row in cells}) > 1 or len(flat) > MAX_ITEMS:
        return Scalar(_key(body), problem="a matrix with rows of different lengths")
    return Group("matrix", tuple(_read(cell, depth + 1) for cell in flat), (len(cells), len(cells[0])))


# ---------------------------------------------------------------------------------------------- relations


def _several(items: list[str], separators: str, depth: int) -> Answer:
    """A list: of values, or of relations that share a symbol."""
    if len(items) > MAX_ITEMS:
        return Scalar(_key(",".join(items)), problem=f"more than {MAX_ITEMS} items")
    read = [_read(item, depth + 1) for item in items if item]
    if len(read) == 1:
        return read[0]
    if all(isinstance(item, Assignment) for item in read):
        values = tuple(item.value for item in read)  # type: ignore[union-attr]
        if len({item.name for item in read}) == 1:  # type: ignore[union-attr]
            if not all(isinstance(value, Group) and value.kind in _INTERVALS for value in values):
                return Assignment(read[0].name, Group("list", values))  # type: ignore[union-attr]
            if "∧" in separators or set(separators) == {","}:
                both = _intersection(*values) if len(values) == 2 else None  # type: ignore[arg-type]
                return Assignment(read[0].name, both or Group("intersection", values))  # type: ignore[union-attr]
            return Assignment(read[0].name, Group("union", values))  # type: ignore[union-attr]
    elif isinstance(read[0], Assignment) and all(isinstance(item, Scalar | Words) for item in read[1:]):
        # x = 1, 2: the name is said once
        return Assignment(read[0].name, Group("list", (read[0].value, *read[1:])))
    return Group("list", tuple(read))


_INTERVALS = ("()", "[]", "(]", "[)")


def _intersection(a: Group, b: Group) -> Group | None:
    """x > 1 and x < 2 as one interval, when one of them bounds from below and the other from above."""
    low = next((g for g in (a, b) if g.items[0].tree not in (_INFINITY, negative(_INFINITY))), None)  # type: ignore[union-attr]
    high = next((g for g in (a, b) if g.items[1].tree != _INFINITY), None)  # type: ignore[union-attr]
    if low is None or high is None or low is high:
        return None
    return Group(low.kind[0] + high.kind[1], (low.items[0], high.items[1]))


def _relation(text: str, depth: int) -> Answer | None:
    pieces, signs, start, level = [], [], 0, 0
    marks = {found.start(): found.group() for found in _RELATION.finditer(text)}
    if not marks:
        return None
    for place, character in enumerate(text):
        level += (character in "([{") - (character in ")]}")
        if level == 0 and place in marks:
            pieces.append(text[start:place].strip())
            signs.append(marks[place])
            start = place + len(marks[place])
    if not signs:
        return None
    pieces.append(text[start:].strip())
    unread = Scalar(_key(text), problem="a relation that could not be read")
    if not all(pieces) or len(pieces) > 6:
        return unread
    sides = [_read(piece, depth + 1) for piece in pieces]
    if set(signs) <= {"=", "≈"}:
        return _equality(pieces, sides) or unread
    if signs == ["\\in"]:
        return Assignment(pieces[0], sides[1])
    if set(signs) <= set("<≤") or set(signs) <= set(">≥"):
        return _inequality(signs, sides) or unread
    if signs == ["≠"] and (name := _name(pieces[0], sides[0])) and isinstance(sides[1], Scalar):
        below, above = Group("()", (_scalar("-∞"), sides[1])), Group("()", (sides[1], _scalar("∞")))
        return Assignment(name, Group("union", (below, above)))
    return unread


def _name(piece: str, side: Answer) -> str | None:
    """What stands for a quantity: x, f(x), (x, y), a word, a sign that is no part of an expression."""
    if isinstance(side, Words):
        return side.text
    if isinstance(side, Group):
        return _key(piece) if all(_name("", item) for item in side.items) and side.items else None
    if isinstance(side, Scalar):
        if side.tree is None and not any(c.isdigit() for c in piece):
            return _key(piece)
        if side.tree and side.tree[0] == "sym" and side.tree[1] not in ("pi", "e", "∞"):
            return side.tree[1]
        if _FUNCTION.fullmatch(piece):
            return _key(piece)
    return None


def _equality(pieces: list[str], sides: list[Answer]) -> Answer | None:
    """A chain of equal sides: the value of a name, or one value where all sides are equal; else an equation."""
    names = [_name(piece, side) for piece, side in zip(pieces, sides, strict=True)]
    values = [side for side, name in zip(sides, names, strict=True) if name is None]
    if not values:  # y = x: the first is the name
        values, names = [sides[-1]], names[:-1]
    named = [name for name in names if name]
    forms = {value.form.key() if isinstance(value, Scalar) and value.form else repr(value) for value in values}
    if len(forms) == 1:
        return Assignment(named[0], values[-1]) if named else values[-1]
    scalars = [side for side in sides if isinstance(side, Scalar) and side.tree]
    if len(sides) == 2 and len(scalars) == 2:
        return Equation("=", _difference(*scalars))
    # x = 2 + 3 = 5 with a side that is no rational number: what it ends with is what it says.
    if named and len(scalars) == len(sides) and not any(v.form is None or v.form.symbols() for v in values):  # type: ignore[union-attr]
        return Assignment(named[0], values[-1]) if len({v.form.key() for v in values}) == 1 else None  # type: ignore[union-attr]
    return None


def _inequality(signs: list[str], sides: list[Answer]) -> Answer | None:
    if signs[0] in ">≥":
        signs, sides = [_MIRROR[sign] for sign in reversed(signs)], sides[::-1]
    if not all(isinstance(side, Scalar) and side.tree for side in sides):
        return None
    names = [_name("", side) for side in sides]
    if len(sides) == 2 and names[0] and not names[1]:
        return Assignment(names[0], Group("(" + ("]" if signs[0] == "≤" else ")"), (_scalar("-∞"), sides[1])))
    if len(sides) == 2 and names[1] and not names[0]:
        return Assignment(names[1], Group(("[" if signs[0] == "≤" else "(") + ")", (sides[0], _scalar("∞"))))
    if len(sides) == 3 and names[1]:
        kind = ("[" if signs[0] == "≤" else "(") + ("]" if signs[1] == "≤" else ")")
        return Assignment(names[1], Group(kind, (sides[0], sides[2])))
    if len(sides) == 2:
        return Equation(signs[0], _difference(*sides))  # type: ignore[arg-type]
    return None


def _difference(a: Scalar, b: Scalar) -> Scalar:
    return _with_form(f"{a.source}-({b.source})", ("+", a.tree, negative(b.tree)))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ scalars


def _scalar(text: str) -> Scalar | Words:
    choice = _choice(text)
    if choice:
        return Scalar(choice.group(1), ("sym", choice.group(1)), normal_form(("sym", choice.group(1))))
    text, unit = split_unit(text)
    if _is_number_with_commas(text):
        text = text.replace(",", "")
    text = _REPEATING.sub(_as_fraction, text)
    letter = re.fullmatch(r"\\text ?\{ ?([A-Za-z]) ?\}", text)
    if letter:
        text = letter.group(1)
    try:
        tree = read_expression(text)
    except (Unreadable, RecursionError) as error:
        return Scalar(_key(text), unit=unit, problem=str(error), text=text)
    return _with_form(text, tree, unit)


def _with_form(text: str, tree: Tree, unit: str = "") -> Scalar:
    if _mentions_infinity(tree) and tree not in (_INFINITY, negative(_INFINITY)):
        return Scalar(_key(text), None, None, unit, "infinity inside an expression")
    try:
        return Scalar(_key(text), tree, normal_form(tree), unit)
    except (TooLarge, ZeroDivisionError, RecursionError) as error:
        return Scalar(_key(text), tree, None, unit, str(error))


def _mentions_infinity(tree: Tree) -> bool:
    return tree == _INFINITY or any(isinstance(part, tuple) and _mentions_infinity(part) for part in tree[1:])
