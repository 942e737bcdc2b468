"""From the column layouts of the field to one: `prompt` with `completion`, or with `chosen` and `rejected`.

Standard columns hold texts; conversational ones hold messages, `[{"role": ..., "content": ...}]`, as TRL's data formats
define both. A single question with a single answer becomes two texts. What has more (a system prompt, several turns)
stays a list of messages, of which the policy makes tokens with the model's own chat template, once.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from labkit.errors import UserError

__all__ = ["OPTIONS", "Kind", "Messages", "Text", "is_messages", "standard_row"]

Kind = Literal["demonstrations", "comparisons", "feedback"]
Messages = list[dict[str, str]]
Text = str | Messages

# Other names of the same column, in the order in which they are looked for: TRL, Alpaca, OpenR1, NuminaMath, Dolphin.
DIALOGUES = ("messages", "conversations")
PROMPTS = ("prompt", "question", "instruction", "query", "problem")
COMPLETIONS = ("completion", "response", "output", "generation", "generations", "solution", "answer")
LABELS = ("label", "labels")
SYSTEM = ("system", "system_prompt")
REASONING = ("reasoning", "thinking", "reasoning_content")
RIGHT = ("correctness_math_verify", "correctness_llama")  # OpenR1: which of a row's `generations` are right
OPTIONS = "chat_template_kwargs"
"""Arguments of the chat template for one row, such as {"enable_thinking": false}, under TRL's name."""
TURN = "\n\nAssistant:"  # hh-rlhf writes a dialogue as one string: "\n\nHuman: ...\n\nAssistant: ..."
ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "model": "assistant"}


def standard_row(row: Any, kind: Kind, where: str, keep: Sequence[str] = ()) -> dict[str, Any]:
    r"""One row in the standard columns of its kind; `where` names it in errors.

    Of the row's other columns those in `keep` are handed on as they are, where the row has them, and
    `chat_template_kwargs`; the rest is dropped. Raises UserError for a row that lacks a column of its kind, or has
    something else in it.

    >>> standard_row({"prompt": "a", "chosen": "b", "rejected": "c", "id": 7}, "comparisons", "row 1")
    {'prompt': 'a', 'chosen': 'b', 'rejected': 'c'}
    >>> ask = {"role": "user", "content": "hi"}
    >>> said = [[ask, {"role": "assistant", "content": text}] for text in ("hello", "go away")]
    >>> standard_row({"prompt": "hi", "chosen": said[0], "rejected": said[1]}, "comparisons", "row 1")
    {'prompt': 'hi', 'chosen': 'hello', 'rejected': 'go away'}
    >>> hh = {"chosen": "\n\nHuman: hi\n\nAssistant: hello", "rejected": "\n\nHuman: hi\n\nAssistant: no"}
    >>> standard_row(hh, "comparisons", "row 1")
    {'prompt': '\n\nHuman: hi\n\nAssistant:', 'chosen': ' hello', 'rejected': ' no'}
    >>> standard_row({"question": "1+1?", "answer": "2", "steps": [1.0]}, "demonstrations", "row 1", keep=["steps"])
    {'prompt': '1+1?', 'completion': '2', 'steps': [1.0]}
    >>> polite = {"role": "system", "content": "Be polite."}
    >>> standard_row({"messages": [polite, *said[0]]}, "demonstrations", "row 1")["prompt"]
    [{'role': 'system', 'content': 'Be polite.'}, {'role': 'user', 'content': 'hi'}]
    """
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: a row is a table of columns, not {type(row).__name__}")
    standard = _comparison(row, where) if kind == "comparisons" else _reply(row, kind, where)
    if row.get(OPTIONS):
        if not isinstance(row[OPTIONS], Mapping):
            raise UserError(f"{where}: {OPTIONS} is a table of arguments of the chat template, not {row[OPTIONS]!r}")
        standard[OPTIONS] = dict(row[OPTIONS])
    return standard | {name: row[name] for name in keep if name in row and name not in standard}


def is_messages(value: object) -> bool:
    """Whether a column holds messages, and not a text."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _reply(row: Mapping[str, Any], kind: Kind, where: str) -> dict[str, Any]:
    """A demonstration, or (kind `feedback`) a reply with its label."""
    turns = _dialogue(row, where)
    start = next((i for i, turn in enumerate(turns) if turn["role"] == "assistant"), None)
    if start is None:
        raise UserError(f"{where}: no turn of the assistant in it, which is what is learnt")
    if start == 0:
        raise UserError(f"{where}: no prompt; it begins with a turn of the assistant")
    while turns[-1]["role"] != "assistant":  # what nobody answered teaches nothing
        turns = turns[:-1]
    standard: dict[str, Any] = {
        "prompt": _plain(turns[:start], "user"),
        "completion": _plain(turns[start:], "assistant"),
    }
    if kind == "demonstrations":
        return standard
    label = _required(row, LABELS, where)
    if label not in (True, False):  # 1 and 0 are equal to them
        raise UserError(f"{where}: a label is true or false, not {label!r}")
    return standard | {"label": bool(label)}


def _dialogue(row: Mapping[str, Any], where: str) -> Messages:
    """All turns of a row that has one reply (or one dialogue), its system prompt in front."""
    whole, asked = _first(row, DIALOGUES), _first(row, PROMPTS)
    if whole is not None:
        turns = _turns(whole, "dialogue", "user", where)
        if turns[-1]["role"] != "assistant":  # Dolphin-R1: the answer stands in columns of its own
            turns = turns + _thought(row, where)
    else:
        reply = _thought(row, where) if _first(row, REASONING) is not None else None
        if reply is None:
            reply = _turns(_completion(row, where), "reply", "assistant", where)
        if asked is None and not any(turn["role"] == "user" for turn in reply):
            raise UserError(f"{where}: no prompt; expected one of the columns {', '.join((*PROMPTS, *DIALOGUES))}")
        turns = ([] if asked is None else _asked(row, asked, where)) + reply
    system = _first(row, SYSTEM)
    if isinstance(system, str) and system.strip() and turns[0]["role"] != "system":
        turns = [{"role": "system", "content": system}, *turns]
    return turns


def _asked(row: Mapping[str, Any], asked: Any, where: str) -> Messages:
    """The turns of a prompt. Alpaca's `input` stands behind its instruction."""
    more = row.get("input")
    if row.get("instruction") is asked and isinstance(asked, str) and isinstance(more, str) and more.strip():
        asked = f"{asked}\n\n{more}"
    return _turns(asked, "prompt", "user", where)


def _thought(row: Mapping[str, Any], where: str) -> Messages:
    """The reply of a row that has its reasoning in one column and what was said after it in another; none: []."""
    reasoning, answer = _first(row, REASONING), _first(row, ("answer", "response", "completion", "solution"))
    if not isinstance(answer, str):
        return []
    if not isinstance(reasoning, str):
        return [{"role": "assistant", "content": answer}]
    return [{"role": "assistant", "content": f"<think>\n{reasoning.strip()}\n</think>\n\n{answer.strip()}"}]


def _completion(row: Mapping[str, Any], where: str) -> Any:
    """The value of the reply's column. Of several generations the first that is marked as right, if any are marked."""
    value = _required(row, COMPLETIONS, where)
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        marks = next((row[name] for name in RIGHT if isinstance(row.get(name), list)), [])
        right = [text for text, mark in zip(value, marks, strict=False) if mark]
        return (right or value)[0]
    return value


def _comparison(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    chosen, rejected = (_required(row, (name,), where) for name in ("chosen", "rejected"))
    prompt = _first(row, PROMPTS)
    if prompt is None and isinstance(chosen, str) and isinstance(rejected, str):
        return _cut_dialogues(chosen, rejected, where)
    asked = [] if prompt is None else _asked(row, prompt, where)
    sides = [_turns(side, "reply", "assistant", where) for side in (chosen, rejected)]
    if all(any(turn["role"] == "user" for turn in side) for side in sides):
        # The sides hold the whole dialogue: what they share is the prompt, as in TRL's implicit prompts.
        asked, sides = _shared(sides, where)
    if not asked:
        raise UserError(f"{where}: no prompt; expected one of the columns {', '.join(PROMPTS)}")
    for side in sides:
        if side[0]["role"] != "assistant":
            raise UserError(
                f"{where}: chosen and rejected do not answer the same: one goes on with {side[0]['role']!r}"
            )
    preferred, other = (_plain(side, "assistant") for side in sides)
    return {"prompt": _plain(asked, "user"), "chosen": preferred, "rejected": other}


def _shared(sides: list[Messages], where: str) -> tuple[Messages, list[Messages]]:
    """The turns that two dialogues have in common, and what follows in each. The last turn is never shared."""
    shortest, shared = min(len(side) for side in sides) - 1, 0
    while shared < shortest and sides[0][shared] == sides[1][shared]:
        shared += 1
    return sides[0][:shared], [side[shared:] for side in sides]


def _cut_dialogues(chosen: str, rejected: str, where: str) -> dict[str, str]:
    """Two dialogues, each in one string, cut behind the last `Assistant:` that they share."""
    characters = enumerate(zip(chosen, rejected, strict=False))
    parting = next((i for i, (a, b) in characters if a != b), min(len(chosen), len(rejected)))
    shared = chosen.rfind(TURN, 0, parting)
    if shared < 0:
        raise UserError(f"{where}: no prompt, and the two texts share no 'Assistant:' turn to cut them at")
    start = shared + len(TURN)
    return {"prompt": chosen[:start], "chosen": chosen[start:], "rejected": rejected[start:]}


class Message(BaseModel):
    """One turn of a chat, as the field writes it: OpenAI's names, or ShareGPT's `from` and `value`."""

    model_config = ConfigDict(extra="ignore")

    content: str
    role: Annotated[str, Field(min_length=1)] = "user"

    @model_validator(mode="before")
    @classmethod
    def _names_of_sharegpt(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        if "value" in raw and "from" in raw:
            return {"role": ROLES.get(raw["from"], raw["from"]), "content": raw["value"]}
        content = raw.get("content")
        if isinstance(content, list):  # parts, of which a language model reads the texts
            parts = [part.get("text") for part in content if isinstance(part, Mapping)]
            texts = [text for text in parts if isinstance(text, str)]
            if len(texts) == len(content):
                return {**raw, "content": "".join(texts)}
        return raw


_TEXTS: TypeAdapter[str | list[Message]] = TypeAdapter(str | Annotated[list[Message], Field(min_length=1)])


def _turns(value: Any, what: str, role: str, where: str) -> Messages:
    """A text as one turn of `role`, or a list of messages, one at least, as plain dictionaries."""
    try:
        texts = _TEXTS.validate_python(value)
    except ValidationError:
        told = "is a text or a list of messages, and a message is {'role': ..., 'content': text}"
        raise UserError(f"{where}: a {what} {told}, not {ascii(value)[:60]}") from None
    if isinstance(texts, str):
        return [{"role": role, "content": texts}]
    turns = [{"role": message.role, "content": message.content} for message in texts]
    if len(turns) == 1 and "role" not in value[0] and "from" not in value[0]:
        turns[0]["role"] = role
    return turns


def _plain(turns: Messages, role: str) -> Text:
    """The text of a single turn of `role`; the messages of everything else."""
    return turns[0]["content"] if len(turns) == 1 and turns[0]["role"] == role else turns


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of these columns that the row has; None where it has none of them."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def _required(row: Mapping[str, Any], names: Sequence[str], where: str) -> Any:
    value = _first(row, names)
    if value is None:
        raise UserError(f"{where}: no column {' or '.join(names)}; it has {', '.join(map(str, row)) or 'none'}")
    return value
