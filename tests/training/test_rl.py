"""The RL loop: that it learns, repeats itself, survives, and counts what goes wrong."""

import math

import pytest
import torch

from labkit.errors import UserError
from labkit.models import token_logprobs
from labkit.recipes import load_recipe
from labkit.runs import open_run
from labkit.tasks import load_task
from labkit.training import train
from labkit.training.loop.optim import apply_gradients, make_optimizer
from labkit.verifiers import Score
from tests.training.mini import mini_run, numbers, random_policy, update_once
from tests.training.toys import fours, scored_rollouts


@pytest.mark.parametrize("algorithm", ["reinforce", "rloo", "grpo", "dr_grpo", "dapo"])
def test_every_preset_learns_through_the_same_loop(tmp_path, algorithm):
    run = mini_run(
        tmp_path / "run",
        task=fours(),
        algorithm=algorithm,
        algorithm_options={"overlong_buffer": None},  # eight tokens are all that there is
        steps=25,
        prompts=8,
        samples=8,
        lr=1e-2,
        checkpoint_every=100,
    )
    rewards = [line["reward_mean"] for line in run.metrics]
    assert sum(rewards[-3:]) / 3 > 10 * max(rewards[0], 0.01), rewards


def test_same_recipe_same_numbers(tmp_path):
    first, again = (mini_run(tmp_path / name) for name in ("a", "b"))
    assert numbers(first) == numbers(again)
    assert first.rollouts() == again.rollouts()
    other = mini_run(tmp_path / "c", seed=1)
    assert numbers(other) != numbers(first)


def test_stopped_and_resumed_is_uninterrupted(tmp_path):
    class StopAfterThree:
        seen = 0

        @property
        def stopped(self) -> bool:
            return self.seen == 3

        def update(self, metrics, rollouts) -> None:
            self.seen += 1

    whole = mini_run(tmp_path / "whole", steps=6)
    base = tmp_path / "base"
    random_policy().save(base)
    part = mini_run(tmp_path / "part", steps=6, model=base, observer=StopAfterThree())
    assert part.result["status"] == "stopped" and len(part.metrics) == 3
    resumed = train(resume=tmp_path / "part", progress=False)
    assert resumed.result["status"] == "finished"
    assert numbers(resumed) == numbers(whole)
    assert resumed.rollouts() == whole.rollouts()


def test_an_interrupt_ends_the_run_with_what_it_has(tmp_path):
    class Interrupts:
        stopped = False

        def update(self, metrics, rollouts) -> None:
            if metrics["step"] == 2:
                raise KeyboardInterrupt

    run = mini_run(tmp_path / "run", observer=Interrupts())
    assert run.result["status"] == "interrupted" and run.result["steps"] == 3
    assert list(run.checkpoints()) == [2]


def test_a_verifier_that_raises_ends_nothing_and_is_counted(tmp_path):
    def breaks(completion: str, reference: object) -> Score:
        raise RuntimeError("no such thing")

    run = mini_run(tmp_path / "run", task=fours(breaks), steps=2)
    assert [line["verifier_errors"] for line in run.metrics] == [12, 12]
    assert "RuntimeError" in run.rollouts()[0]["reason"]


def test_groups_without_variance_teach_nothing_and_are_counted(tmp_path):
    policy = random_policy()
    before = [p.clone() for p in policy.model.parameters()]
    run = mini_run(tmp_path / "run", policy=policy, task=fours(lambda completion, reference: 1.0), steps=2)
    assert [line["zero_variance_groups"] for line in run.metrics] == [3, 3]
    assert [line["trained_rows"] for line in run.metrics] == [0, 0]
    assert all(torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))


def test_sampler_and_trainer_agree_before_the_first_update(tmp_path):
    run = mini_run(tmp_path / "run", task=fours(), temperature=0.7, steps=3)
    for line in run.metrics:
        assert line["mismatch_max"] < 1e-4
        assert abs(line["ratio_mean"] - 1) < 1e-4 and line["clip_fraction"] == 0


def test_several_updates_of_a_batch_move_the_ratio_and_clip(tmp_path):
    run = mini_run(tmp_path / "run", task=fours(), updates=4, minibatches=2, lr=1e-2, warmup=0, prompts=8)
    assert max(line["clip_fraction"] for line in run.metrics) > 0
    assert all(line["mismatch_max"] < 1e-4 for line in run.metrics), "measured before the first update"


@pytest.mark.parametrize("placement", ["loss", "reward"])
def test_kl_keeps_the_policy_near_its_reference(tmp_path, placement):
    def distance(coefficient: float) -> float:
        policy, reference = random_policy(), random_policy()
        options = {
            "kl_coef": coefficient,
            "kl_placement": placement,
            "kl_kind": "k2" if placement == "loss" else "k1",
        }
        run_ = mini_run(
            tmp_path / f"{placement}{coefficient}",
            policy=policy,
            task=fours(),
            steps=12,
            prompts=8,
            samples=8,
            lr=5e-3,
            algorithm_options=options,
        )
        assert ("kl" in run_.metrics[-1]) == (coefficient > 0)
        tokens = torch.tensor([policy.encode("5:")])
        with torch.no_grad():
            p, q = (m.model(tokens).logits[0, -1].log_softmax(-1) for m in (policy, reference))
        return float((p.exp() * (p - q)).sum())

    assert distance(5.0) < 0.5 * distance(0.0)


def _gradient(budget: int, train_zero: bool) -> torch.Tensor:
    """The gradient of one update, recovered from a plain gradient step."""
    policy = random_policy()
    rollouts = scored_rollouts(policy, rewards=[1.0, 0.0, 0.0, 0.0] * 2 + [1.0] * 4 + [0.0] * 4)
    recipe = load_recipe(
        "r1-zero-tiny",
        minibatches=1,
        microbatch_tokens=budget,
        train_zero_advantage=train_zero,
        max_grad_norm=1e9,
        lr=1.0,
        warmup=0,
    )
    preset = recipe.preset()
    advantages = preset.advantages(rollouts.rewards, rollouts.groups)
    optimizer = torch.optim.SGD(policy.model.parameters(), lr=1.0)
    before = torch.cat([p.detach().flatten().clone() for p in policy.model.parameters()])
    update_once(policy, rollouts, advantages, recipe, optimizer, preset.keep(rollouts.rewards, rollouts.groups))
    after = torch.cat([p.detach().flatten() for p in policy.model.parameters()])
    return before - after


def test_micro_batches_and_skipped_rows_do_not_change_the_gradient():
    whole = _gradient(100_000, True)
    assert whole.norm() > 0
    assert torch.allclose(_gradient(30, True), whole, atol=1e-6)
    assert torch.allclose(_gradient(100_000, False), whole, atol=1e-6), "rows with advantage 0 have no gradient"


def test_a_step_that_is_not_finite_is_skipped_whole():
    policy = random_policy()
    optimizer = make_optimizer(policy.model, 1e-2)
    rollouts = scored_rollouts(policy)
    recipe = load_recipe("r1-zero-tiny", minibatches=1)
    advantages = torch.ones(len(rollouts))
    advantages[0] = math.nan
    before = [p.clone() for p in policy.model.parameters()]
    stats, _ = update_once(policy, rollouts, advantages, recipe, optimizer)
    assert stats["skipped"] == 1
    assert all(torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))
    assert not optimizer.state, "no moment was touched"


def test_a_bf16_sampler_beside_an_fp32_trainer_is_measured():
    """The same weights in two precisions are two policies: the metrics say how far apart."""
    policy, half = random_policy(), random_policy()
    half.model.to(torch.bfloat16)
    rollouts = scored_rollouts(half)
    recipe = load_recipe("r1-zero-tiny", minibatches=1, microbatch_tokens=50, lr=1e-9, warmup=0)
    stats, _ = update_once(policy, rollouts, torch.ones(len(rollouts)), recipe)
    with torch.no_grad():
        gap = (token_logprobs(policy.model, rollouts.tokens) - rollouts.logprobs)[rollouts.mask].abs()
    assert stats["mismatch_max"] > 1e-4 and stats["ess"] < 1
    assert stats["mismatch_mean"] == pytest.approx(float(gap.mean()), rel=1e-3)
    assert stats["mismatch_max"] == pytest.approx(float(gap.max()), rel=1e-3)


def test_gradient_clipping_bounds_the_norm():
    layer = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    before = torch.cat([p.detach().flatten().clone() for p in layer.parameters()])
    (layer(torch.ones(1, 3)) * 100).sum().backward()
    norm, skipped = apply_gradients(layer, optimizer, 1.0, max_grad_norm=0.5)
    after = torch.cat([p.detach().flatten() for p in layer.parameters()])
    assert norm == pytest.approx(200.0) and not skipped
    assert (after - before).norm() == pytest.approx(0.5, rel=1e-4)


def test_truncated_samples_are_counted_and_scored_as_they_are(tmp_path):
    run = mini_run(tmp_path / "run", max_new_tokens=1, steps=1)
    assert run.metrics[0]["truncated"] > 0.5
    assert run.metrics[0]["response_length"] == 1.0


def test_a_damaged_checkpoint_is_passed_over_and_the_one_before_is_used(tmp_path, capsys):
    base = tmp_path / "base"
    random_policy().save(base)
    whole = mini_run(tmp_path / "run", model=base, steps=6)
    expected = numbers(whole)
    assert list(whole.checkpoints()) == [4, 6]
    weights = whole.path / "checkpoints" / "step-6" / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-5] ^= 0xFF
    weights.write_bytes(bytes(damaged))
    resumed = train(resume=whole.path, progress=False)
    assert "damaged checkpoint passed over" in capsys.readouterr().err
    assert numbers(resumed) == expected
    for folder in resumed.checkpoints().values():
        (folder / "optimizer.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(UserError, match=r"all checkpoints .* damaged"):
        train(resume=whole.path, progress=False)
    assert numbers(open_run(whole.path)) == expected, "nothing logged is lost"


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path, monkeypatch):
    from labkit import runs

    base = tmp_path / "base"
    random_policy().save(base)
    expected = numbers(mini_run(tmp_path / "whole", model=base, steps=4))
    append = runs.append_lines

    def full(file, rows):
        if rows and rows[0]["step"] == 3:
            raise OSError(28, "No space left on device")
        append(file, rows)

    monkeypatch.setattr(runs, "append_lines", full)
    with pytest.raises(UserError, match=r"No space left on device.*--resume"):
        mini_run(tmp_path / "run", model=base)
    monkeypatch.undo()
    assert len(open_run(tmp_path / "run").metrics) == 3
    assert numbers(train(resume=tmp_path / "run", progress=False)) == expected


def test_a_run_folder_is_not_overwritten(tmp_path):
    mini_run(tmp_path / "run", steps=1)
    with pytest.raises(UserError, match="already holds a run"):
        mini_run(tmp_path / "run", steps=1)


def test_the_tasks_own_policy_object_is_trained_in_place(tmp_path):
    policy = random_policy()
    before = [p.clone() for p in policy.model.parameters()]
    mini_run(tmp_path / "run", policy=policy, task=fours(), steps=2)
    assert any(not torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))


def test_advantages_see_the_whole_group_before_rows_are_dropped():
    recipe = load_recipe("r1-zero-tiny", algorithm="dapo")
    rewards, groups = torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.tensor([0, 0, 1, 1])
    preset = recipe.preset()
    assert preset.advantages(rewards, groups)[2:].tolist() == [0.0, 0.0]
    assert preset.keep(rewards, groups).tolist() == [True, True, False, False]


def test_an_unknown_task_is_said(tmp_path):
    with pytest.raises(UserError, match="no task"):
        load_task("nonsense")
