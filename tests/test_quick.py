"""`make quick` chooses the tests that a change concerns."""

import subprocess
from pathlib import Path

import pytest

from tests import quick
from tests.import_graph import ROOT


def test_a_change_runs_its_own_doctests_and_the_nearest_tests_first():
    found = quick.chosen(["labkit/algorithms/gae.py"])
    assert found[0] == "labkit/algorithms/gae.py"
    assert found.index("tests/algorithms/test_gae.py") < found.index("tests/training/test_ppo.py")
    assert "tests/verifiers/test_verifier_extract.py" not in found


def test_what_is_named_in_a_string_is_used():
    assert "labkit.verifiers.controls" in quick.graph()[0]["labkit.verifiers"]


def test_what_a_package_imports_on_demand_is_used():
    assert "labkit.lab" in quick.graph()[0]["labkit"]


def test_a_changed_test_runs_alone():
    assert quick.chosen(["tests/algorithms/test_gae.py"]) == ["tests/algorithms/test_gae.py"]


def test_a_recipe_concerns_the_tests_of_recipes():
    found = quick.chosen(["labkit/recipes/r1-zero-tiny.yaml"])
    assert "tests/training/test_recipes.py" in found and quick.ALWAYS in found


def test_a_module_that_is_gone_concerns_its_package():
    found = quick.chosen(["labkit/algorithms/no_such_module.py"])
    assert found[0] == "labkit/algorithms/__init__.py" and "tests/algorithms/test_gae.py" in found


def test_what_is_no_module_is_looked_at_as_part_of_the_repository():
    assert quick.chosen(["README.md"]) == [quick.ALWAYS]


def test_without_a_change_the_fast_third_runs():
    found, tests = quick.chosen([]), [p for p in (ROOT / "tests").rglob("test_*.py")]
    assert len(found) == len(tests) // 3
    assert "tests/verifiers/test_verifier_extract.py" in found and "tests/training/test_ppo.py" not in found


def test_changed_new_and_deleted_files_are_found(tmp_path: Path):
    def git(*words: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    for name in ("same.py", "changed.py", "deleted.py", ".gitignore"):
        (tmp_path / name).write_text("ignored.py\n")
    git("add", "-A")
    git("commit", "-m", "first")
    assert quick.changed(tmp_path) == []
    (tmp_path / "changed.py").write_text("other = 1\n")
    (tmp_path / "deleted.py").unlink()
    (tmp_path / "new.py").touch()
    (tmp_path / "ignored.py").touch()
    assert quick.changed(tmp_path) == ["changed.py", "deleted.py", "new.py"]


def test_after_the_deadline_tests_are_skipped_before_their_fixtures():
    with pytest.raises(pytest.skip.Exception, match="no time is left"):
        quick.Deadline(-1).pytest_runtest_setup(None)
    assert quick.Deadline(1000).pytest_runtest_setup(None) is None
