"""The loop that every trainer shares: steps, the run folder, checkpoints, resuming, stopping.

A trainer gives the loop a `Learner`: the things that it trains, and a function that takes one step.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from tqdm import tqdm

from labkit.errors import NotFiniteError
from labkit.models import Policy
from labkit.printable import printable
from labkit.progress import in_notebook, silent
from labkit.progress import progress as following
from labkit.recipes.schema import Recipe
from labkit.runs import Run
from labkit.training.loop.checkpoints import Stateful, restore_checkpoint, save_checkpoint
from labkit.training.loop.interrupts import FirstInterrupt

Metrics = dict[str, Any]


@runtime_checkable
class Observer(Protocol):
    """An object that watches a run: a dashboard, a test, your own code.

    It may have further methods. `begin(policy, task)` is called before the first measurement; `task` is None if the run
    draws no samples. `measuring(what, share)` is called during a measurement on held-out problems; `share` is None when
    it has ended. `finish(result)` is called at the end, also if the run ends early.
    """

    @property
    def stopped(self) -> bool:
        """True asks the run to end after the present step, with a checkpoint."""
        ...

    def update(self, metrics: dict[str, Any], rollouts: list[dict[str, Any]]) -> None:
        """Called after every step with the metrics and samples that were logged."""
        ...


@dataclass
class Learner:
    """The things that are trained, and the function that takes one step.

    `step(i)` takes optimiser step i (from 0) and returns its metrics (`seconds` among them) and the samples to log. It
    depends only on i, on the recipe and on the contents of a checkpoint, so that a run can be resumed. `parts` are
    saved and restored together with the policy (a head, a controller). `shown` holds the metrics of the progress bar,
    and their names there. `begin` is called once: after a checkpoint is restored, and before the first step.
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
    """Takes the remaining steps, from the run's newest checkpoint on; returns the number of steps done in all.

    The same recipe gives the same numbers on the same device with the same number of threads, also if the run is killed
    and resumed. If a step fails before it changes the weights, the steps before it are saved. There is one exception:
    if the model gives NaN or infinity (NotFiniteError), nothing is saved, because the checkpoint before is better. The
    first interrupt ends the run after the present step, as an observer's `stopped` does; a second one ends it at once.
    """

    def save() -> None:
        save_checkpoint(run, done, learner.policy, learner.optimizer, recipe.keep_checkpoints, learner.parts)

    done = restore_checkpoint(run, learner.policy, learner.optimizer, learner.parts)
    run.forget_from(done)
    elapsed = run.metrics[-1]["elapsed"] if done else 0.0
    steps = range(done, recipe.steps)
    with _shown(recipe, learner, done, progress) as tell, FirstInterrupt() as interrupt:
        if steps:
            learner.begin()
        for step in steps:
            weights = _versions(learner)
            try:
                metrics, logged = learner.step(step)
            except NotFiniteError as error:
                raise NotFiniteError(error.what, step) from None
            except BaseException:  # a reward of NaN, an error in a verifier, a second Ctrl-C
                # Save the steps so far, unless this step has begun to change the weights. Then the weights belong to
                # no whole number of steps, and a resumed run goes on from the newest checkpoint.
                if done and _versions(learner) == weights:
                    save()
                raise
            elapsed += metrics["seconds"]
            metrics["elapsed"] = elapsed
            run.log(metrics, logged)
            tell(metrics)
            done, stop = step + 1, False
            if observer is not None:
                observer.update(metrics, logged)
                stop = observer.stopped
            stop = stop or interrupt.asked
            if done % recipe.checkpoint_every == 0 or done == recipe.steps or stop:
                save()
            if stop:
                break
    return done


def _versions(learner: Learner) -> list[int]:
    """How often each trained tensor was written to. If two results are equal, no weight changed between them."""
    modules = [learner.policy.model, *(part for part in learner.parts.values() if isinstance(part, nn.Module))]
    return [parameter._version for module in modules for parameter in module.parameters()]


@contextmanager
def _shown(recipe: Recipe, learner: Learner, done: int, wanted: bool) -> Iterator[Callable[[Metrics], None]]:
    """A function that shows the metrics of a step: on a progress bar in a terminal, on a line in a notebook."""
    name = printable(recipe.name)

    def words(metrics: Metrics) -> dict[str, str]:
        return {name: f"{metrics[key]:.3g}" for key, name in learner.shown.items() if key in metrics}

    if wanted and in_notebook():
        with following(name, recipe.steps) as line:
            line.weight = 0.0  # the progress of sampling inside a step does not move this line
            line.reach(done)

            def tell(metrics: Metrics) -> None:
                numbers = ", ".join(f"{shown} {number}" for shown, number in words(metrics).items())
                line.what = f"{name}, {metrics['step'] + 1} of {recipe.steps} steps ({numbers})"
                line.advance()

            yield tell
        return
    with silent(), tqdm(desc=name, initial=done, total=recipe.steps, unit="step", disable=not wanted) as bar:

        def tell(metrics: Metrics) -> None:
            bar.set_postfix(words(metrics), refresh=False)
            bar.update()

        yield tell
