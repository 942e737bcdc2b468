"""The verifier `math`: what is equal and what is not, where an answer is looked for, and texts that attack it."""

import contextlib
import pickle
import random
import re
import time

import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labkit.errors import UserError
from labkit.paths import PACKAGE
from labkit.verifiers import VERIFIERS, Fault, Score, run_verifier
from labkit.verifiers.math import symbolic
from labkit.verifiers.math.answers import read_answer
from labkit.verifiers.math.comparing import compare
from labkit.verifiers.math.expressions import Unreadable, read_expression
from labkit.verifiers.math.latex import tidy
from labkit.verifiers.math.polynomials import TooLarge, normal_form
from tests.verifiers.hostile import short
from tests.verifiers.math_cases import DIFFERENT, EQUAL

verify = VERIFIERS["math"]


def boxed(text: str) -> str:
    return rf"Hence \boxed{{{text}}}."


def verdicts(pairs: list[tuple[str, str]]) -> list[float]:
    return [score.reward for score in run_verifier(verify, [boxed(a) for a, _ in pairs], [b for _, b in pairs])]


# --------------------------------------------------------------------------------------- what is equal


@pytest.mark.parametrize("family", EQUAL)
def test_equal_answers_in_both_directions(family: str) -> None:
    pairs = EQUAL[family] + [(b, a) for a, b in EQUAL[family]]
    wrong = [pair for pair, reward in zip(pairs, verdicts(pairs), strict=True) if reward != 1.0]
    assert wrong == []


@pytest.mark.parametrize("family", DIFFERENT)
def test_different_answers_in_both_directions(family: str) -> None:
    pairs = DIFFERENT[family] + [(b, a) for a, b in DIFFERENT[family]]
    wrong = [pair for pair, reward in zip(pairs, verdicts(pairs), strict=True) if reward != 0.0]
    assert wrong == []


def test_answers_of_different_families_are_different() -> None:
    firsts = [EQUAL[family][k][0] for family in EQUAL for k in (0, 2)]
    pairs = [(a, b) for i, a in enumerate(firsts) for b in firsts[:i]]
    same = [pair for pair, reward in zip(pairs, verdicts(pairs), strict=True) if reward]
    assert same == [("x=5", "5"), ("x=2+3=5", "5"), ("x=2+3=5", "x=5")]


def test_each_is_equal_to_itself() -> None:
    texts = [text for families in (EQUAL, DIFFERENT) for pairs in families.values() for pair in pairs for text in pair]
    assert [a for a, reward in zip(texts, verdicts([(a, a) for a in texts]), strict=True) if reward != 1.0] == []


# ---------------------------------------------------------------------------- where the answer is looked for


@pytest.mark.parametrize(
    ("completion", "reward"),
    [
        (r"<think>\boxed{4}</think>\boxed{5}", 1.0),
        (r"<think>it is 5</think>", 0.0),
        (r"\boxed{5} or \boxed{5.0}, the same", 1.0),
        (r"\boxed{5} or \boxed{6}", 0.0),
        (r"\boxed{6} or \boxed{5}", 0.0),
        (r"\boxed{\boxed{5}}", 1.0),
        (r"\boxed{6} <answer>5</answer>", 1.0),
        (r"<answer>\boxed{5}</answer>", 1.0),
        (r"<answer>$x = 5$</answer>", 1.0),
        ("so 2 + 3 = 5\n#### 5", 1.0),
        ("The answer is $x = 5$.", 1.0),
        ("we find $x = 5$", 1.0),
        ("so there are 5", 1.0),
        ("so $x = 6$ and not 5", 0.0),
        (r"\boxed{5", 0.0),
        ("", 0.0),
        ("no idea", 0.0),
        (r"\boxed{}", 0.0),
        (r"\boxed{} is filled with \boxed{5}", 1.0),
        (r"\boxed{5}, not $\boxed{\phantom{00}}$", 1.0),
        (r"\\boxed{5}", 1.0),
        (r"\\boxed{-5}", 0.0),
        ("5", 1.0),
        (r"\frac{10}{2}", 1.0),
        ("10 - 5", 1.0),
        ("x^2 + 5", 0.0),
        ("2x = 5", 0.0),
    ],
)
def test_where_the_answer_is_looked_for(completion: str, reward: float) -> None:
    assert verify(completion, "5").reward == reward


@pytest.mark.parametrize(
    ("completion", "reference", "reward"),
    [
        (r"\boxed{1} and \boxed{-2}", "1,-2", 1.0),
        (r"\boxed{-2}\boxed{1}", r"\{1,-2\}", 1.0),
        (r"\boxed{x=1} or \boxed{x=-2}", r"x=1 \text{ or } x=-2", 1.0),
        (r"\boxed{1,-2} is \boxed{-2,1}", "1,-2", 1.0),
        (r"\boxed{1} and \boxed{2}", "1,-2", 0.0),
        (r"\boxed{1}", "1,-2", 0.0),
        (r"\boxed{1}, \boxed{-2}, \boxed{3}", "1,-2", 0.0),
        (r"\boxed{1} or \boxed{-2}", "1", 0.0),
        (r"\boxed{2}, \boxed{1}", "x=1, y=2", 0.0),
        (r"\boxed{1}, \boxed{2}", "(1,2)", 0.0),
    ],
)
def test_boxes_are_the_items_of_a_list_and_two_answers_to_one_question_are_none(
    completion: str, reference: str, reward: float
) -> None:
    assert verify(completion, reference).reward == reward


@pytest.mark.parametrize(
    "formula", [r"x^2+1", r"\frac{1}{2}", "(1, 2)", r"\sqrt{3}", "x < 3", r"\{1, 2\}", ".5", "-7", "y=2x"]
)
def test_a_completion_that_is_one_formula_is_its_answer(formula: str) -> None:
    assert verify(formula, formula).reward == verify(f" {formula}\n", formula).reward == 1.0


def test_the_page_of_rules_is_true() -> None:
    page = (PACKAGE / "verifiers/math/POLICY.md").read_text("utf-8")
    lines = re.findall(r"^\| `(.+)` \| `(.+)` \| ([✓✗]) \|$", page, re.MULTILINE)
    assert len(lines) >= 35
    answers = [text if "\\boxed" in text else boxed(text) for text, _, _ in lines]
    scores = run_verifier(verify, answers, [reference for _, reference, _ in lines])
    wrong = [line for line, score in zip(lines, scores, strict=True) if (score.reward == 1.0) != (line[2] == "✓")]
    assert wrong == []


def test_reasons_say_why() -> None:
    assert verify(r"\boxed{5} or \boxed{6}", "5").reason == "two different final answers: '5' and '6'"
    assert verify("no idea", "5") == Score(0.0, "no answer found", None, {"parsed": 0.0, "value": 0.0})
    assert verify(r"\boxed{7}", "5") == Score(0.0, "'7' is not '5'", "7", {"parsed": 1.0, "value": 0.0})
    assert verify(r"\boxed{7}", 7) == Score(1.0, "the answer is '7'", "7", {"parsed": 1.0, "value": 1.0})
    assert verify(boxed(r"\prod_{i=1}^{10^9} i"), "5").reason.endswith("a product has more than 1000 factors")
    assert "a power is too large" in verify(r"\boxed{9^{9^9}}", "5").reason
    assert verify(r"\boxed{9^9^}", "5").parts["parsed"] == 0.0


@pytest.mark.parametrize("reference", ["", "  ", None, True, ["5"], {"answer": 5}, 10**5000], ids=short)
def test_a_malformed_reference_is_said(reference: object) -> None:
    with pytest.raises(UserError, match="a math reference is"):
        verify("5", reference)
    (score,) = run_verifier(verify, ["5"], [reference])
    assert score.parts == {"verifier_error": 1.0} and score.fault is Fault.REFERENCE


# -------------------------------------------------------------------------------------------- the batch


def test_a_batch_is_judged_as_its_answers_alone() -> None:
    pairs = [pair for pairs in [*EQUAL.values(), *DIFFERENT.values()] for pair in pairs]
    batch = run_verifier(verify, [boxed(a) for a, _ in pairs], [b for _, b in pairs], workers=1)
    assert batch == [verify(boxed(a), b) for a, b in pairs]
    assert pickle.loads(pickle.dumps(verify)) is verify


def test_what_takes_too_long_is_not_decided_and_is_not_asked_again() -> None:
    hard = r"\sum_{n=1}^{12345678} \sin(n^n)"
    start = time.monotonic()
    score = run_verifier(verify, [boxed(hard), boxed("5")], ["5", "5"], timeout=0.3)
    assert [s.reward for s in score] == [0.0, 1.0]
    assert score[0].parts["undecided"] == 1.0 and "could not decide in time" in score[0].reason
    assert time.monotonic() - start < 60
    start = time.process_time()
    assert verify(boxed(hard), "5") == score[0]
    assert time.process_time() - start < 0.2


# ------------------------------------------------------------------------------------ no text is ever run


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch {}')",
        r"\text{__import__('os').system('touch {}')}",
        "open('{}','w')",
        r"\int open('{}','w') dx",
        r"\lim_{{x \to 0}} exec('open(\"{}\",\"w\")')",
        "().__class__.__bases__[0].__subclasses__()",
        "{0.__class__}",
        "%s%s%s%n",
        "cos\nsystem\n(S'touch {}'\ntR.",
        "\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    ],
    ids=short,
)
def test_no_text_is_run(text: str, tmp_path) -> None:
    mark = tmp_path / "mark"
    text = text.replace("{}", str(mark))
    for completion, reference in [(boxed(text), "5"), (text, "5"), (boxed("5"), text), (boxed(text), r"\int_0^1 x dx")]:
        assert verify(completion, reference).reward == 0.0
    assert not mark.exists()


def test_the_latex_parser_sees_only_what_is_let_through() -> None:
    assert not symbolic.readable("x" * 300) and not symbolic.readable(r"\int \input{file}")
    assert not symbolic.readable("\\int 1" + "0" * 30) and not symbolic.readable(r"\int '\x'")
    with pytest.raises(ValueError, match="not readable"):
        symbolic.decide("", (r"\begin", r"\int"))


# ------------------------------------------------------------------------------------------- properties

NUMBERS = st.fractions(min_value=-1000, max_value=1000, max_denominator=200)


@given(NUMBERS, NUMBERS)
def test_rational_numbers_are_equal_when_they_are(a, b) -> None:
    spelt = rf"\frac{{{a.numerator}}}{{{a.denominator}}}"
    assert verify(boxed(spelt), f"{b.numerator}/{b.denominator}").reward == float(a == b)
    assert verify(boxed(f"{a.numerator * 3}/{a.denominator * 3}"), spelt).reward == 1.0


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_sets_have_no_order_and_tuples_have(items: list[int], rng) -> None:
    mixed = rng.sample(items, len(items))
    first, second = ",".join(map(str, items)), ", ".join(map(str, mixed))
    assert verify(boxed(rf"\{{{first}\}}"), rf"\{{{second}\}}").reward == 1.0
    assert verify(boxed(f"({first})"), f"({second})").reward == float(items == mixed)


EXPRESSIONS = st.recursive(
    st.sampled_from(["x", "y", "2", "3", r"\pi", r"\sqrt{2}", "0.5", r"\frac{1}{3}"]),
    lambda inner: (
        st.builds("({}{}{})".format, inner, st.sampled_from(["+", "-", "*", "/"]), inner)
        | st.builds("{{{}}}^{}".format, inner, st.sampled_from(["2", "3", "{-1}"]))
        | st.builds(r"\sin({})".format, inner)
    ),
    max_leaves=5,
)


@given(EXPRESSIONS, EXPRESSIONS)
@settings(max_examples=200)
def test_comparison_is_symmetric(a: str, b: str) -> None:
    first, second = read_answer(a), read_answer(b)
    assert compare(first, second) == compare(second, first)
    assert compare(first, first) is True


@given(EXPRESSIONS)
@settings(max_examples=200)
def test_normal_forms_do_not_depend_on_the_spelling(text: str) -> None:
    try:
        once = normal_form(read_expression(tidy(text)))
        again = normal_form(read_expression(tidy(f"({text})*2/2 + ({text}) - ({text})")))
    except (TooLarge, ZeroDivisionError):
        return
    assert once.terms == again.terms


SIGNS = [
    *"0123456789xyzeifABC()[]{}|,;=<>+-*/^_!.%$°∞±'\\ &~\n",
    "\x00",
    "\ud800",
    "9^9",
    "####",
    "the answer is ",
    "or",
]
COMMANDS = [
    *[
        "\\text{ million}",
        "\\text{ squared}",
        "\\mathrm{",
        "\\cap ",
        "\\setminus ",
        "\\R ",
        "\\choose ",
        "\\over ",
        "\\dot{",
    ],
    *[
        "\\overline{",
        "0.333...",
        "\\prod_{i=1}^{10^9}",
        "^\\circ",
        "\\cos ",
        "\\textcolor{red}{",
        "\\color{",
        "\\phantom{",
    ],
    *[
        "\\lfloor ",
        "\\rfloor ",
        "\\ne ",
        "\\approx ",
        "\\pm ",
        "_{\\text{eight}}",
        " base 2",
        " dozen",
        " km/h",
        "_5C_2",
        "!!",
    ],
    "\\frac",
    "\\sqrt",
    "\\{",
    "\\}",
    "\\boxed{",
    "\\text{",
    "\\sin",
    "\\log_",
    "\\pi",
    "\\cup",
    "\\in",
    "\\left",
]
FRAMES = ["\\begin{pmatrix}", "\\end{pmatrix}", "\\int", "\\sum_{n=1}^", "<answer>", "</answer>", "<think>"]
PIECES = st.sampled_from([*SIGNS, *COMMANDS, *FRAMES])
TEXTS = st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=40)


@given(TEXTS, TEXTS)
@settings(max_examples=500, deadline=None)
@example("\\boxed{" * 500, "5")
def test_every_text_has_a_reading(a: str, b: str) -> None:
    first, second = read_answer(a), read_answer(b)
    assert compare(first, second) == compare(second, first)
    assert compare(first, first) is True
    with contextlib.suppress(Unreadable):
        read_expression(tidy(a))


# ---------------------------------------------------------------------------------------------- hostile texts

HUGE = [
    "9^{9^{9^9}}",
    "9^9^9^9^9^9",
    "((((9^9)^9)^9)^9)^9",
    "2^{2^{2^{2^{2^{2}}}}}",
    "(1+x)^{999}",
    "(1+x+y+z+a+b)^{60}",
    "x^{999999999999}",
    "99999999!",
    "((((5!)!)!)!)!",
    r"\binom{10^9}{10^8}",
    r"\sqrt{9^{9^9}}",
    r"\sin(9^{9^{9}})",
    "1e999999999",
    "1" * 5_000,
    "0." + "1" * 900,
    "1/" + "9" * 900,
    r"\frac{1}{" * 200 + "2" + "}" * 200,
    r"\frac" * 300,
    r"\sqrt" * 300 + "2",
    "(" * 400 + "1" + ")" * 400,
    "{" * 1000,
    "-" * 1000 + "1",
    "x^" * 400 + "2",
    "|" * 500,
    "1+" * 499 + "1",
    "*".join(f"(x+{k})" for k in range(120)),
    "+".join(f"x_{k}" for k in range(180)),
    ",".join(map(str, range(300))),
    r"\{" * 300 + r"\}" * 300,
    "(1,(2,(3,(4,(5,(6,(7,(8,9))))))))",
    r"\begin{pmatrix}" * 50,
    r"\text{" * 200 + "a" + "}" * 200,
    r"\log_" * 200 + "2",
    r"\int " * 30 + "x dx",
    r"\sum_{n=1}^{10^{15}} n^n",
    r"\prod_{n=1}^{99999} n!",
    "\x00" * 500,
    "\ud800" * 500,
    "١٢٣",
    "%s" * 300,
    "{0}" * 300,
    "=" * 900,
    "x=" * 400 + "1",
    "<" * 900,
    "1 or " * 200,
    "±" * 100,
    "1000" + ",000" * 240,
    r"\prod_{i=1}^{10^9} i",
    r"\prod_{i=1}^{9^{9^9}} i",
    r"\prod^{10^{12}}_{k=3} \frac{k}{k+1}",
    "(9!!)!!" + "!" * 200,
    r"\binom{9^9}{9^8}",
    "9" * 400 + r"\text{ million}",
    "0." + "12" * 300 + "...",
    "|" + "x-" * 300 + "1|<2",
    "<".join("xyz" * 60),
    r"(0,1)\cup" * 80 + "(2,3)",
    r"\mathbb{R}\setminus\{" + ",".join(map(str, range(200))) + r"\}",
    r"\textcolor{red}{" * 60 + "5" + "}" * 60,
    r"\sin " * 150 + r"30^\circ",
    r"\arcsin" * 100 + "{2}",
    r"\color{" * 120,
    "1≈" * 300 + "2",
    r"5\text{ million}" * 40,
    "m^2" * 300,
    "_5C_" * 200,
    r"{1 \choose " * 30 + "2" + "}" * 30,
]


@pytest.mark.parametrize("text", HUGE, ids=short)
def test_hostile_answers_are_judged_in_time(text: str) -> None:
    start = time.monotonic()
    for completion, reference in [(boxed(text), "5"), (text, "x+1"), (boxed("5"), text), (boxed(text), r"\sin x")]:
        score = verify(completion, reference)
        assert score.reward == 0.0 and score.reason.isprintable()
    assert verify(boxed(text), text.strip() or "5").reward in (0.0, 1.0)
    assert time.monotonic() - start < 30, "at most the time limit for each question that goes to a worker"


@pytest.mark.parametrize(
    "unit",
    ["9", "(", "{", "\\boxed{", "$", "<answer>", "x^", "\\frac{", ",", "\n", "a ", "\\", "1,000 ", "=", "$1$ "],
    ids=short,
)
def test_a_megabyte_is_judged_in_time(unit: str) -> None:
    text = unit * (2**20 // len(unit))
    start = time.process_time()
    for completion in (text, f"<answer>{text}</answer>", rf"\boxed{{{text}}}"):
        assert verify(completion, "5").reward == 0.0
    assert time.process_time() - start < 6


def fuzzed(n: int, seed: int) -> list[str]:
    """Texts of every kind: grammatical, nearly so, mutilated, random, with towers and factorials among them."""
    rng = random.Random(seed)
    good = [text for families in (EQUAL, DIFFERENT) for pairs in families.values() for pair in pairs for text in pair]
    signs = [*"0123456789xyzei()[]{}|,=<>+-*/^_!.%\\ &", "\\frac", "\\sqrt{", "9^{9^", "!", "\\{", "\\text{", "\\cup"]
    texts = []
    for i in range(n):
        kind = i % 5
        if kind == 0:
            text = "".join(rng.choices(signs, k=rng.randint(1, 40)))
        elif kind == 1:
            text = rng.choice(good)
            place = rng.randrange(len(text) + 1)
            text = text[:place] + rng.choice(signs) + text[place + rng.randint(0, 2) :]
        elif kind == 2:
            text = rng.choice(good) + rng.choice(["+", ",", "^", " or ", "=", ""]) + rng.choice(good)
        elif kind == 3:
            text = "^".join(rng.choices(["9", "{9", "x", "(9!", "2}", "10", "99999999"], k=rng.randint(2, 9)))
        else:
            text = "".join(chr(rng.choice([rng.randrange(128), rng.randrange(0x3000), 0xD800])) for _ in range(30))
        texts.append(text if i % 3 else boxed(text))
    return texts


@pytest.mark.slow
def test_twenty_thousand_fuzzed_answers() -> None:
    texts = fuzzed(20_000, seed=7)
    references = ["5", r"\frac{\sqrt{3}}{2}", "x^2+1", r"\{1,2\}", "(1,2]", r"\sin x"]
    wanted = [references[i % len(references)] for i in range(len(texts))]
    start = time.monotonic()
    scores = run_verifier(verify, texts, wanted, timeout=1.0)
    assert time.monotonic() - start < 300
    assert len(scores) == len(texts) and all(isinstance(score, Score) for score in scores)
    assert {score.reward for score in scores} == {0.0, 1.0}
    assert [score.reason for score in scores if "verifier_error" in score.parts] == []
    undecided = [text for text, score in zip(texts, scores, strict=True) if "undecided" in score.parts]
    assert len(undecided) < len(texts) / 200, undecided[:20]
    here = psutil.Process()
    assert all(child.status() != psutil.STATUS_ZOMBIE for child in here.children(recursive=True))
    assert here.memory_info().rss < 4 * 2**30
