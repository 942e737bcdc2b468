"""The same verifier for other systems: TRL, veRL, OpenRLHF, Open Instruct (signatures of their current releases).

Each adapter gives that system a callable of its own shape and returns labkit's rewards unchanged; a verifier that
raises gives 0, as in labkit's own runs. All are picklable where the verifier is. None of these packages is imported.
Under a system that scores in the training process, put a verifier that may be slow behind `run_verifier`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.errors import UserError
from labkit.verifiers.guard import safe_score
from labkit.verifiers.score import Score

__all__ = [
    "VerificationResult",
    "as_open_instruct_verifier",
    "as_openrlhf_reward",
    "as_trl_reward",
    "as_verl_compute_score",
]

AnyVerifier = Callable[[str, Any], Any]


def _name(verifier: Any) -> str:
    named = getattr(verifier, "__name__", type(verifier).__name__)
    module = getattr(verifier, "__module__", "").rpartition(".")[2]
    return f"{module}_{named}" if named == "verify" and module else named


def _text(completion: Any) -> str:
    """The text of a completion: a string, or chat messages, whose contents may be lists of text pieces."""
    if isinstance(completion, str):
        return completion
    texts = []
    for message in completion:
        content = message.get("content") or ""
        if not isinstance(content, str):
            content = "".join(piece.get("text") or "" for piece in content)
        texts.append(content)
    return "\n".join(texts)


@dataclass(frozen=True)
class _TrlReward:
    verifier: AnyVerifier
    column: str | None

    @property
    def __name__(self) -> str:
        # TRL logs each reward under its function's name.
        return _name(self.verifier)

    def __call__(self, completions: list[Any], **columns: Any) -> list[float | None]:
        if self.column is None:
            references = [None] * len(completions)
        elif self.column in columns:
            references = columns[self.column]
        else:
            raise UserError(f"the dataset has no column {self.column!r}; name the one that holds the references")
        return [
            None if reference is None and self.column is not None else _reward(self.verifier, _text(text), reference)
            for text, reference in zip(completions, references, strict=True)
        ]


def as_trl_reward(verifier: AnyVerifier, reference_column: str | None = "reference") -> _TrlReward:
    """A reward function for TRL's `GRPOTrainer` and `RLOOTrainer`: `f(prompts, completions, **columns) -> list`.

    `reference_column`: the dataset's column with the references; None gives every completion the reference None (for
    `format`). A row whose reference is None is not scored (TRL's None): so several tasks share a dataset.
    Raises `UserError` when the column is missing.

    >>> from labkit.verifiers import number
    >>> reward = as_trl_reward(number.verify, "answer")
    >>> chat = [{"role": "assistant", "content": "#### 73"}]
    >>> reward(prompts=["p", "p", "p"], completions=["#### 72", "72", "-"], answer=["72", "72", None])
    [1.0, 1.0, None]
    >>> reward(prompts=["p"], completions=[chat], answer=["72"]), reward.__name__
    ([0.0], 'number_verify')
    """
    return _TrlReward(verifier, reference_column)


@dataclass(frozen=True)
class _VerlScore:
    verifier: AnyVerifier | Mapping[str, AnyVerifier]
    json_reference: bool
    detail: bool

    def __call__(
        self, data_source: str, solution_str: str, ground_truth: Any, extra_info: Any = None, **_: Any
    ) -> float | dict[str, Any]:
        verifier = self.verifier
        if isinstance(verifier, Mapping):
            if data_source not in verifier:
                raise UserError(f"no verifier for data_source {data_source!r}; there are {', '.join(verifier)}")
            verifier = verifier[data_source]
        reference = json.loads(ground_truth) if self.json_reference else ground_truth
        score = safe_score(verifier, solution_str, reference)
        # veRL gathers each key over the batch, so every row has the same ones.
        detail = {"score": score.reward, "reason": score.reason, "extracted": score.extracted or ""}
        return detail if self.detail else score.reward


def as_verl_compute_score(
    verifier: AnyVerifier | Mapping[str, AnyVerifier], json_reference: bool = False, detail: bool = False
) -> _VerlScore:
    """veRL's `compute_score(data_source, solution_str, ground_truth, extra_info=None) -> float`.

    `verifier` may be a mapping from `data_source` to verifiers. `json_reference`: the ground truth is a JSON string.
    `detail`: return `{"score", "reason", "extracted"}`. Raises `UserError` for an unknown `data_source`.

    >>> from labkit.worlds.countdown import verifier as countdown
    >>> compute_score = as_verl_compute_score(countdown.verify, json_reference=True)
    >>> compute_score("countdown", "<answer>6*5*1</answer>", '{"numbers": [5, 6, 1], "target": 30}')
    1.0
    """
    return _VerlScore(verifier, json_reference, detail)


@dataclass(frozen=True)
class _OpenRlhfReward:
    verifier: AnyVerifier
    end_tokens: tuple[str, ...]

    def __call__(self, queries: list[str], prompts: list[str], labels: list[Any], **_: Any) -> dict[str, Any]:
        import torch

        rewards = []
        for query, prompt, label in zip(queries, prompts, labels, strict=True):
            text = query.removeprefix(prompt)
            for token in self.end_tokens:
                text = text.removesuffix(token)
            rewards.append(_reward(self.verifier, text, label))
        reward = torch.tensor(rewards)
        return {"rewards": reward, "scores": reward.clamp(0.0, 1.0), "extra_logs": {"reward": reward}}


def as_openrlhf_reward(
    verifier: AnyVerifier, end_tokens: tuple[str, ...] = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "</s>")
) -> _OpenRlhfReward:
    """OpenRLHF's `reward_func(queries, prompts, labels) -> {"rewards", "scores", "extra_logs"}`, tensors [batch].

    `queries` hold prompt and response with special tokens: the prompt and one of `end_tokens` are cut off.

    >>> from labkit.verifiers import number
    >>> reward_func = as_openrlhf_reward(number.verify)
    >>> reward_func(["Q: 70+2? #### 72</s>"], ["Q: 70+2? "], ["72"])["rewards"].tolist()
    [1.0]
    """
    return _OpenRlhfReward(verifier, end_tokens)


@dataclass(frozen=True)
class VerificationResult:
    """What Open Instruct's verifiers return, field by field."""

    score: float
    cost: float = 0.0
    reasoning: str | None = None


@dataclass(frozen=True)
class _OpenInstructVerifier:
    verifier: AnyVerifier
    name: str
    weight: float = 1.0

    def __call__(
        self,
        tokenized_prediction: list[int],
        prediction: str,
        label: Any,
        query: str | None = None,
        rollout_state: Any = None,
    ) -> VerificationResult:
        score: Score = safe_score(self.verifier, prediction, label)
        return VerificationResult(score.reward, 0.0, score.reason)

    async def async_call(self, *arguments: Any, **named: Any) -> VerificationResult:
        """The same, for Open Instruct's asynchronous scorer."""
        return self(*arguments, **named)


def as_open_instruct_verifier(verifier: AnyVerifier, name: str) -> _OpenInstructVerifier:
    """An object of the shape of Open Instruct's `VerifierFunction`, found under `name` by the rows' `dataset` field.

    >>> from labkit.verifiers import number
    >>> as_open_instruct_verifier(number.verify, "gsm8k")([], "so 72 (in 2 days)", "72").score
    1.0
    """
    return _OpenInstructVerifier(verifier, name)


def _reward(verifier: AnyVerifier, completion: str, reference: Any) -> float:
    return safe_score(verifier, completion, reference).reward
