"""Compares the process reward of each step of an answer with the true effect of this step.

The true effect of a step is a difference of two chances of success: that from the text with the step, minus that from
the text without it. Rollouts of the policy measure both. No reward model is given these numbers, but the rewards of a
good one should correlate with them.
"""

from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from labkit.algorithms import implicit_rewards
from labkit.errors import UserError
from labkit.models import Policy, load_policy
from labkit.recipes import validate
from labkit.rollouts import Rollouts, score
from labkit.runs import Run
from labkit.sampling import sample
from labkit.tasks import Problem, Task
from labkit.training.rl.logprobs import rollout_logprobs
from labkit.training.rl.process import ImplicitPRM
from labkit.training.rows.traces import chances, prefixes_of
from labkit.verifiers.steps import steps


def open_prm(run: Run, step: int | None = None, device: str | None = None) -> ImplicitPRM:
    """Loads the process reward model of a PRIME run, with its reference, from the newest checkpoint or that of `step`.

    Raises UserError if there is none.
    """
    recipe, checkpoints = validate(run.recipe, str(run.path)), run.checkpoints()
    number = max(checkpoints, default=None) if step is None else step
    file = None if number not in checkpoints else checkpoints[number] / "process_reward.safetensors"
    if file is None or not file.exists():
        raise UserError(f"no process reward model in {run.path}: `labkit train prime-tiny` makes a run with one")
    model, reference = (load_policy(recipe.reference or recipe.model, device=device) for _ in range(2))
    prm = ImplicitPRM(model.model, reference.model.requires_grad_(False), recipe)
    prm.load_state_dict(load_file(file, device=str(model.device)))
    return prm


def step_credit(
    policy: Policy,
    prm: ImplicitPRM,
    task: Task,
    problems: list[Problem],
    *,
    samples: int = 1,
    rollouts: int = 16,
    max_new_tokens: int | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Samples answers, and returns the process reward and the true effect of each of their steps.

    Returns rows `{"prompt", "completion", "label", "tokens", "process", "paid", "chance"}`. `process` has one reward
    per token, and `paid` their sum per step (line). `chance` has one number more than there are steps: the share of
    `rollouts` rollouts that end right, before the first step and after each step (after the last step it is the label).
    The true credit of a step is the difference of two neighbours in `chance`.
    """
    length = max_new_tokens or task.max_new_tokens
    drawn = sample(policy, [p.prompt for p in problems], n=samples, max_new_tokens=length, seed=seed)
    drawn = score(drawn, task, problems)
    ref, now = (rollout_logprobs(m, drawn, 1.0, None) for m in (prm.reference, prm.model))
    process = implicit_rewards(now, ref, drawn.mask, prm.settings.beta)
    asked = [problems[g] for g in drawn.groups.tolist()]
    prefixes = [["", *prefixes_of(text)] for text in drawn.completions]
    found = chances(policy, task, asked, prefixes, rollouts, length, seed + 1)
    return [_row(policy, drawn, process, found[i], i) for i in range(len(drawn))]


def _row(policy: Policy, drawn: Rollouts, process: Float[Tensor, "batch time"], chance: list[float], i: int) -> dict:
    mask, text = drawn.mask[i], drawn.completions[i]
    tokens = [str(policy.tokenizer.decode([t])) for t in drawn.tokens[i][mask].tolist()]
    shares = process[i][mask].tolist()
    label = bool(drawn.rewards[i] >= 1)
    return {
        "prompt": drawn.prompts[i],
        "completion": text,
        "label": label,
        "tokens": tokens,
        "process": [round(x, 4) for x in shares],
        "paid": [round(x, 4) for x in by_step(tokens, shares, steps(text))],
        "chance": [*chance, float(label)],
    }


def by_step(tokens: list[str], values: list[float], pieces: list[str]) -> list[float]:
    r"""The sum of the tokens' values per step. A token belongs to the step in which it begins, the eos to the last one.

    >>> by_step(["7", "*5", " no\n", "7+", "5", "<eos>"], [1, 2, 3, 4, 5, 6], ["7*5 no\n", "7+5"])
    [6.0, 15.0]
    """
    sums, step, place = [0.0] * len(pieces), 0, 0
    end = len(pieces[0])
    for token, value in zip(tokens, values, strict=True):
        while place >= end and step + 1 < len(pieces):
            step += 1
            end += len(pieces[step])
        sums[step] += value
        place += len(token)
    return sums


@torch.no_grad()
def correlation(rows: list[dict[str, Any]]) -> float:
    """Pearson's correlation of process reward (`paid`) and true credit, over all steps of all rows.

    >>> correlation([{"paid": [1.0, -1.0, 2.0], "chance": [0.2, 0.4, 0.0, 1.0]}])
    0.963
    """
    paid = torch.tensor([x for row in rows for x in row["paid"]])
    true = torch.tensor([b - a for row in rows for a, b in zip(row["chance"], row["chance"][1:], strict=False)])
    return round(float(torch.corrcoef(torch.stack([paid, true]))[0, 1]), 3)
