"""The ten shapes of `format`: what each asks for, and what it does not forgive."""

import pytest

from labkit.errors import UserError
from labkit.verifiers.format import STYLES, verify
from tests.verifiers.hostile import check_every_score, short

THINK_ANSWER = "<think>a</think><answer>b</answer>"
CASES = [
    ("r1", "a</think>The reply.", 1.0, "well formed", "The reply."),
    ("r1", "a</think>The <answer>b</answer> is free.", 1.0, "well formed", "The <answer>b</answer> is free."),
    ("r1", "<think>a</think>The reply.", 0.0, "though the prompt opens it", None),
    ("r1", "a</think> \n", 0.0, "nothing stands after </think>", ""),
    ("r1", "a</think>b</think>c", 0.0, "</think> stands 2 times", None),
    ("r1", "The reply.", 0.0, "</think> is missing", None),
    ("r1_answer", "a</think>\n<answer>b</answer>", 1.0, "well formed", "b"),
    ("r1_answer", "a</think>so <answer>b</answer>", 0.0, "text outside the tags: 'so'", "b"),
    ("r1_answer", "a</think><answer>b</answer>.", 0.0, "text outside the tags: '.'", "b"),
    ("r1_answer", "<answer>b</answer></think>", 0.0, "<answer> stands before </think>", None),
    ("r1_answer", THINK_ANSWER, 0.0, "though the prompt opens it", None),
    ("think", "<think>a</think>The reply.", 1.0, "well formed", "The reply."),
    ("think", "Well, <think>a</think>The reply.", 0.0, "text outside the tags: 'Well,'", "The reply."),
    ("think", "<think>a</think>", 0.0, "nothing stands after </think>", ""),
    ("think", "a</think>The reply.", 0.0, "<think> is missing", None),
    ("think_boxed", r"<think>a</think>so \boxed{\frac{1}{2}}.", 1.0, "well formed", r"\frac{1}{2}"),
    ("think_boxed", r"<think>\boxed{1}</think>so \boxed{2}.", 1.0, "well formed", "2"),
    ("think_boxed", r"<think>\boxed{1}</think>so 1.", 0.0, r"\boxed is missing", None),
    ("think_boxed", r"<think>a</think>\boxed{1} \boxed{1}", 0.0, r"\boxed stands 2 times", None),
    ("think_boxed", r"<think>a</think>\boxed{1", 0.0, r"\boxed has no closed pair of braces", None),
    ("think_boxed", r"\boxed{1}", 0.0, "<think> is missing", None),
    ("reasoning_answer", "<reasoning>a</reasoning>\n<answer>b</answer>", 1.0, "well formed", "b"),
    ("reasoning_answer", THINK_ANSWER, 0.0, "<reasoning> is missing", None),
    ("reasoning_solution", "<reasoning>a</reasoning><solution>b</solution>", 1.0, "well formed", "b"),
    ("reasoning_solution", "<solution>b</solution><reasoning>a</reasoning>", 0.0, "stands before", None),
    ("boxed", r"so \boxed{5}", 1.0, "well formed", "5"),
    ("boxed", r"\boxed{\boxed{5}}", 0.0, r"\boxed stands 2 times", None),
    ("boxed", "5", 0.0, r"\boxed is missing", None),
    ("gsm8k", "48/2=24\n#### 24\n", 1.0, "well formed", "24"),
    ("gsm8k", "#### 24", 1.0, "well formed", "24"),
    ("gsm8k", "so #### 24", 0.0, "#### and the answer are not the last line", None),
    ("gsm8k", "#### 24\nbye", 0.0, "#### and the answer are not the last line", None),
    ("gsm8k", "####", 0.0, "#### and the answer are not the last line", None),
    ("gsm8k", "#### 1\n#### 2", 0.0, "#### stands 2 times", None),
    ("gsm8k", "24", 0.0, "#### is missing", None),
]


@pytest.mark.parametrize(("style", "completion", "reward", "words", "extracted"), CASES, ids=short)
def test_style(style: str, completion: str, reward: float, words: str, extracted: str | None) -> None:
    score = verify(completion, {"style": style})
    assert score.reward == reward == min(score.parts.values())
    assert words in score.reason and score.extracted == extracted


def test_every_style_is_tested_and_named_in_the_complaint() -> None:
    assert {case[0] for case in CASES} | {"think_answer", "answer"} == set(STYLES)
    with pytest.raises(UserError) as caught:
        verify("", {"style": "r3"})
    assert all(style in str(caught.value) for style in STYLES) and "\n" not in str(caught.value)


def test_the_default_is_think_answer() -> None:
    for text in (THINK_ANSWER, "<answer>b</answer>", ""):
        assert verify(text) == verify(text, None) == verify(text, {"style": "think_answer"})


@pytest.mark.parametrize("style", STYLES)
def test_no_hostile_text_raises_or_takes_long(style: str) -> None:
    default = style == "think_answer"
    check_every_score(verify, {"style": style}, count=20_000 if default else 2_500, megabytes=default or "box" in style)
