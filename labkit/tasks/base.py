"""The class of a task: a source of problems, and a verifier that scores the answers."""

import hashlib
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from labkit.errors import UserError
from labkit.tasks.problem import Problem
from labkit.tasks.proxy import BatchScorer, Scorer, by_reward_model, by_verifier
from labkit.verifiers import Score, opened, opens_thought, run_for_prompts, safe_score, safe_scores

SPLITS = ("train", "test")
TEST_PERCENT = 15


def split_of(key: Any) -> str:
    """The split of a problem, from a hash of the values that identify it: 15 % are held out.

    The split is a property of the problem itself. So the pretraining corpus, the training prompts and the held-out
    prompts can be generated apart from each other, on any machine, and never overlap.

    >>> split_of([1, 5, 6, 30]) == split_of([1, 5, 6, 30])
    True
    """
    digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % 100 < TEST_PERCENT else "train"


@dataclass(frozen=True)
class Task:
    """A named source of problems with a verifier.

    `draw(split, rng)` makes one problem of a split; `pool(split)`, where there is one, is the finite list of all of
    them. `behaviours(completion)` gives extra numbers to log (attempts, backtracks, ...).
    `batch_scorer(completions, problems)`, where there is one, scores a whole batch instead of the verifier, for example
    with a reward model that runs once for all rows. `parts["verifier_error"]` of a score is 1.0 where verifier or
    scorer raised an error. `probe`: how many problems of each split the fingerprint covers; fewer if they are slow to
    make.
    """

    name: str
    description: str
    verifier: Callable[[str, Any], Score]
    draw: Callable[[str, random.Random], Problem]
    pool: Callable[[str], list[Problem]] | None = None
    behaviours: Callable[[str], dict[str, float]] | None = None
    format: Callable[[str, Any], Score] | None = None
    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    batch_scorer: BatchScorer | None = None
    probe: int = 32

    def sample(self, n: int, split: str = "train", seed: int = 0) -> list[Problem]:
        """`n` problems of a split ("train" or "test"), the same for the same seed; no repeats while others are left.

        Raises UserError for an unknown split or a negative n.
        """
        if split not in SPLITS:
            raise UserError(f"no split {split!r} in task {self.name!r}; choose one of {', '.join(SPLITS)}")
        if n < 0:
            raise UserError(f"cannot sample {n} problems; n must be 0 or more")
        rng = random.Random(f"{self.name}/{split}/{seed}")
        if self.pool is not None:
            everything = self.pool(split)
            if not everything:
                raise UserError(f"task {self.name!r} has no problems in the split {split}")
            rounds = [rng.sample(everything, len(everything)) for _ in range(-(-n // len(everything)))]
            return [problem for one_round in rounds for problem in one_round][:n]
        chosen: dict[str, Problem] = {}
        misses = 0
        while len(chosen) < n:
            problem = self.draw(split, rng)
            # A small space runs out of new problems: then repeats are accepted, or the loop would never end.
            misses += problem.id in chosen
            key = problem.id if misses < 20 * n else f"{problem.id}#{len(chosen)}"
            chosen.setdefault(key, problem)
        return list(chosen.values())

    def score(self, completion: str, problem: Problem) -> Score:
        """The verifier's score; a verifier that raises gives 0 with the reason instead of ending the run.

        Where the prompt ends in `<think>`, a completion that never closes the thought answers nothing: the verifier
        sees the tag before it (`labkit.verifiers.opened`).
        """
        if self.batch_scorer is not None:
            return self.score_all([completion], [problem])[0]
        verifier = opened(self.verifier) if opens_thought(problem.prompt) else self.verifier
        return safe_score(verifier, completion, problem.reference)

    def score_all(self, completions: list[str], problems: list[Problem]) -> list[Score]:
        """The scores of a batch, in order; `problems[i]` is what `completions[i]` answers.

        Whatever the verifier does (raise, hang, return nonsense), each completion gets a score, 0 with the reason where
        the verifier was at fault. Raises ValueError when the two lists differ in length.
        """
        if len(completions) != len(problems):
            raise ValueError(f"{len(completions)} completions for {len(problems)} problems")
        if self.batch_scorer is not None:
            return safe_scores(self.batch_scorer, completions, problems)
        references, prompts = [problem.reference for problem in problems], [problem.prompt for problem in problems]
        return run_for_prompts(self.verifier, completions, references, prompts)

    def with_reward_model(self, reward_model: Scorer) -> "Task":
        """The same task, scored by a reward model; what it scored itself is `parts["gold"]` of each score."""
        return replace(self, batch_scorer=by_reward_model(self.score_all, reward_model))

    def with_verifier(self, verifier: Callable[[str, Any], Any]) -> "Task":
        """The same task, scored by another verifier; what its own says is `parts["gold"]` of each score."""
        return replace(self, batch_scorer=by_verifier(self.score_all, verifier))

    def fingerprint(self) -> str:
        """A short hash of the task's options and of its first problems: tells whether two runs saw the same data."""
        splits = [split for split in SPLITS if self.pool is None or self.pool(split)]
        probe: Iterable[Problem] = [p for split in splits for p in self.sample(self.probe, split, seed=0)]
        text = json.dumps([self.name, self.options, [(p.id, p.prompt, p.reference) for p in probe]], default=str)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
