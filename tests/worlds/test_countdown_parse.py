"""The reader of countdown traces, against the writer of chains, and on texts of any kind."""

import random
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.worlds.countdown import task as countdown
from labkit.worlds.countdown.chains import chains
from labkit.worlds.countdown.parse import read_attempts, read_line, read_start, read_thought


def test_every_chain_is_read_back_as_it_was_written():
    rng = random.Random(0)
    for count in (3, 4):
        numbers = countdown.draw(count, "train", rng).reference["numbers"]
        for chain in chains(tuple(numbers)):
            line = read_line(f"{chain.trace()} no")
            assert line is not None and line == read_line(f"{line.text} {line.verdict}")
            assert (line.text, line.verdict, line.result) == (chain.trace(), "no", chain.value)
            assert line.numbers == Counter(numbers) and line.holds
            (attempt,) = read_attempts(f"{chain.trace()} no\n")
            assert attempt == (line.text, "no")
            start = read_start(f"{chain.trace()} and so on")
            assert start is not None and (start.text, start.equations, start.verdict) == (
                line.text,
                line.equations,
                None,
            )


@pytest.mark.parametrize(
    ("chain", "holds"),
    [("1+6=7*5=35", True), ("1+6=8*5=40", False), ("1+6=7*5=36", False), ("7/2=3", False), ("0/5=0", True)],
)
def test_every_equation_of_a_chain_is_checked(chain, holds):
    line = read_line(f"{chain} yes")
    assert line is not None and line.holds is holds


@pytest.mark.parametrize(
    "text", ["6*5=30", "6*5=30  yes", "6*5=30 yes ", "6*5 yes", "٦*5=30 no", "1234567+1=1 no", " 6*5=30 no"]
)
def test_what_is_written_otherwise_is_no_line(text):
    assert read_line(text) is None


@given(st.text() | st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "6*5=30", " no", "\n"])).map("".join))
def test_any_text_can_be_read(text):
    thought = read_thought(text)
    assert all(attempt.chain and "=" in attempt.chain for attempt in read_attempts(thought.text))
    assert read_line(text) is None or read_start(text) is not None


@pytest.mark.parametrize("piece", ["1+1=1", "+1=1", "1", "=", "<think>", " no", "1+1=1 no\n"])
def test_a_long_text_takes_a_moment(piece):
    text = "1" + piece * (300_000 // len(piece))
    start = time.process_time()
    read_thought(text), read_attempts(text), read_line(text), read_start(text)
    assert time.process_time() - start < 6
