"""Which language a text is in, by `py3langid`: small (5 MB), deterministic, kept up, at home with short texts.

IFEval's own choice, `langdetect`, has had no release since 2021 and answers by chance unless it is seeded. The
candidates here are langdetect's languages, so that the question asked is the same.

A list of words says little about its language: py3langid gives each of several languages a small share, and the
likeliest may be any of them ("APPLES, PEARS, BANANAS" is Indonesian at 0.25, English at 0.13). So a language is ruled
out only where another one is far likelier.
"""

from __future__ import annotations

import functools
from typing import Any

from labkit.errors import UserError

__all__ = ["LANGUAGES", "detect_language", "is_likely", "other_language"]

LANGUAGES = tuple(
    "af ar bg bn ca cs cy da de el en es et fa fi fr gu he hi hr hu id it ja kn ko lt lv mk ml mr ne nl no pa pl pt "
    "ro ru sk sl so sq sv sw ta te th tl tr uk ur vi zh".split()
)
"""ISO 639-1 codes that can be told apart; `zh-cn` and `zh-tw` are both `zh`."""

_NO_LANGUAGE = "zxx"  # py3langid's name for numbers, code and the like
_SEEN = (
    8_000  # characters looked at: more would not change the answer, and a run of combining marks takes quadratic time
)
_LEAST = 0.15  # probability below which nothing is said: "yes" and "HELLO" are Hungarian at 0.10, Finnish at 0.13
# A language is ruled out by another that is this likely, and so many times as likely. Of 4,800 lists of 1 to 30 English
# words in capitals these two numbers call 3 foreign (asking for the likeliest language alone: about 600), and still
# every sentence of four words and more in 14 other languages.
_SURE, _TIMES = 0.3, 30
_CLOSE = 0.1  # probability from which a language may be meant that is not the likeliest


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


def is_likely(text: str, language: str) -> bool:
    """Whether a text may well be in a language: its likeliest one, or, where none is likelier than not, a close one.

    >>> is_likely("Das ist gut.", "de"), is_likely("APPLES, PEARS, ORANGES, LEMONS", "en"), is_likely("12345", "en")
    (True, True, False)
    """
    ranked = _identifier().rank(text[:_SEEN])
    likeliest, most = ranked[0]
    if likeliest == _NO_LANGUAGE or most >= 0.5:
        return likeliest == language
    probability = dict(ranked)[language]
    return probability >= _LEAST if likeliest == language else probability >= max(_CLOSE, most / 3)


def other_language(text: str, language: str) -> str | None:
    """The language that a text is in instead of `language`, where that can be said with some certainty, or None.

    >>> other_language("DER HUND SCHLÄFT IM GARTEN", "en"), other_language("APPLES, PEARS, BANANAS", "en")
    ('de', None)
    """
    ranked = _identifier().rank(text[:_SEEN])
    likeliest, probability = ranked[0]
    if likeliest in (language, _NO_LANGUAGE) or probability < _SURE:
        return None
    return likeliest if probability >= _TIMES * dict(ranked)[language] else None
