"""Where an answer is looked for, on well-meant and on hostile completions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.verifiers.extract import FALLBACK_WINDOW, extract_answer, find_boxes, find_claims, split_thinking
from tests.verifiers.hostile import short, within

CASES = [
    # the last pair counts
    ("<answer>1</answer>", "1"),
    ("<answer>1</answer><answer>2</answer>", "2"),
    ("<answer>1</answer><answer>2", "1"),
    ("<answer>1<answer>2</answer>", "2"),
    ("<answer>1</answer></answer>", "1"),
    ("</answer>1<answer>", None),
    ("<answer>1", None),
    ("<answer> \n 6*5 \t</answer>", "6*5"),
    ("<answer>a\nb</answer>", "a\nb"),
    ("<answer>7</answer><answer></answer>", ""),
    ("<ANSWER>1</ANSWER>", None),
    # what is inside <think> never counts
    ("<think><answer>1</answer></think>", None),
    ("<think><answer>1</answer></think><answer>2</answer>", "2"),
    ("<answer>2</answer><think><answer>1</answer></think>", "2"),
    ("<answer>2</answer><think><answer>1</answer>", "2"),
    ("<think><answer>1</answer>", None),
    ("<think>a</think><think><answer>1</answer>", None),
    ("<answer>1</answer></think><answer>2</answer>", "2"),
    ("<answer>1</answer></think>", None),
    ("<think>a<think>b</think><answer>1</answer></think>", None),
    ("<think>a<think>b</think></think><answer>1</answer>", "1"),
    ("<think><answer>1</answer><think>b</think>", None),
    (r"<think>\boxed{1} #### 2 the answer is 3</think>", None),
    # a thought that is cut out forges neither a tag nor a number
    ("<ans<think>x</think>wer>1</answer>", None),
    ("<answer>4<think>x</think>2</answer>", "4\n2"),
    ("<answer>1<think></answer></think>2</answer>", "1\n2"),
    # the fallbacks, and their order
    (r"\boxed{5}", "5"),
    (r"\boxed{1} and \boxed{2}", "2"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed {5}", "5"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"\boxed{3} then \boxed{4", "3"),
    (r"\boxed{4", None),
    (r"}}} \boxed{4}", "4"),
    (r"\boxed{1 \boxed{5}}", "5"),
    (r"\boxed 4", None),
    ("#### 72", "72"),
    ("#### 1\n#### 2\nand so on", "2"),
    ("#### \n", None),
    ("The answer is 42.", "42"),
    ("the answer is 1. No, THE ANSWER IS 3.5", "3.5"),
    ("the answer is: $\\frac12$. I hope it is correct.", "\\frac12"),
    ("the answer is **6*5*1**", "6*5*1"),
    ("the answer is ", None),
    ("the answer is 4\nbecause I say so", "4"),
    ("\\boxed{2} #### 3\nthe answer is 4 <answer>1</answer>", "1"),
    ("#### 3\nthe answer is 4 \\boxed{2}", "2"),
    ("the answer is 4\n#### 3", "3"),
    ("42", None),
    ("", None),
]


@pytest.mark.parametrize(("completion", "answer"), CASES, ids=short)
def test_extracted_answer(completion: str, answer: str | None) -> None:
    assert extract_answer(completion) == answer


def test_the_fallbacks_look_at_the_end_alone_and_the_tags_everywhere() -> None:
    far = "x" * FALLBACK_WINDOW
    assert extract_answer(r"\boxed{5}" + far) is None
    assert extract_answer(far + r"\boxed{5}") == "5"
    assert extract_answer("<answer>5</answer>" + far) == "5"


CLAIMS = [
    # every box is a claim; an answer pair, four hashes and the sentence count once, the last time
    (r"\boxed{3} or \boxed{4}", "boxed", ("3", "4")),
    (r"\boxed{3}, yes \boxed{ 3 }", "boxed", ("3",)),
    (r"\fbox{3}", "boxed", ("3",)),
    (r"\boxed{\boxed{5}}", "boxed", ("5",)),
    (r"\boxed{ \boxed{\boxed{5}} }", "boxed", ("5",)),
    (r"\boxed{4 or \boxed{5}}", "boxed", (r"4 or \boxed{5}", "5")),
    (r"\boxed{3} then \boxed{4", "boxed", ("3",)),
    ("<answer>1</answer><answer>2</answer>", "answer", ("2",)),
    (r"\boxed{1}<answer>2</answer>", "answer", ("2",)),
    (r"<answer>\boxed{1}, \boxed{2}</answer>", "boxed", ("1", "2")),
    ("<answer>work\n#### 2</answer>", "hashes", ("2",)),
    ("<answer>The answer is 2.</answer>", "sentence", ("2",)),
    ("<answer></answer> 5", "answer", ("",)),
    ("#### 1\n#### 2", "hashes", ("2",)),
    ("the answer is 1. the answer is 2.", "sentence", ("2",)),
    ("The final answer is $x$. I hope it is correct.", "sentence", ("x",)),
    ("bathe answer is 5", "number", ("5",)),
    # then the last number, with the sum that it ends and the word behind it
    ("it makes 72", "number", ("72",)),
    ("it makes 72 clips.", "number", ("72 clips",)),
    ("48 + 24 = 72 clips", "number", ("48 + 24 = 72 clips",)),
    ("72\nas I said", "number", ("72",)),
    ("10-3", "number", ("10-3",)),
    ("72 (in 2 days)", "number", ("72",)),
    ("(72)", "number", ("(72)",)),
    ("- 5 apples", "number", ("5 apples",)),
    ("x - 5", "none", ()),
    ("x2", "none", ()),
    ("\\sqrt{2}", "none", ()),
    ("2\\pi", "none", ()),
    ("not 72", "none", ()),
    ("5 or 6", "none", ()),
    ("f(3) = 5", "number", ("5",)),
    ("2**3", "number", ("2**3",)),
    ("**72**", "number", ("72",)),
    ("so \\frac{1}{2} is left", "number", ("\\frac{1}{2} is",)),
    ("no digit at all", "none", ()),
    ("9" * 3000, "none", ()),
    # nothing is guessed behind what was cut off
    (r"so \boxed{7", "cut off", ()),
    ("<answer>7", "cut off", ()),
    ("<think>7", "none", ()),
]


@pytest.mark.parametrize(("completion", "kind", "texts"), CLAIMS, ids=short)
def test_final_claims(completion: str, kind: str, texts: tuple[str, ...]) -> None:
    assert find_claims(completion, "number") == (kind, texts)


FORMULAS = [
    ("so $x = 5$.", "formula", ("x = 5",)),
    ("so $$x$$", "formula", ("x",)),
    ("so \\(x^2\\) it is", "formula", ("x^2",)),
    ("so \\[\nx^2\n\\]", "formula", ("x^2",)),
    ("$x$ is not $y$", "none", ()),
    ("$x = 5$ for 3 apples", "number", ("3 apples",)),
    ("3 apples for $x$", "formula", ("x",)),
    ("it costs $5 and $6", "number", ("$6",)),
    ("$a$ or $b$", "none", ()),
]


@pytest.mark.parametrize(("completion", "kind", "texts"), FORMULAS, ids=short)
def test_the_last_formula(completion: str, kind: str, texts: tuple[str, ...]) -> None:
    assert find_claims(completion, "formula") == (kind, texts)
    assert find_claims(completion).texts == ()


def test_boxes_deep_inside_each_other_stay_within_bounds() -> None:
    text = "\\boxed{1 " * 5000 + "}" * 5000
    with within(0.5):
        boxes = find_boxes(text)
    assert boxes[-1] == "1" and sum(map(len, boxes)) <= 4 * FALLBACK_WINDOW


HOSTILE = [
    "<think>",
    "</think>",
    "<think></think>",
    "<think>a</think><think>",
    "<answer>",
    "</answer>",
    "<answer></answer>",
    "</answer><answer>",
    "<answer><think></answer></think>",
    r"\boxed{",
    r"\boxed{}",
    r"\boxed",
    r"\boxed  ",
    "{",
    "}",
    "\\",
    "####",
    "#### ",
    "the answer is",
    "the answer is ",
    "The ",
    ". ",
    "<",
    "\n",
    " ",
    "*",
    "\x00",
    "\ud800",
    "ſ",
]


@pytest.mark.parametrize("piece", HOSTILE, ids=short)
@pytest.mark.parametrize("tail", ["", "<answer>1</answer>", r"\boxed{1}"], ids=short)
def test_a_megabyte_of_hostile_text_takes_a_moment(piece: str, tail: str) -> None:
    text = piece * (1_000_000 // len(piece)) + tail
    with within(0.8):
        answer = extract_answer(text)
    assert answer is None or answer in text
    with within(1.6):
        find_claims(text, "number")
        find_claims(text, "formula")


@given(st.text(), st.text(alphabet="<>/thinkaswer{}\\boxd# 0"))
@settings(max_examples=200, deadline=None)
def test_what_stands_in_a_closed_or_open_thought_changes_nothing(before: str, inside: str) -> None:
    inside = inside.replace("think>", "")
    alone = extract_answer(before + "<think></think>")
    assert extract_answer(f"{before}<think>{inside}</think>") == alone
    assert extract_answer(f"{before}<think>{inside}") == extract_answer(f"{before}<think>")


TAGGED = st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "1", "\\boxed{", "}", "#### "]))


@given(TAGGED.map("".join))
@settings(max_examples=300, deadline=None)
def test_no_answer_comes_out_of_a_thought(text: str) -> None:
    _, visible = split_thinking(text)
    assert "<think>" not in visible and "</think>" not in visible
    answer = extract_answer(text)
    assert answer is None or answer in visible
    assert extract_answer(visible) == answer
