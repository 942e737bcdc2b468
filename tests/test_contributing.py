"""CONTRIBUTING.md: its blocks of Python run, one after another, in an interpreter of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_examples_run():
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) >= 4
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_every_path_that_is_named_exists():
    named = set(re.findall(r"`((?:labkit|labkit_exercises|tests|notebooks|data)/[\w./]*)`", TEXT))
    assert len(named) > 8
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
