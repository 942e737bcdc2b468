r"""One spelling for what is written in many: LaTeX and plain text tidied into a small common alphabet.

`tidy` is text in, text out, in time linear in the text. After it, `\dfrac`, `\left`, thin spaces, `\mathrm`, `−`, `π`,
`½`, `\leqslant`, colours, boxes, dollar signs around a formula and the like are gone or have become one of the signs
that `expressions` and `answers` read.
"""

from __future__ import annotations

import re

__all__ = ["MAX_LENGTH", "ROW", "tidy"]

MAX_LENGTH = 1_000
"""Characters of an answer. A longer one is compared as a string alone."""

ROW = "↵"
"""The sign for the end of a matrix row."""

_LETTERS = "alpha beta gamma delta epsilon theta lambda mu pi rho sigma tau phi omega Delta".split()
_SIGNS = {
    **dict.fromkeys("−–—﹣－", "-"),
    **dict.fromkeys("×·⋅∗✕", "*"),
    **dict.fromkeys("÷∕⁄", "/"),
    **dict.fromkeys("\u00a0\u2009\u202f\u2003\u2002\u200a\u3000", " "),
    **dict.fromkeys("\u200b\ufeff", ""),
    **{sign: f"\\{name} " for sign, name in zip("αβγδεθλμπρστφωΔ", _LETTERS, strict=True)},
    "√": "\\sqrt ",
    "∛": "\\sqrt[3]",
    **{sign: f"\\frac{{{over}}}{{{under}}}" for sign, over, under in ("½12", "⅓13", "⅔23", "¼14", "¾34", "⅕15", "⅛18")},
    "º": "°",
    "˚": "°",
    "∪": "\\cup ",
    "∩": "\\cap ",
    "∖": "\\setminus ",
    "∈": "\\in ",
    "Ø": "∅",
    "ℝ": "\\R ",
    "⇒": "\\implies ",
    "⌊": "\\lfloor ",
    "⌋": "\\rfloor ",
    "⌈": "\\lceil ",
    "⌉": "\\rceil ",
    "％": "%",
    "′": "'",
    "…": "...",
    "⋯": "...",
}
_CHARACTERS = str.maketrans(_SIGNS)
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_SUBSCRIPT = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SUBSCRIPTS = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_DOT_ABOVE, _LINE_ABOVE = re.compile("([0-9])\u0307"), re.compile("(?:[0-9]\u0305)+")

_COMMANDS = {
    **dict.fromkeys(["left", "right", "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "middle"], ""),
    **dict.fromkeys([f"{size}{side}" for size in ("big", "Big", "bigg", "Bigg") for side in ("", "l", "r", "m")], ""),
    **dict.fromkeys(["boldsymbol", "mathbf", "bm", "mathit", "mathnormal", "mathsf", "mathtt", "ensuremath"], ""),
    **dict.fromkeys(["bf", "it", "sf", "tt", "large", "Large", "LARGE", "huge", "Huge", "small", "normalsize"], ""),
    **dict.fromkeys(["mathopen", "mathclose", "mathbin", "mathrel", "mathord", "strut", "mathstrut", "therefore"], ""),
    **dict.fromkeys(["quad", "qquad", "space", "thinspace", "medspace", "thickspace", "enspace", "nobreakspace"], " "),
    **dict.fromkeys(["negthinspace", "negmedspace", "negthickspace"], ""),
    **dict.fromkeys(["dfrac", "tfrac", "cfrac", "nicefrac", "sfrac"], "\\frac"),
    **dict.fromkeys(["dbinom", "tbinom"], "\\binom"),
    **dict.fromkeys(["cdot", "times", "ast", "centerdot", "cdotp"], "*"),
    "div": "/",
    **dict.fromkeys(["le", "leq", "leqslant", "leqq"], "≤"),
    **dict.fromkeys(["ge", "geq", "geqslant", "geqq"], "≥"),
    **dict.fromkeys(["ne", "neq"], "≠"),
    "lt": "<",
    "gt": ">",
    "colon": ":",
    **dict.fromkeys(["approx", "equiv", "simeq", "thickapprox", "approxeq"], "≈"),
    "pm": "±",
    **dict.fromkeys(["infty", "infin"], "∞"),
    **dict.fromkeys(["emptyset", "varnothing"], "∅"),
    **dict.fromkeys(["lvert", "rvert", "vert", "mid"], "|"),
    **dict.fromkeys(["lbrace"], "\\{"),
    **dict.fromkeys(["rbrace"], "\\}"),
    **dict.fromkeys(["langle", "lparen"], "("),
    **dict.fromkeys(["rangle", "rparen"], ")"),
    **dict.fromkeys(["lbrack"], "["),
    **dict.fromkeys(["rbrack"], "]"),
    **dict.fromkeys(["smallsetminus", "backslash"], "\\setminus"),
    **dict.fromkeys(["degree", "degrees"], "°"),
    **dict.fromkeys(["textrm", "textbf", "textit", "textnormal", "mathrm", "mbox", "hbox", "textsf"], "\\text"),
    **dict.fromkeys(["texttt", "textup", "textmd", "emph", "rm", "operatorname"], "\\text"),
    **dict.fromkeys(["varphi"], "\\phi"),
    **dict.fromkeys(["tg"], "\\tan"),
    **dict.fromkeys(["ctg", "cotg"], "\\cot"),
    **dict.fromkeys(["arctg"], "\\arctan"),
    **dict.fromkeys(["cosec"], "\\csc"),
    **dict.fromkeys(["bar", "widehat"], "\\overline"),
    "percent": "%",
    **dict.fromkeys(["dots", "ldots", "cdots", "dotsc", "dotsb", "ldotp"], "..."),
    **dict.fromkeys(["lor", "vee"], "\\text{or}"),
    **dict.fromkeys(["land", "wedge"], "\\text{and}"),
}
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_SPACING = re.compile(r"\\[,!;: >]|~|&nbsp;")
_DEGREE = re.compile(r"\^ ?(?:\{ ?(?:\\circ|°) ?\}|\\circ(?![A-Za-z])|°)")
_DEGREE_WORD = re.compile(r"(?<=[0-9)}]) ?\\(?:text|textrm|mathrm|mbox) ?\{ ?(?:degrees?|deg) ?\}")
_GROUPED = re.compile(r"(?<=[0-9]) ?(?:\{ ?(?:,|\\,) ?\}|,\{\}|,(?: ?\\!)+) ?(?=[0-9]{3}(?![0-9]))")
_THIN_GROUPED = re.compile(r"(?<![0-9,.\\])([0-9]{1,3}(?:,(?:\\[,;:>]|~)[0-9]{3})+)(?![0-9])")
_THIN = re.compile(r",(?:\\[,;:>]|~)")
_BLACKBOARD = re.compile(r"\\(?:mathbb|Bbb) ?(?:\{([A-Z])\}|([A-Z]))")
_OPERATOR = re.compile(
    r"\\(?:operatorname\*?|mathop|mathrm|text|textrm) ?\{ ?"
    r"((?:arc)?(?:sin|cos|tan|cot|tg|ctg)|sinh|cosh|tanh|coth|log|ln|lg|exp) ?\}"
)
_SWITCHED = re.compile(r"\{ ?\\(?:rm|textrm|text) (?!\{)([^{}\\]*)\}")
_BRACED_TEXT = re.compile(r"(?<![_^}A-Za-z])\{ ?(\\text ?\{[^{}]*\}) ?\}")
_SPACES = re.compile(r"\s+")
_ROW_SKIP = re.compile(r"\\\\ ?\[ ?-?[0-9.]+ ?[a-z]{2} ?\]")
_WRAPS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"))
_BOX = re.compile(r"\\(?:boxed|fbox) ?\{")
_NO_POINT = re.compile(r"\\(?:left|right) ?\.")

_WRAPPERS = {
    **dict.fromkeys(["textcolor", "colorbox"], (2, 1)),
    "fcolorbox": (3, 2),
    "color": (1, None),
    **dict.fromkeys(["boxed", "fbox", "framebox", "underline", "uline", "mathclap", "smash"], (1, 0)),
    **dict.fromkeys(["phantom", "hphantom", "vphantom", "hspace", "vspace", "mspace", "tag", "label"], (1, None)),
}
"""Commands of dress: how many arguments they have, and which of them is part of the answer."""
_WRAPPER = re.compile(rf"\\({'|'.join(_WRAPPERS)})\*? ?(?:\[[^\]\[]*\])? ?(?=\{{)")


def tidy(text: str) -> str:
    r"""The text in the common alphabet; total, and linear in its length.

    >>> tidy(r"$\left( \dfrac12,\; 3 \right]$")
    '( \\frac12, 3 ]'
    >>> tidy(r"90^{\circ}"), tidy("x ≤ 2π"), tidy(r"5\,\mathrm{cm}^2.")
    ('90°', 'x ≤ 2\\pi', '5 \\text{cm}^2')
    >>> tidy(r"1{,}234"), tidy(r"11,\! 111"), tidy(r"\boxed{\{1, 2\}}"), tidy(r"\textcolor{red}{5}")
    ('1234', '11111', '\\{1, 2\\}', '5')
    """
    text = _unwrap(text)
    if "\\\\" in text:
        text = _ROW_SKIP.sub(r"\\\\", text)
        text = text.replace("\\\\", ROW if "\\begin" in text else "\\")  # a row's end, or a doubly escaped command
    if not text.isascii():
        text = _ascii(text)
    text = text.replace("<=", "≤").replace(">=", "≥").replace("!=", "≠").replace("**", "^")
    if "," in text:
        text = _GROUPED.sub("", text)
    if "\\" in text or "~" in text or "&" in text:
        text = _commands(text)
    elif "^" in text:
        text = _DEGREE.sub("°", text)
    text = _SPACES.sub(" ", text).strip()
    return text.rstrip(".,;: ") if not text.endswith("...") else text


def _ascii(text: str) -> str:
    """Signs of typography and of other alphabets in the spelling that the grammar reads."""
    text = _DOT_ABOVE.sub(r"\\dot{\1}", text)
    text = _LINE_ABOVE.sub(lambda found: "\\overline{" + found.group().replace("\u0305", "") + "}", text)
    text = text.translate(_CHARACTERS)
    text = _SUPERSCRIPTS.sub(lambda found: "^{" + found.group().translate(_SUPERSCRIPT) + "}", text)
    return _SUBSCRIPTS.sub(lambda found: "_{" + found.group().translate(_SUBSCRIPT) + "}", text)


def _commands(text: str) -> str:
    text = _THIN_GROUPED.sub(_join_thin, text)
    text = _SPACING.sub(lambda found: "" if found.group() == "\\!" else " ", text)
    text = _NO_POINT.sub("", text)
    if _WRAPPER.search(text):
        text = _undress(text)
    text = _OPERATOR.sub(r"\\\1 ", text)
    text = _SWITCHED.sub(r"\\text{\1}", text)
    text = _BLACKBOARD.sub(lambda found: "\\" + (found.group(1) or found.group(2)) + " ", text)
    text = _DEGREE_WORD.sub("°", _DEGREE.sub("°", text))
    text = text.replace("\\not=", "≠").replace("\\not =", "≠").replace("\\not\\in", "\\notin")
    text = _COMMAND.sub(_rename, text)
    return _BRACED_TEXT.sub(r"\1", text) if "{\\text" in text else text


def _join_thin(found: re.Match[str]) -> str:
    r"""`1,\,234` is a number, unless it stands in brackets, where it is two."""
    inside = any(bracket in found.string[: found.start()] for bracket in "([{")
    return found.group() if inside else _THIN.sub("", found.group())


def _rename(found: re.Match[str]) -> str:
    new = _COMMANDS.get(found.group(1))
    return found.group() if new is None else new


def _undress(text: str) -> str:
    """Without colours, inner boxes, phantoms and the like. What cannot be told apart stays."""
    for _ in range(12):
        found = _WRAPPER.search(text)
        if found is None:
            break
        count, content = _WRAPPERS[found.group(1)]
        arguments, end = [], found.end()
        for _ in range(count):
            start = end + (text[end : end + 1] == " ")
            end = _closing(text, start)
            if end < 0:
                return text
            arguments.append(text[start + 1 : end - 1])
        inner = "" if content is None else arguments[content]
        before = text[: found.start()]
        if inner and re.search(r"(?:[_^}]|\\[A-Za-z]+) ?$", before):  # it is the argument of a power, root or fraction
            inner = f"{{{inner}}}"
        text = before + inner + text[end:]
    return text


def _closing(text: str, start: int) -> int:
    """The place behind the brace that closes the one at `start`; -1 where there is none."""
    depth = 0
    for place in range(start, len(text)):
        if text[place] == "{":
            depth += 1
        elif text[place] == "}":
            depth -= 1
            if depth == 0:
                return place + 1
        elif depth == 0:
            return -1
    return -1


def _unwrap(text: str) -> str:
    """Without the marks of a formula, a box or bold letters around the whole."""
    for _ in range(6):
        text = text.strip()
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1].rstrip()
        for start, end in _WRAPS:
            if text.startswith(start) and text.endswith(end) and len(text) > len(start + end):
                inner = text[len(start) : -len(end)]
                if start not in inner:
                    text = inner
                    break
        else:
            box = _BOX.match(text) if text.startswith("\\") else None
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
