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
SCALE_WORD = rf"(?:{'|'.join(SCALES)})s?\b"

_NUMBER_WORDS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
)
_DENIALS = "not|never|nor|neither|cannot|or|instead of|rather than|other than|except|excluding|without|wrong|incorrect"
_BOUNDS = (
    "than|least|most|between|over|under|above|below|beyond|exceed(?:s|ing)?|up to|nearly|almost|close to|"
    "(?:minimum|maximum|max|min) of"
)
_OPERATIONS = (
    "half|(?:two |three )?(?:third|quarter|fifth|sixth|seventh|eighth|ninth|tenth)s?|twice|thrice|double|triple|"
    "times|plus|minus|less|divided by|multiplied by|mod|modulo|percent of|per cent of|out of|per|root|cube|square|"
    "sqrt|cbrt|log|ln|sin|cos|tan|exp|abs|absolute value of|factorial|reciprocal of|opposite of|inverse of|"
    rf"to the|to the power(?: of)?|power of|choose|{SCALE_WORD[:-2]}(?: and)?|(?:{_NUMBER_WORDS})(?: and)?"
)
_FILLER = (
    "(?:of|the|a|an|about|around|approximately|approx\\.?|roughly|exactly|only|just|some|all|my|his|her|their|its|our|"
    "these|those|that|what|as|many|much|to|equals?|be|quite|really|even|probably|simply|necessarily)"
)
_UP_TO_THE_NUMBER = rf"(?:[\s-]+{_FILLER}\b)*[\s-]*[($€£¥₹\\\"“]*\s*$"
DENIAL = re.compile(rf"(?:\b(?:{_DENIALS}|{_BOUNDS})\b|n['’]t\b|\bno longer\b){_UP_TO_THE_NUMBER}", re.IGNORECASE)
BEFORE = re.compile(
    rf"(?:\b(?:{_DENIALS}|{_BOUNDS}|{_OPERATIONS})\b|n['’]t\b|\bno longer\b|[√∛∜]|% of\b|(?<!\s)\|){_UP_TO_THE_NUMBER}",
    re.IGNORECASE,
)
COPULA = re.compile(
    r"(?:^|[:=≈(,;\"“]|\b(?:is|was|were|are|be|been|equals?|of|to|at|by|about|around|approximately|roughly|only|just|"
    r"exactly|a|the|gets?|getting|makes?|gives?|becomes?|reache[sd]|reads?|have|has|had|now|then|so|answer|result|and))"
    r"\s*$",
    re.IGNORECASE,
)
"""What stands before "minus" and "plus" where they are a sign; elsewhere they are an operation."""
LABEL = re.compile(
    r"(?:\b(?:step|section|part|case|figure|fig|equation|eq|theorem|lemma|example|exercise|chapter|stage|phase|method|"
    r"problem|question|no)\.?\s*[#(]*|(?<!#)#)\s*$",
    re.IGNORECASE,
)
"""What names a thing by its number: `Step 3`."""

_PARTS = "hal(?:f|ves)|thirds?|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?"
AFTER = re.compile(
    r"\||\s*(?:[*^+√π∞<>≤≥±_‰]|/(?!\s?[A-Za-z])|(?:squared|cubed|factorial|mod|modulo|choose|plus|minus|divided by|multiplied by|to the (?:power|n|second|third|fourth|fifth|sixth)|"
    r"pi|sqrt|cbrt|root|log|ln|sin|cos|tan|exp|something|odd|thirds|fourths|fifths|sixths|sevenths|eighths|ninths|tenths|"
    rf"hundredths|thousandths|halves|quarters? of(?: a| an| the)|or|and (?:a|an|one|two|three) (?:{_PARTS})|below|"
    r"short of|shy of)\b|-?ish\b|\(in (?:the )?(?:hundred|thousand|million|billion)s?\))",
    re.IGNORECASE,
)



def _words(*patterns: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+", " ".join(patterns)))


ENDS_BEFORE = _words(_DENIALS, _BOUNDS, _OPERATIONS, _FILLER, LABEL.pattern) | _words("and in by positive negative til vs")
"""Words of which one stands right before a number where `BEFORE`, `LABEL` or another number with its link does."""
STARTS_AFTER = _words(AFTER.pattern, *SCALES, *(f"{word}s" for word in SCALES), "percent pct percentage per square cubic")
"""Words of which one stands right behind a number where `AFTER` or a scale does."""
