"""The `instructions` verifier: each of IFEval's 25 kinds, strict and loose, malformed references, hostile texts."""

import json
import pickle
import random
import string
import sys

import pytest
from hostile import short, within
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import UserError
from labkit.verifiers.instructions import CHECKS, language, loose_variants, verify
from labkit.verifiers.instructions.text import count_sentences

LESS, LEAST = {"relation": "less than"}, {"relation": "at least"}


def ask(kind: str, completion: str, arguments: dict | None = None, **more: str) -> float:
    return verify(completion, {"instruction_id_list": [kind], "kwargs": [arguments or {}], **more}).reward


# (id, arguments, texts that keep the instruction, texts that do not)
CASES = [
    (
        "keywords:existence",
        {"keywords": ["river", "Sky"]},
        ["The river, the sky.", "RIVERS AND SKYLINES"],
        ["The river.", "riv er sky", ""],
    ),
    ("keywords:existence", {"keywords": ["c++", "a.b"]}, ["C++ and a.b"], ["c and a.b", "c++ and axb"]),
    (
        "keywords:frequency",
        {"keyword": "tea ", "frequency": 2, **LEAST},
        ["Tea for tea", "steam tea"],
        ["Tea", "te a te a"],
    ),
    ("keywords:frequency", {"keyword": "tea", "frequency": 2, **LESS}, ["Tea", "none"], ["tea tea", "TEA teapot"]),
    ("keywords:frequency", {"keyword": "aa", "frequency": 2}, ["aaaa", "aa aa"], ["aaa", "aa"]),
    (
        "keywords:forbidden_words",
        {"forbidden_words": ["rock", "c++"]},
        ["rocks and rocky", "c", "shamrock"],
        ["ROCK on", "a rock.", "I like C++!"],
    ),
    (
        "keywords:letter_frequency",
        {"letter": "T", "let_frequency": 2, "let_relation": "at least"},
        ["Tt", "tart"],
        ["t", "x"],
    ),
    (
        "keywords:letter_frequency",
        {"letter": "#", "let_frequency": 2, "let_relation": "less than"},
        ["#a", "a"],
        ["#a #b"],
    ),
    (
        "language:response_language",
        {"language": "de"},
        ["Der Hund schläft heute im Garten."],
        ["The dog sleeps in the garden.", "12345", "ok"],
    ),
    ("language:response_language", {"language": "kn"}, ["ನಾನು ಕನ್ನಡ ಮಾತನಾಡುತ್ತೇನೆ"], ["I speak Kannada every day."]),
    ("language:response_language", {"language": "zh-cn"}, ["我今天去学校学习中文。"], ["今日は学校に行きました。"]),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, **LEAST},
        ["One. Two! Three?", "Is it? Yes. no end"],
        ["One. Two.", "Dr. Who met Mr. Spock, e.g. on Mars."],
    ),
    ("length_constraints:number_sentences", {"num_sentences": 3, **LESS}, ["One. Two.", "x"], ["One. Two. Three."]),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["a\n***\nb", "a *** b", "***\na\n***\nb\n***"],
        ["a\n\nb", "a", "a***b***c", "a\n***\n***\nb"],
    ),
    (
        "length_constraints:number_words",
        {"num_words": 4, **LEAST},
        ["one two three four", "well-known, don't"],
        ["one two three"],
    ),
    (
        "length_constraints:number_words",
        {"num_words": 4, **LESS},
        ["one two three", "!!! ... ---"],
        ["one two three four"],
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"},
        ["First.\n\nThen we go.", 'a\n\n"Then," he said', "a\n\n  then's"],
        ["First.\n\nThen.\n\nEnd.", "Then\n\nfirst", "a\nThen", "a\n\n\n\nThen b", "a\n\nThenceforth"],
    ),
    (
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        ["[a] [b]", "[name], [] and [x]", "[[a]] [b]"],
        ["[a]", "[a\nb] [c", "(a) (b)", "]["],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        ["Bye.\nP.S. Write!", "p. s. so", "x P.S."],
        ["PS: no", "P.P.S", "Bye"],
    ),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["P.P.S more", "p. p. s."], ["P.S. one", "PPS"]),
    ("detectable_content:postscript", {"postscript_marker": "N.B."}, ["n.b. this"], ["nxb. this"]),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ["* a\n* b", "- a\n  * b", "text\n* a\n- b\n**bold** end"],
        ["* a", "* a\n* b\n- c", "1. a\n2. b", "** a\n** b"],
    ),
    ("detectable_format:number_bullet_lists", {"num_bullets": 0}, ["plain"], ["- a"]),
    (
        "detectable_format:constrained_response",
        {},
        ["My answer is yes.", "Well: My answer is maybe."],
        ["my answer is yes.", "My answer is yes", "yes"],
    ),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*a* and *b*", "**a** *b*", "*a* b **c d**"],
        ["*a*", "** **", "*a\nb* *c", "* a\n* b"],
    ),
    (
        "detectable_format:multiple_sections",
        {"num_sections": 2, "section_spliter": "Section"},
        ["Section 1\na\nSection 2\nb", "Section1 Section2 Section3"],
        ["Section 1", "SECTION 1 SECTION 2", "Section A Section B"],
    ),
    (
        "detectable_format:json_format",
        {},
        ['{"a": [1, 2]}', "```json\n{}\n```", "```\n[1]\n```", "3", '"x"'],
        ["{'a': 1}", "{", "json: {}", "{} bye", "[" * 100_000, "```json\n{}\n``` bye"],
    ),
    (
        "detectable_format:title",
        {},
        ["<<Joy>>\ntext", "a << b >> c", "<<<a>>>"],
        ["<Joy>", "<<>>", "<< >>", "<<a\nb>>", ">>a<<"],
    ),
    (
        "combination:two_responses",
        {},
        ["a\n******\nb", "a******b******"],
        ["a******a", "a", "a***b", "a******b******c", "a******\n******b"],
    ),
    (
        "combination:repeat_prompt",
        {"prompt_to_repeat": "Write a poem. "},
        ["write A poem.\nRoses", "Write a poem."],
        ["Sure! Write a poem.", "Write a  poem."],
    ),
    (
        "startend:end_checker",
        {"end_phrase": "Any other questions?"},
        ["So. Any other questions?", '"so any other QUESTIONS?"\n'],
        ["Any other questions? No.", "questions?"],
    ),
    ("startend:quotation", {}, ['"so"', ' "a "b" c"\n', '""'], ['"so', '"', "'so'", "“so”", '"so".']),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["NASA and ESA", "I AM", "WELL-KNOWN, DON'T"],
        ["NASA", "Nasa Esa", "WELL-KNOWN"],
    ),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "less than"},
        ["I saw", "x 1 2"],
        ["A B", "OK,OK"],
    ),
    (
        "change_case:english_capital",
        {},
        ["THE CAT SAT ON THE MAT.", "OK 1"],
        ["THE CAT sat", "DER HUND SCHLÄFT HEUTE IM GARTEN.", "123"],
    ),
    (
        "change_case:english_lowercase",
        {},
        ["the cat sat on the mat.", "ok"],
        ["The cat", "der hund schläft heute im garten.", "123"],
    ),
    ("punctuation:no_comma", {}, ["a b; c", "a，b"], ["a, b", ","]),
]


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


def test_all_25_kinds_are_there_and_tested() -> None:
    assert len(CHECKS) == 25
    assert {case[0] for case in CASES} == set(CHECKS)


@pytest.mark.parametrize("kind", list(CHECKS))
def test_an_empty_response_keeps_nothing(kind: str) -> None:
    arguments = next(case[1] for case in CASES if case[0] == kind)
    for text in ["", " \n ", "<think>all of it", "<answer></answer>"]:
        assert ask(kind, text, arguments) == ask(kind, text, arguments, mode="loose") == 0.0


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


def test_shapes_of_published_data() -> None:
    row = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{"num_words": None, "relation": None}]}
    tulu = [{"instruction_id": ["punctuation:no_comma"], "kwargs": [None]}]
    for reference in [row, json.dumps(row), tulu, json.dumps(tulu), [json.dumps(tulu[0])]]:
        assert verify("fine", reference).reward == 1.0
        assert verify("not, fine", reference).reward == 0.0
    floats = {"instruction_id_list": ["length_constraints:number_words"], "kwargs": [{"num_words": 2.0}]}
    assert verify("two words", floats).reward == 1.0


def one(kind: object, arguments: object) -> dict:
    return {"instruction_id_list": [kind], "kwargs": [arguments]}


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
    (one("punctuation:no_coma", {}), "did you mean punctuation:no_comma"),
    (one(7, {}), "unknown instruction a int"),
    (one("punctuation:no_comma", {"num": 1}), "has no argument 'num'; it takes none"),
    (one("punctuation:no_comma", 3), "an object or null"),
    (one("length_constraints:number_words", {"relation": "at least"}), "needs the argument 'num_words'"),
    (one("length_constraints:number_words", {"num_words": -1}), "a whole number of 0 or more"),
    (one("length_constraints:number_words", {"num_words": 1.5}), "a whole number of 0 or more"),
    (one("length_constraints:number_words", {"num_words": float("nan")}), "a whole number of 0 or more"),
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


@pytest.mark.parametrize(("reference", "words"), MALFORMED, ids=short)
def test_a_malformed_reference_gets_one_line(reference: object, words: str) -> None:
    with pytest.raises(UserError) as caught:
        verify("text", reference)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


EVERYTHING = {
    "instruction_id_list": [case[0] for case in CASES],
    "kwargs": [case[1] for case in CASES],
}
PIECES = [
    *"abcXYZ .!?,;:#*-<>[]{}()\"'`\\\n\n\t0159éßİ中。٣\x00\ud800\u202e\u200d",
    *["***", "******", "\n\n", "* ", "**", "<<", ">>", "P.S.", "p. p. s", "```", "Section 1", "e.g. ", "...", "%s{0}"],
    *[
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "My answer is yes.",
        "the cat sat on the mat ",
        "cos\nsystem\n(S'x'",
    ],
]


@pytest.mark.slow
def test_twenty_thousand_fuzzed_texts_raise_nothing_and_give_a_sound_score() -> None:
    rng = random.Random(0)
    with within(60):  # about 6 s
        for _ in range(20_000):
            text = "".join(rng.choices(PIECES, k=rng.randrange(40)))
            some = rng.sample(CASES, 3)
            asked = {"instruction_id_list": [case[0] for case in some], "kwargs": [case[1] for case in some]}
            score = verify(text, asked | {"mode": rng.choice(["strict", "loose"])})
            assert score.reward == (score.parts["fraction"] == 1.0) == score.parts["all"]
            assert {part for name, part in score.parts.items() if name != "fraction"} <= {0.0, 1.0}
            assert score.reason.isprintable() and len(score.reason) < 500


HOSTILE = [
    "a",
    " ",
    "\n",
    "\n\n",
    "[",
    "]",
    "[[",
    "<<",
    ">>",
    "<",
    "*",
    "* ",
    "**",
    "***",
    "*\n",
    "-",
    "p.",
    "p. ",
    ".",
    "!",
    "...",
    ". ",
    "e.g.",
    "A.",
    "a. ",
    "1. ",
    '"',
    '."',
    "\\",
    "{",
    '{"a":',
    "9",
    "Section1",
    "Section",
    "1",
    "\x00",
    "\ud800",
    "é",
    "\u0300",
    "<think>",
    "</think>",
    "<answer>",
    "the ",
    "中",
    "。",
]


@pytest.mark.parametrize("piece", HOSTILE, ids=short)
def test_anything_repeated_takes_linear_time(piece: str) -> None:
    text = piece * (10**5 // len(piece))
    with within(4):  # about 0.5 s; a quadratic check among the 35 would take minutes
        verify(text, EVERYTHING)
        verify(f"x{text}x", EVERYTHING)


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["Mr. Smith went. ", "[", "<<", "*\n", "...", "{", "the cat ", "\ud800"], ids=short)
def test_a_megabyte_is_bounded(piece: str) -> None:
    with within(15):  # 1 to 3 s
        verify(piece * (10**6 // len(piece)), EVERYTHING)


def test_loose_scoring_of_a_long_text_is_bounded() -> None:
    with within(12):
        verify("*a\n" * 100_000, EVERYTHING | {"mode": "loose"})


texts = st.text(st.sampled_from(string.ascii_letters + " .,!?*[]<>-\n\"'#")) | st.text()


@given(texts, st.permutations(range(len(CASES))), st.sampled_from(["strict", "loose"]))
@settings(max_examples=150, deadline=None)
def test_the_order_of_instructions_does_not_matter(text: str, order: list[int], mode: str) -> None:
    shuffled = {key: [values[k] for k in order] for key, values in EVERYTHING.items()}
    first, second = verify(text, EVERYTHING | {"mode": mode}), verify(text, shuffled | {"mode": mode})
    assert first.reward == second.reward
    assert sorted(first.parts.values()) == sorted(second.parts.values())
    by_kind = [
        {k: sorted(v for n, v in s.parts.items() if n.partition("#")[0] == k) for k in CHECKS} for s in (first, second)
    ]
    assert by_kind[0] == by_kind[1]


@given(texts)
@settings(max_examples=150, deadline=None)
def test_loose_keeps_whatever_strict_keeps_and_judging_is_deterministic(text: str) -> None:
    strict, loose = verify(text, EVERYTHING), verify(text, EVERYTHING | {"mode": "loose"})
    assert all(loose.parts[name] >= kept for name, kept in strict.parts.items())
    assert strict == verify(text, EVERYTHING)


def test_language_without_its_package_is_told_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    language._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(UserError, match="pip install py3langid"):
        ask("language:response_language", "Guten Tag", {"language": "de"})
    assert ask("punctuation:no_comma", "Guten Tag") == 1.0
    language._identifier.cache_clear()


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
    with within(2.0):  # 10,000 of them, every call type-checked here; 0.25 s without
        for _ in range(10_000):
            verify(reply, asked)
