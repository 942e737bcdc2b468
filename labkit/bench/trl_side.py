"""TRL's side of the step benchmark. Needs trl, accelerate and datasets: `pip install 'labkit[bench]'`."""

import copy
import gc
import tempfile
from typing import Any

from transformers import PrinterCallback, TrainerCallback

from labkit.bench.race import Side, Trial, Trials, Work, Workload, clock, take_turn
from labkit.bench.train import STANDSTILL
from labkit.errors import UserError

try:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer
except ImportError as error:
    raise UserError("bench step against trl needs TRL: pip install 'labkit[bench]'") from error

PASSES = 8  # forward and backward passes of a step, for the variant that cuts its batch


class TurnTaker(TrainerCallback):
    """Times TRL's steps, and between two of them lets the other sides take the same turn.

    A step of the Trainer, from `on_step_begin` to `on_step_end`, holds generation, scoring, forward,
    backward, clipping and the optimiser; loading the batch and logging lie outside. The first step is the
    warm-up.
    """

    def __init__(self, workload: Workload, sides: list[Side], name: str) -> None:
        self.workload, self.sides, self.name = workload, sides, name
        self.device = workload.policy.device
        self.trials: Trials = {side: [] for side in (*(s.name for s in sides), name)}
        self.work = Work([], [])  # of the present step; said by the reward function
        self.started = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The clock starts."""
        gc.collect()
        self.started = clock(self.device)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The clock stops; the other sides take their turn."""
        seconds, turn = clock(self.device) - self.started, state.global_step - 1
        trial = Trial(seconds, self.work)
        others = {side.name: take_turn(side, turn, self.device) for side in self.sides}
        if turn > 0:
            for name, one in {self.name: trial, **others}.items():
                self.trials[name].append(one)


def race_with_trl(workload: Workload, sides: list[Side], name: str) -> tuple[Trials, str]:
    """TRL's steps and the sides' in alternation, on the same problems: the trials, and what TRL was told."""
    taker = TurnTaker(workload, sides, name)
    problems = [p for turn in range(workload.repeats + 1) for p in workload.problems(turn)]
    chat = bool(workload.policy.tokenizer.chat_template)

    def verifier_reward(
        prompts: list[Any],
        completions: list[Any],
        completion_ids: list[list[int]],
        problem: list[int],
        **_: Any,
    ) -> list[float]:
        asked = [p[0]["content"] if chat else p for p in prompts[:: workload.samples]]
        taker.work = Work([len(workload.policy.encode(p)) for p in asked], [len(ids) for ids in completion_ids])
        texts = [c[0]["content"] if chat else c for c in completions]
        return [score.reward for score in workload.task.score_all(texts, [problems[i] for i in problem])]

    prompts = [[{"role": "user", "content": p.prompt}] if chat else p.prompt for p in problems]
    options = variant(name, workload.rows)
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=copy.deepcopy(workload.policy.model),
            processing_class=copy.deepcopy(workload.policy.tokenizer),
            reward_funcs=verifier_reward,
            train_dataset=Dataset.from_dict({"prompt": prompts, "problem": list(range(len(problems)))}),
            args=config(workload, folder, options),
            callbacks=[taker],
        )
        trainer.remove_callback(PrinterCallback)  # it would print into --json
        trainer.train()
    told = ", ".join(f"{key}={value}" for key, value in options.items())
    return taker.trials, f"GRPOTrainer, loss_type=dapo, no checkpointing, no logging, {told}"


def variant(name: str, rows: int) -> dict[str, Any]:
    """How TRL is told to run: the whole batch at once, in `PASSES` micro-batches, or with a static cache."""
    passes = PASSES if name == "trl-microbatch" and rows % PASSES == 0 else 1
    options: dict[str, Any] = {
        "per_device_train_batch_size": rows // passes,
        "gradient_accumulation_steps": passes,
    }
    return options | ({"cache_implementation": "static"} if name == "trl-static" else {})


def config(workload: Workload, folder: str, options: dict[str, Any]) -> GRPOConfig:
    """The algorithm of labkit's side: on-policy GRPO, token mean over the batch, no KL, the same AdamW."""
    on_cpu = workload.policy.device.type == "cpu"
    return GRPOConfig(
        output_dir=folder,
        use_cpu=on_cpu,
        bf16=not on_cpu,  # autocast on CUDA, as labkit's side
        num_generations=workload.samples,
        max_completion_length=workload.max_new_tokens,
        max_steps=workload.repeats + 1,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        beta=0.0,
        num_iterations=1,
        epsilon=0.2,
        loss_type="dapo",
        scale_rewards="group",
        learning_rate=STANDSTILL,
        lr_scheduler_type="constant",
        adam_beta1=0.9,
        adam_beta2=0.95,
        weight_decay=0.0,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        gradient_checkpointing=False,
        shuffle_dataset=False,
        dataloader_pin_memory=not on_cpu,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        seed=workload.seed,
        **options,
    )
