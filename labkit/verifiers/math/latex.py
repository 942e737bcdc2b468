r"""One spelling for what is written in many: LaTeX and plain text tidied into a small common alphabet.

`tidy` is text in, text out, in time linear in the text. After it, `\dfrac`, `\left`, thin spaces, `\mathrm`, `−`, `π`,
`½`, `\leqslant`, dollar signs around a formula and the like are gone or have become one of the signs that
`expressions` and `answers` read.
"""

from __future__ import annotations

import re

__all__ = ["MAX_LENGTH", "ROW", "tidy"]

MAX_LENGTH = 1_000
"""Characters of an answer. A longer one is compared as a string alone."""

ROW = "↵"
"""The sign for the end of a matrix row."""

_CHARACTERS = {
    **dict.fromkeys("−–—﹣－", "-"),
    **dict.fromkeys("×·⋅∗✕", "*"),
    **dict.fromkeys("÷∕⁄", "/"),
    **dict.fromkeys("  \u2009\u202f\u2003", " "),
    "π": "\\pi ",
    "θ": "\\theta ",
    "α": "\\alpha ",
    "β": "\\beta ",
    "λ": "\\lambda ",
    "φ": "\\phi ",
    "√": "\\sqrt ",
    "½": "\\frac{1}{2}",
    "⅓": "\\frac{1}{3}",
    "⅔": "\\frac{2}{3}",
    "¼": "\\frac{1}{4}",
    "¾": "\\frac{3}{4}",
    "º": "°",
    "˚": "°",
    "∪": "\\cup ",
    "∩": "\\cap ",
    "∈": "\\in ",
    "Ø": "∅",
    "ℝ": "\\R ",
    "⇒": "\\implies ",
    "％": "%",
    "′": "'",
}
_CHARACTERS = str.maketrans(_CHARACTERS)
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")

_COMMANDS = {
    **dict.fromkeys(["left", "right", "displaystyle", "textstyle", "limits", "big", "Big", "bigg", "Bigg"], ""),
    **dict.fromkeys(["bigl", "bigr", "Bigl", "Bigr", "middle", "boldsymbol", "mathbf", "bm", "mathit"], ""),
    **dict.fromkeys(["quad", "qquad", "space", "hspace", "thinspace"], " "),
    **dict.fromkeys(["dfrac", "tfrac", "cfrac"], "\\frac"),
    **dict.fromkeys(["cdot", "times", "ast"], "*"),
    "div": "/",
    **dict.fromkeys(["le", "leq", "leqslant"], "≤"),
    **dict.fromkeys(["ge", "geq", "geqslant"], "≥"),
    **dict.fromkeys(["ne", "neq"], "≠"),
    "lt": "<",
    "gt": ">",
    **dict.fromkeys(["approx", "equiv", "simeq"], "≈"),
    "pm": "±",
    "infty": "∞",
    **dict.fromkeys(["emptyset", "varnothing"], "∅"),
    **dict.fromkeys(["lvert", "rvert", "vert", "mid"], "|"),
    **dict.fromkeys(["lbrace"], "\\{"),
    **dict.fromkeys(["rbrace"], "\\}"),
    **dict.fromkeys(["langle", "lparen"], "("),
    **dict.fromkeys(["rangle", "rparen"], ")"),
    **dict.fromkeys(["lbrack"], "["),
    **dict.fromkeys(["rbrack"], "]"),
    **dict.fromkeys(["degree", "degrees"], "°"),
    **dict.fromkeys(["textrm", "textbf", "textit", "textnormal", "mathrm", "mbox", "hbox", "textsf", "rm"], "\\text"),
    **dict.fromkeys(["varphi"], "\\phi"),
    **dict.fromkeys(["arcsin", "arccos", "arctan"], None),
    "percent": "%",
    "dots": "...",
    "ldots": "...",
    "cdots": "...",
    "lor": "\\text{or}",
    "vee": "\\text{or}",
    "land": "\\text{and}",
    "wedge": "\\text{and}",
}
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_SPACING = re.compile(r"\\[,!;: >]|~|&nbsp;")
_DEGREE = re.compile(r"\^ ?(?:\{ ?(?:\\circ|°) ?\}|\\circ(?![A-Za-z])|°)")
_THOUSANDS_BRACES = re.compile(r"(?<=[0-9])\{,\}(?=[0-9]{3}(?![0-9]))")
_BLACKBOARD = re.compile(r"\\(?:mathbb|Bbb) ?(?:\{([A-Z])\}|([A-Z]))")
_OPERATOR = re.compile(r"\\(?:operatorname\*?|mathop|mathrm) ?\{ ?(arcsin|arccos|arctan|sin|cos|tan|log|ln|exp) ?\}")
_SPACES = re.compile(r"\s+")
_ROW_SKIP = re.compile(r"\\\\ ?\[ ?-?[0-9.]+ ?[a-z]{2} ?\]")
_WRAPS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"))
_BOX = re.compile(r"\\(?:boxed|fbox) ?\{")


def tidy(text: str) -> str:
    r"""The text in the common alphabet; total, and linear in its length.

    >>> tidy(r"$\left( \dfrac12,\; 3 \right]$")
    '( \\frac12, 3 ]'
    >>> tidy(r"90^{\circ}"), tidy("x ≤ 2π"), tidy(r"5\,\mathrm{cm}^2.")
    ('90°', 'x ≤ 2\\pi', '5 \\text{cm}^2')
    >>> tidy(r"1{,}234"), tidy(r"\boxed{\{1, 2\}}")
    ('1234', '\\{1, 2\\}')
    """
    text = _unwrap(text)
    text = _ROW_SKIP.sub(r"\\\\", text)
    text = text.replace("\\\\", ROW if "\\begin" in text else "\\")  # a row's end, or a doubly escaped command
    text = text.translate(_CHARACTERS)
    text = _SUPERSCRIPTS.sub(lambda found: "^{" + found.group().translate(_SUPERSCRIPT) + "}", text)
    text = text.replace("<=", "≤").replace(">=", "≥").replace("!=", "≠").replace("**", "^")
    text = _THOUSANDS_BRACES.sub("", text)
    text = _SPACING.sub(lambda found: "" if found.group() == "\\!" else " ", text)
    text = _OPERATOR.sub(r"\\\1 ", text)
    text = _BLACKBOARD.sub(lambda found: "\\" + (found.group(1) or found.group(2)) + " ", text)
    text = _DEGREE.sub("°", text)
    text = _COMMAND.sub(_rename, text)
    text = _SPACES.sub(" ", text).strip()
    return text.rstrip(".,;: ") if not text.endswith("...") else text


def _rename(found: re.Match[str]) -> str:
    new = _COMMANDS.get(found.group(1))
    return found.group() if new is None else new


def _unwrap(text: str) -> str:
    """Without the marks of a formula, a box or bold letters around the whole."""
    for _ in range(6):
        text = text.strip()
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1].rstrip()
        for start, end in _WRAPS:
            inner = text[len(start) : -len(end)]
            if text.startswith(start) and text.endswith(end) and len(text) > len(start + end) and start not in inner:
                text = inner
                break
        else:
            box = _BOX.match(text)
            if box is None or not text.endswith("}") or not _balanced(text[box.end() : -1]):
                return text
            text = text[box.end() : -1]
    return text


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0
