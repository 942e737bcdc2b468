"""Out of memory on purpose: smaller micro-batches, the same numbers; one line where nothing helps."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from labkit.errors import RunError
from labkit.models import Encoded, Policy
from labkit.recipes import load_recipe
from labkit.runs import Run
from labkit.training import inputs, train
from labkit.training.loop.memory import Budget, out_of_memory
from labkit.training.rows.data import Columns, Dataset
from labkit.training.rows.learner import RowLearner
from labkit.training.rows.sft import SFT
from labkit.training.rows.trainer import Example, RowTrainer
from tests.training.mini import mini_run, numbers, random_policy, update_once
from tests.training.short_of_memory import ShortOfMemory
from tests.training.toys import feedback, fours, scored_rollouts, toy_run


def weights(policy: Policy) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in policy.model.parameters()])


OPTIONS = {"samples": 8, "warmup": 0, "lr": 5e-3, "microbatch_tokens": 256}


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: not enough memory: you tried to allocate"
        ),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "python"],
)
def test_half_the_micro_batch_and_the_same_numbers(tmp_path, monkeypatch, capsys, error):
    small = random_policy()
    expected = mini_run(tmp_path / "small", small, task=fours(), **OPTIONS | {"microbatch_tokens": 128})
    short = random_policy()
    machine = ShortOfMemory(monkeypatch, short, 150, error)
    run = mini_run(tmp_path / "short", short, task=fours(), **OPTIONS)
    assert machine.failures == 1, "it is remembered"
    assert numbers(run) == numbers(expected) and torch.equal(weights(short), weights(small))
    assert [line["microbatch_tokens"] for line in run.metrics] == [128] * 4
    said = capsys.readouterr().err
    assert (
        said.count("\n") == said.count("labkit: out of memory with micro-batches of 256 tokens; going on with 128") == 1
    )
    assert any(line["grad_norm"] > 0 for line in run.metrics)


def _plain_gradient_step(fails_at: int | None) -> tuple[torch.Tensor, dict, int]:
    """How one update moves the weights, its statistics and its passes; the pass `fails_at` runs out of memory, once."""
    policy = random_policy()
    rollouts = scored_rollouts(policy)
    recipe = load_recipe("r1-zero-tiny", minibatches=1, microbatch_tokens=64, max_grad_norm=1e9, lr=1.0, warmup=0)
    forward, passes = policy.model.base_model.forward, []

    def fails_once(*args, **inputs):
        if torch.is_grad_enabled():
            passes.append(1)
            if len(passes) == fails_at:
                raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(*args, **inputs)

    policy.model.base_model.forward = fails_once
    advantages = torch.randn(len(rollouts), generator=torch.Generator().manual_seed(0))
    before = weights(policy).clone()
    optimizer = torch.optim.SGD(policy.model.parameters(), lr=1.0)
    stats, _ = update_once(policy, rollouts, advantages, recipe, optimizer)
    return weights(policy) - before, stats, len(passes)


def test_what_was_already_added_up_does_not_count_twice():
    """The failure comes in the last micro-batch of an optimiser step, when the others have left their gradient."""
    step, expected, passes = _plain_gradient_step(None)
    assert passes >= 3 and step.norm() > 1e-3
    again, stats, more = _plain_gradient_step(passes)
    assert more >= 2 * passes and stats["microbatch_tokens"] == 32
    assert torch.allclose(again, step, atol=1e-6)
    for key in ("loss", "grad_norm", "entropy", "mismatch_mean", "mismatch_max", "ess", "ratio_mean"):
        assert stats[key] == pytest.approx(expected[key], rel=1e-4, abs=1e-6), key


def test_a_single_row_that_does_not_fit_is_one_line(tmp_path, monkeypatch):
    policy = random_policy()
    ShortOfMemory(monkeypatch, policy, 5)
    with pytest.raises(RunError, match=r"out of memory with a single row of \d+ tokens: lower") as caught:
        mini_run(tmp_path / "run", policy, task=fours(), **OPTIONS)
    assert "\n" not in str(caught.value)


def test_other_errors_are_not_taken_for_it(tmp_path, monkeypatch):
    policy = random_policy()
    machine = ShortOfMemory(monkeypatch, policy, 5, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        mini_run(tmp_path / "run", policy, task=fours(), **OPTIONS)
    assert machine.failures == 1
    assert out_of_memory(RuntimeError("CUDA error: out of memory")) and not out_of_memory(ValueError("memory"))


def test_passes_without_a_gradient_are_halved_too():
    budget, tried = Budget(100, torch.device("cpu")), []

    def work(tokens: int) -> int:
        tried.append(tokens)
        if tokens > 30:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return tokens

    assert budget.fit(work, torch.tensor([5] * 50)) == 25 and tried == [100, 50, 25]
    assert budget.fit(work, torch.tensor([5] * 50)) == 25 and len(tried) == 4


class StopAfterTwo:
    """Watches a run, and ends it."""

    seen = 0

    @property
    def stopped(self) -> bool:
        return self.seen == 2

    def update(self, metrics, rollouts) -> None:
        self.seen += 1


def short_machines(monkeypatch: pytest.MonkeyPatch, tokens: int) -> list[ShortOfMemory]:
    """From now on each policy that is loaded lies on a machine with room for so many tokens; these machines."""
    load, machines = inputs.load_policy, []

    def short_of_memory(*args, **options):
        policy = load(*args, **options)
        machines.append(ShortOfMemory(monkeypatch, policy, tokens))
        return policy

    monkeypatch.setattr(inputs, "load_policy", short_of_memory)
    return machines


def test_resumed_with_the_budget_that_was_left(tmp_path, monkeypatch):
    """Killed after the halving: the resumed run cuts its batches as the first one did, from its checkpoint on."""
    base = tmp_path / "base"
    random_policy().save(base)
    options = OPTIONS | {"train_zero_advantage": True}
    expected = mini_run(tmp_path / "small", model=base, **options | {"microbatch_tokens": 128})
    machines = short_machines(monkeypatch, 150)
    mini_run(tmp_path / "run", model=base, observer=StopAfterTwo(), **options)
    resumed = train(resume=tmp_path / "run", progress=False)
    assert [machine.failures for machine in machines] == [1, 0]
    assert {line["microbatch_tokens"] for line in resumed.metrics} == {128}
    assert len(numbers(expected)) == 4 and numbers(resumed) == numbers(expected)


def test_the_longest_batch_is_tried_before_the_first_step_and_changes_nothing(tmp_path, monkeypatch):
    plain, tried, short = random_policy(), random_policy(), random_policy()
    expected = mini_run(tmp_path / "plain", plain, task=fours(), **OPTIONS)
    run = mini_run(tmp_path / "tried", tried, task=fours(), try_longest=True, **OPTIONS)
    assert numbers(run) == numbers(expected) and torch.equal(weights(tried), weights(plain))
    machine = ShortOfMemory(monkeypatch, short, 150)
    seen = []

    class Looks:
        stopped = False

        def update(self, metrics, rollouts) -> None:
            seen.append(machine.failures)

    mini_run(tmp_path / "short", short, task=fours(), try_longest=True, observer=Looks(), **OPTIONS)
    assert seen[0] == 1 and machine.failures == 1, "found before the first step, and in no later one"


def rows_run(out: Path, trainer: str, policy: Policy, **options: Any) -> Run:
    if trainer != "outcome":
        return toy_run(out, trainer, policy, **options)
    options |= {"model": policy, "dataset": feedback(), "progress": False, "checkpoint_every": 100}
    return train("orm-countdown-tiny", out=out, **options)


def test_sft_is_resumed_with_the_budget_that_was_left(tmp_path, monkeypatch):
    base = tmp_path / "base"
    random_policy().save(base)
    machines = short_machines(monkeypatch, 40)
    options = {"steps": 4, "checkpoint_every": 1, "microbatch_tokens": 64}
    toy_run(tmp_path / "run", "sft", base, observer=StopAfterTwo(), **options)
    resumed = train(resume=tmp_path / "run", progress=False)
    assert [machine.failures for machine in machines] == [1, 0]
    assert [line["microbatch_tokens"] for line in resumed.metrics] == [32] * 4


@pytest.mark.parametrize("trainer", ["sft", "reward_model", "simpo", "dpo", "kto", "outcome"])
def test_what_learns_from_rows_goes_on_with_half_too(tmp_path, monkeypatch, capsys, trainer):
    options = {"steps": 3, "warmup": 0, "lr": 1e-3}
    plain, short = random_policy(), random_policy()
    expected = rows_run(tmp_path / "plain", trainer, plain, **options, microbatch_tokens=32)
    capsys.readouterr()
    machine = ShortOfMemory(monkeypatch, short, 40)
    run = rows_run(tmp_path / "short", trainer, short, **options, microbatch_tokens=64)
    assert machine.failures == 1, "it is remembered"
    assert capsys.readouterr().err.count("labkit: out of memory with micro-batches of 64 tokens; going on with 32") == 1
    if trainer in ("dpo", "kto"):  # the reference was read before, in larger batches: other rounding
        for line, other in zip(numbers(run), numbers(expected), strict=True):
            assert line == pytest.approx(other, rel=1e-4, abs=1e-6)
    else:
        assert numbers(run) == numbers(expected) and torch.equal(weights(short), weights(plain))
    assert [line["microbatch_tokens"] for line in run.metrics] == [32] * 3
    policy = random_policy()
    ShortOfMemory(monkeypatch, policy, 2)
    with pytest.raises(RunError, match=r"out of memory with a single row of \d+ tokens: lower"):
        rows_run(tmp_path / "none", trainer, policy, **options)


def test_packed_rows_are_cut_shorter_where_the_budget_is_less_than_a_row():
    trainer = SFT(load_recipe("sft-assistant-tiny"), random_policy())
    documents = [Example((Encoded([5] * 20, 2),), None) for _ in range(30)]
    for budget in (300, 128, 64):
        parts = trainer.cut(documents, budget)
        assert max(len(part) * max(row.tokens for row in part) for part in parts) <= budget
        assert sum(trainer.weight(part) for part in parts) == 30 * 18


class Line(RowTrainer[int]):
    """Fits a straight line: the row's number says which of `rows` it is. One pass may run out of memory."""

    columns = Columns("demonstrations", ("completion",))
    fails_at: int | None = None

    def __init__(self, recipe, policy, reference=None) -> None:
        super().__init__(recipe, policy, reference)
        self.rows, self.calls = torch.randn(12, 3), 0

    def encode(self, rows, left_out):
        return [Example((Encoded([0] * 10, 2),), i) for i in range(len(rows))]

    def target(self, row, replies) -> int:
        raise NotImplementedError("encode says it")

    def loss(self, part):
        self.calls += 1
        if self.calls == self.fails_at:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        loss = self.policy.model(self.rows[[example.target for example in part]]).square().mean()
        return loss, {"twice": 2 * loss.detach()}

    def evaluate(self, examples):
        return None


def test_gradients_of_parts_that_did_fit_do_not_count_twice():
    recipe = load_recipe("sft-assistant-tiny", max_grad_norm=1e9, warmup=0, microbatch_tokens=40, batch=12)

    def trained_with(fails_at: int | None) -> tuple[torch.Tensor, dict[str, float], int]:
        torch.manual_seed(0)
        module = torch.nn.Linear(3, 1)
        trainer = Line(recipe, SimpleNamespace(model=module, device=torch.device("cpu")))
        trainer.fails_at = fails_at
        update = RowLearner(trainer, Dataset([{}] * 12, [], "numbers"))
        update.optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
        before = module.weight.detach().clone()
        metrics = update.step(0)
        return module.weight.detach() - before, metrics, trainer.calls

    step, expected, calls = trained_with(None)
    assert calls == 3 and step.norm() > 1e-6 and expected["tokens"] == 120
    again, metrics, calls = trained_with(3)
    assert calls == 3 + 6 and metrics["microbatch_tokens"] == 20
    assert torch.allclose(again, step, rtol=1e-5)
    for key in ("loss", "twice", "grad_norm"):
        assert metrics[key] == pytest.approx(expected[key], rel=1e-5), key


@pytest.mark.gpu
def test_halving_on_cuda_when_memory_is_really_short(tmp_path):
    """A third of the memory that the batch wants: the run goes on in smaller pieces."""
    torch.cuda.set_per_process_memory_fraction(0.02)
    try:
        options = OPTIONS | {"microbatch_tokens": 2**22, "prompts": 64, "samples": 64, "max_new_tokens": 200}
        run = mini_run(tmp_path / "run", steps=2, device="cuda", model="tiny", task="countdown", **options)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert run.metrics[-1]["microbatch_tokens"] < 2**22
