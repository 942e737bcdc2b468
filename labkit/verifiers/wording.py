r"""Words and signs next to a number that make it another number, or none: `not 5`, `half of 5`, `5 squared`.

A number is read with them or refused, never cut out from among them. `BEFORE` and `AFTER` are sought right before and
right behind the number; between it and a word before it may stand fillers such as "of the" or "about".
"""

from __future__ import annotations

import re

__all__ = [
    "AFTER",
    "BEFORE",
    "BEFORE_WINDOW",
    "COPULA",
    "DENIAL",
    "ENDS_BEFORE",
    "LABEL",
    "SCALES",
    "SCALE_WORD",
    "STARTS_AFTER",
]

BEFORE_WINDOW = 80
"""Characters before a number in which `BEFORE` is sought."""
SCALES = {
    **{"dozen": 12, "hundred": 10**2, "thousand": 10**3, "lakh": 10**5, "million": 10**6, "crore": 10**7},
    **{"mil": 10**6, "mln": 10**6, "mio": 10**6, "mn": 10**6, "billion": 10**9, "bn": 10**9, "bln": 10**9},
    **{"trillion": 10**12, "tn": 10**12, "trn": 10**12, "quadrillion": 10**15, "quintillion": 10**18},
}
"""What a word behind a number multiplies it by; the plural in s does the same."""
_SCALE_NAMES = "|".join(SCALES)
SCALE_WORD = rf"(?:{_SCALE_NAMES})s?\b"


def _any(words: str) -> str:
    """The words of a text as alternatives; an underscore is a space."""
    return "|".join(words.split()).replace("_", " ")


_DENIALS = _any(
    "not never nor neither cannot or instead_of rather_than other_than except excluding without wrong incorrect"
)
_BOUNDS = _any(
    "than least most between over under above below beyond exceed exceeds exceeding nearly almost close_to minimum_of "
    "maximum_of max_of min_of (?<!add_)(?<!adds_)(?<!sum_)(?<!sums_)up_to"
)
_PARTS = _any("half halves thirds? quarters? fourths? fifths? sixths? sevenths? eighths? ninths? tenths?")
_OPERATIONS = _any(
    f"{_PARTS.replace(' ', '_')} twice thrice double triple times plus minus less divided_by multiplied_by mod modulo "
    "percent_of per_cent_of out_of per root cube square sqrt cbrt log ln sin cos tan exp abs absolute_value_of "
    "factorial reciprocal_of opposite_of inverse_of to_the to_the_power power_of choose"
)
_NUMBER_WORDS = _any(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
)
_FILLER = _any(
    "of the a an about around approximately approx\\.? roughly exactly only just some all my his her their its our "
    "these those that what as many much to equals? be quite really even probably simply necessarily"
)
_UP_TO_THE_NUMBER = rf"(?:[\s-]+(?:{_FILLER})\b)*[\s-]*[($€£¥₹\\\"“]*\s*$"
DENIAL = re.compile(rf"(?:\b(?:{_DENIALS}|{_BOUNDS})\b|n['’]t\b|\bno longer\b){_UP_TO_THE_NUMBER}", re.IGNORECASE)
"""A denial or a bound right before a number."""
BEFORE = re.compile(
    rf"(?:\b(?:{_DENIALS}|{_BOUNDS}|{_OPERATIONS}|(?:{_SCALE_NAMES}|{_NUMBER_WORDS})(?: and)?)\b|n['’]t\b|"
    rf"\bno longer\b|[√∛∜]|% of\b|(?<!\s)\|){_UP_TO_THE_NUMBER}",
    re.IGNORECASE,
)
"""A denial, a bound or an operation right before a number, or the beginning of a number in words."""
COPULA = re.compile(
    r"(?:^|[:=≈(,;\"“]|\b(?:"
    + _any(
        "is was were are be been equals? of to at by about around approximately roughly only just exactly a the gets? "
        "getting makes? gives? becomes? reaches reached reads? have has had now then so answer result and"
    )
    + r"))\s*$",
    re.IGNORECASE,
)
"""What stands before "minus" and "plus" where they are a sign; elsewhere they are an operation."""
_LABELS = _any(
    "step section part case figure fig equation eq theorem lemma example exercise chapter stage phase method problem "
    "question no"
)
LABEL = re.compile(rf"(?:\b(?:{_LABELS})\.?\s*[#(]*|(?<!#)#)\s*$", re.IGNORECASE)
"""What names a thing by its number: `Step 3`."""
_CHANGES = _any(
    "squared cubed factorial mod modulo choose plus minus divided_by multiplied_by pi sqrt cbrt root log ln sin cos "
    "tan exp something odd or below short_of shy_of thirds fourths fifths sixths sevenths eighths ninths tenths "
    "hundredths thousandths halves"
)
_DASH = r"[-–](?:\s?(?![ai]\b)[a-z](?![a-z'’]|\.\w)|\s?\\)"  # 5 - x, but not: 5 - a lot
AFTER = re.compile(
    rf"\||\s*(?:[*^+√π∞<>≤≥±_‰]|{_DASH}|/(?!\s?[A-Za-z])|(?:{_CHANGES}|quarters? of(?: a| an| the)|"
    rf"and (?:a|an|one|two|three) (?:{_PARTS})|to the (?:power|n|second|third|fourth|fifth|sixth))\b|-?ish\b|"
    r"\(in (?:the )?(?:hundred|thousand|million|billion)s?\))",
    re.IGNORECASE,
)
"""What right behind a number makes it another, or none."""


def _words(*patterns: str) -> frozenset[str]:
    everything = " ".join(patterns)
    return frozenset(re.findall(r"[a-z]+", everything.replace("s?", "") + everything.replace("s?", "s")))


ENDS_BEFORE = _words(_DENIALS, _BOUNDS, _OPERATIONS, _SCALE_NAMES, _NUMBER_WORDS, _FILLER, _LABELS) | _words(
    "and in by positive negative till until through vs versus"
)
"""Words of which one stands right before a number where `BEFORE`, `LABEL` or another number with its link does."""
STARTS_AFTER = _words(_CHANGES, *(f"{word} {word}s" for word in SCALES)) | _words(
    "quarters and to percent pct percentage per square cubic sq cu"
)
"""Words of which one stands right behind a number where `AFTER`, a scale or the power of a unit does."""
