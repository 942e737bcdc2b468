"""What a recipe will need: peak memory and time, from the model at hand and a small piece of its work.

Memory: weights and their copies, gradients and Adam's moments are counted. What a forward pass keeps for the backward
pass is measured on rows of up to 96 tokens and scaled up to the largest micro-batch, so that it is that of this very
architecture. The peak is that of the larger of two phases, sampling and update, with rows as long as they may become:
a run whose answers are shorter needs less. What the sampler keeps between its calls lies there during the update too.
On a CPU the heap adds gaps between the tensors, which change from run to run: a share for them is in `reserve`. Left
out: Python and the libraries themselves.

Time: steps of sampling and a backward pass are measured and scaled up; "at most", as if every answer were of the
longest length allowed. Of a trainer that learns from rows, one step on some of its rows is taken.
"""

import weakref
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from labkit.device import clock
from labkit.errors import UserError
from labkit.models import Policy, add_lora, hidden_states, load_policy, train_with
from labkit.models.output import MOST_LOGITS
from labkit.recipes.schema import RL, Recipe
from labkit.sampling import sample
from labkit.sampling.workspace import default_slots, sampler_bytes
from labkit.tasks import Task, load_task
from labkit.training.loop.microbatches import token_budget
from labkit.training.rl.build import helper_bytes
from labkit.training.rl.helper import Sizes
from labkit.training.rl.longest import PROMPTS, longest_experience, longest_rollouts
from labkit.training.rl.update import Objective
from labkit.training.rows.data import GIVEN, TRACES
from labkit.training.rows.learner import prepare_rows, row_trainer

WIDTHS = (32, 64, 96)  # tokens of the rows on which activations are measured
RESERVE = 16 * 2**20  # what matrix libraries hold besides tensors
# Idle between tensors in the heap, as a share of what is estimated for them. Measured on two models, ten runs of each:
# 9 to 31 % with the reserve.
GAPS = {"cpu": 0.15}
TRIED_ROWS, TRIED_STEPS, TRIED_TOKENS = 64, 8, 256  # how much is sampled and trained to measure time
TRIED_BATCH = 8  # rows of data in a step that is taken to measure time


@dataclass(frozen=True)
class Estimate:
    """Bytes by what they are for, their peak, and seconds; `free_bytes`: what the device has, where it tells."""

    recipe: str
    model: str
    device: str
    longest_row: int
    microbatch_tokens: int
    parts: dict[str, int]
    sampling_bytes: int
    update_bytes: int
    peak_bytes: int
    free_bytes: int | None
    seconds: dict[str, float]

    @property
    def fits(self) -> bool | None:
        """Whether the peak is below what is free; None where that is not known."""
        return None if self.free_bytes is None else self.peak_bytes < self.free_bytes

    def to_dict(self) -> dict[str, Any]:
        """The estimate as plain data, for JSON."""
        return {**asdict(self), "fits": self.fits}


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that are made inside and still alive (`now`), and their highest sum (`peak`);
    `known`: tensors from before, which an operation may hand through."""

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.seen: dict[int, weakref.ref] = {}
        self.known = {id(storage): storage for storage in (tensor.untyped_storage() for tensor in known)}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation, and counts what it has made."""
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
        return found

    def _count(self, storage: Any) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self.seen or key in self.known:
            return

        def gone(_: Any) -> None:
            del self.seen[key]
            self.now -= size

        self.seen[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def estimate(
    recipe: Recipe, device: str | None = None, task: Task | None = None, rows: list[dict[str, Any]] | None = None
) -> Estimate:
    """What a run of this recipe will need on this device. Loads the model. `rows`: what it learns from, where the
    recipe's own source is not meant. Raises UserError for distillation, which has two models, and for what the run
    itself would refuse."""
    if recipe.trainer == "distillation":
        raise UserError("the memory of a distillation is not estimated: two models of different size share it")
    policy = load_policy(recipe.model, device=device)
    if recipe.lora is not None:
        add_lora(policy, recipe.lora.rank, recipe.lora.alpha, recipe.lora.targets, recipe.seed)
    online, settings = recipe.trainer in RL, recipe.optimizer
    budget = token_budget(settings.microbatch_tokens, policy.device)
    if online:
        task = task or load_task(recipe.task, **recipe.task_options)
        longest = longest_rollouts(recipe, policy, task, 1).tokens.shape[1]
        everything = recipe.sampling.prompts * recipe.sampling.samples * longest
        at_once = everything // settings.minibatches
    else:
        longest = min(recipe.data.max_length or policy.context_length, policy.context_length, budget)
        everything = at_once = recipe.data.batch * longest
    tokens = max(longest, min(budget, at_once))
    train_with(policy.model, settings.gradient_checkpointing)
    weights, trained = (
        _bytes(policy.model.parameters()),
        _bytes(p for p in policy.model.parameters() if p.requires_grad),
    )
    parts = {"weights": weights} | _copies(recipe, weights, trained)
    parts |= {"moments": 2 * trained, "gradients": trained}
    parts["activations"] = activation_bytes(policy.model, tokens, longest)
    if settings.gradient_checkpointing:  # in the backward pass one layer has all of its activations again
        train_with(policy.model)
        parts["activations"] += activation_bytes(policy.model, tokens, longest) // _layers(policy.model)
    parts["loss"] = loss_bytes(policy.model, tokens)
    kept = sum(parts[key] for key in ("weights", "copies", "moments"))
    passing = parts["activations"] + parts["loss"]
    # From the second micro-batch on the gradients are there already; a single one frees activations as they come.
    several = at_once > tokens
    update, sampling = kept + (passing + parts["gradients"] if several else max(passing, parts["gradients"])), 0
    if online:
        parts["sampler"], stays = _held_by_sampler(policy.model, recipe, longest)
        parts["drawn"] = drawn_bytes(policy.model, recipe, longest)
        sampling = kept + parts["sampler"] + parts["drawn"]
        update += parts["sampler"] * stays
    parts["reserve"] = RESERVE + int(max(update, sampling) * GAPS.get(policy.device.type, 0))
    update, sampling = update + parts["reserve"], (sampling + parts["reserve"]) * online
    return Estimate(
        recipe=recipe.name,
        model=policy.name,
        device=str(policy.device),
        longest_row=longest,
        microbatch_tokens=budget,
        parts=parts,
        sampling_bytes=sampling,
        update_bytes=update,
        peak_bytes=max(update, sampling),
        free_bytes=_free_bytes(policy, weights),
        seconds=_seconds(recipe, policy, task, everything)
        if task is not None and online
        else _row_seconds(recipe, policy, rows),
    )


def activation_bytes(model: nn.Module, tokens: int, width: int) -> int:
    """What a forward pass over `tokens` tokens in rows of `width` keeps for the backward pass, output layer left out.

    Measured on one row of three widths; a row of w tokens keeps a + b w + c w^2 (c: attention that keeps its matrix).
    """
    sizes = torch.tensor([[1.0, w, w * w] for w in WIDTHS], dtype=torch.float64)
    measured = torch.tensor([[float(_kept_bytes(model, w))] for w in WIDTHS], dtype=torch.float64)
    constant, linear, square = torch.linalg.solve(sizes, measured).squeeze(1).tolist()
    rows = max(1, tokens // width)
    return int(max(constant, 0) + rows * (linear * width + max(square, 0) * width**2))


def _kept_bytes(model: nn.Module, width: int) -> int:
    tokens = torch.zeros(1, width, dtype=torch.long, device=model.device)
    with LiveBytes(model.parameters()) as live, torch.enable_grad():
        hidden = hidden_states(model, tokens)
        kept = live.now
    del hidden
    return kept


def loss_bytes(model: nn.Module, tokens: int) -> int:
    """What the loss and the widest layer need for a moment: three tensors of one chunk's logits, or, in the backward
    pass, three of a micro-batch's widest hidden layer."""
    config, itemsize = model.config.get_text_config(), 4
    chunk = min(tokens * config.vocab_size, MOST_LOGITS.get(model.device.type, 2**24))
    widest = max(getattr(config, "intermediate_size", None) or 4 * config.hidden_size, config.hidden_size)
    return 3 * itemsize * max(chunk, tokens * widest)


def drawn_bytes(model: nn.Module, recipe: Recipe, longest: int) -> int:
    """What is drawn of all rows (tokens, log-probs, random numbers), and some tensors of logits."""
    drawing, vocabulary = recipe.sampling, model.config.get_text_config().vocab_size
    rows = drawing.prompts * drawing.samples
    return rows * drawing.max_new_tokens * (8 + 4 + 4) + 4 * min(rows, default_slots(model, longest)) * vocabulary * 4


def _held_by_sampler(model: nn.Module, recipe: Recipe, longest: int) -> tuple[int, bool]:
    """What the sampler holds, in training or in the evaluation before it, and whether it keeps it."""
    drawing, asked = recipe.sampling, recipe.evaluation
    rows = max(drawing.prompts * drawing.samples, asked.problems * asked.samples)
    more = max(0, (asked.max_new_tokens or 0) - drawing.max_new_tokens) if asked.problems else 0
    return sampler_bytes(model, rows, longest + more)


def _copies(recipe: Recipe, weights: int, trained: int) -> dict[str, int]:
    """Other models that lie next to the policy: a reference, a judge, a critic, older policies."""
    copies = 0
    if recipe.trainer in RL:
        copies += helper_bytes(recipe, Sizes(weights, trained))
        copies += weights * (recipe.reward_model is not None)
    else:
        copies += row_trainer(recipe.algorithm).memory(recipe, weights)
    return {"copies": copies}


def _seconds(recipe: Recipe, policy: Policy, task: Task, everything: int) -> dict[str, float]:
    """Seconds of a step's sampling and update, at most, and of the whole run without its evaluations."""
    drawing, rows = recipe.sampling, recipe.sampling.prompts * recipe.sampling.samples
    tried = min(rows, TRIED_ROWS)
    prompts = [problem.prompt for problem in task.sample(PROMPTS, "train", seed=recipe.seed)][: max(1, tried // 4)]
    steps, sampling, training = min(TRIED_STEPS, drawing.max_new_tokens), 0.0, 0.0
    for _ in range(2):  # the first call pays for warming up
        drawn = sample(
            policy, prompts, n=max(1, tried // len(prompts)), max_new_tokens=steps, temperature=drawing.temperature
        )
        a_step = drawn.timings["decode"] / int(drawn.lengths.max())
        sampling = (drawn.timings["prefill"] + a_step * drawing.max_new_tokens) * rows / tried
    longest, objective = longest_experience(recipe, policy, task, TRIED_TOKENS), Objective(policy.model, recipe)
    rollouts = longest.rollouts
    for _ in range(2):
        started = clock(policy.device)
        objective.accumulate(longest, torch.arange(len(rollouts)), 1, 1)
        policy.model.zero_grad()
        training = (clock(policy.device) - started) / rollouts.tokens.numel() * everything * recipe.optimizer.updates
    return {"sample": sampling, "train": training, "run": (sampling + training) * recipe.steps}


def _row_seconds(recipe: Recipe, policy: Policy, rows: list[dict[str, Any]] | None) -> dict[str, float]:
    """Seconds of a step on rows of data and of the whole run without its evaluations: a step is taken, on some of the
    rows. Nothing where the rows are not there yet: they are given, or the model writes them."""
    if rows is None and recipe.data.source in (GIVEN, TRACES):
        return {}
    batch = min(recipe.data.batch, TRIED_BATCH)
    few = {"limit": max(batch, TRIED_ROWS), "test_limit": 0, "batch": batch}
    small = recipe.model_copy(update={"data": recipe.data.model_copy(update=few)})
    learner = prepare_rows(small, policy, None if rows is None else {"train": rows})
    with TemporaryDirectory() as folder:
        learner.prepare(Path(folder))
    for number in range(2):  # the first step pays for warming up
        training = learner.step(number)["seconds"] * recipe.data.batch / batch
    return {"sample": 0.0, "train": training, "run": training * recipe.steps}


def _free_bytes(policy: Policy, weights: int) -> int | None:
    """What the device could give to the run, the policy's weights included, which it already holds."""
    if policy.device.type == "cuda":
        return torch.cuda.mem_get_info(policy.device)[0] + weights
    return None


def _layers(model: nn.Module) -> int:
    return int(model.config.get_text_config().num_hidden_layers)


def _bytes(parameters: Any) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in parameters)
