"""The same cases through the signatures of other systems give the same numbers."""

import json
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from labkit.errors import UserError
from labkit.verifiers import format, get, number
from labkit.verifiers.adapters import (
    as_open_instruct_verifier,
    as_openrlhf_reward,
    as_trl_reward,
    as_verl_compute_score,
)
from labkit.verifiers.labelled import labelled_answers

ROWS = {name: labelled_answers(name) for name in ("number", "choice", "countdown", "format")}


def raises(completion: str, reference: object) -> float:
    raise ValueError("x")


@pytest.fixture(params=sorted(ROWS))
def cases(request: pytest.FixtureRequest) -> tuple[Any, list[str], list[Any], list[float]]:
    verifier, rows = get(request.param), ROWS[request.param]
    texts, references = [row["completion"] for row in rows], [row["reference"] for row in rows]
    return verifier, texts, references, [verifier(*pair).reward for pair in zip(texts, references, strict=True)]


def test_trl_gets_the_same_numbers_from_strings_and_from_chats(cases) -> None:
    verifier, texts, references, rewards = cases
    reward = pickle.loads(pickle.dumps(as_trl_reward(verifier, "answer")))
    rest = {"prompts": texts, "completion_ids": [[0]] * len(texts), "answer": references, "trainer_state": None}
    scored = [None if reference is None else value for reference, value in zip(references, rewards, strict=True)]
    assert reward(completions=texts, **rest) == scored
    chats = [[{"role": "assistant", "content": text}] for text in texts]
    assert reward(completions=chats, **rest) == scored
    pieces = [[{"role": "assistant", "content": [{"type": "text", "text": text}]}] for text in texts]
    assert reward(completions=pieces, **rest) == scored


def test_verl_gets_the_same_numbers(cases) -> None:
    verifier, texts, references, rewards = cases
    plain = pickle.loads(pickle.dumps(as_verl_compute_score(verifier)))
    from_json = as_verl_compute_score({"a": verifier}, json_reference=True, detail=True)
    for text, reference, reward in zip(texts, references, rewards, strict=True):
        assert plain("any", text, reference, extra_info={"index": 0}, sandbox_url=None) == reward
        detail = from_json(data_source="a", solution_str=text, ground_truth=json.dumps(reference))
        assert detail["score"] == reward and set(detail) == {"score", "reason", "extracted"}


def test_openrlhf_and_open_instruct_get_the_same_numbers(cases) -> None:
    verifier, texts, references, rewards = cases
    queries = [f"Question? {text}</s>" for text in texts]
    found = as_openrlhf_reward(verifier)(queries, ["Question? "] * len(texts), references)
    assert torch.equal(found["rewards"], torch.tensor(rewards)) and found["scores"].max() <= 1
    judge = as_open_instruct_verifier(verifier, "mine")
    results = [judge([], text, label, query="Question?") for text, label in zip(texts, references, strict=True)]
    assert [result.score for result in results] == rewards and judge.name == "mine"
    assert all(result.reasoning and result.cost == 0.0 for result in results)


def test_what_is_wrong_with_the_data_is_said() -> None:
    with pytest.raises(UserError, match="no column 'answer'"):
        as_trl_reward(number.verify, "answer")(prompts=["p"], completions=["5"], solution=["5"])
    with pytest.raises(UserError, match="no verifier for data_source 'b'; there are a"):
        as_verl_compute_score({"a": number.verify})("b", "5", "5")


def test_a_verifier_without_references_and_one_that_raises() -> None:
    shape = as_trl_reward(format.verify, None)
    assert shape(prompts=["p"], completions=["<think></think><answer></answer>"]) == [1.0]
    assert (shape.__name__, as_trl_reward(raises).__name__) == ("format_verify", "raises")
    assert as_trl_reward(raises)(completions=["5"], reference=["5"]) == [0.0]
    assert as_verl_compute_score(raises)("a", "5", "5") == 0.0


@pytest.mark.slow
def test_trl_itself_calls_the_reward() -> None:
    trl = pytest.importorskip("trl")
    # GRPOTrainer's own scoring step, without a trainer around it: what it hands over is what the adapter gets.
    rewards = [as_trl_reward(number.verify, "answer"), as_trl_reward(format.verify, None)]
    stub = SimpleNamespace(
        accelerator=SimpleNamespace(device=torch.device("cpu"), is_main_process=True),
        reward_funcs=rewards,
        reward_func_names=[reward.__name__ for reward in rewards],
        reward_processing_classes=[None, None],
        args=SimpleNamespace(report_to=[]),
        state=SimpleNamespace(global_step=0),
        environments=None,
        _log_completion_extra=lambda column, values: None,
        _log_metric=lambda name, value: None,
    )
    inputs = [{"prompt": "p", "answer": "72"}, {"prompt": "p", "answer": "72"}, {"prompt": "p", "answer": None}]
    texts = ["#### 72", "<think></think><answer>71</answer>", "72"]
    found = trl.GRPOTrainer._calculate_rewards(stub, inputs, ["p"] * 3, texts, [[0]] * 3)
    assert torch.equal(found.nan_to_num(-1.0), torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
