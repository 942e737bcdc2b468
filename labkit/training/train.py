"""Training: from a recipe to a run folder."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from labkit.errors import RunFolderError, UserError
from labkit.evaluation.report import evaluate
from labkit.models import Policy, RewardModel
from labkit.models.vocabulary import unknown_share
from labkit.recipes import Recipe, load_recipe, validate
from labkit.runs import Run, create_run, environment, open_run
from labkit.sampling import check_lengths
from labkit.sampling.ways import decoder_of
from labkit.sampling.workspace import release_workspaces
from labkit.tasks import Task
from labkit.training.inputs import Inputs, Models, resolve
from labkit.training.loop.loop import Learner, Observer, train_loop
from labkit.training.loop.measure import showing_progress
from labkit.training.rl.build import make_learner, train_rl
from labkit.training.rl.distillation import make_distillation
from labkit.training.rows.data import GIVEN, TRACES, Given
from labkit.training.rows.learner import RowLearner, prepare_rows

PROBE = 16  # training problems that are looked at before a run folder is made
Watcher = Observer | Callable[[Recipe], Observer] | None


def train(
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    resume: str | Path | Run | None = None,
    *,
    model: str | Path | Run | Policy | None = None,
    task: str | Task | None = None,
    dataset: Given = None,
    reward_model: str | Path | Run | RewardModel | None = None,
    reference: str | Path | Run | Policy | None = None,
    teacher: str | Path | Run | Policy | None = None,
    observer: Watcher = None,
    progress: bool = True,
    device: str | None = None,
    **overrides: Any,  # keys of the recipe, which `load_recipe` checks
) -> Run:
    """Runs a recipe (by name, from a file, or a Recipe), or goes on with the run folder `resume`; returns the run.

    Keywords override recipe keys (`steps=20`, `lr=1e-4`). Models and the task may be names or objects of your own; a
    policy object is trained in place. `dataset` are the rows of a trainer that learns from rows: a source
    (`data.source`), a list of rows, or {"train": ..., "test": ...}. RL may be rewarded by a `reward_model`, or by
    another `verifier` (a recipe key): the task's own score is then logged as `gold_mean`, and is what the evaluations
    before and after report. `reference` is the frozen model of a KL term or of a preference loss, by default the model
    as it begins; `teacher` the model that a student is distilled from.

    `out` is the run folder, by default a new one below `runs/`. `observer` watches the run and may stop it, or is a
    function that makes one from the resolved recipe; `progress` shows a bar. An interrupt (Ctrl-C, the kernel's stop
    button) ends the run; it can be resumed from its newest checkpoint. Raises UserError for a user's mistake, RunError
    (a UserError too) for a folder that can't be written and for a reward model that returns no numbers.
    """
    inputs = Inputs(model, task, dataset, reward_model, reference, teacher)
    settings, run = _begin(recipe, out, resume, inputs, overrides)
    models = resolve(settings, inputs, device)
    rows = None if settings.online else _rows(settings, models, inputs.rows, run)
    if run is None:
        run = _new_run(settings, out, models, rows)
    watching = observer if observer is None or isinstance(observer, Observer) else observer(settings)
    try:
        with showing_progress(progress):
            return _Training(settings, run, models, rows, _learner(settings, models, rows)).complete(watching, progress)
    except (OSError, SafetensorError) as error:
        raise RunFolderError(run.path, getattr(error, "strerror", None) or str(error)) from error


# ----------------------------------------------------------------------------------------- what a run begins with


def _begin(
    recipe: str | Path | Recipe | None,
    out: str | Path | None,
    resume: str | Path | Run | None,
    inputs: Inputs,
    overrides: dict[str, Any],
) -> tuple[Recipe, Run | None]:
    """The resolved recipe, and the run that is resumed, if any."""
    if resume is not None:
        changes = [value for value in (recipe, out, *overrides.values(), *inputs.names()) if value is not None]
        if changes:
            raise UserError(
                "resume goes on with a run as it was begun: give no recipe, no out and no overrides beside it"
            )
        run = open_run(resume.path if isinstance(resume, Run) else resume)
        return validate(run.recipe, str(run.path)), run
    if recipe is None:
        raise UserError("which recipe? `labkit recipes` lists them")
    return load_recipe(recipe, **overrides | inputs.overrides()), None


def _rows(recipe: Recipe, models: Models, given: Given, run: Run | None) -> RowLearner[Any]:
    """The rows and their trainer; tells on standard error which rows are left out."""
    rows = prepare_rows(recipe, models.policy, given, None if run is None else run.path, models.reference)
    for line in rows.left_out.lines(len(rows.dataset.train), rows.dataset.source):
        print(f"labkit: {line}", file=sys.stderr)
    return rows


def _learner(recipe: Recipe, models: Models, rows: RowLearner[Any] | None) -> Learner:
    """What is trained, and its step: on rows of data, towards a teacher, or for rewards."""
    if rows is not None:
        return rows.learner
    assert models.rewarded is not None, "what samples has a task"
    if models.teacher is not None:
        return make_distillation(recipe, models.policy, models.rewarded, models.teacher)
    return make_learner(recipe, models.policy, models.rewarded, models.reference)


def _new_run(recipe: Recipe, out: str | Path | None, models: Models, rows: RowLearner[Any] | None) -> Run:
    """A new run folder. A prompt that does not fit into the model's context is refused before the folder is made."""
    policy, task = models.policy, models.task
    if recipe.online or recipe.evaluated:
        decoder_of(policy.model)  # refuses what can't be sampled from
    if rows is None and task is not None:
        prompts = [problem.prompt for problem in task.sample(1, "train", seed=recipe.seed)]
        check_lengths(policy, prompts, [policy.encode(p) for p in prompts], recipe.sampling.max_new_tokens)
    if rows is not None:
        check_readable(recipe, policy, rows.dataset.texts(), f"the rows of {rows.dataset.source}")
    elif task is not None:
        check_readable(recipe, policy, [p.prompt for p in task.sample(PROBE, "train", recipe.seed)], "the prompts")
    prints = {"task_fingerprint": task.fingerprint()} if task else {}
    prints["data_fingerprint"] = rows.dataset.fingerprint() if rows else prints["task_fingerprint"]
    folder = Path(out) if out is not None else _new_folder(recipe)
    run = create_run(folder, recipe.settings(), environment(policy.device, **prints))
    if rows and rows.dataset.source in (GIVEN, TRACES):
        rows.dataset.keep(run.path)
    return run


def check_readable(recipe: Recipe, policy: Policy, texts: list[str], what: str) -> None:
    """Raises UserError where more of the texts than the recipe allows is unknown to the model's tokenizer: the model
    would see holes in their place, and learn to guess."""
    share, pieces = unknown_share(policy.tokenizer, texts)
    if share > recipe.unknown_tokens:
        raise UserError(
            f"model {policy.name!r} can't read {what}: its tokenizer knows no token for {share:.0%} of them, such as "
            f"{', '.join(map(repr, pieces))}; take a model that reads them (smollm2-135m), or allow it: "
            "unknown_tokens=1"
        )


def _new_folder(recipe: Recipe) -> Path:
    stem = f"{recipe.name}-seed{recipe.seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, number = Path("runs") / stem, 2
    while folder.exists():
        folder, number = Path("runs") / f"{stem}-{number}", number + 1
    return folder


# ------------------------------------------------------------------------------------------------------- the run


@dataclass(frozen=True)
class _Training:
    """A run that is ready: it is measured, trained, and measured again."""

    recipe: Recipe
    run: Run
    models: Models
    rows: RowLearner[Any] | None
    learner: Learner

    def complete(self, observer: Observer | None, progress: bool) -> Run:
        """Takes the steps that are left, and writes result.json before and after them."""
        run, recipe, started = self.run, self.recipe, time.perf_counter()
        result = run.result or {"recipe": recipe.name, "seed": recipe.seed, "status": "running"}
        if self.rows:
            self.rows.prepare(run.path)
            result["data"] = self.rows.describe()
        if "before" not in result:
            self._measure("before", result)
            run.write_result(result)
        try:
            steps = train_loop(recipe, run, self.learner, observer, progress)
            status = "finished" if steps == recipe.steps else "stopped"
        except KeyboardInterrupt:
            steps, status = len(run.metrics), "interrupted"
        metrics = run.metrics
        seconds = metrics[-1]["elapsed"] if metrics else 0.0
        speed = sum(line["tokens"] for line in metrics) / seconds if seconds else 0.0
        result |= {"status": status, "steps": steps, "seconds": seconds, "tokens_per_second": speed}
        if status == "finished":
            self._measure("after", result)
        result["wall_seconds"] = result.get("wall_seconds", 0.0) + time.perf_counter() - started
        run.write_result(result)
        finish = getattr(observer, "finish", None)
        if finish is not None:
            finish(result)
        return run

    def _measure(self, when: str, result: dict[str, Any]) -> None:
        """Adds the evaluation on held-out problems to the result, and what held-out rows say; None: there are none."""
        result[when] = self._evaluate()
        if self.rows:
            release_workspaces()  # nothing is sampled while it is trained on rows
            result.setdefault("held_out", {})[when] = self.rows.evaluate_held_out()

    def _evaluate(self) -> dict[str, Any] | None:
        recipe, settings, task = self.recipe, self.recipe.evaluation, self.models.task
        if settings.problems == 0 or task is None:
            return None
        as_in_training = recipe.sampling.max_new_tokens if recipe.online else None
        report = evaluate(
            self.learner.policy,
            task,
            settings.samples,
            settings.problems,
            max_new_tokens=settings.max_new_tokens or as_in_training,
            temperature=settings.temperature,
            seed=settings.seed,
        )
        return report.to_dict()


__all__ = ["Observer", "train", "train_rl"]
