"""The loop that every trainer shares: steps, the run folder, checkpoints, resuming, stopping.

A trainer hands over a `Learner`: what it trains, and a function that takes one step. Everything else is here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from tqdm.auto import tqdm

from labkit.errors import NotFiniteError, UserError
from labkit.models import Policy
from labkit.recipes.schema import Recipe
from labkit.runs import Run
from labkit.training.loop.checkpoints import Stateful, restore_checkpoint, save_checkpoint

Metrics = dict[str, Any]


@runtime_checkable
class Observer(Protocol):
    """An object that watches a run: a dashboard, a test, your own code. A method `finish(result)`, if it has one, is
    called at the end."""

    @property
    def stopped(self) -> bool:
        """True asks the run to end after the present step, with a checkpoint."""
        ...

    def update(self, metrics: dict[str, Any], rollouts: list[dict[str, Any]]) -> None:
        """Called after every step with the metrics and samples that were logged."""
        ...


@dataclass
class Learner:
    """What is trained, and how one step of it goes.

    `step(i)` takes optimiser step i (from 0) and returns its metrics (`seconds` among them) and the samples to log. It
    depends on i, on the recipe and on the contents of a checkpoint, and on nothing else, so that a run can be resumed.
    `parts` are saved and restored together with the policy (a head, a controller). `shown`: metrics of the progress
    bar, and the name of each there. `begin` is called once, before the first step and after a checkpoint is restored.
    """

    policy: Policy
    optimizer: torch.optim.Optimizer
    step: Callable[[int], tuple[Metrics, list[dict[str, Any]]]]
    parts: Mapping[str, Stateful] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    begin: Callable[[], None] = lambda: None


def train_loop(
    recipe: Recipe, run: Run, learner: Learner, observer: Observer | None = None, progress: bool = True
) -> int:
    """Takes the steps that are left, from the run's newest checkpoint on; returns the number of steps done so far.

    The same recipe on the same device with the same number of threads gives the same numbers, also when the run is
    killed and resumed in between. When a step fails with a UserError, the steps before it are saved first, unless
    the model gives no numbers any more: its checkpoint would be worse than the one before.
    """

    def save() -> None:
        save_checkpoint(run, done, learner.policy, learner.optimizer, recipe.keep_checkpoints, learner.parts)

    done = restore_checkpoint(run, learner.policy, learner.optimizer, learner.parts)
    run.forget_from(done)
    elapsed = run.metrics[-1]["elapsed"] if done else 0.0
    steps = range(done, recipe.steps)
    if steps:
        learner.begin()
    bar = tqdm(steps, desc=recipe.name, initial=done, total=recipe.steps, unit="step", disable=not progress)
    for step in bar:
        try:
            metrics, logged = learner.step(step)
        except NotFiniteError as error:
            raise NotFiniteError(error.what, step) from None
        except UserError:  # a reward that is no number, a prompt that is too long: the steps so far are kept
            save()
            raise
        elapsed += metrics["seconds"]
        metrics["elapsed"] = elapsed
        run.log(metrics, logged)
        bar.set_postfix({name: f"{metrics[key]:.3g}" for key, name in learner.shown.items() if key in metrics})
        done, stop = step + 1, False
        if observer is not None:
            observer.update(metrics, logged)
            stop = observer.stopped
        if done % recipe.checkpoint_every == 0 or done == recipe.steps or stop:
            save()
        if stop:
            break
    return done
