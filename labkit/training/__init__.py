"""Training: from a recipe to a run folder."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from labkit.errors import RunError, UserError
from labkit.evaluation import Report, evaluate
from labkit.models import Policy, load_policy
from labkit.recipes import Recipe, load_recipe, validate
from labkit.runs import Run, create_run, environment, open_run
from labkit.sampling import check_lengths
from labkit.tasks import Task, load_task
from labkit.training.rl import Observer, train_rl


def train(
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    *,
    model: str | Path | Policy | None = None,
    task: str | Task | None = None,
    observer: Observer | Callable[[Recipe], Observer] | None = None,
    progress: bool = True,
    device: str | None = None,
    **overrides: Any,
) -> Run:
    """Runs a recipe (by name, from a file, or a Recipe), or goes on with a run folder; returns the run.

    Keywords override recipe keys (`steps=20`, `lr=1e-4`); `model` and `task` may also be objects of your own. `out` is
    the run folder, by default a new one below `runs/`. `observer` watches the run and may stop it, or is a function
    that makes one from the resolved recipe; `progress` shows a bar. An interrupt (Ctrl-C, the kernel's stop button)
    ends the run; it can be resumed from its newest checkpoint. Raises UserError for a user's mistake, RunError (a
    UserError too) for a folder that can't be written.
    """
    if resume is not None:
        named = [value for value in (recipe, out, *overrides.values()) if value is not None]
        if named or isinstance(model, str | Path) or isinstance(task, str):
            raise UserError(
                "resume goes on with a run as it was begun: give no recipe, no out and no overrides beside it"
            )
        run = open_run(resume)
        settings = validate(run.recipe, str(resume))
    elif recipe is None:
        raise UserError("which recipe? `labkit recipes` lists them")
    else:
        for key, value in (("model", model), ("task", task)):
            if value is not None:
                overrides[key] = str(value) if isinstance(value, str | Path) else value.name
        settings = load_recipe(recipe, **overrides)
    world = task if isinstance(task, Task) else load_task(settings.task, **settings.task_options)
    # A policy object of the caller's is trained in place, since it is theirs.
    policy = load_policy(model if isinstance(model, Policy) else settings.model, device=device)
    if resume is None:
        run = _new_run(settings, out, policy, world)
    try:
        watching = observer if observer is None or isinstance(observer, Observer) else observer(settings)
        return _train(run, settings, policy, world, watching, progress)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"cannot write to {run.path}: {getattr(error, 'strerror', None) or error}; what was logged is kept, and "
            f"`labkit train --resume {run.path}` goes on from the newest checkpoint"
        ) from error


def _train(run: Run, recipe: Recipe, policy: Policy, task: Task, observer: Observer | None, progress: bool) -> Run:
    started = time.perf_counter()
    result = run.result or {"recipe": recipe.name, "seed": recipe.seed, "status": "running"}
    if "before" not in result:
        result["before"] = _evaluate(policy, task, recipe)
        run.write_result(result)
    try:
        steps = train_rl(recipe, run, policy, task, observer, progress)
        status = "finished" if steps == recipe.steps else "stopped"
    except KeyboardInterrupt:
        steps, status = len(run.metrics), "interrupted"
    metrics = run.metrics
    seconds = metrics[-1]["elapsed"] if metrics else 0.0
    tokens = sum(line["tokens"] for line in metrics)
    result |= {"status": status, "steps": steps, "seconds": seconds}
    result |= {"tokens_per_second": tokens / seconds if seconds else 0.0}
    if status == "finished":
        result["after"] = _evaluate(policy, task, recipe)
    result["wall_seconds"] = result.get("wall_seconds", 0.0) + time.perf_counter() - started
    run.write_result(result)
    finish = getattr(observer, "finish", None)
    if finish is not None:
        finish(result)
    return run


def _new_run(recipe: Recipe, out: str | Path | None, policy: Policy, task: Task) -> Run:
    # What cannot fit into the model's context is said before a folder is made.
    prompts = [problem.prompt for problem in task.sample(1, "train", seed=recipe.seed)]
    check_lengths(policy, prompts, [policy.encode(p) for p in prompts], recipe.sampling.max_new_tokens)
    facts = environment(policy.device, data_fingerprint=task.fingerprint())
    folder = Path(out) if out is not None else _new_folder(recipe)
    return create_run(folder, recipe.model_dump(mode="json"), facts)


def _new_folder(recipe: Recipe) -> Path:
    stem = f"{recipe.name}-seed{recipe.seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, again = Path("runs") / stem, 2
    while folder.exists():
        folder, again = Path("runs") / f"{stem}-{again}", again + 1
    return folder


def _evaluate(policy: Policy, task: Task, recipe: Recipe) -> dict[str, Any] | None:
    settings = recipe.evaluation
    if settings.problems == 0:
        return None
    report: Report = evaluate(
        policy,
        task,
        settings.samples,
        settings.problems,
        max_new_tokens=settings.max_new_tokens or recipe.sampling.max_new_tokens,
        temperature=settings.temperature,
        seed=settings.seed,
    )
    return report.to_dict()


__all__ = ["Observer", "train", "train_rl"]
