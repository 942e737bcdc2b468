"""What the stages of a pipeline work on: mixed rows, tasks with mixed rewards, answers that rejection sampling kept."""

import random
from pathlib import Path
from typing import Any

from labkit.data import load_preferences
from labkit.errors import NothingKeptError, UserError
from labkit.evaluation.selection import rejection_sample
from labkit.models import Policy, RewardModel
from labkit.pipeline.report import HARVEST, stage_folder
from labkit.recipes.pipeline import Pipeline, Stage
from labkit.runs import read_lines
from labkit.sampling import fitting
from labkit.tasks import Task, gsm8k, load_task
from labkit.tasks.mixed import bounded, mix_tasks
from labkit.verifiers import VERIFIERS
from labkit.verifiers.combine import Part, combine
from labkit.worlds.addition import task as addition
from labkit.worlds.countdown import trace
from labkit.worlds.countdown.curated import curated_rows

Row = dict[str, Any]
# The number of comparisons from which the scale of a reward model's numbers is measured.
SCALE_ROWS = 256


def stage_rows(folder: Path, pipeline: Pipeline, stage: Stage) -> dict[str, list[Row]]:
    """The rows that an SFT stage of the pipeline in `folder` learns from: its sources in the stated shares, shuffled.

    Where a source has fewer rows than its share asks for, the mixture as a whole gets smaller: the shares stay, to
    within one row. Raises UserError where a source has no rows.
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
    # No row is held out: every stage's model is evaluated on the held-out problems of the tasks.
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
    r"""A sum of two numbers of three digits with its worked solution, column by column: general data of the tiny world.

    >>> worked_sum(random.Random(0))["completion"].endswith("</answer>")
    True
    """
    problem = addition.draw((3,), "train", rng)
    a, b = (int(number) for number in problem.prompt.rstrip(":").split("+"))
    lines = "".join(
        f"{x}+{y}{f'+{carry}' if carry else ''}={total}\n" for x, y, carry, total in addition.column_steps(a, b)
    )
    return {"prompt": problem.prompt, "completion": f"<think>{lines}</think><answer>{a + b}</answer>"}


def stage_task(pipeline: Pipeline, stage: Stage, task: Task, reward_model: RewardModel | None) -> Task:
    """The task of an RL stage: the pipeline's own `task`, or several tasks mixed.

    The assistant is scored by the stage's reward model, every other task by the stage's `rewards`, whose weighted sum
    is the reward (`labkit.verifiers.combine`). The score of the task's own verifier is kept as `parts["gold"]`.
    """
    shares = stage.tasks or {pipeline.task: 1.0}
    tasks = []
    for name in shares:
        one = task if name == pipeline.task else load_task(name)
        if name == "assistant" and reward_model is not None:
            rows = load_preferences("assistant", kind="comparisons", split="test", limit=SCALE_ROWS)
            one = one.with_reward_model(bounded(reward_model, rows))
        elif stage.rewards:
            one = rewarded(one, stage.rewards)
        tasks.append(one)
    return tasks[0] if len(tasks) == 1 else mix_tasks(tasks, list(shares.values()))


def rewarded(task: Task, weights: dict[str, float]) -> Task:
    """The task, scored by a weighted sum of `accuracy` (its own verifier), `format` and `trace` (how readable the
    thought is).

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
    """The answers that a rejection-sampling stage keeps, and the numbers of its result.

    An answer is kept if the task's verifier accepts it (a reward of 1) and its thought is readable enough. Raises
    UserError, which says how to go on, where no answer is kept: there would be nothing to train on.
    """
    settings = stage.harvest
    if settings is None:
        raise UserError(f"stage {stage.name} has no harvest settings")
    fits = fitting(task, policy, settings.max_new_tokens)
    problems = fits.sample(settings.prompts, "train", seed=pipeline.seed + 1)
    scored, right_from = task, 1.0
    if settings.readable > 0:  # one number for both: 2 for a right answer, and the share of clean lines
        scored = task.with_verifier(combine(Part("accuracy", task.verifier, 2.0), Part("trace", trace.verify)))
        right_from = 2.0
    try:
        selection = rejection_sample(
            policy,
            problems,
            scored,
            settings.samples,
            keep=settings.keep,
            threshold=right_from + settings.readable - 1e-9,
            unique=True,
            seed=pipeline.seed,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
        )
    except NothingKeptError as error:
        readable = f", with a thought of which {settings.readable:.0%} is clean" if settings.readable else ""
        raise UserError(
            f"stage {stage.name}: of {settings.prompts} problems x {settings.samples} samples from {stage.start} not "
            f"one answer is right{readable}: nothing to train on. The stages so far are kept: give {stage.name} a "
            "harvest with more prompts or samples, or with a lower `readable`, in recipe.yaml of the pipeline's "
            f"folder, and go on with `labkit train --resume`; or train {stage.start} for longer in a new run"
        ) from error
    right = selection.scores >= right_from
    return selection.rows, {
        "drawn": int(selection.scores.size),
        "right": int(right.sum()),
        "kept": len(selection.rows),
        "problems": settings.prompts,
        "problems_kept": int(selection.kept.any(1).sum()),
        "tokens": int(selection.rollouts.lengths.sum()),
        "blind_right": float(sum(row["score"] >= right_from for row in selection.control) / len(selection.control)),
    }
