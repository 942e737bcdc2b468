"""Simulated annotators: Bradley-Terry frequencies, limits of the noise, biases, and errors."""

import math

import pytest

from labkit.errors import UserError
from labkit.worlds.assistant import agreement, annotate, gold_score, rate, unlabelled, utility

ASK = "user: open the door\nbot:"
GOOD, PLAIN = " i will open the door. thanks.", " i will open the door."  # gold 1 and 0.75
PILED = " i will open the door." + " thanks." * 5  # gold 0.75
PAIR = {"prompt": ASK, "a": GOOD, "b": PLAIN}


def share_of(reply, rows):
    return sum(row["chosen"] == reply for row in rows) / len(rows)


@pytest.mark.parametrize("temperature", [0.1, 0.25, 1.0])
def test_labels_have_bradley_terry_frequencies(temperature):
    rows = annotate([PAIR] * 2000, seed=3, temperature=temperature)
    expected = 1 / (1 + math.exp(-0.25 / temperature))
    assert share_of(GOOD, rows) == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 2000))


def test_order_does_not_matter_to_the_frequencies():
    turned = {"prompt": ASK, "a": PLAIN, "b": GOOD}
    rows = annotate([turned] * 2000, seed=3, temperature=0.25)
    assert share_of(GOOD, rows) == pytest.approx(1 / (1 + math.exp(-1)), abs=0.045)


def test_without_noise_gold_decides_and_with_endless_noise_a_coin():
    assert agreement(annotate([PAIR] * 100, seed=0, temperature=0)) == 1
    assert share_of(GOOD, annotate([PAIR] * 1000, seed=0, temperature=math.inf)) == pytest.approx(0.5, abs=0.06)
    same = annotate([{"prompt": ASK, "a": PLAIN, "b": PILED}] * 1000, seed=0, temperature=0)
    assert share_of(PLAIN, same) == pytest.approx(0.5, abs=0.06), "equally good"


def test_a_bias_for_courtesy_turns_the_preference():
    pair = {"prompt": ASK, "a": GOOD, "b": PILED}
    assert annotate([pair], seed=0, temperature=0)[0]["chosen"] == GOOD
    assert annotate([pair], seed=0, temperature=0, bias=0.2)[0]["chosen"] == PILED
    assert utility(ASK, PILED, 0.2) == pytest.approx(gold_score(ASK, PILED) + 5 * 0.2)
    assert utility(ASK, PILED, {"words": 0.1}) == pytest.approx(gold_score(ASK, PILED) + 10 * 0.1)


def test_labels_are_seeded_and_no_pair_depends_on_those_around_it():
    pairs = [PAIR, {"prompt": ASK, "a": PILED, "b": PLAIN}] * 50
    assert annotate(pairs, seed=1) == annotate(pairs, seed=1) != annotate(pairs, seed=2)
    assert annotate(pairs[:30], seed=1) == annotate(pairs, seed=1)[:30]


def test_pairs_can_be_labelled_anew():
    rows = annotate([PAIR, {"prompt": ASK, "a": PILED, "b": PLAIN}] * 200, seed=1, temperature=math.inf)
    pairs = unlabelled(rows)
    assert [{p["a"], p["b"]} for p in pairs] == [{r["chosen"], r["rejected"]} for r in rows]
    first = sum(p["a"] == r["chosen"] for p, r in zip(pairs, rows, strict=True)) / len(rows)
    assert 0.4 < first < 0.6, "the order gives the label away"
    assert agreement(annotate(pairs, seed=0, temperature=0)) == 1


def test_thumbs():
    replies = [{"prompt": ASK, "completion": text} for text in (GOOD, PLAIN, "no!")]
    rows = rate(replies, seed=0, threshold=0.8, temperature=0)
    assert [row["label"] for row in rows] == [True, False, False]
    noisy = rate(replies[:1] * 2000, seed=0, threshold=0.75, temperature=0.25)
    assert sum(row["label"] for row in noisy) / 2000 == pytest.approx(1 / (1 + math.exp(-1)), abs=0.045)


def test_agreement_of_nothing_is_not_a_number():
    assert math.isnan(agreement([]))
    assert math.isnan(agreement([{"prompt": ASK, "chosen": PLAIN, "rejected": PILED}]))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: annotate([PAIR], seed=0, temperature=-1), "temperature must be 0 or more"),
        (lambda: annotate([PAIR], seed=0, temperature=math.nan), "temperature must be 0 or more"),
        (lambda: annotate([PAIR], seed=0, bias={"charm": 1.0}), "no bias 'charm'"),
        (lambda: annotate([PAIR], seed=0, bias=math.inf), "a bias is a finite number"),
        (lambda: annotate([PAIR, {"prompt": ASK, "a": GOOD}], seed=0), "row 1 has no text 'b'"),
        (lambda: rate([{"prompt": ASK}], seed=0, threshold=0), "row 0 has no text 'completion'"),
    ],
)
def test_mistakes_are_told_in_one_line(call, message):
    with pytest.raises(UserError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_difference_beyond_all_floats_is_no_error():
    rows = annotate([PAIR, {"prompt": ASK, "a": PLAIN, "b": GOOD}], seed=0, temperature=1e-12)
    assert [row["chosen"] for row in rows] == [GOOD, GOOD]
