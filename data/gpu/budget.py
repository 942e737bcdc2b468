"""How long a recipe takes on one H100 at most, by calculation, while no run of it is recorded.

    python data/gpu/budget.py

Pessimistic on purpose, so that a run fits into ten minutes even where the fast paths do not work:

- a decoding step takes 15 ms (layers launched one by one from Python, no CUDA graphs), or the time to read weights and
  cache at a quarter of the card's bandwidth, whichever is longer; every answer runs to its limit;
- forward and backward run at a tenth of the card's dense bfloat16 rate (10 % MFU);
- the optimiser reads and writes 28 bytes a parameter at a quarter of the bandwidth;
- 2,000 answers per second are verified; loading and checkpoints take 20 s.
"""

from dataclasses import dataclass

from labkit.recipes import Recipe, is_pipeline, list_recipes, load_recipe

BYTES_PER_SECOND, FLOPS_PER_SECOND = 3.35e12, 989.4e12
BANDWIDTH_USED, MFU, DECODE_STEP, ANSWERS_PER_SECOND, OVERHEAD = 0.25, 0.10, 0.015, 2000, 20.0


@dataclass(frozen=True)
class Shape:
    """A model: parameters (embedding tied), layers x query heads x head_dim, bytes of keys and values a token."""

    parameters: float
    attention_width: int
    cache_bytes: int


MODELS = {
    "smollm2-135m": Shape(134.5e6, 30 * 9 * 64, 2 * 30 * 3 * 64 * 2),
    "Qwen/Qwen2.5-0.5B": Shape(494e6, 24 * 14 * 64, 2 * 24 * 2 * 64 * 2),
    "Qwen/Qwen2.5-1.5B-Instruct": Shape(1544e6, 28 * 12 * 128, 2 * 28 * 2 * 128 * 2),
    "Qwen/Qwen3-0.6B-Base": Shape(596e6, 28 * 16 * 128, 2 * 28 * 8 * 128 * 2),
}
# Tokens of a prompt, chat template included; and of an answer in the rows that SFT learns from.
PROMPTS = {"countdown": 60, "reasoning_gym:chain_sum": 60, "gsm8k": 160, "math": 180, "assistant": 60}
PROMPT_TOKENS, ANSWER_TOKENS = 120, {"countdown": 150, "gsm8k": 150, "assistant": 40}


def sampling_seconds(shape: Shape, rows: int, prompt: int, new: int) -> float:
    """The time to sample `rows` answers of `new` tokens."""
    read = 2 * shape.parameters + shape.cache_bytes * rows * (prompt + new / 2)
    return new * max(DECODE_STEP, read / (BANDWIDTH_USED * BYTES_PER_SECOND)) + rows / ANSWERS_PER_SECOND


def training_seconds(shape: Shape, rows: int, tokens: float, passes: float = 3.0) -> float:
    """The time of `passes` forward passes' worth (backward: two) over rows of so many tokens; 3 is one update."""
    flops = 2 * passes * rows * (shape.parameters * tokens + shape.attention_width * tokens**2)
    optimizer = 28 * shape.parameters / (BANDWIDTH_USED * BYTES_PER_SECOND)
    return flops / (MFU * FLOPS_PER_SECOND) + optimizer


def seconds(recipe: Recipe) -> float:
    """The time of a whole run, evaluations before and after included."""
    shape, settings = MODELS[recipe.model], recipe.evaluation
    prompt = PROMPTS.get(recipe.task, PROMPT_TOKENS)
    if recipe.online:
        new, rows = recipe.sampling.max_new_tokens, recipe.sampling.prompts * recipe.sampling.samples
        # A frozen reference reads the batch once more; a critic reads it and learns next to the policy.
        passes = 3.0 * recipe.optimizer.updates + (
            1 if recipe.trainer != "distillation" and recipe.preset().kl_coef else 0
        )
        passes += 4 if recipe.trainer == "ppo" else 0
        # The judge of PRIME reads and learns every answer, next to its own reference.
        passes += 4 if recipe.algorithm == "prime" else 0
        # A reward model reads every answer.
        passes += 1 if "assistant" in recipe.task else 0
        step = sampling_seconds(shape, rows, prompt, new) + training_seconds(shape, rows, prompt + new, passes)
        if recipe.teacher:  # it reads every answer, and learns nothing
            teacher = MODELS[recipe.teacher]
            step += training_seconds(teacher, rows, prompt + new, 1.0) - training_seconds(teacher, 0, 0)
        step += (recipe.optimizer.minibatches - 1) * training_seconds(shape, 0, 0)
    else:
        new = settings.max_new_tokens or 256
        answer = ANSWER_TOKENS.get(recipe.data.source, 150)
        documents = {"sft": 1, "reward_model": 2, "preferences": 2}[recipe.trainer]
        passes = 4.0 if recipe.trainer == "preferences" else 3.0
        step = training_seconds(shape, documents * recipe.data.batch, prompt + answer, passes)
    if recipe.trainer == "reward_model":
        return OVERHEAD + recipe.steps * step
    evaluation = sampling_seconds(shape, settings.problems * settings.samples, prompt, settings.max_new_tokens or new)
    return OVERHEAD + recipe.steps * step + 2 * evaluation


def budgets() -> dict[str, float]:
    """Seconds of each recipe whose model is in `MODELS`, by name."""
    recipes = [load_recipe(name) for name in list_recipes() if not is_pipeline(name)]
    return {recipe.name: seconds(recipe) for recipe in recipes if recipe.model in MODELS}


if __name__ == "__main__":
    for name, found in sorted(budgets().items(), key=lambda pair: pair[1]):
        print(f"{name:36s} {found / 60:5.1f} min")
