"""Groups of seeds compared: which differences between methods these runs resolve, and which they could have resolved.

The unit is the run. Groups are paired by seed, and problem by problem within a seed. The standard error of a mean
difference comes from a hierarchical bootstrap, which resamples the seeds and the problems; since few seeds show little
of their own spread, the tails are those of Student's t. Several differences at once are corrected after Holm (1979).
"Equivalent" means that two one-sided tests (Schuirmann, 1987) put the difference within a margin that was stated.
"""

import html
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from labkit.errors import UserError
from labkit.evaluation.comparison.settings import flatten
from labkit.evaluation.intervals import t_quantile, t_tail, within_range
from labkit.runs import Run, open_run
from labkit.tables import html_table, number, table, with_interval

__all__ = ["Difference", "Group", "GroupComparison", "compare_groups", "power"]

LEVEL, DRAWS = 0.05, 2000
MEASURES = {"pass_at_1": "per_problem", "mean_reward": "rewards_per_problem"}
Seeds = dict[int, Float[np.ndarray, " problems"]]
Given = Mapping[int, Any] | Sequence[Any] | np.ndarray


@dataclass(frozen=True)
class Group:
    """The runs of one method: the mean of each seed, their mean, and its 95 % t interval over seeds."""

    name: str
    seeds: list[int]
    means: list[float]
    mean: float
    interval: list[float]


@dataclass(frozen=True)
class Difference:
    """`second` minus `first`, paired by seed.

    Attributes:
        seeds: the seeds that both groups have.
        problems: how many problems each run answered; 1 where a run is given by one number.
        mean, interval: the mean difference with its 95 % interval, before any correction.
        p: of the test that there is no difference, corrected after Holm for all the differences shown.
        resolved: whether p is below 5 %.
        p_equivalent, equivalent: of two one-sided tests of |difference| >= margin, corrected; None without a margin.
        smallest: the difference that so many seeds and problems, with this noise, would resolve four times in five.
        sd_seeds, sd_problems: the noise: the standard deviation of the difference over seeds (each seed's mean over
            problems) and over problems (each problem's mean over seeds). `power` takes them.
    """

    first: str
    second: str
    seeds: list[int]
    problems: int
    mean: float
    interval: list[float]
    p: float
    resolved: bool
    margin: float | None
    p_equivalent: float | None
    equivalent: bool | None
    smallest: float
    sd_seeds: float
    sd_problems: float

    @property
    def verdict(self) -> str:
        """In words: higher, lower or not resolved, and whether it is equivalent within the margin."""
        said = ("higher" if self.mean > 0 else "lower") if self.resolved else "not resolved"
        return f"{said}, equivalent within {self.margin:g}" if self.equivalent else said


@dataclass
class GroupComparison:
    """Groups of seeds compared. `comparison["ppo", "grpo"]` is the difference ppo minus grpo."""

    measure: str
    groups: list[Group]
    differences: list[Difference]

    def __getitem__(self, names: tuple[str, str]) -> Difference:
        second, first = names
        for difference in self.differences:
            if (difference.second, difference.first) == (second, first):
                return difference
        shown = ", ".join(f"[{d.second!r}, {d.first!r}]" for d in self.differences)
        raise UserError(f"there is no difference {second!r} minus {first!r} here; there are {shown}")

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain data, for JSON."""
        return asdict(self)

    def tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """The title, the header and the rows of each table, all as text."""
        groups = [[g.name, str(len(g.seeds)), with_interval(g.mean, g.interval)] for g in self.groups]
        tables = [(f"{self.measure}: mean [95 % interval over seeds]", ["group", "seeds", "mean"], groups)]
        margin = any(d.margin is not None for d in self.differences)
        rows = []
        for d in self.differences:
            cells = [d.second, d.first, with_interval(d.mean, d.interval, "+"), number(d.p)]
            cells += [number(d.p_equivalent)] if margin else []
            rows.append([*cells, number(d.smallest), d.verdict])
        head = ["group", "minus", "difference [95 %]", "p", *(["p, equivalence"] if margin else [])]
        count = len(self.differences)
        corrected = f"; p corrected for {count} comparisons (Holm)" if count > 1 else ""
        title = f"Paired by seed, bootstrap over seeds and problems{corrected}"
        return [*tables, (title, [*head, "could have resolved", "verdict"], rows)]

    def __str__(self) -> str:
        return "\n\n".join(f"{title}\n{table(header, rows)}" for title, header, rows in self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(f"<h4>{html.escape(title)}</h4>{html_table(head, rows)}" for title, head, rows in self.tables())


def compare_groups(
    groups: Mapping[str, Given],
    measure: str | Callable[[Run], float | Sequence[float]] = "pass_at_1",
    *,
    pairs: Literal["first", "all"] | Sequence[tuple[str, str]] = "first",
    margin: float | None = None,
    limits: tuple[float, float] | None = None,
    seed: int = 0,
) -> GroupComparison:
    """Compare groups of seeds, paired by seed; the text says how many comparisons there are and corrects for them.

    `groups`: each group by its name, as runs (or their paths); or as what was measured: an array [seeds, problems] or
    [seeds], or a dictionary from seed to a number or to one number per problem.
    `measure`: of runs, "pass_at_1" or "mean_reward" after training, or a function of a run that returns a number or
    one number per problem; of measured values it is only their name.
    `pairs`: each group minus the first, "all" pairs (the later minus the earlier), or the pairs (group, minus).
    `margin`: a difference below it does not matter; a third of the effect in question or less. Tests equivalence.
    `limits`: the range of the measure, (0, 1) for a share (known for pass_at_1): intervals stay inside.

    Raises UserError where two groups share fewer than two seeds, or where runs answered other problems.

    >>> found = compare_groups({"a": [0.50, 0.52, 0.49], "b": [0.61, 0.62, 0.61]}, "accuracy", margin=0.02)
    >>> found["b", "a"].verdict, round(found["b", "a"].mean, 2), [round(x, 2) for x in found["b", "a"].interval]
    ('higher', 0.11, [0.09, 0.13])
    """
    name = measure if isinstance(measure, str) else getattr(measure, "__name__", "measure")
    values = {label: _values(label, given, measure) for label, given in groups.items()}
    if len(values) < 2:
        raise UserError(f"compare_groups needs at least two groups, not {len(values)}")
    _check_settings(groups)
    limits = (0.0, 1.0) if limits is None and measure == "pass_at_1" else limits
    chosen = _pairs(list(values), pairs)
    estimates = [_estimate(values, first, second, seed) for second, first in chosen]
    tails = [_two_sided(e.mean, e.error, e.freedom) for e in estimates]
    outside = [_margin_tail(e, margin) for e in estimates] if margin is not None else []
    corrected, corrected_outside = holm(tails), holm(outside)
    differences = []
    for index, e in enumerate(estimates):
        half = t_quantile(e.freedom) * e.error
        width = math.inf if limits is None else limits[1] - limits[0]
        interval = [max(e.mean - half, -width), min(e.mean + half, width)]
        p_out = corrected_outside[index] if margin is not None else None
        p = corrected[index]
        smallest = _smallest(e.error, e.freedom, len(estimates))
        facts = (e.first, e.second, e.seeds, e.problems, e.mean, interval, p, p < LEVEL, margin, p_out)
        equivalent = None if p_out is None else p_out < LEVEL
        differences.append(Difference(*facts, equivalent, smallest, e.sd_seeds, e.sd_problems))
    return GroupComparison(name, [_group(label, seeds, limits) for label, seeds in values.items()], differences)


def power(
    seeds: int,
    problems: int = 1,
    *,
    sd_seeds: float,
    sd_problems: float = 0.0,
    comparisons: int = 1,
    chance: float = 0.8,
) -> float:
    """The smallest difference that so many seeds and problems resolve (at 5 %) with the given chance.

    The two standard deviations are those of a paired difference, from a pilot (`Difference.sd_seeds`,
    `.sd_problems`) or from earlier runs; the correction for several comparisons is Bonferroni's, which bounds Holm's.

    >>> [round(power(seeds, 200, sd_seeds=0.03, sd_problems=0.3), 3) for seeds in (5, 10)]
    [0.072, 0.066]
    """
    if seeds < 2 or problems < 1 or comparisons < 1 or not 0 < chance < 1:
        raise UserError("power needs at least 2 seeds, 1 problem, 1 comparison, and a chance between 0 and 1")
    error, freedom = _combined(sd_seeds**2 / seeds, seeds, sd_problems**2 / problems, problems)
    return _smallest(error, freedom, comparisons, chance)


def holm(ps: Sequence[float]) -> list[float]:
    """P-values corrected for all of them being looked at (Holm, 1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, ps[index] * (len(ps) - rank)))
        corrected[index] = highest
    return corrected


@dataclass(frozen=True)
class _Estimate:
    first: str
    second: str
    seeds: list[int]
    problems: int
    mean: float
    error: float
    freedom: float
    sd_seeds: float
    sd_problems: float


def _estimate(values: dict[str, Seeds], first: str, second: str, seed: int) -> _Estimate:
    """The mean difference and its standard error, by resampling problems, and seeds and problems."""
    shared = sorted(set(values[first]) & set(values[second]))
    if len(shared) < 2:
        told = ", ".join(map(str, shared)) or "none"
        raise UserError(f"{first!r} and {second!r} share too few seeds ({told}): a comparison needs at least two")
    for each in shared:
        sizes = len(values[first][each]), len(values[second][each])
        if len({*sizes, len(values[first][shared[0]])}) > 1:
            raise UserError(
                f"{first!r} and {second!r} cannot be paired: seed {each} has {sizes[0]} and {sizes[1]} problems"
            )
    d = np.stack([values[second][each] - values[first][each] for each in shared])
    n, problems = d.shape
    rng = np.random.default_rng(seed)
    # How often each draw takes each seed and each problem.
    of_seeds = rng.multinomial(n, np.full(n, 1 / n), DRAWS) / n
    of_problems = rng.multinomial(problems, np.full(problems, 1 / problems), DRAWS) / problems
    over_problems = of_problems @ (d.mean(0) - d.mean())
    over_both = (of_seeds @ (d - d.mean()) * of_problems).sum(1)
    # n seeds drawn from n have too small a spread by (n - 1) / n.
    var_seeds = float(np.var(over_both - over_problems)) * n / (n - 1)
    var_problems = float(np.var(over_problems)) * problems / max(problems - 1, 1)
    error, freedom = _combined(var_seeds, n, var_problems, problems)
    spread = float(d.mean(0).std(ddof=1)) if problems > 1 else 0.0
    return _Estimate(
        first, second, shared, problems, float(d.mean()), error, freedom, float(d.mean(1).std(ddof=1)), spread
    )


def _combined(var_seeds: float, seeds: int, var_problems: float, problems: int) -> tuple[float, float]:
    """The standard error of both, and its degrees of freedom (Satterthwaite, 1946)."""
    variance = var_seeds + var_problems
    if variance < 1e-24:  # rounding: the differences are all equal
        return 0.0, seeds - 1.0
    parts = var_seeds**2 / (seeds - 1) + (var_problems**2 / (problems - 1) if problems > 1 else 0.0)
    return math.sqrt(variance), variance**2 / parts


def _smallest(error: float, freedom: float, comparisons: int, chance: float = 0.8) -> float:
    return (t_quantile(freedom, 1 - LEVEL / 2 / comparisons) + t_quantile(freedom, chance)) * error


def _two_sided(mean: float, error: float, freedom: float) -> float:
    if error == 0:
        return float(abs(mean) < 1e-12)
    return 2 * t_tail(abs(mean) / error, freedom)


def _margin_tail(e: _Estimate, margin: float) -> float:
    """The larger p of the two one-sided tests, against a difference of +margin or more and of -margin or less."""
    if margin <= 0:
        raise UserError(f"the margin of an equivalence must be above 0, not {margin:g}")
    room = margin - abs(e.mean)
    return float(room <= 0) if e.error == 0 else t_tail(room / e.error, e.freedom)


def _values(label: str, given: Given, measure: str | Callable[[Run], Any]) -> Seeds:
    """Per seed an array of one value per problem (of one value where there are no problems)."""
    if isinstance(given, Mapping):
        pairs = [(int(seed), value) for seed, value in given.items()]
    else:
        listed = list(given)
        if listed and isinstance(listed[0], Run | str | Path):
            opened = [run if isinstance(run, Run) else open_run(run) for run in listed]
            pairs = [(int(run.recipe.get("seed", 0)), _measured(run, measure)) for run in opened]
        else:
            pairs = list(enumerate(listed))
    seeds: Seeds = {}
    for seed, value in pairs:
        if seed in seeds:
            raise UserError(f"group {label!r} has two runs with seed {seed}: they are one seed, not two")
        seeds[seed] = np.atleast_1d(np.asarray(value, dtype=float))
        if seeds[seed].ndim != 1 or not len(seeds[seed]) or not np.isfinite(seeds[seed]).all():
            raise UserError(f"group {label!r}, seed {seed}: give a number or one finite number per problem")
    if len(seeds) < 2:
        raise UserError(f"group {label!r} has {len(seeds)} seed(s): a comparison of methods needs at least two")
    return seeds


def _measured(run: Run, measure: str | Callable[[Run], Any]) -> Any:
    if callable(measure):
        return measure(run)
    if measure not in MEASURES:
        raise UserError(f"unknown measure {measure!r}; choose {' or '.join(MEASURES)}, or give a function of a run")
    found = ((run.result or {}).get("after") or {}).get(MEASURES[measure])
    if not found:
        raise UserError(f"{run.path} has no {measure} after training: it is not finished, or its evaluation has none")
    return found


def _check_settings(groups: Mapping[str, Given]) -> None:
    """Runs must have answered the same problems: the task and the settings of the evaluation agree."""
    keys = ("task", "evaluation.seed", "evaluation.problems", "evaluation.temperature")
    seen: dict[str, tuple[Any, ...]] = {}
    for label, given in groups.items():
        for run in () if isinstance(given, Mapping) else given:
            if isinstance(run, Run | str | Path):
                flat = flatten((run if isinstance(run, Run) else open_run(run)).recipe)
                seen[label] = facts = tuple(flat.get(key) for key in keys)
                first = next(iter(seen))
                for key, ours, theirs in zip(keys, seen[first], facts, strict=True):
                    if ours != theirs:
                        raise UserError(
                            f"{first!r} and {label!r} were evaluated differently: {key} {ours} and {theirs}"
                        )


def _pairs(names: list[str], pairs: Any) -> list[tuple[str, str]]:
    """(group, minus) for each difference."""
    if pairs == "first":
        return [(name, names[0]) for name in names[1:]]
    if pairs == "all":
        return [(second, first) for first, second in itertools.combinations(names, 2)]
    for pair in pairs:
        if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(names):
            raise UserError(f"{pair!r} is no pair of two of these groups: {', '.join(names)}")
    return [(second, first) for second, first in pairs]


def _group(label: str, seeds: Seeds, limits: tuple[float, float] | None) -> Group:
    means = [float(values.mean()) for values in seeds.values()]
    mean = math.fsum(means) / len(means)
    half = t_quantile(len(means) - 1) * float(np.std(means, ddof=1)) / math.sqrt(len(means))
    interval = within_range(mean, half, "logit" if limits == (0, 1) else "plain")
    return Group(label, list(seeds), means, mean, list(interval))
