"""Where tasks come from: folders, files, functions, templates, reasoning-gym; splits, seeds, fingerprints, mistakes."""

import json
import pickle
import re
import socket
import sys
from fractions import Fraction

import pytest

from labkit.cli import main
from labkit.errors import UserError
from labkit.tasks import (
    TASKS,
    availability,
    gsm8k,
    load_task,
    math_problems,
    stored,
    task_from_file,
    task_from_function,
)
from labkit.tasks.instruction_prompts import CLASHES, KINDS, REQUESTS, request_split
from labkit.tasks.word_templates import TEMPLATES
from labkit.verifiers import Score
from labkit.verifiers.instructions import CHECKS
from tests.tasks.own_data import write_gsm8k, write_lines, write_math


def one_line(call, *words):
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    for word in words:
        assert word in str(caught.value), str(caught.value)


def disjoint(task, n=200):
    train, test = ({p.prompt for p in task.sample(n, split, seed=5)} for split in ("train", "test"))
    assert train and test and not train & test
    assert task.sample(20, seed=1) == task.sample(20, seed=1) != task.sample(20, seed=2)


# ---------------------------------------------------------------------------------------------------- gsm8k


def test_gsm8k_of_a_folder_with_both_files_keeps_its_splits(monkeypatch, tmp_path):
    write_gsm8k(tmp_path / "gsm8k", {"train": range(30), "test": range(25, 40)})  # 25 to 29 stand in both
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    task = load_task("gsm8k")
    assert len(task.pool("test")) == 15 and len(task.pool("train")) == 25
    disjoint(task)
    problem = task.sample(1, "test")[0]
    assert problem.prompt.count("####") == 1
    assert task.score(f"I add.\n#### {problem.reference}", problem).reward == 1.0
    assert task.score("#### 7", problem).reward == 0.0
    row = gsm8k.gsm8k_rows("train")[0]
    assert row["question"] in task.pool("train")[0].prompt and "<<" in row["answer"]


def test_gsm8k_of_train_alone_holds_out_by_hash_and_says_so(monkeypatch, tmp_path):
    write_gsm8k(tmp_path / "gsm8k", {"train": range(400)})
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    task = load_task("gsm8k")
    assert 0.1 < len(task.pool("test")) / 400 < 0.2
    assert "held out of train by hash" in task.description and str(tmp_path) not in task.description
    held_out = {p.prompt for p in task.pool("test")}
    first = task.fingerprint()
    write_gsm8k(tmp_path / "gsm8k", {"train": range(200)})  # a problem's split does not hang on the others
    assert {p.prompt for p in load_task("gsm8k").pool("test")} <= held_out
    assert load_task("gsm8k").fingerprint() != first


def test_gsm8k_that_is_nowhere_is_told_at_once_in_one_line(monkeypatch, tmp_path):
    def no_network(*_, **__):
        raise socket.gaierror("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_DATASETS_CACHE", raising=False)
    stored._from_hub.cache_clear()
    one_line(lambda: load_task("gsm8k"), "LABKIT_DATA", "openai/gsm8k", "no network")
    one_line(lambda: load_task("math"), "LABKIT_DATA", "math/train.jsonl", "no network")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (['{"question": "a", "answer": "#### 1"}', "{oops"], ["train.jsonl, line 2: not JSON"]),
        (['{"question": "a", "answer": "1"}'], ["line 1", "ends in #### x"]),
        (['{"question": "a"}'], ["line 1"]),
        ([], ["is empty"]),
        (['{"question": "a", "answer": "#### 1"}'], ["no problem in the split"]),
    ],
)
def test_gsm8k_mistakes(monkeypatch, tmp_path, lines, words):
    write_lines(tmp_path / "gsm8k" / "train.jsonl", lines)
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    one_line(lambda: load_task("gsm8k"), *words)


# ----------------------------------------------------------------------------------------------------- MATH


def test_math_of_a_folder_keeps_its_splits_and_judges_as_mathematics(monkeypatch, tmp_path):
    write_math(tmp_path / "math", {"train": range(1, 60), "test": range(50, 80)})  # 50 to 59 stand in both
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    task = load_task("math")
    assert len(task.pool("train")) == 49 and len(task.pool("test")) == 30
    disjoint(task)
    problem = next(p for p in task.pool("test") if p.reference == r"\frac{64}{2}")
    assert task.score(r"Half of 64 is $\boxed{32}$.", problem).reward == 1.0
    assert task.score(r"\boxed{64}", problem).reward == 0.0
    hard = load_task("math", levels=[5])
    assert {p.reference for p in hard.pool("test")} == {rf"\frac{{{n}}}{{2}}" for n in (54, 59, 64, 69, 74, 79)}
    assert hard.fingerprint() != task.fingerprint()
    rows = math_problems.demonstrations("train")
    assert all(task.score(row["completion"], p).reward == 1.0 for row, p in zip(rows, task.pool("train"), strict=True))
    one_line(lambda: load_task("math", levels=6), "from 1 to 5")


def test_math_takes_answers_as_they_are_and_tells_rows_without_one(monkeypatch, tmp_path):
    rows = [{"problem": f"Add $1$ to ${n}$.", "answer": n + 1} for n in range(40)]
    write_lines(tmp_path / "math" / "train.jsonl", rows)
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    task = load_task("math", levels=1)  # a row that names no level is in all of them
    assert len(task.pool("train")) + len(task.pool("test")) == 40 and "by hash" in task.description
    assert math_problems.demonstrations("train") == []
    write_lines(tmp_path / "math" / "train.jsonl", [{"problem": "What?", "solution": "No box."}])
    one_line(lambda: load_task("math"), "line 1", "boxed")


# -------------------------------------------------------------------------------------------- word problems


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_every_template_states_a_problem_with_a_whole_answer(name):
    import random

    rng = random.Random(0)
    for largest in (10, 20, 500):
        for _ in range(200):
            drawn = TEMPLATES[name][1](rng, largest)
            assert isinstance(drawn.answer, int) and drawn.answer >= 0
            text = drawn.text.format(a="Ada", b="Ben", thing="pens", place="a shop")
            assert text.endswith("?") and "{" not in text
            numbers = {int(n) for n in re.findall(r"[0-9]+", text)}
            spoken = {2, 3, 4} if name == "twice_as_many" else set()
            assert set(drawn.numbers) - spoken <= numbers, "the key of the split is what the text says"
            assert min(drawn.numbers) >= 1


def test_answers_of_word_problems_by_hand():
    """Solved from the numbers alone, apart from the templates' own way."""
    solve = {
        "get_more": lambda x, y: x + y,
        "give_away": lambda x, y: x - y,
        "boxes": lambda x, y: x * y,
        "share": lambda total, y: Fraction(total, y),
        "difference": lambda x, y: x - y,
        "three_sums": lambda x, y, z: x + y - z,
        "twice_as_many": lambda x, k: x + k * x,
        "change_money": lambda n, price, paid: paid - n * price,
        "earn_and_spend": lambda h, wage, spent: h * wage - spent,
        "pages_left": lambda pages, read, a_day: Fraction(pages - read, a_day),
        "half_then_more": lambda x, y: Fraction(x, 2) + y,
        "two_prices": lambda n, x, m, y: n * x + m * y,
        "crates_sold": lambda crates, each, broken, bag: Fraction(crates * each - broken, bag),
        "savings": lambda price, had, got, spent: Fraction(price - had, got - spent),
        "classes": lambda x, y, t, seats: next(v for v in range(10**4) if v * seats >= x + y + t),
        "relay_ages": lambda x, gap, years: (x + years) + (x + gap + years),
    }
    assert set(solve) == set(TEMPLATES)
    task = load_task("word_problems", largest=60)
    for problem in task.sample(600, "train", seed=1):
        _, name, numbers = problem.id.split("/")
        answer = solve[name](*map(int, numbers.split(",")))
        assert answer == problem.reference, problem
        assert task.score(f"#### {problem.reference}", problem).reward == 1.0
        assert task.score(f"#### {problem.reference + 1}", problem).reward == 0.0


def test_word_problems_hold_out_numbers_and_not_only_names():
    task = load_task("word_problems")
    disjoint(task)
    train, test = ({p.id for p in task.sample(500, split)} for split in ("train", "test"))
    assert not train & test
    easy = load_task("word_problems", steps=1)
    assert {TEMPLATES[p.id.split("/")[1]][0] for p in easy.sample(100)} == {1}
    one_line(lambda: load_task("word_problems", steps=4), "1, 2 or 3 steps")
    one_line(lambda: load_task("word_problems", largest=1), "from 10 to 10000")


# --------------------------------------------------------------------------------------------- instructions


def test_instructions_hold_out_whole_requests_and_pass_their_own_verifier():
    task = load_task("instructions")
    disjoint(task)
    request = lambda p: max((r for r in REQUESTS if p.prompt.startswith(r)), key=len)  # noqa: E731
    seen = set()
    for split in ("train", "test"):
        for problem in task.sample(300, split, seed=2):
            assert request_split(request(problem)) == split
            ids = problem.reference["instruction_id_list"]
            assert 1 <= len(ids) <= 3 and len(set(ids)) == len(ids)
            assert not [pair for pair in CLASHES if pair <= set(ids)]
            score = task.score("Some words.", problem)
            assert "verifier_error" not in score.parts and set(score.parts) == {*ids, "all", "fraction"}
            seen |= set(ids)
    assert seen == {name for _, name, _ in KINDS} <= set(CHECKS)
    assert len(REQUESTS) == len(set(REQUESTS)) >= 40
    assert 3 <= sum(request_split(r) == "test" for r in REQUESTS) <= 10


def test_options_of_instructions():
    fraction = load_task("instructions", reward="fraction", mode="loose").sample(1)[0].reference
    assert (fraction["reward"], fraction["mode"]) == ("fraction", "loose")
    assert all(len(p.reference["kwargs"]) == 1 for p in load_task("instructions", most=1).sample(50))
    one_line(lambda: load_task("instructions", most=4), "1 to 3")
    one_line(lambda: load_task("instructions", mode="lax"), "strict or loose")


# -------------------------------------------------------------------------------------------- reasoning-gym


@pytest.mark.parametrize("name", ["chain_sum", "gcd", "letter_counting", "spell_backward", "leg_counting"])
def test_reasoning_gym_with_its_own_scorer(name):
    reasoning_gym = pytest.importorskip("reasoning_gym")
    task = load_task(f"reasoning_gym:{name}")
    disjoint(task, 60)
    assert task.fingerprint() == load_task(f"reasoning_gym:{name}").fingerprint()
    problem = task.sample(1, "test", seed=3)[0]
    json.dumps(problem.reference)
    config = problem.reference["config"]
    item = reasoning_gym.create_dataset(name, **config)[problem.reference["index"]]
    assert item["question"].strip() in problem.prompt, "a problem is a function of seed and index"
    right = task.score(f"<think>hm</think><answer>{item['answer']}</answer>", problem)
    assert right.reward == 1.0 and right.extracted == item["answer"]
    assert task.score("<answer>no idea</answer>", problem).reward < 1.0
    assert task.score("no tags", problem) == Score(0.0, "no answer found", None, {"value": 0.0})
    assert pickle.loads(pickle.dumps(task)).sample(1, seed=3) == task.sample(1, seed=3)


def test_options_of_reasoning_gym_are_the_data_sets_own():
    pytest.importorskip("reasoning_gym")
    small = load_task("reasoning_gym:chain_sum", min_terms=2, max_terms=2, min_digits=1, max_digits=1)
    assert all(len(re.findall(r"[0-9]+", p.prompt)) == 2 for p in small.sample(20))
    assert small.fingerprint() != load_task("reasoning_gym:chain_sum").fingerprint()
    other = load_task("reasoning_gym:chain_sum", seed=1, min_terms=2, max_terms=2, min_digits=1, max_digits=1)
    one, two = ({p.prompt for p in t.sample(60, s)} for t, s in ((small, "train"), (other, "test")))
    assert not one & two, "what is held out with one seed is held out with every seed"
    one_line(lambda: load_task("reasoning_gym:chain_sums"), "did you mean chain_sum")
    one_line(lambda: load_task("reasoning_gym:"), "no data set")
    one_line(lambda: load_task("reasoning_gym:chain_sum", colour=3), "does not take these options", "colour")
    one_line(lambda: load_task("reasoning_gym:chain_sum", min_terms=-1), "does not take these options")


def test_reasoning_gym_judged_by_the_last_number():
    pytest.importorskip("reasoning_gym")
    options = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    plain = load_task("reasoning_gym:chain_sum", **options)
    task = load_task("reasoning_gym:chain_sum", scorer="number", **options)
    problem = task.sample(1, "test")[0]
    assert "<answer>" not in problem.prompt and plain.sample(1, "test")[0].prompt.startswith(problem.prompt)
    wrong = int(problem.reference) + 1
    assert task.score(f"First I thought {wrong}. It is {problem.reference}", problem).reward == 1.0
    assert task.score(f"<answer>{wrong}</answer> or {problem.reference}", problem).reward == 0.0
    assert plain.score(f"It is {problem.reference}", plain.sample(1, "test")[0]).reward == 0.0
    ended = load_task("reasoning_gym:chain_sum", scorer="number", ending=" Say it.", **options)
    assert ended.sample(1, "test")[0].prompt == problem.prompt + " Say it."
    assert len({t.fingerprint() for t in (plain, task, ended)}) == 3
    one_line(lambda: load_task("reasoning_gym:chain_sum", scorer="words"), "own or number")
    one_line(lambda: load_task("reasoning_gym:spell_backward", scorer="number"), "are no numbers")


def test_reasoning_gym_that_is_not_installed_is_told_with_the_fix(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym.factory", None)
    one_line(lambda: load_task("reasoning_gym:chain_sum"), "pip install reasoning-gym")


def test_a_scorer_that_raises_ends_nothing(monkeypatch):
    pytest.importorskip("reasoning_gym")
    from labkit.tasks import procedural

    class Broken:
        def score_answer(self, answer, entry):
            raise RuntimeError("broken scorer")

        def __getitem__(self, index):
            return {}

    task = load_task("reasoning_gym:gcd")
    problem = task.sample(1)[0]
    monkeypatch.setattr(procedural, "_data_set", lambda name, config: Broken())
    score = task.score("<answer>4</answer>", problem)
    assert score.reward == 0.0 and "broken scorer" in score.reason and score.parts["verifier_error"] == 1.0


# ------------------------------------------------------------------------------------------------- own file

ROWS = [{"prompt": f"Double {n}.", "reference": 2 * n} for n in range(60)]


def test_a_file_of_json_lines(tmp_path):
    file = write_lines(tmp_path / "doubles.jsonl", ["", *ROWS, "  "])
    for task in (load_task(f"file:{file}", verifier="number"), load_task(str(file), verifier="number")):
        assert task.name == "doubles" and len(task.pool("train")) + len(task.pool("test")) == 60
        disjoint(task, 5)
        problem = task.sample(1, "test")[0]
        assert problem.reference == 2 * int(re.search("[0-9]+", problem.prompt)[0])
        assert task.score(f"It is {problem.reference}.", problem).reward == 1.0
    assert pickle.loads(pickle.dumps(task)).sample(3) == task.sample(3)
    own = task_from_file(file, verifier=lambda completion, reference: completion == str(reference))
    problem = own.sample(1)[0]
    assert own.score(str(problem.reference), problem).reward == 1.0


def test_the_fingerprint_covers_every_line_of_a_file(tmp_path):
    rows = [{"prompt": f"Double {n}.", "reference": 2 * n} for n in range(500)]
    prints = set()
    for k in (None, 0, 250, 499):  # most lines are not among the problems that a fingerprint samples
        changed = [row | {"reference": 1} if n == k else row for n, row in enumerate(rows)]
        prints.add(load_task(str(write_lines(tmp_path / "x.jsonl", changed)), verifier="number").fingerprint())
    assert len(prints) == 4
    moved = load_task(str(write_lines(tmp_path / "deeper" / "x.jsonl", rows)), verifier="number")
    assert moved.fingerprint() in prints, "where the file lies does not matter"


def test_splits_of_a_file(tmp_path):
    said = [{"prompt": "a", "reference": 1, "split": "test"}, {"prompt": "b", "reference": 1, "split": "train"}]
    task = load_task(str(write_lines(tmp_path / "said.jsonl", said)), verifier="number")
    assert [p.prompt for p in task.pool("test")] == ["a"] and [p.prompt for p in task.pool("train")] == ["b"]
    two = [{"prompt": "a", "reference": 1}, {"prompt": "b", "reference": 1}]
    task = load_task(str(write_lines(tmp_path / "two.jsonl", two)), verifier="number")
    assert len(task.pool("test")) == len(task.pool("train")) == 1
    file = write_lines(tmp_path / "train.jsonl", ROWS[:50])
    held_out = write_lines(tmp_path / "test.jsonl", ROWS[50:])
    task = load_task(f"file:{file}", verifier="number", test=held_out)
    assert {len(task.pool("train")), len(task.pool("test"))} == {50, 10}
    overlap = write_lines(tmp_path / "overlap.jsonl", ROWS[45:])
    one_line(lambda: load_task(f"file:{file}", verifier="number", test=overlap), "overlap.jsonl:1", "too")


def test_columns_by_other_names_and_a_verifier_a_line(tmp_path):
    rows = [{"q": f"Add {n}.", "a": n, "verifier": "number"} for n in range(20)]
    rows += [{"q": f"No comma {n}.", "a": {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
              "verifier": "instructions"} for n in range(20)]  # fmt: skip
    task = load_task(str(write_lines(tmp_path / "mixed.jsonl", rows)), prompt="q", reference="a")
    for problem in task.sample(30):
        if problem.prompt.startswith("No"):
            assert task.score("a, b", problem).reward == 0.0 and task.score("a b", problem).reward == 1.0
        else:
            assert task.score(f"#### {problem.reference['reference']}", problem).reward == 1.0
    assert "verifier_error" not in task.score("x", problem).parts


@pytest.mark.parametrize(
    ("lines", "options", "words"),
    [
        ([ROWS[0], "{oops", ROWS[1]], {"verifier": "number"}, ["line 2: not JSON", "oops"]),
        ([ROWS[0], "[1]"], {"verifier": "number"}, ["line 2", "an object is needed, not a list"]),
        (["[" * 100_000], {"verifier": "number"}, ["line 1: not JSON"]),
        ([ROWS[0], {"prompt": "a"}], {"verifier": "number"}, ["line 2: no 'reference'; it has 'prompt'"]),
        ([{"prompt": 3, "reference": 3}], {"verifier": "number"}, ["line 1: 'prompt' is a text"]),
        ([{"prompt": " ", "reference": 3}], {"verifier": "number"}, ["line 1: 'prompt' is a text"]),
        (ROWS, {}, ["line 1: which verifier?"]),
        (ROWS, {"verifier": "numbr"}, ["line 1: unknown verifier 'numbr'"]),
        ([ROWS[0], {"prompt": "x", "reference": "cat"}], {"verifier": "number"}, ["line 2"]),
        ([ROWS[0] | {"split": "dev"}], {"verifier": "number"}, ["line 1: 'split' is train or test"]),
        ([ROWS[0] | {"split": "train"}], {"verifier": "number"}, ["no line with the split test"]),
        ([ROWS[0] | {"split": "train"}, ROWS[0] | {"split": "test"}], {"verifier": "number"}, ["x.jsonl:2", "too"]),
        ([ROWS[0]], {"verifier": "number"}, ["one problem; two or more"]),
        ([], {"verifier": "number"}, ["is empty"]),
        (ROWS, {"verifier": "number", "colour": 1}, ["does not take these options"]),
    ],
)
def test_mistakes_in_a_file_name_the_line(tmp_path, lines, options, words):
    file = write_lines(tmp_path / "x.jsonl", lines)
    one_line(lambda: load_task(f"file:{file}", **options), *words)


def test_a_file_that_cannot_be_read(tmp_path):
    one_line(lambda: load_task("file:nowhere.jsonl", verifier="number"), "cannot read nowhere.jsonl")
    one_line(lambda: load_task(f"file:{tmp_path}", verifier="number"), "cannot read")
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe\x00")
    one_line(lambda: load_task(str(tmp_path / "x.jsonl"), verifier="number"), "not UTF-8")


# --------------------------------------------------------------------------------------------- own function


def double(rng):
    """Double a number."""
    n = rng.randrange(1000)
    return f"Double {n}.", 2 * n


def test_a_function_in_three_lines():
    task = task_from_function(double, verifier="number")
    assert (task.name, task.description) == ("double", "Double a number.")
    disjoint(task, 100)
    problem = task.sample(1, "test")[0]
    assert task.score(f"#### {problem.reference}", problem).reward == 1.0
    assert task.fingerprint() == task_from_function(double, verifier="number").fingerprint()
    assert pickle.loads(pickle.dumps(task)).sample(2) == task.sample(2)
    own = task_from_function(double, lambda completion, reference: 0.5, name="halves")
    assert own.score("x", own.sample(1)[0]).reward == 0.5


def test_mistakes_in_a_function():
    one_line(lambda: task_from_function(double, "numbr"), "unknown verifier")
    one_line(lambda: task_from_function(lambda rng: "text", "number").sample(1), "must return (prompt, reference)")
    one_line(lambda: task_from_function(lambda rng: (3, 3), "number").sample(1), "must return (prompt, reference)")
    constant = task_from_function(lambda rng: ("always", 1), "number")
    one_line(lambda: [constant.sample(1, split) for split in ("train", "test")], "more different prompts")


# ------------------------------------------------------------------------------------------------- the list


def test_labkit_tasks_lists_every_task_and_whether_it_is_at_hand(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.setattr("sys.argv", ["labkit", "tasks", "--json"])
    with pytest.raises(SystemExit) as done:
        main()
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert done.value.code == 0
    assert list(rows) == [*TASKS, "reasoning_gym:NAME", "file:PATH"]
    for name in ("gsm8k", "math"):
        assert not rows[name]["at_hand"] and "LABKIT_DATA" in rows[name]["where"]
    assert all(rows[name]["example"] for name in TASKS if name not in ("gsm8k", "math"))
    write_gsm8k(tmp_path / "gsm8k", {"train": range(50)})
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    assert next(row for row in availability() if row["name"] == "gsm8k")["at_hand"]


def test_an_unknown_task_is_told_with_the_closest_name():
    one_line(lambda: load_task("word_problem"), "did you mean word_problems", "reasoning_gym:NAME", "file:PATH")
