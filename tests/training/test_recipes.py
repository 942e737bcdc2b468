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
        ({"sampling.temperature": 0}, "sampling.temperature: must be greater than or equal to 0.001, not 0"),
        ({"steps": "many"}, "steps: must be a number, not 'many'"),
        ({"algorithm": "magic"}, "unknown algorithm 'magic'"),
        ({"algorithm_options": {"clip": 1}}, "algorithm_options has no 'clip'"),
        ({"algorithm_options": {"aggregate": "sum"}}, "aggregate"),
        ({"samples": 3.5}, "samples"),
    ],
)
def test_mistakes_get_one_line_that_names_the_fix(overrides, words):
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


INF, NAN = float("inf"), float("nan")
# What every number refuses, by its kind; below, one number of each kind per section.
NO_NUMBERS = (True, "3", INF, -INF, NAN, None, [1], {"a": 1})
COUNTS = (0, -1, 2.5, 1e10, *NO_NUMBERS)
NOT_NEGATIVE = (-1, 1e12, *NO_NUMBERS)
POSITIVE = (0, *NOT_NEGATIVE)
SHARES = (-0.1, 1.1, *NO_NUMBERS)
CASES = {
    "r1-zero-tiny": {
        "steps": COUNTS,
        "seed": (-1, 2**32, 0.5, *NO_NUMBERS),
        "staleness": (-1, 1e10, *NO_NUMBERS),
        "checkpoint_every": COUNTS,
        "keep_checkpoints": COUNTS,
        "rollouts_logged": NOT_NEGATIVE,
        "train_zero_advantage": (1, "yes", 0.0, None),
        "sampling.prompts": COUNTS,
        "sampling.samples": COUNTS,
        "sampling.max_new_tokens": COUNTS,
        "sampling.temperature": (1e-30, *POSITIVE),
        "sampling.top_p": (0, *SHARES),
        "sampling.top_k": NOT_NEGATIVE,
        "sampling.min_p": SHARES,
        "sampling.stop": ("abc", [""], [3], 3),
        "optimizer.lr": POSITIVE,
        "optimizer.warmup": NOT_NEGATIVE,
        "optimizer.betas": (0.9, [0.9], [0.9, 1], [-0.1, 0.9], [0.9, NAN], [0.9, 0.9, 0.9], ["0.9", 0.9], None),
        "optimizer.weight_decay": NOT_NEGATIVE,
        "optimizer.max_grad_norm": POSITIVE,
        "optimizer.updates": COUNTS,
        "optimizer.minibatches": COUNTS,
        "optimizer.microbatch_tokens": [case for case in COUNTS if case is not None],
        "optimizer.compile": (1, "no"),
        "evaluation.problems": NOT_NEGATIVE,
        "evaluation.samples": COUNTS,
        "evaluation.max_new_tokens": [case for case in COUNTS if case is not None],
        "evaluation.temperature": NOT_NEGATIVE,
        "evaluation.seed": (-1, *NO_NUMBERS),
        "lora": ({"rank": 0}, {"rank": True}, {"alpha": 0}, {"alpha": INF}, {"targets": []}, {"targets": [""]}),
        "kl_control": ({"target": 0}, {"target": NAN}, {"horizon": -1}, {"horizon": INF}),
        "process_reward": ({"beta": 0}, {"lr": INF}, {"updates": 0}, {"accuracy": [0.8, 0.2]}, {"accuracy": [0, NAN]}),
        "task_options": ({"numbers": INF}, {"digits": [3, NAN]}, {"a": {"b": -INF}}),
        "model": ("", 3, None),
        "name": (
            "../../evil",
            "a/b",
            "a\\b",
            "a\0b",
            "",
            " ",
            ".",
            "..",
            ".git",
            "-rf",
            "x" * 101,
            "é" * 60,
            "CON",
            "nul.txt",
            "a\nb",
            "a:b",
            "\ud800",
            3,
            "end.",
        ),
    },
    "dpo-assistant-tiny": {
        "data.batch": COUNTS,
        "data.limit": [case for case in COUNTS if case is not None],
        "data.test_limit": [case for case in NOT_NEGATIVE if case is not None],
        "data.max_length": (0, 1, -3, 2.5, True, "9", INF, 1e12),
        "data.traces": COUNTS,
        "data.rollouts": COUNTS,
        "data.source": ("", 3, None),
        "data.packing": (1, "yes"),
    },
}
OPTIONS = {
    "r1-zero-tiny": {
        "eps": (2, *POSITIVE),
        "ddof": (2, 0.5, -1, *NO_NUMBERS),
        "clip_low": (1.5, *POSITIVE),
        "clip_high": POSITIVE,
        "dual_clip": (1, 0.5, *[case for case in POSITIVE if case is not None]),
        "tau_pos": POSITIVE,
        "tau_neg": POSITIVE,
        "kl_coef": NOT_NEGATIVE,
        "gamma": SHARES,
        "lam": SHARES,
        "process_coef": NOT_NEGATIVE,
        "value_clip": [case for case in POSITIVE if case is not None],
        "value_coef": NOT_NEGATIVE,
        "entropy_coef": (-1e12, 1e12, *NO_NUMBERS),
        "importance_cap": [case for case in POSITIVE if case is not None],
        "overlong_buffer": (0, *[case for case in SHARES if case is not None]),
        "whiten": (1, "yes", None),
        "critic": (1, "yes", None),
        "drop_zero_variance": (1, "yes", None),
        "greedy_baseline": (1, "yes", None),
        "baseline": ("mean", None, 3),
    },
    "dpo-assistant-tiny": {"beta": POSITIVE, "average": (1, 0, "yes")},
}


@pytest.mark.parametrize(
    ("recipe", "key"), [(recipe, key) for recipe, cases in CASES.items() for key in cases], ids=lambda x: x
)
def test_a_setting_out_of_its_range_or_of_another_type_is_one_line(recipe, key):
    accepted = []
    for value in CASES[recipe][key]:
        try:
            load_recipe(recipe, **{key: value})
            accepted.append(value)
        except UserError as error:
            message = str(error)
            assert "\n" not in message and key.rpartition(".")[2] in message and len(message) < 400, message
    assert not accepted


@pytest.mark.parametrize(
    ("recipe", "key"), [(recipe, key) for recipe, cases in OPTIONS.items() for key in cases], ids=lambda x: x
)
def test_an_option_of_the_algorithm_out_of_its_range_is_one_line(recipe, key):
    accepted = []
    for value in OPTIONS[recipe][key]:
        try:
            load_recipe(recipe, algorithm_options={key: value})
            accepted.append(value)
        except UserError as error:
            assert "\n" not in str(error) and f"algorithm_options.{key}" in str(error)
    assert not accepted


@pytest.mark.parametrize(
    "change",
    [
        {"cold-start.data.shares": {"curated": NAN}},
        {"cold-start.data.shares": {"curated": 2.0, "assistant": -1.0}},
        {"cold-start.data.rows": 1e12},
        {"cold-start.settings": {"optimizer.lr": INF}},
        {"cold-start.optimizer.lr": -1},
        {"cold-start.algorithm_options": {"beta": 1}},
        {"reasoning-rl.algorithm_options": {"eps": -1}},
        {"rejection.harvest.temperature": 0},
        {"rejection.harvest.prompts": True},
        {"final-rl.rewards": {"accuracy": INF}},
        {"final-rl.tasks": {"countdown": 0, "assistant": 1}},
        {"measure.problems": 0},
        {"measure.samples": "4"},
        {"measure.seed": -1},
        {"seed": 1.5},
        {"name": "../../evil"},
        {"task_options": {"numbers": NAN}},
    ],
    ids=str,
)
def test_a_pipelines_setting_out_of_its_range_is_one_line(change):
    with pytest.raises(UserError) as caught:
        load_pipeline("r1-pipeline-tiny", **change)
    assert "\n" not in str(caught.value)


def test_every_preset_keeps_to_the_ranges_and_every_option_has_one():
    from dataclasses import asdict, fields

    from labkit.algorithms import PRESETS, Preset
    from labkit.recipes.options import PresetOptions, check_options

    assert set(PresetOptions.model_fields) == {field.name for field in fields(Preset)} - {"name", "source"}
    for preset in PRESETS.values():
        check_options({key: value for key, value in asdict(preset).items() if key not in ("name", "source")})


def test_recorded_recipes_are_still_valid_and_numbers_stay_numbers(tmp_path):
    from labkit.paths import data_path
    from labkit.recipes import validate
    from labkit.recipes.files import read_settings
    from labkit.recipes.pipeline import validate_pipeline

    for file in data_path("runs").rglob("recipe.yaml"):
        raw = read_settings(file)
        if "method" not in raw:  # a harvest has no recipe
            (validate_pipeline if "stages" in raw else lambda raw: validate(raw, "recorded"))(raw)
    file = tmp_path / "mine.yaml"
    file.write_text("model: tiny\noptimizer: {lr: 1e-4}\nsteps: 20.0\n")
    assert (load_recipe(file).optimizer.lr, load_recipe(file).steps) == (1e-4, 20)


def test_the_rows_of_a_step_are_bounded():
    with pytest.raises(UserError, match="prompts x samples is 25000000 answers per step; at most 1000000"):
        load_recipe("r1-zero-tiny", prompts=5000, samples=5000)
