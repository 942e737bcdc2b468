"""Preference data: the shipped files, other people's column layouts, and the command that makes the files again."""

import json
import sys
from types import SimpleNamespace

import pytest

from labkit.data import load_preferences
from labkit.errors import UserError
from labkit.models import load_policy
from labkit.paths import data_path
from labkit.worlds.assistant import agreement, gold_parts
from labkit.worlds.assistant import data as preference_data
from labkit.worlds.assistant.gold import request_of

COLUMNS = {
    "demonstrations": ["prompt", "completion"],
    "comparisons": ["prompt", "chosen", "rejected"],
    "feedback": ["prompt", "completion", "label"],
}
FILES = [(kind, split) for kind in COLUMNS for split in ("train", "test")]


@pytest.mark.parametrize("kind, split", FILES)
def test_shipped_files_have_the_fields_own_columns(kind, split):
    rows = load_preferences("assistant", kind, split)
    assert all(list(row) == COLUMNS[kind] for row in rows)
    summary = json.loads(data_path("preferences", "summary.json").read_text())["files"][f"{kind}-{split}"]
    assert summary == {"rows": len(rows), **preference_data.statistics_of(kind, rows)}
    assert load_preferences("assistant", kind, split, limit=7) == rows[:7]


@pytest.mark.parametrize("kind, split", FILES)
def test_datasets_reads_the_shipped_files(kind, split, tmp_path):
    datasets = pytest.importorskip("datasets")
    file = str(data_path("preferences", f"{kind}-{split}.jsonl"))
    table = datasets.load_dataset("json", data_files=file, split="train", cache_dir=str(tmp_path))
    assert table.column_names == COLUMNS[kind]
    assert table[:5]["prompt"] == [row["prompt"] for row in load_preferences("assistant", kind, split, limit=5)]


def test_train_and_test_rows_are_about_other_things():
    for kind in COLUMNS:
        train, test = (
            {request_of(r["prompt"]) for r in load_preferences("assistant", kind, s)} for s in ("train", "test")
        )
        assert train and test and not train & test


def test_demonstrators_are_courteous_and_comply_but_some_do_not_listen():
    rows = load_preferences("assistant", "demonstrations", "train")
    parts = [gold_parts(row["prompt"], row["completion"]) for row in rows]
    assert all(p["compliance"] > 0 and p["courtesy"] > 0 and p["fluency"] == 0 for p in parts)
    wrong = sum(p["relevance"] < 0.25 for p in parts) / len(parts)
    assert 0.2 < wrong < 0.3


def test_annotators_agree_with_gold_mostly_and_not_always():
    for split in ("train", "test"):
        rows = load_preferences("assistant", "comparisons", split)
        assert 0.7 < agreement(rows) < 0.9
        assert all(row["chosen"] != row["rejected"] for row in rows)


def test_thumbs_go_up_and_down():
    rows = load_preferences("assistant", "feedback", "train")
    assert 0.4 < sum(row["label"] for row in rows) / len(rows) < 0.6


def test_the_files_can_be_made_again_byte_for_byte(monkeypatch):
    """The demonstrations, and the first of the comparisons; the whole takes half a minute."""
    for number, split in enumerate(("train", "test")):
        made = preference_data.demonstrations(split, preference_data.SIZES["demonstrations"][number])
        file = data_path("preferences", f"demonstrations-{split}.jsonl")
        assert preference_data.json_lines(made).encode() == file.read_bytes()
    policy = load_policy("tiny", device="cpu")
    pairs = preference_data.sampled_pairs(policy, "test", preference_data.SIZES["comparisons"][1])
    made = preference_data.json_lines(preference_data.compared(pairs)).encode()
    stored = data_path("preferences", "comparisons-test.jsonl").read_bytes()
    if made != stored:  # another kind of processor rounds otherwise: then a few samples may differ, no more
        same = sum(a == b for a, b in zip(made.splitlines(), stored.splitlines(), strict=True))
        assert same >= 0.99 * len(stored.splitlines())


def test_the_same_seed_makes_the_same_rows_and_another_seed_others():
    policy = load_policy("tiny", device="cpu")
    once, again = (preference_data.compared(preference_data.sampled_pairs(policy, "test", 20)) for _ in range(2))
    assert once == again != preference_data.compared(preference_data.sampled_pairs(policy, "test", 20, seed=1))
    assert preference_data.demonstrations("train", 20, seed=1) != preference_data.demonstrations("train", 20)


# ---------------------------------------------------------------------------------- other people's layouts

ASKED = {"role": "user", "content": "What is RL?"}


def said(text):
    return {"role": "assistant", "content": text}


ULTRAFEEDBACK = {
    "prompt": "What is RL?",
    "prompt_id": "17",
    "chosen": [ASKED, said("Learning by trial and error.")],
    "rejected": [ASKED, said("No idea.")],
    "score_chosen": 8.5,
    "score_rejected": 2.0,
}
HH = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: What is RL?\n\nAssistant: Learning by trial and error.",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: What is RL?\n\nAssistant: Leave me alone.",
}
IMPLICIT = {"chosen": [ASKED, said("a")], "rejected": [ASKED, said("b")]}
CONVERSATIONAL = {"prompt": [ASKED], "chosen": [said("a")], "rejected": [said("b")]}
SEVERAL_TURNS = {"prompt": [ASKED, said("Hm?"), ASKED], "chosen": [said("a")], "rejected": [said("b")]}


@pytest.mark.parametrize(
    "row, expected",
    [
        (ULTRAFEEDBACK, ("What is RL?", "Learning by trial and error.", "No idea.")),
        (
            HH,
            (
                "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: What is RL?\n\nAssistant:",
                " Learning by trial and error.",
                " Leave me alone.",
            ),
        ),
        (IMPLICIT, ("What is RL?", "a", "b")),
        (CONVERSATIONAL, ("What is RL?", "a", "b")),
        (SEVERAL_TURNS, ([ASKED, said("Hm?"), ASKED], "a", "b")),
        ({"question": "q", "chosen": "a", "rejected": "b"}, ("q", "a", "b")),
    ],
)
def test_comparisons_of_the_hub(row, expected, monkeypatch):
    asked_for = {}

    def load_dataset(name, **options):
        asked_for.update(name=name, **options)
        return FakeTable([row] * 3)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    rows = load_preferences("someone/some-set", "comparisons", "train_prefs", limit=2, options={"revision": "main"})
    assert rows == [dict(zip(("prompt", "chosen", "rejected"), expected, strict=True))] * 2
    assert asked_for == {"name": "someone/some-set", "split": "train_prefs", "revision": "main"}


class FakeTable(list):
    """As much of datasets.Dataset as is used."""

    def select(self, numbers):
        return FakeTable(self[n] for n in numbers)


def test_demonstrations_and_feedback_in_other_layouts(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(
        json.dumps({"messages": [ASKED, said("a")]}) + "\n\n" + json.dumps({"instruction": "q", "output": "a"}) + "\n"
    )
    expected = [{"prompt": "What is RL?", "completion": "a"}, {"prompt": "q", "completion": "a"}]
    assert load_preferences(file, "demonstrations") == expected
    file.write_text(json.dumps({"prompt": [ASKED], "completion": [said("a")], "label": 0}) + "\n")
    assert load_preferences(str(file), "feedback") == [{"prompt": "What is RL?", "completion": "a", "label": False}]


@pytest.mark.parametrize(
    "line, kind, message",
    [
        ("{", "comparisons", "line 1: not JSON"),
        ("[]", "comparisons", "row 1: a row is a table of columns, not list"),
        ("{}", "comparisons", "row 1: no column chosen; it has none"),
        ('{"chosen": "a", "rejected": "b"}', "comparisons", "share no 'Assistant:' turn"),
        ('{"prompt": "q", "chosen": "a"}', "comparisons", "no column rejected; it has prompt, chosen"),
        ('{"prompt": "q", "chosen": [], "rejected": "b"}', "comparisons", "a reply is a text or a list of messages"),
        ('{"prompt": "q", "chosen": [1], "rejected": "b"}', "comparisons", "a message is"),
        ('{"prompt": 3, "completion": "a"}', "demonstrations", "a prompt is a text"),
        ('{"completion": "a"}', "demonstrations", "no prompt"),
        ('{"prompt": "q", "completion": "a"}', "feedback", "no column label"),
        ('{"prompt": "q", "completion": "a", "label": "up"}', "feedback", "a label is true or false, not 'up'"),
    ],
)
def test_bad_rows_are_told_with_their_number(line, kind, message, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(UserError) as caught:
        load_preferences(file, kind)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_not_there_is_said(tmp_path, monkeypatch):
    def fails(name, **options):
        raise ConnectionError("Couldn't reach the hub\nwith a long trace")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=fails))
    (tmp_path / "latin.jsonl").write_bytes(b"\xff\n")
    for call, message in [
        (lambda: load_preferences("someone/some-set"), "Couldn't reach the hub"),
        (lambda: load_preferences("assistent"), "no preference data 'assistent'"),
        (lambda: load_preferences("assistant", "likes"), "no kind 'likes'"),
        (lambda: load_preferences("assistant", split="dev"), "no split 'dev'"),
        (lambda: load_preferences("assistant", limit=-1), "limit must be 0 or more"),
        (lambda: load_preferences(tmp_path / "none.jsonl"), "No such file"),
        (lambda: load_preferences(tmp_path / "latin.jsonl"), "not UTF-8"),
    ]:
        with pytest.raises(UserError) as caught:
            call()
        assert message in str(caught.value) and "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match="pip install datasets"):
        load_preferences("someone/some-set")
