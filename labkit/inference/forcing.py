"""Budget forcing (s1; Muennighoff et al. 2025): deciding from outside how long a model thinks.

Two interventions in the text, none in the weights. At the budget the thought is closed, and the answer asked for. A
thought that closes itself earlier has its end taken away, and a word put there that makes it go on: s1 writes "Wait".

Simplified: s1 forces greedy decoding of one long trace; here rows are samples, in batches.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labkit.errors import UserError
from labkit.models import Policy
from labkit.sampling import sample

GoOn = Callable[[str, str], str | None]
"""(prompt, thought without its end) -> what to append so that it goes on; None leaves it ended."""


def another_line(prompt: str, thought: str) -> str:
    r"""The continue-word of the tiny world: the first number of one more attempt, the prompt's numbers taking turns.

    >>> another_line("5,6,1->30:", "<think>5+6=11+1=12 no\n")
    '6'
    """
    numbers = re.findall(r"\d+", prompt)[:-1] or ["1"]
    return ("" if thought.endswith(("\n", ">")) else "\n") + numbers[thought.count("\n") % len(numbers)]


def unless_sure(prompt: str, thought: str) -> str | None:
    r"""The same, but a thought that ends in ` yes` may end: budget forcing that listens to the model's own verdict.

    >>> unless_sure("5,6,1->30:", "<think>6*5=30*1=30 yes\n") is None
    True
    """
    return None if thought.rstrip().endswith(" yes") else another_line(prompt, thought)


@dataclass
class Forced:
    """Answers under a budget of thought: lists with n entries per prompt, in order.

    `tokens` counts all that was sampled, ends that were taken away included; what was put in is not counted. `closed`:
    the budget ended the thought. `extended`: how often it was made to go on.
    """

    prompts: list[str]
    completions: list[str]
    tokens: list[int]
    closed: list[bool]
    extended: list[int]


@dataclass
class _Row:
    prompt: str
    text: str
    spent: int = 0
    ended: bool = False  # by the model
    extended: int = 0


def budget_force(
    policy: Policy,
    prompts: Sequence[str],
    *,
    budget: int,
    extensions: int = 0,
    go_on: str | GoOn = "\nWait",
    n: int = 1,
    opening: str = "<think>",
    closing: str = "</think>",
    ask: str = "<answer>",
    answer_tokens: int = 24,
    temperature: float = 1.0,
    seed: int = 0,
) -> Forced:
    """Samples n answers per prompt; thoughts have at most `budget` tokens and are prolonged up to `extensions` times.

    A thought begins with `opening` and ends with `closing`, or with the model's end of text. Before it may end it is
    made to go on with `go_on` (a text, or a function that chooses it) while extensions and budget are left. A thought
    that the budget ends is closed with `closing` + `ask`; then comes the answer, of at most `answer_tokens`.

    A row depends on seed, prompt and its number; the same row under a larger budget begins the same. Raises UserError
    for a budget, or a number of samples or answer tokens, below 1, and for a negative number of extensions.
    """
    if min(budget, n, answer_tokens) < 1 or extensions < 0:
        raise UserError("budget, n and answer_tokens must be 1 or more, and extensions 0 or more")
    rows = [_Row(prompt, opening) for prompt in prompts for _ in range(n)]
    choose: GoOn = (lambda prompt, thought: go_on) if isinstance(go_on, str) else go_on
    thinking = rows
    for round_ in range(extensions + 1):
        if round_:
            thinking = [row for row in thinking if row.spent < budget and _extend(row, closing, choose)]
        if not thinking:
            break
        _think(policy, thinking, budget, closing, temperature, seed)
    _answer(policy, rows, closing, ask, answer_tokens, temperature, seed)
    return Forced(
        prompts=[row.prompt for row in rows],
        completions=[row.text for row in rows],
        tokens=[row.spent for row in rows],
        closed=[not row.ended for row in rows],
        extended=[row.extended for row in rows],
    )


def _think(policy: Policy, rows: list[_Row], budget: int, closing: str, temperature: float, seed: int) -> None:
    """Lets rows think until they end or their budget is spent."""
    left = max(budget - row.spent for row in rows)
    drawn = sample(
        policy,
        [row.prompt for row in rows],
        begin=[row.text for row in rows],
        max_new_tokens=left,
        stop=(closing,),
        temperature=temperature,
        seed=seed,
    )
    for i, row in enumerate(rows):
        # All rows were sampled as long as the one with most budget left; a row drops what is beyond its own budget.
        ids = drawn.tokens[i][drawn.mask[i]].tolist()[: budget - row.spent]
        text = policy.decode(ids)
        row.spent += len(ids)
        row.text += text
        row.ended = text.endswith(closing) or ids[-1] in policy.eos_ids


def _extend(row: _Row, closing: str, choose: GoOn) -> bool:
    """Takes the end away and appends the continue-word; False where there is no end, or it may stay."""
    if not row.ended:
        return False
    thought = row.text.removesuffix(closing)
    more = choose(row.prompt, thought)
    if more is None:
        return False
    row.text, row.ended, row.extended = thought + more, False, row.extended + 1
    return True


def _answer(
    policy: Policy, rows: list[_Row], closing: str, ask: str, answer_tokens: int, temperature: float, seed: int
) -> None:
    """Closes thoughts that are still open, and lets all rows answer."""
    for row in rows:
        if not row.text.endswith(closing):
            row.text += closing + ask
    drawn = sample(
        policy,
        [row.prompt for row in rows],
        begin=[row.text for row in rows],
        max_new_tokens=answer_tokens,
        temperature=temperature,
        seed=seed,
    )
    for row, text, tokens in zip(rows, drawn.completions, drawn.lengths.tolist(), strict=True):
        row.text, row.spent = row.text + text, row.spent + tokens
