"""What training costs in floating-point operations: counted from what a run logged, not timed.

Of a model with N weights, a token that is read or written costs 2 N operations (a multiplication and an addition a
weight), a token that is trained on 6 N: forward once, backward twice that (Kaplan et al. 2020, section 2.1). Attention
among the tokens is left out, as usual; in short texts it is the smaller part. Padding, evaluations and the verifier
are not counted either: the counts are those of an engine that wastes nothing.

A count is the same on every machine, so runs of different methods and models can be compared at equal cost.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from torch import nn

FORWARD = 2
TRAINED = 6


@dataclass(frozen=True)
class Flops:
    """Operations of the model that is trained, and of the one that it learns from.

    >>> Flops(3.0, 1.0) + Flops(1.0)
    Flops(student=4.0, teacher=1.0)
    >>> Flops(3.0, 1.0).total
    4.0
    """

    student: float = 0.0
    teacher: float = 0.0

    @property
    def total(self) -> float:
        """Both together."""
        return self.student + self.teacher

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(self.student + other.student, self.teacher + other.teacher)


def weights(model: nn.Module) -> int:
    """N: the weights that every token is multiplied with. The input embedding is looked up, so it counts only where it
    is the output's matrix too."""
    total = sum(p.numel() for p in model.parameters())
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    tied = outputs is not None and outputs.weight is inputs.weight
    return total if tied else total - inputs.weight.numel()


def step_flops(line: Mapping[str, Any], size: int, teacher_size: int = 0) -> Flops:
    """The operations of one step, from its line of metrics.jsonl. `size`: the weights of the model that is trained.

    What samples (RL, distillation) reads each prompt once and writes `tokens`, and trains on `trained_positions`. What
    learns from rows (SFT) trains on all `tokens` that it reads. `teacher_size`: of a distillation run, whose teacher
    reads every trained token once; 0 elsewhere. A reference model or a critic is not counted. Raises ValueError for a
    line that has not the counts.

    >>> step_flops({"prompt_tokens": 10, "tokens": 90, "trained_positions": 120}, size=1000)  # 2 x 100 + 6 x 120
    Flops(student=920000.0, teacher=0.0)
    >>> step_flops({"prompt_tokens": 10, "tokens": 90, "trained_positions": 120}, size=1000, teacher_size=5000)
    Flops(student=920000.0, teacher=1200000.0)
    >>> step_flops({"tokens": 100, "trained_tokens": 80}, size=1000)  # SFT
    Flops(student=600000.0, teacher=0.0)
    """
    if "trained_tokens" in line:
        return Flops(float(TRAINED * size * line["tokens"]))
    missing = [key for key in ("prompt_tokens", "tokens", "trained_positions") if key not in line]
    if missing:
        raise ValueError(f"this step has logged no {missing[0]!r}: its cost can't be counted")
    sampled = line["prompt_tokens"] + line["tokens"]
    student = FORWARD * size * sampled + TRAINED * size * line["trained_positions"]
    return Flops(float(student), float(FORWARD * teacher_size * line["trained_positions"]))


def cumulative_flops(
    metrics: Iterable[Mapping[str, Any]], size: int, teacher_size: int = 0, before: Flops | None = None
) -> list[Flops]:
    """The operations up to and with each step; `before`: what was spent before the run (a teacher's traces, a stage).

    >>> lines = [{"tokens": 100, "trained_tokens": 80}] * 2
    >>> cumulative_flops(lines, 1000, before=Flops(teacher=7.0))
    [Flops(student=600000.0, teacher=7.0), Flops(student=1200000.0, teacher=7.0)]
    """
    steps = [step_flops(line, size, teacher_size) for line in metrics]
    return list(accumulate(steps, initial=before or Flops()))[1:]
