"""Traces with marks on their steps: what outcome and process reward models learn from.

A policy answers the task's problems, and the verifier marks each answer. The steps of an answer are marked by the
answer's outcome, by Monte-Carlo rollouts from each prefix (Math-Shepherd, Wang et al. 2024, arXiv:2312.08935), or by a
perfect annotator, which only the tiny world has.
"""

from typing import Any, Literal, get_args

from labkit.errors import UserError
from labkit.models import Policy
from labkit.rollouts import score
from labkit.sampling import sample
from labkit.tasks import Problem, Task
from labkit.verifiers.steps import steps
from labkit.worlds.countdown.steps import right_steps

AT_ONCE = 64  # prefixes continued in one batch
Marks = Literal["outcome", "rollouts", "exact"]


def marked_traces(
    policy: Policy,
    task: Task,
    problems: list[Problem],
    *,
    samples: int = 4,
    marks: Marks = "outcome",
    rollouts: int = 4,
    max_new_tokens: int | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Samples of the policy as rows `{"prompt", "completion", "label", "steps"}`; truncated ones count as wrong.

    `label`: whether the answer is right. `steps`: one number per line of the completion; that of the last line is the
    label. The others depend on `marks`: with `outcome` they are the label too; with `rollouts` the share of so many
    continuations of the text so far that end right, an estimate of the chance that this policy still succeeds; with
    `exact` (countdown alone) 1 where the step itself is right, whatever comes after it. Raises UserError for marks that
    the task does not have.
    """
    if marks not in get_args(Marks):
        raise UserError(f"no marks {marks!r}; there are {', '.join(get_args(Marks))}")
    if marks == "exact" and not task.name.startswith("countdown"):
        raise UserError(f"exact marks are known of countdown alone, not of {task.name!r}: use rollouts or outcome")
    length = max_new_tokens or task.max_new_tokens
    drawn = score(
        sample(policy, [p.prompt for p in problems], n=samples, max_new_tokens=length, seed=seed), task, problems
    )
    asked = [problems[g] for g in drawn.groups.tolist()]
    rows = [
        {"prompt": prompt, "completion": text, "label": reward >= 1}
        for prompt, text, reward in zip(drawn.prompts, drawn.completions, drawn.rewards.tolist(), strict=True)
    ]
    if marks == "exact":
        marked = [
            [float(right) for right in right_steps(row["completion"], problem.reference)]
            for row, problem in zip(rows, asked, strict=True)
        ]
    elif marks == "rollouts":
        prefixes = [prefixes_of(row["completion"]) for row in rows]
        values = iter(chances(policy, task, asked, prefixes, rollouts, length, seed + 1))
        marked = [[*next(values), float(row["label"])] for row in rows]
    else:
        marked = [[float(row["label"])] * len(steps(row["completion"])) for row in rows]
    return [{**row, "steps": numbers} for row, numbers in zip(rows, marked, strict=True)]


def prefixes_of(completion: str) -> list[str]:
    r"""The text up to the end of each step but the last.

    >>> prefixes_of("<think>1+6=7 no\n5*6=30 yes\n</think>")
    ['<think>1+6=7 no\n', '<think>1+6=7 no\n5*6=30 yes\n']
    """
    pieces = steps(completion)
    return ["".join(pieces[: i + 1]) for i in range(len(pieces) - 1)]


def chances(
    policy: Policy,
    task: Task,
    problems: list[Problem],
    prefixes: list[list[str]],
    rollouts: int,
    max_new_tokens: int,
    seed: int = 0,
) -> list[list[float]]:
    """For each prefix of each problem, the share of `rollouts` continuations by the policy that end right.

    `prefixes[i]` are beginnings of answers to `problems[i]`. A prefix is continued by at most `max_new_tokens`, and by
    no more than what is left of the model's context; where nothing is left, its chance is 0.
    """
    flat = [(problem, text) for problem, texts in zip(problems, prefixes, strict=True) for text in texts]
    if not flat:
        return [[] for _ in prefixes]
    used = [
        len(policy.encode(problem.prompt)) + len(policy.tokenizer(text, add_special_tokens=False)["input_ids"])
        for problem, text in flat
    ]
    right = [0] * len(flat)
    # Prefixes of about the same length are continued together, since the longest prefix of a batch limits all of them.
    order = sorted((i for i in range(len(flat)) if used[i] < policy.context_length), key=used.__getitem__)
    for start in range(0, len(order), AT_ONCE):
        part = order[start : start + AT_ONCE]
        room = min(max_new_tokens, policy.context_length - used[part[-1]])
        asked, begin = [flat[i][0] for i in part], [flat[i][1] for i in part]
        drawn = sample(
            policy, [p.prompt for p in asked], n=rollouts, max_new_tokens=room, seed=seed + start, begin=begin
        )
        groups = drawn.groups.tolist()
        texts = [begin[g] + text for g, text in zip(groups, drawn.completions, strict=True)]
        for g, one in zip(groups, task.score_all(texts, [asked[g] for g in groups]), strict=True):
            right[part[g]] += one.reward >= 1
    values = iter(count / rollouts for count in right)
    return [[next(values) for _ in texts] for texts in prefixes]
