"""Countdown: each number once, the exact value, and no trick that gets a reward."""

import pickle
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labkit.errors import UserError
from labkit.verifiers import Score, get
from labkit.worlds.countdown.verifier import verify
from tests.verifiers.hostile import check_every_score, short, within

PUZZLE = {"numbers": [5, 6, 1], "target": 30}

RIGHT = [
    "6*5*1",
    "6*5/1",
    " 5 * ( 6 * 1 ) ",
    "6×5×1",
    "6*5*1=30",
    "6*5*1 = 30",
    "(6)*(5)*(1)",
    "-6*-5*1",
    r"6 \times 5 \times 1",
]

WRONG = [
    ("6*5", "1 is not used"),
    ("6*6-1", "uses 6 twice; 5 is not used; makes 35, not 30"),
    ("5+6+1", "makes 12, not 30"),
    ("30", "uses 30, which is not given; 5 is not used; 6 is not used; 1 is not used"),
    ("30+0*5*6*1", "uses 30, which is not given; uses 0, which is not given"),
    ("6*5*1*1", "uses 1 twice"),
    ("6*5*1+0", "uses 0, which is not given"),
    ("65-1", "uses 65, which is not given"),
    ("6*5+1-1", "uses 1 twice"),
    ("6*5**1", "uses **"),
    ("6*5//1", "uses //"),
    ("6*5%1", "'%'"),
    ("99**88**77", "uses **"),
    ("6*5*1=31", "'31' after =, where only 30 may stand"),
    ("6*5*1=", "'' after ="),
    ("6*5*1=30=30", "more than one ="),
    ("6*5=30*1=30", "more than one ="),
    ("30=6*5*1", "after ="),
    ("=30", "is empty"),
    ("6*5*1==30", "more than one ="),
    ("6*5*1 # 30", "'#'"),
    ("__import__('os').getpid()", "'_'"),
    ("(6*5)(1)", "no operator before it"),
    ("6*5*1.0", "'.'"),
    ("6*5*01", "leading zero"),
    ("6*5*True", "'T'"),
    ("\uff16*5*1", "'\uff16'"),
    ("6*5*1\x00", "'\\x00'"),
    ("6*5*1\ud800", "'\\ud800'"),
    ("1/(6-5-1)", "divides by zero"),
    ("", "is empty"),
    ("1" * 1_000_000, "longer than 200 characters"),
    ("(" * 100_000 + "6*5*1" + ")" * 100_000, "longer than 200 characters"),
    ("-" * 100_000 + "6*5*1", "longer than 200 characters"),
    ("6*5*1=" + "0" * 1_000_000, "after ="),
]


@pytest.mark.parametrize("answer", RIGHT, ids=short)
def test_right(answer: str) -> None:
    score = verify(f"<think>5+6=11 no\n</think><answer>{answer}</answer>", PUZZLE)
    assert score.reward == 1.0
    assert score.reason == "makes 30 with each number once"
    assert score.extracted == answer.strip()
    assert score.parts == {"parsed": 1.0, "numbers": 1.0, "value": 1.0}


@pytest.mark.parametrize(("answer", "words"), WRONG, ids=short)
def test_wrong_with_its_reason_at_once(answer: str, words: str) -> None:
    with within(0.5):
        score = verify(f"<answer>{answer}</answer>", PUZZLE)
    assert score.reward == 0.0
    assert words in score.reason
    assert score.reason.isprintable() and len(score.reason) < 400
    assert min(score.parts.values()) == 0.0


COMPLETIONS = [
    ("<think><answer>6*5*1</answer></think>", 0.0),
    ("<think><answer>6*5*1</answer>", 0.0),
    ("<answer>6*5*1</answer><answer>6*5</answer>", 0.0),
    ("<answer>6*5</answer><answer>6*5*1</answer>", 1.0),
    ("<answer>6*5*1</answer><answer></answer>", 0.0),
    (r"\boxed{6 \times 5 \times 1}", 1.0),
    ("the answer is 6*5*1.", 1.0),
    ("6*5*1", 0.0),
    ("<answer>6*5*1", 0.0),
    ("", 0.0),
    ("\x00", 0.0),
    ("\ud800\udfff", 0.0),
]


@pytest.mark.parametrize(("completion", "reward"), COMPLETIONS, ids=short)
def test_completions(completion: str, reward: float) -> None:
    assert verify(completion, PUZZLE).reward == reward


def test_the_parts_are_judged_apart() -> None:
    assert verify("<answer>6+5+1</answer>", PUZZLE).parts == {"parsed": 1.0, "numbers": 1.0, "value": 0.0}
    assert verify("<answer>6*5</answer>", PUZZLE).parts == {"parsed": 1.0, "numbers": 0.0, "value": 1.0}
    assert verify("none", PUZZLE) == Score(
        0.0, "no answer found", None, dict.fromkeys(("parsed", "numbers", "value"), 0.0)
    )


def test_a_number_given_twice_is_used_twice() -> None:
    puzzle = {"numbers": [8, 3, 8, 3], "target": 24}
    assert verify("<answer>8/(3-8/3)</answer>", puzzle).reward == 1.0
    assert "uses 8 once, but it is given twice" in verify("<answer>8*3</answer>", puzzle).reason
    four = verify("<answer>8/(3-8/3)+8-8</answer>", puzzle)
    assert "uses 8 four times, but it is given twice" in four.reason


def test_values_are_exact_where_floats_are_not() -> None:
    # In floats 1/49*49 is not 1, and 10**16 + 1 is 10**16.
    assert verify("<answer>1/49*49</answer>", {"numbers": [1, 49, 49], "target": 1}).reward == 1.0
    big = 10**16
    assert verify(f"<answer>{big}+1</answer>", {"numbers": [big, 1], "target": big}).reward == 0.0


BAD_REFERENCES = [
    None,
    30,
    "6*5",
    [],
    {},
    {"numbers": [5, 6]},
    {"target": 30},
    {"nums": [5, 6], "target": 30},
    {"numbers": [], "target": 0},
    {"numbers": 5, "target": 30},
    {"numbers": "56", "target": 30},
    {"numbers": [5, "6"], "target": 30},
    {"numbers": [5.0, 6], "target": 30},
    {"numbers": [True, 6], "target": 6},
    {"numbers": [-5, 6], "target": 30},
    {"numbers": [5, 6], "target": "30"},
    {"numbers": [5, 6], "target": None},
    {"numbers": [5, 6], "target": 30.0},
    {"numbers": [5, 6], "target": 10**4000},
]


@pytest.mark.parametrize("reference", BAD_REFERENCES, ids=short)
@pytest.mark.parametrize("completion", ["", "<answer>6*5*1</answer>"], ids=short)
def test_a_malformed_reference_is_the_users_mistake(completion: str, reference: object) -> None:
    with pytest.raises(UserError) as caught:
        verify(completion, reference)
    line = str(caught.value)
    assert line.startswith('a countdown reference is {"numbers"') and "\n" not in line and len(line) < 400


def test_the_verifier_and_its_scores_travel_to_another_process() -> None:
    copy = pickle.loads(pickle.dumps(get("countdown")))
    score = copy("<answer>6*5*1</answer>", PUZZLE)
    assert pickle.loads(pickle.dumps(score)) == score and isinstance(hash(score), int)


ALPHABET = st.sampled_from(["<answer>", "</answer>", "<think>", "</think>", "\\boxed{", "}", *"0156+-*/()=. \n\x00"])


@given(st.text() | st.lists(ALPHABET, max_size=40).map("".join))
@settings(max_examples=500, deadline=None)
def test_every_text_gets_a_sound_score_and_always_the_same(text: str) -> None:
    for completion in (text, f"<answer>{text}</answer>"):
        score = verify(completion, PUZZLE)
        assert score.reward in (0.0, 1.0)
        assert (score.reward == 1.0) == all(part == 1.0 for part in score.parts.values())
        assert score.reason.isprintable()
        assert score == verify(completion, PUZZLE)


# Trees next to which the verifier is held: written out for it, evaluated here without parsing.
LEAVES = st.integers(0, 30)
TREES = st.recursive(
    LEAVES,
    lambda part: st.tuples(st.sampled_from("+-*/"), part, part) | st.tuples(st.just("negative"), part),
    max_leaves=7,
)


def leaves(tree) -> list[int]:
    return [tree] if isinstance(tree, int) else [leaf for part in tree[1:] for leaf in leaves(part)]


def value_of(tree) -> Fraction:
    """The value of a tree; ZeroDivisionError where it has none."""
    if isinstance(tree, int):
        return Fraction(tree)
    if tree[0] == "negative":
        return -value_of(tree[1])
    left, right = value_of(tree[1]), value_of(tree[2])
    if tree[0] == "+":
        return left + right
    if tree[0] == "-":
        return left - right
    return left * right if tree[0] == "*" else left / right


def written(tree, signs: dict[str, str], space: str) -> str:
    if isinstance(tree, int):
        return str(tree)
    if tree[0] == "negative":
        return f"({signs['-']}{written(tree[1], signs, space)})"
    left, right = (written(part, signs, space) for part in tree[1:])
    return f"({left}{space}{signs[tree[0]]}{space}{right})"


SIGNS = st.sampled_from([dict(zip("+-*/", signs, strict=True)) for signs in ("+-*/", "+−×÷")])


@given(TREES, SIGNS, st.sampled_from(["", " "]), st.randoms(use_true_random=False))
@settings(max_examples=400, deadline=None)
def test_random_expressions_verify_exactly_when_their_value_is_the_target(tree, signs, space, random) -> None:
    text = written(tree, signs, space)
    assume(len(text) <= 200)
    numbers = leaves(tree)
    random.shuffle(numbers)
    completion = f"<answer>{text}</answer>"
    try:
        value = value_of(tree)
    except ZeroDivisionError:
        score = verify(completion, {"numbers": numbers, "target": 0})
        assert score.reward == 0.0 and "divides by zero" in score.reason
        return
    nearest = int(value)
    assert verify(completion, {"numbers": numbers, "target": nearest}).reward == float(value == nearest)
    assert verify(completion, {"numbers": numbers, "target": nearest + 1}).reward == float(value == nearest + 1)
    for other in ([*numbers, 31], [31, *numbers[1:]], [*numbers, numbers[0]]):
        assert verify(completion, {"numbers": other, "target": nearest}).parts["numbers"] == 0.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_twenty_thousand_fuzzed_texts_and_megabytes_are_scored_in_time() -> None:
    check_every_score(verify, {"numbers": [5, 6, 1], "target": 30})
