"""Exercise of notebook 02: a conversation as the text that the model reads."""

from __future__ import annotations

import random

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]

Messages = list[dict[str, str]]


def chat_template(messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    text = ""
    for message in messages:
        if message["role"] == "user":
            text += f"user: {message['content']}\n"
        else:
            text += f"bot: {message['content']}<eos>\n"
    return text + "bot:" if add_generation_prompt else text


def _render(
    messages: Messages, opening: str, *, bot: str = "bot", user_end: str = "\n", bot_end: str = "<eos>\n"
) -> str:
    text = ""
    for message in messages:
        user = message["role"] == "user"
        text += f"{'user' if user else bot}: {message['content']}{user_end if user else bot_end}"
    return text + opening


def _messages(*turns: str) -> Messages:
    return [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]


def _random_chat(generator: random.Random) -> Case:
    turns = [generator.choice(["open the door", "thanks", "no.", "sure."]) for _ in range(generator.randint(1, 4))]
    return Case((_messages(*turns), len(turns) % 2 == 1 and generator.random() < 0.8))


EXERCISE = Exercise(
    name="chat-template",
    title="A chat template",
    notebook="02_instruction_tuning",
    spec=(
        'Turn `messages`, a list of `{"role": "user" or "assistant", "content": ...}`, into the text that the model '
        "reads:\n\n"
        "- a user's message is `user: `, the content, and a line break;\n"
        "- the assistant's is `bot: `, the content, `<eos>`, and a line break: the eos is where a reply ends, and what "
        "the model must learn to write;\n"
        "- with `add_generation_prompt` the text ends in `bot:`, without a space after it: now it is the model's turn."
    ),
    stub=(
        "def chat_template(messages: list[dict[str, str]], add_generation_prompt: bool) -> str:\n"
        "    raise NotImplementedError\n"
    ),
    reference=chat_template,
    literal=(
        Case((_messages("open the door"), True), "one request, and it is the model's turn"),
        Case((_messages("open the door", "sure."), False), "a demonstration to train on: the reply ends in <eos>"),
        Case((_messages("open the door", "sure.", "thanks"), True), "a second request in the same conversation"),
    ),
    random=_random_chat,
    misconceptions=(
        Misconception(
            "no-generation-prompt",
            lambda messages, add_generation_prompt: _render(messages, ""),
            "The `bot:` at the end is missing. Without it nothing tells the model whose turn it is: it may go on as "
            "the user.",
        ),
        Misconception(
            "always-generation-prompt",
            lambda messages, add_generation_prompt: _render(messages, "bot:"),
            "`bot:` is always put at the end. In a demonstration that is complete it would teach the model that after "
            "each reply another one begins.",
        ),
        Misconception(
            "trailing-space",
            lambda messages, add_generation_prompt: _render(messages, "bot: " if add_generation_prompt else ""),
            "There is a space after the last `bot:`. In most tokenizers the space belongs to the next word (` sure` is "
            "one token): with a space already there, the model must begin its reply with a token that it never saw.",
        ),
        Misconception(
            "no-eos",
            lambda messages, add_generation_prompt: _render(
                messages, "bot:" if add_generation_prompt else "", bot_end="\n"
            ),
            "The replies have no `<eos>`. A model that is trained on them never learns to stop.",
        ),
        Misconception(
            "eos-after-user",
            lambda messages, add_generation_prompt: _render(
                messages, "bot:" if add_generation_prompt else "", user_end="<eos>\n"
            ),
            "The user's messages end in `<eos>` too. It marks the end of what the MODEL writes; generation would stop "
            "where the user's turn ends.",
        ),
        Misconception(
            "role-name",
            lambda messages, add_generation_prompt: _render(
                messages, "assistant:" if add_generation_prompt else "", bot="assistant"
            ),
            "The name of the role was written out as `assistant:`. This model's format calls it `bot:`; a template "
            "must match what the model was trained on, to the letter.",
        ),
        Misconception(
            "no-line-break",
            lambda messages, add_generation_prompt: _render(
                messages, "bot:" if add_generation_prompt else "", user_end="", bot_end="<eos>"
            ),
            "The messages run into one another: each ends in a line break.",
        ),
    ),
    hints=(
        "Build the text message by message; the two roles differ in name and in ending.",
        "`bot:` at the end depends on `add_generation_prompt`, and has no space: the reply brings its own.",
        'A user\'s turn is `f"user: {content}\\n"`, a bot\'s `f"bot: {content}<eos>\\n"`.',
    ),
)
