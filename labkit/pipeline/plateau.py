"""RLHF beyond the plateau of SFT: `python -m labkit.pipeline.plateau --seeds 0-4 --table data/runs/rlhf-plateau.jsonl`.

Demonstrators write worse than annotators judge: most of them answer vaguely (`labkit.worlds.assistant.corpus`,
"mediocre"). SFT on their demonstrations reaches their level and stays there. From this one plateau model every arm goes
on, each with what it is made for: more demonstrations, or 1,000 comparisons of the plateau model's own replies.

A seed repeats everything: demonstrations, SFT, comparisons, reward model, arms. So the seed is the unit of a comparison
of arms, and arms are paired by seed. An arm is a recipe with the settings in `ARMS`; its run folder below `--out` holds
the resolved recipe. The table has one line per seed and arm. What is in the table is not done again, and an interrupted
run goes on from its checkpoint.

Cost: operations from the plateau on, counted as in `labkit.evaluation.cost` (2 N per token read or written, 6 N per
token trained on). Everything that an arm needs counts: the sampling of the pairs, the training of the reward model, the
reading by reward model, reference and critic. Evaluations do not.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from labkit.evaluation.cost import FORWARD, TRAINED, weights
from labkit.evaluation.ensemble import Ensemble
from labkit.evaluation.selection import best_of_n, expected_best_of_n
from labkit.models import Policy, RewardModel, load_policy, load_reward_model
from labkit.paths import data_path
from labkit.runs import Run, append_lines, open_run, read_lines, write_aside
from labkit.sampling import sample
from labkit.tasks import load_task
from labkit.training import train
from labkit.worlds.assistant import agreement, gold_parts
from labkit.worlds.assistant.data import compared, demonstrations, requests, sampled_pairs
from labkit.worlds.assistant.probes import probes

Row = dict[str, Any]
DEMONSTRATIONS, PAIRS, HELD_OUT = 4000, 1000, 280
SFT_STEPS, JUDGE_STEPS = 160, 60
BEST_PROMPTS, BEST_OF = 400, 16  # best-of-n for SFT
PROBLEMS, SAMPLES, LONGEST = 64, 8, 48  # evaluation
LOOKS = 1  # checkpoints of an arm that are evaluated, the last one among them


@dataclass(frozen=True)
class Arm:
    """A recipe, the data that it learns from (`RLHF` where it learns from the reward model), and its settings."""

    recipe: str
    data: str
    steps: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def online(self) -> bool:
        """Whether it samples, and learns from what reward models say."""
        return "sampling.prompts" in self.settings


RLHF = "reward model"
LARGE = {"data.batch": 64}
ROLLOUTS = {"sampling.prompts": 8, "sampling.samples": 8, "sampling.max_new_tokens": LONGEST, "rollouts_logged": 8}
NO_KL = {"algorithm_options": {"kl_coef": 0.0}}
ARMS = {
    "more SFT": Arm("sft-assistant-tiny", "demonstrations", 200, LARGE),
    "SFT on chosen": Arm("sft-assistant-tiny", "chosen", 200, LARGE | {"optimizer.lr": 5e-4}),
    "best-of-16 SFT": Arm("sft-assistant-tiny", "best", 60, {"optimizer.lr": 5e-4}),
    "DPO": Arm("dpo-assistant-tiny", "comparisons", 60),
    "RLOO": Arm("rloo-assistant-tiny", RLHF, 60, ROLLOUTS),
    "PPO": Arm("ppo-assistant-tiny", RLHF, 60, ROLLOUTS),
    "RLOO without KL": Arm("rloo-assistant-tiny", RLHF, 60, ROLLOUTS | NO_KL),
    "IPO": Arm("dpo-assistant-tiny", "comparisons", 60, {"algorithm": "ipo", "algorithm_options": {"beta": 0.25}}),
    "KTO": Arm("dpo-assistant-tiny", "thumbs", 60, LARGE | {"algorithm": "kto"}),
}
ENSEMBLES = {"one start": ("sft", "sft", "sft"), "other starts": ("sft", "tiny", "micro")}
"""Three reward models each, on random halves of the pairs: from one model, or from models that were trained apart."""
ARMS |= {f"{RLHF}s, {name}": Arm("rloo-assistant-tiny", name, 60, ROLLOUTS | NO_KL) for name in ENSEMBLES}
"""The arms, all from the plateau model. KTO gets the pairs as single replies: chosen up, rejected down."""


class Chain:
    """All of one seed: each piece is made when it is first needed, in its own folder."""

    def __init__(self, out: Path, seed: int) -> None:
        self.out, self.seed = out / f"seed{seed}", seed

    # ------------------------------------------------------------------------------------------- the pieces

    @cached_property
    def sft(self) -> Run:
        """SFT to the plateau."""
        rows = {split: self.demonstrations(split) for split in ("train", "test")}
        return self.run("sft", "sft-assistant-tiny", steps=SFT_STEPS, looks=4, dataset=rows)

    @cached_property
    def pairs(self) -> dict[str, list[dict[str, str]]]:
        """Comparisons of the plateau model's samples."""
        policy = self.sft.policy()
        sizes = {"train": PAIRS, "test": HELD_OUT}
        return {
            split: compared(sampled_pairs(policy, split, size, self.seed), self.seed) for split, size in sizes.items()
        }

    @cached_property
    def judged(self) -> Run:
        """The training of the reward model, from the plateau model."""
        return self.run(
            "reward-model",
            "reward-model-assistant-tiny",
            steps=JUDGE_STEPS,
            model=self.sft.policy(),
            dataset=self.pairs,
        )

    @cached_property
    def judge(self) -> RewardModel:
        return load_reward_model(self.judged)

    def members(self, kind: str) -> list[Run]:
        """The trainings of an ensemble's reward models."""
        runs = []
        for number, start in enumerate(ENSEMBLES[kind]):
            half = random.Random(f"{self.seed}/{number}").sample(self.pairs["train"], PAIRS // 2)
            model = self.sft.policy() if start == "sft" else load_policy(start)
            options = {"steps": JUDGE_STEPS, "dataset": {"train": half, "test": self.pairs["test"]}}
            runs.append(self.run(f"judge-{number}-{start}", "reward-model-assistant-tiny", model=model, **options))
        return runs

    @cached_property
    def best(self) -> tuple[list[Row], float]:
        """The plateau model's best of 16 replies to each of 400 requests, by the reward model; and their cost."""
        policy, prompts = self.sft.policy(), [p.prompt for p in requests("train", BEST_PROMPTS, self.seed)]
        chosen = best_of_n(policy, prompts, self.judge, BEST_OF, seed=self.seed, max_new_tokens=LONGEST)
        drawn, size = chosen.rollouts, weights(policy.model)
        return chosen.rows, FORWARD * size * float(drawn.lengths.sum() + drawn.total_lengths.sum())

    def demonstrations(self, split: str) -> list[dict[str, str]]:
        size = DEMONSTRATIONS if split == "train" else HELD_OUT
        return demonstrations(split, size, self.seed, authors="mediocre")

    def rows(self, kind: str) -> dict[str, list[Row]]:
        """What an arm learns from, by split."""
        if kind == "demonstrations":
            return {split: self.demonstrations(split) for split in ("train", "test")}
        if kind == "best":
            return {"train": [{key: row[key] for key in ("prompt", "completion")} for row in self.best[0]], "test": []}
        read: dict[str, Callable[[dict[str, str]], list[Row]]] = {
            "comparisons": lambda row: [row],
            "chosen": lambda row: [{"prompt": row["prompt"], "completion": row["chosen"]}],
            "thumbs": lambda row: [
                {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
                for side in ("chosen", "rejected")
            ],
        }
        return {split: [new for row in rows for new in read[kind](row)] for split, rows in self.pairs.items()}

    def run(self, name: str, recipe: str, *, looks: int = 1, model: Policy | None = None, **settings: Any) -> Run:
        """A finished run of a recipe in the folder `name`: done before, resumed, or begun."""
        folder = self.out / name.replace(" ", "-")
        objects = {key: settings.pop(key) for key in ("dataset", "reward_model", "task") if key in settings}
        if (folder / "recipe.yaml").exists():
            run = open_run(folder)
            if (run.result or {}).get("status") == "finished":
                return run
            return train(resume=folder, model=model, progress=False, **objects)
        settings |= {"checkpoint_every": settings["steps"] // looks, "keep_checkpoints": looks, "seed": self.seed}
        if "reward-model" not in recipe:
            settings["evaluation.problems"] = 0  # evaluated here, every arm in the same way
        return train(recipe, folder, model=model, progress=False, **objects, **settings)

    # ------------------------------------------------------------------------------------------- the table

    def arm(self, name: str) -> Row:
        """The line of an arm."""
        arm = ARMS[name]
        if arm.data in ENSEMBLES:
            judges = [load_reward_model(run) for run in self.members(arm.data)]
            careful = load_task("assistant").with_reward_model(Ensemble(judges, self.pairs["train"][:256]))
            given: dict[str, Any] = {"task": careful}
        else:
            given = {"reward_model": self.judge} if arm.data == RLHF else {"dataset": self.rows(arm.data)}
        settings = {"steps": arm.steps, "looks": LOOKS, **arm.settings}
        run = self.run(name, arm.recipe, model=self.sft.policy(), **given, **settings)
        line = {"seed": self.seed, "arm": name, "recipe": arm.recipe, "data": arm.data, "settings": arm.settings}
        line |= self.measured(run) | {"flops": self.flops(arm, run)}
        return line | ({"training": training_curve(run)} if arm.online else {})

    def measured(self, run: Run) -> Row:
        """What the models of a run are worth: the last one in detail, those before it in short."""
        steps = [step for step in run.checkpoints() if 0 < step < len(run.metrics)]
        early = [{"step": step, **measure(run.policy(step), self.judge, self.seed, brief=True)} for step in steps]
        return {"steps": len(run.metrics), "earlier": early, **measure(run.policy(), self.judge, self.seed)}

    def flops(self, arm: Arm, run: Run) -> dict[str, float]:
        """Operations of an arm from the plateau on: what it needs before it begins, and its own steps."""
        size = weights(self.sft.policy().model)
        spent = {"before": 0.0, "steps": sum(steps_flops(line, arm, size) for line in run.metrics)}
        if arm.data != "demonstrations":  # four samples are drawn for each pair
            replies = [row[side] for row in self.pairs["train"] for side in ("chosen", "rejected")]
            encode = self.sft.policy().tokenizer.encode
            spent["before"] += 2 * FORWARD * size * sum(len(encode(reply)) + 1 for reply in replies)
        judges = self.members(arm.data) if arm.data in ENSEMBLES else [self.judged] * (arm.data in (RLHF, "best"))
        spent["before"] += sum(TRAINED * size * line["tokens"] for run in judges for line in run.metrics)
        if arm.data == "best":
            spent["before"] += self.best[1]
        return spent

    def beginning(self) -> Iterable[Row]:
        """The lines of what all arms share: the plateau model, the reward model, best-of-n without training."""
        base = measure(load_policy("tiny"), self.judge, self.seed)
        yield {"seed": self.seed, "arm": "base", **base}
        gold = [sum(gold_parts(row["prompt"], row["completion"]).values()) for row in self.demonstrations("train")]
        yield {"seed": self.seed, "arm": "SFT", "authors": float(np.mean(gold)), **self.measured(self.sft)}
        seen = {kind: right(self.judge, pairs) for kind, pairs in probes(held_out_prompts()).items()}
        by_gold = [
            row
            if value(row, "chosen") > value(row, "rejected")
            else {**row, "chosen": row["rejected"], "rejected": row["chosen"]}
            for row in self.pairs["test"]
            if value(row, "chosen") != value(row, "rejected")
        ]
        facts = {"agreement": agreement(self.pairs["train"]), "accuracy": right(self.judge, by_gold), "probes": seen}
        yield {"seed": self.seed, "arm": "reward model", **facts}
        yield {"seed": self.seed, "arm": "best-of-n", **self.best_at_inference()}

    def best_at_inference(self) -> Row:
        """The plateau model's best of n replies by the reward model, without any training."""
        prompts = held_out_prompts()
        drawn = sample(self.sft.policy(), prompts, n=32, max_new_tokens=LONGEST, seed=1234)
        proxy = self.judge.score(drawn.prompts, drawn.completions).float().cpu().numpy().reshape(len(prompts), -1)
        gold = np.array([sum(gold_parts(p, c).values()) for p, c in zip(drawn.prompts, drawn.completions, strict=True)])
        table = {n: expected_best_of_n(proxy, n, gold.reshape(proxy.shape)) for n in (1, 2, 4, 8, 16)}
        return {"gold_of_n": {str(n): float(values.mean()) for n, values in table.items()}, "gold": rounded(table[16])}


def recorded_arms(table: Path | None = None) -> dict[str, dict[int, Row]]:
    """The lines of a table, by default of the recorded one: by arm, then by seed."""
    arms: dict[str, dict[int, Row]] = {}
    for line in read_lines(table or data_path("runs", "rlhf-plateau.jsonl")):
        arms.setdefault(line["arm"], {})[line["seed"]] = line
    return arms


def held_out_prompts() -> list[str]:
    """The requests on which every model is evaluated."""
    return [problem.prompt for problem in load_task("assistant").sample(PROBLEMS, "test", seed=1234)]


def measure(policy: Policy, judge: RewardModel, seed: int, brief: bool = False) -> Row:
    """Gold per problem (sampled at temperature 1, and greedy), its parts, the reward model's score, the length."""
    prompts, samples = held_out_prompts(), SAMPLES // 2 if brief else SAMPLES
    drawn = sample(policy, prompts, n=samples, max_new_tokens=LONGEST, seed=seed)
    parts = [gold_parts(p, c) for p, c in zip(drawn.prompts, drawn.completions, strict=True)]
    gold = np.array([sum(each.values()) for each in parts]).reshape(len(prompts), -1)
    if brief:
        return {"mean": round(float(gold.mean()), 4)}
    greedy = sample(policy, prompts, n=1, temperature=0.0, max_new_tokens=LONGEST, seed=0)
    certain = [sum(gold_parts(p, c).values()) for p, c in zip(greedy.prompts, greedy.completions, strict=True)]
    return {
        "mean": round(float(gold.mean()), 4),
        "gold": rounded(gold.mean(1)),
        "greedy": round(float(np.mean(certain)), 4),
        "proxy": round(float(judge.score(drawn.prompts, drawn.completions).mean()), 4),
        "parts": {key: round(float(np.mean([each[key] for each in parts])), 4) for key in parts[0]},
        "length": float(drawn.lengths.float().mean()),
        "examples": [f"{p[6:-5]} ->{c}" for p, c in zip(greedy.prompts[:3], greedy.completions, strict=False)],
    }


def steps_flops(line: Row, arm: Arm, size: int) -> float:
    """The operations of one step, from its line of metrics."""
    if not arm.online:  # the reference of a preference loss reads what is trained on
        reference = 0 if arm.recipe.startswith("sft") else FORWARD
        return float((TRAINED + reference) * size * line["tokens"])
    drawn = FORWARD * (line["prompt_tokens"] + line["tokens"])
    trained, kl = line["trained_positions"], arm.settings.get("algorithm_options", {}).get("kl_coef", 0.2)
    readers = len(ENSEMBLES.get(arm.data, (RLHF,))) + (
        kl > 0
    )  # the reward models, and the reference where there is a KL term
    critic = (TRAINED + FORWARD) * trained if arm.recipe.startswith("ppo") else 0
    return float(size * (drawn + TRAINED * trained + readers * FORWARD * trained + critic))


def training_curve(run: Run) -> dict[str, list[float]]:
    """What the learner saw, and what it could not see, step by step; the KL is that of a whole reply."""
    keys = {"proxy": "reward_mean", "gold": "gold_mean", "length": "response_length"}
    curve = {name: [round(line[key], 3) for line in run.metrics] for name, key in keys.items()}
    kl = [line["kl"] * line["response_length"] for line in run.metrics if "kl" in line]
    return curve | ({"kl": [round(each, 3) for each in kl]} if kl else {})


def value(row: dict[str, str], side: str) -> float:
    """The gold score of one reply of a pair."""
    return sum(gold_parts(row["prompt"], row[side]).values())


def right(judge: RewardModel, pairs: list[dict[str, str]]) -> float:
    """The share of pairs whose chosen reply has the higher score."""
    prompts = [row["prompt"] for row in pairs]
    chosen, rejected = (judge.score(prompts, [row[side] for row in pairs]) for side in ("chosen", "rejected"))
    return round(float((chosen > rejected).float().mean()), 4)


def rounded(values: np.ndarray) -> list[float]:
    return [round(float(each), 3) for each in values]


def make(table: Path, out: Path, seeds: Iterable[int], arms: Iterable[str] = tuple(ARMS)) -> None:
    """Adds to the table what it lacks."""
    table.parent.mkdir(parents=True, exist_ok=True)
    lines = list(read_lines(table))
    if lines:  # without the half of a line that a killed run may have left
        write_aside(table, "".join(json.dumps(line) + "\n" for line in lines))
    done = {(line["seed"], line["arm"]) for line in lines}
    for seed in seeds:
        chain = Chain(out, seed)
        if (seed, "best-of-n") not in done:
            append_lines(table, list(chain.beginning()))
        for name in arms:
            if (seed, name) not in done:
                append_lines(table, [line := chain.arm(name)])
                print(f"seed {seed}, {name}: gold {line['mean']:.3f}", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m labkit.pipeline.plateau", description=(__doc__ or "").split("\n")[0].partition(":")[0]
    )
    parser.add_argument("--table", type=Path, required=True, help="the table to write or to go on with")
    parser.add_argument("--out", type=Path, default=Path("runs/rlhf-plateau"), help="where the run folders go")
    parser.add_argument("--seeds", default="0-4", help="first-last")
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS), help="default: all")
    arguments = parser.parse_args()
    first, last = (int(number) for number in arguments.seeds.split("-"))
    make(arguments.table, arguments.out, range(first, last + 1), arguments.arms)


if __name__ == "__main__":
    main()
