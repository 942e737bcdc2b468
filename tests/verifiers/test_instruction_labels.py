"""The labels of the `instructions` verifier: every form in which they are published, and what is said of others."""

import json
import math
from pathlib import Path

import numpy
import pytest
from hostile import short
from instruction_cases import one

from labkit.errors import UserError
from labkit.verifiers.instructions import CHECKS, reference, verify

# ------------------------------------------------------------------------------------------------------- labels

# Rows with the columns of the published data sets, each written by hand.
IFEVAL_ROW = {
    "key": 1,
    "prompt": "Describe tea in at least two words. Do not use commas.",
    "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
    "kwargs": [{"num_words": None, "relation": None}, {"num_words": 2.0, "relation": "at least"}],
}
PADDING = (
    "N capital_frequency capital_relation end_phrase first_word forbidden_words frequency keyword keyword1 "
    "keyword2 keyword3 keyword4 keyword5 keywords language let_frequency let_relation letter m max_words "
    "min_words n n_end n_start nth_paragraph num_bullets num_highlights num_paragraphs num_placeholders "
    "num_sections num_sentences num_words options percentage postscript_marker prompt_to_repeat reference_text "
    "relation section_spliter sep small_n word"
).split()
IFBENCH_ROW = {
    "key": "7",
    "prompt": "Describe tea. Include exactly 2 numbers in the response. The response should not repeat any word.",
    "instruction_id_list": ["count:numbers", "words:repeats"],
    "kwargs": [{**dict.fromkeys(PADDING), "N": 2.0}, {**dict.fromkeys(PADDING), "small_n": 1.0}],
}
LABEL = [
    {
        "instruction_id": ["detectable_format:sentence_hyphens", "last_word:last_word_answer", "keywords:existence"],
        "kwargs": [None, {"last_word": "brief"}, {"keywords": ["tea", "milk"]}],
    }
]
IF_MULTI_ROW = {
    "key": "tea_1",
    "messages": [{"content": "Describe tea and milk, and end with brief.", "role": "user"}],
    "ground_truth": repr(LABEL),
    "dataset": "ifeval",
    "constraint_type": "multi",
    "constraint": "All sentences are connected by hyphens. The last word is brief.",
}
RLVR_ROW = {
    "messages": [{"content": "Describe tea in lower case.", "role": "user"}],
    "ground_truth": json.dumps(
        {
            "func_name": "validate_lowercase",
            **dict.fromkeys(
                "N quantifier end_phrase keyword_list word forbidden_words letter i first_word postscript_marker "
                "options section_splitter original_prompt".split()
            ),
        }
    ),
    "dataset": "ifeval",
    "constraint_type": "All Lowercase",
    "constraint": "Your entire response should be in English, and in all lowercase letters.",
}


def test_rows_of_ifeval_and_ifbench() -> None:
    assert verify("Tea is warm", IFEVAL_ROW).reward == 1.0
    assert verify("Tea, warm", IFEVAL_ROW).reward == verify("Tea", IFEVAL_ROW).reward == 0.0
    assert verify("2 cups and 3.5 spoons", IFBENCH_ROW).reward == 1.0
    assert verify("2 cups, 3 cups", IFBENCH_ROW).parts == {
        "count:numbers": 1.0,
        "words:repeats": 0.0,
        "all": 0.0,
        "fraction": 0.5,
    }
    for row in (IFEVAL_ROW, IFBENCH_ROW):
        assert (
            verify("2 cups and 3", json.dumps(row)) == verify("2 cups and 3", repr(row)) == verify("2 cups and 3", row)
        )


LABELS = [
    repr(LABEL),
    repr(LABEL[0]),
    json.dumps(LABEL),
    [repr(LABEL)],  # a column of lists with one label
    [json.dumps(LABEL[0])],
    repr([json.dumps(LABEL[0])]),
    json.dumps(repr(LABEL)),
    tuple(LABEL),
    LABEL,
    IF_MULTI_ROW,
    IF_MULTI_ROW | {"ground_truth": [repr(LABEL)]},
    numpy.array([repr(LABEL)], dtype=object),
    f" {LABEL!r}\n",
]


@pytest.mark.parametrize("label", LABELS, ids=short)
def test_open_instructs_labels_in_every_form(label: object) -> None:
    assert verify("Tea with milk.-It is brief.", label).reward == 1.0
    parts = verify("Tea with milk. It is brief", label).parts
    assert [parts[kind] for kind in LABEL[0]["instruction_id"]] == [0.0, 1.0, 1.0]
    assert verify("Tea", label).parts["fraction"] == 1 / 3


def test_a_row_with_a_label_may_name_the_mode_and_the_reward() -> None:
    row = IF_MULTI_ROW | {"reward": "fraction", "mode": "loose"}
    assert verify("Sure. Here:\nTea with milk is brief", row).reward == 1.0
    assert verify("Tea", row).reward == 1 / 3


NAN_LABELS = [
    {"instruction_id": ["punctuation:no_comma"], "kwargs": [{"N": math.nan, "keyword": None}]},
    {"instruction_id": ["punctuation:no_comma"], "kwargs": [math.nan]},
    {"instruction_id": ["punctuation:no_comma"], "kwargs": None},
    {"instruction_id": ["punctuation:no_comma"], "kwargs": [{"N": numpy.float64("nan")}]},
    {"instruction_id_list": ["punctuation:no_comma"], "kwargs": ["{}"]},
    {"instruction_id_list": ["punctuation:no_comma"], "kwargs": "[null]"},
]


@pytest.mark.parametrize("label", NAN_LABELS, ids=short)
def test_nan_and_none_are_padding(label: dict) -> None:
    for form in (label, repr(label), repr([label])):
        assert verify("fine", form).reward == 1.0
        assert verify("not, fine", form).reward == 0.0
    assert verify("fine", json.dumps(label, default=float)).reward == 1.0


def test_numpys_arrays_and_numbers() -> None:
    asked = numpy.array(["keywords:existence", "length_constraints:number_words", "count:numbers"], dtype=object)
    given = numpy.empty(3, dtype=object)
    given[:] = [
        {"keywords": numpy.array(["tea", "milk"], dtype=object), "num_words": math.nan},
        {"num_words": numpy.int64(3), "relation": numpy.str_("at least")},
        {"N": numpy.float64(1.0), "keywords": None},
    ]
    for label in ({"instruction_id_list": asked, "kwargs": given}, repr({"instruction_id": asked, "kwargs": given})):
        assert verify("2 tea and milk", label).reward == 1.0
        assert [*verify("2 tea", label).parts.values()] == [0.0, 0.0, 1.0, 0.0, 1 / 3]


def test_rows_out_of_parquet(tmp_path: Path) -> None:
    pandas, arrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.Table.from_pylist([IFEVAL_ROW, IFEVAL_ROW]), tmp_path / "ifeval.parquet")
    parquet.write_table(arrow.Table.from_pylist([IFBENCH_ROW]), tmp_path / "ifbench.parquet")
    row = pandas.read_parquet(tmp_path / "ifeval.parquet").iloc[0].to_dict()
    assert isinstance(row["instruction_id_list"], numpy.ndarray)
    assert verify("Tea is warm", row).reward == 1.0 and verify("Tea, warm", row).reward == 0.0
    row = pandas.read_parquet(tmp_path / "ifbench.parquet").iloc[0].to_dict()
    assert verify("2 cups and 3.5 spoons", row).reward == 1.0 and verify("2 cups", row).reward == 0.0


@pytest.mark.parametrize("function", list(reference._OLDER))
def test_the_older_form_gets_a_clear_line_with_the_nearest_kind(function: str) -> None:
    label = {"func_name": function, "N": 3, "quantifier": "around"}
    for form in (label, json.dumps(label), [json.dumps(label)], RLVR_ROW | {"ground_truth": json.dumps(label)}):
        with pytest.raises(UserError) as caught:
            verify("text", form)
        line = str(caught.value)
        assert "older form" in line and function in line and reference._OLDER[function] in line
        assert "\n" not in line and len(line) < 260
    assert reference._OLDER[function] in CHECKS


def test_a_row_of_rlvr_ifeval_gets_that_line() -> None:
    with pytest.raises(UserError, match="change_case:english_lowercase"):
        verify("text", RLVR_ROW)
    with pytest.raises(UserError, match="older form"):
        verify("text", {"func_name": "surprise"})


def test_an_unknown_id_lists_what_there_is_the_closest_first() -> None:
    for name, closest in [
        ("punctuation:no_coma", "punctuation:no_comma"),
        ("words:primelength_constraints:s", "words:prime_lengths"),
        ("number_words", "length_constraints:number_words"),
        ("keyword:existence", "keywords:existence"),
    ]:
        with pytest.raises(UserError) as caught:
            verify("text", one(name, {}))
        line = str(caught.value)
        assert name in line and "\n" not in line
        listed = line.partition("closest first: ")[2].split(", ")
        assert listed[0] == closest and sorted(listed) == sorted(CHECKS)
        assert f"did you mean {closest}?" in line
    with pytest.raises(UserError) as caught:
        verify("text", one("!" * 10_000, {}))
    assert "did you mean" not in str(caught.value) and len(str(caught.value)) < 5000


MALFORMED = [
    (None, "an instructions reference is"),
    ("no comma", "not the text 'no comma'"),
    ("[" * 100_000, "not the text"),
    ([], "got a list"),
    ({}, 'needs "instruction_id_list"'),
    ({"instruction_id_list": []}, 'needs "instruction_id_list"'),
    ({"instruction_id_list": "punctuation:no_comma"}, 'needs "instruction_id_list"'),
    ({"instruction_id_list": ["punctuation:no_comma"], "kwargs": []}, "one object for each of 1 ids"),
    ({"instruction_id_list": ["punctuation:no_comma"] * 101}, "at most 100"),
    (one(7, {}), "an instruction is the id of a kind such as "),
    (one("count:word_count_range", {"min_words": 3, "max_words": 2}), "asks for 3 to 2 words"),
    (
        one("repeat:repeat_span", {"prompt_to_repeat": "a b", "n_start": 2, "n_end": 3}),
        "words 2 to 3 of a request of 2",
    ),
    (one("new:copy_span_idx", {"prompt_to_repeat": "ab", "n_start": 1, "n_end": 0}), "characters 1 to 0"),
    (one("copy:repeat_phrase", {"phrase": "two words", "small_n": 2}), "a phrase of 2 words"),
    (one("ratio:overlap", {"reference_text": "two words", "percentage": 5}), "fewer than three words"),
    (one("ratio:stop_words", {"percentage": 101}), "a percentage from 0 to 100"),
    (one("count:keywords_multiple", {"keyword1": "a"}), "needs the argument 'keyword2'"),
    ("[__import__('os').system('true')]", "not the text"),
    ("{[1]: 2}", "not the text"),
    ("{**{}}", 'needs "instruction_id_list"'),
    ("b'x'", "got a bytes"),
    ([["punctuation:no_comma"], [{}]], "got a list"),
    (one("punctuation:no_comma", {"num": 1}), "has no argument 'num'; it takes none"),
    (one("punctuation:no_comma", 3), "an object or null"),
    (one("length_constraints:number_words", {"relation": "at least"}), "needs the argument 'num_words'"),
    (one("length_constraints:number_words", {"num_words": -1}), "a whole number of 0 or more"),
    (one("length_constraints:number_words", {"num_words": 1.5}), "a whole number of 0 or more"),
    (one("length_constraints:number_words", {"num_words": float("nan")}), "needs the argument"),
    (one("length_constraints:number_words", {"num_words": float("inf")}), "a whole number of 0 or more"),
    (one("length_constraints:number_words", {"num_words": True}), "a whole number of 0 or more"),
    (one("length_constraints:number_words", {"num_words": 3, "relation": "about"}), "'less than' or 'at least'"),
    (one("keywords:existence", {"keywords": "tea"}), "a list of words"),
    (one("keywords:existence", {"keywords": [""]}), "a list of words"),
    (one("keywords:letter_frequency", {"letter": "ab", "let_frequency": 1}), "one character"),
    (one("language:response_language", {"language": "klingon"}), "a code such as"),
    (one("startend:end_checker", {"end_phrase": " "}), "not empty"),
    (
        one(
            "length_constraints:nth_paragraph_first_word", {"num_paragraphs": 1, "nth_paragraph": 2, "first_word": "a"}
        ),
        "paragraph 2 of 1",
    ),
    (
        one(
            "length_constraints:nth_paragraph_first_word", {"num_paragraphs": 1, "nth_paragraph": 0, "first_word": "a"}
        ),
        "whole number",
    ),
    (one("punctuation:no_comma", {}) | {"mode": "lose"}, '"mode" of an instructions reference'),
    (one("punctuation:no_comma", {}) | {"reward": 3}, '"reward" of an instructions reference'),
]


@pytest.mark.parametrize(("label", "words"), MALFORMED, ids=short)
def test_a_malformed_reference_gets_one_line(label: object, words: str) -> None:
    with pytest.raises(UserError) as caught:
        verify("text", label)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


def test_a_label_that_holds_itself_is_told() -> None:
    knot: list = []
    knot.append(knot)
    for label in (knot, one("keywords:existence", {"keywords": knot}), {"ground_truth": knot}):
        with pytest.raises(UserError):
            verify("text", label)
