"""TRL's losses on stubs: its own `_compute_loss` and friends, handed log-probs instead of a model. No training.

Each function takes the inputs of `parity_inputs` and returns TRL's loss, differentiable with respect to them.
"""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from tests.algorithms.parity_inputs import MAX_LENGTH, Inputs


def _stub(**attributes: Any) -> SimpleNamespace:
    """What every trainer's loss asks of `self`: one process, training, no extras."""
    accelerator = SimpleNamespace(
        device=torch.device("cpu"),
        num_processes=1,
        sync_gradients=False,
        gather=lambda x: x,
        pad_across_processes=lambda x, dim, pad_index: x,
        gather_for_metrics=lambda x: x,
        reduce=lambda x, reduction: x,
        unwrap_model=lambda x: x,
    )
    common = {
        "accelerator": accelerator,
        "model": SimpleNamespace(training=True),
        "aux_loss_enabled": False,
        "_total_train_tokens": 0,
        "_tp_size": 1,
        "_metrics": defaultdict(lambda: defaultdict(list)),
    }
    return SimpleNamespace(**(common | attributes))


def grpo(
    x: Inputs,
    loss_type: str,
    *,
    low: float = 0.2,
    high: float = 0.2,
    delta: float | None = None,
    level: str = "token",
    beta: float = 0.0,
    tokens: float | None = None,
    advantage: str = "advantage",
    entropies: Tensor | None = None,
    entropy_coef: float = 0.0,
    taus: tuple[float, float] = (1.0, 1.05),
    top_entropy: float = 1.0,
    off_policy: float | None = None,
) -> Tensor:
    """`GRPOTrainer._compute_loss`. `tokens`: those of the whole batch, where it is larger than this one.

    `taus`: SAPO's temperatures for positive and for negative advantages; TRL keeps them in float32.
    """
    from trl import GRPOTrainer

    now, mask = x["now"], x["mask"]
    entropies = torch.zeros_like(now) if entropies is None else entropies
    stub = _stub(
        args=SimpleNamespace(
            delta=delta,
            use_bias_correction_kl=False,
            steps_per_generation=1,
            sapo_temperature_pos=taus[0],
            sapo_temperature_neg=taus[1],
        ),
        loss_type=loss_type,
        importance_sampling_level=level,
        epsilon_low=low,
        epsilon_high=high,
        beta=beta,
        max_completion_length=MAX_LENGTH,
        current_gradient_accumulation_steps=1,
        top_entropy_quantile=top_entropy,
        off_policy_mask_threshold=off_policy,
        get_off_policy_mask=GRPOTrainer.get_off_policy_mask,
        use_vllm=False,
        use_adaptive_entropy=False,
        entropy_coef=entropy_coef,
        _entropy_bonus_enabled=entropy_coef != 0,
        _get_per_token_logps_and_entropies=lambda *args, **kwargs: (now, entropies, None),
    )
    stub.get_high_entropy_mask = lambda *args: GRPOTrainer.get_high_entropy_mask(stub, *args)
    ids = torch.zeros(now.shape, dtype=torch.long)
    inputs = {
        "prompt_ids": ids,
        "prompt_mask": torch.ones_like(ids),
        "completion_ids": ids,
        "completion_mask": mask.long(),
        "advantages": x[advantage],
        "old_per_token_logps": x["old"],
        "ref_per_token_logps": x["ref"],
        "num_items_in_batch": mask.sum() if tokens is None else torch.tensor(tokens),
    }
    return GRPOTrainer._compute_loss(stub, None, inputs)


def rloo_on_policy(x: Inputs) -> Tensor:
    """`RLOOTrainer._compute_loss` at the policy that sampled: its clipped sequence ratio is 1 there."""
    from trl import RLOOTrainer

    now, mask = x["now"], x["mask"].long()
    stub = _stub(
        epsilon_low=0.2,
        epsilon_high=0.2,
        _get_per_token_logps_and_entropies=lambda *args, **kwargs: (now, torch.zeros_like(now), None),
    )
    inputs = {
        "prompt_ids": mask,
        "prompt_mask": mask,
        "completion_ids": mask,
        "completion_mask": mask,
        "advantages": x["advantage"],
        "old_logps": (now.detach() * mask).sum(1),
    }
    return RLOOTrainer._compute_loss(stub, None, inputs)


def _fused_outputs(logprobs: Tensor) -> SimpleNamespace:
    """What a model with TRL's fused head returns; all but the log-probs is only logged."""
    zero = torch.zeros_like(logprobs)
    extra = {"entropy": zero, "mean_logits": zero, "log_sum_sq_probs": zero, "is_top1": zero.bool()}
    return SimpleNamespace(log_probs=logprobs, **extra)


def _with_prompt(mask: Tensor) -> Tensor:
    """A completion mask over prompt and completion: one prompt token in front."""
    return torch.cat([torch.zeros(len(mask), 1, dtype=torch.long), mask.long()], 1)


def dpo(x: Inputs, loss_type: str, *, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """`DPOTrainer._compute_loss`, with the reference's log-probs computed beforehand."""
    from trl import DPOTrainer

    masks = torch.cat([x["chosen_mask"], x["rejected_mask"]])
    logprobs = torch.cat([x["chosen"], x["rejected"]]) * masks
    stub = _stub(
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=[loss_type],
        loss_weights=[1.0],
        beta=beta,
        label_smoothing=label_smoothing,
        use_weighting=False,
    )
    completion_mask = _with_prompt(masks)
    inputs = {
        "input_ids": completion_mask,
        "attention_mask": torch.ones_like(completion_mask),
        "completion_mask": completion_mask,
        "ref_chosen_logps": (x["ref_chosen"] * x["chosen_mask"]).sum(1),
        "ref_rejected_logps": (x["ref_rejected"] * x["rejected_mask"]).sum(1),
    }
    return DPOTrainer._compute_loss(stub, lambda **kwargs: _fused_outputs(logprobs), inputs, False)


def _cpo(chosen: Tensor, rejected: Tensor, loss_type: str, **options: float) -> Tensor:
    from trl.experimental.cpo import CPOTrainer

    stub = _stub(alpha=0.0, loss_type=loss_type, **options)
    return CPOTrainer.cpo_loss(stub, chosen, rejected)[0].mean()


def simpo(x: Inputs, *, beta: float, gamma: float) -> Tensor:
    """`CPOTrainer.cpo_loss` with loss_type="simpo", on the mean log-probs that its forward pass would hand it."""
    means = [(x[name] * x[f"{name}_mask"]).sum(1) / x[f"{name}_mask"].sum(1) for name in ("chosen", "rejected")]
    return _cpo(*means, "simpo", beta=beta, simpo_gamma=gamma, label_smoothing=0.0)


def cdpo(x: Inputs, *, beta: float, label_smoothing: float) -> Tensor:
    """`CPOTrainer.cpo_loss` with label smoothing, on log-RATIOS: TRL's DPO trainer has no smoothed loss any more."""
    ratios = [((x[name] - x[f"ref_{name}"]) * x[f"{name}_mask"]).sum(1) for name in ("chosen", "rejected")]
    return _cpo(*ratios, "sigmoid", beta=beta, label_smoothing=label_smoothing)


def ipo_of_sums(x: Inputs, *, beta: float = 0.3) -> Tensor:
    """`CPOTrainer.cpo_loss` with loss_type="ipo", on SUMMED log-ratios: `DPOTrainer` averages them over tokens."""
    ratios = [((x[name] - x[f"ref_{name}"]) * x[f"{name}_mask"]).sum(1) for name in ("chosen", "rejected")]
    return _cpo(*ratios, "ipo", beta=beta, label_smoothing=0.0)


class Double(torch.Tensor):
    """A tensor whose `.float()` keeps its precision: TRL's ORPO loss would round to float32."""

    def float(self) -> "Double":  # type: ignore[override]
        return self


def orpo(x: Inputs, *, beta: float) -> Tensor:
    """`ORPOTrainer.get_batch_loss_metrics`, its SFT term taken over the completions alone, answer by answer."""
    from trl.experimental.orpo import ORPOTrainer

    means = [(x[name] * x[f"{name}_mask"]).sum(1) / x[f"{name}_mask"].sum(1) for name in ("chosen", "rejected")]
    means = [mean.as_subclass(Double) for mean in means]
    sft = -means[0].as_subclass(torch.Tensor).mean()
    forward = (*means, torch.zeros(1), torch.zeros(1), sft)
    stub = _stub(beta=beta, concatenated_forward=lambda model, batch: forward)

    def odds_ratio_loss(*means: Tensor) -> tuple[Tensor, ...]:
        found = ORPOTrainer.odds_ratio_loss(stub, *means)
        return tuple(value.as_subclass(torch.Tensor) for value in found)

    stub.odds_ratio_loss = odds_ratio_loss
    return ORPOTrainer.get_batch_loss_metrics(stub, None, {})[0]


def kto(x: Inputs, *, beta: float, desirable_weight: float, undesirable_weight: float) -> Tensor:
    """`KTOTrainer._compute_loss`; the rejected answers stand in for the mismatched ones that its KL asks for."""
    from trl import KTOTrainer

    logprobs = {"main": x["chosen"] * x["chosen_mask"], "KL": x["rejected"] * x["rejected_mask"]}
    stub = _stub(
        loss_type="kto",
        calculate_KL=True,
        precompute_ref_logps=True,
        beta=beta,
        desirable_weight=desirable_weight,
        undesirable_weight=undesirable_weight,
    )
    stub._compute_kl_logps = lambda model, batch: KTOTrainer._compute_kl_logps(stub, model, batch)
    mask, kl_mask = _with_prompt(x["chosen_mask"]), _with_prompt(x["rejected_mask"])
    inputs = {
        "input_ids": mask,
        "attention_mask": torch.ones_like(mask),
        "completion_mask": mask,
        "KL_input_ids": torch.full_like(kl_mask, 7),
        "KL_attention_mask": torch.ones_like(kl_mask),
        "KL_completion_mask": kl_mask,
        "label": x["desirable"],
        "ref_logps": (x["ref_chosen"] * x["chosen_mask"]).sum(1),
        "ref_KL_logps": (x["ref_rejected"] * x["rejected_mask"]).sum(1),
    }

    def model(input_ids: Tensor, **kwargs: Any) -> SimpleNamespace:
        return _fused_outputs(logprobs["KL" if (input_ids == 7).all() else "main"])

    return KTOTrainer._compute_loss(stub, model, inputs, False)


def reward(x: Inputs, *, margin: bool, centering: float | None) -> Tensor:
    """`RewardTrainer.compute_loss` on the scores of chosen and rejected answers."""
    from trl import RewardTrainer

    scores = torch.cat([x["score_chosen"], x["score_rejected"]])[:, None]
    stub = _stub(args=SimpleNamespace(center_rewards_coefficient=centering))
    inputs = {"attention_mask": torch.ones(2, 1)} | ({"margin": x["margin"]} if margin else {})
    return RewardTrainer.compute_loss(stub, lambda **kwargs: SimpleNamespace(logits=scores), inputs)
