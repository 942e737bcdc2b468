"""The letter of an option: which letters are read, which are refused, with and without the options' texts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import UserError
from labkit.verifiers import VERIFIERS, math
from labkit.verifiers.choice import letter_of, read_option, verify
from tests.verifiers.hostile import check_every_score, short

READ = {
    r"\textbf{(E)}\ 5": "E",
    r"\textbf{E}\ 5": "E",
    r"\text{(E) }5": "E",
    r"\mathrm{(E)}": "E",
    r"$\text{E}$": "E",
    "E": "E",
    "(E)": "E",
    "E)": "E",
    "[E]": "E",
    "E.": "E",
    "E. 5": "E",
    "E: 5": "E",
    "E) 5": "E",
    "(E) 5": "E",
    "E - 5": "E",
    "E 5": "E",
    "**E**": "E",
    "**(E) 5**": "E",
    "Option C": "C",
    "option c": "C",
    "Option (C)": "C",
    "Choice C: 7": "C",
    "the correct option is C": "C",
    "C is correct": "C",
    "C, because it fits": "C",
    "C, not D": "C",
    "B is right and not C": "B",
    "E because D is wrong": "E",
    "e": "E",
    "(e)": "E",
    "e) 5": "E",
    "e. 5": "E",
    "I think C": "C",
    "clearly (B)": "B",
    "A": "A",
    "A. The dog": "A",
    "C) 5 or 6": "C",
}
REFUSED = {
    **dict.fromkeys(["D or E", "A, B", "A and B", "(A) and (B)", "A/B", "C or maybe D"], "names more than one option"),
    **dict.fromkeys(
        ["(A) The dog and (B) cat", "(C) x or (D) y", "A and B are wrong, so C"], "names more than one option"
    ),
    **dict.fromkeys(["A dog", "a dog", "AB", "x = 5", "5", "", "none"], "names no option"),
    **dict.fromkeys(["A 5-year plan", "E = mc^2", "I am sure"], "names no option"),
    **dict.fromkeys(["not C", "not (C)", "C is not right", "D isn't right", "A is wrong"], "denies an option"),
    "E" * 2000: "is longer than 1000 characters",
}


@pytest.mark.parametrize("text", READ, ids=short)
def test_read(text: str) -> None:
    assert read_option(text) == (READ[text], "")


@pytest.mark.parametrize("text", REFUSED, ids=short)
def test_refused_with_its_reason(text: str) -> None:
    assert read_option(text) == (None, REFUSED[text])


REPLIES = [
    ("So the answer must be option C.", "C", 1.0),
    ("Therefore, (C) is correct.", "C", 1.0),
    ("We eliminate A and B.\nC", "C", 1.0),
    ("#### C", "C", 1.0),
    ("#### (C) 7", "C", 1.0),
    ("#### Option C", "C", 1.0),
    ("<answer>C. seven</answer>", "C", 1.0),
    ("Answer: C", "(c)", 1.0),
    ("The correct answer is C) Paris.", "C", 1.0),
    (r"\boxed{\text{C}}", "C", 1.0),
    ("so D<|im_end|>", "D", 1.0),
    ("Final Answer: (D)", "D", 1.0),
    ("The answer is D because C is too small.", "D", 1.0),
    ("The answer is D because C is too small.", "C", 0.0),
    ("A. 5\nB. 6\nC. 7", "C", 0.0),
    (r"\boxed{C} or \boxed{D}", "C", 0.0),
    (r"\boxed{C", "C", 0.0),
    ("<think>C</think>", "C", 0.0),
    ("It is not C.", "C", 0.0),
    ("The answer is not D.", "D", 0.0),
    ("I like dogs.", "I", 0.0),
    ("A good day.", "A", 0.0),
    ("C", "D", 0.0),
    ("", "A", 0.0),
]


@pytest.mark.parametrize(("completion", "reference", "reward"), REPLIES, ids=short)
def test_replies(completion: str, reference: str, reward: float) -> None:
    assert verify(completion, reference).reward == reward


OPTIONS = {"answer": "B", "options": ["4 cm", "5 cm", "six", r"\frac{1}{2}"]}


@pytest.mark.parametrize(
    ("completion", "reward", "words"),
    [
        ("5 cm", 1.0, "option B"),
        ("The answer is 5 cm.", 1.0, "option B"),
        (r"\boxed{5 \text{ cm}}", 1.0, "option B"),
        (r"\boxed{0.5}", 0.0, "option D, not B"),
        ("#### Six", 0.0, "option C, not B"),
        ("(B) 5 cm", 1.0, "option B"),
        ("(B) 4 cm", 0.0, "option B with the text of A"),
        ("(B) whatever", 1.0, "option B"),
        ("#### F", 0.0, "names option F, which there is not"),
        (r"\boxed{7}", 0.0, "names no option"),
    ],
    ids=short,
)
def test_with_the_texts_of_the_options(completion: str, reward: float, words: str) -> None:
    for reference in (OPTIONS, {"answer": "(b)", "options": dict(zip("ABCD", OPTIONS["options"], strict=True))}):
        score = verify(completion, reference)
        assert (score.reward, words in score.reason) == (reward, True), score.reason


def test_two_options_with_one_text_name_none() -> None:
    assert read_option("5", {"A": "5", "B": "5.0"}) == ("A", "")  # the same words go before the same number
    assert read_option("5.00", {"A": "5", "B": "5.0"})[0] is None


BAD = [None, 5, "", "AB", "5", ["A"], {}, {"answer": "A"}, {"answer": "C", "options": ["1", "2"]}, {"answer": 1}, b"A"]


@pytest.mark.parametrize("reference", BAD, ids=short)
def test_a_malformed_reference_is_the_users_mistake(reference: object) -> None:
    with pytest.raises(UserError, match="a choice reference is a letter") as caught:
        verify("A", reference)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_math_reads_the_letter_too_where_its_reference_is_one() -> None:
    for text in (r"\boxed{\textbf{(E)}\ 5}", "The answer is E. 5", "#### Option E", "Answer: (E)"):
        assert math.verify(text, "E").reward == VERIFIERS["choice"](text, "E").reward == 1.0
        assert math.verify(text, "D").reward == VERIFIERS["choice"](text, "D").reward == 0.0
    assert math.verify("The answer is $x = E$", "E").reward == 1.0
    assert math.verify(r"\boxed{C}", "(C) 12").reward == 0.0
    assert letter_of(r"\mathbb{R} ") == "R" and math.verify(r"\boxed{\mathbb{R}}", r"\mathbb{R}").reward == 1.0


@given(st.text(), st.sampled_from("ABCDE"))
@settings(max_examples=300, deadline=None)
def test_every_text_gets_a_sound_score_and_always_the_same(text: str, letter: str) -> None:
    for completion in (text, f"<answer>{text}</answer>", f"\\boxed{{{text}}}", f"The answer is {text}"):
        score = verify(completion, letter)
        assert score.reward in (0.0, 1.0) and score.reason.isprintable() and score == verify(completion, letter)


def test_no_hostile_text_raises_or_takes_long() -> None:
    check_every_score(verify, "C")
    check_every_score(verify, OPTIONS, count=2_000, megabytes=False)
