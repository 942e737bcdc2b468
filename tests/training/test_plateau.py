"""The study of RLHF beyond the plateau of SFT: what it costs, that it can be interrupted, and its parts."""

import json

import pytest
import torch

from labkit.errors import UserError
from labkit.evaluation.ensemble import Ensemble
from labkit.pipeline import plateau
from labkit.pipeline.plateau import ARMS, Arm, make, recorded_arms, steps_flops
from labkit.worlds.assistant import gold_score
from labkit.worlds.assistant.corpus import AUTHORS, written_by
from labkit.worlds.assistant.data import demonstrations
from labkit.worlds.assistant.probes import KINDS, probes


@pytest.fixture
def small(monkeypatch):
    """The same study, with next to nothing of everything."""
    few = {
        "DEMONSTRATIONS": 32,
        "PAIRS": 12,
        "HELD_OUT": 16,
        "SFT_STEPS": 4,
        "JUDGE_STEPS": 1,
        "PROBLEMS": 3,
        "SAMPLES": 2,
    }
    for name, value in few.items():
        monkeypatch.setattr(plateau, name, value)
    rollouts = {"sampling.prompts": 2, "sampling.samples": 2, "sampling.max_new_tokens": 4}
    arms = {
        "more SFT": Arm("sft-assistant-tiny", "demonstrations", 1),
        "DPO": Arm("dpo-assistant-tiny", "comparisons", 1),
        "RLOO": Arm("rloo-assistant-tiny", plateau.RLHF, 1, rollouts),
        "careful": Arm("rloo-assistant-tiny", "other starts", 1, rollouts),
    }
    monkeypatch.setattr(plateau, "ARMS", arms)
    return arms


def test_every_arm_gets_its_line_and_what_is_there_is_not_done_again(small, tmp_path):
    table = tmp_path / "table.jsonl"
    make(table, tmp_path / "runs", [0], ["more SFT", "DPO"])
    first = table.read_text()
    make(table, tmp_path / "runs", [0], small)
    assert table.read_text().startswith(first), "lines that are there stay as they are"
    arms = recorded_arms(table)
    assert set(arms) == {"base", "SFT", "reward model", "best-of-n", *small}
    assert all(len(arms[name][0]["gold"]) == 3 for name in ("base", "SFT", *small))
    assert set(arms["reward model"][0]["probes"]) == set(KINDS)
    spent = {name: arms[name][0]["flops"] for name in small}
    assert spent["more SFT"]["before"] == 0 < spent["DPO"]["before"] < spent["RLOO"]["before"]
    assert set(arms["RLOO"][0]["training"]) >= {"proxy", "gold", "length"}
    assert "training" not in arms["DPO"][0]


def test_the_cost_of_a_step():
    rows, drawn = {"tokens": 100}, {"prompt_tokens": 10, "tokens": 90, "trained_positions": 200}
    free = {**ARMS["RLOO"].settings, "algorithm_options": {"kl_coef": 0.0}}
    assert steps_flops(rows, ARMS["more SFT"], 10) == 6 * 10 * 100
    assert steps_flops(rows, ARMS["DPO"], 10) == (6 + 2) * 10 * 100, "the reference reads, too"
    assert steps_flops(drawn, ARMS["RLOO"], 10) == 10 * (2 * 100 + 6 * 200 + 2 * 2 * 200)
    assert steps_flops(drawn, Arm("rloo-assistant-tiny", plateau.RLHF, 1, free), 10) == 10 * (
        2 * 100 + 6 * 200 + 2 * 200
    )
    assert steps_flops(drawn, ARMS["PPO"], 10) == steps_flops(drawn, ARMS["RLOO"], 10) + 10 * 8 * 200


def test_the_recorded_table_is_whole():
    """What the notebooks read: each arm has every seed, and one value per problem."""
    arms = recorded_arms()
    seeds = set(arms["SFT"])
    assert len(seeds) >= 5
    assert {name: seeds - set(lines) for name, lines in arms.items() if set(lines) != seeds} == {}
    assert set(ARMS) <= set(arms)
    for name in ARMS:
        line = arms[name][0]
        assert (
            len(line["gold"]) == plateau.PROBLEMS and abs(sum(line["gold"]) / len(line["gold"]) - line["mean"]) < 1e-3
        )


def test_mediocre_authors_share_a_flaw_and_write_worse():
    gold = {
        authors: [gold_score(r["prompt"], r["completion"]) for r in demonstrations("train", 600, 0, authors)]
        for authors in AUTHORS
    }
    means = {authors: sum(values) / len(values) for authors, values in gold.items()}
    assert abs(means["courteous"] - 0.78) < 0.04 and abs(means["mediocre"] - 0.3) < 0.04
    assert abs(sum(value == 0.375 for value in gold["mediocre"]) / 600 - 0.5) < 0.08, "half of them are vague"
    with pytest.raises(UserError, match="no demonstrators 'good'; there are courteous, mediocre"):
        written_by("good", "open", "door", None)


def test_probes_differ_in_one_thing_and_gold_knows_which_is_better():
    prompts = [row["prompt"] for row in demonstrations("test", 40)]
    for kind, pairs in probes(prompts).items():
        assert [row["prompt"] for row in pairs] == prompts
        assert all(gold_score(r["prompt"], r["chosen"]) > gold_score(r["prompt"], r["rejected"]) for r in pairs), kind


class Says:
    """A reward model that gives a reply the number that stands in it, stretched and shifted; `odd` replies 9 more."""

    def __init__(self, scale: float, shift: float, odd: float = 0.0) -> None:
        self.scale, self.shift, self.odd = scale, shift, odd

    def score(self, prompts: list[str], completions: list[str]) -> torch.Tensor:
        numbers = torch.tensor([float(text.removeprefix("odd ")) for text in completions])
        return self.scale * (numbers + self.odd * torch.tensor([t.startswith("odd") for t in completions])) + self.shift


def test_an_ensemble_compares_its_members_on_one_scale_and_mistrusts_what_they_disagree_on():
    rows = [{"prompt": "", "chosen": "1", "rejected": "-1"}]
    agreed = Ensemble([Says(1, 0), Says(5, 3)], rows)
    assert agreed.score(["", ""], ["2", "-1"]).tolist() == [2.0, -1.0], "they agree once shift and scale are gone"
    torn = Ensemble([Says(1, 0), Says(1, 0, odd=2)], rows)
    assert torn.score(["", ""], ["0", "odd 0"]).tolist() == [0.0, 1.0 - 1.0], "mean 1, variance 1"
    assert Ensemble(torn.members, rows, coef=0.0).score([""], ["odd 0"]).tolist() == [1.0]
    with pytest.raises(UserError, match="at least two"):
        Ensemble([Says(1, 0)], rows)
    with pytest.raises(UserError, match="one score"):
        Ensemble([Says(1, 0), Says(0, 1)], rows)


def test_half_a_line_that_a_killed_run_left_is_taken_away(tmp_path):
    table = tmp_path / "table.jsonl"
    whole = json.dumps({"seed": 0, "arm": "SFT"}) + "\n"
    table.write_text(whole + '{"seed": 0, "ar')
    make(table, tmp_path / "runs", [])
    assert table.read_text() == whole
