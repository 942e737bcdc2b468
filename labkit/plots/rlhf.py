"""Figures of RLHF: over-optimisation, calibration, win rates, log-probs of pairs, histograms of one update."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped

from labkit.errors import UserError
from labkit.evaluation.calibration import calibration_bins, calibration_error, pair_confidence
from labkit.evaluation.intervals import t_interval
from labkit.evaluation.wins import win_rates
from labkit.plots.curves import running_mean
from labkit.plots.style import LINES, MARKERS, PALETTE, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = 8  # markers per curve: enough to tell curves apart in grey, few enough to see the line


# -------------------------------------------------------------------------------------------- over-optimisation


def over_optimization(
    curves: Mapping[str, Any], smooth: int = 5, split: bool = False, title: str | None = None
) -> Figure:
    """Draws proxy and gold reward against sqrt(KL), for RL runs and best-of-n alike (Gao et al. 2023, figure 1).

    `curves` maps labels to a run, to a list of runs (its seeds), or to rows such as `best_of_n_curve` returns (keys
    `kl`, `score` or `proxy`, `gold`, and optionally `score_interval` and `gold_interval`). The KL is that of a whole
    ANSWER, in nats: for a run, its `kl` per token times its response length. Gold is drawn solid and filled, the proxy
    dashed and hollow.

    Of a run each step is a point, averaged over `smooth` steps. Seeds are drawn thin, their mean by step thick; error
    bars are 95 % intervals: t intervals over three seeds or more, or those of the rows. `split` gives gold and proxy a
    panel each, as their scales differ. Raises UserError where a curve lacks one of the numbers.
    """
    if not curves:
        raise UserError("over_optimization needs at least one curve: a run, or rows of best_of_n_curve")
    points = {label: _members(label, given, smooth) for label, given in curves.items()}
    with panels(2 if split else 1, size=(4.6, 4.2) if split else (6.4, 4.7)) as (figure, axes):
        for number, (label, members) in enumerate(points.items()):
            _draw_tradeoff(axes[0], "gold", label, members, number)
            _draw_tradeoff(axes[-1], "proxy", label, members, number)
        titles = ("Gold reward", "Proxy reward") if split else (title or "Proxy and gold reward",)
        for axis, name in zip(axes, titles, strict=True):
            axis.set_title(name)
            axis.set_xlabel("distance from the start, √KL (√nats of an answer)")
            axis.set_ylabel("reward (its own scale)")
            axis.set_xlim(left=-0.05)
            # Below the panel: the curves cross all of it.
            axis.legend(title="bars: 95 %", loc="upper left", bbox_to_anchor=(0.0, -0.17))
        if split:
            figure.suptitle(title or "Proxy and gold reward", fontweight="bold", x=0.01, ha="left")
    return figure


def _members(label: str, given: Any, smooth: int) -> list[dict[str, Any]]:
    """The points of each seed, as arrays: kl, proxy, gold, and intervals where there are some."""
    is_rows = isinstance(given, Sequence) and bool(given) and isinstance(given[0], Mapping)
    listed = [given] if is_rows or not isinstance(given, Sequence) else list(given)
    if not listed:
        raise UserError(f"{label}: there is no run to draw")
    return [_from_rows(label, one) if is_rows else _from_run(label, one.metrics, smooth) for one in listed]


def _from_rows(label: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    proxy = "proxy" if "proxy" in rows[0] else "score"
    columns: dict[str, Any] = {
        "kl": _column(label, rows, "kl"),
        "proxy": _column(label, rows, proxy),
        "gold": _column(label, rows, "gold"),
    }
    for name, key in (("proxy", proxy), ("gold", "gold")):
        if f"{key}_interval" in rows[0]:
            columns[f"{name}_interval"] = np.array([row[f"{key}_interval"] for row in rows], dtype=float)
    return columns


def _from_run(label: str, lines: Sequence[Mapping[str, Any]], smooth: int) -> dict[str, Any]:
    if not lines:
        raise UserError(f"the run {label} has no steps to draw yet: its metrics.jsonl is empty")
    kl = _column(label, lines, "kl") * _column(label, lines, "response_length")
    columns = {"kl": kl, "proxy": _column(label, lines, "reward_mean"), "gold": _column(label, lines, "gold_mean")}
    return {name: running_mean(values, smooth) for name, values in columns.items()}


def _column(label: str, rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    if any(row.get(key) is None for row in rows):
        have = sorted({k for row in rows for k, value in row.items() if value is not None})
        raise UserError(f"{label}: no {key!r} to draw in some of its rows; there is: {', '.join(have)}")
    return np.array([row[key] for row in rows], dtype=float)


def _draw_tradeoff(axis: Axes, what: str, label: str, members: list[dict[str, Any]], number: int) -> None:
    colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
    style = {"color": colour, "linestyle": "-" if what == "gold" else "--"}
    # A KL that is estimated from samples can be a little below zero.
    paths = [(np.sqrt(np.maximum(m["kl"], 0)), m[what]) for m in members]
    if len(paths) > 1:
        for x, y in paths:
            axis.plot(x, y, linewidth=0.7, alpha=0.45, **style)
    steps = min(len(x) for x, _ in paths)
    x, y = (np.stack([path[i][:steps] for path in paths]) for i in (0, 1))
    marks = np.unique(np.linspace(0, steps - 1, min(MARKS, steps)).round().astype(int))
    face = colour if what == "gold" else "white"
    seeds = f", mean of {len(paths)} seeds" if len(paths) > 1 else ""
    name = f"{label}, {what}{seeds}"
    style |= {"marker": marker, "markevery": marks.tolist(), "markerfacecolor": face}
    axis.plot(x.mean(0), y.mean(0), linewidth=2, label=name, **style)
    bounds = members[0].get(f"{what}_interval")
    if len(paths) >= 3:
        bounds = np.array([t_interval(values) for values in y.T])
    if bounds is not None:
        reach = np.abs(bounds[:steps] - y.mean(0)[:, None]).T
        axis.errorbar(x.mean(0)[marks], y.mean(0)[marks], reach[:, marks], fmt="none", ecolor=colour, capsize=2.5)


# -------------------------------------------------------------------------------------------------- calibration


def calibration(
    models: Mapping[str, Any] | Shaped[np.ndarray, " pairs"] | Sequence[float],
    bins: int = 8,
    title: str = "Calibration of the reward model",
) -> Figure:
    """Draws how often a model is right against how sure it was: a calibrated model lies on the diagonal.

    `models` maps labels to margins score(chosen) - score(rejected) of held-out pairs, or to a tuple (predicted,
    happened) of any forecast; one list of margins is enough for one model. Error bars: the 95 % Wilson interval of each
    bin.
    """
    given = models if isinstance(models, Mapping) else {"reward model": models}
    with panels(1, size=(5.4, 4.8)) as (figure, (axis,)):
        lowest = 1.0
        for number, (label, data) in enumerate(given.items()):
            pair = data if isinstance(data, tuple) else pair_confidence(data)
            rows = calibration_bins(*pair, bins)
            x, y = (np.array([row[key] for row in rows]) for key in ("predicted", "observed"))
            reach = np.array([[row["observed"] - row["low"], row["high"] - row["observed"]] for row in rows]).T
            lowest = min(lowest, float(x.min()), *[row["low"] for row in rows])
            name = f"{label}: right {np.mean(pair[1]):.2f}, calibration error {calibration_error(*pair, bins):.3f}"
            style = {"color": PALETTE[number % len(PALETTE)], "linestyle": LINES[number % len(LINES)], "linewidth": 1.8}
            axis.errorbar(x, y, reach, marker=MARKERS[number % len(MARKERS)], capsize=3, label=name, **style)
        start = math.floor(10 * lowest) / 10
        axis.plot([start, 1], [start, 1], color="#777777", linewidth=1, linestyle=":", label="perfectly calibrated")
        axis.set(xlim=(start, 1.01), ylim=(start, 1.02), xlabel="said: probability of being right")
        axis.set_ylabel("seen: share that was right")
        axis.set_title(title)
        axis.legend(loc="upper left", bbox_to_anchor=(0.0, -0.14))
    return figure


# ----------------------------------------------------------------------------------------------------- win rates


def win_rate_matrix(
    scores: Mapping[str, Shaped[np.ndarray, " prompts"] | Sequence[float]], title: str = "Win rates"
) -> Figure:
    """Draws how often the policy of a row beats that of a column on the same prompts, with 95 % intervals.

    `scores`: as for `win_rates`. A number is bold where its interval excludes one half; elsewhere no policy is ahead.
    """
    rates, names = win_rates(scores), list(scores)
    table = np.array([[rates[a, b][0] if a != b else np.nan for b in names] for a in names])
    side = max(1.35 * len(names), 3.4)
    with panels(1, size=(side + 2.1, side + 0.7)) as (figure, (axis,)):
        image = axis.imshow(table, cmap=_blue_white_orange(), vmin=0, vmax=1)
        for (row, one), (column, other) in _pairs(names):
            rate, low, high = rates[one, other]
            weight = "bold" if low > 0.5 or high < 0.5 else "normal"
            text = f"{rate:.2f}\n[{low:.2f}, {high:.2f}]"
            axis.text(column, row, text, ha="center", va="center", fontsize=9, fontweight=weight)
        axis.set_xticks(range(len(names)), names, rotation=20, ha="right")
        axis.set_yticks(range(len(names)), names)
        axis.set(xlabel="against", ylabel="how often this one wins")
        axis.grid(False)
        prompts = len(next(iter(scores.values())))
        axis.set_title(f"{title}\n({prompts} prompts; [95 %]; bold: not one half)", fontsize=10)
        figure.colorbar(image, ax=axis, label="win rate (ties are half)", shrink=0.8)
    return figure


def _pairs(names: list[str]) -> list[tuple[tuple[int, str], tuple[int, str]]]:
    numbered = list(enumerate(names))
    return [(one, other) for one in numbered for other in numbered if one != other]


def _blue_white_orange() -> Any:
    """Blue for losing, white for even, orange for winning: light enough for black letters, colour-blind safe."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("win_rate", ["#8fc1e3", "#ffffff", "#f5b183"])


# ------------------------------------------------------------------------------------------- preference training


def logprob_curves(
    runs: Any,
    fields: tuple[str, str] = ("logprob_chosen", "logprob_rejected"),
    smooth: int = 5,
    title: str | None = None,
) -> Figure:
    """Draws the log-probs of chosen and of rejected answers over training, one panel per run.

    `runs`: one run, or labels mapped to runs. A preference loss raises the GAP between the two lines; both may fall.
    `fields` names the two metrics. Raises UserError where a run has not logged them.
    """
    given = runs if isinstance(runs, Mapping) else {str(runs.recipe.get("name", "run")): runs}
    if not given:
        raise UserError("logprob_curves needs at least one run")
    with panels(len(given), columns=min(3, len(given)), size=(3.9, 3.1)) as (figure, axes):
        for axis, (label, run) in zip(axes, given.items(), strict=True):
            lines = [line for line in run.metrics if all(line.get(field) is not None for field in fields)]
            if not lines:
                known = sorted({key for line in run.metrics for key in line} - {"step"})
                missing = " and ".join(fields)
                raise UserError(f"{label} has not logged {missing}; there is: {', '.join(known) or 'nothing'}")
            steps = np.array([line["step"] for line in lines], dtype=float)
            for number, (field, name) in enumerate(zip(fields, ("chosen", "rejected"), strict=True)):
                values = np.array([line[field] for line in lines], dtype=float)
                style = {"color": PALETTE[number], "linestyle": LINES[number]}
                axis.plot(steps, values, linewidth=0.7, alpha=0.4, color=PALETTE[number])
                axis.plot(steps, running_mean(values, smooth), linewidth=2, label=name, **style)
                axis.axhline(values[0], color=PALETTE[number], linewidth=0.8, linestyle=":")
            axis.set(xlabel="step", ylabel="log-prob of an answer (nats)")
            axis.set_title(label)
        axes[0].legend(title="dotted: at the first step")
        figure.suptitle(title or "Log-probs of chosen and rejected answers", fontweight="bold", x=0.01, ha="left")
    return figure


# ---------------------------------------------------------------------------------------------------- one update


def update_histograms(
    advantages: Any, ratios: Any, clip_low: float = 0.2, clip_high: float = 0.2, bins: int = 40
) -> Figure:
    """Draws the tokens of one update: their advantages, and their ratios new / old with the bounds of the clip.

    `advantages` and `ratios`: one number per token of the mask, as tensors or arrays of any shape. Counts are on a log
    scale, since nearly all ratios are near 1 and the few others do the harm. A token is CLIPPED (hatched) where its
    ratio is beyond a bound and its advantage pushes it further: it has no gradient.
    """
    a, r = _flat(advantages), _flat(ratios)
    if len(a) != len(r) or not len(a):
        raise UserError(f"update_histograms needs an advantage and a ratio a token, not {len(a)} and {len(r)}")
    if not (np.isfinite(a).all() and (r > 0).all() and np.isfinite(r).all()):
        raise UserError("update_histograms draws finite advantages and positive, finite ratios: apply the mask first")
    clipped = ((a > 0) & (r > 1 + clip_high)) | ((a < 0) & (r < 1 - clip_low))
    with panels(2, size=(4.4, 3.4)) as (figure, (left, right)):
        limit = max(float(np.abs(a).max()), 1e-3)
        edges = np.linspace(-limit, limit, bins + 1)
        silent = {"no signal": a[a == 0]} if (a == 0).any() else {}
        _stack(left, edges, {"pushed up": a[a > 0], "pushed down": a[a < 0], **silent})
        left.set(title="Advantages", xlabel="advantage")
        reach = max(float(np.abs(np.log(r)).max()), 1.5 * math.log1p(min(clip_high, 1.0)))
        edges = np.exp(np.linspace(-reach, reach, bins + 1))
        _stack(right, edges, {"kept": r[~clipped], "clipped": r[clipped]})
        for bound in (1 - clip_low, 1 + clip_high):
            if 0 < bound < math.inf:
                right.axvline(bound, color="#000000", linewidth=1.2, linestyle="--")
        right.set(xscale="log", title="Ratios (dashed: bounds of the clip)", xlabel="new / old probability")
        ticks = [t for t in (0.01, 0.1, 0.2, 0.5, 0.8, 1, 1.2, 2, 5, 10, 100) if abs(math.log(t)) <= reach]
        right.set_xticks(ticks, [f"{t:g}" for t in ticks])
        right.minorticks_off()
    return figure


def _flat(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=float).ravel()


def _stack(axis: Axes, edges: np.ndarray, parts: Mapping[str, np.ndarray]) -> None:
    """The parts of one histogram on top of each other, with different colours and hatching."""
    looks = ((PALETTE[0], ""), (PALETTE[1], "//"), ("#999999", ".."))[: len(parts)]
    *_, drawn = axis.hist(
        list(parts.values()),
        edges,
        stacked=True,
        color=[colour for colour, _ in looks],
        label=[f"{name} ({len(values)})" for name, values in parts.items()],
    )
    for bars, (_, hatch) in zip(drawn, looks, strict=True):
        for bar in bars:
            bar.set(hatch=hatch, edgecolor="white", linewidth=0)
    axis.set_yscale("log")
    axis.set_ylim(0.7, axis.get_ylim()[1] * 10)  # the legend stands above the bars
    axis.set_ylabel("tokens (log scale)")
    axis.legend()
