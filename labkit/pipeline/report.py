"""What the models of a pipeline's stages can do: one table, one row per stage, with intervals.

Every model answers the same held-out problems with the same random numbers. With one seed the intervals are over
problems (bootstrap); with several they are over seeds (Student's t). The difference between two stages is taken seed by
seed, and so is its interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labkit.errors import UserError
from labkit.evaluation.intervals import bootstrap_interval, t_interval
from labkit.evaluation.report import pass_at_k
from labkit.jsonl import finite
from labkit.models import Policy
from labkit.recipes.pipeline import BASE, Measure, Pipeline, Stage, validate_pipeline
from labkit.recipes.trainers import RL
from labkit.rollouts import Rollouts, score
from labkit.runs import Run, open_run
from labkit.sampling import fitting, sample
from labkit.storage import read_json
from labkit.tables import markdown_table, table, with_interval
from labkit.tasks import Task, load_task
from labkit.worlds.countdown import trace

EVALUATION, HARVEST = "evaluation.json", "rows.jsonl"
METRICS = {
    "pass_at_1": "pass@1",
    "pass_at_k": "pass@{k}",
    "format": "format",
    "readability": "readability",
    "length": "length, tokens",
    "gold": "assistant, gold",
}
"""The columns: shares of samples, except for the length and the gold score (at best 1) of replies to requests.

`readability` is the share of clean lines (`labkit.worlds.countdown.trace`), over the samples that show a thought.
"""


def stage_folder(folder: Path, pipeline: Pipeline, name: str) -> Path:
    """The run folder of a stage, by its name; `0-base` holds the evaluation of the base."""
    if name == BASE:
        return folder / "stages" / "0-base"
    return folder / "stages" / f"{[stage.name for stage in pipeline.stages].index(name) + 1}-{name}"


# ---------------------------------------------------------------------------------------------- evaluating


def evaluate_model(policy: Policy, task: Task, settings: Measure) -> dict[str, Any]:
    """The answers of a policy to held-out problems: one number per problem and metric, and some answers to read.

    `right`: how many of `samples` answers are right; `length`: mean tokens; `format` and `readability`: mean shares,
    the latter None for a problem without any line of thought. With requests to the assistant, `gold`: the mean gold
    score of the replies to each request.
    """
    problems = fitting(task, policy, settings.max_new_tokens).sample(settings.problems, "test", seed=settings.seed)
    scored = _answers(policy, task, problems, settings.samples, settings.max_new_tokens, settings.seed)
    shape = (len(problems), settings.samples)
    right = np.array([s.reward >= 1.0 for s in scored.scores or []]).reshape(shape)
    evaluation: dict[str, Any] = {
        "samples": settings.samples,
        "problems": [problem.prompt for problem in problems],
        "right": right.sum(1).tolist(),
        "length": _rounded(scored.lengths.double().numpy().reshape(shape).mean(1)),
    }
    if task.format is not None:
        form = np.array([task.format(text, None).reward for text in scored.completions]).reshape(shape)
        evaluation["format"] = _rounded(form.mean(1))
    if isinstance(problems[0].reference, dict) and "numbers" in problems[0].reference:
        evaluation["readability"] = _readability(scored, shape)
    keep = settings.samples * settings.examples
    evaluation["examples"] = [
        {"prompt": p, "completion": c, "reward": s.reward, "reason": s.reason}
        for p, c, s in zip(scored.prompts[:keep], scored.completions, scored.scores or [], strict=False)
    ]
    if settings.requests:
        assistant = load_task("assistant")
        requests = assistant.sample(settings.requests, "test", seed=settings.seed)
        replies = _answers(policy, assistant, requests, settings.request_samples, 48, settings.seed)
        gold = np.array([s.reward for s in replies.scores or []]).reshape(len(requests), -1)
        evaluation["gold"] = _rounded(gold.mean(1))
        evaluation["replies"] = [
            {"prompt": p, "completion": c, "reward": s.reward}
            for p, c, s in zip(replies.prompts, replies.completions, replies.scores or [], strict=True)
        ][:: settings.request_samples][: settings.examples]
    return evaluation


def _answers(policy: Policy, task: Task, problems: list[Any], samples: int, longest: int, seed: int) -> Rollouts:
    prompts = [problem.prompt for problem in problems]
    drawn = sample(policy, prompts, n=samples, max_new_tokens=longest, temperature=1.0, stop=task.stop, seed=seed)
    return score(drawn, task, problems)


def _readability(scored: Rollouts, shape: tuple[int, int]) -> list[float | None]:
    """The mean share of clean lines in the thoughts of each problem's answers."""
    traces = [
        trace.verify(text, problem.reference)
        for text, problem in zip(scored.completions, scored.problems or [], strict=True)
    ]
    values = np.array([one.reward if one.parts["lines"] else np.nan for one in traces]).reshape(shape)
    return [None if np.isnan(row).all() else round(float(np.nanmean(row)), 4) for row in values]


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(x), 4) for x in values]


# ----------------------------------------------------------------------------------------------- reporting


@dataclass
class PipelineReport:
    """One row per model: the base, each stage, and each method that stands alone.

    A row: `stage`, `title`, `alone`, `metrics` {name: {"mean", "interval", "seeds": [one value per seed]}}, `cost`
    (token passes) and `seconds`, means over seeds. `values[stage][metric]`: [seeds, problems], NaN where there is no
    value.
    """

    name: str
    seeds: list[int]
    k: int
    rows: list[dict[str, Any]]
    values: dict[str, dict[str, np.ndarray]]

    def change(self, first: str, second: str, metric: str = "pass_at_1") -> dict[str, Any]:
        """The metric of `second` minus that of `first`, paired by seed and problem: {"mean", "interval", "resolved"}.

        `resolved`: the 95 % interval does not hold 0. Raises UserError for a stage or metric that was not measured.
        """
        for stage in (first, second):
            if metric not in self.values.get(stage, {}):
                known = ", ".join(self.values)
                raise UserError(
                    f"no {metric} of {stage!r} was measured; stages: {known}; metrics: {', '.join(METRICS)}"
                )
        difference = self.values[second][metric] - self.values[first][metric]
        mean, (low, high) = _mean_and_interval(difference)
        return {"mean": mean, "interval": [low, high], "resolved": bool(low > 0 or high < 0)}

    def to_dict(self) -> dict[str, Any]:
        """The table as plain data, for JSON; a number that is not there (no thought to read) is None."""
        return finite({"pipeline": self.name, "seeds": self.seeds, "k": self.k, "rows": self.rows})

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows as text; the cost is in millions of token passes."""
        shown = [key for key in METRICS if any(key in row["metrics"] for row in self.rows)]
        header = ["stage", *(METRICS[key].format(k=self.k) for key in shown), "cost, M passes"]
        return header, [
            [row["title"], *(_cell(row["metrics"].get(key), key) for key in shown), f"{row['cost'] / 1e6:.2f}"]
            for row in self.rows
        ]

    @property
    def caption(self) -> str:
        """Says what the intervals are over."""
        over = (
            f"seeds {', '.join(map(str, self.seeds))} (t; the base: over problems)"
            if len(self.seeds) > 1
            else "problems (bootstrap)"
        )
        return f"{self.name}: 95 % intervals over {over}"

    def __str__(self) -> str:
        return f"{self.caption}\n{table(*self.table())}"

    def _repr_markdown_(self) -> str:
        return f"**{self.caption}**\n\n{markdown_table(*self.table())}"


def report(runs: str | Path | Run | Sequence[str | Path | Run]) -> PipelineReport:
    """The table of one pipeline run, or of several seeds of the same pipeline together.

    A stage that some run has not evaluated yet is left out. Raises UserError for runs of different pipelines, for two
    runs of one seed, and where nothing was evaluated.
    """
    several = [runs] if isinstance(runs, str | Path | Run) else list(runs)
    opened = [one if isinstance(one, Run) else open_run(one) for one in several]
    if not opened:
        raise UserError("no pipeline to report on")
    pipelines = [validate_pipeline(run.recipe) for run in opened]
    first, seeds = pipelines[0], [pipeline.seed for pipeline in pipelines]
    if len({(p.name, p.task, tuple(s.name for s in p.stages), p.measure) for p in pipelines}) > 1:
        raise UserError("these are runs of different pipelines, or measured otherwise: report on them one by one")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"two of these runs have the same seed: {', '.join(map(str, seeds))}")
    rows, values = [], {}
    for name in (BASE, *(stage.name for stage in first.stages if stage.gives_model)):
        files = [stage_folder(run.path, first, name) / EVALUATION for run in opened]
        if not all(file.exists() for file in files):
            continue
        values[name] = _values([read_json(file) for file in files])
        stage = None if name == BASE else first.stage(name)
        costs = [_cost(run, pipeline, name) for run, pipeline in zip(opened, pipelines, strict=True)]
        rows.append(
            {
                "stage": name,
                "title": "base" if stage is None else stage.title or name,
                "alone": stage is not None and stage.alone,
                "metrics": {key: _summary(value) for key, value in values[name].items()},
                "cost": float(np.mean([cost["passes"] for cost in costs])),
                "generated": float(np.mean([cost["generated"] for cost in costs])),
                "trained": float(np.mean([cost["trained"] for cost in costs])),
                "seconds": float(np.mean([cost["seconds"] for cost in costs])),
            }
        )
    if not rows:
        raise UserError(f"nothing was measured in {opened[0].path} yet")
    return PipelineReport(first.name, seeds, first.measure.samples, rows, values)


def _values(evaluations: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """[seeds, problems] of every metric that all seeds have."""
    samples = evaluations[0]["samples"]
    for one in evaluations:
        one["pass_at_1"] = [count / samples for count in one["right"]]
        one["pass_at_k"] = [pass_at_k(samples, count, samples) for count in one["right"]]
    keys = [key for key in METRICS if all(key in one for one in evaluations)]
    return {key: np.array([one[key] for one in evaluations], dtype=float) for key in keys}


def _summary(values: np.ndarray) -> dict[str, Any]:
    mean, interval = _mean_and_interval(values)
    return {"mean": mean, "interval": list(interval), "seeds": [_mean(row) for row in values]}


def _mean_and_interval(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Over seeds where there are several that differ, else over problems; problems without a value are left out.

    The base is the same model for every seed and gives the same answers, so that its seeds have no spread.
    """
    means = [_mean(row) for row in values]
    if len(means) > 1 and not all(np.array_equal(row, values[0], equal_nan=True) for row in values):
        return float(np.mean(means)), t_interval(means)
    known = values[0][~np.isnan(values[0])]
    return means[0], bootstrap_interval(known) if known.size else (float("nan"), float("nan"))


def _mean(row: np.ndarray) -> float:
    known = row[~np.isnan(row)]
    return float(known.mean()) if known.size else float("nan")


def _cell(summary: dict[str, Any] | None, key: str) -> str:
    if summary is None or summary["mean"] != summary["mean"]:
        return "-"
    return with_interval(summary["mean"], summary["interval"], digits=0 if key == "length" else 2)


# ------------------------------------------------------------------------------------------------- cost


def _cost(run: Run, pipeline: Pipeline, name: str) -> dict[str, float]:
    """What it took to make a model, its own stage and the stages that it builds on.

    `generated` and `trained`: tokens. `passes` counts the forward pass of one token as 1, so that a generated token
    costs 1, and a token that is trained on costs 3, since a backward pass takes about twice as long as a forward pass.
    Curated traces cost nothing here. `seconds`: by the clock.
    """
    total: dict[str, float] = dict.fromkeys(("generated", "trained", "passes", "seconds"), 0.0)
    for stage in _ancestors(pipeline, name):
        one = Run(stage_folder(run.path, pipeline, stage.name))
        result, metrics = one.result or {}, one.metrics
        generated = trained = 0.0
        if stage.method == "rejection_sampling":
            generated = float(result.get("tokens", 0))
        for line in metrics:
            online = stage.method in RL
            rows = one.recipe["sampling"] if online else {}
            share = line.get("trained_rows", 0) / (rows["prompts"] * rows["samples"]) if online else 1.0
            generated += line["tokens"] if online else 0
            trained += line["tokens"] * share
        total["generated"] += generated
        total["trained"] += trained
        total["passes"] += generated + 3 * trained
        total["seconds"] += result.get("wall_seconds", 0.0)
    return total


def _ancestors(pipeline: Pipeline, name: str) -> list[Stage]:
    """The stages whose model, rows or reward model a stage's model builds on, itself included."""
    wanted, stages = {name}, []
    for stage in reversed(pipeline.stages):
        if stage.name in wanted:
            stages.append(stage)
            wanted |= {stage.start, *([stage.judge] if stage.judge else []), *(stage.data.shares if stage.data else ())}
    return stages[::-1]
