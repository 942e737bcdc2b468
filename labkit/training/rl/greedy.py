"""The baseline of ReMax: the reward of the answer that the policy gives when it always takes the likeliest token."""

from typing import Any

from labkit.recipes.schema import Recipe
from labkit.rollouts import score
from labkit.sampling import sample
from labkit.training.rl.experience import Experience, Metrics
from labkit.training.rl.helper import Helper, Setup


class GreedyBaseline(Helper):
    """Answers each prompt once more, greedily, and scores that answer (Li et al. 2023, arXiv:2310.10505)."""

    part = "sample"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        drawn = setup.recipe.sampling.model_dump(exclude={"prompts", "samples"})
        self.options: dict[str, Any] = {**drawn, "temperature": 0.0}

    @staticmethod
    def needed_by(recipe: Recipe) -> bool:
        """True if the algorithm has a greedy baseline."""
        return recipe.preset().greedy_baseline

    def __call__(self, experience: Experience) -> Metrics:
        """Fills `greedy` with the rewards of the greedy answers."""
        rollouts = experience.rollouts
        problem_of = dict(zip(rollouts.groups.tolist(), rollouts.problems or [], strict=True))
        asked = [problem_of[group] for group in sorted(problem_of)]
        with self.setup.sampling_policy():
            answers = sample(self.setup.policy, [problem.prompt for problem in asked], n=1, **self.options)
        experience.greedy = score(answers, self.setup.task, asked).rewards[rollouts.groups]
        return {}
