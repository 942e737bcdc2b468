"""Any of the procedural data sets of reasoning-gym, with that library's own scorer.

`load_task("reasoning_gym:chain_sum", min_terms=2, max_terms=3)`: options are the data set's own configuration, except
two of labkit's: `ending` follows each question, and `scorer="number"` scores with labkit's verifier `number`, which
takes the last number of an answer where none is marked (a small model hardly ever writes the tags). A problem is a
function of the data set's seed and an index. Two seeds may make the same item, and small worlds repeat themselves. So
the split depends on the item's text: a question is held out or not, whatever index made it.
"""

import difflib
import functools
import json
import random
from collections.abc import Callable
from typing import Any, Literal

from labkit.errors import UserError
from labkit.tasks.base import Problem, Task, split_of
from labkit.verifiers import VERIFIERS, Score, extract_answer

PREFIX = "reasoning_gym:"
ENDING = "\n\nGive the final answer between <answer> and </answer>."
SIZE = 1_000_000
# Data sets that make all their items at once, or can't make so many.
SIZES = {"acre": 2_000, "word_ladder": 2_000}
TRIES = 2000


def data_sets() -> dict[str, Any]:
    """reasoning-gym's registry. Raises UserError where the package is missing."""
    try:
        from reasoning_gym.factory import DATASETS
    except ImportError:
        raise UserError("the reasoning_gym tasks need the package: pip install reasoning-gym") from None
    return DATASETS


@functools.lru_cache(maxsize=16)
def _data_set(name: str, config: str) -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset(name, **json.loads(config))


@functools.lru_cache(maxsize=4096)
def _item(name: str, config: str, index: int) -> dict[str, Any]:
    return _data_set(name, config)[index]


def score_item(completion: str, reference: dict[str, Any]) -> Score:
    """The library's own score of the answer, clamped to 0 and 1; the item is made again from its seed and index.

    `reference` is `{"dataset": name, "config": {...}, "index": i}`. The answer is what `extract_answer` finds; whole
    lines of an answer over several lines are kept.
    """
    name, config = reference["dataset"], json.dumps(reference["config"], sort_keys=True)
    answer = extract_answer(completion)
    if answer is None:
        return Score(0.0, "no answer found", None, {"value": 0.0})
    if name not in data_sets():
        raise UserError(f"no data set {name!r} in reasoning-gym")
    value = float(_data_set(name, config).score_answer(answer, _item(name, config, reference["index"])))
    value = min(max(value, 0.0), 1.0)
    return Score(value, f"reasoning-gym's {name} gives {value:g}", answer, {"value": value})


def _draw(name: str, config: str, ending: str, scorer: str, split: str, rng: random.Random) -> Problem:
    data = _data_set(name, config)
    for _ in range(TRIES):
        index = rng.randrange(len(data))
        item = _item(name, config, index)
        question = str(item["question"])
        if split_of(["reasoning_gym", name, question]) == split:
            own = {"dataset": name, "config": json.loads(config), "index": index}
            reference = own if scorer == "own" else str(item["answer"])
            return Problem(question.rstrip() + ending, reference, f"{PREFIX}{name}/{question}")
    raise UserError(f"{PREFIX}{name} has too few different questions for a split {split}: choose other options")


def make_reasoning_gym(
    name: str,
    seed: int = 0,
    size: int | None = None,
    scorer: Literal["own", "number"] = "own",
    ending: str | None = None,
    **options: Any,
) -> Task:
    """The task of a data set; `seed` and `options` are its configuration, items are drawn from the first `size`.

    `scorer`: "own", the library's, for the text in answer tags or boxes; "number", the verifier of that name.
    `ending` follows each question; by default it asks for answer tags, or is empty with the verifier `number`.

    Raises UserError for an unknown data set, with the closest names, for options that it does not take, and for
    the verifier `number` where answers are no numbers.
    """
    from importlib.metadata import version

    known = data_sets()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {len(known)}, such as chain_sum and gcd"
        raise UserError(f"no data set {name!r} in reasoning-gym; {hint}")
    size = SIZES.get(name, SIZE) if size is None else size
    try:
        config = json.dumps({**options, "seed": seed, "size": size}, sort_keys=True)
        _data_set(name, config)
    except (TypeError, ValueError, AssertionError, KeyError) as error:
        raise UserError(f"{PREFIX}{name} does not take these options: {' '.join(str(error).split())[:200]}") from None
    if scorer not in ("own", "number"):
        raise UserError(f"the scorer of {PREFIX}{name} is own or number, not {scorer!r}")
    by_number = scorer == "number"
    if by_number:
        _refuse_words(name, str(_item(name, config, 0)["answer"]))
    if ending is None:
        ending = "" if by_number else ENDING
    scored = "scored by its last number" if by_number else "with its own scorer"
    mine = {"scorer": scorer, "ending": ending} if by_number or ending != ENDING else {}
    return Task(
        name=f"{PREFIX}{name}",
        description=f"{name} of reasoning-gym, {scored}",
        verifier=VERIFIERS["number"] if by_number else score_item,
        draw=functools.partial(_draw, name, config, ending, scorer),
        options={**json.loads(config), **mine, "version": version("reasoning-gym")},
        probe=4,  # an item of some data sets takes a second; seed, options and version make the rest
    )


def _refuse_words(name: str, answer: str) -> None:
    try:
        VERIFIERS["number"]("", answer)
    except UserError:
        raise UserError(f"the answers of {PREFIX}{name} are no numbers, such as {answer[:40]!r}") from None


def maker(name: str) -> Callable[..., Task]:
    """The function that makes the task of a full name, `reasoning_gym:chain_sum`."""
    return functools.partial(make_reasoning_gym, name.removeprefix(PREFIX))
