"""On-policy distillation: the loss is the exact divergence however it is cut up, the student moves to the teacher."""

from pathlib import Path
from typing import Any

import pytest
import torch

from labkit.algorithms import divergence
from labkit.errors import UserError
from labkit.evaluation.cost import step_flops, weights
from labkit.models import Policy, output, output_head
from labkit.models.tiny.tokenizer import VOCABULARY
from labkit.plots.metrics import METRICS
from labkit.recipes import load_recipe
from labkit.runs import Run
from labkit.sampling import sample
from labkit.training import train
from labkit.training.rl import distillation
from tests.sampling.small_models import small_policy
from tests.training.mini import numbers, random_policy
from tests.training.toys import fours

SMALL = {"steps": 3, "prompts": 3, "samples": 4, "max_new_tokens": 8, "minibatches": 1, "evaluation.problems": 0}


def distill(out: Path, student: Policy, teacher: Policy | str | Path, **changes: Any) -> Run:
    settings = {"model": student, "teacher": teacher, "task": fours(), "progress": False, **SMALL, **changes}
    return train("distill-on-policy-micro", out=out, **settings)


def batch(policy: Policy) -> tuple[torch.Tensor, torch.Tensor]:
    rollouts = sample(policy, ["5:", "12,3->36:"], n=3, max_new_tokens=9, seed=1)
    return rollouts.tokens, rollouts.mask


def plain(
    student: Policy, teacher: Policy, tokens: torch.Tensor, mask: torch.Tensor, temperature: float
) -> torch.Tensor:
    """The same sum, from all logits at once, position by position."""
    total = torch.zeros(())
    ours, theirs = (p.model(input_ids=tokens).logits / temperature for p in (student, teacher))
    for row, column in mask.nonzero().tolist():
        total = total + divergence(ours[row, column - 1], theirs[row, column - 1].detach())
    return total


@pytest.mark.parametrize("chunk", [None, 3 * len(VOCABULARY)])
def test_the_loss_is_the_sum_over_the_sampled_tokens(chunk, monkeypatch):
    student, teacher = random_policy(0), random_policy(1)
    tokens, mask = batch(student)
    if chunk is not None:
        monkeypatch.setattr(output, "MOST_LOGITS", {"cpu": chunk})
        assert mask.sum() > 2 * 3, "there are several pieces"
    found, gradients = [], []
    for value in (
        distillation.summed_divergence(student.model, teacher.model, tokens, mask, 0.7),
        plain(student, teacher, tokens, mask, 0.7),
    ):
        student.model.zero_grad()
        value.backward()
        found.append(value.detach())
        gradients.append([p.grad.clone() for p in student.model.parameters()])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-4)
    assert max(g.abs().max() for g in gradients[0]) > 0.1
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert all(p.grad is None for p in teacher.model.parameters())


def test_no_tensor_of_all_logits_is_ever_held(monkeypatch):
    student, teacher = random_policy(0), random_policy(1)
    tokens, mask = batch(student)
    rows, vocabulary, sizes = 3, len(VOCABULARY), []
    monkeypatch.setattr(output, "MOST_LOGITS", {"cpu": rows * vocabulary})
    for policy in (student, teacher):
        output_head(policy.model)

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            found = func(*args, **(kwargs or {}))
            leaves = torch.utils._pytree.tree_leaves(found)
            sizes.extend(x.shape for x in leaves if isinstance(x, torch.Tensor) and x.shape[-1:] == (vocabulary,))
            return found

    with Watch():
        distillation.summed_divergence(student.model, teacher.model, tokens, mask).backward()
    logits = [shape[0] for shape in sizes if shape[0] != student.model.config.hidden_size]  # the weights transposed
    assert max(logits) == rows < mask.sum()


def test_a_model_that_scales_its_logits_is_taken_by_its_logits():
    """Cohere multiplies what its head gives: head(hidden states) are not its logits."""
    from transformers import CohereConfig, CohereForCausalLM

    def scaled(seed: int) -> Policy:
        torch.manual_seed(seed)
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
        ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        config = CohereConfig(vocab_size=len(VOCABULARY), logit_scale=0.25, **sizes, **ids)
        return Policy(CohereForCausalLM(config), random_policy().tokenizer, "scaled")

    student, teacher = scaled(0), random_policy(1)
    tokens, mask = batch(student)
    ours = distillation.summed_divergence(student.model, teacher.model, tokens, mask)
    torch.testing.assert_close(ours, plain(student, teacher, tokens, mask, 1.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("algorithm", ["reverse_kl", "forward_kl", "jsd"])
def test_the_student_comes_to_say_what_the_teacher_says(tmp_path, algorithm):
    student, teacher = random_policy(0), random_policy(1)
    frozen = [p.detach().clone() for p in teacher.model.parameters()]
    run = distill(tmp_path / "run", student, teacher, algorithm=algorithm, steps=25, lr=1e-2, samples=8)
    first, last = (run.metrics[i]["divergence"] for i in (0, -1))
    assert last < 0.6 * first, (first, last)
    assert all(torch.equal(a, b) for a, b in zip(frozen, teacher.model.parameters(), strict=True))
    assert not any(p.requires_grad for p in teacher.model.parameters())


def test_a_student_that_is_the_teacher_stays(tmp_path):
    student, teacher = random_policy(0), random_policy(0)
    run = distill(tmp_path / "run", student, teacher, steps=1)
    assert abs(run.metrics[0]["divergence"]) < 1e-5 and run.metrics[0]["grad_norm"] < 1e-4


def test_what_is_logged_is_documented_and_counts_the_cost(tmp_path):
    student, teacher = random_policy(0), random_policy(1)
    run = distill(tmp_path / "run", student, teacher, steps=1, minibatches=2)
    (line,) = run.metrics
    assert set(line) - set(METRICS) == set()
    prompts = line["prompt_tokens"]
    assert line["trained_positions"] == SMALL["samples"] * prompts + line["tokens"] and line["trained_rows"] == 12
    size, teachers = weights(student.model), weights(teacher.model)
    assert size == student.model.num_parameters() and teachers == size, "tied: the embedding is the head"
    cost = step_flops(line, size, teachers)
    assert cost.student == 2 * size * (prompts + line["tokens"]) + 6 * size * line["trained_positions"]
    assert cost.teacher == 2 * size * line["trained_positions"]
    assert run.rollouts()[0]["reason"] and len(run.rollouts()) == 12
    assert run.recipe["teacher"] == "random" and "train_zero_advantage" not in run.recipe


def test_weights_without_tying_leave_the_input_embedding_out():
    qwen = small_policy("qwen2")
    qwen.model.config.tie_word_embeddings = False
    looked_up = qwen.model.get_input_embeddings().weight
    tied = qwen.model.get_output_embeddings().weight is looked_up
    expected = qwen.model.num_parameters() - (0 if tied else looked_up.numel())
    assert weights(qwen.model) == expected


@pytest.mark.parametrize("architecture", ["qwen2", "qwen3", "olmo2", "gpt2"])
def test_every_architecture_can_be_distilled(tmp_path, architecture):
    student, teacher = small_policy(architecture), small_policy(architecture, seed=1)
    line = distill(tmp_path / "run", student, teacher, steps=1).metrics[0]
    assert line["divergence"] > 0 and line["grad_norm"] > 0 and line["skipped"] == 0


def test_lora_students_learn(tmp_path):
    run = distill(tmp_path / "run", random_policy(0), random_policy(1), lora={"rank": 4}, steps=20, lr=1e-2)
    assert run.metrics[-1]["divergence"] < run.metrics[0]["divergence"]


class StopAfter:
    def __init__(self, steps: int) -> None:
        self.left = steps

    @property
    def stopped(self) -> bool:
        return self.left <= 0

    def update(self, metrics: dict, rollouts: list) -> None:
        self.left -= 1


def test_stopped_and_resumed_equals_undisturbed(tmp_path):
    """The teacher is found again by its name. (Killed by SIGKILL: test_trainer_resume.)"""
    random_policy(0).save(tmp_path / "student")
    random_policy(1).save(tmp_path / "teacher")
    options = {"task": "addition", "steps": 5, "checkpoint_every": 2}
    whole = distill(tmp_path / "whole", tmp_path / "student", tmp_path / "teacher", **options)
    distill(tmp_path / "part", tmp_path / "student", tmp_path / "teacher", observer=StopAfter(3), **options)
    again = train(resume=tmp_path / "part", progress=False)
    assert again.result["status"] == "finished" and numbers(again) == numbers(whole)


# ------------------------------------------------------------------------------------------------- mistakes


def test_different_vocabularies_are_told_before_anything_is_written(tmp_path):
    teacher = random_policy(1)
    teacher.tokenizer.add_tokens(["hello"])
    with pytest.raises(UserError, match="different vocabularies") as caught:
        distill(tmp_path / "run", random_policy(0), teacher)
    assert "\n" not in str(caught.value) and "SFT" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_rows_beyond_the_vocabulary_may_differ():
    """Models of one family have output matrices of other heights: what no token stands for is cut off."""
    student, teacher = random_policy(0), random_policy(1)
    tokens, mask = batch(student)
    before = distillation.summed_divergence(student.model, teacher.model, tokens, mask)
    teacher.model.resize_token_embeddings(len(VOCABULARY) + 5, mean_resizing=False)
    distillation.check_vocabulary(student, teacher)
    after = distillation.summed_divergence(student.model, teacher.model, tokens, mask)
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teacher": None}, "needs a teacher"),
        ({"algorithm": "grpo"}, "unknown algorithm 'grpo' of trainer distillation"),
        ({"algorithm_options": {"beta": 0.5}}, "reverse_kl has no 'beta'"),
        ({"algorithm": "jsd", "algorithm_options": {"beta": 1.5}}, "beta must lie between 0 and 1"),
        ({"verifier": "number"}, "verifier is a setting of the trainers rl, ppo"),
    ],
)
def test_recipes_that_make_no_sense(changes, words):
    with pytest.raises(UserError, match=words):
        load_recipe("distill-on-policy-micro", **changes)


def test_a_teacher_belongs_to_distillation():
    with pytest.raises(UserError, match="teacher is a setting of the trainers distillation"):
        load_recipe("r1-zero-tiny", teacher="tiny")


# ------------------------------------------------------------------------------------------------- accuracy and cost


def test_a_curve_of_accuracy_against_cost(tmp_path):
    from labkit.evaluation.cost import Flops, cost_curve, evaluate_checkpoints, spent_before
    from labkit.plots.cost import accuracy_against_cost

    random_policy(0).save(tmp_path / "student")
    random_policy(1).save(tmp_path / "teacher")
    changes = {"task": "addition", "steps": 4, "checkpoint_every": 2, "keep_checkpoints": 9}
    changes |= {"evaluation.problems": 4, "evaluation.samples": 2}
    run = distill(tmp_path / "run", tmp_path / "student", tmp_path / "teacher", **changes)
    evaluate_checkpoints(run)
    size = weights(random_policy().model)
    assert cost_curve(run, size)[0]["total"] == 0
    spent_before(run, Flops(student=1.0, teacher=2.0), "traces")
    points = cost_curve(run, size, 3 * size)
    assert [point["step"] for point in points] == [0, 2, 4]
    assert (points[0]["student"], points[0]["total"]) == (1.0, 3.0)
    costs = [step_flops(line, size, 3 * size) for line in run.metrics]
    assert points[2]["student"] == 1.0 + sum(c.student for c in costs)
    assert points[1]["total"] == 3.0 + sum(c.total for c in costs[:2])
    assert points[0]["pass_at_1"] == run.result["before"]["pass_at_k"]["1"]
    assert points[2]["length"] == run.result["after"]["mean_length"]
    # The same checkpoint, evaluated again, gives the same numbers as the run's own evaluation.
    evaluate_checkpoints(run, steps=[4])
    assert cost_curve(run, size)[-1]["pass_at_k"] == run.result["after"]["pass_at_k"]
    figure = accuracy_against_cost({"one": [points], "two": [points, points]})
    labels = [axis.get_xlabel() for axis in figure.axes]
    assert labels == ["operations of the student (GFLOP)", "operations of student and teacher (GFLOP)"]
    quiet = distill(tmp_path / "quiet", random_policy(0), random_policy(1), steps=1)
    with pytest.raises(UserError, match="no evaluation before training"):
        cost_curve(quiet, size)
