"""Every trainer, killed between two checkpoints and resumed, ends with the numbers of a run that was not disturbed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.errors import UserError
from labkit.training import train
from tests.training.mini import numbers, random_policy
from tests.training.toys import comparisons, toy_run

HERE = Path(__file__).resolve().parent


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_and_resumed_equals_undisturbed_for_every_trainer(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": f"{HERE.parents[1]}"}
    command = [sys.executable, str(HERE / "kill_and_resume.py"), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


class StopAfter:
    def __init__(self, steps: int) -> None:
        self.left = steps

    @property
    def stopped(self) -> bool:
        return self.left <= 0

    def update(self, metrics, rollouts) -> None:
        self.left -= 1


def test_reference_log_probs_are_computed_once_and_kept(tmp_path, monkeypatch):
    base = tmp_path / "base"
    random_policy().save(base)
    calls = []
    import labkit.training.rows.reference as reference

    plain = reference.logprobs_of
    monkeypatch.setattr(reference, "logprobs_of", lambda *inputs: calls.append(1) or plain(*inputs))
    whole = toy_run(tmp_path / "whole", "dpo", base, steps=4)
    assert len(calls) == 4, "chosen and rejected of two splits"
    toy_run(tmp_path / "part", "dpo", base, steps=4, observer=StopAfter(2))
    calls.clear()
    resumed = train(resume=tmp_path / "part", progress=False)
    assert not calls, "read from the run folder"
    assert numbers(resumed) == numbers(whole)
    # A half-written file is not trusted.
    toy_run(tmp_path / "torn", "dpo", base, steps=4, observer=StopAfter(2))
    file = tmp_path / "torn" / reference.CACHE
    file.write_bytes(file.read_bytes()[:50])
    assert numbers(train(resume=tmp_path / "torn", progress=False)) == numbers(whole)


def test_rows_that_were_given_as_objects_are_kept_for_the_resumed_run(tmp_path):
    base = tmp_path / "base"
    random_policy().save(base)
    toy_run(tmp_path / "run", "dpo", base, steps=4, observer=StopAfter(2), dataset=comparisons(30))
    (tmp_path / "run" / "data.jsonl").rename(tmp_path / "elsewhere.jsonl")
    with pytest.raises(UserError, match="pass the rows as dataset="):
        train(resume=tmp_path / "run", progress=False)
    assert train(resume=tmp_path / "run", dataset=comparisons(30), progress=False).result["status"] == "finished"
