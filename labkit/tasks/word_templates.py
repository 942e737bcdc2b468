"""Templates of word problems: each draws its numbers so that the answer is a whole number, and states its steps.

A template returns `Drawn(numbers, text, answer)`; `text` has `{a}`, `{b}` for names and `{thing}`, `{place}` for words
that do not change the answer. `largest` bounds the numbers that are drawn (not the answer).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

NAMES = (
    "Ada Amir Anna Ben Carla Chen Dana Elif Emma Farid Grace Hana Ivan Jonas Kofi Lena Liam Maya Mia Nadia Noah Omar "
    "Priya Rosa Sam Sofia Tom Uma Viktor Yuki Zoe".split()
)
THINGS = "apples pears marbles stickers pencils shells books cards buttons coins stamps beads postcards".split()
PLACES = ["a market", "a small shop", "a school fair", "a farm shop", "a garden centre", "a corner store"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn problem: the numbers that make it what it is, its text with gaps for names, its answer."""

    numbers: tuple[int, ...]
    text: str
    answer: int


Template = Callable[[random.Random, int], Drawn]
TEMPLATES: dict[str, tuple[int, Template]] = {}
"""Name -> (number of steps, template)."""


def template(steps: int) -> Callable[[Template], Template]:
    """Enters a template under its function's name."""

    def enter(make: Template) -> Template:
        TEMPLATES[make.__name__] = (steps, make)
        return make

    return enter


@template(1)
def get_more(rng: random.Random, largest: int) -> Drawn:
    """x + y."""
    x, y = rng.randint(2, largest), rng.randint(2, largest)
    return Drawn(
        (x, y), f"{{a}} has {x} {{thing}}. {{b}} gives {{a}} {y} more. How many {{thing}} does {{a}} have now?", x + y
    )


@template(1)
def give_away(rng: random.Random, largest: int) -> Drawn:
    """x - y."""
    x = rng.randint(4, largest)
    y = rng.randint(1, x - 1)
    return Drawn((x, y), f"{{a}} has {x} {{thing}} and gives {y} of them to {{b}}. How many {{thing}} are left?", x - y)


@template(1)
def boxes(rng: random.Random, largest: int) -> Drawn:
    """x * y."""
    x, y = rng.randint(2, 12), rng.randint(2, largest)
    return Drawn((x, y), f"{{a}} fills {x} boxes with {y} {{thing}} each. How many {{thing}} is that in all?", x * y)


@template(1)
def share(rng: random.Random, largest: int) -> Drawn:
    """x / y without a remainder."""
    y, each = rng.randint(2, 12), rng.randint(2, largest)
    text = f"{{a}} shares {y * each} {{thing}} equally among {y} friends. How many {{thing}} does each friend get?"
    return Drawn((y * each, y), text, each)


@template(1)
def difference(rng: random.Random, largest: int) -> Drawn:
    """How many more."""
    x, more = rng.randint(2, largest), rng.randint(1, largest)
    text = f"{{a}} has {x + more} {{thing}}, {{b}} has {x}. How many more {{thing}} does {{a}} have than {{b}}?"
    return Drawn((x + more, x), text, more)


@template(2)
def three_sums(rng: random.Random, largest: int) -> Drawn:
    """x + y - z."""
    x, y = rng.randint(2, largest), rng.randint(2, largest)
    z = rng.randint(1, x + y - 1)
    text = f"{{a}} picks {x} {{thing}} in the morning and {y} in the afternoon, then sells {z} of them at {{place}}. "
    return Drawn((x, y, z), text + "How many {thing} are left?", x + y - z)


@template(2)
def twice_as_many(rng: random.Random, largest: int) -> Drawn:
    """x + k x."""
    x, times = rng.randint(2, largest), rng.choice([2, 3, 4])
    word = {2: "twice", 3: "three times", 4: "four times"}[times]
    text = f"{{a}} has {x} {{thing}}. {{b}} has {word} as many. How many {{thing}} do they have together?"
    return Drawn((x, times), text, x * (1 + times))


@template(2)
def change_money(rng: random.Random, largest: int) -> Drawn:
    """Paid - x * y."""
    count, price, change = rng.randint(2, 9), rng.randint(2, max(2, largest // 2)), rng.randint(1, largest)
    paid = count * price + change
    text = f"At {{place}}, {{a}} buys {count} bags of {{thing}} for {price} dollars each and pays with {paid} dollars. "
    return Drawn((count, price, paid), text + "How many dollars of change does {a} get?", change)


@template(2)
def earn_and_spend(rng: random.Random, largest: int) -> Drawn:
    """hours * wage - spent."""
    hours, wage = rng.randint(2, 10), rng.randint(3, max(3, largest))
    spent = rng.randint(1, hours * wage - 1)
    text = f"{{a}} works {hours} hours for {wage} dollars an hour, and spends {spent} dollars at {{place}}. "
    return Drawn((hours, wage, spent), text + "How many dollars are left?", hours * wage - spent)


@template(2)
def pages_left(rng: random.Random, largest: int) -> Drawn:
    """(pages - read) / a day."""
    per_day, days, read = rng.randint(2, 12), rng.randint(2, max(2, largest // 2)), rng.randint(1, largest)
    pages = per_day * days + read
    text = f"A book has {pages} pages. {{a}} has read {read} of them and reads {per_day} pages a day from now on. "
    return Drawn((pages, read, per_day), text + "In how many days is the book finished?", days)


@template(2)
def half_then_more(rng: random.Random, largest: int) -> Drawn:
    """x / 2 + y."""
    half, y = rng.randint(1, largest), rng.randint(1, largest)
    text = f"{{a}} had {2 * half} {{thing}} and gave half of them to {{b}}. Then {{a}} found {y} more. "
    return Drawn((2 * half, y), text + "How many {thing} does {a} have now?", half + y)


@template(3)
def two_prices(rng: random.Random, largest: int) -> Drawn:
    """a x + b y."""
    n, m = rng.randint(2, 9), rng.randint(2, 9)
    x, y = rng.randint(1, largest), rng.randint(1, largest)
    text = (
        f"Tickets cost {x} dollars for a child and {y} dollars for an adult. {{a}} buys {n} tickets for children and "
    )
    return Drawn((n, x, m, y), text + f"{m} for adults. How many dollars does {{a}} pay?", n * x + m * y)


@template(3)
def crates_sold(rng: random.Random, largest: int) -> Drawn:
    """(crates * each - broken) / bag."""
    bag, bags, crates = rng.randint(2, 9), rng.randint(2, max(2, largest)), rng.randint(2, 8)
    each = -(-bag * bags // crates)
    broken = crates * each - bag * bags
    if broken == 0:
        each, broken = each + 1, crates
    text = (
        f"{{a}} buys {crates} crates with {each} {{thing}} each. {broken} of the {{thing}} are broken and thrown away. "
    )
    text += f"The others are packed into bags of {bag}. How many bags does {{a}} fill?"
    return Drawn((crates, each, broken, bag), text, bags)


@template(3)
def savings(rng: random.Random, largest: int) -> Drawn:
    """(price - had) / (earned - spent a week)."""
    net, weeks, spent = rng.randint(1, 12), rng.randint(2, 12), rng.randint(1, max(1, largest // 2))
    had = rng.randint(1, largest)
    price = had + net * weeks
    text = (
        f"A bicycle costs {price} dollars. {{a}} has {had} dollars, gets {net + spent} dollars a week for helping at "
    )
    text += f"{{place}} and spends {spent} dollars of it each week. After how many weeks can {{a}} buy the bicycle?"
    return Drawn((price, had, net + spent, spent), text, weeks)


@template(3)
def classes(rng: random.Random, largest: int) -> Drawn:
    """(x + y + teachers) / seats, rounded up."""
    x, y, teachers, seats = (
        rng.randint(5, largest + 5),
        rng.randint(5, largest + 5),
        rng.randint(1, 4),
        rng.randint(3, 9),
    )
    adults = f"{teachers} teachers" if teachers > 1 else "1 teacher"
    text = f"{x} children of one class and {y} of another go on a trip with {adults}. "
    text += f"Each van has {seats} seats for them. How many vans are needed?"
    return Drawn((x, y, teachers, seats), text, -(-(x + y + teachers) // seats))


@template(3)
def relay_ages(rng: random.Random, largest: int) -> Drawn:
    """Ages: younger = x; older = x + d; the sum in some years."""
    x, gap, years = rng.randint(2, largest), rng.randint(1, 15), rng.randint(2, 12)
    text = f"{{a}} is {x} years old. {{b}} is {gap} years older than {{a}}. "
    return Drawn((x, gap, years), text + f"How old will they be together in {years} years?", 2 * x + gap + 2 * years)
