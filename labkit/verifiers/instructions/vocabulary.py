"""Sets of English words and names that the kinds count."""

from __future__ import annotations

__all__ = ["AFRICA", "CAPITALS", "CONJUNCTIONS", "MINOR_WORDS", "PERSON_NAMES", "PRONOUNS", "STOP_WORDS"]

CONJUNCTIONS = frozenset("for and nor but or yet so".split())
"""The seven coordinating conjunctions."""

MINOR_WORDS = frozenset(
    "a an the and but for nor or so yet as at by down from if in into like near of off on once onto out over past per "
    "than that till to up upon v via vs when with".split()
)
"""Articles, conjunctions and short prepositions: in title case they may be written small inside a title."""

PRONOUNS = frozenset(
    "i me we us you he him she her it they them my mine our ours your yours his hers its their theirs "
    "myself ourselves yourself yourselves himself herself itself themselves this that these those "
    "who whom whose which what whoever whomever whatever whichever anybody anyone anything everybody everyone "
    "everything nobody nothing somebody someone something each either neither both all some any none".split()
)
"""Personal, possessive, reflexive, demonstrative, interrogative, relative and indefinite pronouns."""

STOP_WORDS = frozenset(
    # pronouns
    "i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself "
    "it its itself they them their theirs themselves this that these those what which who whom "
    # verbs that help others
    "am is are was were be been being have has had having do does did doing will can should now "
    # articles, conjunctions, prepositions
    "a an the and but if or nor because as until while of at by for with about against between into through during "
    "before after above below to from up down in out on off over under "
    # adverbs and words of quantity
    "again further then once here there when where why how all any both each few more most other some such no not only "
    "own same so than too very just "
    # what is left of contractions where they are cut at the apostrophe
    "s t d m o y ll re ve ma don ain aren couldn didn doesn hadn hasn haven isn mightn mustn needn shan shouldn wasn "
    "weren won wouldn".split()
)
"""Words that say little on their own: the ones that nltk's English list has, by which IFBench counts."""

PERSON_NAMES = frozenset(
    "Abigail Alexander Amelia Andrew Aria Audrey Ava Benjamin Charlotte Chloe Christopher Claire Daniel David "
    "Elijah Ella Emma Ethan Gabriel Grace Hannah Harper Isabella Jackson Jacob Jonathan Joseph Layla Leo Liam "
    "Lily Lucas Mason Matthew Mia Nathan Nicholas Noah Nora Olivia Owen Penelope Ryan Samuel Scarlett Sophia "
    "Stella Thomas Victoria Zoe".split()
)
"""The fifty names that the prompts of `count:person_names` list."""

_AFRICA = """
algeria;angola;benin;botswana;burkina faso;burundi;cape verde,cabo verde,cabo verde cape verde;cameroon;
central african republic;chad;comoros;congo democratic republic,dr congo,drc,congo kinshasa,
democratic republic congo drc,democratic republic congo dr;congo,congo republic,congo brazzaville,
republic congo brazzaville;djibouti;egypt;equatorial guinea;eritrea;eswatini,swaziland,

eswatini formerly swaziland,eswatini swaziland;ethiopia;gabon;gambia;ghana;guinea;guinea bissau;
cote d ivoire,cote divoire,ivory coast,cote d ivoire ivory coast,
ivory coast cote divoire;kenya;lesotho;liberia;libya;madagascar;malawi;mali;mauritania;mauritius;morocco;mozambique;
namibia;niger;nigeria;rwanda;sao tome principe;senegal;seychelles;sierra leone;somalia;south africa;south sudan;sudan;
tanzania;togo;tunisia;uganda;zambia;zimbabwe;western sahara,sahrawi arab democratic republic
"""
AFRICA = {
    frozenset(spelling.split()): names.split(",")[0].strip()
    for names in _AFRICA.replace("\n", "").split(";")
    for spelling in names.split(",")
}
"""The words of a country's name (without "the", "of" and "and") -> the country."""

CAPITALS = tuple(
    "reykjavik helsinki oslo tallinn stockholm riga moscow copenhagen vilnius minsk dublin berlin amsterdam "
    "warsaw london brussels kyiv prague luxembourg paris vienna bratislava budapest vaduz chisinau bern "
    "ljubljana zagreb".split()
)
"""The capitals of Europe north of 45 degrees, from north to south."""
