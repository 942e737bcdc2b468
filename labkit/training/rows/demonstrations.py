"""A teacher's answers as rows to fine-tune a student on: off-policy distillation.

DeepSeek-R1 was distilled into smaller models in this way (arXiv:2501.12948): it answered problems with a
known solution, wrong answers were dropped (rejection sampling), and the students were fine-tuned on the rest (SFT).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labkit.errors import RunError
from labkit.evaluation.cost import FORWARD, Flops, weights
from labkit.evaluation.selection import rejection_sample
from labkit.models import Policy
from labkit.runs import append_lines
from labkit.tasks import Task


@dataclass(frozen=True)
class Demonstrations:
    """Rows {"prompt", "completion"}, and where they come from.

    `score`: the rows' mean score. `tokens`: those of all answers drawn, dropped ones included; `prompt_tokens`: those
    of all prompts, each counted once; `size`: the number of the teacher's weights. The cost follows from these three.
    """

    rows: list[dict[str, Any]]
    model: str
    task: str
    verified: bool
    prompts: int
    samples: int
    score: float
    tokens: int
    prompt_tokens: int
    size: int
    seed: int

    @property
    def flops(self) -> float:
        """Floating-point operations that it took to sample all answers."""
        return float(FORWARD * self.size * (self.tokens + self.prompt_tokens))

    @property
    def cost(self) -> Flops:
        """The same operations, as the teacher's share in the cost of a run that learns from the rows."""
        return Flops(teacher=self.flops)

    def summary(self) -> dict[str, Any]:
        """Everything but the rows themselves, as plain data."""
        return {**asdict(self), "rows": len(self.rows), "flops": self.flops}

    def save(self, file: str | Path) -> Path:
        """Writes the rows to FILE.jsonl, for `data.source`, and the summary next to it, to FILE.json. Raises RunError
        where they can't be written."""
        path = Path(file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            append_lines(path, self.rows)
            path.with_suffix(".json").write_text(json.dumps(self.summary(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror or error}") from None
        return path


def draw_demonstrations(
    teacher: Policy,
    task: Task,
    prompts: int = 1000,
    samples: int = 4,
    *,
    keep: int | None = 1,
    verified: bool = True,
    seed: int = 0,
    max_new_tokens: int | None = None,
    temperature: float = 1.0,
) -> Demonstrations:
    """The teacher's right answers to `prompts` training problems, at most `keep` per problem (None: all different
    ones).

    With `verified=False` it is the control of the filter: as many answers to the same problems, chosen at random.
    Raises NothingKeptError (a UserError) where no answer is right: there would be nothing to train on.
    """
    problems = task.sample(prompts, "train", seed=seed)
    selection = rejection_sample(
        teacher,
        problems,
        task,
        samples,
        keep=keep,
        threshold=1.0,
        unique=True,
        seed=seed,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
    )
    rows = selection.rows if verified else selection.control
    drawn = selection.rollouts
    prompt_lengths = (drawn.total_lengths - drawn.lengths).reshape(prompts, samples)[:, 0]
    return Demonstrations(
        rows=[{"prompt": row["prompt"], "completion": row["completion"]} for row in rows],
        model=teacher.name,
        task=task.name,
        verified=verified,
        prompts=prompts,
        samples=samples,
        score=selection.score if verified else selection.control_score,
        tokens=int(drawn.lengths.sum()),
        prompt_tokens=int(prompt_lengths.sum()),
        size=weights(teacher.model),
        seed=seed,
    )
