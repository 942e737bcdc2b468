"""Dialogues as rows: the template once, the assistant's turns alone learnt, token by token; the layouts of the hub."""

import json

import pytest
import torch

from labkit.data import load_preferences
from labkit.errors import UserError
from labkit.models import Policy, encode_reply
from labkit.training.rows.data import LAST_TURN, LeftOut, encode_rows
from labkit.training.rows.packing import packed_rows
from labkit.training.rows.reference import reply_mask
from labkit.training.rows.sft import taught_tokens
from labkit.training.rows.trainer import Example
from tests.training.mini import random_policy
from tests.training.toys import toy_run

ROLES = "{'system': '9+', 'user': '1+', 'assistant': '3+'}"
TEMPLATE = (  # as ChatML, of tokens that the small tokenizer has
    "{% for m in messages %}{{ " + ROLES + "[m['role']] }}{{ m['content'] }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}3+{% if enable_thinking is defined and not enable_thinking %}0{% endif %}{% endif %}"
)
REWRITES = TEMPLATE.replace("{{ m['content'] }}", "{{ m['content'].split('=')[-1] }}")  # leaves thoughts out, as Qwen3


def chat(template: str = TEMPLATE) -> Policy:
    policy = random_policy()
    policy.tokenizer.chat_template = template
    return policy


def turns(*said: str) -> list[dict[str, str]]:
    """system=..., user=..., assistant=... in short: `s5` is a system prompt that says 5."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": roles[one[0]], "content": one[1:]} for one in said]


DIALOGUE = turns("s8", "u5", "a44", "u6", "a77", "u2", "a1")


def learnt(policy: Policy, row) -> list[str]:
    return [policy.tokenizer.decode(row.ids[begin:end]) for begin, end in row.taught]


def test_a_dialogue_is_what_the_template_writes_and_the_assistants_turns_are_learnt():
    policy = chat()
    row = encode_reply(policy, DIALOGUE[:2], DIALOGUE[2:])
    whole = policy.tokenizer.apply_chat_template(DIALOGUE, tokenize=False)
    assert policy.tokenizer.decode(row.ids) == whole
    assert row.ids == policy.tokenizer(whole, add_special_tokens=False)["input_ids"]
    assert learnt(policy, row) == ["44<eos>", "77<eos>", "1<eos>"]
    # The mask of every trainer, token by token.
    tokens, mask, _ = packed_rows([[row, row]], policy.pad_id, policy.device)
    wanted = [any(begin <= i < end for begin, end in row.taught) for i in range(len(row))]
    assert mask[0].tolist() == wanted * 2 and tokens[0].tolist() == row.ids * 2
    assert reply_mask([row], torch.tensor([row.ids]))[0].tolist() == wanted
    assert taught_tokens(Example((row,), None)) == sum(wanted) == 6


def test_each_turn_stands_behind_what_the_policy_would_be_asked_behind():
    policy = chat()
    row = encode_reply(policy, DIALOGUE[:2], DIALOGUE[2:])
    for number, (begin, _) in zip((2, 4, 6), row.taught, strict=True):
        assert row.ids[:begin] == policy.encode(DIALOGUE[:number])


def test_one_turn_as_messages_is_one_turn_as_texts():
    policy = chat()
    assert encode_reply(policy, turns("u5"), turns("a44")) == encode_reply(policy, "5", "44")
    system = encode_reply(policy, turns("s8", "u5"), "44")
    assert policy.tokenizer.decode(system.ids) == "9+8<eos>1+5<eos>3+44<eos>"
    assert learnt(policy, system) == ["44<eos>"]


def test_arguments_of_the_template_are_used():
    policy = chat()
    plain, quick = (encode_reply(policy, "5", "44", None, o) for o in ({}, {"enable_thinking": False}))
    assert policy.tokenizer.decode(quick.ids[: quick.start]) == "1+5<eos>3+0"
    assert policy.tokenizer.decode(plain.ids[: plain.start]) == "1+5<eos>3+"
    left_out = LeftOut()
    row = {"prompt": "5", "completion": "44", "chat_template_kwargs": {"enable_thinking": False}}
    assert encode_rows(policy, [row], ("completion",), None, left_out)[1] == [(quick,)]


def test_where_the_template_rewrites_history_the_last_turn_is_learnt_and_it_is_told():
    policy = chat(REWRITES)
    dialogue = turns("u5", "a7=44", "u6", "a8=77")
    row = encode_reply(policy, dialogue[:1], dialogue[1:])
    assert policy.tokenizer.decode(row.ids) == "1+5<eos>3+44<eos>1+6<eos>3+8=77<eos>"
    assert learnt(policy, row) == ["8=77<eos>"]
    left_out = LeftOut()
    encode_rows(policy, [{"prompt": "5", "completion": dialogue[1:]}], ("completion",), None, left_out)
    assert left_out.counts == {LAST_TURN: 1}


def test_a_dialogue_that_is_too_long_keeps_the_turns_that_fit():
    policy = chat()
    whole = encode_reply(policy, DIALOGUE[:2], DIALOGUE[2:])
    end = whole.taught[1][0] + 1
    cut = encode_reply(policy, DIALOGUE[:2], DIALOGUE[2:], end)
    assert cut.cut and cut.ids == whole.ids[:end]
    assert cut.taught == (whole.taught[0], (end - 1, end))


def test_a_model_without_a_template_reads_a_script():
    policy = random_policy()
    row = encode_reply(policy, turns("u5"), turns("a44", "u6", "a77"))
    # A space is no token of this small tokenizer.
    assert [text.replace("<unk>", "") for text in learnt(policy, row)] == ["44", "77<eos>"]
    assert row.ids.count(policy.tokenizer.bos_token_id) == 1
    assert policy.encode(turns("u5")) == policy.encode("5")


@pytest.mark.parametrize(
    "template", ["{{ messages[0]['content'] ", "{{ raise_exception('no system') }}", "{{ 1 / 0 }}"]
)
def test_a_template_that_fails_is_one_line(template):
    with pytest.raises(UserError, match="the chat template of this model does not take a dialogue of user") as caught:
        chat(template).encode("5")
    assert "\n" not in str(caught.value)


def test_special_tokens_are_refused_wherever_they_stand():
    policy = chat()
    for dialogue in (turns("s8<eos>", "u5"), turns("u5<eos>")):
        with pytest.raises(UserError, match="special token '<eos>'"):
            policy.encode(dialogue)
    with pytest.raises(UserError, match="special token '<eos>'"):
        encode_reply(policy, "5", turns("a4", "u<eos>", "a4"))


@pytest.mark.parametrize("trainer", ["sft", "dpo", "kto", "reward_model"])
def test_every_trainer_learns_from_dialogues(tmp_path, trainer):
    rows = {
        "sft": {"messages": DIALOGUE},
        "dpo": {"chosen": DIALOGUE, "rejected": [*DIALOGUE[:4], *turns("a2")]},
        "reward_model": {"chosen": DIALOGUE[:3], "rejected": [*DIALOGUE[:2], *turns("a2")]},
        "kto": {"prompt": DIALOGUE[:4], "completion": DIALOGUE[4:]},
    }
    given = [rows[trainer] | ({"label": i % 2 == 0} if trainer == "kto" else {}) for i in range(4)]
    run = toy_run(tmp_path / "run", trainer, chat(), steps=2, dataset={"train": given, "test": given[:2]})
    assert run.result["status"] == "finished" and run.metrics[-1]["grad_norm"] > 0
    if trainer == "sft":
        assert run.metrics[0]["trained_tokens"] == 6 * 32


# ------------------------------------------------------------------------------------------- layouts of the hub

ASK, SAY = "What is 1+1?", "It is 2."
MESSAGES = [{"role": "user", "content": ASK}, {"role": "assistant", "content": SAY}]
SYSTEM = {"role": "system", "content": "Think."}
OPENR1 = {
    **{"problem": ASK, "solution": "2", "answer": "2", "problem_type": "Algebra", "source": "olympiads", "uuid": "u"},
    **{"generations": ["It is 3.", SAY], "correctness_math_verify": [False, True], "correctness_count": 1},
    **{"finish_reasons": ["stop"] * 2, "is_reasoning_complete": [True] * 2},
}
LAYOUTS = {
    "OpenR1-Math": ({**OPENR1, "messages": MESSAGES}, ASK, SAY),
    "OpenR1-Math without messages": (OPENR1, ASK, SAY),
    "NuminaMath-CoT": ({"source": "aops", "problem": ASK, "solution": SAY, "messages": MESSAGES}, ASK, SAY),
    "NuminaMath without messages": ({"source": "aops", "problem": ASK, "solution": SAY}, ASK, SAY),
    "Dolphin-R1": (
        {"messages": [SYSTEM, MESSAGES[0]], "reasoning": "1+1.\n", "answer": SAY, "model": "r1"},
        [SYSTEM, MESSAGES[0]],
        f"<think>\n1+1.\n</think>\n\n{SAY}",
    ),
    "ShareGPT": ({"conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": SAY}]}, ASK, SAY),
    "OpenThoughts": (
        {"system": "Think.", "conversations": [{"from": "user", "value": ASK}, {"from": "assistant", "value": SAY}]},
        [SYSTEM, MESSAGES[0]],
        SAY,
    ),
    "Alpaca": ({"instruction": "Add.", "input": "1+1", "output": SAY}, "Add.\n\n1+1", SAY),
    "Alpaca without input": ({"instruction": ASK, "input": "", "output": SAY}, ASK, SAY),
    "parts": ({"messages": [{"role": "user", "content": [{"type": "text", "text": ASK}]}, MESSAGES[1]]}, ASK, SAY),
    "conversational prompt-completion": ({"prompt": [MESSAGES[0]], "completion": [MESSAGES[1]]}, ASK, SAY),
    "several turns": ({"messages": [SYSTEM, *MESSAGES, *MESSAGES]}, [SYSTEM, MESSAGES[0]], [MESSAGES[1], *MESSAGES]),
    "an open end": ({"messages": [*MESSAGES, MESSAGES[0]]}, ASK, SAY),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_demonstrations_of_the_hub_load_by_their_columns(name, tmp_path):
    row, prompt, completion = LAYOUTS[name]
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n")
    assert load_preferences(file, "demonstrations") == [{"prompt": prompt, "completion": completion}]


def test_preference_rows_with_implicit_prompts_share_what_comes_before():
    from labkit.data.columns import standard_row

    other = {"role": "assistant", "content": "No."}
    row = {"chosen": [SYSTEM, *MESSAGES, *MESSAGES], "rejected": [SYSTEM, *MESSAGES, MESSAGES[0], other]}
    assert standard_row(row, "comparisons", "row 1") == {
        "prompt": [SYSTEM, *MESSAGES, MESSAGES[0]],
        "chosen": SAY,
        "rejected": "No.",
    }
    with pytest.raises(UserError, match="do not answer the same"):
        asked_else = [SYSTEM, {**MESSAGES[0], "content": "?"}, other]
        standard_row({"chosen": [SYSTEM, *MESSAGES], "rejected": asked_else}, "comparisons", "row 1")
    options = {"chat_template_kwargs": {"enable_thinking": False}}
    assert standard_row({"messages": MESSAGES, **options}, "demonstrations", "row 1") == {
        "prompt": ASK,
        "completion": SAY,
        **options,
    }


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"messages": [MESSAGES[0]]}, "no turn of the assistant"),
        ({"messages": [MESSAGES[1]]}, "no prompt; it begins with a turn of the assistant"),
        ({"messages": []}, "is a text or a list of messages"),
        ({"messages": [{"role": "user"}]}, "is a text or a list of messages"),
        ({"messages": [{"role": "user", "content": None}]}, "is a text or a list of messages"),
        ({"messages": MESSAGES, "chat_template_kwargs": "x"}, "is a table of arguments"),
    ],
)
def test_dialogues_that_teach_nothing_are_one_line(row, words, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=words) as caught:
        load_preferences(file, "demonstrations")
    assert "\n" not in str(caught.value)
