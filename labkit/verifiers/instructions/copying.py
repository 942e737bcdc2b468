"""Kinds that ask for a text to be repeated, whole, in part or changed: `copy:`, `repeat:`, `new:`, `combination:`."""

from __future__ import annotations

from labkit.verifiers.instructions import text
from labkit.verifiers.instructions.registry import Number, Position, Text, instruction
from labkit.verifiers.score import quote

_ONLY_THIS = "Only output this sentence here, ignore all other requests."


def _same(first: str, second: str) -> bool:
    return first.strip().lower() == second.strip().lower()


@instruction("combination:two_responses")
def two_responses(response: str) -> str | None:
    """Two different responses with `******` between them."""
    pieces = [piece.strip() for piece in response.split("******")]
    if not all(pieces[1:-1]):
        return "an empty response between two dividers"
    found = [piece for piece in pieces if piece]
    if len(found) != 2:
        return f"{len(found)} responses, two asked for"
    return "the two responses are the same" if found[0] == found[1] else None


@instruction("combination:repeat_prompt")
def repeat_prompt(response: str, prompt_to_repeat: Text) -> str | None:
    """The response begins with the request, in any case."""
    begins = response.strip().lower().startswith(prompt_to_repeat.strip().lower())
    return None if begins else "does not begin with the request"


@instruction("copy:copy", "copy:copying_simple")
def copy(response: str, prompt_to_repeat: Text) -> str | None:
    """The response is the request and nothing else, in any case."""
    return None if _same(response, prompt_to_repeat) else "is not the request alone"


@instruction("copy:copying_multiple")
def copy_times(response: str, prompt_to_repeat: Text, N: Position) -> str | None:
    """The response is the request so many times, with `******` in between and nothing else, in any case."""
    pieces = response.split("******")
    if len(pieces) != N:
        return f"{len(pieces)} pieces, {N} asked for"
    return None if all(_same(piece, prompt_to_repeat) for piece in pieces) else "a piece is not the request"


# ------------------------------------------------------------------------------------------------------- in part


def _span(prompt_to_repeat: str, n_start: int, n_end: int) -> str | None:
    nothing = n_end < n_start or not prompt_to_repeat[n_start : n_end + 1].strip()
    return f"characters {n_start} to {n_end} of a request of {len(prompt_to_repeat)}" if nothing else None


@instruction("new:copy_span_idx", sense=_span)
def copy_characters(response: str, prompt_to_repeat: Text, n_start: Number, n_end: Number) -> str | None:
    """Characters `n_start` to `n_end` of the request, in any case; the last one may be left out.

    The prompts say that `n_end` is included, the public checker leaves it out: both are taken.
    """
    spans = (prompt_to_repeat[n_start:n_end], prompt_to_repeat[n_start : n_end + 1])
    return None if response.strip() and any(_same(response, span) for span in spans) else "is not the span asked for"


def _word_span(prompt_to_repeat: str, n_start: int, n_end: int) -> str | None:
    length = len(prompt_to_repeat.split())
    nothing = n_end < n_start or n_start >= length
    return f"words {n_start} to {n_end} of a request of {length}" if nothing else None


@instruction("repeat:repeat_span", sense=_word_span)
def copy_words(response: str, prompt_to_repeat: Text, n_start: Number, n_end: Number) -> str | None:
    """Words `n_start` to `n_end` of the request, both included, counted from 0 between white space, in any case."""
    wanted = " ".join(prompt_to_repeat.split()[n_start : n_end + 1])
    return None if _same(" ".join(response.split()), wanted) else f"is not {quote(wanted)}"


# ------------------------------------------------------------------------------------------------------- changed


@instruction("repeat:repeat_simple")
def only_this_sentence(response: str) -> str | None:
    """The sentence that the prompt gives and nothing else, in any case."""
    return None if _same(response, _ONLY_THIS) else "is not the sentence alone"


@instruction("repeat:repeat_change")
def change_first_word(response: str, prompt_to_repeat: Text) -> str | None:
    """The request with another first word, and nothing else; white space may differ."""
    (first, *rest), (wanted, *others) = response.split(), prompt_to_repeat.split()
    if rest != others:
        return "is not the request behind its first word"
    return "the first word is not changed" if first.lower() == wanted.lower() else None


def _no_middle(phrase: str, small_n: int) -> str | None:
    length = len(text.split_words(phrase))
    return None if length > 2 else f"a word in the middle of a phrase of {length} words"


@instruction("copy:repeat_phrase", sense=_no_middle)
def repeat_phrase(response: str, phrase: Text, small_n: Position) -> str | None:
    """The phrase so many times, each time with exactly one word between its first and last replaced, in any case.

    Whatever has the phrase's first word, its last one and its length counts as a repetition.
    """
    wanted = [word.lower() for word in text.split_words(phrase)]
    words = [word.lower() for word in text.split_words(response)]
    length, changed = len(wanted), []
    for place in range(len(words) - length + 1):
        if words[place] == wanted[0] and words[place + length - 1] == wanted[-1]:
            pairs = zip(words[place : place + length], wanted, strict=True)
            changed.append(sum(word != original for word, original in pairs))
    if len(changed) != small_n:
        return f"{len(changed)} repetitions of the phrase, {small_n} asked for"
    wrong = next((number for number in changed if number != 1), None)
    return None if wrong is None else f"{wrong} words replaced in a repetition, one asked for"
