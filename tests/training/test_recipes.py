"""Recipes: what is accepted, and what is said about the rest."""

import pytest

from labkit.errors import UserError
from labkit.recipes import is_pipeline, list_recipes, load_recipe, paths
from labkit.recipes.files import summaries
from labkit.recipes.pipeline import load_pipeline, stage_recipe


def test_every_recipe_that_ships_is_described():
    recipes = list_recipes()
    assert {"r1-zero-tiny", "rlvr-addition-tiny"} <= set(recipes)
    assert all(description for description in recipes.values())


@pytest.mark.parametrize("row", summaries(), ids=lambda row: row["name"])
def test_every_recipe_that_ships_is_valid_and_listed_as_what_it_is(row):
    """The list reads the files as they are; here they are checked in full."""
    name = row["name"]
    plan = load_pipeline(name) if is_pipeline(name) else load_recipe(name)
    expected = {key: getattr(plan, key) for key in ("name", "model", "task", "description")}
    if is_pipeline(name):
        expected |= {"trainer": "pipeline", "algorithm": "pipeline", "steps": f"{len(plan.stages)} stages"}
    else:
        expected |= {key: getattr(plan, key) for key in ("trainer", "algorithm", "steps")}
    assert row == expected


def test_settings_of_a_stages_recipe_are_reached_by_name():
    changed = load_pipeline("r1-pipeline-tiny", **{"cold-start.data.batch": 8, "cold-start.data.rows": 12})
    stage = changed.stage("cold-start")
    assert stage_recipe(changed, stage).data.batch == 8 and stage.data.rows == 12
    for key in ("cold-start.data.bach", "cold-start.data.rowz", "rejection.harvest.promts", "reasoning-rl.stepps"):
        with pytest.raises(UserError, match=key.split(".")[-1]):
            load_pipeline("r1-pipeline-tiny", **{key: 8})


def test_overrides_reach_nested_keys():
    recipe = load_recipe("r1-zero-tiny", steps=7, lr=1e-3, **{"sampling.prompts": 4})
    assert (recipe.steps, recipe.optimizer.lr, recipe.sampling.prompts) == (7, 1e-3, 4)
    assert recipe.sampling.max_new_tokens == load_recipe("r1-zero-tiny").sampling.max_new_tokens


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"stepps": 3}, "did you mean 'steps'"),
        ({"optimizer.lrr": 3}, "no key 'optimizer.lrr'"),
        ({"seed.x": 1}, "seed"),
        ({"sampling.temperature": 0}, "sampling.temperature"),
        ({"steps": "many"}, "steps"),
        ({"algorithm": "magic"}, "unknown algorithm 'magic'"),
        ({"algorithm_options": {"clip": 1}}, "algorithm_options has no 'clip'"),
        ({"algorithm_options": {"aggregate": "sum"}}, "aggregate"),
        ({"samples": 3.5}, "samples"),
    ],
)
def test_mistakes_get_one_line_that_names_the_mend(overrides, words):
    with pytest.raises(UserError, match=words) as caught:
        load_recipe("r1-zero-tiny", **overrides)
    assert "\n" not in str(caught.value)


def test_unknown_recipe_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match="did you mean 'r1-zero-tiny'"):
        load_recipe("r1-zero-tyni")
    bad = tmp_path / "bad.yaml"
    bad.write_text("steps: [1")
    with pytest.raises(UserError, match="cannot read recipe"):
        load_recipe(bad)


def test_keys_are_listed_with_their_paths():
    assert {"steps", "optimizer.lr", "sampling.prompts"} <= set(paths())


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "x" * 5000 + ".yaml", ""])
def test_what_no_file_can_be_called_gets_the_usual_line(name):
    with pytest.raises(UserError, match="no recipe") as caught:
        load_recipe(name)
    assert len(str(caught.value)) < 300
