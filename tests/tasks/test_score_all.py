"""A batch is scored in one call, in order, whatever the verifier or the batch scorer does."""

from dataclasses import replace

import pytest

from labkit.tasks import Problem, Task, load_task
from labkit.verifiers import Score, safe_scores

ALWAYS = {"verifier_error": 1.0}


@pytest.fixture
def addition() -> Task:
    return load_task("addition")


def answers(task: Task, n: int = 6) -> tuple[list[str], list[Problem]]:
    problems = task.sample(n, seed=3)
    texts = [f"<answer>{p.reference if i % 2 == 0 else -1}</answer>" for i, p in enumerate(problems)]
    return texts, problems


def test_each_completion_is_scored_against_its_own_problem(addition):
    texts, problems = answers(addition)
    scores = addition.score_all(texts, problems)
    assert [score.reward for score in scores] == [1.0, 0.0] * 3
    assert scores == [addition.score(text, problem) for text, problem in zip(texts, problems, strict=True)]
    assert addition.score_all([], []) == []


def test_lists_of_different_lengths_are_a_mistake_of_the_caller(addition):
    with pytest.raises(ValueError, match="2 completions for 1 problems"):
        addition.score_all(["a", "b"], addition.sample(1))


def test_a_batch_scorer_takes_the_verifiers_place(addition):
    seen = []

    def scorer(completions: list[str], problems: list[Problem]) -> list[Score]:
        seen.append((completions, problems))
        return [Score(len(text) / 2, "length") for text in completions]

    task = replace(addition, batch_scorer=scorer)
    problems = task.sample(2)
    assert [score.reward for score in task.score_all(["a", "abc"], problems)] == [0.5, 1.5]
    assert seen == [(["a", "abc"], problems)]
    assert task.score("abcd", problems[0]).reward == 2.0, "one completion goes the same way as a batch"


def test_a_batch_scorer_that_fails_costs_the_batch_its_reward_and_is_counted(addition):
    def breaks(completions, problems):
        raise RuntimeError("out of memory")

    scores = replace(addition, batch_scorer=breaks).score_all(["a", "b"], addition.sample(2))
    assert scores == [Score(0.0, "batch scorer raised RuntimeError: out of memory", None, ALWAYS)] * 2
    scores = safe_scores(lambda texts, items: [1.0], ["a", "b"], [None, None])
    assert scores == [Score(0.0, "batch scorer returned 1 results for 2 completions", None, ALWAYS)] * 2
    assert safe_scores(lambda texts, items: None, ["a"], [None])[0].parts == ALWAYS


def test_one_nan_of_a_batch_scorer_spoils_one_row(addition):
    task = replace(addition, batch_scorer=lambda texts, problems: [1.0, float("nan"), 0.5])
    first, second, third = task.score_all(["a", "b", "c"], addition.sample(3))
    assert (first.reward, second.reward, third.reward) == (1.0, 0.0, 0.5)
    assert (first.parts, second.parts, third.parts) == ({}, ALWAYS, {})
