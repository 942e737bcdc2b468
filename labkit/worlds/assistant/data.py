"""Writes data/preferences: `python -m labkit.worlds.assistant.data --out data/preferences`.

It makes three kinds of data about the assistant's requests. Each has a train split and a test split, about different
pairs of verb and object:

- demonstrations, written by people who are all courteous but do not always listen;
- comparisons of two samples of the base model, by annotators who see the gold score through noise and a bias;
- feedback, a thumb up or down on single samples, by the same annotators.

Everything follows from the seed. The samples come from a network, so on another kind of processor one of them may
differ by rounding; everything else is the same to the byte on every machine.
"""

import argparse
import json
import random
import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from labkit.models import Policy, load_policy
from labkit.sampling import sample
from labkit.tasks import SPLITS, Problem, load_task
from labkit.worlds.assistant import agreement, annotate, gold_score, rate, utility
from labkit.worlds.assistant.annotators import BIAS, TEMPERATURE
from labkit.worlds.assistant.corpus import CARELESS, demonstration, written_by
from labkit.worlds.assistant.gold import request_of

# How many rows of each kind, for train and test.
SIZES = {"demonstrations": (1000, 280), "comparisons": (2000, 560), "feedback": (1000, 280)}


def requests(split: str, count: int, seed: int) -> list[Problem]:
    """`count` requests of a split: all of them in random order, then again in another order."""
    return load_task("assistant").sample(count, split, seed=seed)


def demonstrations(split: str, count: int, seed: int = 0, authors: str | None = None) -> list[dict[str, str]]:
    """Replies that demonstrators wrote, rows `{"prompt", "completion"}`; `authors`: a group of `corpus.AUTHORS`.

    Without `authors` they are the demonstrations of data/preferences, by courteous demonstrators.
    """
    rng = random.Random(f"demonstrations/{split}/{seed}")
    rows = []
    for problem in requests(split, count, seed):
        verb, thing = (word or "" for word in request_of(problem.prompt))
        reply = demonstration(verb, thing, rng) if authors is None else written_by(authors, verb, thing, rng)
        rows.append({"prompt": problem.prompt, "completion": reply})
    return rows


def sampled_pairs(policy: Policy, split: str, count: int, seed: int = 0) -> list[dict[str, str]]:
    """Two different samples of a policy for each of `count` requests, as rows `{"prompt", "a", "b"}`."""
    problems = requests(split, count, seed)
    drawn = sample(policy, [p.prompt for p in problems], n=4, max_new_tokens=48, seed=seed)
    rows = []
    for first, problem in enumerate(problems):
        # Equal samples say nothing; of four samples two nearly always differ.
        different = list(dict.fromkeys(drawn.completions[4 * first : 4 * first + 4]))
        if len(different) > 1:
            rows.append({"prompt": problem.prompt, "a": different[0], "b": different[1]})
    return rows


def compared(pairs: list[dict[str, str]], seed: int = 0) -> list[dict[str, str]]:
    """The pairs as the annotators of data/preferences label them."""
    return annotate(pairs, seed=seed, temperature=TEMPERATURE, bias=BIAS)


def tables(policy: Policy, seed: int = 0) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Yields (kind, split, rows) of every file."""
    for number, split in enumerate(SPLITS):
        sizes = {kind: counts[number] for kind, counts in SIZES.items()}
        yield "demonstrations", split, demonstrations(split, sizes["demonstrations"], seed)
        pairs = sampled_pairs(policy, split, sizes["comparisons"], seed)
        yield "comparisons", split, compared(pairs, seed)
        # Feedback is about other samples than the comparisons; half of the thumbs go up.
        others = sampled_pairs(policy, split, sizes["feedback"], seed + 1)
        replies = [{"prompt": pair["prompt"], "completion": pair["a"]} for pair in others]
        middle = statistics.median(utility(r["prompt"], r["completion"], BIAS) for r in replies)
        yield "feedback", split, rate(replies, seed=seed, threshold=middle, bias=BIAS)


def build(out: Path, seed: int = 0) -> dict[str, Any]:
    """Writes all files and `summary.json` into `out`; returns the summary."""
    policy = load_policy("tiny", device="cpu")
    out.mkdir(parents=True, exist_ok=True)
    files: dict[str, Any] = {}
    for kind, split, rows in tables(policy, seed):
        (out / f"{kind}-{split}.jsonl").write_text(json_lines(rows), encoding="utf-8", newline="\n")
        files[f"{kind}-{split}"] = {"rows": len(rows), **statistics_of(kind, rows)}
    annotators = {"temperature": TEMPERATURE, "bias": {"courtesy": BIAS}}
    summary = {"seed": seed, "policy": policy.name, "annotators": annotators, "careless": CARELESS, "files": files}
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8", newline="\n")
    return summary


def statistics_of(kind: str, rows: list[dict[str, Any]]) -> dict[str, float]:
    """The mean gold score of a table's replies; how often comparisons agree with gold; the share of thumbs up."""
    replies = ("chosen", "rejected") if kind == "comparisons" else ("completion",)
    gold = [gold_score(row["prompt"], row[reply]) for row in rows for reply in replies]
    values = {"gold_mean": statistics.mean(gold)}
    if kind == "comparisons":
        values["agreement_with_gold"] = agreement(rows)
    if kind == "feedback":
        values["up"] = sum(row["label"] for row in rows) / len(rows)
    return {key: round(value, 3) for key, value in values.items()}


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m labkit.worlds.assistant.data", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(json.dumps(build(arguments.out, arguments.seed), indent=2))


if __name__ == "__main__":
    main()
