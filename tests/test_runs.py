"""Run folders: who may write there, what a resumed run needs, and what is said of a damaged file."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit.errors import RunError, UserError
from labkit.folder_lock import FolderLock
from labkit.paths import user_path
from labkit.printable import printable
from labkit.runs import Run, create_run, open_run
from labkit.storage import RECORDED, read_json, read_lines, write_aside
from labkit.training import train
from labkit.training.resume import changes
from tests.training.mini import mini_run, numbers, random_policy
from tests.training.toys import demonstrations, toy_run

NAME = "rlvr-addition-tiny-seed0"


class StopAfter:
    """Stops, or interrupts, the run that it watches after so many steps."""

    def __init__(self, steps: int, error: BaseException | None = None) -> None:
        self.left, self.error = steps, error

    @property
    def stopped(self) -> bool:
        if self.left <= 0 and self.error is not None:
            raise self.error
        return self.left <= 0

    def update(self, metrics: dict[str, Any], rollouts: list[dict[str, Any]]) -> None:
        self.left -= 1


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    random_policy().save(folder)
    return folder


@pytest.fixture
def part(base: Path, tmp_path: Path) -> Run:
    """A run that was stopped after two of its four steps."""
    return mini_run(tmp_path / "part", model=base, task="addition", observer=StopAfter(2))


# ------------------------------------------------------------------------------------- what must not be lost


@pytest.mark.skipif(not RECORDED.is_dir(), reason="recorded runs come with a checkout")
def test_recorded_runs_are_read_only():
    folder = RECORDED / NAME
    before, run = content(folder), open_run(NAME)
    for work in (
        lambda: train(resume=NAME, progress=False),
        lambda: train(resume=folder, progress=False),
        lambda: create_run(folder, {}, {}),
        lambda: run.log({"step": 99}, []),
        lambda: run.forget_from(0),
        lambda: run.write_result({}),
        lambda: write_aside(folder / "curve.json", "[]"),
        lambda: FolderLock(folder),
        lambda: create_run(RECORDED / "new" / ".." / NAME, {}, {}),
    ):
        with pytest.raises(UserError, match="recorded run of the repository, which is read-only"):
            work()
    assert content(folder) == before


def test_a_run_without_checkpoints_is_not_resumed_and_keeps_its_log(base: Path, tmp_path: Path):
    run = mini_run(tmp_path / "run", model=base, task="addition")
    shutil.rmtree(run.path / "checkpoints")
    before = content(run.path)
    with pytest.raises(UserError, match=r"finished, 4 steps\) has no checkpoints"):
        train(resume=run.path, progress=False)
    assert content(run.path) == before


def test_a_run_that_ended_before_its_first_checkpoint_begins_again(base: Path, tmp_path: Path):
    whole = mini_run(tmp_path / "whole", model=base, task="addition")
    watcher = StopAfter(1, KeyboardInterrupt())
    run = mini_run(tmp_path / "run", model=base, task="addition", observer=watcher, checkpoint_every=3)
    assert run.result["status"] == "interrupted" and not run.checkpoints() and len(run.metrics) == 1
    assert numbers(train(resume=run.path, progress=False)) == numbers(whole)


def test_a_new_run_begins_without_what_a_killed_one_left(base: Path, tmp_path: Path):
    """Killed before its first step, that is: with steps it is refused."""
    folder = tmp_path / "run"
    rows = {"train": demonstrations(20)}
    whole = toy_run(tmp_path / "whole", "sft", base, steps=2, dataset=rows)
    toy_run(folder, "sft", base, steps=2, dataset={"train": demonstrations(30)})
    shutil.rmtree(folder / "checkpoints")
    (folder / "metrics.jsonl").unlink()
    write_aside(folder / "result.json", json.dumps({"status": "running", "before": {"old": True}}))
    run = toy_run(folder, "sft", base, steps=2, dataset=rows)
    assert (folder / "data.jsonl").read_bytes() == (tmp_path / "whole" / "data.jsonl").read_bytes()
    assert numbers(run) == numbers(whole) and "old" not in str(run.result)
    with pytest.raises(UserError, match="already holds a run"):
        toy_run(folder, "sft", base, steps=2, dataset=rows)


def test_a_step_that_fails_keeps_the_steps_before_it(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import labkit.training.rl.step as step

    plain, calls = step.sample, [0]

    def fails(*inputs: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            raise ZeroDivisionError("of nobody's making")
        return plain(*inputs, **options)

    with monkeypatch.context() as patched:
        patched.setattr(step, "sample", fails)
        with pytest.raises(ZeroDivisionError):
            mini_run(tmp_path / "run", model=base, task="addition", checkpoint_every=100)
    assert list(open_run(tmp_path / "run").checkpoints()) == [2]
    whole = mini_run(tmp_path / "whole", model=base, task="addition", checkpoint_every=100)
    assert numbers(train(resume=tmp_path / "run", progress=False)) == numbers(whole)


# ------------------------------------------------------------------------------------------- one at a time


def test_a_folder_is_held_by_one_at_a_time_who_is_named(part: Run):
    before = content(part.path)
    with FolderLock(part.path), pytest.raises(RunError, match=r"is in use by this process on .*, since \d{4}-"):
        train(resume=part.path, progress=False)
    assert content(part.path) == before, "and the lock is gone when it is let go"
    assert train(resume=part.path, progress=False).result["status"] == "finished"
    assert not (part.path / ".lock").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_lock_of_a_dead_process_is_taken_over_and_that_of_a_living_one_is_not(tmp_path: Path):
    ready, wait = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        FolderLock(tmp_path).__enter__()
        os.write(ready[1], b"x")
        os.read(wait[0], 1)
        os._exit(0)  # without letting go
    os.read(ready[0], 1)
    with pytest.raises(RunError, match=f"process {child} on"), FolderLock(tmp_path):
        pass
    os.write(wait[1], b"x")
    os.waitpid(child, 0)
    assert json.loads((tmp_path / ".lock").read_text())["pid"] == child
    with FolderLock(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
        child = os.fork()  # it lets go of its copy, and not of ours
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(RunError), FolderLock(tmp_path):
            pass


# --------------------------------------------------------------------------------------------- what changed


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("seed", 7, "seed was 0, now 7"), ("lr", 0.5, "optimizer.lr was .*, now 0.5"), ("task", "countdown", "the task")],
)
def test_a_recipe_that_was_changed_is_noticed(part: Run, key: str, value: Any, words: str):
    recipe = part.recipe
    (recipe["optimizer"] if key == "lr" else recipe)[key] = value
    (part.path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    before = content(part.path)
    with pytest.raises(UserError, match=words) as caught:
        train(resume=part.path, progress=False)
    assert "\n" not in str(caught.value) and content(part.path) == before


def test_a_task_file_that_was_changed_is_noticed(base: Path, tmp_path: Path):
    file = tmp_path / "sums.jsonl"
    rows = [{"prompt": f"{i}+3:", "reference": i + 3, "verifier": "number"} for i in range(12)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = mini_run(tmp_path / "run", model=base, task=f"file:{file}", observer=StopAfter(2))
    file.write_text(file.read_text().replace('"reference": 3,', '"reference": 4,'))
    with pytest.raises(UserError, match=r"the task of run .* changed since it was begun"):
        train(resume=run.path, progress=False)


def test_bad_prompts_of_a_file_are_left_out_and_counted(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file, prompts = tmp_path / "sums.jsonl", ["1+" * 3000, "<eos>2+3:", *(f"{i}+3:" for i in range(12))]
    splits = ["train"] * 12 + ["test"] * 2
    rows = [
        {"prompt": p, "reference": 5, "verifier": "number", "split": s} for p, s in zip(prompts, splits, strict=True)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = mini_run(tmp_path / "run", model=base, task=f"file:{file}", steps=1)
    assert run.result["prompts_left_out"] == {"train": 2} and run.result["status"] == "finished"
    assert "2 of 12 prompts are left out" in capsys.readouterr().err
    file.write_text("".join(json.dumps(row | {"prompt": "<eos>" + row["prompt"]}) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"no prompt of sums .train. can be given to"):
        mini_run(tmp_path / "none", model=base, task=f"file:{file}", steps=1)
    assert not (tmp_path / "none").exists()


def test_settings_that_change_no_number_may_change(part: Run):
    recipe = part.recipe | {"steps": 5, "keep_checkpoints": 1}
    (part.path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    assert len(train(resume=part.path, progress=False).metrics) == 5
    assert changes({"a": 1, "b": 2}, {"a": 1}) == [] and changes({}, {"b": 2}, whole=True) == ["b was not set, now 2"]


# -------------------------------------------------------------------------------------------- damaged files


def test_a_line_that_a_kill_left_is_passed_over_and_said_others_are_damage(tmp_path: Path, capsys):
    file = tmp_path / "lines.jsonl"
    file.write_bytes(b'{"step": 0}\n{"step": 1, "rew')
    assert list(read_lines(file, "step")) == [{"step": 0}]
    assert "was not written to its end" in capsys.readouterr().err
    for damaged in (
        b'{"step": 0\n{"step": 1}\n',
        b'{"st\n',
        b"\n",
        b"3\n",
        b'{"step": true}\n',
        b"\xff\n",
    ):
        file.write_bytes(b'{"step": 0}\n' + damaged)
        with pytest.raises(UserError, match=r"line 2: .*damaged"):
            list(read_lines(file, "step"))


@pytest.mark.parametrize("lines", [b"", b'{"step": 0, "elapsed": 1, "tokens": 1}\n'])
def test_metrics_that_lack_steps_are_one_line(part: Run, lines: bytes):
    (part.path / "metrics.jsonl").write_bytes(lines)
    rollouts = (part.path / "rollouts.jsonl").read_bytes()
    with pytest.raises(UserError, match="does not hold the steps 0 to 1"):
        train(resume=part.path, progress=False)
    assert (part.path / "metrics.jsonl").read_bytes() == lines
    assert (part.path / "rollouts.jsonl").read_bytes() == rollouts


@pytest.mark.parametrize("damaged", [b'{"a": 1', b"", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_json_file_is_one_line(tmp_path: Path, damaged: bytes):
    (tmp_path / "result.json").write_bytes(damaged)
    with pytest.raises(UserError, match="damaged") as caught:
        read_json(tmp_path / "result.json")
    assert "\n" not in str(caught.value)


def test_missing_and_stray_parts_of_a_run_are_told(part: Run, capsys: pytest.CaptureFixture[str]):
    (part.path / "checkpoints" / "step-x").mkdir()
    assert list(part.checkpoints()) == [2] and "step-x is no checkpoint" in capsys.readouterr().err
    (part.path / "environment.json").unlink()
    with pytest.raises(UserError, match=r"has no environment\.json"):
        _ = part.environment
    assert train(resume=part.path, progress=False).result["status"] == "finished"
    assert "can't be checked" in capsys.readouterr().err


def test_files_that_are_saved_follow_the_umask(base: Path, tmp_path: Path):
    before = os.umask(0o027)
    try:
        run = mini_run(tmp_path / "run", model=base, task="addition", steps=1)
    finally:
        os.umask(before)
    kept = [file for file in run.path.rglob("*") if file.is_file()]
    assert {oct(file.stat().st_mode & 0o777) for file in kept} == {"0o640"}


# --------------------------------------------------------------------------------------------- what is shown


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "\x9b2J", "\x1b]0;title\x07", "\u202etxt", "\x00", "\ud800", "\r", "\u200f"]
)
def test_nothing_of_others_steers_a_terminal(part: Run, text: str):
    from labkit.plots.gallery import rollout_table
    from labkit.tables import table

    row = {"step": f"{text}<b>", "prompt": text, "completion": text, "reward": 1.0, "reason": text}
    part.path.joinpath("recipe.yaml").write_text(yaml.safe_dump({"name": text}), encoding="utf-8")
    shown = [printable(text, keep="\n"), str(rollout_table([row])), table([text], [[text]]), repr(part)]
    for one in shown:
        assert all(letter == "\n" or letter.isprintable() for letter in one), repr(one)
        one.encode()
    assert "<b>" not in rollout_table([row])._repr_html_().split("<tbody>")[1].replace("<br>", "")


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "a\x00b", "\ud800"])
def test_what_no_path_can_be_is_one_line(path: str):
    for work in (user_path, open_run):
        with pytest.raises(UserError) as caught:
            work(path)
        assert "\n" not in str(caught.value)
    assert user_path("~/x") == Path.home() / "x"


@pytest.mark.parametrize("name", ["metrics.jsonl", "rollouts.jsonl"])
def test_a_log_that_cannot_be_read_is_refused_before_the_other_one_is_cut(name: str, part: Run):
    """A link that leads nowhere is no missing file: the resume would have failed at it halfway."""
    file = part.path / name
    part.log({"step": 2, "elapsed": 1.0, "tokens": 1}, [])  # a step after the checkpoint, which a resume removes
    file.unlink()
    file.symlink_to(file)
    before = {path: path.read_bytes() for path in part.path.glob("*.jsonl") if not path.is_symlink()}
    with pytest.raises(UserError, match="cannot read"):
        train(resume=part, progress=False)
    assert before == {path: path.read_bytes() for path in before}
