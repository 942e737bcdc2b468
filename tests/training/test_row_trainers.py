"""The contract of what learns from rows: a new trainer is a file and a line, and its recipe is checked by that line."""

import inspect
import json
import pickle
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import labkit as lk
from labkit.algorithms import divergence, kto_loss, preference_loss
from labkit.errors import NothingKeptError, RunError, RunFolderError, UserError
from labkit.models import Encoded
from labkit.recipes import load_recipe
from labkit.recipes.trainers import ALGORITHMS, NUMBER, POSITIVE, Algorithm, is_number, row_trainers, trainers
from labkit.training import train
from labkit.training.rows.data import Columns, Mark, Row, batch
from labkit.training.rows.learner import prepare_rows, row_trainer
from labkit.training.rows.reference import reply_logprobs
from labkit.training.rows.trainer import Example, RowTrainer, Stats
from tests.training.mini import numbers, random_policy
from tests.training.toys import comparisons, feedback, toy_run

# ------------------------------------------------------------------------------------------ a trainer of one's own


class WeightedReplies(RowTrainer[float]):
    """Raises the log-prob of each reply by its `score`, lowers it where the score is negative."""

    columns = Columns("demonstrations", ("completion",), Mark("score", NUMBER))

    def target(self, row: Row, replies: tuple[Encoded, ...]) -> float:
        return float(row["score"])

    def loss(self, part: list[Example[float]]) -> tuple[Float[Tensor, ""], Stats]:
        logprobs, lengths = reply_logprobs(self.policy, [example.replies[0] for example in part])
        scores = torch.tensor([example.target for example in part], device=logprobs.device)
        scale = self.recipe.algorithm_options.get("scale", 1.0)
        return -(scale * scores * logprobs / lengths).mean(), {}

    def evaluate(self, examples: list[Example[float]]) -> dict[str, float]:
        parts = self.in_parts(examples, lambda part: float(self.loss(part)[0]))
        return {"rows": len(examples), "loss": sum(len(n) * x for n, x in parts) / len(examples)}


@pytest.fixture
def weighted(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Algorithm("weighted", WeightedReplies, {"scale": POSITIVE})
    monkeypatch.setitem(ALGORITHMS, "weighted_replies", line)


SCORED = [{"prompt": f"{i}:", "completion": ["44", "7"][i % 2], "score": [1.0, -0.1][i % 2]} for i in range(40)]


def test_a_new_trainer_is_a_class_and_a_line(tmp_path: Path, weighted: None):
    assert trainers()[-1] == row_trainers()[-1] == "weighted"
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("{trainer: weighted, steps: 12, optimizer: {lr: 0.01}, data: {batch: 8}}")
    options = {"model": random_policy(), "dataset": SCORED, "progress": False, "evaluation.problems": 0}
    run = train(recipe, out=tmp_path / "run", **options)
    assert run.recipe["algorithm"] == "weighted_replies", "a trainer's first algorithm is its default"
    before, after = (run.result["held_out"][when]["loss"] for when in ("before", "after"))
    assert after < before and run.metrics[-1]["loss"] < run.metrics[0]["loss"]
    small = train(recipe, out=tmp_path / "small", microbatch_tokens=20, **options | {"model": random_policy()})
    assert small.metrics[-1]["loss"] == pytest.approx(run.metrics[-1]["loss"], rel=1e-3)
    # From a file too, with the column that the trainer asks for.
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in SCORED))
    assert train(recipe, out=tmp_path / "file", **options | {"dataset": file}).result["data"]["rows"] == 40


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": [{"prompt": "5:", "completion": "4"}]}, "row 1 of given .* has no column 'score'"),
        ({"dataset": {"train": [SCORED[0] | {"score": "good"}]}}, "'score' must be a number, not 'good'"),
        (
            {"algorithm_options": {"scale": 0}},
            "algorithm_options.scale must be a number above 0 and at most 1e6, not 0",
        ),
        ({"algorithm_options": {"scales": 1}}, "has no 'scales'; it has scale"),
        ({"algorithm": "sft"}, "unknown algorithm 'sft' of trainer weighted; there are weighted_replies"),
        ({"sampling.prompts": 3}, "sampling is a setting of the trainers rl, ppo, distillation; this one is weighted"),
    ],
)
def test_its_line_and_its_columns_check_what_a_user_writes(tmp_path: Path, weighted: None, changes, words):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("trainer: weighted")
    with pytest.raises(UserError, match=words.replace("(", r"\(")) as caught:
        train(recipe, out=tmp_path / "run", **{"model": random_policy(), "dataset": SCORED} | changes)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


# --------------------------------------------------------------------------------------------------- the registry


def test_every_line_names_a_trainer_that_is_there_and_complete():
    for name, algorithm in ALGORITHMS.items():
        if algorithm.rows is None:
            with pytest.raises(UserError, match="learns from samples"):
                row_trainer(name)
            continue
        trainer = row_trainer(name)
        assert issubclass(trainer, RowTrainer) and not inspect.isabstract(trainer), name
        assert len(set(trainer.watched)) == 3 and set(trainer.shown) <= {"loss", "accuracy", "margin"}
        recipe = load_recipe(
            {"sft": "sft", "reward_model": "reward-model"}.get(algorithm.trainer, "dpo") + "-assistant-tiny"
        )
        assert trainer.memory(recipe, 1000) == (1000 if name == "kto" else 0)
        assert trainer.memory(recipe.model_copy(update={"reference": "tiny"}), 1000) == 1000


VALUES = (-1.0, 0.0, 0.25, 0.5, 1.0, 2.0)


def loss_refuses(name: str, key: str, value: float) -> bool:
    """Whether the loss itself raises for a value of its option."""
    one, two = torch.tensor([-1.0]), torch.tensor([-2.0])
    try:
        if name == "kto":
            kto_loss(one, two, torch.tensor([True]), 0.0, **{key: value})
        elif name == "jsd":
            divergence(one, two, name, **{key: value})
        else:
            lengths = torch.tensor([2])
            preference_loss(one, two, one, two, name, chosen_lengths=lengths, rejected_lengths=lengths, **{key: value})
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    "name", [name for name, a in ALGORITHMS.items() if a.trainer in ("preferences", "distillation")]
)
def test_a_recipe_refuses_what_the_loss_refuses(name):
    for key, rule in ALGORITHMS[name].options.items():
        if key != "average":
            refused = [value for value in VALUES if not rule.accepts(value)]
            # The recipe is stricter: a negative weight would train away from what it is the weight of.
            assert {repr(value) for value in VALUES if loss_refuses(name, key, value)} <= set(map(repr, refused)), key
            assert all(value in refused for value in VALUES if isinstance(value, float) and value < 0), key
        assert not rule.accepts("0.5") and not rule.accepts(float("nan"))


def test_numbers():
    assert is_number(3) and is_number(-0.5)
    assert not any(map(is_number, (True, None, "1", float("inf"), [1])))


# --------------------------------------------------------------------------------------------------- columns of files


def test_a_file_may_hold_marks_of_steps_and_margins(tmp_path: Path):
    steps = [{"question": f"{i}:", "answer": "44\n7", "steps": [1.0, float(i % 2)]} for i in range(20)]
    file = tmp_path / "steps.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in steps))
    small = {"model": random_policy(), "steps": 1, "progress": False}
    run = train("prm-countdown-tiny", out=tmp_path / "prm", dataset=file, **small)
    assert run.result["data"]["rows"] == 20 and run.metrics[0]["label_mean"] == pytest.approx(0.75, abs=0.2)

    def with_margins(margin: float) -> list[dict]:
        file = tmp_path / f"{margin}.jsonl"
        file.write_text("".join(json.dumps({**row, "margin": margin}) + "\n" for row in comparisons(20)))
        return numbers(toy_run(tmp_path / f"rm{margin}", "reward_model", steps=1, dataset=file))

    assert with_margins(2.0)[0]["loss"] > with_margins(0.0)[0]["loss"] + 1.0


# ------------------------------------------------------------------------------------------- errors and signatures


def test_lk_train_shows_the_signature_of_train():
    shown, plain = (inspect.signature(function) for function in (lk.train, train))
    assert list(shown.parameters) == list(plain.parameters)
    for name, parameter in plain.parameters.items():
        assert shown.parameters[name].kind == parameter.kind
        if name not in ("observer", "progress"):  # Jupyter's dashboard is the default there
            assert shown.parameters[name].default == parameter.default
            assert shown.parameters[name].annotation == parameter.annotation


def test_errors_carry_fields_and_survive_a_pickle(tmp_path: Path):
    for error in (NothingKeptError(12, 1.0, 0.25), RunFolderError(tmp_path, "No space left on device")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)
    assert isinstance(error, RunError) and f"--resume {tmp_path}`" in str(error)
    of_a_stage = RunFolderError(tmp_path / "stages" / "1-sft", "No space left on device", resume=tmp_path)
    assert f"cannot write to {tmp_path / 'stages' / '1-sft'}: No space" in str(of_a_stage)
    assert f"--resume {tmp_path}`" in str(of_a_stage)


def test_a_folder_that_cannot_be_written_is_one_line_that_says_how_to_go_on(tmp_path: Path):
    class BlocksTheFolder:
        stopped = False

        def update(self, metrics, rollouts) -> None:
            (tmp_path / "run" / "checkpoints").rename(tmp_path / "away")
            (tmp_path / "run" / "checkpoints").write_text("in the way")

    with pytest.raises(RunFolderError, match=r"cannot write to .*labkit train --resume") as caught:
        toy_run(tmp_path / "run", "sft", steps=3, checkpoint_every=1, observer=BlocksTheFolder())
    assert caught.value.folder == caught.value.resume == tmp_path / "run" and "\n" not in str(caught.value)


def test_kto_logs_the_log_probs_of_good_and_bad_replies_however_the_batch_is_cut(tmp_path):
    logged = []
    for tokens in (16, 4096):
        policy = random_policy()
        run = toy_run(tmp_path / str(tokens), "kto", policy, steps=1, batch=12, microbatch_tokens=tokens)
        logged.append(run.metrics[0])
    recipe = load_recipe("dpo-assistant-tiny", algorithm="kto", algorithm_options={}, batch=12)
    learner = prepare_rows(recipe, random_policy(), feedback())
    chosen = [learner.train[i] for i in batch(len(learner.train), 12, 0, 0)]
    with torch.no_grad():
        logprobs, _ = reply_logprobs(random_policy(), [example.replies[0] for example in chosen])
    good = torch.tensor([example.target for example in chosen])
    for line in logged:
        assert line["logprob_chosen"] == pytest.approx(float(logprobs[good].mean()), rel=1e-4)
        assert line["logprob_rejected"] == pytest.approx(float(logprobs[~good].mean()), rel=1e-4)
