r"""The letter of an option: `E`, `(E)`, `E. 5`, `\textbf{(E)}\ 5`, `Option C`, or the option's own text.

Where the letter is looked for: `labkit.verifiers.extract`; where no answer is marked, the last line of the text. When
it is right:

- **One letter.** `C or D`, `(A) and (B)`, `not C` and a list of all options are no choice. A capital alone may stand in
  a sentence (`I think C`); a small letter only alone, in brackets, before a dot, or behind "option"; an `A` or `I`
  before a word is the word.
- **Letter and text.** The text behind a letter is not judged where the reference is a letter alone. Where it lists the
  options, a text that is another option's contradicts the letter, and an answer may be the option's text without its
  letter: the same words, or the same number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.extract import FALLBACK_WINDOW, MISSING, find_claims, visible_text
from labkit.verifiers.marks import without_emphasis
from labkit.verifiers.notation import without_styles
from labkit.verifiers.numerals import UnreadableError, read_number
from labkit.verifiers.score import Score, quote

__all__ = ["letter_of", "read_option", "verify"]

MAX_LENGTH = 1_000
"""Characters of a claim in which a letter is sought."""
LINE_WINDOW = 1_000
MAX_OPTIONS = 26

_NOUN = r"(?:option|choice|answer|alternative)"
_STYLED = re.compile(r"(?:\\text(?:bf|rm|it)?|\\math(?:bf|rm)|\*\*) ?\{? ?\(? ?([A-Z]) ?\)?[.:]? ?(?:\}|\*\*)")
# The letter at the start, and what follows it: "(E) 5", "E. 5", "Option C: ...", "C is right".
_DIRECT = re.compile(
    rf"(?:(?:the )?(?:(?:correct|right|best|final) )?(?P<noun>{_NOUN})\b(?: is\b)?[ :]*)?"
    r"(?:[(\[] ?(?P<bracketed>[A-Za-z]) ?[)\]]|(?P<letter>[A-Za-z])(?![A-Za-z0-9'’]))"
    r"(?P<mark>\s*[.):,;=–—-]+)?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_MENTION = re.compile(
    rf"\b{_NOUN}\b[ :]*(?:is\b[ :]*)?[(\[]?(?-i:([A-Z]))[)\]]?(?![\w'’])|[(\[](?-i:([A-Z]))[)\]]|"
    r"(?<![\w'’.$\\])(?-i:([B-HJ-Z]))(?![\w'’]|\s*[=+*/^_<>])",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"\b(?:not|never|neither|nor|none|except|cannot|wrong|incorrect|eliminat\w+|rule out)\b|n['’]t\b", re.I
)
_DENIED = re.compile(
    r"\s*(?:is|was|does|can|could|would)(?:n['’]t|\s+(?:not|wrong|incorrect|false|out)\b)", re.IGNORECASE
)
_SEVERAL = re.compile(r"(?<![\w'’])[(\[]?([A-Z])[)\]]?\s*(?:[,/&]|and\b|or\b)\s*[(\[]?([A-Z])[)\]]?(?![\w'’])")
_ASIDE = re.compile(r",? (?:because|since|as|not|which|where)\b.*", re.IGNORECASE | re.DOTALL)
_OTHER = re.compile(
    r"^\s*(?:[,/&]|and\b|or\b)\s*[(\[]?([A-Z])(?![A-Za-z'’])|\b(?:and|or)\s+[(\[]?([A-Z])[)\]]?(?![A-Za-z'’])"
)
_SAYS = re.compile(r"\s+(?:is|because|since|as|would|must|seems|fits)\b|\s*$|\s+[\\$(\[0-9+-]", re.IGNORECASE)


def verify(completion: str, reference: Any) -> Score:
    r"""Judge the choice of an option: reward 1.0 when every final claim names the right one, else 0.0.

    `reference` is the letter (`"E"`, `"(E)"`), or `{"answer": "E", "options": [...]}` with the options' texts in order
    from A, or by letter; anything else raises `UserError`. `parts`: `parsed` (a letter was read) and `value`.

    >>> [verify(text, "E").reward for text in (r"\boxed{\textbf{(E)}\ 5}", "The answer is E. 5", "So it is option E.")]
    [1.0, 1.0, 1.0]
    >>> verify("The answer is C or D.", "C").reason
    "'C or D' names more than one option"
    >>> verify("#### 5", {"answer": "B", "options": ["4", "5", "6"]}).reward
    1.0
    >>> verify("(B) 6", {"answer": "B", "options": ["4", "5", "6"]}).reason
    "'(B) 6' names option B with the text of C"
    """
    wanted, options = _read_reference(reference)
    kind, texts = find_claims(completion)
    if not texts and kind == "none":
        texts = _last_line(completion)
    parts = {"parsed": 0.0, "value": 0.0}
    if not texts:
        return Score(0.0, MISSING[kind] if kind != "none" else "no option found", None, parts)
    letters = []
    for text in texts:
        letter, fault = read_option(text, options)
        if letter is None:
            return Score(0.0, f"{quote(text)} {fault}", text, parts)
        letters.append(letter)
    parts = {"parsed": 1.0, "value": float(set(letters) == {wanted})}
    if parts["value"]:
        return Score(1.0, f"the answer is option {wanted}", texts[-1], parts)
    if len(set(letters)) > 1:
        return Score(0.0, f"two different options: {letters[0]} and {letters[-1]}", texts[-1], parts)
    return Score(0.0, f"the answer is option {letters[0]}, not {wanted}", texts[-1], parts)


def letter_of(reference: Any) -> str | None:
    r"""The letter that a reference is, without brackets and LaTeX, or None.

    >>> [letter_of(text) for text in ("E", "(e)", r"\text{(E)}", "E.", "5", "AB", None)]
    ['E', 'E', 'E', 'E', None, None, None]
    """
    if not isinstance(reference, str) or len(reference) > 40:
        return None
    found = re.fullmatch(r"[(\[]? ?([A-Za-z]) ?[)\]]?[.:]?", without_styles(reference).strip("$ "))
    return found[1].upper() if found else None


def read_option(text: str, options: Mapping[str, str] | None = None) -> tuple[str | None, str]:
    r"""The one option that a text names, or None and why not, as a predicate; total, and linear in the text.

    >>> read_option(r"\textbf{(E)}\ 5"), read_option("Option C"), read_option("A dog")
    (('E', ''), ('C', ''), (None, 'names no option'))
    """
    if len(text) > MAX_LENGTH:
        return None, f"is longer than {MAX_LENGTH} characters"
    options = options or {}
    plain = without_styles(without_emphasis(_STYLED.sub(r"(\1) ", text))).replace("$", "").strip(" .\n\t")
    named = _option_with_text(plain, options)
    if named:
        return named, ""
    letter, rest, fault = _letter(plain)
    if letter is None:
        return None, fault
    if options and letter not in options:
        return None, f"names option {letter}, which there is not"
    other = _option_with_text(rest.strip(" .:)"), options) if rest else None
    if other and other != letter:
        return None, f"names option {letter} with the text of {other}"
    return letter, ""


def _letter(text: str) -> tuple[str | None, str, str]:
    """The letter, what stands behind it, and what is wrong where there is none."""
    judged = _ASIDE.sub("", text)
    if any(first != second for first, second in _SEVERAL.findall(judged)):
        return None, "", "names more than one option"
    direct = _DIRECT.match(judged)
    if direct and _is_choice(direct):
        rest = direct["rest"]
        letter = (direct["bracketed"] or direct["letter"]).upper()
        if _DENIED.match(text, direct.start("rest")):
            return None, "", "denies an option"
        others = {a or b for a, b in _OTHER.findall((direct["mark"] or "").strip()[:1] + rest)}
        others |= set(re.findall(r"[(\[]([A-Z])[)\]]", rest))
        return (None, "", "names more than one option") if others - {letter} else (letter, rest, "")
    found = {a or b or c for a, b, c in _MENTION.findall(judged)}
    if len(found) > 1:
        return None, "", "names more than one option"
    if not found or _DENIAL.search(judged):
        return None, "", "names no option" if not found else "denies an option"
    return found.pop(), "", ""


def _is_choice(direct: re.Match[str]) -> bool:
    """Whether the letter at the start is an option, and no word (`A dog`) or symbol (`x = 5`)."""
    rest, mark, letter = direct["rest"], (direct["mark"] or "").strip(), direct["letter"]
    if "=" in mark or rest.lstrip()[:1] in ("=", "+", "*", "/", "^", "_"):
        return False
    if direct["bracketed"]:
        return True
    if letter.islower() and not direct["noun"]:
        return mark[:1] in (".", ")", ":") or (not mark and not rest.strip())
    return bool(mark) or (bool(_SAYS.match(rest)) and not (letter == "A" and re.match(r"\s+[0-9]", rest)))


def _option_with_text(text: str, options: Mapping[str, str]) -> str | None:
    """The letter of the one option that says the same: the same words, or the same number."""
    if not text or not options:
        return None
    matches = [letter for letter, option in options.items() if _plain(option) == _plain(text)]
    if not matches:
        value = _number(text)
        matches = [letter for letter, option in options.items() if value is not None and _number(option) == value]
    return matches[0] if len(matches) == 1 else None


def _plain(text: str) -> str:
    return " ".join(without_styles(text).replace("$", "").casefold().split()).strip(" .")


def _number(text: str) -> Any:
    try:
        return read_number(text)
    except UnreadableError:
        return None


def _last_line(completion: str) -> tuple[str, ...]:
    """The last line of a text that marks no answer, unless it is one of a list of options."""
    lines = visible_text(completion)[-FALLBACK_WINDOW:].rstrip().rsplit("\n", 2)
    line = lines[-1].strip()
    if not line or len(line) > LINE_WINDOW:
        return ()
    above = lines[-2].strip() if len(lines) > 1 else ""
    listed = re.match(r"[-*• ]*[(\[]?[A-Z](?:[.:]|[)\]])", above)
    if listed and re.match(r"[-*• ]*[(\[]?[A-Z](?:[.:]|[)\]])", line):
        return ()
    sentences = [part for part in re.split(r"(?<=[a-z0-9)])[.!?] +(?=[A-Z])", line) if part.strip()]
    return (sentences[-1].strip(),)


def _read_reference(reference: Any) -> tuple[str, dict[str, str]]:
    letter, options = letter_of(reference), {}
    if isinstance(reference, Mapping):
        letter, listed = letter_of(reference.get("answer")), reference.get("options")
        if isinstance(listed, Mapping):
            options = {letter_of(key) or "": str(text) for key, text in listed.items()}
        elif isinstance(listed, list | tuple) and len(listed) <= MAX_OPTIONS:
            options = {chr(ord("A") + place): str(text) for place, text in enumerate(listed)}
        if letter not in options or "" in options:
            letter = None
    if letter is None:
        raise UserError(
            'a choice reference is a letter such as "E", or {"answer": "E", "options": [texts]} where the answer is '
            f"one of the options; got {quote(ascii(reference), 80) if _shows(reference) else type(reference).__name__}"
        )
    return letter, options


def _shows(value: Any) -> bool:
    return isinstance(value, str | bool | list | tuple | dict) or value is None
