"""Few of every kind of fault that `tests.fault_campaign` tries; by hand it tries hundreds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fault_campaign import NEVER, Ended, outcome

ROOT = Path(__file__).resolve().parent.parent
FEW = {"kills": 2, "folders": 3, "recipes": 4, "tasks": 4, "verifiers": 4}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills in the middle of a call of Linux")
def test_no_fault_ends_in_a_traceback_a_hang_or_a_wrong_result():
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    asked = [word for name, count in FEW.items() for word in (f"--{name}", str(count))]
    command = [sys.executable, "-m", "tests.fault_campaign", *asked, "--json", "--timeout", "300"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.stdout, done.stderr
    kinds = json.loads(done.stdout.splitlines()[-1])
    assert len(kinds) == len(FEW)
    wrong = {kind["kind"]: {end: kind["examples"][end] for end in NEVER if kind[end]} for kind in kinds}
    assert not any(wrong.values()), wrong
    assert done.returncode == 0


def test_the_campaign_tells_endings_apart():
    line, trace = "labkit: no recipe 'x'", "Traceback (most recent call last):\nValueError: x"
    assert outcome(Ended(0, "", "")) == "fine"
    assert outcome(Ended(0, "", ""), lambda: False) == "silent"
    assert outcome(Ended(2, "", line)) == "clean"
    assert outcome(Ended(1, "", f"{line} (this is a bug in labkit or in your verifier)")) == "traceback"
    assert outcome(Ended(1, "", trace)) == "traceback"
    assert outcome(Ended(1, "", "")) == "silent"
    assert outcome(Ended(None, "", line)) == "hang"
