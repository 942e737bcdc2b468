"""Where the prompt has opened the thought: what the completion never closes is no answer.

A completion does not show how its prompt ended. R1's chat template ends it in `<think>`, and the completion begins in
the middle of a thought: `still thinking, maybe 4`, cut off by the limit, looks like an answer. `opened(verifier)`
judges such completions with the tag put back; `labkit.tasks` does so by itself where a prompt ends in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from labkit.verifiers.combine import Combination
from labkit.verifiers.extract import THINK_OPEN
from labkit.verifiers.runner import needs_worker, run_verifier
from labkit.verifiers.score import Score

__all__ = ["OpenedThought", "opened", "opens_thought", "run_for_prompts"]

AnyVerifier = Callable[[str, Any], Any]
_OF_THE_FORM = ("labkit.verifiers.format", "labkit.verifiers.length")
"""Verifiers of the completion as it was written: they know themselves what the prompt opens."""


@dataclass(frozen=True)
class OpenedThought:
    """A verifier of completions whose thought the prompt has opened; made by `opened`. Picklable where its own is."""

    verifier: AnyVerifier

    def __call__(self, completion: str, reference: Any = None) -> Any:
        """The score of the opening tag and the completion; one that opens its thought again is left as it is."""
        return self.verifier(self._whole(completion), reference)

    def _whole(self, completion: str) -> str:
        return completion if completion.lstrip().startswith(THINK_OPEN) else THINK_OPEN + completion

    @property
    def __name__(self) -> str:
        return getattr(self.verifier, "__name__", type(self.verifier).__name__)

    @property
    def needs_worker(self) -> bool:
        """As the verifier within: where `run_verifier` calls it."""
        return needs_worker(self.verifier)

    @property
    def own_process(self) -> bool:
        """As the verifier within."""
        return getattr(self.verifier, "own_process", False)

    @property
    def run_batch(self) -> Callable[..., Any] | None:
        """The verifier's own way of scoring a batch, where it has one."""
        inner = getattr(self.verifier, "run_batch", None)
        if inner is None:
            return None
        return lambda completions, references, **options: inner(
            [self._whole(completion) for completion in completions], references, **options
        )


def opened(verifier: AnyVerifier) -> AnyVerifier:
    """The verifier for completions whose prompt ends in `<think>`.

    Without a closing `</think>` there is no answer; what follows it is judged as ever. In a combination each part is
    opened for itself; `format` and `length`, which judge the completion as it was written, stay as they are (the styles
    `r1` and `r1_answer` of `format` are those of an opened thought).

    >>> from labkit.verifiers import number
    >>> number.verify("still thinking, maybe 4", 4).reward, opened(number.verify)("still thinking, maybe 4", 4).reason
    (1.0, 'no answer found: the thought is never closed')
    >>> opened(number.verify)("5? no</think>The answer is 4.", 4).reward
    1.0
    """
    if isinstance(verifier, OpenedThought) or getattr(verifier, "__module__", "") in _OF_THE_FORM:
        return verifier
    if isinstance(verifier, Combination):
        parts = tuple(replace(part, verifier=opened(part.verifier)) for part in verifier.parts)
        gate = None if verifier.gate is None else replace(verifier.gate, verifier=opened(verifier.gate.verifier))
        return replace(verifier, parts=parts, gate=gate)
    return OpenedThought(verifier)


def opens_thought(prompt: str) -> bool:
    r"""Whether a prompt ends in an opened thought.

    >>> opens_thought("<|im_start|>assistant\n<think>\n"), opens_thought("Think inside <think> and </think>.")
    (True, False)
    """
    return prompt.rstrip().endswith(THINK_OPEN)


def run_for_prompts(
    verifier: AnyVerifier, completions: list[str], references: list[Any], prompts: list[str], **options: Any
) -> list[Score]:
    """`run_verifier`, with `opened(verifier)` for the completions whose prompt opens a thought."""
    rows: dict[bool, list[int]] = {True: [], False: []}
    for i, prompt in enumerate(prompts):
        rows[opens_thought(prompt)].append(i)
    if not rows[True]:
        return run_verifier(verifier, completions, references, **options)
    scores: dict[int, Score] = {}
    for is_open, judge in ((True, opened(verifier)), (False, verifier)):
        picked = rows[is_open]
        judged = run_verifier(judge, [completions[i] for i in picked], [references[i] for i in picked], **options)
        scores |= dict(zip(picked, judged, strict=True))
    return [scores[i] for i in range(len(completions))]
