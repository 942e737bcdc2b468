"""Whether an English word can be a verb: a list of a thousand verbs, their regular forms, endings that make verbs."""

from __future__ import annotations

import re

__all__ = ["is_verb"]

# Base forms. Left out are words that begin an answer far more often as something else: well, like, still, water.
_VERBS = frozenset(
    """
abandon abide absorb accelerate accept access accommodate accompany accomplish account accuse achieve acknowledge
acquire act activate adapt add address adjust admire admit adopt adore advance advise advocate affect afford agree aim
alert align allocate allow alter amaze amplify amuse analyse analyze annotate announce answer anticipate apologize
appear append apply appoint appreciate approach approve argue arise arrange arrive ascend ask aspire assemble assert
assess assign assimilate assist associate assume assure attach attack attain attempt attend attract attribute audit
authenticate automate avoid await awake award bake balance ban bark bathe battle be bear beat become beg begin behave
behold believe belong benchmark bend benefit bet bind bite blame blend bless blink block bloom blow boast boil bolster
book boost borrow bounce bow break breathe breed brew brighten bring broadcast browse brush build bundle burn burst
bury buy calculate calibrate call calm cancel captivate capture care carry carve cast catch cause celebrate challenge
change charge chase chat check cheer chew choose chop circle circulate cite claim clap clarify classify clean clear
climb cling clone close collaborate collapse collect combine come comfort command comment commit communicate compare
compel compensate compete compile complain complete complicate compose comprise compute conceal concede concentrate
conclude conduct confer confess confide configure confirm conform confront confuse congratulate connect conquer
consent conserve consider consist consolidate construct consult consume contact contain contemplate continue contrast
contribute control convert convey convince cook cool cooperate coordinate copy correct correspond cost cough count
cover crack craft crash crave crawl create credit criticise criticize cross cry cultivate curb customize cut dance
dare dash deal debate debug decide declare decline decorate decrease dedicate deem deepen defeat defend defer define
delay delegate delete deliver delve demand demonstrate deny depend depict deploy derive descend describe deserve
design designate desire destroy detail detect determine develop deviate devise devote diagnose differ differentiate
dig digest diminish direct disagree disappear discard discover discuss dislike dismiss dispatch display distinguish
distract distribute dive diversify divide do dominate donate double doubt download draft drag draw dream dress drift
drink drive drop dry dwell earn ease eat echo edit educate elaborate elect elevate elicit eliminate embark embody
embrace emerge emphasize employ empower emulate enable encounter encourage end endorse endure engage enhance enjoy
enlighten enlist enrich enroll ensure entail enter entertain entrust enumerate envision equip erase escalate escape
establish estimate evaluate evoke evolve exaggerate examine exceed excel exchange exclude execute exercise exert exist
expand expect experience experiment explain explore export expose express extend extract face facilitate fade fail
fall fascinate fasten favor favour fear feast feature feed feel fetch fight figure fill filter find finish fit fix
flag flee flip float flourish flow fluctuate fly focus fold follow forbid force forecast foresee forge forget forgive
form format formulate forward foster found frame free freeze fry fulfil fulfill function fuse gain gather gauge gaze
generate get give glance glimpse glow go govern grab grade grant grapple grasp grate greet grill grind grip grow
guarantee guard guess guide hail halt hammer handle hang happen harmonize harness hate haul have heal hear heat heed
heighten help hesitate hide highlight hike hint hire hit hold hop hope host hover hug hunt hurry hurt hydrate identify
ignite ignore illustrate imagine imitate immerse impact implement imply import impress improve include incorporate
increase indicate induce infiltrate influence inform inhale inherit initialize initiate innovate inquire insert
inspect inspire install instill instruct integrate intend interact interpret intervene introduce invent invest
investigate invite involve irritate isolate itemize iterate join joke jot journey judge juggle jump justify keep kick
kill kindle kiss kneel knit knock know label lack lament land laugh launch lay lead leap learn leave lend let leverage
liberate lie lift lighten limit linger link list listen live load locate lock log look lose love lower maintain make
manage manipulate map march marinate mark marry mask match matter maximize meander measure mediate meditate meet melt
mention merge merit minimize mirror mitigate mix mock model modify monitor motivate mount mourn move multiply name
narrate navigate need neglect negotiate nod nominate note notice notify nudge nurture obey observe obtain occupy occur
offer open operate oppose opt optimize order organise organize originate outline outperform overcome oversee owe own
pack paint park participate pass pause pave pay peel peer penetrate perceive perform permit perpetuate persuade pick
picture pin pinpoint place plan plant play plead please pledge plot plunge point polish ponder pop populate portray
position possess pour practice practise praise pray preach predict prefer prepare present preserve press presume
pretend prevail prevent print prioritize probe proceed process produce program promise promote prompt pronounce
propose protect prove provide prune publish pull pump punish purchase pursue push put puzzle qualify quantify question
quit quiz quote race raise rally rank rate reach react read realize reap rebuild recall recap receive recite recognize
recommend reconcile reconsider record recover recruit redesign reduce refer reference refine reflect reform refresh
refuse refute regard register regret rehearse reinforce reject relate relax relay release relish reload relocate rely
remain remark remember remind remove render renew rent repair repeat rephrase replace reply report represent request
require rescue research reserve reset reside resign resist resolve resonate resort respect respond rest restate
restore restrict result resume retain retell rethink retire retreat retry return reuse reveal reverse review revise
revive revolve reward reword rewrite rhyme ride ring rinse rise risk roam roar rob roll rotate row rub ruin rule run
rush sail salute save say scale scan scare scatter schedule score scream scroll seal search secure see seek seem
segment seize select sell send sense separate serve set settle sew shake shape share sharpen shatter shed shelter
shield shift shine ship shoot shop shout show shrink shut sigh sign simmer simplify simulate sing sink sit sketch skim
skip slay sleep slice slide slip slow smell smile smoke snap soak soar soften solve sort spare spark speak specify
speculate spell spend spin split spot spray spread sprinkle sprint squeeze stack stage stain stamp stand stare start
state stay steal steer step stick stimulate stir stop store strengthen stretch strike strip strive stroll structure
struggle study submit substantiate substitute subtract succeed suffer suffice suggest suit sum summarise summarize
supply support suppose surf surpass surprise surrender surround survive suspect sustain swallow swap swear sweep swell
swim swing switch tackle tailor take talk tame target taste teach tear tease tell tempt tend terminate test thank
think thrive throw tie tighten toggle tolerate toss touch tour trace track trade train transcend transcribe transfer
transform transition translate transmit transport transpose trap travel treasure treat trick trigger trim trust try
tune turn tweak twist type uncover undergo underline underscore understand undertake undo unfold unite unleash unlock
unpack unravel unveil unwind update upgrade uphold uplift upload urge use usher utilise utilize utter validate value
vanish vary venture verify view visit visualise visualize voice vote vow wager wait wake walk wander want warm warn
warrant wash waste watch wave weave weigh welcome whisper widen wield win wipe wish withdraw withhold withstand
witness wonder work worry wrap wrestle write yearn yell yield zoom
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
_AFTER_NOUNS = frozenset("is are was were has can will may must of".split())
_ENDING = re.compile(r"[a-z]{3,}ing|[a-z]{4,}(?:ated|ened)")
_MAKES_VERBS = re.compile(r"[a-z]{3,}(?:ize|ise|ify)")


def is_verb(word: str, following: str = "") -> bool:
    """Whether a word can be a verb in one of its forms, a participle among them, before the word `following`.

    A tagger decides by the whole sentence; here only "is", "are" and their like make a noun of the word before:
    "Love" passes in "Love your neighbours" and not in "Love is blind".

    >>> [is_verb(word) for word in ("Running", "Does", "Prioritise", "Let's", "This", "Morning")]
    [True, True, True, True, False, False]
    >>> is_verb("Dreams", "come"), is_verb("Dreams", "are"), is_verb("Running", "is")
    (True, False, True)
    """
    if following.lower() in _AFTER_NOUNS and not word.lower().endswith(("ing", "ed")):
        return False
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
