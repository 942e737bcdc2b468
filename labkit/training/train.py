"""Training: from a recipe to a run folder."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from labkit.errors import RunError, UserError
from labkit.evaluation.report import Report, evaluate
from labkit.models import Policy, RewardModel, add_lora, load_policy, load_reward_model, train_with
from labkit.recipes import Recipe, load_recipe, validate
from labkit.runs import Run, create_run, environment, open_run
from labkit.sampling import check_lengths
from labkit.sampling.workspace import release_workspaces
from labkit.tasks import Task, load_task
from labkit.training.loop.loop import Learner, Observer, train_loop
from labkit.training.rl.build import make_learner, train_rl
from labkit.training.rl.distillation import check_vocabulary, make_distillation
from labkit.training.rows.data import GIVEN, TRACES, Given
from labkit.training.rows.judges import prepare_judge
from labkit.training.rows.offline import Offline
from labkit.training.rows.preferences import prepare_preferences
from labkit.training.rows.reward import prepare_reward_model
from labkit.training.rows.sft import prepare_sft
from labkit.verifiers import get


def train(
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    *,
    model: str | Path | Policy | Run | None = None,
    task: str | Task | None = None,
    dataset: Given = None,
    reward_model: str | Path | Run | RewardModel | None = None,
    reference: str | Path | Run | Policy | None = None,
    teacher: str | Path | Run | Policy | None = None,
    observer: Observer | Callable[[Recipe], Observer] | None = None,
    progress: bool = True,
    device: str | None = None,
    **overrides: Any,
) -> Run:
    """Runs a recipe (by name, from a file, or a Recipe), or goes on with a run folder; returns the run.

    Keywords override recipe keys (`steps=20`, `lr=1e-4`); `model` and `task` may also be objects of your own. What
    learns from rows takes them as `dataset`: a source (`data.source`), a list of rows, or {"train": ..., "test": ...}.
    `reward_model` is trained on in the task's place (RL, PPO), whose own score is logged beside it as `gold_mean`
    and is what the evaluations before and after are about; `verifier`, the name of another one, works in the same way;
    `reference` is the frozen model of a KL term or of DPO, by default the model as it begins; `teacher` the one that a
    student is distilled from.

    `out` is the run folder, by default a new one below `runs/`. `observer` watches the run and may stop it, or is a
    function that makes one from the resolved recipe; `progress` shows a bar. An interrupt (Ctrl-C, the kernel's stop
    button) ends the run; it can be resumed from its newest checkpoint. Raises UserError for a user's mistake, RunError
    (a UserError too) for a folder that can't be written and for a reward model that returns no numbers.
    """
    models = {"model": model, "reward_model": reward_model, "reference": reference, "teacher": teacher}
    if resume is not None:
        named = [value for value in (recipe, out, *overrides.values()) if value is not None]
        texts = [x for x in (*models.values(), task, dataset) if isinstance(x, str | Path | Run)]
        if named or texts:
            raise UserError(
                "resume goes on with a run as it was begun: give no recipe, no out and no overrides beside it"
            )
        run = open_run(resume)
        settings = validate(run.recipe, str(resume))
    elif recipe is None:
        raise UserError("which recipe? `labkit recipes` lists them")
    else:
        overrides |= {key: _name(value) for key, value in (*models.items(), ("task", task)) if value is not None}
        if dataset is not None:
            overrides["data.source"] = str(dataset) if isinstance(dataset, str | Path) else GIVEN
        settings, run = load_recipe(recipe, **overrides), None
    world = _world(settings, task)
    judged = _judged(settings, world, reward_model, device)
    # A policy object of the caller's is trained in place, since it is theirs.
    policy = load_policy(model if isinstance(model, Policy) else settings.model, device=device)
    frozen = _reference(settings, reference, policy, device)
    guide = _teacher(settings, teacher, policy, device)
    if settings.lora is not None:
        add_lora(policy, settings.lora.rank, settings.lora.alpha, settings.lora.targets, settings.seed)
    train_with(policy.model, settings.optimizer.gradient_checkpointing, settings.optimizer.compile)
    given = None if isinstance(dataset, str | Path) else dataset
    offline = _prepare(settings, policy, given, None if run is None else run.path, frozen)
    if run is None:
        run = _new_run(settings, out, policy, world, offline)
    try:
        watching = observer if observer is None or isinstance(observer, Observer) else observer(settings)
        learner = offline.learner if offline else None
        if learner is None and guide is not None:
            learner = make_distillation(settings, policy, judged, guide)
        learner = learner or make_learner(settings, policy, judged, frozen)
        return _train(run, settings, learner, world, offline, watching, progress)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"cannot write to {run.path}: {getattr(error, 'strerror', None) or error}; what was logged is kept, and "
            f"`labkit train --resume {run.path}` goes on from the newest checkpoint"
        ) from error


def _name(value: Any) -> str:
    """What a recipe calls a model or task: its path, or the name of the object."""
    if isinstance(value, Run):
        return str(value.path)
    return str(value) if isinstance(value, str | Path) else value.name


def _world(recipe: Recipe, task: str | Task | None) -> Task | None:
    """The task; None where nothing is sampled."""
    evaluated = recipe.trainer != "reward_model" and recipe.evaluation.problems > 0
    if not (recipe.online or evaluated):
        return None
    return task if isinstance(task, Task) else load_task(recipe.task, **recipe.task_options)


def _judged(
    recipe: Recipe, task: Task | None, given: str | Path | Run | RewardModel | None, device: str | None
) -> Task | None:
    """The task that is trained on: scored by what stands in its verifier's place. Evaluation keeps the task's own."""
    if task is None:
        return None
    if recipe.verifier is not None:
        return task.with_verifier(get(recipe.verifier))
    if recipe.reward_model is None:
        return task
    judge = given if isinstance(given, RewardModel) else load_reward_model(recipe.reward_model, device)
    return task.with_reward_model(judge)


def _reference(recipe: Recipe, given: Any, policy: Policy, device: str | None) -> Policy | None:
    """The frozen model that was asked for; None: the policy as it begins. The caller's object is used as it is."""
    if recipe.reference is None or given is policy:
        return None
    return load_policy(given if isinstance(given, Policy) else recipe.reference, device=device)


def _teacher(recipe: Recipe, given: Any, policy: Policy, device: str | None) -> Policy | None:
    """The teacher of a distillation, found to speak the student's vocabulary; None for other trainers."""
    if recipe.trainer != "distillation":
        return None
    teacher = load_policy(given if isinstance(given, Policy) else str(recipe.teacher), device=device)
    check_vocabulary(policy, teacher)
    return teacher


def _prepare(
    recipe: Recipe, policy: Policy, given: Given, run: Path | None, reference: Policy | None
) -> Offline | None:
    """The prepared data and learner of what learns from rows; None for RL and distillation. Rows left out are told."""
    if recipe.online:
        return None
    if recipe.trainer == "sft":
        offline = prepare_sft(recipe, policy, given, run)
    elif recipe.algorithm in ("outcome", "process"):
        offline = prepare_judge(recipe, policy, given, run)
    elif recipe.trainer == "reward_model":
        offline = prepare_reward_model(recipe, policy, given, run)
    else:
        offline = prepare_preferences(recipe, policy, given, run, reference)
    for line in offline.left.lines(len(offline.dataset.train), offline.dataset.source):
        print(f"labkit: {line}", file=sys.stderr)
    return offline


def _train(
    run: Run,
    recipe: Recipe,
    learner: Learner,
    task: Task | None,
    offline: Offline | None,
    observer: Observer | None,
    progress: bool,
) -> Run:
    started = time.perf_counter()
    policy = learner.policy
    result = run.result or {"recipe": recipe.name, "seed": recipe.seed, "status": "running"}
    if offline:
        offline.begin(run.path)
        result["data"] = offline.describe()
    if "before" not in result:
        result["before"] = _evaluate(policy, task, recipe)
        if offline:
            release_workspaces()  # nothing is sampled before training has ended
            result["held_out"] = {"before": offline.measure()}
        run.write_result(result)
    try:
        steps = train_loop(recipe, run, learner, observer, progress)
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
        if offline:
            result["held_out"]["after"] = offline.measure()
    result["wall_seconds"] = result.get("wall_seconds", 0.0) + time.perf_counter() - started
    run.write_result(result)
    finish = getattr(observer, "finish", None)
    if finish is not None:
        finish(result)
    return run


def _new_run(recipe: Recipe, out: str | Path | None, policy: Policy, task: Task | None, offline: Offline | None) -> Run:
    # What cannot fit into the model's context is said before a folder is made.
    if offline is None and task is not None:
        prompts = [problem.prompt for problem in task.sample(1, "train", seed=recipe.seed)]
        check_lengths(policy, prompts, [policy.encode(p) for p in prompts], recipe.sampling.max_new_tokens)
    prints = {"task_fingerprint": task.fingerprint()} if task else {}
    prints["data_fingerprint"] = offline.dataset.fingerprint() if offline else prints["task_fingerprint"]
    facts = environment(policy.device, **prints)
    folder = Path(out) if out is not None else _new_folder(recipe)
    run = create_run(folder, recipe.settings(), facts)
    if offline and offline.dataset.source in (GIVEN, TRACES):
        offline.dataset.keep(run.path)
    return run


def _new_folder(recipe: Recipe) -> Path:
    stem = f"{recipe.name}-seed{recipe.seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, again = Path("runs") / stem, 2
    while folder.exists():
        folder, again = Path("runs") / f"{stem}-{again}", again + 1
    return folder


def _evaluate(policy: Policy, task: Task | None, recipe: Recipe) -> dict[str, Any] | None:
    settings = recipe.evaluation
    if settings.problems == 0 or task is None:
        return None
    report: Report = evaluate(
        policy,
        task,
        settings.samples,
        settings.problems,
        max_new_tokens=settings.max_new_tokens or (recipe.sampling.max_new_tokens if recipe.online else None),
        temperature=settings.temperature,
        seed=settings.seed,
    )
    return report.to_dict()


__all__ = ["Observer", "train", "train_rl"]
