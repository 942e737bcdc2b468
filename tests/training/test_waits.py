"""How often a step makes Python wait for the GPU, counted on a CPU; and what is timed, and tried, on a GPU."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from labkit.doctor import estimates
from labkit.recipes import load_recipe
from labkit.sampling import workspace
from labkit.tasks import load_task
from labkit.training.loop.measure import Stopwatch, Tally
from labkit.training.loop.microbatches import microbatches
from labkit.training.rl.build import make_rl_learner
from labkit.training.rl.experience import Experience
from labkit.training.rl.logprobs import rollout_logprobs
from labkit.training.rl.longest import longest_experience, try_longest
from labkit.training.rl.update import Objective
from labkit.training.rows.learner import prepare_rows
from tests.sampling.captured import captured
from tests.training.mini import random_policy
from tests.training.toys import TRAINERS, fours, scored_rollouts
from tests.waits import Waits

__all__ = ["captured"]


def test_the_count_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = torch.arange(4), torch.arange(4)
    with Waits(monkeypatch, [there]) as waits:
        (here + 1).nonzero(), int(here[0]), here[here > 1], here.tolist(), here.cpu()
        assert waits.count == 0
        moved = there + here
        for number, read in enumerate(
            (moved.nonzero, moved[0].item, lambda: moved[moved > 1], moved.tolist, moved.cpu), start=1
        ):
            read()
            assert waits.count == number
        moved.cpu().tolist()
        assert waits.count == 6, "what was copied to the host is there"


def parts(lengths: torch.Tensor, budget: int) -> int:
    """The micro-batches of rows of these lengths."""
    return len(microbatches(lengths, budget))


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_a_micro_batch_of_the_update_does_not_wait(monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
    policy = random_policy()
    recipe = load_recipe("r1-zero-tiny", algorithm=algorithm)
    learner = make_rl_learner(recipe, policy, fours())
    rollouts = scored_rollouts(policy)
    trained = [*learner.objective.modules.parameters()]
    counted = []
    for budget in (10**6, 60):
        experience = Experience(rollouts, learner.algorithm, 0, Stopwatch(policy.device))
        for helper in learner.helpers:
            helper(experience)
        ones = torch.ones_like(rollouts.logprobs)
        experience.take(ones, ones.clone(), torch.ones(len(rollouts), dtype=torch.bool))
        learner.objective.accumulate(experience, torch.arange(2), 1, budget)  # the output layer is tested at first
        fresh = replace(experience)
        fresh.take(ones, ones.clone(), experience.kept)
        there = [value for value in vars(rollouts).values() if isinstance(value, torch.Tensor)]
        with Waits(monkeypatch, [*trained, *there, ones]) as waits:
            learner.objective.accumulate(fresh, torch.arange(len(rollouts)), 1, budget)
        monkeypatch.undo()
        counted.append((waits.count, parts(fresh.row_lengths, budget)))
    (once, one), (often, many) = counted
    assert one == 1 and many >= 4
    assert once == often == 2, f"the lengths and the mask, once for all micro-batches: {waits.lines}"


def test_log_probs_of_a_frozen_model_wait_once_for_all_micro_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = random_policy()
    rollouts = scored_rollouts(policy)
    expected = rollout_logprobs(policy.model, rollouts, 1.0)
    for budget in (10**6, 60):
        with Waits(
            monkeypatch, [*policy.model.parameters(), rollouts.tokens, rollouts.mask, rollouts.logprobs]
        ) as waits:
            found = rollout_logprobs(policy.model, rollouts, 1.0, budget)
        monkeypatch.undo()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        assert waits.count == 2, f"the lengths and the mask: {waits.lines}"


@pytest.mark.parametrize("trainer", ["sft", "dpo"])
def test_statistics_of_rows_are_read_once_for_all_micro_batches(monkeypatch: pytest.MonkeyPatch, trainer: str) -> None:
    recipe_name, algorithm, rows = TRAINERS[trainer]
    recipe = load_recipe(recipe_name, **({} if algorithm is None else {"algorithm": algorithm}))
    learner = prepare_rows(recipe, random_policy(), {"train": rows()})
    model, chosen = learner.trainer.policy.model, learner.train[:24]
    if trainer == "dpo":
        for example in chosen:
            example.reference = (-1.0, -2.0)
    expected = learner._accumulate(chosen, 10**6)
    for budget in (10**6, 40):
        cut = len(learner.trainer.cut(chosen, budget))
        assert (cut == 1) == (budget == 10**6)
        with Waits(monkeypatch, model.parameters()) as waits:
            means = learner._accumulate(chosen, budget)
        monkeypatch.undo()
        assert waits.count == 1, f"{cut} micro-batches: {waits.lines}"
        assert means == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_metrics_of_a_tally_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tally, value = Tally(), torch.tensor([0.5, 0.25, 3.0])
    with Waits(monkeypatch, [value]) as waits:
        tally.add({"one": value[0], "two": value[1]}, {"most": value[2]}, 2)
        assert tally.means() == {"one": 0.5, "two": 0.25, "most": 3.0} and waits.count == 1
    assert Tally().means() == {}


def test_the_time_of_an_update_is_that_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock that waits for the device is read around each backward pass that is timed."""
    order: list[str] = []

    def clock(device: torch.device) -> float:
        order.append("clock")
        return 1.0 + len(order)

    def accumulate(self: Objective, *arguments: Any) -> None:
        order.append("update")

    monkeypatch.setattr(estimates, "clock", clock)
    monkeypatch.setattr(Objective, "accumulate", accumulate)
    recipe, policy = load_recipe("r1-zero-tiny", max_new_tokens=4, prompts=2, samples=2), random_policy()
    told = estimates._seconds(recipe, policy, load_task("addition"), 100)
    assert order == ["clock", "update", "clock"] * 2 and told["train"] > 0


@pytest.mark.usefixtures("captured")
def test_the_longest_batch_is_tried_beside_the_buffers_of_the_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    """In each try, also after one that ran out of memory, for which the buffers were freed."""
    policy = random_policy()
    recipe = load_recipe("r1-zero-tiny", max_new_tokens=20, prompts=3, samples=5, try_longest=True)
    learner = make_rl_learner(recipe, policy, fours())
    longest = longest_experience(recipe, policy, fours(), 10**6)
    width, found, accumulate = longest.rollouts.tokens.shape[1], [], Objective.accumulate

    def tried(self: Objective, *arguments: Any) -> Any:
        decoder = workspace.workspace(policy.model).decoder
        found.append((decoder.size, decoder.columns, bool(decoder.cache)))
        if len(found) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return accumulate(self, *arguments)

    monkeypatch.setattr(Objective, "accumulate", tried)
    try_longest(learner)
    assert len(found) == 2 and all(size >= 15 and columns >= width and made for size, columns, made in found)
    workspace.release_workspaces()
