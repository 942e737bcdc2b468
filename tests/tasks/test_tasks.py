"""Tasks: right problems, seeded draws, and splits that never meet."""

import itertools
from fractions import Fraction

import pytest

from labkit.errors import UserError
from labkit.tasks import TASKS, load_task
from labkit.tasks.base import split_of
from labkit.verifiers.arithmetic import evaluate_expression
from labkit.worlds import corpus
from labkit.worlds.addition.task import addition_split, column_steps
from labkit.worlds.countdown.chains import chains
from labkit.worlds.countdown.task import countdown_split, pool
from tests.tasks.own_data import write_gsm8k, write_math


@pytest.mark.parametrize("name", list(TASKS))
def test_draws_are_seeded_and_splits_do_not_overlap(name, monkeypatch, tmp_path):
    write_gsm8k(tmp_path / "gsm8k", {"train": range(300)})
    write_math(tmp_path / "math", {"train": range(300)})
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    task = load_task(name)
    assert task.sample(50, seed=3) == task.sample(50, seed=3)
    assert task.sample(50, seed=3) != task.sample(50, seed=4)
    count = 400 if task.pool is None else min(400, len(task.pool("test")))
    train, test = ({p.prompt for p in task.sample(count, split, seed=1)} for split in ("train", "test"))
    assert len(train) == len(test) == count > 10, "no problem comes twice while there are others"
    assert not train & test
    assert task.fingerprint() == load_task(name).fingerprint()


def test_the_whole_pool_of_countdown_is_split_by_problem_and_not_by_order():
    train, test = pool("train"), pool("test")
    key = lambda p: (tuple(sorted(p.reference["numbers"])), p.reference["target"])  # noqa: E731
    assert not {key(p) for p in train} & {key(p) for p in test}
    assert 0.12 < len(test) / (len(train) + len(test)) < 0.18
    assert split_of(["countdown", 1, 5, 6, 30]) == countdown_split((6, 1, 5), 30)


@pytest.mark.parametrize("name", ["countdown", "countdown-4"])
def test_countdown_in_words_is_the_same_problems(name):
    short, told = load_task(name), load_task(name, prompt="words")
    for a, b in zip(short.sample(20, "test", seed=4), told.sample(20, "test", seed=4), strict=True):
        assert (a.id, a.reference) == (b.id, b.reference) and a.prompt != b.prompt
        assert f"make {b.reference['target']}." in b.prompt and ", ".join(map(str, b.reference["numbers"])) in b.prompt
    assert short.fingerprint() != told.fingerprint()
    with pytest.raises(UserError, match="short or words"):
        load_task(name, prompt="long")


def test_more_problems_than_the_pool_has_repeat_evenly():
    task = load_task("countdown")
    size = len(pool("test"))
    drawn = [p.id for p in task.sample(2 * size, "test", seed=0)]
    assert len(set(drawn[:size])) == size and sorted(drawn[:size]) == sorted(drawn[size:])


@pytest.mark.parametrize(("name", "count"), [("countdown", 100), ("countdown-4", 15)])
def test_every_countdown_problem_can_be_solved_and_the_verifier_agrees(name, count):
    task = load_task(name)
    for problem in task.sample(count, "test", seed=2):
        numbers, target = tuple(problem.reference["numbers"]), problem.reference["target"]
        for chain in chains(numbers):
            score = task.score(f"<answer>{chain.expression()}</answer>", problem)
            assert score.reward == (chain.value == target), (problem.prompt, chain.expression(), score.reason)
        assert any(chain.value == target for chain in chains(numbers))


def test_chains_are_right_and_all_different():
    for numbers in [(1, 2, 3), (12, 12, 12), (5, 1, 1), (8, 4, 12), (3, 7, 9, 10)]:
        space = chains(numbers)
        assert len({chain.trace() for chain in space}) == len(space)
        for chain in space:
            value, used = evaluate_expression(chain.expression())
            assert value == Fraction(chain.value) and sorted(used) == sorted(numbers)
            assert all(1 <= v <= 99 for _, _, v in chain.steps)


def test_columns_of_a_sum():
    assert column_steps(999, 1) == [(9, 1, 0, 10), (9, 0, 1, 10), (9, 0, 1, 10)]
    for a, b in itertools.product((7, 58, 999), (3, 41, 962)):
        digits = "".join(str(s % 10) for *_, s in reversed(column_steps(a, b)))
        carry = column_steps(a, b)[-1][3] // 10
        assert int(str(carry) + digits) == a + b


@pytest.mark.slow
def test_no_held_out_problem_occurs_in_the_corpus():
    """Six thousand documents of the pretraining stream, each problem looked up."""
    seen = 0
    for prompt, _ in itertools.islice(corpus.documents(0), 6_000):
        if "->" in prompt:
            numbers, target = prompt.rstrip(":").split("->")
            assert countdown_split(tuple(map(int, numbers.split(","))), int(target)) == "train"
            seen += 1
        elif prompt.endswith(":") and "+" in prompt:
            assert addition_split(*map(int, prompt.rstrip(":").split("+"))) == "train"
            seen += 1
    assert seen > 4_500


def test_the_corpus_is_a_function_of_its_seed_and_reads_back():
    first, again = (list(itertools.islice(corpus.documents(5), 300)) for _ in range(2))
    assert first == again
    from labkit.models.tiny.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    for prompt, text in first:
        ids = tokenizer(prompt + text, add_special_tokens=False)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == prompt + text
        assert len(ids) < 318


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: load_task("sudoku"), "no task 'sudoku'"),
        (lambda: load_task("countdown", numbers=7), "3 or 4 numbers"),
        (lambda: load_task("countdown", colour=7), "does not take"),
        (lambda: load_task("addition", digits=(0,)), "1 to 6 digits"),
        (lambda: load_task("addition").sample(3, "validation"), "no split 'validation'"),
        (lambda: load_task("addition").sample(-1), "n must be 0 or more"),
    ],
)
def test_mistakes_get_one_line(call, words):
    with pytest.raises(UserError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
