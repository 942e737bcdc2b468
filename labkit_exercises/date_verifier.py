"""Homework 1: a verifier for dates."""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Callable

from labkit.exercises.exercise import Case, Exercise, Misconception

__all__ = ["EXERCISE"]


def date_verifier(completion: str, reference: str) -> bool:
    import re
    from datetime import date

    from labkit.verifiers import extract_answer

    months = (
        "january february march april may june july august september october november december jan feb mar apr may jun "
        "jul aug sep oct nov dec"
    ).split()
    days = "monday tuesday wednesday thursday friday saturday sunday mon tue wed thu fri sat sun".split()
    day, month, year = r"(?P<d>[0-9]{1,2})(?:st|nd|rd|th)?", rf"(?P<m>{'|'.join(months)})", r"(?P<y>[0-9]{4})"
    forms = (
        r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})",
        rf"{day} (?:of )?{month},? {year}",
        rf"{month} {day},? {year}",
    )
    answer = extract_answer(completion)
    if answer is None or len(answer) > 100:
        return False
    text = " ".join(answer.lower().split()).removesuffix(".")
    for form in forms:
        match = re.fullmatch(rf"(?:(?P<w>{'|'.join(days)}),? )?{form}", text)
        if match:
            number = int(match["m"]) if match["m"][0].isdigit() else months.index(match["m"]) % 12 + 1
            try:
                named = date(int(match["y"]), number, int(match["d"]))
            except ValueError:  # no such day
                return False
            right_day = match["w"] is None or days.index(match["w"]) % 7 == named.weekday()
            return right_day and named.isoformat() == reference
    return False


MONTHS = (
    "January February March April May June July August September October November December Jan Feb Mar Apr May Jun Jul "
    "Aug Sep Oct Nov Dec"
).split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday Mon Tue Wed Thu Fri Sat Sun".split()


def _verifier(
    digit: str = "[0-9]",
    whole: bool = True,
    names: bool = True,
    letters: int = 0,
    weekday: str = "checked",
    slashes: str = "",
    century: bool = False,
    guarded: bool = True,
) -> Callable[[str, str], bool]:
    """The verifier with one decision of it made in another way.

    `letters`: how many letters of a month's name are looked at (0: all). `slashes`: the order of `02/03/2024`.
    """
    d, y = rf"(?P<d>{digit}{{1,2}})(?:st|nd|rd|th)?", rf"(?P<y>{digit}{{4}}{rf'|{digit}{{2}}' if century else ''})"
    m = r"(?P<m>[a-z]+)" if letters else rf"(?P<m>{'|'.join(MONTHS).lower()})"
    forms = [rf"(?P<y>{digit}{{4}})-(?P<m>{digit}{{2}})-(?P<d>{digit}{{2}})"]
    forms += [rf"{d} (?:of )?{m},? {y}", rf"{m} {d},? {y}"] if names else []
    if slashes:
        order = {"day first": ("d", "m"), "month first": ("m", "d")}[slashes]
        forms.append(rf"(?P<{order[0]}>{digit}{{1,2}})/(?P<{order[1]}>{digit}{{1,2}})/(?P<y>{digit}{{4}})")
    before = "" if weekday == "refused" else rf"(?:(?P<w>{'|'.join(DAYS).lower()}),? )?"

    def month(text: str) -> int | None:
        if text[0].isdigit():
            return int(text)
        cut = letters or None
        names = [name.lower()[:cut] for name in MONTHS]
        return names.index(text[:cut]) % 12 + 1 if text[:cut] in names else None

    def verify(completion: str, reference: str) -> bool:
        from labkit.verifiers import extract_answer

        answer = extract_answer(completion)
        if answer is None and not guarded:
            raise TypeError("expected a string")
        text = " ".join((answer or "").lower().split()).removesuffix(".")[:200]
        for form in forms:
            match = (re.fullmatch if whole else re.search)(before + form, text)
            if not match or month(match["m"]) is None:
                continue
            year = int(match["y"]) + (2000 if len(match["y"]) == 2 else 0)
            try:
                named = datetime.date(year, month(match["m"]) or 0, int(match["d"]))
            except ValueError:
                return False
            said = match.groupdict().get("w")
            right_day = weekday != "checked" or said is None or DAYS.index(said.title()) % 7 == named.weekday()
            return right_day and named.isoformat() == reference
        return False

    return verify


def _random_date(generator: random.Random) -> Case:
    right = datetime.date(1900, 1, 1) + datetime.timedelta(generator.randint(0, 50_000))
    said = right + datetime.timedelta(generator.choice([0, 0, 0, 1, 31]))
    name = MONTHS[said.month - 1]
    texts = [
        said.isoformat(),
        f"{said.day} {name} {said.year}",
        f"{name[:3]} {said.day}, {said.year}",
        f"{DAYS[said.weekday()]}, {said.day} {name} {said.year}",
        f"{DAYS[generator.randrange(7)]}, {said.day} {name} {said.year}",
        f"{said.day}/{said.month}/{said.year}",
        f"{said.month}/{said.day}/{said.year}",
        f"{said.day} {name} {said.year} or {right}",
    ]
    return Case((f"<answer>{generator.choice(texts)}</answer>", right.isoformat()))


def _case(answer: str, note: str, reference: str = "2024-02-29") -> Case:
    return Case((f"<answer>{answer}</answer>", reference), note)


EXERCISE = Exercise(
    name="date-verifier",
    title="A verifier for dates",
    notebook="hw1_write_a_verifier",
    spec=(
        "Return True when the answer of `completion` is the date `reference` (as `2024-02-29`), else False.\n\n"
        "- **Where**: the answer is what `labkit.verifiers.extract_answer(completion)` finds; it gives None where "
        "there is none.\n"
        "- **What counts**, in small or capital letters, with any white space, and perhaps a full stop at the end: "
        "`2024-02-29`; `29 February 2024`, `29th of Feb, 2024`; `February 29, 2024`, `Feb 29th 2024`. Months are "
        "written out or have three letters. `of`, the comma before the year and `st nd rd th` may be there or not.\n"
        "- **In front** may stand the day of the week, whole or in three letters, perhaps with a comma. It must be the "
        "right one.\n"
        "- **All else is False**: other words, two dates, `29/02/2024` (day or month first? it is not for a verifier "
        "to guess), years of two digits, days that do not exist, digits other than 0 to 9.\n"
        "- **Total and bounded**: no text makes it raise, and a megabyte costs it milliseconds."
    ),
    stub="def date_verifier(completion: str, reference: str) -> bool:\n    raise NotImplementedError\n",
    reference=date_verifier,
    literal=(
        _case("2024-02-29", "the plain case"),
        _case("2024-02-28", "another day"),
        _case("29 February 2024", "day, month, year"),
        _case("February 29, 2024", "month, day, year"),
        _case("29th of feb, 2024.", "small letters, an ordinal, `of`, a comma and a full stop"),
        _case("  Feb  29  2024 ", "spaces"),
        Case(("I do not know.", "2024-02-29"), "no answer at all"),
        Case(("<think>2024-02-29</think><answer>?</answer>", "2024-02-29"), "right in the thought, not in the answer"),
        _case("not 29 February 2024", "a denial that holds the right date"),
        _case("1 March 2024 or 29 February 2024", "two dates, of which one is right"),
        _case("Thursday, 29 February 2024", "the right day of the week"),
        _case("Friday, 29 February 2024", "a day of the week that was another one"),
        _case("29/02/2024", "slashes: refused, even where one reading is impossible"),
        _case("02/03/2024", "2 March or 3 February?", "2024-03-02"),
        _case("02/03/2024", "2 March or 3 February?", "2024-02-03"),
        _case("29 Feb 24", "a year of two digits"),
        _case("29 Febtober 2024", "a month that only begins like one"),
        _case("2023-02-29", "a day that does not exist", "2023-03-01"),
        _case("٢٠٢٤-٠٢-٢٩", "digits that are none of 0 to 9"),
        _case("2024-02-29 2024-02-29", "one date twice is more than a date"),
    ),
    random=_random_date,
    misconceptions=(
        Misconception(
            "raises-without-an-answer",
            _verifier(guarded=False),
            "Where a completion has no answer, `extract_answer` gives None, and the function raises. In training that "
            "happens in every batch: it must be 0, not the end of the run.",
        ),
        Misconception(
            "found-anywhere",
            _verifier(whole=False),
            "A right date anywhere in the answer is enough: `not 29 February 2024` passes, and so does a list of all "
            "days of the year. Ask for the WHOLE answer to be a date: `re.fullmatch`.",
            (_verifier(whole=False, weekday="refused"), _verifier(whole=False, digit=r"\d")),
        ),
        Misconception(
            "guesses-slashes",
            _verifier(slashes="day first"),
            "`02/03/2024` is read in one of its two ways. A verifier that guesses pays for wrong answers in half of "
            "the cases: refuse what is ambiguous.",
            (_verifier(slashes="month first"),),
        ),
        Misconception(
            "any-weekday",
            _verifier(weekday="skipped"),
            "The day of the week is skipped, not checked: an answer that says Friday where it was a Thursday holds a "
            "false claim. `date.weekday()` counts from Monday = 0.",
        ),
        Misconception(
            "no-weekday",
            _verifier(weekday="refused"),
            "Answers with the right day of the week in front are refused: a false negative. The policy will only learn "
            "to leave it out, but your accuracy is too low until it has.",
        ),
        Misconception(
            "iso-only",
            _verifier(names=False),
            "Only `2024-02-29` is accepted. Right answers in words go without reward: false negatives, which a policy "
            "that never writes that form cannot learn from.",
            (_verifier(names=False, weekday="refused"),),
        ),
        Misconception(
            "first-letters-of-the-month",
            _verifier(letters=3),
            "Only the first letters of the month are looked at, so `Febtober` is a month. Compare the whole name, or "
            "its three-letter form.",
        ),
        Misconception(
            "two-digit-years",
            _verifier(century=True),
            "`24` is taken for 2024. It could be 1924; the spec refuses it.",
        ),
        Misconception(
            "foreign-digits",
            _verifier(digit=r"\d"),
            "`\\d` matches the digits of every script, and `int` reads them too. Harmless here? Then you allow what "
            "you did not mean to: write `[0-9]`.",
        ),
    ),
    hints=(
        "Bring the answer into one form first: `' '.join(answer.lower().split())`, and refuse what is longer than a "
        "hundred characters. Then one pattern for each way to write a date, with `re.fullmatch`.",
        "Named groups, `(?P<d>[0-9]{1,2})`, let three patterns share the rest of the code. "
        "`datetime.date(year, month, day)` raises ValueError for a day that does not exist.",
        "The day of the week: an optional group in front, `(?:(?P<w>monday|...|sun),? )?`, and at the end "
        "`w is None or index of w % 7 == date.weekday()`.",
    ),
)
