"""Instructions that can be checked, strict and loose, all of them or the fraction: 112 kinds.

They are IFEval's 25, the 29 that Open Instruct adds for training (IFEvalG), and IFBench's 58, under their public ids
and arguments. `README.md` lists them, with what each asks and where it differs from the public checker.

- `registry`: the decorator under which each kind is entered, and the types of arguments;
- the kinds, by family: `keywords`, `case`, `length`, `words`, `sentences`, `content`, `layout`, `copying`, `custom`;
- what they count: `text`, `language`, `syllables`, `verbs`, `vocabulary`;
- `reference`: the reading of labels, in the forms that published data sets have.
"""

from __future__ import annotations

from typing import Any

from labkit.verifiers.extract import ANSWER_CLOSE, ANSWER_OPEN, split_thinking
from labkit.verifiers.instructions import case, content, copying, custom, keywords, layout, length, sentences, words
from labkit.verifiers.instructions.reference import read_reference
from labkit.verifiers.instructions.registry import CHECKS
from labkit.verifiers.score import Score

_FAMILIES = (keywords, case, length, words, sentences, content, layout, copying, custom)  # imported, each is entered

__all__ = ["CHECKS", "loose_variants", "response_of", "verify"]


def verify(completion: str, reference: Any) -> Score:
    """Judge whether a response keeps its instructions: reward 1.0 when it keeps all of them, else 0.0.

    `reference` is IFEval's own `{"instruction_id_list": [ids], "kwargs": [arguments of each]}`, or Open Instruct's
    label in any of its forms (see `read_reference`), with two more keys:

    - `"mode"`: "strict" (default), or "loose": an instruction is kept when any of IFEval's eight variants of the
      response keeps it (without its first line, its last line, both; each with and without asterisks);
    - `"reward"`: "all" (default), or "fraction": the share of instructions kept, as in Tulu 3.

    `parts`: 0 or 1 for each id (`id#2` where an id comes twice), `all` and `fraction`. An empty response keeps
    nothing. A malformed reference raises `UserError`, since no completion can fix it.

    The whole response is judged, not an answer inside it: thinking is left out and the tags `<answer>` and
    `</answer>` are, what stands outside them is not. `extracted` is None, since there is no answer to vote on.

    Bounds: linear time for each instruction, at most 100 of them. `language:response_language` and
    `change_case:english_*` ask py3langid, which takes about 50 us per sentence; the others a few.

    >>> asked = {"instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
    ...          "kwargs": [{}, {"relation": "at least", "num_words": 5}]}
    >>> verify("<think>easy, this</think>Roses are red and violets blue", asked).reward
    1.0
    >>> verify("Roses are red, violets blue", asked).reason
    'keeps 1 of 2 instructions; punctuation:no_comma: has a comma'
    >>> verify("Here you are, as asked:\\nRoses are red and violets blue", asked | {"mode": "loose"}).reward
    1.0
    >>> verify("Roses are red, violets blue", asked | {"reward": "fraction"}).reward
    0.5
    """
    asked = read_reference(reference)
    response = response_of(completion)
    variants = [response]
    parts: dict[str, float] = {}
    complaints = []
    for name, kind, arguments in asked.instructions:
        check = CHECKS[kind]
        complaint = check(response, **arguments) if response else "the response is empty"
        if complaint is not None and asked.mode == "loose":
            if len(variants) == 1:
                variants += loose_variants(response)
            if any(check(variant, **arguments) is None for variant in variants[1:]):
                complaint = None
        parts[name] = float(complaint is None)
        if complaint is not None:
            complaints.append(f"{name}: {complaint}")
    total = len(asked.instructions)
    fraction = (total - len(complaints)) / total
    parts |= {"all": float(not complaints), "fraction": fraction}
    reward = fraction if asked.reward == "fraction" else parts["all"]
    return Score(reward, _reason(complaints, total), None, parts)


def response_of(completion: str) -> str:
    """What is judged: the completion without thinking, answer tags, blank lines before it and white space behind it.

    The first line keeps its indentation, since `format:line_indent` asks for it.

    >>> response_of("<think>hm</think>\\n\\n<answer>yes</answer> indeed ")
    'yes indeed'
    """
    visible = split_thinking(completion)[1]
    return _trim(visible.replace(ANSWER_OPEN, "").replace(ANSWER_CLOSE, ""))


def _trim(text: str) -> str:
    text = text.rstrip()
    return text[text.rfind("\n", 0, len(text) - len(text.lstrip())) + 1 :]


def loose_variants(response: str) -> list[str]:
    """IFEval's other seven variants of a response; those that are empty keep nothing and are left out.

    >>> loose_variants("Sure!\\n*yes*\\nBye")
    ['Sure!\\nyes\\nBye', '*yes*\\nBye', 'Sure!\\n*yes*', '*yes*', 'yes\\nBye', 'Sure!\\nyes', 'yes']
    """
    lines = response.split("\n")
    cut = [_trim("\n".join(part)) for part in (lines[1:], lines[:-1], lines[1:-1])]
    variants = [response.replace("*", ""), *cut, *(text.replace("*", "") for text in cut)]
    return [variant for variant in variants if variant.strip()]


def _reason(complaints: list[str], total: int, shown: int = 3) -> str:
    if not complaints:
        return f"keeps {'its one instruction' if total == 1 else f'all {total} instructions'}"
    more = f"; and {len(complaints) - shown} more" if len(complaints) > shown else ""
    return f"keeps {total - len(complaints)} of {total} instructions; {'; '.join(complaints[:shown])}{more}"
