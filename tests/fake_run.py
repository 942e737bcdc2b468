"""A run's folder as plots and widgets read it, and what a page shows of it."""

import json
import random
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class FakeRun:
    """A run folder as far as plots look at it, written and read as JSON lines."""

    def __init__(self, folder: Path, seed: int = 0, steps: int = 30, name: str = "r1-zero-tiny") -> None:
        folder.mkdir(parents=True)
        rng = random.Random(seed)
        self.path, self.recipe = folder, {"name": name, "seed": seed}
        lines = [self._line(step, rng) for step in range(steps)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        rows = [row for step in range(steps) for row in fake_rollouts(step)]
        (folder / "rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    @staticmethod
    def _line(step: int, rng: random.Random) -> dict[str, Any]:
        noise = rng.gauss(0, 0.02)
        return {
            "step": step,
            "pass_rate": 0.2 + 0.02 * step + noise,
            "response_length": 45.0 + step,
            "entropy": None,
        }

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / "metrics.jsonl").read_text().splitlines()]

    def rollouts(self, step: int | None = None) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in (self.path / "rollouts.jsonl").read_text().splitlines()]
        return [row for row in rows if step is None or row["step"] == step]


def fake_rollouts(step: int) -> list[dict[str, Any]]:
    """Two answers to one problem that comes at every step, and one to a problem of this step alone."""

    def row(group: int, sample: int, prompt: str, tokens: list[str], reward: float) -> dict[str, Any]:
        answer = {"extracted": tokens[-2], "parts": {"value": reward}, "truncated": False}
        scores = {"reward": reward, "reason": "makes 30" if reward else "5+6 is 11, not 30"}
        numbers = {"advantage": 0.7 if reward else -0.7, "logprobs": [-0.5] * len(tokens)}
        text = {"prompt": prompt, "completion": "".join(tokens), "tokens": tokens}
        return {"step": step, "group": group, "sample": sample, **text, **scores, **answer, **numbers}

    thought = ["<think>", "5+6=11", " no\n", "</think>"] * (1 + step // 10)
    return [
        row(0, 0, "5,6,1->30:", [*thought, "<answer>", "6*5*1", "</answer>"], 1.0),
        row(0, 1, "5,6,1->30:", ["<answer>", "5+6", "</answer>"], 0.0),
        row(1, 0, f"{step},1->30:", ["<answer>", "<script>alert(1)</script>", "</answer>"], 0.0),
    ]


REPORT = {
    "task": "countdown",
    "pass_at_k": {"1": 0.2, "2": 0.3, "4": 0.5},
    "interval": {"pass_at_1": [0.15, 0.26]},
    "mean_length": 45.0,
}


class Reader(HTMLParser):
    """Reads HTML as a browser would: which tags there are, and what text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data
