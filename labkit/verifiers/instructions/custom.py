"""IFBench's `custom:` kinds: one prompt each, whose answer has a form, and some a content, that can be checked."""

from __future__ import annotations

import datetime
import itertools
import re

from labkit.verifiers.instructions import text
from labkit.verifiers.instructions.registry import instruction
from labkit.verifiers.instructions.vocabulary import AFRICA, CAPITALS
from labkit.verifiers.score import quote

_LABEL = re.compile(r"^[#* \t]*Question\b[^\w\n]*(?:\d+)?[.):* \t]*", re.MULTILINE)
_CHOICE = re.compile(r"[-* \t]*\(?([A-E])[.):]", re.IGNORECASE)
_EXPLAINS = re.compile(r"^[* \t]*Explanation\b", re.MULTILINE | re.IGNORECASE)
_NUMBERING = re.compile(r"^[-*•\d.) \t]+")
_SMALL_WORDS = frozenset("the of and".split())
_OTHER_NAMES = {"kiev": "kyiv", "luxembourg city": "luxembourg"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@instruction("custom:multiples")
def multiples(response: str) -> str | None:
    """The multiples of 7 from 10 to 50 in order, and no other number."""
    found = re.findall(r"\d+", response)
    return None if found == ["14", "21", "28", "35", "42", "49"] else f"the numbers are {quote(', '.join(found[:10]))}"


@instruction("custom:mcq_count_length")
def multiple_choice(response: str) -> str | None:
    """Four questions under the label "Question", each longer than the one before, with five options A to E each."""
    start, *questions = _LABEL.split(response)
    if start.strip():
        return 'does not begin with "Question"'
    if len(questions) != 4:
        return f"{len(questions)} questions, 4 asked for"
    if _EXPLAINS.search(response):
        return "has an explanation"
    lengths = []
    for question in questions:
        lines = text.lines_of(question)
        options = [found.group(1).upper() for line in lines if (found := _CHOICE.match(line))]
        if sorted(options) != [*"ABCDE"]:
            return f"a question with options {' '.join(options) or 'none'}, A to E asked for"
        asked = itertools.takewhile(lambda line: not _CHOICE.match(line), lines)
        lengths.append(len(" ".join(asked)))
    if lengths[0] == 0:
        return "no words in the first question"
    grows = all(before < after for before, after in itertools.pairwise(lengths))
    return None if grows else f"questions of {', '.join(map(str, lengths))} characters"


# ----------------------------------------------------------------------------------------------------- geography


def _country(line: str) -> str | None:
    """The African country that a line names, in one of its spellings and in whatever order of words, or None."""
    words = re.findall(r"[a-z]+", text.without_accents(line[:100]).lower())
    return AFRICA.get(frozenset(words) - _SMALL_WORDS)


@instruction("custom:reverse_newline")
def african_countries(response: str) -> str | None:
    """From a line with Zimbabwe on, African countries alone, one a line, 52 at least, in reverse alphabetical order."""
    lines = [_NUMBERING.sub("", line).strip(" *_.,;:") for line in text.lines_of(response)]
    start = next((place for place, line in enumerate(lines) if _country(line) == "zimbabwe"), None)
    if start is None:
        return "no line with Zimbabwe"
    listed = lines[start:]
    stranger = next((line for line in listed if _country(line) is None), None)
    if stranger is not None:
        return f"{quote(stranger)} is no African country"
    known = {_country(line) for line in listed}
    if len(known) < 52 or len(known) < len(listed):
        return f"{len(known)} different countries on {len(listed)} lines, 52 at least asked for"
    names = [text.without_accents(line).lower().removeprefix("the ") for line in listed]
    wrong = next((after for before, after in itertools.pairwise(names) if after > before), None)
    return None if wrong is None else f"{quote(wrong)} out of order"


@instruction("custom:european_capitals_sort")
def european_capitals(response: str) -> str | None:
    """The capitals of Europe north of 45 degrees with commas between them, from north to south.

    Kyiv is missing in the public checker's list, where it stands between Brussels and Prague: with it or without.
    """
    names = [text.without_accents(name).strip(" \n.*").lower() for name in response.split(",")]
    found = [_OTHER_NAMES.get(name, name) for name in names if name]
    wanted = [name for name in CAPITALS if name != "kyiv" or name in found]
    if len(found) != len(wanted):
        return f"{len(found)} names, {len(wanted)} asked for"
    wrong = next((name for name, right in zip(found, wanted, strict=True) if name != right), None)
    return None if wrong is None else f"{quote(wrong)} out of order"


# ------------------------------------------------------------------------------------------------------ reversed


@instruction("custom:word_reverse")
def words_reversed(response: str) -> str | None:
    """One sentence with its words in reverse order about the bald eagle: so "eagle bald", and never "bald eagle"."""
    pairs = set(itertools.pairwise(word.lower() for word in text.split_words(response)))
    if ("eagle", "bald") not in pairs or ("bald", "eagle") in pairs:
        return 'without "eagle bald"'
    return None if text.count_sentences(response) <= 2 else "more than one sentence"


@instruction("custom:character_reverse")
def letters_reversed(response: str) -> str | None:
    """The bald eagle with its letters in reverse order."""
    return None if "elgae dlab" in response.lower() else 'without "elgae dlab"'


# ---------------------------------------------------------------------------------------------- tables and dates


def _table(response: str, header: str, rows: int, delimiter: str) -> tuple[str | None, list[list[str]]]:
    """(what is wrong, the fields of each line) of CSV with that header and so many rows; code fences are let pass."""
    lines = text.lines_of(text.unfenced(response))
    if len(lines) != rows + 1:
        return f"{len(lines)} lines, a header and {rows} rows asked for", []
    table = [text.split_fields(line, delimiter) for line in lines]
    if [field.strip('"') for field in table[0]] != header.split():
        return f"the header is not {', '.join(header.split())}", []
    odd = next((fields for fields in table if len(fields) != len(table[0])), None)
    return (None, table) if odd is None else (f"{len(odd)} fields on a line, {len(table[0])} asked for", [])


def _is_quoted(field: str) -> bool:
    return len(field) > 1 and field[0] == field[-1] == '"'


@instruction("custom:csv_city")
def csv_city(response: str) -> str | None:
    """CSV with the columns ID, Country, City, Year, Count and seven rows."""
    return _table(response, "ID Country City Year Count", 7, ",")[0]


@instruction("custom:csv_special_character")
def csv_special_character(response: str) -> str | None:
    """CSV with the columns ProductID, Category, Brand, Price, Stock and 14 rows, one field of which stands in double
    quotes and has a special character: neither letter, digit, white space nor underscore.
    """
    wrong, table = _table(response, "ProductID Category Brand Price Stock", 14, ",")
    special = any(_is_quoted(field) and re.search(r"[^\w\s]", field[1:-1]) for row in table[1:] for field in row)
    return wrong or (None if special else "no field in double quotes with a special character")


@instruction("custom:csv_quotes")
def csv_quotes(response: str) -> str | None:
    """Tabs between the columns StudentID, Subject, Grade, Semester, Score, three rows, each field in double quotes."""
    wrong, table = _table(response, "StudentID Subject Grade Semester Score", 3, "\t")
    bare = next((field for row in table for field in row if not _is_quoted(field)), None)
    return wrong or (None if bare is None else f"{quote(bare)} is not in double quotes")


@instruction("custom:date_format_list")
def dates(response: str) -> str | None:
    """Dates YYYY-MM-DD with commas between them and nothing else, each of a real day in Napoleon's life (1769-1821)."""
    for piece in map(str.strip, response.split(",")):
        if not _DATE.fullmatch(piece):
            return f"{quote(piece)} is no date YYYY-MM-DD"
        try:
            day = datetime.date.fromisoformat(piece)
        except ValueError:
            return f"there is no {piece}"
        if not 1769 <= day.year <= 1821:
            return f"{piece} is not in Napoleon's life"
    return None
