"""The cores that a process may use, and stopping a thread."""

import os
import threading
import time
from pathlib import Path

import pytest

from labkit.system import Stopped, cores, multiplies_bfloat16, stop_thread

V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu,cpuacct"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


def quota_v1(folder: str, quota: int) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": str(quota), f"{folder}/cpu.cfs_period_us": "100000"}


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (None, {}, 8),
        ("0::/", {f"{V2}/cpu.max": "max 100000"}, 8),
        ("0::/", {f"{V2}/cpu.max": "200000 100000"}, 2),
        ("0::/", {f"{V2}/cpu.max": "50000 100000"}, 1),
        ("0::/", {f"{V2}/cpu.max": "1600000 100000"}, 8),
        (None, {f"{V2}/cpu.max": "300000 100000"}, 3),
        # the group of this process allows all, the one above it three
        ("0::/a/b", {f"{V2}/a/cpu.max": "300000 100000", f"{V2}/a/b/cpu.max": "max 100000"}, 3),
        ("0::/a", {f"{V2}/a/cpu.max": "300000 100000", f"{V2}/other/cpu.max": "100000 100000"}, 3),
        ("4:cpu,cpuacct:/\n0::/", quota_v1(V1, 200_000), 2),
        ("4:cpu,cpuacct:/\n0::/", quota_v1(V1, -1), 8),
        ("4:cpu,cpuacct:/docker/12ab", quota_v1(V1, 400_000), 4),  # the host's path, the container's mount
        ("4:cpu,cpuacct:/docker/12ab", quota_v1(f"{V1}/docker/12ab", 150_000), 2),
        ("4:cpu:/", quota_v1("sys/fs/cgroup/cpu", 500_000), 5),
        ("4:cpu,cpuacct:/", quota_v1("sys/fs/cgroup/cpu", 500_000), 5),
        ("5:memory:/a\n4:cpuset:/a", quota_v1("sys/fs/cgroup/memory", 100_000), 8),
        ("0::/", {f"{V2}/cpu.max": "nonsense"}, 8),
    ],
)
def test_cores_are_those_of_the_affinity_within_the_quota(
    tmp_path: Path, groups: str | None, files: dict[str, str], expected: int
):
    told = {} if groups is None else {"proc/self/cgroup": groups}
    assert cores(write(tmp_path, told | files)) == expected


def test_cores_without_affinity_are_those_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores(tmp_path) == 6


def test_a_loop_in_python_is_stopped():
    ended: list[str] = []
    begun = threading.Event()

    def loop() -> None:
        try:
            begun.set()
            while True:
                time.sleep(0.001)
        except Stopped:
            ended.append("stopped")

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    assert begun.wait(10)
    stop_thread(thread)
    thread.join(10)
    assert ended == ["stopped"] and not thread.is_alive()


def test_a_thread_that_does_not_run_is_left_alone():
    thread = threading.Thread(target=lambda: None)
    stop_thread(thread)  # not begun
    thread.start()
    thread.join()
    stop_thread(thread)  # over: its number may be another thread's by now


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx2 amx_bf16\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n", False),  # AVX-512, no units for bfloat16
        ("processor\t: 0\nmodel name\t: bf16\nflags\t\t: fpu\n", False),
        ("", False),
    ],
)
def test_units_for_bfloat16(text, expected, tmp_path):
    assert multiplies_bfloat16(write(tmp_path, {"proc/cpuinfo": text})) is expected
    assert multiplies_bfloat16(tmp_path / "none") is False
