"""Every exercise: the stub, labkit's own solution, another right one, each wrong one with its own words."""

import itertools
import math
import random
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import labkit.exercises as exercises
from labkit.exercises import EXERCISES, Exercise
from labkit.exercises.checking import same
from labkit.exercises.comparing import show
from labkit.exercises.running import Outcome, call
from labkit_exercises.completion_mask import completion_mask
from tests.exercises.other_solutions import ALTERNATIVES

EACH = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda exercise: exercise.name)
WRONG = [
    pytest.param(exercise, mistake, i, id=f"{exercise.name}-{mistake.name}-{i}")
    for exercise in EXERCISES.values()
    for mistake in exercise.misconceptions
    for i in range(len(mistake.implementations))
]


def run(code: str) -> dict[str, Any]:
    """Execute code as a cell of a fresh notebook that has the usual imports."""
    namespace: dict[str, Any] = {}
    exec("import torch\nfrom jaxtyping import Bool, Float, Int\nfrom torch import Tensor\n", namespace)
    exec(code, namespace)
    return namespace


def function_name(exercise: Exercise) -> str:
    return exercise.signature.partition("(")[0]


# ------------------------------------------------------------------------------------------ every exercise


def test_the_names_that_notebooks_rely_on():
    assert set(EXERCISES) == set(ALTERNATIVES)
    assert [e.notebook for e in EXERCISES.values()] == sorted(e.notebook for e in EXERCISES.values())
    assert {exercise.notebook for exercise in EXERCISES.values()} == {
        "00_start_here",
        "01_language_models_as_policies",
        "02_instruction_tuning",
        "03_reward_models",
        "04_rlhf_ppo",
        "05_direct_preference",
        "06_over_optimization",
        "07_verifiers",
        "08_rlvr_from_scratch",
        "12_r1_zero",
        "13_r1_pipeline",
        "14_distillation",
        "15_inference_time_compute",
        "16_process_rewards",
        "17_scaling_up",
        "hw1_write_a_verifier",
    }


@EACH
def test_the_stub_is_not_attempted_yet(exercise: Exercise):
    stub = run(exercise.stub)[function_name(exercise)]
    result = exercises.check(exercise.name, stub)
    assert (result.passed, result.attempted) == (False, False)
    assert "not attempted yet" in repr(result)


@EACH
@pytest.mark.parametrize("nothing", [None, ..., lambda *args: None, lambda *args: ...])
def test_nothing_is_not_attempted_yet(exercise: Exercise, nothing: Any):
    assert not exercises.check(exercise.name, nothing).attempted


@EACH
def test_the_solution_that_is_shown_passes_when_pasted(exercise: Exercise):
    source = exercises.solution_source(exercise.name)
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    result = exercises.check(exercise.name, namespace[function_name(exercise)])
    assert result.passed, result
    assert source in exercises.solution(exercise.name).markdown
    # Each function (or class) of the package that is shown below is really one, with its own name.
    for shown in exercise.sources:
        name, markdown = shown.partition(":")[2], exercises.solution(exercise.name).markdown
        assert f"def {name}(" in markdown or f"class {name}:" in markdown


@EACH
def test_another_right_solution_passes(exercise: Exercise):
    result = exercises.check(exercise.name, ALTERNATIVES[exercise.name])
    assert result.passed and result.attempted and result.misconception is None, result


@pytest.mark.parametrize(("exercise", "mistake", "i"), WRONG)
def test_each_wrong_solution_is_named(exercise: Exercise, mistake: Any, i: int):
    result = exercises.check(exercise.name, mistake.implementations[i])
    assert result.attempted and not result.passed
    assert result.misconception == mistake.name
    assert result.message.startswith(mistake.message)


@EACH
def test_no_two_mistakes_look_alike_on_the_cases(exercise: Exercise):
    cases = exercise.cases
    done = {
        mistake.name: [[call(fn, case) for case in cases] for fn in mistake.implementations]
        for mistake in exercise.misconceptions
    }
    assert len(done) == len(exercise.misconceptions) >= 4
    for (one, first), (other, second) in itertools.combinations(done.items(), 2):
        for a, b in itertools.product(first, second):
            assert not all(map(same, a, b)), f"{one} and {other} coincide"
    messages = [mistake.message for mistake in exercise.misconceptions]
    assert len(set(messages)) == len(messages)


@EACH
def test_each_mistake_shows_on_a_literal_case(exercise: Exercise):
    """So that the message can always show a small input."""
    right = [call(exercise.reference, case) for case in exercise.literal]
    assert all(outcome.error is None for outcome in right)
    for mistake in exercise.misconceptions:
        for fn in mistake.implementations:
            wrong = [call(fn, case) for case in exercise.literal]
            assert not all(map(same, right, wrong)), mistake.name


@EACH
def test_cases_are_the_same_every_time_and_are_not_spoilt(exercise: Exercise):
    exercises.check(exercise.name, ALTERNATIVES[exercise.name])
    for first, second in zip(exercise.cases, exercise.cases, strict=True):
        assert same(Outcome(show(first.args)), Outcome(show(second.args)))
    assert all(case.note for case in exercise.literal)


@EACH
def test_texts_are_complete(exercise: Exercise):
    shown = exercises.spec(exercise.name).markdown
    assert exercise.title in shown and exercise.stub.strip() in shown
    assert f"lk.check({exercise.name!r}, {function_name(exercise)})" in shown
    assert len(exercise.hints) >= 3
    stub = run(exercise.stub)[function_name(exercise)]
    assert exercise.arguments == list(stub.__code__.co_varnames[: stub.__code__.co_argcount])
    for mistake in exercise.misconceptions:
        assert 40 < len(mistake.message) < 320, mistake.name


# ---------------------------------------------------------------- references next to labkit's own machinery


def test_the_completion_mask_is_the_samplers_own():
    """labkit's sampler knows where completions end and makes its mask from that."""
    from labkit.sampling.engine import Drawn, assemble

    generator, eos = random.Random(3), 2
    encoded = [[generator.choice([2, 3, 4]) for _ in range(generator.randint(1, 5))] for _ in range(6)]
    lengths = torch.tensor([generator.randint(1, 7) for _ in range(12)])
    drawn = torch.randint(3, 9, (12, 7), generator=torch.Generator().manual_seed(0))
    drawn[torch.arange(12), lengths - 1] = eos
    for pad in (0, eos):
        policy = SimpleNamespace(
            device="cpu",
            pad_id=pad,
            tokenizer=SimpleNamespace(batch_decode=lambda rows, **_: [""] * len(rows)),
        )
        ended = torch.ones(12, dtype=torch.bool)
        rollouts = assemble(policy, ["p"] * 6, encoded, 2, Drawn(drawn, torch.zeros(12, 7), lengths, ended))
        prompts = torch.tensor([len(ids) for ids in encoded]).repeat_interleave(2)
        assert torch.equal(completion_mask(rollouts.tokens, prompts, eos), rollouts.mask)


def test_pass_at_k_counts_subsets():
    for n, c, k in [(5, 2, 3), (6, 1, 2), (4, 4, 1)]:
        draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
        share = sum(map(any, draws)) / len(draws)
        assert math.isclose(EXERCISES["pass-at-k"].reference(n, c, k), share)


def test_importing_the_exercises_needs_no_notebook():
    code = "import sys, labkit.exercises; print({'IPython', 'ipywidgets', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("answer", ["!", "6*5*", "six", "1/0", "99**88**77", "__import__('os')", "9" * 500])
def test_every_attack_that_works_is_accepted(answer: str):
    assert exercises.check("break-verifier", lambda numbers, target: f"<answer>{answer}</answer>").passed


def test_an_attack_that_is_no_text_is_told():
    result = exercises.check("break-verifier", lambda numbers, target: 7)
    assert result.attempted and not result.passed and "no completion, but a int" in result.message
