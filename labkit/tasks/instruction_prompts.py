"""The task `instructions`: a short request with one to three instructions that can be checked, under IFEval's ids.

Whole base requests are held out, so the test split asks for texts that training never asked for.
"""

import functools
import random
from collections.abc import Callable
from typing import Any

from labkit.errors import UserError
from labkit.tasks.base import Problem, Task, split_of
from labkit.verifiers import VERIFIERS

REQUESTS = (
    """
Write a short story about a lost dog.|Describe your favourite season.|Explain why the sky is blue.
Write a poem about the sea.|Give advice to someone who starts a new job.|Describe how to make a cup of tea.
Write a letter to an old friend.|Explain what a library is for.|Describe a busy street in the morning.
Write an advertisement for a bicycle.|Explain how plants grow.|Describe a day at the beach.
Write a note to thank a neighbour.|Explain why sleep matters.|Describe a castle on a hill.
Write a review of a small restaurant.|Explain how rain is made.|Describe a train journey at night.
Write a speech for a birthday.|Explain how to plant a tree.|Describe a market full of fruit.
Write a story about two brothers and a boat.|Explain what makes a good teacher.|Describe a storm in the mountains.
Write an invitation to a picnic.|Explain why people keep pets.|Describe the house of your dreams.
Write a message to cheer up a friend.|Explain how a bridge carries weight.|Describe a winter evening at home.
Write a welcome text for a village website.|Explain why we need bees.|Describe a robot that helps in a kitchen.
Write a fable about a fox and a crow.|Explain how to learn a language.|Describe a garden after the rain.
Write a plan for a day in the city.|Explain what the moon does to the sea.|Describe the smell of a bakery.
Write a diary entry of a sailor.|Explain how to save water at home.|Describe a painting of a forest.
""".strip()
    .replace("\n", "|")
    .split("|")
)
KEYWORDS = "river music window bread garden letter morning bridge summer quiet yellow winter silver village".split()
FORBIDDEN = "very good nice people thing always really great".split()
FIRST_WORDS = "today first there many when once while every".split()
ENDINGS = ["That is all.", "Is there anything else I can help with?", "Have a good day!", "The end."]

Asking = Callable[[random.Random, str], tuple[str, dict[str, Any]]]
Kind = tuple[str, str, Asking]


def _fixed(text: str) -> Asking:
    return lambda rng, request: (text, {})


def _number(words: str, key: str, low: int, high: int, relation: str | None = None, **more: Any) -> Asking:
    """An instruction with a number `{n}`, and with a relation where there is one to choose."""

    def ask(rng: random.Random, request: str) -> tuple[str, dict[str, Any]]:
        n = rng.randint(low, high)
        chosen = rng.choice(["at least", "less than"]) if relation else ""
        arguments = {key: n, **more, **({relation: chosen} if relation else {})}
        return words.format(n=n, relation=chosen), arguments

    return ask


def _word(words: str, key: str, choices: list[str], many: bool = False, **more: Any) -> Asking:
    """An instruction with a word (or two, where `many`) `{w}`."""

    def ask(rng: random.Random, request: str) -> tuple[str, dict[str, Any]]:
        chosen = rng.sample(choices, 2 if many else 1)
        return words.format(w=" and ".join(f'"{w}"' for w in chosen)), {key: chosen if many else chosen[0], **more}

    return ask


def _repeat(rng: random.Random, request: str) -> tuple[str, dict[str, Any]]:
    return "First repeat this request word for word, without this and the other instructions.", {
        "prompt_to_repeat": request
    }


def _first_word(rng: random.Random, request: str) -> tuple[str, dict[str, Any]]:
    n, word = rng.randint(2, 4), rng.choice(FIRST_WORDS)
    k = rng.randint(1, n)
    text = f'Write {n} paragraphs with a blank line between them; paragraph {k} must begin with the word "{word}".'
    return text, {"num_paragraphs": n, "nth_paragraph": k, "first_word": word}


# Each row begins with what the instruction is about: a prompt never has two of one kind, which could contradict.
KINDS: list[Kind] = [
    ("word", "keywords:existence", _word("Use the words {w}.", "keywords", KEYWORDS, many=True)),
    ("word", "keywords:frequency",
     _word("Use the word {w} at least twice.", "keyword", KEYWORDS, frequency=2, relation="at least")),
    ("ban", "keywords:forbidden_words", _word("Do not use the words {w}.", "forbidden_words", FORBIDDEN, many=True)),
    ("ban", "punctuation:no_comma", _fixed("Do not use any commas.")),
    ("letter", "keywords:letter_frequency",
     _number('The letter "z" must appear {relation} {n} times.', "let_frequency", 1, 3, "let_relation", letter="z")),
    ("length", "length_constraints:number_words",
     _number("Use {relation} {n} words.", "num_words", 20, 60, "relation")),
    ("length", "length_constraints:number_sentences",
     _number("Use {relation} {n} sentences.", "num_sentences", 2, 6, "relation")),
    ("shape", "length_constraints:number_paragraphs",
     _number("Write exactly {n} paragraphs, divided by a line with ***.", "num_paragraphs", 2, 4)),
    ("shape", "length_constraints:nth_paragraph_first_word", _first_word),
    ("shape", "detectable_format:number_bullet_lists",
     _number("Write exactly {n} bullet points, each on a line that begins with *.", "num_bullets", 2, 5)),
    ("shape", "detectable_format:multiple_sections",
     _number("Write {n} sections, headed Section 1, Section 2 and so on.", "num_sections", 2, 4,
             section_spliter="Section")),
    ("shape", "combination:two_responses", _fixed("Give two different answers, divided by ******.")),
    ("shape", "detectable_format:json_format", _fixed("Answer in JSON alone.")),
    ("mark", "detectable_format:number_highlighted_sections",
     _number("Highlight at least {n} parts, *like this*.", "num_highlights", 1, 3)),
    ("mark", "detectable_content:number_placeholders",
     _number("Leave at least {n} gaps in square brackets, such as [name].", "num_placeholders", 1, 3)),
    ("start", "detectable_format:title", _fixed("Give a title in double angular brackets, such as <<a title>>.")),
    ("start", "combination:repeat_prompt", _repeat),
    ("end", "startend:end_checker", _word("End with exactly {w}.", "end_phrase", ENDINGS)),
    ("end", "detectable_content:postscript",
     _word("Add a postscript that begins with {w} at the end.", "postscript_marker", ["P.S.", "P.P.S"])),
    ("end", "startend:quotation", _fixed("Put your whole answer between double quotation marks.")),
    ("case", "change_case:english_capital", _fixed("Write in English and in capital letters alone.")),
    ("case", "change_case:english_lowercase", _fixed("Write in English and in small letters alone.")),
    ("case", "change_case:capital_word_frequency",
     _number("Write {relation} {n} words in capital letters alone.", "capital_frequency", 2, 4, "capital_relation")),
]  # fmt: skip
# Pairs of instructions that few texts or none can satisfy together.
CLASHES = {
    frozenset(pair)
    for pair in [
        *[("detectable_format:json_format", other[1]) for other in KINDS if other[0] in ("start", "end", "mark")],
        *[("detectable_format:json_format", kind) for kind in ("punctuation:no_comma", "change_case:english_capital")],
        *[("combination:repeat_prompt", other[1]) for other in KINDS if other[0] in ("case", "shape", "ban", "length")],
        ("combination:repeat_prompt", "startend:quotation"),
        *[("startend:end_checker", other[1]) for other in KINDS if other[0] == "ban"],
        ("length_constraints:number_paragraphs", "detectable_format:number_highlighted_sections"),
        ("change_case:english_lowercase", "detectable_format:multiple_sections"),
        ("change_case:english_capital", "detectable_format:multiple_sections"),
        *[
            ("change_case:english_lowercase", kind)
            for kind in ("detectable_content:postscript", "startend:end_checker")
        ],
    ]
}


def request_split(request: str) -> str:
    """The split of a base request."""
    return split_of(["instructions", request])


def draw(most: int, split: str, rng: random.Random) -> Problem:
    """A base request of the split with one to `most` instructions that go together."""
    request = rng.choice([text for text in REQUESTS if request_split(text) == split])
    chosen: list[Kind] = []
    wanted = rng.randint(1, most)
    for kind in rng.sample(KINDS, len(KINDS)):
        apart = all(kind[0] != c[0] and frozenset((kind[1], c[1])) not in CLASHES for c in chosen)
        if apart and len(chosen) < wanted:
            chosen.append(kind)
    asked = [(name, *ask(rng, request)) for _, name, ask in chosen]
    reference = {
        "instruction_id_list": [name for name, _, _ in asked],
        "kwargs": [arguments for _, _, arguments in asked],
    }
    prompt = " ".join([request, *(text for _, text, _ in asked)])
    return Problem(prompt, reference, f"instructions/{prompt}")


def make_instructions(most: int = 3, mode: str = "strict", reward: str = "all") -> Task:
    """The task with up to `most` instructions per prompt; `mode` (strict or loose) and `reward` (all or fraction) are
    those of the verifier. Raises UserError for other values.
    """
    if most not in (1, 2, 3):
        raise UserError(f"instructions come 1 to 3 a prompt, not {most!r}")
    check, options = VERIFIERS["instructions"], {"mode": mode, "reward": reward}
    check("", {"instruction_id_list": ["punctuation:no_comma"], **options})
    return Task(
        name="instructions",
        description=f"short texts that keep 1 to {most} checkable instructions ({len(KINDS)} kinds of IFEval)",
        verifier=check,
        draw=functools.partial(_draw_with, most, options),
        max_new_tokens=256,
        options={"most": most, **options},
    )


def _draw_with(most: int, options: dict[str, str], split: str, rng: random.Random) -> Problem:
    problem = draw(most, split, rng)
    return Problem(problem.prompt, {**problem.reference, **options}, problem.id)
