"""Thoughts that the prompt has opened: what is never closed is no answer, in every verifier that looks for one."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.tasks import load_task, task_from_file, task_from_function
from labkit.verifiers import (
    VERIFIERS,
    Score,
    extract_answer,
    find_claims,
    opened,
    opens_thought,
    run_for_prompts,
    run_verifier,
)
from labkit.verifiers.combine import Part, combine

PUZZLE = {"numbers": [5, 6, 1], "target": 30}
# verifier: a reference, an answer that is right on its own
RIGHT = {
    "addition": (4, "<answer>4</answer>"),
    "choice": ("C", "The answer is C."),
    "code": ({"stdin": "2", "stdout": "4"}, "```python\nprint(4)\n```"),
    "countdown": (PUZZLE, "<answer>6*5*1</answer>"),
    "instructions": ({"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}, "It is 4."),
    "math": ("4", r"\boxed{4}"),
    "number": (4, "still thinking, maybe 4"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_not_closed_is_no_answer(name: str) -> None:
    verifier, (reference, answer) = VERIFIERS[name], RIGHT[name]
    judge = opened(verifier)
    texts = [answer, f"hm, 5?</think>{answer}", f"<think>hm, 5?</think>{answer}", f"{answer}</think>", "</think>"]
    rewards = [score.reward for score in run_verifier(judge, texts, [reference] * 5, timeout=20)]
    wanted = [0.0, 1.0, 1.0, 0.0, 0.0]
    if name == "instructions":  # an empty reply breaks no rule here
        rewards, wanted = rewards[1:3], wanted[1:3]
    assert rewards == wanted
    assert run_verifier(verifier, texts[:1], [reference], timeout=20)[0].reward == 1.0  # nothing tells it
    assert pickle.loads(pickle.dumps(judge)) == judge and opened(judge) is judge


def test_the_reason_says_so() -> None:
    assert opened(VERIFIERS["number"])("maybe 4", 4).reason == "no answer found: the thought is never closed"
    assert opened(VERIFIERS["math"])("maybe $4$", "4").reason == "no answer found: the thought is never closed"
    assert find_claims("<think>4").kind == find_claims("4</think><think>5", "number").kind == "thinking"
    assert find_claims("<think>4</think>so", "number").kind == "none"


def test_the_form_is_judged_as_it_was_written() -> None:
    form, length = VERIFIERS["format"], VERIFIERS["length"]
    assert opened(form) is form and opened(length) is length
    both = combine(Part("accuracy", VERIFIERS["number"]), gate=Part("form", form, 0.0, {"style": "r1"}))
    judge = opened(both)
    assert judge("so 4</think>It is 4.", 4).reward == 1.0
    assert judge("It is 4.", 4).reward == judge("so 4</think>It is 5.", 4).reward == 0.0
    assert judge("still thinking, maybe 4", 4).parts["accuracy"] == 0.0


def _takes_any_number(completion: str, reference: object) -> float:
    return float(extract_answer(completion) == str(reference))


def test_a_verifier_of_your_own_is_opened_as_well() -> None:
    judge = opened(_takes_any_number)
    assert judge("#### 4", 4) == 0.0 and judge("5?</think>#### 4", 4) == 1.0
    scores = run_verifier(judge, ["#### 4", "</think>#### 4"], [4, 4])
    assert [score.reward for score in scores] == [0.0, 1.0] and judge.needs_worker and judge.run_batch is None


@pytest.mark.parametrize(
    ("prompt", "is_open"),
    [
        ("What is 2+2?<think>", True),
        ("<|im_start|>assistant\n<think>\n", True),
        ("What is 2+2?", False),
        ("<think>easy</think>", False),
        ("Think inside <think> and </think>.", False),
        ("Begin with <think>.", False),
        ("", False),
    ],
)
def test_prompts_that_open_a_thought(prompt: str, is_open: bool) -> None:
    assert opens_thought(prompt) is is_open


def test_a_batch_may_hold_both_kinds_of_prompts() -> None:
    texts = ["maybe 4", "maybe 4", "</think>4", "5"]
    prompts = ["a<think>", "a", "a<think>\n", "a"]
    for name, references in (("number", [4] * 4), ("math", ["4"] * 4)):
        scores = run_for_prompts(VERIFIERS[name], texts, references, prompts)
        assert [score.reward for score in scores] == [0.0, 1.0, 1.0, 0.0]


def test_tasks_tell_their_verifier(tmp_path: Path) -> None:
    lines = [{"prompt": f"What is 2+{n}?\n<think>\n", "reference": 2 + n} for n in range(9)]
    file = tmp_path / "sums.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    task = task_from_file(file, "number")
    problem = task.sample(1)[0]
    texts = [f"maybe {problem.reference}", f"hm</think>The answer is {problem.reference}."]
    assert [score.reward for score in task.score_all(texts, [problem] * 2)] == [0.0, 1.0]
    assert [task.score(text, problem).reward for text in texts] == [0.0, 1.0]
    proxy = task.with_verifier(VERIFIERS["number"]).score_all(texts, [problem] * 2)
    assert [(score.reward, score.parts["gold"]) for score in proxy] == [(0.0, 0.0), (1.0, 1.0)]
    own = task_from_function(lambda rng: (f"Double {rng.randrange(99)}.<think>", 4), _takes_any_number)
    assert [own.score(text, own.sample(1)[0]).reward for text in ("#### 4", "</think>#### 4")] == [0.0, 1.0]


def test_countdown_with_an_opened_thought() -> None:
    task = load_task("countdown", open_thought=True)
    problem = next(p for p in task.sample(50) if p.reference["target"] == sum(p.reference["numbers"]))
    right = f"<answer>{'+'.join(map(str, problem.reference['numbers']))}</answer>"
    assert task.score(right, problem).reward == 0.0 and task.score(f"6*5</think>{right}", problem).reward == 1.0
    assert isinstance(task.score("", problem), Score)


def test_the_command_takes_the_prompt(tmp_path: Path) -> None:
    case = {"completion": "still thinking, maybe 4", "reference": 4}
    file = tmp_path / "cases.jsonl"
    file.write_text(f"{json.dumps(case)}\n{json.dumps(case | {'prompt': 'How many? <think>'})}\n")
    command = [sys.executable, "-m", "labkit", "verify", "number", "--file", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["reward"] for line in done.stdout.splitlines()] == [1.0, 0.0]
