r"""What an answer is: text becomes an expression, words, a set, an interval, a tuple, a matrix, an equation.

`read_answer` turns text into one of the kinds of `labkit.verifiers.math.kinds`. Brackets, commas and relation signs are
split here, so that `(1,2)`, `(1,2]`, `[1,2]` and `\{1,2\}` are different things from the start; what lies between them
is read by `expressions`, what relation signs say by `relations`. Everything has a reading: what is not understood
becomes a `Scalar` without a tree, which equals only what is spelt like it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from labkit.verifiers.math import relations
from labkit.verifiers.math.digits import based_number, is_grouped, mixed_in_words, plain_numbers
from labkit.verifiers.math.expressions import Unreadable, read_expression
from labkit.verifiers.math.kinds import (
    EMPTY,
    INTERVALS,
    REALS,
    Answer,
    Assignment,
    Equation,
    Group,
    Scalar,
    Words,
    of_tree,
    spelling,
    unread,
)
from labkit.verifiers.math.latex import MAX_LENGTH, ROW, tidy
from labkit.verifiers.math.measures import is_word, split_unit
from labkit.verifiers.math.sets import combine
from labkit.verifiers.math.symbolic import oversized

__all__ = ["Answer", "Assignment", "Equation", "Group", "Scalar", "Words", "read_answer"]

MAX_ITEMS = 40
"""Items of a set, tuple or matrix; an answer with more is compared as a string."""
MAX_SIDES = 6

_PLAIN = re.compile(r"-?[0-9]{1,300}(?:\.[0-9]{1,50})?")
_JOIN = re.compile(r"\\text ?\{ ?,? ?(and|or) ?\}|,? (and|or) ")
_JOINED_TEXT = re.compile(r"\\text ?\{([^{}]*)\}")
_NO_SOLUTION = re.compile(
    r"∅|\\\{ ?\\\}|(?:\\text ?\{ ?)?(?:there (?:is|are) )?no (?:real )?solutions?[ .]*\}?", re.IGNORECASE
)
_REALS = re.compile(
    r"\\R|(?:\\text ?\{ ?)?all (?:the )?real(?:s| numbers?| values?)(?: of [a-z])?[ .]*\}?", re.IGNORECASE
)
_REALS_SIGNED = re.compile(r"\\R ?(?:[_^] ?\{? ?(?P<sign>[-+*]) ?\}?|_ ?\{ ?(?P<relation>[<>≤≥≠]) ?0 ?\})")
_WORDS = re.compile(r"[Yy]es|[Nn]o|[Oo]dd|[Aa]ll|[A-Za-z][A-Za-z' -]{2,}|\(?\\text ?\{[^{}]*\}\)?[ .!]*")
_TEXT = re.compile(r"\\text ?\{([^{}]*)\}")
_CHOICES = re.compile(r"\\text ?\{ ?([A-Z](?:(?: ?, ?| and | or |, and )[A-Z])+) ?\}")
_CHOICE = re.compile(r"\(?([A-H])[).]")
_MATRIX = re.compile(
    r"[(\[]? ?\\begin ?\{(?:[pbB]?matrix|smallmatrix|array)\}(?: ?\{[clr|@ ]*\})?(.*)\\end ?\{[A-Za-z]+\} ?[)\]]?"
)
_SYSTEM = re.compile(
    r"(?:\\\{ ?)?\\begin ?\{(?:cases|aligned|align\*?|array)\}(?: ?\{[clr ]*\})?(.*)\\end ?\{[a-z]+\*?\}"
)
_RELATION = re.compile(r"\\in(?![A-Za-z])|\\notin|[=≈<>≤≥≠]")
_OPERATIONS = {"\\cup": "∪", "\\cap": "∩", "\\setminus": "∖"}
_OPERATION = re.compile(r"\\(?:cup|cap|setminus)(?![A-Za-z])|(?<=\\R) ?- ?(?=\\\{)")
_BUILDER = re.compile(r"(?P<name>[A-Za-z])(?: ?\\in ?(?P<domain>[^|:]*?))? ?[|:](?P<condition>.*)")


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
    if _PLAIN.fullmatch(text):
        return of_tree(text, read_expression(text))
    text = tidy(text)
    if "and" in text or "or" in text:
        text = mixed_in_words(_CHOICES.sub(r"\1", text))
        text = _JOIN.sub(lambda found: "∨" if "or" in (found.group(1), found.group(2)) else "∧", text)
        text = _JOINED_TEXT.sub(_apart, text)
    return _read(text, 0)


def _apart(found: re.Match[str]) -> str:
    r"""`\text{Ann∧Bob}` is two texts: signs that join stand outside of text."""
    parts = re.split("([∧∨])", found.group(1))
    return "".join(part if part in ("∧", "∨") else f"\\text{{{part}}}" if part.strip() else "" for part in parts)


def _read(text: str, depth: int) -> Answer:
    text = text.strip()
    if depth > 6:
        return unread(text, "brackets are too deep inside each other")
    fixed = _named(text)
    if fixed is not None:
        return fixed
    system = _SYSTEM.fullmatch(text) if "\\begin" in text else None
    if system and ("=" in text or ">" in text or "<" in text):
        text = "∧".join(row.replace("&", " ").strip(" ,;") for row in system.group(1).split(ROW) if row.strip(" ,;"))
    items, separators = _split(text, ",;∨∧")
    if len(items) > 1 and not is_grouped(text):
        return _several(items, separators, depth)
    relation = _relation(text, depth)
    if relation is not None:
        return relation
    combined = _combination(text, depth)
    if combined is not None:
        return combined
    matrix = _MATRIX.fullmatch(text) if "\\begin" in text else None
    if matrix:
        return _matrix(matrix.group(1), depth)
    brackets = _brackets(text)
    if brackets is not None:
        return _bracketed(text, brackets, depth)
    if text.count("±") == 1:
        return Group("list", tuple(_scalar(text.replace("±", sign).lstrip("+")) for sign in "+-"))
    return _scalar(text)


def _named(text: str) -> Answer | None:
    """Answers with a name: words, no solution, all real numbers."""
    if text[:1].isdigit():
        return None
    if _NO_SOLUTION.fullmatch(text):
        return EMPTY
    if _REALS.fullmatch(text):
        return REALS
    if _WORDS.fullmatch(text) and not _CHOICE.fullmatch(_TEXT.sub(r"\1", text).strip()):
        plain = _TEXT.sub(r" \1 ", text)
        if any(c.isdigit() for c in plain) or (len(plain.strip()) == 1 and "\\" in text):
            scalar = _scalar(plain.strip(" ()"))  # \text{5}, \text{E}
            if scalar.tree is not None:
                return scalar
        if "\\" in text or any(is_word(word) or word.lower() in ("no", "none") for word in re.split("[ '-]", plain)):
            return Words(" ".join(plain.lower().replace("(", " ").replace(")", " ").split()).strip(" .!"))
    signed = _REALS_SIGNED.fullmatch(text) if text.startswith("\\R") else None
    if signed:
        relation = signed["relation"] or {"+": ">", "-": "<", "*": "≠"}[signed["sign"]]
        return _read(f"x{relation}0", 0).value  # type: ignore[union-attr]
    return None


# ----------------------------------------------------------------------------------------------- brackets


def _split(text: str, separators: str) -> tuple[list[str], str]:
    """The pieces between separators that stand outside all brackets, and the separators."""
    if not any(separator in text for separator in separators):
        return [text], ""
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


def _brackets(text: str) -> str | None:
    r"""The kind of the brackets around the whole text, if one pair of them stands there."""
    opening = "{" if text.startswith("\\{") else text[:1]
    if opening not in ("(", "[", "{") or text[-1] not in ")]}":
        return None
    depth = 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and character in ")]}":
            return opening + text[-1] if place == len(text) - 1 else None
    return None


def _bracketed(text: str, kind: str, depth: int) -> Answer:
    escaped = text.startswith("\\{")
    inside = text[1 + escaped : -1].rstrip("\\").strip() if escaped else text[1:-1].strip()
    if kind == "{}" and escaped:
        builder = _BUILDER.fullmatch(inside)
        if builder:
            return _built(text, builder, depth)
    items, _ = _split(inside, ",;∧")
    if len(items) == 1 and (kind == "()" or (kind == "{}" and not escaped)):
        inner = _read(inside, depth + 1)
        return _scalar(text) if isinstance(inner, Scalar) else inner
    if len(items) > MAX_ITEMS or (kind not in ("{}", "()", "[]") and len(items) != 2):
        return unread(text, "brackets that do not match")
    read = tuple(_read(item, depth + 1) for item in items if item)
    return Group(kind, _flat(read) if kind == "{}" else read)


def _flat(items: tuple[Answer, ...]) -> tuple[Answer, ...]:
    r"""The items of a set with `±` among them: `\{1 \pm \sqrt5, -2\}` has three."""
    return tuple(
        x for item in items for x in (item.items if isinstance(item, Group) and item.kind == "list" else (item,))
    )


def _built(text: str, builder: re.Match[str], depth: int) -> Answer:
    r"""`\{x \in \mathbb{R} \mid x > 2\}`."""
    domain = builder["domain"]
    condition = _read(builder["condition"], depth + 1)
    if domain is not None:
        within = _read(domain, depth + 1)
        if within != REALS or not isinstance(condition, Assignment):
            return unread(text, "a set of numbers that are not all real")
    return condition.value if isinstance(condition, Assignment) else condition


def _matrix(body: str, depth: int) -> Answer:
    rows = [row.strip() for row in body.split(ROW)]
    cells = [[cell.strip() for cell in row.split("&")] for row in rows if row]
    flat = [cell for row in cells for cell in row]
    if not cells or len({len(row) for row in cells}) > 1 or len(flat) > MAX_ITEMS:
        return unread(body, "a matrix with rows of different lengths")
    return Group("matrix", tuple(_read(cell, depth + 1) for cell in flat), (len(cells), len(cells[0])))


def _combination(text: str, depth: int) -> Answer | None:
    """Sets joined, cut or taken away from each other: worked out where they are sets of numbers."""
    signs = [_OPERATIONS.get(found.group(), "∖") for found in _OPERATION.finditer(text)] if "\\" in text else []
    if not signs or len(signs) >= MAX_ITEMS:
        return None
    pieces, _ = _split(_OPERATION.sub("\0", text), "\0")
    if len(pieces) != len(signs) + 1 or not all(pieces):
        return None
    if {"∪", "∩"} <= set(signs):
        return unread(text, "unions and intersections without brackets")
    total = _read(pieces[0], depth + 1)
    for sign, piece in zip(signs, pieces[1:], strict=True):
        other = _read(piece, depth + 1)
        whole = (*total.items, other) if isinstance(total, Group) and total.kind == sign == "∪" else (total, other)
        total = combine(sign, total, other) or Group(sign, whole)
    return total


# ---------------------------------------------------------------------------------------------- relations


def _several(items: list[str], separators: str, depth: int) -> Answer:
    """A list: of values, or of relations that share a symbol."""
    if len(items) > MAX_ITEMS:
        return unread(",".join(items), f"more than {MAX_ITEMS} items")
    read = [_read(item, depth + 1) for item in items if item]
    if len(read) == 1:
        return read[0]
    first = read[0] if read else None
    if all(isinstance(item, Assignment) for item in read):
        values = tuple(item.value for item in read)  # type: ignore[union-attr]
        if len({item.name for item in read}) == 1:  # type: ignore[union-attr]
            sets = [isinstance(value, Group) and value.kind in (*INTERVALS, "∪") for value in values]
            if not all(sets):
                return Assignment(first.name, Group("list", values))  # type: ignore[union-attr]
            both = relations.joined(values, separators)
            return Assignment(first.name, both or Group("∪" if "∨" in separators else "∩", values))  # type: ignore[union-attr]
    elif isinstance(first, Assignment) and all(isinstance(item, Scalar | Words) for item in read[1:]):
        if "≠" in items[0]:  # x ≠ 1, 2
            points = Group("list", tuple(_read(item, depth + 1) for item in (items[0].partition("≠")[2], *items[1:])))
            return relations.inequation(first.name, points) or unread(",".join(items), "values that it does not have")
        # x = 1, 2: the name is said once
        return Assignment(first.name, Group("list", _flat((first.value, *read[1:]))))
    return Group("list", _flat(tuple(read)))


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
    if not pieces[0] and signs[0] in ("=", "≈"):  # = 5
        pieces, signs = pieces[1:], signs[1:]
        if not signs:
            return _read(pieces[0], depth + 1)
    if not all(pieces) or len(pieces) > MAX_SIDES:
        return unread(text, "a relation that could not be read")
    sides = [_read(piece, depth + 1) for piece in pieces]
    return _said(pieces, signs, sides) or unread(text, "a relation that could not be read")


def _said(pieces: list[str], signs: list[str], sides: list[Answer]) -> Answer | None:
    if set(signs) <= {"=", "≈"}:
        return relations.equality(pieces, signs, sides)
    if signs == ["\\in"]:
        return Assignment(pieces[0], sides[1])
    if set(signs) <= set("<≤") or set(signs) <= set(">≥"):
        return relations.inequality(signs, sides)
    name = relations.name_of(pieces[0], sides[0])
    return relations.inequation(name, sides[1]) if signs == ["≠"] and name else None


# ------------------------------------------------------------------------------------------------ scalars


def _scalar(text: str) -> Scalar:
    choice = _CHOICE.fullmatch(_TEXT.sub(r"\1", text).strip()) if text[-1:] in (")", ".", "}") else None
    if choice:
        return of_tree(choice.group(1), ("sym", choice.group(1)))
    based = based_number(text)
    if based is not None:
        return of_tree(based, ("sym", based)) if "_" in based else of_tree(based, read_expression(based))
    whole = plain_numbers(text)
    expression, unit, letter = split_unit(whole)
    scalar = _expression(plain_numbers(expression) if expression != whole else expression, unit)
    return replace(scalar, product=_expression(whole, "")) if letter else scalar


def _expression(text: str, unit: str) -> Scalar:
    try:
        tree = read_expression(text)
    except (Unreadable, RecursionError) as error:
        problem = oversized(text) or str(error)
        return Scalar(spelling(text), unit=unit, problem=problem, text=text)
    return of_tree(text, tree, unit)
