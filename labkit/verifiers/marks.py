r"""Marks that are no part of an answer: of emphasis, of quotation, and around formulas.

Everything here is text in, text out; a `**` or `$` that is a power or money stays.
"""

from __future__ import annotations

import re

__all__ = [
    "COMMANDS",
    "FORMULA",
    "LATEX_WORD",
    "PROSE",
    "is_prose",
    "unwrap",
    "without_emphasis",
    "without_formula_marks",
]

_PAIRS = (
    *[(mark, mark) for mark in ("***", "**", "*", "__", "_", "`", "$$", "$", '"', "'")],
    *[("\\(", "\\)"), ("\\[", "\\]"), ("“", "”"), ("„", "“"), ("«", "»"), ("‘", "’"), ("「", "」"), ("『", "』")],
)
_PAIRS_OF = {start[0]: [pair for pair in _PAIRS if pair[0][0] == start[0]] for start, _ in _PAIRS}
_EMPHASIS = re.compile(r"(?<![\w*)\]}\\])(\*{1,3}|_{1,3}|`{1,2})(?=[^\s*_`])([^*_`\n{}]{1,120}?)(?<=\S)\1(?![\w*({])")
_LOOSE_STARS = re.compile(r"\*\*(?!\s?[0-9(])|(?<![0-9)])(?<![0-9)] )\*\*")  # but not the ** of 2**3
_HTML = re.compile(r"</?(?:b|strong|i|em|u|mark|span|p|font)>|<br ?/?>")
LATEX_WORD = r"\\(?:text(?:rm|bf|it)?|math(?:rm|bf|it)|mbox|operatorname) ?\{[^{}]*\}"
FORMULA = re.compile(
    r"\$\$[^$]+\$\$|(?<![\\$])\$(?=[^\s$])[^$\n]*?(?<=[^\s\\])\$(?![0-9$])|(?<![\\$])\$ [^$\n]+? \$(?![0-9$])|"
    r"\\\([^$\n]*?\\\)|\\\[[^$]*?\\\]"
)
COMMANDS = re.compile(rf"{LATEX_WORD}|\\[A-Za-z]+")
PROSE = re.compile(r"(?!(?:sin|cos|tan|log|sqrt|exp|or|and|ln|pi|mod|gcd|lcm|max|min)\b)[A-Za-z]{2,}")
_SENTENCE = re.compile(r"[A-Za-z]{3,} [A-Za-z]{2,}|^[0-9.,]+ [a-z]{2,}")


def without_emphasis(text: str) -> str:
    """Without the marks of Markdown and HTML for bold, italics and code around words and numbers.

    >>> without_emphasis("**Total:** *18* eggs, `5`, <b>6</b>, 2**3 and x*y*z")
    'Total: 18 eggs, 5, 6, 2**3 and x*y*z'
    """
    if "*" in text or "_" in text or "`" in text:
        text = _EMPHASIS.sub(r"\2", text)
        text = _LOOSE_STARS.sub("", text) if "**" in text else text
    return _HTML.sub("", text) if "<" in text else text


def without_formula_marks(text: str) -> str:
    r"""Without the dollar signs and brackets around the formulas of a text; amounts of money keep theirs.

    >>> without_formula_marks(r"$5$ and \(6\) apples"), without_formula_marks("from $5 to $6")
    ('5 and 6 apples', 'from $5 to $6')
    """
    if "\\(" in text or "\\[" in text:
        text = re.sub(r"(?<!\\)\\[()\[\]]", "", text)
    if text.count("$") < 2:
        return text
    return FORMULA.sub(lambda found: found.group() if is_prose(found.group()) else found.group().strip("$"), text)


def is_prose(formula: str) -> bool:
    """Whether what stands between two dollar signs is prose between two amounts of money."""
    if formula[0] != "$" or formula[1] == "$":
        return False
    inner = COMMANDS.sub(" ", formula[1:-1])
    return (PROSE if inner[:1] == " " else _SENTENCE).search(inner) is not None


def unwrap(text: str) -> str:
    r"""A text without the marks of emphasis, quotation and formulas that stand around the whole of it.

    >>> [unwrap(text) for text in ("**$18$**", "“18”.", "« 18 »", "$5 and $6", "'5'", "*a* or *b*", r"\( x \)")]
    ['18', '18', '18', '$5 and $6', '5', '*a* or *b*', 'x']
    """
    text = text.strip()
    for _ in range(6):
        bare = text.rstrip(".,;: ")
        for start, end in _PAIRS_OF.get(text[:1], ()):
            inner = bare[len(start) : len(bare) - len(end)]
            wraps = len(bare) > len(start) + len(end) and bare.startswith(start) and bare.endswith(end)
            if wraps and inner.strip() and start not in inner and end not in inner:
                text = inner.strip()
                break
        else:
            return text
    return text
