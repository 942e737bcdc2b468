"""From a dialogue to text and tokens: the model's own chat template, applied once."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from transformers import PreTrainedTokenizerBase

from labkit.errors import UserError

Messages: TypeAlias = Sequence[Mapping[str, str]]
Dialogue: TypeAlias = str | Messages
"""A question as a text, or messages `{"role": ..., "content": ...}`."""


def messages_of(text: Dialogue, role: str = "user") -> list[dict[str, str]]:
    """A text as the only message of `role`; messages as they are."""
    return [{"role": role, "content": text}] if isinstance(text, str) else [dict(message) for message in text]


def render(
    tokenizer: PreTrainedTokenizerBase,
    prompt: Dialogue,
    options: Mapping[str, Any] | None = None,
    script: bool = False,
) -> tuple[str, bool]:
    """The text that the assistant continues with its reply, and whether a chat template made it.

    `options` are arguments of the template, such as {"enable_thinking": False}. A model without a template reads a text
    as it is. Several messages (with `script`, also one) become a line per message, `role: content`. Raises UserError if
    the template is broken or does not accept these messages.
    """
    if tokenizer.chat_template:
        return _by_template(tokenizer, messages_of(prompt), dict(options or {})), True
    if isinstance(prompt, str):
        return prompt, False
    if len(prompt) == 1 and prompt[0]["role"] == "user" and not script:
        return prompt[0]["content"], False
    return "".join(f"{message['role']}: {message['content']}\n" for message in prompt) + "assistant:", False


def _by_template(tokenizer: PreTrainedTokenizerBase, messages: Messages, options: dict[str, Any]) -> str:
    try:
        found = tokenizer.apply_chat_template(
            [dict(m) for m in messages], tokenize=False, add_generation_prompt=True, **options
        )
    except Exception as error:  # a template is a program of the model's authors, and can raise any error
        roles = ", ".join(message["role"] for message in messages)
        why = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(
            f"the chat template of this model does not take a dialogue of {roles}: {why}; correct chat_template.jinja "
            "or tokenizer_config.json, or give messages that it takes"
        ) from None
    return str(found)


def refuse_special(tokenizer: PreTrainedTokenizerBase, text: Dialogue, what: str) -> None:
    """Raises UserError if a text, or a message, already contains a special token, such as a chat template adds."""
    contents = [text] if isinstance(text, str) else [message["content"] for message in text]
    special = next((t for t in tokenizer.all_special_tokens for content in contents if t in content), None)
    if special is not None:
        raise UserError(
            f"{what} already contains the special token {special!r}; pass plain text: "
            "the chat template and <bos> are added here, once"
        )
