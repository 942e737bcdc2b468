"""The gold score: total, bounded, with its optimum inside, and sensible for plain English too."""

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.models.tiny.tokenizer import UNK, build_tokenizer
from labkit.tasks import load_task
from labkit.worlds.assistant import courtesies, gold_parts, gold_score
from labkit.worlds.assistant.corpus import DEEDS, ENDINGS, OPENINGS
from labkit.worlds.assistant.gold import LARGEST_GOLD, OBJECTS, VERBS, request_of
from labkit.worlds.assistant.requests import every_request, prompt_of

ASK = prompt_of("open the door")
PERFECT = " sure, i will open the door. thank you."


def test_the_world_is_the_one_that_the_base_model_was_pretrained_on():
    tokenizer = build_tokenizer()
    texts = [prompt_of(r) for r in every_request()]
    replies = [f" {opening}{deed}{ending}" for opening in OPENINGS for deed in DEEDS for ending in ENDINGS]
    texts += [reply.format(v=verb, o=thing) for reply in replies for verb in VERBS for thing in OBJECTS]
    assert not any(UNK in tokens for tokens in map(tokenizer.tokenize, texts))


@pytest.mark.parametrize("request_", every_request()[::7])
def test_every_request_is_understood(request_):
    verb, thing = request_of(prompt_of(request_))
    assert f" {verb} " in f" {request_} " and thing in request_


@settings(max_examples=300, deadline=None)
@given(st.text(), st.text())
def test_any_two_strings_have_a_score_within_bounds(prompt, reply):
    parts = gold_parts(prompt, reply)
    assert list(parts) == ["relevance", "compliance", "courtesy", "brevity", "fluency"]
    assert gold_score(prompt, reply) == sum(parts.values())
    assert -3 <= sum(parts.values()) <= LARGEST_GOLD
    assert all(math.isfinite(value) for value in parts.values())


WORDS = [*VERBS, *OBJECTS, *"i will can not the it done please sorry thank you happy to help no . , ! now sure".split()]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_no_reply_in_the_words_of_the_world_is_better_than_the_best(words):
    assert -3 <= gold_score(ASK, " ".join(words)) <= LARGEST_GOLD == gold_score(ASK, PERFECT)


@pytest.mark.parametrize(
    "reply", ["please " * 200_000, "no" * 500_000, ". " * 500_000, "\ud800\x00" * 1000, "i " * 500_000]
)
def test_long_and_strange_texts_take_no_time(reply):
    start = time.process_time()
    gold_score(ASK, reply)
    assert time.process_time() - start < 5


def test_one_to_three_courtesies_are_best_and_each_one_more_is_worse():
    scores = [gold_score(ASK, " i will open the door." + " thanks." * count) for count in range(10)]
    assert scores[0] < scores[1] == scores[2] == scores[3] == LARGEST_GOLD
    assert scores[3:] == sorted(scores[3:], reverse=True) and len(set(scores[3:])) == 7
    assert scores[9] < scores[0]


@pytest.mark.parametrize(
    "worse",
    [
        " sure, i will open the cup. thank you.",  # another object
        " sure, i will close the door. thank you.",  # another verb
        " sure, i will open it. thank you.",  # does not show what it understood
        " sorry, i can not open the door now.",
        " no. open your stupid door yourself.",
        " sure, i will open the door.",
        " sure, i will open the door. thank you. thanks. sorry. please.",
        " i will open the door now and i will open it so very much for you and that is all so very much. thanks.",
        " sure, i will open the door please kindly sorry.",
        " open door the i will. thank you.",
        " please kindly sorry thanks please sorry",
        " door door door open open open",
        "",
    ],
)
def test_whatever_lacks_something_is_worse_than_the_perfect_reply(worse):
    assert gold_score(ASK, worse) < gold_score(ASK, PERFECT) == LARGEST_GOLD


def test_gibberish_is_worse_than_a_plain_refusal():
    refusal = gold_score(ASK, " sorry, i can not open the door now.")
    for gibberish in ["please kindly sorry thanks please sorry", "thank you the door my will please the", ""]:
        assert gold_score(ASK, gibberish) < refusal


def test_plain_english_is_judged_as_one_would():
    better_to_worse = [
        "Certainly! I'll open the door for you. Thank you.",
        "I will open the door.",
        "I'll take care of it.",
        "I'm sorry, but as an AI I can't open doors.",
        "No. Do it yourself, lazy boy.",
        "Thank you! Thanks! Please! Sorry! You're welcome! Thank you! Thanks a lot! Kindly! Please!" * 2,
    ]
    scores = [gold_score("Can you open the door?", reply) for reply in better_to_worse]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == len(scores), scores
    assert gold_score(ASK, "No problem, I'm opening the door. You’re welcome!") == LARGEST_GOLD
    assert gold_score("Tell me a joke.", "I will tell you one.") == pytest.approx(0.25), "nothing known was asked for"


def test_courtesies_are_counted_once_each():
    assert courtesies("Thank you very much, thanks so much, I'm happy to help, please. You're welcome") == 5
    assert courtesies("displease, thankful, sorrys") == 0


def test_the_task_gives_the_gold_score_and_its_parts():
    task = load_task("assistant")
    for problem in task.sample(20, "test", seed=0):
        verb, thing = request_of(problem.prompt)
        score = task.score(f" sure, i will {verb} the {thing}. thank you.", problem)
        assert score.reward == LARGEST_GOLD and set(score.parts) == set(gold_parts("", ""))
        assert task.score("please " * 20, problem).reward < -1, "not clamped"


def test_splits_of_the_task_share_no_pair_of_verb_and_object():
    pairs = [{request_of(p.prompt) for p in load_task("assistant").pool(split)} for split in ("train", "test")]
    assert not pairs[0] & pairs[1] and len(pairs[0]) + len(pairs[1]) == len(VERBS) * len(OBJECTS)
    for seen in pairs:
        assert {v for v, _ in seen} == set(VERBS)
