"""Whether an English word can be a verb: a list of some 700 verbs, their regular forms, and endings that make verbs."""

from __future__ import annotations

import re

__all__ = ["is_verb"]

# Base forms. Left out are words that begin an answer far more often as something else: well, like, still, water.
_VERBS = frozenset(
    """
abandon accept access accompany accomplish account achieve acknowledge acquire act adapt add address adjust admire
admit adopt advance advise affect afford agree aim align allow alter amaze amuse analyse analyze announce answer
anticipate apologize appear apply appoint appreciate approach approve argue arise arrange arrive ask assemble assert
assess assign assist assume assure attach attack attain attempt attend attract avoid awake award bake ban bathe battle
be bear beat become beg begin behave believe belong bend benefit bet bind bite blame blend bless blink block blow boil
book boost borrow bounce bow break breathe breed bring broadcast browse brush build burn burst bury buy calculate call
calm cancel capture care carry carve cast catch cause celebrate challenge change charge chase chat check cheer chew
choose chop claim clap clarify classify clean clear climb cling close collaborate collapse collect combine come
comfort command comment commit communicate compare compete compile complain complete compose compute conceal
concentrate conclude conduct confess confirm confront confuse congratulate connect conquer consider consist construct
consult consume contact contain continue contribute control convert convince cook cool coordinate copy correct
correspond cost cough count cover crack craft crash crawl create cross cry cultivate customize cut dance dare deal
debate debug decide declare decline decorate decrease dedicate deepen defeat defend define delay delete deliver demand
demonstrate deny depend deploy derive describe deserve design desire destroy detect determine develop devote differ
dig digest direct disagree disappear discover discuss dislike display distinguish distribute dive divide do double
doubt download draft drag draw dream dress drift drink drive drop dry dwell earn ease eat echo edit educate elect
eliminate embark embrace emerge emphasize employ empower enable encounter encourage end endure engage enhance enjoy
enlist ensure enter entertain envision escape establish estimate evaluate evolve examine exceed exchange execute
exercise exist expand expect experience experiment explain explore export express extend extract face fail fall fear
feast feature feed feel fetch fight figure fill filter find finish fit fix flee float flow fly focus fold follow
forbid force forecast forge forget forgive form format foster found free freeze fry fulfil fulfill function gain
gather gaze generate get give glance glow go govern grab grant grasp greet grill grind grip grow guarantee guard guess
guide handle hang happen harness hate haul have heal hear heat help hesitate hide highlight hike hire hit hold hope
host hug hunt hurry hurt identify ignore illustrate imagine imitate implement imply import improve include incorporate
increase indicate influence inform initialize initiate insert inspect inspire install instruct integrate intend
interact interpret introduce invent invest investigate invite involve iterate join joke journey judge jump justify
keep kick kill kiss kneel knit knock know label lack land laugh launch lay lead leap learn leave lend let leverage lie
lift limit link list listen live load locate lock log look lose love lower maintain make manage manipulate march mark
marry match matter maximize measure meditate meet melt mention merge minimize mix model modify monitor motivate mount
move multiply name navigate need neglect negotiate nominate note notice notify nurture obey observe obtain occupy
occur offer open operate opt optimize order organise organize overcome owe own pack paint park participate pass pause
pay peel peer perceive perform permit persuade pick place plan plant play plead please plot plunge point polish ponder
pop portray position possess pour practice practise praise pray preach predict prefer prepare present preserve press
pretend prevent print prioritize proceed process produce program promise promote pronounce propose protect prove
provide publish pull pump punish purchase pursue push put qualify question quit quote race raise reach react read
realize recall receive recite recognize recommend reconcile record recover recruit reduce refer refine reflect refresh
refuse regard register regret reject relate relax release rely remain remember remind remove render renew rent repair
repeat replace reply report represent request require rescue research reserve resist resolve respect respond rest
restore restrict result resume retain retire return reveal reverse review revise reward rewrite ride ring rise risk
roar rob roll rotate row rub ruin rule run rush sail save say scan scatter schedule scream scroll search secure see
seek seem select sell send sense separate serve set settle sew shake shape share sharpen shed shift shine ship shoot
shop shout show shrink shut sigh sign simplify simulate sing sink sit skip slay sleep slice slide slip slow smell
smile smoke snap soar solve sort spare spark speak specify spend spin split spot spread sprinkle squeeze stand stare
start state stay steal steer step stick stimulate stir stop store strengthen stretch strike strive structure struggle
study submit substitute subtract succeed suffer suggest suit summarise summarize supply support suppose surprise
surrender surround survive suspect sustain swallow swap swear sweep swim swing switch take talk target taste teach
tear tell tend test thank think thrive throw tie toss touch tour track trade train transform translate transport
travel treasure treat trick trim trust try tune turn twist type understand undertake unfold unite unleash unlock
unveil update upgrade upload urge use utilise utilize validate value vanish vary verify view visit visualise visualize
vote wait wake walk wander want warm warn wash waste watch wave weave weigh welcome whisper widen win wish wonder work
worry wrap wrestle write yell yield zoom activate allocate annotate automate calibrate captivate circulate deviate
dominate donate elaborate elevate facilitate fluctuate formulate hydrate innovate liberate marinate mediate mitigate
narrate originate penetrate populate terminate tolerate accelerate accommodate advocate anticipate appreciate
associate assimilate authenticate complicate contemplate cooperate decorate delegate designate differentiate eliminate
emulate enumerate exaggerate fascinate hesitate imitate incorporate infiltrate investigate isolate penetrate
perpetuate resonate speculate substantiate transcend unravel unwind
""".split()
)
# Forms that no rule makes, and the helping verbs.
_FORMS = frozenset(
    """
am is are was were been being has had having does did done doing can could may might must shall should will would
arose arisen awoke became began begun bent bet bit bitten blew blown bore born bought bound bred broke broken brought
built burnt came caught chose chosen clung cost crept cut dealt drank drawn dreamt drew driven drove dug eaten ate
fallen fed fell felt fled flew flown forbade forgave forgiven forgot forgotten fought found froze frozen gave given
gone got gotten grew grown heard held hid hidden hung kept knelt knew known laid lain lay led left lent lit lost made
meant met overcame paid put quit ran rang read rewritten rewrote ridden risen rode rose rung said sang sank sat saw
seen sent sewn shaken shed shone shook shot shown shrank shut slept slid sold sought spent spoke spoken sprang spread
spun stolen stole stood stuck strove struck strung stung sung sunk swam swept swore sworn swum swung taken taught
thought threw thrown told took tore torn understood undertook went woke woken won wore worn wove woven written wrote
""".split()
)
# Words that end as verbs do and are none.
_NO_VERBS = (
    frozenset(
        """
anything beijing building ceiling during evening everything king morning nothing offspring ring something spring string
sterling thing wing hundred indeed need red sacred seed shed speed bed embed breed greed weed wizened naked wicked size
prize otherwise likewise clockwise paradise franchise merchandise expertise enterprise premise
""".split()
    )
    - _VERBS
)
_ENDING = re.compile(r"[a-z]{3,}ing|[a-z]{4,}(?:ated|ened)")
_MAKES_VERBS = re.compile(r"[a-z]{3,}(?:ize|ise|ify)")


def is_verb(word: str) -> bool:
    """Whether a word can be a verb in one of its forms, a participle among them.

    A tagger decides by the words around; a list cannot. So `Run` passes in "Run home" and in "Run times vary".

    >>> [is_verb(word) for word in ("Running", "Does", "Prioritise", "Let's", "This", "Morning")]
    [True, True, True, True, False, False]
    """
    lowered = word.lower()[:60].replace("’", "'")
    base = lowered.removesuffix("n't").partition("'")[0]
    if base in _VERBS or base in _FORMS or lowered in ("can't", "won't", "cannot"):
        return True
    if base in _NO_VERBS:
        return False
    if _ENDING.fullmatch(base):
        return True
    stems = [stem for stem in (base, *_stems(base)) if stem not in _NO_VERBS]
    return any(stem in _VERBS or _MAKES_VERBS.fullmatch(stem) for stem in stems)


def _stems(word: str) -> list[str]:
    """What a regular form may be made of: tries -> try, stopped -> stop, making -> make."""
    stems = []
    for ending in ("s", "es", "d", "ed", "ing"):
        if word.endswith(ending):
            stem = word[: -len(ending)]
            stems += [stem, stem + "e"]
            if stem.endswith("i"):
                stems.append(stem[:-1] + "y")
            if len(stem) > 2 and stem[-1] == stem[-2]:
                stems.append(stem[:-1])
    return stems
