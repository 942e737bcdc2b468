"""The trainers that a recipe may name, and their algorithms (those of RL are in `labkit.algorithms.PRESETS`).

An algorithm is one line of `ALGORITHMS`. If it learns from rows of data, the line names its class: a subclass of
`labkit.training.rows.trainer.RowTrainer`, in its own file. So a new algorithm takes one file and one line.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

RL: tuple[str, ...] = ("rl", "ppo")
ONLINE: tuple[str, ...] = (*RL, "distillation")
Product = Literal["policy", "reward model", "outcome model"]


class Rule(NamedTuple):
    """A rule for a value, in words (`must`) and as a function. An error reads `KEY {must}, not VALUE`."""

    must: str
    accepts: Callable[[Any], bool]


def is_number(value: object) -> bool:
    """Whether the value is a finite number. True and False are no numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


LARGEST = 1e6  # far beyond every sensible value
NUMBER = Rule("must be a number", is_number)
POSITIVE = Rule("must be a number above 0 and at most 1e6", lambda x: is_number(x) and 0 < x <= LARGEST)
NOT_NEGATIVE = Rule("must be a number from 0 up to 1e6", lambda x: is_number(x) and 0 <= x <= LARGEST)
BELOW_HALF = Rule("must be a number from 0 to below 1/2", lambda x: is_number(x) and 0 <= x < 0.5)
INSIDE_0_1 = Rule(
    "must lie between 0 and 1 (at the ends use forward_kl or reverse_kl)", lambda x: is_number(x) and 0 < x < 1
)
SWITCH = Rule("must be true, false or null", lambda x: x is None or isinstance(x, bool))


@dataclass(frozen=True)
class Algorithm:
    """One algorithm of a trainer.

    `rows` is the class that learns from rows of data, or "module:class", which is imported when it is needed; None if
    the policy learns from its own samples. `options` holds the keys of `algorithm_options` and their rules. `product`
    is the kind of model with which a run ends. For a reward model, only differences of its numbers mean something. The
    number of an outcome model is a log-odds that the answer is right.
    """

    trainer: str
    rows: str | type | None = None
    options: Mapping[str, Rule] = field(default_factory=dict)
    product: Product = "policy"


_BETA = {"beta": POSITIVE, "average": SWITCH}
_SMOOTHED = {**_BETA, "label_smoothing": BELOW_HALF}
_MARGIN = {"margin": NOT_NEGATIVE, "centering": NOT_NEGATIVE}
_WEIGHTS = {"beta": POSITIVE, "desirable_weight": NOT_NEGATIVE, "undesirable_weight": NOT_NEGATIVE}
ROWS = "labkit.training.rows"

# The first algorithm of a trainer is its default.
ALGORITHMS: dict[str, Algorithm] = {
    "reverse_kl": Algorithm("distillation"),
    "forward_kl": Algorithm("distillation"),
    "jsd": Algorithm("distillation", options={"beta": INSIDE_0_1}),
    "sft": Algorithm("sft", f"{ROWS}.sft:SFT"),
    "bradley_terry": Algorithm("reward_model", f"{ROWS}.comparisons:BradleyTerry", _MARGIN, "reward model"),
    "outcome": Algorithm("reward_model", f"{ROWS}.outcomes:OutcomeModel", product="outcome model"),
    "process": Algorithm("reward_model", f"{ROWS}.outcomes:ProcessModel", product="outcome model"),
    "dpo": Algorithm("preferences", f"{ROWS}.preferences:Preferences", _BETA),
    "cdpo": Algorithm("preferences", f"{ROWS}.preferences:Preferences", _SMOOTHED),
    "robust_dpo": Algorithm("preferences", f"{ROWS}.preferences:Preferences", _SMOOTHED),
    "ipo": Algorithm("preferences", f"{ROWS}.preferences:Preferences", _BETA),
    "simpo": Algorithm("preferences", f"{ROWS}.preferences:Preferences", {"beta": POSITIVE, "gamma": NOT_NEGATIVE}),
    "orpo": Algorithm("preferences", f"{ROWS}.preferences:Preferences", {"beta": POSITIVE, "nll_coef": NOT_NEGATIVE}),
    "kto": Algorithm("preferences", f"{ROWS}.kto:KTO", _WEIGHTS),
}


def trainers() -> tuple[str, ...]:
    """Every value of a recipe's `trainer`."""
    return tuple(dict.fromkeys([*RL, *(algorithm.trainer for algorithm in ALGORITHMS.values())]))


def row_trainers() -> tuple[str, ...]:
    """The trainers that learn from rows of data."""
    return tuple(dict.fromkeys(a.trainer for a in ALGORITHMS.values() if a.rows is not None))


def algorithms_of(trainer: str) -> list[str]:
    """The names of a trainer's algorithms, the default first; empty for RL, PPO and unknown trainers."""
    return [name for name, algorithm in ALGORITHMS.items() if algorithm.trainer == trainer]


def default_algorithm(trainer: str) -> str:
    """The algorithm of a recipe that names none; "" for an unknown trainer."""
    defaults = {"rl": "grpo", "ppo": "ppo"}
    return defaults[trainer] if trainer in defaults else next(iter(algorithms_of(trainer)), "")


def product_of(algorithm: str) -> Product:
    """The kind of model with which a run of an algorithm ends. Every RL preset ends with a policy."""
    return ALGORITHMS[algorithm].product if algorithm in ALGORITHMS else "policy"


def gives_policy(trainer: str) -> bool:
    """Whether the runs of a trainer end with a policy: a model that can be sampled from and evaluated on a task."""
    return all(product_of(name) == "policy" for name in algorithms_of(trainer))


def check_algorithm(trainer: str, algorithm: str, options: Mapping[str, Any]) -> None:
    """Raises ValueError for an unknown algorithm of a trainer, an unknown option, or a value out of its range."""
    known = algorithms_of(trainer)
    if algorithm not in known:
        raise ValueError(f"unknown algorithm {algorithm!r} of trainer {trainer}; there are {', '.join(known)}")
    rules = ALGORITHMS[algorithm].options
    for key, value in options.items():
        if key not in rules:
            has = ", ".join(rules) or "no options"
            raise ValueError(f"algorithm_options of {algorithm} has no {key!r}; it has {has}")
        if not rules[key].accepts(value):
            raise ValueError(f"algorithm_options.{key} {rules[key].must}, not {value!r}")
