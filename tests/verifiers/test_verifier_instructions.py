"""The `instructions` verifier: each of its 112 kinds, strict and loose, all of them or the fraction."""

import pickle
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import labkit.verifiers.instructions as package
from labkit.errors import UserError
from labkit.verifiers.instructions import CHECKS, language, loose_variants, response_of, verify
from labkit.verifiers.instructions.registry import ARGUMENTS, NEEDED
from labkit.verifiers.instructions.syllables import count_syllables
from labkit.verifiers.instructions.text import count_sentences, split_words
from labkit.verifiers.instructions.verbs import is_verb
from tests.verifiers.hostile import short, within
from tests.verifiers.instruction_cases import CASES, FIRST, IFBENCH, IFEVAL, IFEVALG, ask, one


@pytest.mark.parametrize(("kind", "arguments", "kept", "broken"), CASES, ids=short)
def test_each_kind(kind: str, arguments: dict, kept: list[str], broken: list[str]) -> None:
    padded = {**dict.fromkeys(["relation", "keywords", "num_words", "language", "letter"]), **arguments}
    for text in kept:
        score = verify(text, {"instruction_id_list": [kind], "kwargs": [padded]})
        assert score.reward == 1.0, (text, score.reason)
        assert score.parts == {kind: 1.0, "all": 1.0, "fraction": 1.0}
        assert ask(kind, text, arguments, mode="loose") == 1.0, "loose is never stricter"
    for text in broken:
        score = verify(text, {"instruction_id_list": [kind], "kwargs": [arguments]})
        assert score.reward == 0.0 == score.parts[kind], text
        assert kind in score.reason and score.reason.isprintable() and len(score.reason) < 250


def test_all_kinds_are_there_each_with_three_texts_that_keep_it_and_three_that_do_not() -> None:
    assert [len({case[0] for case in cases}) for cases in (IFEVAL, IFEVALG, IFBENCH)] == [25, 29, 58]
    kept, broken = Counter(), Counter()
    for kind, _, keeping, breaking in CASES:
        kept[kind] += len(keeping)
        broken[kind] += len(breaking)
    assert set(kept) == set(CHECKS) == set(ARGUMENTS) == set(NEEDED) and len(CHECKS) == 112
    assert min(kept.values()) >= 3 <= min(broken.values())


@pytest.mark.parametrize("kind", list(CHECKS))
def test_an_empty_response_keeps_nothing(kind: str) -> None:
    for text in ["", " \n ", "<think>all of it", "<answer></answer>"]:
        assert ask(kind, text, FIRST[kind]) == ask(kind, text, FIRST[kind], mode="loose") == 0.0


@pytest.mark.parametrize("kind", list(CHECKS))
def test_missing_and_ill_typed_arguments_are_told_by_name(kind: str) -> None:
    good = FIRST[kind]
    for name in NEEDED[kind]:
        with pytest.raises(UserError, match=re.escape(f"{kind} needs the argument {name!r}")):
            verify("text", one(kind, {key: value for key, value in good.items() if key != name}))
    for name in ARGUMENTS[kind]:
        for wrong in ({"x": 1}, [], "", [[1]], -1.5, True):
            with pytest.raises(UserError) as caught:
                verify("text", one(kind, {**good, name: wrong}))
            line = str(caught.value)
            assert line.startswith(f"{name!r} of {kind} is ") and "\n" not in line and len(line) < 250
    with pytest.raises(UserError, match="has no argument 'surprise'"):
        verify("text", one(kind, {**good, "surprise": 1}))


def test_the_table_of_kinds_in_the_readme_is_true() -> None:
    table = (Path(package.__file__).parent / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_]+:[a-z0-9_-]+)` \|([^|]*)\|", table, re.MULTILINE)
    assert len(rows) == len(CHECKS) and {kind for kind, _ in rows} == set(CHECKS)
    for kind, arguments in rows:
        assert re.findall(r"`(\w+)`", arguments) == list(ARGUMENTS[kind]), kind


SENTENCES = [
    ("xx,x. xx,x! xx/x. x{x}x? x.", 5),
    ("xx,x! xxxx. x(x)x?", 3),
    ("xxxx. xx,x! xx|x. x&x x?", 4),
    ("xx-x]xx,x! x{x}xx,x.", 2),
    ("Dr. Smith paid $3.50 to J. Doe, i.e. his friend. He left.", 2),
    ("We sell tea, milk, etc. Come in. Acme Inc. makes it. Ask Mrs. Brown", 4),
    ("Wait... what? No... Yes.", 3),
    ('He said "Stop!" Then he left.', 2),
    ("- one\n- two\n- three", 1),
    ("1. Mix it. 2. Bake it.", 4),
    ("Really?! Yes!!!", 2),
    ("今日は晴れ。明日は雨。", 2),
    ("see example.com for more", 1),
    ("...", 1),
    ("", 0),
]


@pytest.mark.parametrize(("text", "number"), SENTENCES, ids=short)
def test_sentences(text: str, number: int) -> None:
    assert count_sentences(text) == number


WORDS = [
    ("", []),
    ("... !? -", []),
    ('"Well-known," he said (twice).', ["Well-known", "he", "said", "twice"]),
    ("don't stop—go – now", ["don't", "stop", "go", "now"]),
    ("**$3.50** or 1,000?", ["3.50", "or", "1,000"]),
    ("😀 été 今日は。", ["été", "今日は"]),
    ("_so_ [it](x) goes", ["so", "it](x", "goes"]),
]


@pytest.mark.parametrize(("text", "words"), WORDS, ids=short)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


SYLLABLES = {
    1: "cat the like liked played eye through strength you whale",
    2: "table sunshine little regret enjoy children being created,3 science quiet rhythm wanted something",
    3: "banana idea radio family,2 created element influence museum",
    4: "society reality variety algorithm coordinate",
}


def test_syllables() -> None:
    for usual, words in SYLLABLES.items():
        for word in words.split():
            spelled, _, other = word.partition(",")
            assert (int(other) if other else usual) in count_syllables(spelled), word
    assert count_syllables("every") == (2, 3) and count_syllables("fire") == (1, 2)
    assert count_syllables("1234") == count_syllables("") == count_syllables("日本") == ()


def test_verbs() -> None:
    for word in "run Runs ran running stopped tries making Let's Don't Can't is clarify prioritised let’s went".split():
        assert is_verb(word), word
    for word in "dog this quickly morning nothing red indeed however I 42 chocolate the".split():
        assert not is_verb(word), word


def test_the_first_line_keeps_its_indentation_and_nothing_else_is_kept() -> None:
    assert response_of("\n \n  a\n   b \n\n") == "  a\n   b"
    assert response_of("<think>x</think>\n\n  a\n b") == "  a\n b"
    assert loose_variants("Sure:\n  a\n b")[1] == "  a\n b"
    assert ask("format:line_indent", "Sure:\n   a\n  b\n c", mode="loose") == 0.0
    assert ask("format:line_indent", "Sure:\n a\n  b\n   c\nBye", mode="loose") == 1.0


def test_thinking_and_answer_tags_are_left_out_but_text_beside_the_answer_is_judged() -> None:
    assert ask("punctuation:no_comma", "<think>a, b</think><answer>c</answer>") == 1.0
    assert ask("startend:quotation", '<think>x</think>\n<answer>"c"</answer>') == 1.0
    assert ask("punctuation:no_comma", "so, <answer>c</answer>") == 0.0
    assert ask("punctuation:no_comma", "opened by the prompt, ok</think>c") == 1.0
    assert verify("c", {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}).extracted is None


LOOSE = [
    ("punctuation:no_comma", {}, "Sure, here it is:\nRoses are red"),  # without the first line
    ("startend:end_checker", {"end_phrase": "the end"}, "Once.\nThe end\nHope you like it!"),  # without the last
    ("detectable_format:json_format", {}, "Here:\n{}\nBye"),  # without both
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi"}, "**Say hi**\nhi"),  # without asterisks
    ("startend:quotation", {}, 'Sure:\n*"so"*\nBye'),  # without both and without asterisks
    ("length_constraints:number_words", {"num_words": 2, "relation": "less than"}, "Here you are:\nRoses"),
    ("keywords:existence", {"keywords": ["red rose"]}, "a *red* rose"),
]


@pytest.mark.parametrize(("kind", "arguments", "text"), LOOSE, ids=short)
def test_loose_forgives_what_strict_does_not(kind: str, arguments: dict, text: str) -> None:
    assert ask(kind, text, arguments) == 0.0
    assert ask(kind, text, arguments, mode="loose") == 1.0


def test_the_eight_variants() -> None:
    assert loose_variants("one line") == ["one line"]  # the seven others are empty
    variants = loose_variants("a*\nb*\nc*")
    assert variants == ["a\nb\nc", "b*\nc*", "a*\nb*", "b*", "b\nc", "a\nb", "b"]


def test_all_or_the_fraction() -> None:
    three = {
        "instruction_id_list": ["punctuation:no_comma", "keywords:existence", "keywords:existence"],
        "kwargs": [{}, {"keywords": ["a"]}, {"keywords": ["b"]}],
    }
    score = verify("a, c", three)
    assert score.reward == 0.0
    assert score.parts == {
        "punctuation:no_comma": 0.0,
        "keywords:existence": 1.0,
        "keywords:existence#2": 0.0,
        "all": 0.0,
        "fraction": 1 / 3,
    }
    assert verify("a, c", three | {"reward": "fraction"}).reward == 1 / 3
    assert verify("a c b", three | {"reward": "fraction"}).reward == 1.0
    assert score.reason == (
        "keeps 1 of 3 instructions; punctuation:no_comma: has a comma; keywords:existence#2: 'b' does not occur"
    )


def test_language_without_its_package_is_told_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    language._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(UserError, match="pip install py3langid"):
        ask("language:response_language", "Guten Tag", {"language": "de"})
    assert ask("punctuation:no_comma", "Guten Tag") == 1.0
    language._identifier.cache_clear()


def test_verifiers_import_neither_torch_nor_transformers() -> None:
    code = "import sys, labkit.verifiers; print({'torch', 'transformers', 'numpy', 'py3langid'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_it_travels_between_processes() -> None:
    again = pickle.loads(pickle.dumps(verify))
    assert again("a b", one("punctuation:no_comma", {})).reward == 1.0


def test_twenty_thousand_a_second() -> None:
    asked = {
        "instruction_id_list": ["length_constraints:number_words", "keywords:existence", "punctuation:no_comma"],
        "kwargs": [{"num_words": 50, "relation": "at least"}, {"keywords": ["harbour", "fish"]}, {}],
    }
    reply = "Take the train to the coast and walk along the harbour to eat fresh fish. " * 4
    verify(reply, asked)
    with within(6.0):  # 10,000 of them, each call inside wrapped by the tests' check of shapes; 0.3 s without
        for _ in range(10_000):
            verify(reply, asked)
