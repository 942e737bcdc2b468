"""Which language a text is in, by `py3langid`: small (5 MB), deterministic, kept up, at home with short texts.

IFEval's own choice, `langdetect`, has had no release since 2021 and answers by chance unless it is seeded. The
candidates here are langdetect's languages, so that the question asked is the same.
"""

from __future__ import annotations

import functools
from typing import Any

from labkit.errors import UserError

__all__ = ["LANGUAGES", "detect_language"]

LANGUAGES = tuple(
    "af ar bg bn ca cs cy da de el en es et fa fi fr gu he hi hr hu id it ja kn ko lt lv mk ml mr ne nl no pa pl pt "
    "ro ru sk sl so sq sv sw ta te th tl tr uk ur vi zh".split()
)
"""ISO 639-1 codes that can be told apart; `zh-cn` and `zh-tw` are both `zh`."""

_NO_LANGUAGE = "zxx"  # py3langid's name for numbers, code and the like
_SEEN = 20_000  # characters looked at: more would not change the answer, and time stays bounded
_LEAST = 0.15  # probability below which nothing is said: "yes" and "HELLO" are Hungarian at 0.10, Finnish at 0.13


@functools.cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise UserError("to tell languages apart, labkit needs py3langid: pip install py3langid") from None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([*LANGUAGES, _NO_LANGUAGE])
    return identifier


def detect_language(text: str) -> str | None:
    """The likeliest language of a text, or None where the text is too little to tell.

    The first call loads a model (1 s). Raises UserError where py3langid is not installed.

    >>> detect_language("The cat sat on the mat."), detect_language("Das ist gut."), detect_language("12345")
    ('en', 'de', None)
    """
    code, probability = _identifier().classify(text[:_SEEN])
    return code if probability >= _LEAST and code != _NO_LANGUAGE else None
