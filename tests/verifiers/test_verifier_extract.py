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
    # a box without braces reaches to the end of its formula or sentence
    (r"\boxed 7", "7"),
    (r"$\boxed 7$", "7"),
    (r"so $\boxed7$.", "7"),
    (r"\boxed 14/3", "14/3"),
    (r"\boxed \frac{1}{2}", r"\frac{1}{2}"),
    (r"\boxed\frac12.", r"\frac12"),
    (r"\( \fbox 7 \)", "7"),
    (r"\boxed 3.5. Good", "3.5"),
    (r"\boxed{3} or \boxed 4", "4"),
    (r"\boxed", None),
    (r"\boxed ", None),
    ("#### 72", "72"),
    ("#### 1\n#### 2\nand so on", "2"),
    ("#### \n", None),
    ("####: 55", "55"),
    ("####55", "55"),
    ("#### : 55", "55"),
    ("#### **55**", "55"),
    ("#### $55", "$55"),
    ("#### 55 eggs", "55 eggs"),
    ("#### Answer: 55", "55"),
    ("#### Final Answer: 55", "55"),
    ("#### The answer is 55", "55"),
    ("##### 55", "55"),
    ("#### 55 ####", "55"),
    ("#### yes", "yes"),
    ("#### (C)", "(C)"),
    ("#### x = 5", "x = 5"),
    ("#### \\frac{1}{2}", "\\frac{1}{2}"),
    ("5+13=18 #### 18", "18"),
    ("#### 3 apples\nand that is it", "3 apples"),
    # a Markdown heading is no answer line
    ("#### Step 3: Add\n5 + 13 = 18. The answer is 18.", "18"),
    ("#### Final Answer\nThe answer is 18.", "18"),
    ("#### Final Answer\n18", "18"),
    ("#### Step 3: Add", None),
    ("#### 1. Add them\n5+13", None),
    ("#### 2) Then\n...", None),
    ("#### 3 Steps to do\nfoo", None),
    ("#### 18\n#### Explanation\nWe add.", "18"),
    ("#### Conclusion\nIt is so.", None),
    ("#### Solution:\n18", None),
    ("#### A short solution\nfoo", None),
    ("The answer is 42.", "42"),
    ("the answer is 1. No, THE ANSWER IS 3.5", "3.5"),
    ("the answer is: $\\frac12$. I hope it is correct.", "\\frac12"),
    ("the answer is **6*5*1**", "6*5*1"),
    ("the answer is ", None),
    ("the answer is 4\nbecause I say so", "4"),
    # a title, a label, and what stands between them and the answer
    ("Final Answer: 14/3", "14/3"),
    ("**Final Answer:** 14/3", "14/3"),
    ("**Final Answer**\n14/3", "14/3"),
    ("### Final Answer\n\n14/3", "14/3"),
    ("### Final Answer\n\\[\n14/3\n\\]", "14/3"),
    ("FINAL ANSWER: 14/3", "14/3"),
    ("final answer = 14/3", "14/3"),
    ("Final Answer: Paris", "Paris"),
    ("The final answer is:\n\n$$18$$", "18"),
    ("The **final answer** is 18", "18"),
    ("**The answer is:** 18", "18"),
    ("*The answer is* **18**.", "18"),
    ("Answer: 18", "18"),
    ("**Answer**: 18 eggs", "18 eggs"),
    ("Ans: 18", "18"),
    ("Answer: (B)", "(B)"),
    ("My answer is 18.", "18"),
    ("So, our final answer is 18", "18"),
    ("The answer to the question is 18.", "18"),
    ("The answer would be 18", "18"),
    ("The answer is therefore 18", "18"),
    ("the answer is approx. 5 km", "approx. 5 km"),
    ("The answer is 18。", "18"),
    ("The answer is $18.", "$18"),
    ("The answer is $5$ or $6$.", "$5$ or $6$"),
    # a whole solution behind a label is no answer
    ("Answer: There are 15 trees. Then 21. So 6.", None),
    ("Final Answer: She sells 9 eggs for $2 each, making $18.", None),
    ("### Final Answer\nThe total is 18 eggs.", "The total is 18 eggs"),
    # what a chat template writes behind a reply
    ("The answer is 42<|im_end|>", "42"),
    ("The answer is 42<|im_end|>\n<|im_start|>user\nThe answer is 5", "42"),
    ("The answer is 42<|eot_id|>", "42"),
    ("The answer is 42</s></s>", "42"),
    ("The answer is 42<pad><pad>", "42"),
    ("The answer is 42<end_of_turn>\n", "42"),
    ("The answer is 42<｜end▁of▁sentence｜>", "42"),
    ("The answer is 42[EOS]", "42"),
    ("The answer is 42<|end|>", "42"),
    ("The answer is 42 <eos>", "42"),
    ("#### 18<|endoftext|><|endoftext|>", "18"),
    ("<answer>42</answer></s>", "42"),
    (r"\boxed{42}<|im_end|>", "42"),
    ("<answer>42<|im_end|>", None),
    ("<s>5</s> and #### 6", "6"),
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
    ("x - 5", "unclear", ()),
    ("x2", "unclear", ()),
    ("\\sqrt{2}", "number", ("\\sqrt{2}",)),
    ("2\\pi", "number", ("2\\pi",)),
    ("not 72", "unclear", ()),
    ("5 or 6", "unclear", ()),
    ("f(3) = 5", "number", ("5",)),
    ("2**3", "number", ("2**3",)),
    ("**72**", "number", ("72",)),
    ("so \\frac{1}{2} is left", "number", ("\\frac{1}{2}",)),
    ("There are 12 in all", "number", ("12",)),
    ("It is minus 5 degrees.", "number", ("-5 degrees",)),
    ("So it is *18* eggs", "number", ("18 eggs",)),
    ("so \\( x = 18 \\) holds", "formula", ("x = 18",)),
    ("it is $5$ million", "formula", ("5 million",)),
    ("no digit at all", "none", ()),
    ("9" * 3000, "unclear", ()),
    # nothing is guessed behind what was cut off
    (r"so \boxed{7", "cut off", ()),
    ("<answer>7", "cut off", ()),
    ("<think>7", "thinking", ()),
]


@pytest.mark.parametrize(("completion", "kind", "texts"), CLAIMS, ids=short)
def test_final_claims(completion: str, kind: str, texts: tuple[str, ...]) -> None:
    assert find_claims(completion, "number") == (kind, texts)


FORMULAS = [
    ("so $x = 5$.", "formula", ("x = 5",)),
    ("so $$x$$", "formula", ("x",)),
    ("so \\(x^2\\) it is", "formula", ("x^2",)),
    ("so \\[\nx^2\n\\]", "formula", ("x^2",)),
    ("so $ x^2 $", "formula", ("x^2",)),
    ("it cost 5 $ and then 6 $ more", "number", ("6 $ more",)),
    ("x^2 + 1", "formula", ("x^2 + 1",)),
    (r"\frac{x}{2}.", "formula", (r"\frac{x}{2}.",)),
    ("yes", "none", ()),
    ("$1$ and $-2$", "formula", ("1 and -2",)),
    ("minus $x$", "formula", ("-x",)),
    ("at least $x$", "unclear", ()),
    ("half of $x$", "unclear", ()),
    ("$x$ or more", "unclear", ()),
    ("$x$ is not $y$", "unclear", ()),
    ("$x = 5$ for 3 apples", "number", ("3 apples",)),
    ("3 apples for $x$", "formula", ("x",)),
    ("it costs $5 and $6", "unclear", ()),
    ("$a$ or $b$", "formula", ("a or b",)),
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
