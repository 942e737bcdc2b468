"""What a judge pays a step, next to what the step changed."""

import pytest
import torch

from labkit.errors import UserError
from labkit.models import token_logprobs
from labkit.runs import open_run
from labkit.sampling import sample
from labkit.tasks import Problem, Task
from labkit.training import train
from labkit.training.rl.credit import by_step, correlation, open_prm, step_credit
from tests.training.mini import random_policy
from tests.training.toys import comparisons, toy_run


def lines(completion: str, reference: object) -> float:
    return float(completion.startswith(" "))


lines.needs_worker = False  # type: ignore[attr-defined]


def spaces() -> Task:
    return Task("spaces", "begin with a word", lines, lambda split, rng: Problem("5:", None, str(rng.random())))


@pytest.fixture(scope="module")
def prime(tmp_path_factory):
    base = tmp_path_factory.mktemp("prime") / "base"
    random_policy().save(base)
    changes = {"steps": 3, "prompts": 4, "samples": 4, "max_new_tokens": 8, "evaluation.problems": 0}
    changes |= {"process_reward.lr": 1e-2, "process_reward.beta": 0.5, "task": spaces(), "progress": False}
    return train("prime-tiny", out=base.parent / "run", model=base, checkpoint_every=2, **changes)


def test_the_judge_of_a_checkpoint_is_the_one_that_was_saved(prime):
    newest, earlier = open_prm(prime), open_prm(prime, step=2)
    tokens = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        said = [token_logprobs(m, tokens) for m in (newest.model, earlier.model, newest.reference)]
    assert not torch.equal(said[0], said[1]) and not torch.equal(said[0], said[2])
    again = {key: value for key, value in newest.state_dict().items() if key.startswith("optimizer")}
    assert again and all(value.isfinite().all() for value in again.values())


def test_what_is_paid_adds_up_and_the_chances_begin_and_end_right(prime):
    policy, task = prime.policy(), spaces()
    problems = task.sample(3, seed=4)
    rows = step_credit(policy, open_prm(prime), task, problems, samples=2, rollouts=4, max_new_tokens=8, seed=1)
    drawn = sample(policy, [p.prompt for p in problems], n=2, max_new_tokens=8, seed=1)
    assert [row["completion"] for row in rows] == drawn.completions
    for row in rows:
        assert sum(row["paid"]) == pytest.approx(sum(row["process"]), abs=1e-3)
        assert len(row["process"]) == len(row["tokens"])
        assert len(row["chance"]) == len(row["paid"]) + 1 and row["chance"][-1] == float(row["label"])
        assert set(row["chance"]) <= {0, 0.25, 0.5, 0.75, 1}
    assert len({tuple(row["chance"][:1]) for row in rows[:2]}) <= 2
    assert any(x != 0 for row in rows for x in row["process"])


def test_tokens_belong_to_the_step_in_which_they_begin():
    assert by_step(["a", "\n", "b", "<eos>"], [1, 2, 4, 8], ["a\n", "b"]) == [3, 12]
    assert by_step(["a\nb", "c", "<eos>"], [1, 2, 4], ["a\n", "bc"]) == [1, 6]
    assert by_step(["<eos>"], [3], [""]) == [3]


def test_correlation_of_a_judge_that_pays_what_is_due_is_one():
    rows = [{"chance": [0.2, 0.5, 0.1, 1.0], "paid": [0.6, -0.8, 1.8]}, {"chance": [0.5, 0.0], "paid": [-1.0]}]
    assert correlation(rows) == 1.0
    assert correlation([{**row, "paid": [-x for x in row["paid"]]} for row in rows]) == -1.0


def test_a_run_without_a_judge_says_so(tmp_path):
    run = toy_run(tmp_path / "rm", "reward_model", dataset=comparisons(8), steps=1)
    with pytest.raises(UserError, match="no process reward model"):
        open_prm(open_run(run.path))
