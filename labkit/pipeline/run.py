"""Runs a pipeline, a recipe that is a list of stages: each in its turn, evaluated, and kept in its folder.

    for each stage of the pipeline:
        take the model that it begins with             a copy of the base, or of an earlier stage's model
        get its rows, or its task and its rewards      stage_rows, stage_task
        train (labkit.training.train), or harvest      a run folder below stages/
        evaluate the model that comes out              evaluation.json, the same problems for every stage

The folder of a pipeline: `recipe.yaml`, `environment.json`, `stages/1-cold-start/` (run folders), `report.json`,
`result.json`. A stage that has its result and its evaluation is not done again, and one that was interrupted goes on
from its checkpoint: so a pipeline that was killed can be resumed, to the same table.
"""

import copy
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from labkit.errors import RunFolderError, UserError
from labkit.folder_lock import FolderLock
from labkit.models import Policy, RewardModel, load_policy, load_reward_model
from labkit.paths import user_path
from labkit.pipeline.report import EVALUATION, HARVEST, PipelineReport, evaluate_model, report, stage_folder
from labkit.pipeline.stages import harvest, stage_rows, stage_task
from labkit.recipes import is_pipeline
from labkit.recipes.pipeline import BASE, Pipeline, Stage, load_pipeline, stage_recipe, validate_pipeline
from labkit.runs import Run, create_run, environment, new_folder, write_aside
from labkit.storage import json_line
from labkit.tasks import load_task
from labkit.training import train
from labkit.training.resume import changes
from labkit.training.train import Watcher


class PipelineRun(Run):
    """The folder of a pipeline: a run folder whose runs lie below `stages/`."""

    def __repr__(self) -> str:
        pipeline = self.pipeline
        done = [stage.name for stage in pipeline.stages if stage_folder(self.path, pipeline, stage.name).exists()]
        return f"PipelineRun({str(self.path)!r}: {pipeline.name}, seed {pipeline.seed}, stages {', '.join(done)})"

    @property
    def pipeline(self) -> Pipeline:
        """Its recipe."""
        return validate_pipeline(self.recipe)

    @property
    def stages(self) -> dict[str, Run]:
        """The run folders of the stages that have begun, by name."""
        pipeline = self.pipeline
        folders = {stage.name: stage_folder(self.path, pipeline, stage.name) for stage in pipeline.stages}
        return {name: Run(folder) for name, folder in folders.items() if (folder / "recipe.yaml").exists()}

    def policy(self, step: int | str | None = None, device: str | None = None) -> Policy:
        """The model of a stage, by its name; by default of the last stage of the pipeline proper."""
        pipeline = self.pipeline
        names = [stage.name for stage in pipeline.stages if stage.gives_model and not stage.alone]
        name = names[-1] if step is None else str(step)
        if not pipeline.stage(name).gives_model:
            raise UserError(f"stage {name} ends with no policy; those that do are {', '.join(names)}")
        policy = load_policy(stage_folder(self.path, pipeline, name), device=device)
        policy.name = f"{pipeline.name}/{name}"
        return policy

    def report(self) -> PipelineReport:
        """The table of what the model of every stage can do."""
        return report(self)


def open_pipeline(path: str | Path | Run) -> PipelineRun:
    """An existing pipeline folder, or a recorded one by its name. Raises UserError where there is none."""
    from labkit.runs import open_run

    run = PipelineRun(path.path if isinstance(path, Run) else open_run(path).path)
    if "stages" not in run.recipe:
        raise UserError(f"{run.path} is a single run, not a pipeline: labkit.open_run opens it")
    return run


def run_pipeline(
    recipe: str | Path | Pipeline | None = None,
    out: str | Path | None = None,
    resume: str | Path | Run | None = None,
    *,
    model: str | Path | Run | Policy | None = None,
    observer: Watcher = None,
    progress: bool = True,
    device: str | None = None,
    **overrides: Any,  # keys of the pipeline and of its stages, which `load_pipeline` checks
) -> PipelineRun:
    """Runs a pipeline (by name, from a file, or a Pipeline), or goes on with its folder; returns its run.

    `model` is the base, by name or as an object, which is copied for each stage that begins with it. Overrides as for
    `load_pipeline`: `seed=1`, `{"cold-start.steps": 2}`. `observer` and `progress` as for `labkit.training.train`, for
    each stage that trains. An interrupt ends the pipeline; `resume` goes on with what is left. Raises UserError for a
    user's mistake, and where a rejection-sampling stage keeps no answer.
    """
    base = model if isinstance(model, Policy) else None
    name = model.path if isinstance(model, Run) else model
    if resume is not None:
        if recipe is not None or out is not None or overrides or (model is not None and base is None):
            raise UserError(
                "resume goes on with a pipeline as it was begun: give no recipe, out or overrides next to it"
            )
        run = open_pipeline(resume)
        pipeline = run.pipeline
        folder = run.path
    elif recipe is None:
        raise UserError("which pipeline? `labkit recipes` lists them")
    else:
        named = {} if model is None else {"model": base.name if base else str(name)}
        pipeline, run = load_pipeline(recipe, **overrides | named), None
        folder = _new_folder(pipeline, out)
    with FolderLock(folder):
        if run is None:
            run = _new_run(pipeline, folder, device)
        else:
            _refuse_changes(run)
        return _go_on(run, _Work(pipeline, run, base, device, observer, progress))


def _go_on(run: PipelineRun, work: "_Work") -> PipelineRun:
    """Does what is left of a pipeline, and keeps its result and its table."""
    pipeline = work.pipeline
    started, before = time.perf_counter(), (run.result or {}).get("wall_seconds", 0.0)

    def note(status: str) -> None:
        seconds = before + time.perf_counter() - started
        run.write_result({"recipe": pipeline.name, "seed": pipeline.seed, "status": status, "wall_seconds": seconds})

    note("running")
    status = "failed"
    try:
        status = work.everything()
    except KeyboardInterrupt:  # between two stages: a stage ends by itself, and says how
        status = "stopped"
    finally:
        note(status)
    write_aside(run.path / "report.json", json.dumps(report(run).to_dict(), indent=1) + "\n")
    return run


def _refuse_changes(run: PipelineRun) -> None:
    """Raises UserError where what is done already was done by another recipe. Stages that have not begun may change."""
    if not (run.path / "environment.json").exists():
        return
    begun, now = run.environment.get("recipe"), run.pipeline.settings()
    told = changes(begun, now, ("name", "description", "stages"), whole=True)
    stages = {stage["name"]: stage for stage in now["stages"]}
    for stage in begun["stages"] if isinstance(begun, dict) else ():
        name = stage["name"]
        if name in stages and (stage_folder(run.path, run.pipeline, name) / "recipe.yaml").exists():
            done = _finished(stage_folder(run.path, run.pipeline, name))
            if done or stage["method"] != "rejection_sampling":  # a harvest that is not finished is made anew
                told += [f"stage {name}: {line}" for line in changes(stage, stages[name], ("title",), whole=True)]
    if told:
        raise UserError(
            f"recipe.yaml of the pipeline {run.path} changed since it was begun, and what is done already was done "
            f"with the old one: {'; '.join(told)}. Put it back, or start a new run"
        )


def refuse_stage(folder: str | Path | Run | None) -> None:
    """Raises UserError for the folder of one stage: its recipe names neither its rewards nor its reward model, so that
    it can't be resumed by itself."""
    if folder is None:
        return
    whole = Path(os.path.realpath(user_path(folder.path if isinstance(folder, Run) else folder))).parent.parent
    if os.path.exists(whole / "recipe.yaml") and is_pipeline(whole):
        raise UserError(f"{folder} is a stage of the pipeline in {whole}: go on with that, --resume {whole}")


def _new_folder(pipeline: Pipeline, out: str | Path | None) -> Path:
    stem = f"{pipeline.name}-seed{pipeline.seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    return new_folder(user_path(out) if out is not None else Path("runs") / stem)


def _new_run(pipeline: Pipeline, folder: Path, device: str | None) -> PipelineRun:
    if (folder / "stages").exists():
        raise UserError(f"{folder} already holds a pipeline: go on with --resume {folder}, or name another --out")
    where = load_policy("tiny", device=device).device  # the device that the stages will take
    create_run(folder, pipeline.settings(), environment(where, recipe=pipeline.settings()))
    return PipelineRun(folder)


class _Work:
    """The stages of one pipeline run, one after another."""

    def __init__(
        self,
        pipeline: Pipeline,
        run: PipelineRun,
        base: Policy | None,
        device: str | None,
        observer: Watcher,
        progress: bool,
    ) -> None:
        self.pipeline, self.run, self.device, self.observer, self.progress = pipeline, run, device, observer, progress
        self.base = base if base is not None else load_policy(pipeline.model, device=device)
        self.task = load_task(pipeline.task, **pipeline.task_options)

    def everything(self) -> str:
        """Does what is left; returns the status: finished, or the status of the stage that ended before its end."""
        self._evaluate(self._folder(BASE), lambda: self.base)
        for stage in self.pipeline.stages:
            folder = self._folder(stage.name)
            if not _finished(folder):
                status = self._harvest(stage) if stage.method == "rejection_sampling" else self._train(stage)
                if status != "finished":
                    return status
            if stage.gives_model:
                self._evaluate(folder, partial(self._model, stage.name))
        return "finished"

    def _folder(self, name: str) -> Path:
        return stage_folder(self.run.path, self.pipeline, name)

    def _model(self, name: str) -> Policy:
        """A policy that a stage may train in place: a copy of the base, or an earlier stage's model from its folder."""
        if name == BASE:
            return Policy(copy.deepcopy(self.base.model), self.base.tokenizer, self.base.name)
        policy = load_policy(self._folder(name), device=self.device)
        policy.name = f"stages/{self._folder(name).name}"
        return policy

    def _reward_model(self, stage: Stage) -> RewardModel | None:
        return None if stage.judge is None else load_reward_model(self._folder(stage.judge), self.device)

    def _train(self, stage: Stage) -> str:
        """Trains a stage, from its newest checkpoint where it has one; returns the run's status."""
        folder, recipe = self._folder(stage.name), stage_recipe(self.pipeline, stage)
        options: dict[str, Any] = {"model": self._model(stage.start), "device": self.device, "progress": self.progress}
        options["observer"] = self.observer
        if recipe.online:
            options["task"] = stage_task(self.pipeline, stage, self.task, self._reward_model(stage))
        elif stage.data is not None:
            options["dataset"] = stage_rows(self.run.path, self.pipeline, stage)
        begun = (folder / "recipe.yaml").exists()
        try:
            run = train(resume=folder, **options) if begun else train(recipe, out=folder, **options)
        except RunFolderError as error:  # a stage is resumed with its pipeline, not by itself
            raise RunFolderError(error.folder, error.reason, resume=self.run.path) from error
        return str((run.result or {}).get("status"))

    def _harvest(self, stage: Stage) -> str:
        """Draws a stage's answers and keeps the good ones as rows; returns the status."""
        folder = self._folder(stage.name)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"name": stage.name, "method": stage.method, "from": stage.start, "seed": self.pipeline.seed}
        settings |= {"harvest": stage.harvest.model_dump()} if stage.harvest else {}
        write_aside(folder / "recipe.yaml", yaml.safe_dump(settings, sort_keys=False))
        policy = self._model(stage.start)
        write_aside(folder / "environment.json", json.dumps(environment(policy.device), indent=1) + "\n")
        rows, facts = harvest(self.pipeline, stage, policy, self.task)
        write_aside(folder / HARVEST, "".join(map(json_line, rows)))
        # The result comes last: without it the stage is done again, to the same rows.
        Run(folder).write_result({"recipe": stage.name, "seed": self.pipeline.seed, "status": "finished", **facts})
        return "finished"

    def _evaluate(self, folder: Path, load: Callable[[], Policy]) -> None:
        """Evaluates a stage's model and keeps the numbers in its folder, where they are not there yet."""
        file = folder / EVALUATION
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            evaluation = evaluate_model(load(), self.task, self.pipeline.measure)
            write_aside(file, json.dumps(evaluation) + "\n")


def _finished(folder: Path) -> bool:
    return (Run(folder).result or {}).get("status") == "finished"


__all__ = ["PipelineReport", "PipelineRun", "open_pipeline", "refuse_stage", "report", "run_pipeline"]
