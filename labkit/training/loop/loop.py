"""The loop that every trainer shares: steps, the run folder, checkpoints, resuming, stopping.

A trainer hands over a `Learner`: what it trains, and a function that takes one step. Everything else is here.
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

    It may have further methods: `begin(policy, task)` is called before the first measurement (task: None where nothing
    is sampled), `measuring(what, share)` while held-out problems are measured (share: None when that has ended), and
    `finish(result)` at the end, also where the run ends early.
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
    killed and resumed in between. When a step fails before it changes the weights, the steps before it are saved first,
    unless the model gives no numbers any more: its checkpoint would be worse than the one before. The first interrupt
    ends the run after the step that is being taken, as an observer's `stopped` does; a second one at once.
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
            except BaseException:  # a reward that is no number, a fault of the verifier's, a second Ctrl-C
                # The steps so far are kept, unless this one was about to change the weights: then they are those of no
                # whole number of steps, and the newest checkpoint is what the run goes on from.
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
    """How often each tensor that is trained was written to: the same as before where a step changed nothing."""
    modules = [learner.policy.model, *(part for part in learner.parts.values() if isinstance(part, nn.Module))]
    return [parameter._version for module in modules for parameter in module.parameters()]


@contextmanager
def _shown(recipe: Recipe, learner: Learner, done: int, wanted: bool) -> Iterator[Callable[[Metrics], None]]:
    """A function that is told each step's metrics: it moves a bar in a terminal, and a line in a notebook."""
    name = printable(recipe.name)

    def words(metrics: Metrics) -> dict[str, str]:
        return {name: f"{metrics[key]:.3g}" for key, name in learner.shown.items() if key in metrics}

    if wanted and in_notebook():
        with following(name, recipe.steps) as line:
            line.weight = 0.0  # a step's own samples do not move it
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
