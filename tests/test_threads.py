"""Threads that make room for others: what is chosen, and that nothing but time depends on it."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from labkit import threads
from labkit.bench.race import busy_processes
from labkit.models import load_policy
from labkit.sampling import sample
from labkit.threads import BETWEEN, STALE, Yielding, fixed, processor_seconds, yielding
from labkit.training.pretrain import PretrainSettings, pretrain


class Machine:
    """A clock, and what this process and the others use of a machine's cores."""

    def __init__(self, cores: int = 2) -> None:
        self.now = self.own = self.others = 0.0
        self.watch = Yielding(lambda: self.own + self.others, lambda: self.own, lambda: self.now, cores)

    def pass_time(self, seconds: float, others: float, own: float = 1.0) -> None:
        self.now, self.own, self.others = self.now + seconds, self.own + own * seconds, self.others + others * seconds

    def chosen(
        self, others: list[float], limit: int = 2, seconds: float = 1.1 * BETWEEN, own: float = 1.0
    ) -> list[int]:
        """What is chosen after each stretch in which the others used so many cores."""
        found = []
        for used in others:
            self.pass_time(seconds, used, own)
            found.append(self.watch.choose(limit))
        return found


def test_a_core_is_given_up_at_once_and_taken_back_after_two_calm_looks():
    machine = Machine()
    assert machine.watch.choose(2) == 2
    assert machine.chosen([0, 0.1, 0.5, 1, 1, 0, 1, 0, 0, 0, 0.1]) == [2, 2, 1, 1, 1, 1, 1, 1, 2, 2, 2]


def test_between_bounds_nothing_changes():
    """Somebody who uses a quarter of a core takes none from two threads and gives none back to one."""
    assert Machine().chosen([0, 0.3, 0.3, 0.3])[1:] == [2, 2, 2]
    assert Machine().chosen([0, 1, 0.3, 0.3, 0.3])[1:] == [1, 1, 1, 1]


@pytest.mark.parametrize(("others", "expected"), [(0, 8), (1, 7), (3, 5), (7.5, 1), (8, 1), (30, 1)])
def test_as_many_as_are_free(others, expected):
    assert Machine(cores=8).chosen([others] * 3, limit=8)[-1] == expected


def test_never_more_than_the_limit_or_the_quota():
    assert Machine(cores=8).chosen([0, 0, 0], limit=3)[-1] == 3
    assert Machine(cores=2).chosen([0, 0, 0], limit=16)[-1] == 2


def test_an_old_reading_says_nothing_about_now():
    machine = Machine()
    machine.chosen([0, 1, 1])
    machine.pass_time(STALE + 1, 1)
    assert machine.watch.choose(2) == 2
    assert machine.chosen([1]) == [1]


def test_looks_in_quick_succession_read_nothing():
    machine = Machine()
    machine.chosen([0, 1])
    machine.watch.used = lambda: pytest.fail("read again")
    assert machine.chosen([0, 0, 0], seconds=BETWEEN / 10) == [1, 1, 1]


def test_a_system_that_does_not_tell_changes_nothing():
    watch = Yielding(lambda: None, lambda: 0.0, iter(range(100)).__next__, 4)
    assert [watch.choose(3) for _ in range(5)] == [3] * 5


def test_processor_seconds(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda process: {0, 2}, raising=False)
    stat = tmp_path / "stat"
    ticks = threads.os.sysconf("SC_CLK_TCK")
    # user nice system idle iowait irq softirq steal guest guest_nice
    stat.write_text(
        "cpu 9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 1000 1000 4 5 6 7 8\ncpu1 9 9 9 9 9 9 9 9 9 9\ncpu2 1 0 0 0 0 0 0 0 0 0\n"
    )
    assert processor_seconds(stat) == pytest.approx((1 + 2 + 3 + 4 + 5 + 6 + 1) / ticks)
    stat.write_text("nonsense\ncpu0 x\n")
    assert processor_seconds(stat) is None
    assert processor_seconds(tmp_path / "none") is None


def test_it_reads_this_machine():
    if processor_seconds() is None:
        pytest.skip("this system does not say what its processors do")
    readings = [processor_seconds() for _ in range(3)]
    assert all(a <= b for a, b in pairwise(readings))


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_threads_come_back_after_an_error(two_threads, monkeypatch):
    monkeypatch.setattr(Yielding, "choose", lambda self, limit: 1)
    with pytest.raises(KeyError), yielding() as look:
        look()
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 2
    with fixed(), yielding() as look:
        look()
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("usable", "set_by_user", "expected"), [(1, False, 1), (2, False, 2), (64, False, 2), (1, True, 2)]
)
def test_a_containers_quota_is_kept(usable, set_by_user, expected, two_threads, monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: usable)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if set_by_user:
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
    load_policy("micro")
    assert torch.get_num_threads() == expected


def test_samples_are_the_same_bits_whatever_is_chosen(two_threads, monkeypatch):
    policy = load_policy("micro")
    prompts = ["Use 3, 5, 7 to make 22.", "2 + 2 ="]
    seen: list[int] = []

    def at_random(self: Yielding, limit: int) -> int:
        seen.append(1 + len(seen) % 2)
        return seen[-1]

    with fixed():
        kept = sample(policy, prompts, n=32, max_new_tokens=24, seed=1)
    monkeypatch.setattr(Yielding, "choose", at_random)
    changed = sample(policy, prompts, n=32, max_new_tokens=24, seed=1)
    assert len(seen) > 20
    assert torch.equal(kept.tokens, changed.tokens)
    assert torch.equal(kept.logprobs, changed.logprobs)


def test_a_busy_neighbour_is_seen(two_threads):
    """A machine of two cores and one busy process (or a machine that is busy anyway) leaves one thread at most."""
    if processor_seconds() is None:
        pytest.skip("this system does not say what its processors do")
    watch = Yielding(usable=2)
    watch.choose(2)
    with busy_processes(2):
        chosen = []
        while len(chosen) < 20 and 1 not in chosen:
            threads.time.sleep(1.5 * BETWEEN)
            chosen.append(watch.choose(2))
    assert chosen[-1] == 1


@pytest.mark.parametrize("units", [True, False])
def test_pretraining_takes_bfloat16_only_where_the_processor_has_units_for_it(units, tmp_path, monkeypatch):
    monkeypatch.setattr("labkit.training.pretrain.multiplies_bfloat16", lambda: units)
    seen = []
    true_autocast = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda device, dtype: seen.append(dtype) or true_autocast(device, dtype))
    small = PretrainSettings(
        hidden_size=16, layers=1, heads=2, kv_heads=1, intermediate_size=16, steps=1, compile=False
    )
    made = pretrain(small, tmp_path / "model")
    assert seen == ([torch.bfloat16] if units else [])
    assert ("bfloat16" if units else "float32") in (made / "pretraining.json").read_text()
