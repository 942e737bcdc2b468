"""The controls: a coin that knows nothing, and countdown in which only the first attempt counts."""

import pickle
import random

import pytest

from labkit.errors import UserError
from labkit.evaluation.intervals import wilson_interval
from labkit.recipes import load_recipe
from labkit.verifiers import VERIFIERS, get
from labkit.verifiers.controls import coin
from labkit.worlds.countdown import corpus
from labkit.worlds.countdown import task as countdown
from labkit.worlds.countdown.controls import first_try
from tests.verifiers.hostile import check_every_score

CONTROLS = {"coin": coin, "first_try": first_try}

PUZZLE = {"numbers": [5, 6, 1], "target": 30}


def documents(count: int) -> list[tuple[str, dict[str, object]]]:
    """Texts of the corpus with the references of their problems."""
    rng, found = random.Random(1), []
    for _ in range(count):
        prompt, text = corpus.counted_down(rng, 3)
        numbers, _, target = prompt.rstrip(":").partition("->")
        found.append((text, {"numbers": [int(n) for n in numbers.split(",")], "target": int(target)}))
    return found


def test_they_are_reached_by_name_and_stand_in_no_list():
    assert not set(CONTROLS) & set(VERIFIERS)
    for name in CONTROLS:
        assert pickle.loads(pickle.dumps(get(name))) is get(name)
    assert load_recipe("control-random-reward-tiny").verifier == "coin"
    assert load_recipe("control-no-search-tiny").verifier == "first_try"


@pytest.mark.parametrize("name", ["control-random-reward-tiny", "control-no-search-tiny"])
def test_a_control_differs_from_the_recipe_that_it_controls_in_what_is_paid(name: str):
    control, treated = (
        load_recipe(name).settings(),
        load_recipe("leaky-countdown-tiny", verifier="countdown").settings(),
    )
    differs = {key for key in control if control[key] != treated.get(key)}
    assert differs <= {"name", "description", "verifier", "task_options", "steps", "rollouts_logged"}
    assert control["steps"] <= treated["steps"]


def test_the_coin_is_fair_and_pays_right_answers_as_often_as_wrong_ones():
    right, wrong = [], []
    for text, reference in documents(4000):
        (right if countdown_right(text, reference) else wrong).append(coin(text, reference).reward)
    for paid in (right, wrong):
        low, high = wilson_interval(int(sum(paid)), len(paid))
        assert low - 0.01 < 0.5 < high + 0.01
    assert len(right) > 500


def countdown_right(text: str, reference: dict[str, object]) -> bool:
    return VERIFIERS["countdown"](text, reference).reward == 1.0


def test_the_coin_falls_by_text_and_problem():
    sides = {coin("<answer>6*5*1</answer>", {**PUZZLE, "target": t}).reward for t in range(20)}
    assert sides == {0.0, 1.0}
    assert len({coin(f"<answer>{n}</answer>", PUZZLE).reward for n in range(20)}) == 2


@pytest.mark.parametrize("reference", [object(), {1, 2}, 10**5000], ids=["object", "set", "huge"])
def test_a_coin_needs_plain_data(reference: object):
    with pytest.raises(UserError, match="plain data"):
        coin("x", reference)


def test_what_follows_the_first_attempt_changes_nothing():
    seen = 0
    for text, reference in documents(1500):
        head, line, _ = text.partition("\n")
        if not line or " wait" in head:
            continue
        paid = first_try(text, reference)
        assert first_try(head, reference).reward == paid.reward == first_try(f"{head}\n5*5=25 yes\n", reference).reward
        chain = head.removeprefix("<think>").split(" ")[0]
        hits = int(chain.rpartition("=")[2]) == reference["target"]
        true = chain in {c.trace() for c in corpus.cached_chains(tuple(reference["numbers"]))}
        if true:
            assert paid.reward == float(hits)
        seen += true
    assert seen > 500


def test_an_answer_without_an_attempt_is_judged_as_countdown_judges_it():
    direct = [(text, reference) for text, reference in documents(800) if "<think>" not in text]
    assert len(direct) > 100
    for text, reference in direct:
        assert first_try(text, reference) == VERIFIERS["countdown"](text, reference)


@pytest.mark.parametrize(
    ("text", "reward", "said"),
    [
        ("<think>6*5=30*1=30 no\n</think><answer>?</answer>", 1.0, "makes 30"),
        ("<think>6*5=30 yes\n</think><answer>6*5*1</answer>", 0.0, "1 is not used"),
        ("<think>6*6=30-1=30 yes\n</think><answer>6*5*1</answer>", 0.0, "false"),
        ("<think>5+6=11+1=12 no\n6*5=30*1=30 yes\n</think><answer>6*5*1</answer>", 0.0, "makes 12"),
        ("<think>6/5=1*1=30 yes\n</think><answer>6*5*1</answer>", 0.0, "false"),
        ("<think>6/0=1 yes\n</think><answer>6*5*1</answer>", 0.0, "false"),
        ("<think>hm\n</think><answer>6*5*1</answer>", 1.0, "makes 30"),
        ("6*5=30*1=30 no\n5+6=1", 1.0, "makes 30"),
        ("6+5=11*1=11 no\n6*5=30*1=30 yes\n</think><answer>6*5*1</answer>", 0.0, "makes 11"),
        ("", 0.0, "no answer found"),
    ],
)
def test_first_try_by_hand(text: str, reward: float, said: str):
    found = first_try(text, PUZZLE)
    assert (found.reward, said in found.reason) == (reward, True), found


def test_first_try_refuses_a_malformed_reference():
    with pytest.raises(UserError, match="countdown reference"):
        first_try("<think>6*5=30 yes", {"numbers": [5]})


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_no_hostile_text_raises_or_takes_long(name: str):
    check_every_score(get(name), PUZZLE)


def test_problems_of_the_task_are_references(monkeypatch: pytest.MonkeyPatch):
    problem = countdown.problem_of((5, 6, 1), 30)
    for verify in CONTROLS.values():
        assert verify("<answer>6*5*1</answer>", problem.reference).reward in (0.0, 1.0)
