"""From the column layouts of the field to one: plain strings under `prompt`, `completion`, `chosen`, `rejected`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from labkit.errors import UserError

__all__ = ["Kind", "standard_row"]

Kind = Literal["demonstrations", "comparisons", "feedback"]

# Other names of the same column, in the order in which they are looked for.
PROMPTS = ("prompt", "question", "instruction", "query")
COMPLETIONS = ("completion", "response", "answer", "output", "messages")
LABELS = ("label", "labels")
TURN = "\n\nAssistant:"  # hh-rlhf writes a dialogue as one string: "\n\nHuman: ...\n\nAssistant: ..."


def standard_row(row: Any, kind: Kind, where: str, keep: Sequence[str] = ()) -> dict[str, Any]:
    r"""One row in the standard columns of its kind; `where` names it in errors.

    Of the row's other columns those in `keep` are handed on as they are, where the row has them; the rest is dropped.
    Raises UserError for a row that lacks a column of its kind, or has something else in it.

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
    """
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: a row is a table of columns, not {type(row).__name__}")
    standard = _comparison(row, where) if kind == "comparisons" else _reply(row, kind, where)
    return standard | {name: row[name] for name in keep if name in row and name not in standard}


def _reply(row: Mapping[str, Any], kind: Kind, where: str) -> dict[str, Any]:
    """A demonstration, or (kind `feedback`) a reply with its label."""
    prompt = _first(row, PROMPTS)
    history, reply = _split_messages(_required(row, COMPLETIONS, where), where)
    asked = history if prompt is None else _text(prompt, where)
    if asked is None:
        raise UserError(f"{where}: no prompt; expected one of the columns {', '.join(PROMPTS)}")
    if kind == "demonstrations":
        return {"prompt": asked, "completion": reply}
    label = _required(row, LABELS, where)
    if label not in (True, False):  # 1 and 0 are equal to them
        raise UserError(f"{where}: a label is true or false, not {label!r}")
    return {"prompt": asked, "completion": reply, "label": bool(label)}


def _comparison(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    chosen, rejected = (_required(row, (name,), where) for name in ("chosen", "rejected"))
    prompt = _first(row, PROMPTS)
    if prompt is None and isinstance(chosen, str) and isinstance(rejected, str):
        return _cut_dialogues(chosen, rejected, where)
    (history, preferred), (_, other) = (_split_messages(side, where) for side in (chosen, rejected))
    asked = history if prompt is None else _text(prompt, where)
    if asked is None:
        raise UserError(f"{where}: no prompt; expected one of the columns {', '.join(PROMPTS)}")
    return {"prompt": asked, "chosen": preferred, "rejected": other}


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
    """One turn of a chat, as the field writes it."""

    content: str
    role: str = "user"


_TEXTS: TypeAdapter[str | list[Message]] = TypeAdapter(str | Annotated[list[Message], Field(min_length=1)])


def _texts(value: Any, what: str, where: str) -> str | list[Message]:
    """A text as it is, or a list of messages, one at least."""
    try:
        return _TEXTS.validate_python(value)
    except ValidationError:
        told = "is a text or a list of messages, and a message is {'role': ..., 'content': text}"
        raise UserError(f"{where}: a {what} {told}, not {ascii(value)[:60]}") from None


def _split_messages(value: Any, where: str) -> tuple[str | None, str]:
    """What came before, as text (None: nothing did), and the reply, from a string or a list of messages."""
    texts = _texts(value, "reply", where)
    if isinstance(texts, str):
        return None, texts
    return (_joined(texts[:-1]) if len(texts) > 1 else None), texts[-1].content


def _text(value: Any, where: str) -> str:
    """A prompt as text: a string as it is; one message's content; several messages with their roles before them."""
    texts = _texts(value, "prompt", where)
    return texts if isinstance(texts, str) else _joined(texts)


def _joined(messages: list[Message]) -> str:
    if len(messages) == 1:
        return messages[0].content
    return "\n".join(f"{message.role}: {message.content}" for message in messages)


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of these columns that the row has; None where it has none of them."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def _required(row: Mapping[str, Any], names: Sequence[str], where: str) -> Any:
    value = _first(row, names)
    if value is None:
        raise UserError(f"{where}: no column {' or '.join(names)}; it has {', '.join(map(str, row)) or 'none'}")
    return value
