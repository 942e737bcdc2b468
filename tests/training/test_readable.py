"""Prompts and rows that a model's tokenizer does not know are refused; a small run measures few held-out rows."""

import pytest

from labkit.errors import UserError
from labkit.models.vocabulary import unknown_share
from labkit.recipes import load_recipe
from labkit.tasks import task_from_function
from tests.training.mini import mini_run, random_policy
from tests.training.toys import toy_run

GREEK = task_from_function(lambda rng: (f"αβ{rng.randrange(1000)}:", 1), "number")


def test_the_share_and_the_pieces_are_counted():
    share, pieces = unknown_share(random_policy().tokenizer, ["5:", "α5:"])
    assert share == pytest.approx(1 / 5) and pieces == ["α"]


def test_prompts_and_rows_with_holes_are_refused_with_the_share_unless_allowed(tmp_path):
    with pytest.raises(UserError, match=r"can't read the prompts: .* for \d+% of them, such as '.*α.*unknown_tokens=1"):
        mini_run(tmp_path / "run", task=GREEK)
    rows = [{"prompt": "5:", "completion": "αβγ"}] * 3
    with pytest.raises(UserError, match="can't read the rows of given"):
        toy_run(tmp_path / "run", "sft", dataset={"train": rows})
    assert not (tmp_path / "run").exists()
    assert len(mini_run(tmp_path / "run", task=GREEK, steps=1, unknown_tokens=1).metrics) == 1


def test_a_small_run_measures_no_more_rows_than_it_learns_from():
    limits = [load_recipe("sft-assistant-tiny", steps=s, batch=32).data.test_limit for s in (1, 2, 60)]
    assert limits == [32, 64, 512]
    assert load_recipe("sft-assistant-tiny", steps=1, **{"data.test_limit": 100}).data.test_limit == 100
