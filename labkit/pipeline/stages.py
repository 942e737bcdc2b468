"""What the stages of a pipeline work on: mixed rows, tasks with mixed rewards, harvested answers."""

import random
from pathlib import Path
from typing import Any

from labkit.data import load_preferences
from labkit.errors import UserError
from labkit.evaluation.selection import rejection_sample
from labkit.models import Policy, RewardModel
from labkit.pipeline.report import HARVEST, stage_folder
from labkit.recipes.pipeline import Pipeline, Stage
from labkit.runs import read_lines
from labkit.tasks import Task, gsm8k, load_task
from labkit.tasks.mixed import bounded, mix_tasks
from labkit.verifiers import VERIFIERS
from labkit.verifiers.combine import Part, combine
from labkit.worlds.addition import task as addition
from labkit.worlds.countdown import trace
from labkit.worlds.countdown.curated import curated_rows

Row = dict[str, Any]
# How many comparisons tell on which scale a reward model scores.
SCALE_ROWS = 256


def stage_rows(folder: Path, pipeline: Pipeline, stage: Stage) -> dict[str, list[Row]]:
    """The rows that an SFT stage of the pipeline in `folder` learns from: its sources in the stated shares, shuffled.

    Where a source has fewer rows than its share asks for, there are fewer rows in all: the shares stay (to within a
    row). Raises UserError where a source has none.
    """
    if stage.data is None:
        raise UserError(f"stage {stage.name} has no data")
    total, shares = stage.data.rows, stage.data.shares
    sources = {
        name: _source(folder, pipeline, name, max(1, round(total * share)), stage.data.attempts)
        for name, share in shares.items()
    }
    empty = [name for name, rows in sources.items() if not rows]
    if empty:
        raise UserError(f"stage {stage.name}: {empty[0]} has no rows to learn from")
    total = min([total, *(int(len(rows) / shares[name] + 1e-9) for name, rows in sources.items())])
    mixed: list[Row] = []
    for name, rows in sources.items():
        mixed += rows[: max(1, round(total * shares[name]))]
    random.Random(f"mix/{pipeline.seed}").shuffle(mixed)
    # All rows are trained on: what is held out is measured on the tasks.
    return {"train": [{"prompt": row["prompt"], "completion": row["completion"]} for row in mixed], "test": []}


def _source(folder: Path, pipeline: Pipeline, name: str, count: int, attempts: int) -> list[Row]:
    """`count` rows of a source, or as many as it has, in an order that depends on the pipeline's seed alone."""
    rng = random.Random(f"{name}/{pipeline.seed}")
    if name == "curated":
        return list(curated_rows(count, pipeline.seed, most=attempts))
    if name == "addition":
        return [worked_sum(rng) for _ in range(count)]
    if name == "gsm8k":
        rows = gsm8k.demonstrations("train")
    elif name == "assistant" or name.endswith(".jsonl"):
        rows = list(load_preferences(name, kind="demonstrations", split="train"))
    else:
        rows = list(read_lines(stage_folder(folder, pipeline, name) / HARVEST))
    return rng.sample(rows, min(count, len(rows)))


def worked_sum(rng: random.Random) -> Row:
    r"""A sum of two numbers of three digits, worked out in columns: general data of the tiny world.

    >>> worked_sum(random.Random(0))["completion"].endswith("</answer>")
    True
    """
    problem = addition.draw((3,), "train", rng)
    a, b = (int(number) for number in problem.prompt.rstrip(":").split("+"))
    lines = "".join(
        f"{x}+{y}{f'+{carry}' if carry else ''}={total}\n" for x, y, carry, total in addition.column_steps(a, b)
    )
    return {"prompt": problem.prompt, "completion": f"<think>{lines}</think><answer>{a + b}</answer>"}


def stage_task(pipeline: Pipeline, stage: Stage, task: Task, judge: RewardModel | None) -> Task:
    """The task of an RL stage: the pipeline's own or several, scored by the stage's rewards and by its reward model.

    Rewards add up (`labkit.verifiers.combine`); what the task's own verifier says stays beside them as gold.
    """
    weights = stage.tasks or {pipeline.task: 1.0}
    found = []
    for name in weights:
        one = task if name == pipeline.task else load_task(name)
        if name == "assistant" and judge is not None:
            rows = load_preferences("assistant", kind="comparisons", split="test", limit=SCALE_ROWS)
            one = one.with_reward_model(bounded(judge, rows))
        elif stage.rewards:
            one = rewarded(one, stage.rewards)
        found.append(one)
    return found[0] if len(found) == 1 else mix_tasks(found, list(weights.values()))


def rewarded(task: Task, weights: dict[str, float]) -> Task:
    """The task paid for a weighted sum: `accuracy` (its own verifier), `format`, `trace` (how readable a thought is).

    >>> from labkit.tasks import load_task
    >>> task = rewarded(load_task("countdown"), {"accuracy": 1.0, "format": 0.1, "trace": 0.4})
    >>> problem = task.sample(1, "train")[0]
    >>> task.score("<answer>?</answer>", problem).parts["gold"]
    0.0
    """
    parts = {
        "accuracy": Part("accuracy", task.verifier, weights.get("accuracy", 0.0)),
        "format": Part("format", VERIFIERS["format"], weights.get("format", 0.0), reference=None),
        "trace": Part("trace", trace.verify, weights.get("trace", 0.0)),
    }
    return task.with_verifier(combine(*(parts[name] for name in weights)))


def harvest(pipeline: Pipeline, stage: Stage, policy: Policy, task: Task) -> tuple[list[Row], dict[str, Any]]:
    """The answers that a rejection-sampling stage keeps, and what is to be told of it.

    Kept is what the task's verifier accepts (a reward of 1) and whose thought is readable enough. Raises UserError,
    with how to go on, where that is nothing: there would be nothing to train on.
    """
    wanted = stage.harvest
    if wanted is None:
        raise UserError(f"stage {stage.name} has no harvest settings")
    problems = task.sample(wanted.prompts, "train", seed=pipeline.seed + 1)
    options = {"max_new_tokens": wanted.max_new_tokens, "temperature": wanted.temperature, "seed": pipeline.seed}
    judge, passes = task, 1.0
    if wanted.readable > 0:  # one number for both: 2 for a right answer, and the share of clean lines
        judge = task.with_verifier(combine(Part("accuracy", task.verifier, 2.0), Part("trace", trace.verify)))
        passes = 2.0
    try:
        chosen = rejection_sample(
            policy,
            problems,
            judge,
            wanted.samples,
            keep=wanted.keep,
            threshold=passes + wanted.readable - 1e-9,
            unique=True,
            **options,
        )
    except UserError as error:
        if not str(error).startswith("none of"):
            raise
        readable = f", with a thought of which {wanted.readable:.0%} is clean" if wanted.readable else ""
        raise UserError(
            f"stage {stage.name}: of {wanted.prompts} problems x {wanted.samples} samples from {stage.start} not one "
            f"answer is right{readable}: nothing to train on. The stages so far are kept: give {stage.name} a harvest "
            "with more prompts or samples, or with a lower `readable`, in recipe.yaml of the pipeline's folder, and "
            f"go on with `labkit train --resume`; or train {stage.start} for longer in a new run"
        ) from error
    right = chosen.scores >= passes
    facts = {
        "drawn": int(chosen.scores.size),
        "right": int(right.sum()),
        "kept": len(chosen.rows),
        "problems": wanted.prompts,
        "problems_kept": int(chosen.kept.any(1).sum()),
        "tokens": int(chosen.rollouts.lengths.sum()),
        "blind_right": float(sum(row["score"] >= passes for row in chosen.control) / len(chosen.control)),
    }
    return chosen.rows, facts
