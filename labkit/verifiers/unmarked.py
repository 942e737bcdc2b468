r"""The answer of a text that marks none: its last number, or its last formula, with all that belongs to it.

What stands around the number decides whether it is an answer. Its sign (as a word too), its unit, its scale and the
sum that it ends are taken with it; where it is denied, bounded, a part of something, a name's number or one of several
(`not 5`, `at least 5`, `half of 10`, `Step 3`, `1 in 6`, `2 hours and 30 minutes`, `5 squared`) nothing is taken.
"""

from __future__ import annotations

import re

from labkit.verifiers.marks import (
    COMMANDS,
    FORMULA,
    LATEX_WORD,
    PROSE,
    is_prose,
    without_emphasis,
    without_formula_marks,
)
from labkit.verifiers.notation import VULGAR
from labkit.verifiers.units import canonical_unit, read_unit
from labkit.verifiers.wording import (
    AFTER,
    BEFORE,
    BEFORE_WINDOW,
    COPULA,
    DENIAL,
    ENDS_BEFORE,
    LABEL,
    SCALE_WORD,
    STARTS_AFTER,
)

__all__ = ["LINE_WINDOW", "find_unmarked"]

LINE_WINDOW = 1_000
"""Characters of the line, to each side, in which the last number or formula is sought."""
EMPHASIS_WINDOW = 10 * LINE_WINDOW
"""Characters from the end of a text in which marks of emphasis are taken away: more than are read."""
MAX_BARE = 300
"""Characters of a text that may be one formula as a whole."""

NOTHING, UNCLEAR = ("none", ()), ("unclear", ())
Found = tuple[str, tuple[str, ...]]

_DIGITS = "0123456789" + VULGAR
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d|[⁰¹²³⁴-⁹]⁄")
_ASIDE = re.compile(rf"(?<=\s)\((?=[^()]*[0-9{VULGAR}])[^()]*\)[^0-9{VULGAR}]*$")  # "(in 2 days)" at the end of a line
_RUN = re.compile(
    rf"(?:{LATEX_WORD} ?|\\[A-Za-z]+ ?|\\[$%,;:! ()\[\]{{}}] ?|\^ ?\{{[^{{}}]*\}} ?|"
    rf"[0-9{VULGAR}⁰¹²³⁴⁵⁶⁷⁸⁹⁻](?:\{{,\}}|\\,|[.,'’_])?(?:[eE][-+]?(?=[0-9])| and (?=[0-9]+/))? ?|"
    r"[-+−–‑*/×·÷⁄∕^=≈<>≤≥≠±~(\[{}\]√∛∜&_)] ?|:(?=\S)|(?<= ): ?|!(?= ?=)|[$€£¥₹₽₩₺₪฿¢%°] ?|"
    r"\|(?=[-+0-9.√\\(])|(?<=[0-9)])\||(?<![\w.])\.(?=[0-9])|"
    r"(?<=[0-9)}] )(?:[xX]|times(?= 10 ?[\^*⁰-⁹¹²³])) (?=[0-9(\\])|(?<=[0-9)}])[xX](?=[0-9(\\]))+"
)
_SYMBOLS = re.compile(
    r"(?:(?<![A-Za-z])[A-Za-z](?![A-Za-z])|[0-9.^_{}()+*/²³'-]|(?<=[-+*/0-9A-Za-z)}]) (?=[-+*/]|[A-Za-z0-9(]))+ ?$"
)
# The commonest forms: "That makes 72 clips." and "Total = 72".
_COMMON = re.compile(r"(?:[^(]*\s)?([A-Za-z]{2,}) (\$?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)( [a-z]{3,20})?[.!]?\s*")
_RESULT = re.compile(
    r"(?:[A-Za-z ]*\b([A-Za-z]{2,}) ?)?[=:] (\$?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)( [a-z]{3,20})?[.!]?\s*"
)
_MONEY = re.compile(r"(?<![A-Za-z])(?:US|AU|CA|NZ|HK|SG|A|C|S|R)$|(?<![A-Za-z])Rs\.$")
_UNIT_POWER = re.compile(r"(?<=[0-9])( ?[A-Za-zµμΩ][A-Za-zµμΩ/ ·]{0,20}?)\^ ?\{?([-+]?[1-9])\}?(?![0-9.]*[0-9])")
_ARROW = re.compile(r"[-=]+>")
_RAISED = str.maketrans("-+123456789", "⁻⁺¹²³⁴⁵⁶⁷⁸⁹")
_ABOUT = re.compile(r"^(?:\\(?:approx|simeq)(?![A-Za-z])|[=≈~:\s])+")
_NAME_ALONE = re.compile(r"[A-Za-z](?:_\{?\w+\}?)?'?(?:\([^()]*\))?\s*")
_OTHER_NAME = re.compile(r"[=≈][^=≈\n]{0,30}[0-9)}](?:,|;|,? (?:and|or))\s*$", re.IGNORECASE)  # x = 5 and y = 6
_SIGN = re.compile(r"\b(minus|negative|plus|positive)\s+[$€£¥₹]?$", re.IGNORECASE)
_NUMBER_BEFORE = re.compile(
    rf"[0-9{VULGAR}][%°]?(?P<unit>[ -]?[A-Za-zµ$€£°%]+\.?)??(?:,?\s+(?P<link>and|or|to|through|till|until|in|of|"
    r"out of|by|over|per|times|plus|minus|divided by|mod|choose|vs\.?|versus|&)|,?)\s+[$€£¥₹]?$",
    re.IGNORECASE,
)
_GLUED = re.compile(r"[^\s.,;:!?()\[\]{}\"“”‘’'«»*<>|=$]+")
_NEXT = re.compile(r" ?/ ?(?=[A-Za-z])|[ -](?=[A-Za-zµμΩÅ°¢$€£₹%])")
_NAME = re.compile(r"[A-Za-zµμΩÅ]+")
_RATE = re.compile(r" ?/")
_PERCENT = re.compile(r"%|percent(?:age points?)?\b|per cent\b|pct\b")
_SCALED = re.compile(SCALE_WORD, re.IGNORECASE)
_NO_UNIT = frozenset(
    "a as in is are was were be for from on at to of by with and but so because since which that this these those "
    "the an it he she they we you his her their our my if then than when while where after before during until there "
    "here who whose into onto out up".split()
)
_VALUE_OF = re.compile(r"^[A-Za-z]'*\([^()=]*[0-9][^()=]*\) ?=(?=[^=]*$)")  # f(3) = 5
_NOT_BARE = re.compile(r"~~|[?;#`\"“”]|\*\*|(?:^| )\|(?: |$)|</?[A-Za-z|]|[0-9] [0-9]")
_SYMBOL_BEFORE = re.compile(r"(?:^|[^A-Za-z'’])[B-HJ-Zb-z] $")  # x -5, x 10^3
_FORMULA_LINK = re.compile(r"\s*(?:,?\s*(?:and|or)|,)\s*", re.IGNORECASE)


def find_unmarked(text: str, fallback: str) -> Found:
    r"""Kind and claims of a text without any mark: "number", "formula", or, without a claim, "none" or "unclear".

    `fallback`: "number", or "formula" for a formula as well. Linear in the text.

    >>> find_unmarked("That makes 48 + 24 = 72 clips in all.", "number")
    ('number', ('48 + 24 = 72 clips',))
    >>> find_unmarked("It is minus 5 degrees.", "number"), find_unmarked("It is at least 5.", "number")
    (('number', ('-5 degrees',)), ('unclear', ()))
    >>> find_unmarked(r"So \( x = 5 \).", "number"), find_unmarked("so it is $ x^2 $", "formula")
    (('formula', ('x = 5',)), ('formula', ('x^2',)))
    """
    has_formula = "$" in text or "\\" in text
    if has_formula or not text.isascii():
        text = without_emphasis(text[-EMPHASIS_WINDOW:])
    place = max(map(text.rfind, _DIGITS if not text.isascii() else "0123456789"))
    if place >= 0 and not text.isascii() and _FOREIGN_DIGIT.search(text, place + 1):
        return NOTHING
    if fallback == "formula" and _is_bare(text.strip()):
        return "formula", (_ABOUT.sub("", _VALUE_OF.sub("", text.strip())),)
    found = _last_formula(text, place, fallback == "formula") if has_formula else None
    if found is not None:
        return found
    if place < 0:
        return NOTHING
    start = max(text.rfind("\n", 0, place) + 1, place - LINE_WINDOW)
    end = text.find("\n", place)
    line = text[start : min(len(text) if end < 0 else end, place + LINE_WINDOW)]
    line = line if has_formula else without_emphasis(line)
    line = _UNIT_POWER.sub(_raise, line) if "^" in line else line
    line = _ARROW.sub("→", line) if ">" in line else line
    number = _last_number(line, text[max(0, start - LINE_WINDOW) : start])
    # A number that fills its line from the left edge of the window may have been cut there.
    if number is None or len(number) > LINE_WINDOW - 2:
        return UNCLEAR
    return "number", (number,)


def _raise(found: re.Match[str]) -> str:
    """`24 cm^2` as `24 cm²`: the power of a unit is no number of its own."""
    is_unit = read_unit(found[1].strip())[0] is not None
    return found[1] + found[2].translate(_RAISED) if is_unit else found.group()


def _is_bare(text: str) -> bool:
    """Whether a text is one formula as a whole, and no prose."""
    if not text or len(text) > MAX_BARE or "\n" in text or "$" in text or text.startswith(("\\(", "\\[")):
        return False
    return not PROSE.search(rest := COMMANDS.sub(" ", text)) and not _NOT_BARE.search(rest)


# ------------------------------------------------------------------------------------------------ formulas


def _last_formula(text: str, place: int, any_formula: bool) -> Found | None:
    """The last formula, if no digit stands behind it; unless `any_formula`, only if the last digit is its own."""
    formulas = [
        found for found in FORMULA.finditer(text, max(0, len(text) - 2 * LINE_WINDOW)) if not is_prose(found[0])
    ]
    if not formulas or formulas[-1].end() <= place or not (any_formula or formulas[-1].start() < place):
        return None
    first = last = formulas.pop()
    while formulas and _FORMULA_LINK.fullmatch(text, formulas[-1].end(), first.start()):
        first = formulas.pop()  # $1$ and $-2$ are one answer of two parts
    claim = without_formula_marks(text[first.start() : last.end()]).strip().rstrip(".,").strip()
    if not claim:
        return None
    sign, before = _sign_word(text[: first.start()][-BEFORE_WINDOW:])
    after = text[last.end() : last.end() + LINE_WINDOW].partition("\n")[0]
    tail = _tail(after, 0, things=False)
    if tail is None or _is_changed(before) or (sign and re.search(r".[-+=]", claim)):
        return UNCLEAR
    return "formula", (sign + claim + after[:tail],)


# ------------------------------------------------------------------------------------------------- numbers


def _last_number(line: str, above: str) -> str | None:
    """The last number of a line with its sign, the sum that it ends and its unit; None where it is no answer."""
    common = _COMMON.fullmatch(line) or _RESULT.fullmatch(line)
    if common and not (common[1] and (common[1].lower() in ENDS_BEFORE or canonical_unit(common[1]))):
        thing = common[3]
        if thing is None or not (thing[1:] in STARTS_AFTER or canonical_unit(thing[1:])):
            return common[2] + ("" if thing is None or thing[1:] in _NO_UNIT else thing)
    aside = _ASIDE.search(line)
    if aside and any(digit in line[: aside.start()] for digit in _DIGITS):
        line = line[: aside.start()]
    last = None
    for found in _RUN.finditer(line):
        if any(digit in found.group() for digit in _DIGITS):
            last = found
    if last is None:
        return None
    run = _trimmed(last.group())
    start = last.start() + last.group().find(run)
    if (run[0] == "$" or line[start - 1 : start] == ".") and (money := _MONEY.search(line[:start])):
        start, run = money.start(), money.group() + run
    end = start + len(run)
    if line[start - 1 : start] in ("'", "‘"):
        run = run.rstrip("'’")
    endless = re.match(r"\.\.|…", line[end:]) and re.search(r"\.[0-9]+$", run)  # 0.333...
    tail = _tail(line, end)
    if tail is None or endless or "~~" in line[max(0, start - 2) : end + 2]:
        return None
    before = line[:start]
    bare = run.lstrip(": ")
    before += run[: len(run) - len(bare)]
    if "=" in bare or "≈" in bare:
        run = _equation(bare, before)
    else:
        run = _with_sign(bare, before, line[end:], above)
    return None if run is None else (run + line[end:tail]).strip() or None


def _trimmed(run: str) -> str:
    """A run without the punctuation around it."""
    run = re.sub(r"(?<=[0-9%)\]}]) ?[-–—~]$", "", run.strip().rstrip(" .,:;([{&"))
    while run.endswith(")") and run.count(")") > run.count("("):
        run = run[:-1].rstrip("\\ ")
    return run.lstrip("( ") if run.count("(") > run.count(")") else run


def _equation(run: str, before: str) -> str | None:
    """A run with an equals sign, and the symbols before it that are its left side; None where it is denied."""
    names, glued = _SYMBOLS.search(before[-BEFORE_WINDOW:]), re.search(r"\S*$", before[-BEFORE_WINDOW:])
    symbols = names.group().lstrip() if names and any(map(str.isalpha, names.group())) else ""
    if glued and ("\\" in glued.group() or "{" in glued.group()):  # \frac{x}{2} = 5
        symbols = glued.group()
    before = before[: len(before) - len(symbols)]
    near = before[-BEFORE_WINDOW:]
    left, equals, right = (symbols + run).partition("=")
    if equals and _NAME_ALONE.fullmatch(left):  # f(3) = 5
        return None if DENIAL.search(near) or _OTHER_NAME.search(near) else _ABOUT.sub("", right) or None
    run = symbols + run
    sums = run[:1] in "0123456789($.-" and re.search(r"\bor $", near)  # that is, 120 - 40 = 80
    if DENIAL.search(near) and not sums:
        return None
    cut = run[:2] in ("- ", "+ ", "* ", "/ ", "× ", "÷ ", "– ", "− ") and before.strip()  # 28 pencils - 6 = 22
    if cut or (BEFORE.search(near) and not sums) or near[-1:].isalnum() or near[-1:] in ("_", "\\"):
        run = re.split("[=≈]", run, maxsplit=1)[1]  # half of 24 = 12
    return _ABOUT.sub("", run) or None


def _with_sign(run: str, before: str, after: str, above: str) -> str | None:
    """A number with its sign, whether a sign or a word; None where what stands before it makes it no answer."""
    alone = not before.strip()
    if run[:2] in ("- ", "– ", "− ", "+ ", "* "):
        if not alone:
            return None
        if run[0] == "*" or _is_bullet(after, above):
            run = run[2:].lstrip()
    if alone and not re.search(r"[.:;!?]\s*$|\n\s*\n\s*$", above):  # a sentence that goes on from line to line
        before = above[-BEFORE_WINDOW:].rstrip() + " " * bool(above)
    sign, before = _sign_word(before)
    signed = run[:1] in ("-", "+", "−", "–")
    if _is_changed(before) or _SYMBOL_BEFORE.search(before) or (signed and sign):
        return None
    return sign + _ABOUT.sub("", run)


def _is_bullet(after: str, above: str) -> bool:
    """Whether the dash at the start of a line is a list's and no sign: others stand above, or things are counted."""
    if re.search(r"(?:^|\n)\s*[-–+*•] ", above):
        return True
    word = re.match(r" ([a-z]{3,})", after)
    return word is not None and canonical_unit(word[1]) is None


def _sign_word(before: str) -> tuple[str, str]:
    """The sign that a word says, as a sign, and the text before that word."""
    word = _SIGN.search(before)
    if word is None:
        return "", before
    rest = before[: word.start()]
    if word[1].lower() in ("minus", "plus") and not COPULA.search(rest):
        return "", before
    return ("-" if word[1].lower() in ("minus", "negative") else ""), rest


def _is_changed(before: str) -> bool:
    """Whether the text before a number makes it no answer, or another number stands next to it."""
    near = before[-BEFORE_WINDOW:]
    if not near:
        return False
    if (near[-1].isalnum() and near[-1] < "⺀") or near[-1] in ("_", "{", "\\", "|") or re.search(r"[\w.]\.$", near):
        return True
    if BEFORE.search(near) or LABEL.search(near):
        return True
    other = _NUMBER_BEFORE.search(near)
    if other is None:
        return False
    unit = (other["unit"] or "").strip(" .-")
    known = not unit or canonical_unit(unit) is not None or unit in "%$€£°" or _SCALED.fullmatch(unit) is not None
    return known and (bool(unit) or bool(other["link"]))


def _tail(line: str, end: int, things: bool = True) -> int | None:
    """Where the number's unit and scale end, behind `end`; None where something there changes it.

    `things`: a word that is no known unit is taken too, for it says what was counted.
    """
    if line[end : end + 1] in (",", ";") and re.match(r"[,;] or\b", line[end:]):
        return None
    glued = _GLUED.match(line, end)
    if AFTER.match(line, end):
        return None
    if glued:
        end = glued.end()
    while following := _NEXT.match(line, end):
        start = following.end()
        scale = _SCALED.match(line, start) or _PERCENT.match(line, start)
        if scale:
            end = scale.end()
        else:
            unit, length = read_unit(line[start : start + 100])
            if unit is None and not (things and _says_what(line, start)):
                break
            end = start + max(length, 1)
            return None if AFTER.match(line, end) or _RATE.match(line, end) else end
        if AFTER.match(line, end):
            return None
    return end


def _says_what(line: str, start: int) -> bool:
    """Whether the word at a place behind a number says what was counted (`5 eggs`), or is a symbol (`5 x`)."""
    name = _NAME.match(line, start)
    if name is None:
        return line[start] in "%°$€£"
    return name.group() != "I" and name.group().lower() not in _NO_UNIT
