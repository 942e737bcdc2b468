"""Training: from a recipe to a run folder."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from labkit.errors import RunError, UserError
from labkit.evaluation.report import evaluate
from labkit.folder_lock import FolderLock
from labkit.models import Policy, RewardModel
from labkit.models.vocabulary import unknown_share
from labkit.paths import user_path
from labkit.progress import progress as following
from labkit.recipes import Recipe, load_recipe, validate
from labkit.runs import Run, create_run, environment, new_folder, open_run
from labkit.sampling import Fitting
from labkit.sampling.ways import decoder_of
from labkit.sampling.workspace import release_workspaces
from labkit.tasks import Task
from labkit.training.inputs import Inputs, Models, resolve
from labkit.training.loop.checkpoints import save_checkpoint
from labkit.training.loop.loop import Learner, Observer, train_loop
from labkit.training.resume import longer, refuse_changes, refuse_without_checkpoint
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

    `out` is the run folder, by default a new one below `runs/`. With `resume`, `steps` may be given, too: the run then
    goes on to so many, also if it had ended. `observer` watches the run and may stop it, or is a function that makes
    one from the resolved recipe; `progress` shows a bar. The first interrupt (Ctrl-C, the kernel's
    button) ends the run after the present step, as an observer may: it is measured as it then is, and can be resumed.
    An interrupt while it is measured ends that, too: the result then lacks what was not measured. Raises UserError for
    a user's mistake, RunError (a UserError too) for a folder that can't be written and for a reward model that returns
    no numbers.
    """
    inputs = Inputs(model, task, dataset, reward_model, reference, teacher)
    settings, run = _begin(recipe, out, resume, inputs, overrides)
    with ExitStack() as held:
        if run is not None:
            held.enter_context(FolderLock(run.path))
            refuse_without_checkpoint(run, settings)
        models = resolve(settings, inputs, device)
        rows = None if settings.online else _rows(settings, models, inputs.rows, run)
        prints = _prints(models, rows)
        fits = None
        if models.rewarded is not None and settings.online:
            fits = Fitting(models.rewarded, models.policy, settings.sampling.max_new_tokens)
            models = replace(models, rewarded=fits.task)
        if run is None:
            run = _new_run(settings, out, models, rows, prints, held)
        else:
            refuse_changes(run, settings, prints)
            run.set_steps(settings.steps)
        watching = observer if observer is None or isinstance(observer, Observer) else observer(settings)
        try:
            training = _Training(settings, run, models, rows, _learner(settings, models, rows), fits)
            return training.complete(watching, progress)
        except (OSError, SafetensorError) as error:  # what can't be written in the run folder is a RunFolderError
            about = f"{getattr(error, 'filename', None) or 'a file'}: {getattr(error, 'strerror', None) or error}"
            raise RunError(
                f"{about}; what was logged is kept, and `labkit train --resume {run.path}` goes on from the newest "
                "checkpoint"
            ) from error


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
        others = [value for key, value in overrides.items() if key != "steps"]
        if any(value is not None for value in (recipe, out, *others, *inputs.names())):
            raise UserError(
                "resume goes on with a run as it was begun: next to it only steps may be given, to lengthen the run"
            )
        run = open_run(resume.path if isinstance(resume, Run) else resume)
        return longer(run, validate(run.recipe, str(run.path)), overrides.get("steps")), run
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


def _prints(models: Models, rows: RowLearner[Any] | None) -> dict[str, str]:
    """Fingerprints of the task and of what is learned from, as environment.json has them."""
    prints = {"task_fingerprint": models.task.fingerprint()} if models.task else {}
    return prints | {"data_fingerprint": rows.dataset.fingerprint() if rows else prints["task_fingerprint"]}


def _new_run(
    recipe: Recipe,
    out: str | Path | None,
    models: Models,
    rows: RowLearner[Any] | None,
    prints: dict[str, str],
    held: ExitStack,
) -> Run:
    """A new run folder, which is `held` from here on. A model that can't be sampled from, and a task of which it can be
    given no prompt or can't read them, are refused before the folder is made."""
    if recipe.online or recipe.evaluated:
        decoder_of(models.policy.model)
    if rows is not None:
        check_readable(recipe, models.policy, rows.dataset.texts(), f"the rows of {rows.dataset.source}")
    elif models.rewarded is not None:
        problems = models.rewarded.sample(PROBE, "train", seed=recipe.seed)
        check_readable(recipe, models.policy, [problem.prompt for problem in problems], "the prompts")
    folder, settings = user_path(out) if out is not None else _new_folder(recipe), recipe.settings()
    held.enter_context(FolderLock(new_folder(folder)))
    run = create_run(folder, settings, environment(models.policy.device, **prints, recipe=settings))
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
    fits: Fitting | None

    def complete(self, observer: Observer | None, progress: bool) -> Run:
        """Measures, takes the steps that are left, and measures again; whatever ends this early, result.json says so
        and the observer is told."""
        run, recipe, started = self.run, self.recipe, time.perf_counter()
        begun: dict[str, Any] = run.result or {"recipe": recipe.name, "seed": recipe.seed}
        result: dict[str, Any] = {**begun, "status": "running"}
        watching = _Watching(observer, progress)
        status = "failed"
        try:
            status = self._carry_out(result, watching)
        except KeyboardInterrupt as error:
            release_workspaces()  # it may have come in the middle of a step of the sampler
            # A step that was cut short leaves weights between two steps; a measurement that was leaves all as it is.
            status = "interrupted" if isinstance(error, _StepCut) else "stopped"
        finally:
            metrics = run.metrics
            seconds = metrics[-1]["elapsed"] if metrics else 0.0
            speed = sum(line["tokens"] for line in metrics) / seconds if seconds else 0.0
            result |= {"status": status, "steps": len(metrics), "seconds": seconds, "tokens_per_second": speed}
            if self.fits is not None and self.fits.left_out.total():
                result["prompts_left_out"] = dict(self.fits.left_out)
            result["wall_seconds"] = result.get("wall_seconds", 0.0) + time.perf_counter() - started
            try:
                run.write_result(result)
            finally:
                watching.tell("finish", result)
        return run

    def _carry_out(self, result: dict[str, Any], watching: "_Watching") -> str:
        """The measurements before and after, and the steps between them; returns the run's status."""
        run, recipe = self.run, self.recipe
        watching.tell("begin", self.learner.policy, self.models.task)
        if self.rows:
            with watching.measuring("preparing the rows"):
                self.rows.prepare(run.path)
            result["data"] = self.rows.describe()
        if len(run.metrics) < recipe.steps:  # what an earlier end measured is no longer the end
            result.pop("after", None)
        if "before" not in result:
            try:
                self._measure("before", result, watching)
            except KeyboardInterrupt:  # nothing is trained yet: the model as it is can be loaded, and trained later
                save_checkpoint(run, 0, self.learner.policy, self.learner.optimizer, 1, self.learner.parts)
                raise
        run.write_result(result)
        try:
            steps = train_loop(recipe, run, self.learner, watching.observer, watching.progress)
        except KeyboardInterrupt:
            raise _StepCut from None
        self._measure("after", result, watching)
        return "finished" if steps == recipe.steps else "stopped"

    def _measure(self, when: str, result: dict[str, Any], watching: "_Watching") -> None:
        """Adds the evaluation on held-out problems to the result, and what held-out rows say; None: there are none."""
        result.pop(when, None)
        with watching.measuring(f"measuring held-out problems {when} training"):
            report = self._evaluate()
        if self.rows:
            release_workspaces()  # nothing is sampled while it is trained on rows
            with watching.measuring(f"measuring held-out rows {when} training"):
                result.setdefault("held_out", {})[when] = self.rows.evaluate_held_out()
        result[when] = report

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


class _StepCut(KeyboardInterrupt):
    """An interrupt that cut a step short."""


@dataclass(frozen=True)
class _Watching:
    """Who watches a run: an observer that may have more methods than it must, and a bar where that is wanted."""

    observer: Observer | None
    progress: bool

    def tell(self, method: str, *what: Any) -> None:
        """Calls the observer's method, if it has one."""
        getattr(self.observer, method, _nothing)(*what)

    def measuring(self, what: str) -> AbstractContextManager[Any]:
        """Shows how far a measurement is: the observer does, or a line."""
        draw = getattr(self.observer, "measuring", None if self.progress else _nothing)
        return following(what, 1, draw)


def _nothing(*what: Any) -> None:
    """For an observer without a method, and a line that is not wanted."""


__all__ = ["Observer", "train", "train_rl"]
