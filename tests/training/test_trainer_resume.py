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


@pytest.mark.parametrize("trainer", ["sft", "dpo", "rloo"])
def test_a_finished_run_is_lengthened_to_the_numbers_of_a_long_one(trainer, tmp_path):
    base = tmp_path / "base"
    random_policy().save(base)
    named = {"task": "addition"} if trainer == "rloo" else {}  # a task that the resumed run finds by its name
    whole = toy_run(tmp_path / "whole", trainer, base, steps=5, **named)
    short = toy_run(tmp_path / "short", trainer, base, steps=2, **named)
    assert short.finished
    longer = train(resume=short, steps=5, progress=False)
    assert longer.finished
    assert longer.recipe["steps"] == 5
    assert numbers(longer) == numbers(whole)
    assert longer.result["after"] == whole.result["after"]
    assert train(resume=longer, progress=False).result["steps"] == 5, "nothing is left to do"


def test_what_cannot_be_lengthened_says_why_and_stays_as_it_is(tmp_path):
    base = tmp_path / "base"
    random_policy().save(base)
    run = toy_run(tmp_path / "run", "sft", base, steps=3)
    falling = toy_run(tmp_path / "falling", "sft", base, steps=3, schedule="cosine")
    before = {file: file.read_bytes() for one in (run, falling) for file in one.path.glob("*.*")}
    for resumed, steps, told in (
        (run, 2, "has taken 3 steps"),
        (run, "many", "steps"),
        (run, 0, "steps"),
        (run, 2.5, "steps"),
        (falling, 6, "schedule cosine"),
    ):
        with pytest.raises(UserError, match=told) as caught:
            train(resume=resumed, steps=steps, progress=False)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="only steps may be given"):
        train(resume=run, steps=6, lr=1.0, progress=False)
    assert before == {file: file.read_bytes() for file in before}
