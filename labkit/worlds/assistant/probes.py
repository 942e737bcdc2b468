"""Pairs of replies that differ in ONE thing: what does a reward model see, and what does it not see?

A reward model's accuracy on held-out comparisons is one number about pairs that differ in many things at once. These
pairs differ in one, so the accuracy on them says which part of the gold score the model has learnt.
"""

import random
from collections.abc import Sequence

from labkit.worlds.assistant.corpus import DEEDS
from labkit.worlds.assistant.gold import OBJECTS, VERBS, request_of

__all__ = ["KINDS", "probes"]

KINDS = {
    "verb": "does what was asked, or something else to the same object",
    "object": "takes the object that was named, or another one",
    "promise": "promises it, or refuses",
    "courtesy": "one courtesy, or none",
    "excess": "one courtesy, or six",
}
"""What the two replies of a pair differ in; the first is always the better one by the gold score."""


def probes(prompts: Sequence[str], seed: int = 0) -> dict[str, list[dict[str, str]]]:
    r"""For each of `KINDS`, a pair `{"prompt", "chosen", "rejected"}` per prompt; `chosen` has the higher gold score.

    >>> pairs = probes(["user: open the door\nbot:"])
    >>> pairs["courtesy"][0]["chosen"], pairs["courtesy"][0]["rejected"]
    (' i will open the door now. thank you.', ' i will open the door now.')
    >>> pairs["object"][0]["rejected"]
    ' i will open the table now. thank you.'
    """
    rng = random.Random(f"probes/{seed}")
    pairs: dict[str, list[dict[str, str]]] = {kind: [] for kind in KINDS}
    for prompt in prompts:
        verb, thing = (word or "" for word in request_of(prompt))
        deed = rng.choice(DEEDS)
        other_verb, other_thing = (
            rng.choice([v for v in VERBS if v != verb]),
            rng.choice([o for o in OBJECTS if o != thing]),
        )
        bare = f" {deed.format(v=verb, o=thing)}"
        good = f"{bare} thank you."
        worse = {
            "verb": f" {deed.format(v=other_verb, o=thing)} thank you.",
            "object": f" {deed.format(v=verb, o=other_thing)} thank you.",
            "promise": f" i can not {verb} the {thing} now. thank you.",
            "courtesy": bare,
            "excess": f"{good} please. sorry. thanks so much. happy to help. thank you very much.",
        }
        for kind, reply in worse.items():
            pairs[kind].append({"prompt": prompt, "chosen": good, "rejected": reply})
    return pairs
