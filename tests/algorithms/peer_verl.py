"""veRL's losses and advantages: `verl.trainer.ppo.core_algos`, called with the inputs of `parity_inputs`.

veRL is no dependency of the lab. What it answered is stored in `fixtures/verl.json` by
`fixtures/make_verl_fixtures.py`, which also says how to make it importable.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from tests.algorithms.parity_inputs import MAX_LENGTH, Inputs

NEVER = 1e30  # a dual clip that is never reached


def _core() -> Any:
    from verl.trainer.ppo import core_algos

    return core_algos


def policy(
    x: Inputs,
    mode: str,
    aggregate: str,
    *,
    low: float = 0.2,
    high: float = 0.2,
    dual: float = NEVER,
    taus: tuple[float, float] = (1.0, 1.05),
    advantage: str = "advantage",
) -> Tensor:
    """A policy loss by its registered name: vanilla, gspo, cispo, sapo, reinforce."""
    from verl.workers.config import ActorConfig

    config = ActorConfig(
        strategy="fsdp",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=1,
        clip_ratio_low=low,
        clip_ratio_high=high,
        clip_ratio_c=dual,
        tau_pos=taus[0],
        tau_neg=taus[1],
        global_batch_info={"loss_scale_factor": MAX_LENGTH},
    )
    a = x[advantage]
    a = a[:, None].expand_as(x["now"]) if a.dim() == 1 else a
    loss = _core().compute_policy_loss_reinforce if mode == "reinforce" else _core().get_policy_loss_fn(mode)
    return loss(x["old"], x["now"], a, x["mask"].double(), aggregate, config)[0]


def aggregated_kl(x: Inputs, kind: str, aggregate: str) -> Tensor:
    """The KL term of its actor: `kl_penalty`, aggregated as the loss."""
    core = _core()
    return core.agg_loss(core.kl_penalty(x["now"], x["ref"], kind), x["mask"].double(), aggregate)


def kl(x: Inputs, kind: str) -> Tensor:
    """`kl_penalty`, one value per token, 0 outside the mask."""
    return _core().kl_penalty(x["now"], x["ref"], kind) * x["mask"]


def entropy(x: Inputs, aggregate: str) -> Tensor:
    """`compute_entropy_loss`."""
    return _core().compute_entropy_loss(x["logits"], x["mask"].double(), aggregate)


def value(x: Inputs, clip: float, aggregate: str) -> Tensor:
    """`compute_value_loss`."""
    tensors = x["values"], x["returns"], x["old_values"], x["mask"].double()
    return _core().compute_value_loss(*tensors, clip, aggregate)[0]


def _token_scores(x: Inputs, kl_coef: float = 0.0) -> Tensor:
    """Scores at the last token minus the KL at each, as veRL's trainer puts them together around `kl_penalty`."""
    last = x["mask"].sum(1) - 1
    scores = torch.zeros_like(x["now"])
    scores[torch.arange(len(last)), last] = x["rewards"]
    return scores - kl_coef * kl({**x, "now": x["old"]}, "kl")


def _config(**values: Any) -> Any:
    return SimpleNamespace(**values)


def group_advantage(x: Inputs, name: str, **options: Any) -> Tensor:
    """`compute_grpo_outcome_advantage` or `compute_rloo_outcome_advantage`."""
    function = getattr(_core(), f"compute_{name}_outcome_advantage")
    return function(_token_scores(x), x["mask"].double(), x["groups"].numpy(), **options)[0]


def reinforce_pp(x: Inputs, gamma: float, kl_coef: float) -> Tensor:
    """`compute_reinforce_plus_plus_outcome_advantage`."""
    function = _core().compute_reinforce_plus_plus_outcome_advantage
    return function(_token_scores(x, kl_coef), x["mask"].double(), config=_config(gamma=gamma))[0]


def remax(x: Inputs) -> Tensor:
    """`compute_remax_outcome_advantage`."""
    return _core().compute_remax_outcome_advantage(_token_scores(x), x["greedy"], x["mask"].double())[0]


def gae(x: Inputs, gamma: float, lam: float, kl_coef: float) -> Tensor:
    """`compute_gae_advantage_return`: whitened advantages, and the returns next to them [rows, 2 time]."""
    mask = x["mask"].double()
    advantages, returns = _core().compute_gae_advantage_return(
        _token_scores(x, kl_coef), x["old_values"] * mask, mask, gamma, lam
    )
    return torch.cat([advantages * mask, returns * mask], 1)


def whiten(x: Inputs, shift_mean: bool) -> Tensor:
    """`masked_whiten` of the token advantages."""
    from verl.utils.torch_functional import masked_whiten

    return masked_whiten(x["token_advantage"], x["mask"].double(), shift_mean) * x["mask"]


def adaptive_kl(measured: list[float], samples: int, coef: float, target: float, horizon: float) -> Tensor:
    """The coefficients that `AdaptiveKLController` goes through."""
    controller = _core().AdaptiveKLController(coef, target, horizon)
    found = []
    for value in measured:
        controller.update(value, samples)
        found.append(controller.value)
    return torch.tensor(found, dtype=torch.float64)
