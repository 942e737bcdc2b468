"""Counters on what a policy does while it thinks."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.worlds.countdown import behaviours as b

KEYS = ["thinks", "attempts", "backtracks", "repeats", "gave_up", "verified", "reflections"]

# text, attempts, backtracks, repeats, gave_up, verified
CASES = [
    ("", 0, 0, 0, False, False),
    ("<answer>6*5*1</answer>", 0, 0, 0, False, False),
    ("<think>1+6=7*5=35 no\n6*5=30*1=30 yes\n</think><answer>6*5*1</answer>", 2, 1, 0, False, True),
    ("<think>6*5=30*1=30 yes\n</think><answer>6*5*1</answer>", 1, 0, 0, False, True),
    ("<think>1+6=7*5=35 no\n</think>", 1, 0, 0, True, False),
    ("<think>1+6=7*5=35 no\n5+6=11*1=11 no\n</think><answer>6+5</answer>", 2, 1, 0, True, False),
    ("<think>1+6=8 wait\n1+6=7*5=35 no\n6*5=30*1=30 yes\n</think>", 3, 2, 0, False, True),
    # cut off: in the middle of a chain, and after a verdict
    ("<think>1+6=7*5=35 no\n6*5", 1, 0, 0, False, False),
    ("<think>1+6=7*5=35 no\n6*5=", 2, 1, 0, False, False),
    ("<think>1+6=7*5=35 no\n", 1, 0, 0, False, False),
    # repeats: exactly the same chain, however often
    ("<think>1+6=7 no\n1+6=7 no\n6+1=7 no\n1+6=7 no\n</think>", 4, 3, 2, True, False),
    ("<think>1+6=7 no\n1 + 6 = 7 no\n</think>", 2, 1, 1, True, False),
    # an acceptance that is taken back
    ("<think>6*5=30 yes\n1+6=7 no\n</think>", 2, 0, 0, True, False),
    # no line breaks between the attempts; none of the words
    ("<think>1+6=7 no 6*5=30 yes</think>", 2, 1, 0, False, True),
    ("<think>1+6=7\n6*5=30\n</think>", 2, 0, 0, True, False),
    # a thought that the prompt opened, and no tags at all
    ("1+6=7 no\n6*5=30 yes\n</think><answer>6*5</answer>", 2, 1, 0, False, True),
    ("1+6=7 no\n6*5=30 yes\n<answer>6*5</answer>", 2, 1, 0, False, True),
    # what stands outside the thought is not counted
    ("<think></think><answer>6*5=30 no\n6*5=30 yes</answer>", 0, 0, 0, False, False),
    # no attempts: words, an assignment, a bare equality
    ("<think>no wait yes no</think>", 0, 0, 0, False, False),
    ("<think>x = 5, 3 = 3, nowhere yesterday</think>", 0, 0, 0, False, False),
    # prose of a larger model
    (
        "<think>Let me try 6 × 5 = 30. Wait, the 1 is left. So (6*5)/1 = 30. Yes!</think>",
        2,
        1,
        0,
        False,
        True,
    ),
]


@pytest.mark.parametrize(("text", "attempts", "backtracks", "repeats", "gave_up", "verified"), CASES)
def test_counters(text: str, attempts: int, backtracks: int, repeats: int, gave_up: bool, verified: bool) -> None:
    assert b.attempts(text) == attempts
    assert b.backtracks(text) == backtracks
    assert b.repeats(text) == repeats
    assert b.gave_up(text) is gave_up
    assert b.verified(text) is verified


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("<think>1+6=8 wait\n6*5=30 yes\n</think>", 1),
        ("<think>Hmm, let me try again. No, actually that fails. Let me double-check.</think>", 5),
        ("<think>there is no way to await it</think>", 0),
        ("<think>fine</think> wait, hmm", 0),
        ("WAIT", 1),
    ],
)
def test_reflections(text: str, count: int) -> None:
    assert b.reflections(text) == count


def test_all_at_once_says_the_same_as_each_alone() -> None:
    text = CASES[6][0]
    both = b.behaviours(text)
    assert list(both) == KEYS and both["thinks"] == 1.0
    for name in KEYS[1:]:
        assert both[name] == float(getattr(b, name)(text)), name
    assert b.behaviours("<answer>1</answer>")["thinks"] == 0.0


CHAINS = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([" no", " yes", " wait"])), max_size=20
)


@given(CHAINS)
@settings(max_examples=200, deadline=None)
def test_written_traces_are_read_back(lines: list[tuple[int, int, str]]) -> None:
    text = "<think>" + "".join(f"{x}+{y}={x + y}{verdict}\n" for x, y, verdict in lines) + "</think>"
    assert b.attempts(text) == len(lines)
    assert b.backtracks(text) == sum(verdict != " yes" for *_, verdict in lines[:-1])
    assert b.repeats(text) == len(lines) - len({(x, y) for x, y, _ in lines})
    assert b.verified(text) == (bool(lines) and lines[-1][2] == " yes")
    assert b.gave_up(text) == (bool(lines) and lines[-1][2] != " yes")


PIECES = [
    "<think>",
    "</think>",
    "<answer>",
    "1+6=7",
    "6*5",
    "=30",
    " no",
    " yes",
    " wait",
    "\n",
    " ",
    "\x00",
    "\ud800",
]


@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_consistent_counts(text: str) -> None:
    counts = b.behaviours(text)
    assert list(counts) == KEYS and all(type(count) is float and count >= 0 for count in counts.values())
    assert counts["backtracks"] <= max(counts["attempts"] - 1, 0)
    assert counts["repeats"] <= max(counts["attempts"] - 1, 0)
    assert counts["gave_up"] + counts["verified"] <= min(counts["attempts"], 1)
    assert counts == b.behaviours(text)


@pytest.mark.parametrize(
    "piece",
    [
        "no ",
        "1+",
        "=",
        "1+1=",
        "1+6=7 no\n",
        "<think>",
        "</think>",
        "<think></think>",
        "hm",
        "let me ",
        " ",
        "(",
        "h",
    ],
)
def test_long_text_takes_a_moment(piece: str) -> None:
    text = piece * (300_000 // len(piece))
    start = time.process_time()
    b.behaviours(text)
    assert time.process_time() - start < 1.5
