"""Every loss of labkit next to TRL's and veRL's, and the test that proves it against exact enumeration.

One row is one claim: `ours(x)` equals `trl(x)` and `verl(x)` on the same inputs, and so do the gradients with respect
to `wrt`. `test_trl_parity.py` and `test_verl_parity.py` assert it, `parity_table.py` measures it.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import labkit.algorithms as lka
from labkit.algorithms import PRESETS
from tests.algorithms import peer_trl, peer_verl
from tests.algorithms.parity_inputs import MAX_LENGTH, Inputs

TOLERANCE = 1e-9

Side = Callable[[Inputs], Tensor]


@dataclass(frozen=True)
class Row:
    """`test`: file::function of the exact enumeration. `compare`: value and gradient, or one of them alone."""

    name: str
    test: str
    ours: Side
    wrt: tuple[str, ...] = ()
    trl: Side | None = None
    verl: Side | None = None
    compare: str = "both"
    note: str = ""


def _preset(name: str, *, advantage: str = "advantage", ref: bool = False, **changes: object) -> Side:
    """The loss of a preset, perhaps changed, on the batch."""
    preset = dataclasses.replace(PRESETS[name], **changes)

    def loss(x: Inputs) -> Tensor:
        reference = x["ref"] if ref else None
        arguments = x["now"], x["old"], x[advantage], x["mask"]
        return preset.loss(*arguments, norm_length=MAX_LENGTH, ref_logprobs=reference)[0]

    return loss


def entropies(x: Inputs) -> Tensor:
    """Of the batch's logits [rows, time]; rounded to float32, in which TRL computes their quantile."""
    return lka.entropy(x["logits"]).detach().float().double()


def _masked(name: str, keep: Side) -> Side:
    """The loss of a preset whose advantages are 0 outside a mask, on the batch."""

    def loss(x: Inputs) -> Tensor:
        return _preset(name)({**x, "advantage": x["advantage"][:, None] * keep(x)})

    return loss


def top_entropy(x: Inputs) -> Tensor:
    """The tokens of the batch with the highest entropy, a share of 0.3."""
    return lka.top_entropy_mask(entropies(x), x["mask"], 0.3)


def on_policy(x: Inputs) -> Tensor:
    """The tokens of the batch outside bad sequences that are more than 0.02 nats per token off-policy."""
    return lka.off_policy_sequence_mask(x["now"], x["old"], x["advantage"], x["mask"], 0.02)


def _token_advantages(name: str, kl_coef: float = 0.0, **changes: object) -> Side:
    """What a preset makes of the rewards [rows, time]; of ppo also the returns, next to the advantages."""
    preset = dataclasses.replace(PRESETS[name], kl_coef=kl_coef, **changes)

    def advantages(x: Inputs) -> Tensor:
        kl = lka.kl_estimate(x["old"], x["ref"], "k1")
        given = {"kl": kl, "values": x["old_values"], "greedy": x["greedy"]}
        found, returns = preset.token_advantages(x["rewards"], x["groups"], x["mask"], **given)
        return torch.cat([found, returns], 1) if preset.critic else found

    return advantages


def _entropy_bonus(x: Inputs) -> Tensor:
    preset = dataclasses.replace(PRESETS["dapo"], entropy_coef=0.3, clip_high=0.2)
    arguments = x["now"], x["old"], x["advantage"], x["mask"]
    return preset.loss(*arguments, entropy=lka.entropy(x["logits"]))[0]


def _kl(kind: str) -> Side:
    return lambda x: lka.kl_estimate(x["now"], x["ref"], kind) * x["mask"]


def _value(clip: float, aggregate: str) -> Side:
    return lambda x: lka.value_loss(x["values"], x["old_values"], x["returns"], x["mask"], clip, aggregate=aggregate)[0]


def _preference(kind: str, **options: object) -> Side:
    def loss(x: Inputs) -> Tensor:
        sums = [
            (x[name] * x[mask]).sum(1)
            for name, mask in (
                ("chosen", "chosen_mask"),
                ("rejected", "rejected_mask"),
                ("ref_chosen", "chosen_mask"),
                ("ref_rejected", "rejected_mask"),
            )
        ]
        lengths = {f"{name}_lengths": x[f"{name}_mask"].sum(1) for name in ("chosen", "rejected")}
        return lka.preference_loss(*sums, kind, **lengths, **options)[0]

    return loss


def _kto(x: Inputs) -> Tensor:
    policy, ref = (x["chosen"] * x["chosen_mask"]).sum(1), (x["ref_chosen"] * x["chosen_mask"]).sum(1)
    other, ref_other = ((x[name] * x["rejected_mask"]).sum(1) for name in ("rejected", "ref_rejected"))
    z = lka.kto_reference_point(other, ref_other)
    weights = {"desirable_weight": 1.25, "undesirable_weight": 0.75}
    return lka.kto_loss(policy, ref, x["desirable"], z, beta=0.3, **weights)[0]


def _bradley_terry(margin: bool, centering: float) -> Side:
    return lambda x: lka.bradley_terry_loss(
        x["score_chosen"], x["score_rejected"], x["margin"] if margin else None, centering=centering
    )[0]


def _adaptive_kl(x: Inputs) -> Tensor:
    controller = lka.AdaptiveKL(0.2, target=3.0, horizon=400)
    return torch.tensor([controller.update(kl, 64) for kl in MEASURED], dtype=torch.float64)


MEASURED = [0.1, 2.9, 3.3, 8.0, 3.0, 2.0]

ENUMERATION, GAE, KL = "test_enumeration.py", "test_gae.py", "test_kl.py"
PREFERENCE, REWARD = "test_preference_losses.py", "test_reward_model_losses.py"
BY_HAND = f"{PREFERENCE}::test_the_expected_gradient_of_each_kind_by_hand"
NOW, PAIR, SCORES = ("now",), ("chosen", "rejected"), ("score_chosen", "score_rejected")

ROWS = [
    # ------------------------------------------------------------------------------------------- policy losses
    Row(
        "REINFORCE loss",
        f"{ENUMERATION}::test_unbiased",
        _preset("reinforce"),
        NOW,
        verl=lambda x: peer_verl.policy(x, "reinforce", "seq-mean-token-sum"),
    ),
    Row(
        "RLOO loss, on-policy",
        f"{ENUMERATION}::test_unbiased",
        lambda x: _preset("rloo")({**x, "old": x["now"].detach()}),
        NOW,
        trl=peer_trl.rloo_on_policy,
        compare="gradient",
        note="TRL's value is -A (its ratio is 1), ours -A log p; TRL clips a summed sequence ratio off-policy",
    ),
    Row(
        "GRPO loss",
        f"{ENUMERATION}::test_grpo_divides_by_the_length_of_the_answer",
        _preset("grpo"),
        NOW,
        trl=lambda x: peer_trl.grpo(x, "grpo"),
        verl=lambda x: peer_verl.policy(x, "vanilla", "seq-mean-token-mean"),
    ),
    Row(
        "Dr. GRPO loss",
        f"{ENUMERATION}::test_dr_grpo_has_no_length_bias",
        _preset("dr_grpo"),
        NOW,
        trl=lambda x: peer_trl.grpo(x, "dr_grpo"),
        verl=lambda x: peer_verl.policy(x, "vanilla", "seq-mean-token-sum-norm"),
    ),
    Row(
        "DAPO loss",
        f"{ENUMERATION}::test_dapo_divides_by_the_tokens_of_the_batch",
        _preset("dapo"),
        NOW,
        trl=lambda x: peer_trl.grpo(x, "dapo", high=0.28),
        verl=lambda x: peer_verl.policy(x, "vanilla", "token-mean", high=0.28),
    ),
    Row(
        "DAPO loss of a micro-batch of 1234 tokens",
        f"{ENUMERATION}::test_dapo_divides_by_the_tokens_of_the_batch",
        lambda x: lka.policy_loss(x["now"], x["old"], x["advantage"], x["mask"], normalizer=1234)[0],
        NOW,
        trl=lambda x: peer_trl.grpo(x, "dapo", tokens=1234.0),
    ),
    Row(
        "GSPO loss",
        f"{ENUMERATION}::test_the_sequence_ratio_is_the_geometric_mean",
        _preset("gspo", clip_low=0.05, clip_high=0.05),
        NOW,
        trl=lambda x: peer_trl.grpo(x, "grpo", low=0.05, high=0.05, level="sequence"),
        verl=lambda x: peer_verl.policy(x, "gspo", "seq-mean-token-mean", low=0.05, high=0.05),
    ),
    Row(
        "GSPO loss, the paper's clip range",
        f"{ENUMERATION}::test_the_sequence_ratio_is_the_geometric_mean",
        _preset("gspo"),
        NOW,
        trl=lambda x: peer_trl.grpo(x, "grpo", low=3e-4, high=4e-4, level="sequence"),
        verl=lambda x: peer_verl.policy(x, "gspo", "seq-mean-token-mean", low=3e-4, high=4e-4),
    ),
    Row(
        "CISPO loss",
        f"{ENUMERATION}::test_token_ratios_climb_the_surrogate_of_trpo[cispo]",
        _preset("cispo", clip_high=0.2),
        NOW,
        trl=lambda x: peer_trl.grpo(x, "cispo", high=1.2),
        verl=lambda x: peer_verl.policy(x, "cispo", "token-mean", low=1.0, high=0.2),
        note="TRL's bound is absolute: 1.2 there is clip_high=0.2 here and in veRL",
    ),
    Row(
        "SAPO loss",
        f"{ENUMERATION}::test_sapo_off_policy_climbs_its_gated_surrogate",
        _preset("sapo", tau_pos=1.0, tau_neg=1.25),
        NOW,
        trl=lambda x: peer_trl.grpo(x, "sapo", taus=(1.0, 1.25)),
        verl=lambda x: peer_verl.policy(x, "sapo", "seq-mean-token-mean", taus=(1.0, 1.25)),
        note="tau_neg=1.25, which float32 holds exactly: TRL keeps its temperatures in float32",
    ),
    Row(
        "DAPO loss, 30 % of the tokens by entropy",
        f"{ENUMERATION}::test_the_entropy_mask_keeps_the_exact_gradient_of_the_prefixes_that_it_keeps",
        _masked("dapo", top_entropy),
        NOW,
        trl=lambda x: peer_trl.grpo(x, "dapo", high=0.28, entropies=entropies(x), top_entropy=0.3),
        note="TRL: top_entropy_quantile=0.3",
    ),
    Row(
        "GRPO loss, off-policy sequences masked",
        f"{ENUMERATION}::test_the_off_policy_mask_leaves_out_the_bad_answers_that_the_policy_hardly_writes_any_more",
        _masked("grpo", on_policy),
        NOW,
        trl=lambda x: peer_trl.grpo(x, "grpo", off_policy=0.02),
        note="TRL: off_policy_mask_threshold=0.02",
    ),
    Row(
        "PPO loss, advantages by token",
        f"{ENUMERATION}::test_token_ratios_climb_the_surrogate_of_trpo[clip]",
        _preset("ppo", advantage="token_advantage"),
        NOW,
        trl=lambda x: peer_trl.grpo(x, "bnpo", advantage="token_advantage"),
        verl=lambda x: peer_verl.policy(x, "vanilla", "token-mean", advantage="token_advantage"),
    ),
    Row(
        "PPO loss with dual clip",
        f"{ENUMERATION}::test_token_ratios_climb_the_surrogate_of_trpo[clip]",
        _preset("ppo", dual_clip=1.5, advantage="token_advantage"),
        NOW,
        trl=lambda x: peer_trl.grpo(x, "bnpo", delta=1.5, advantage="token_advantage"),
        verl=lambda x: peer_verl.policy(x, "vanilla", "token-mean", dual=1.5, advantage="token_advantage"),
        note="TRL: delta=1.5",
    ),
    Row(
        "REINFORCE++ loss",
        f"{ENUMERATION}::test_ppo_and_reinforce_pp_with_kl_in_the_reward_are_unbiased_before_whitening[reinforce_pp]",
        _preset("reinforce_pp", advantage="token_advantage"),
        NOW,
        verl=lambda x: peer_verl.policy(x, "vanilla", "token-mean", advantage="token_advantage"),
    ),
    Row(
        "ReMax loss",
        f"{ENUMERATION}::test_remax_is_unbiased_and_quieter",
        _preset("remax", advantage="token_advantage"),
        NOW,
        verl=lambda x: peer_verl.policy(x, "reinforce", "seq-mean-token-sum", advantage="token_advantage"),
    ),
    # ------------------------------------------------------------------------------------ KL, entropy, critic
    Row(
        "KL estimate k1",
        f"{KL}::test_expectation_summed_over_answers_is_the_exact_kl_of_the_answers[k1]",
        _kl("k1"),
        NOW,
        verl=lambda x: peer_verl.kl(x, "k1"),
    ),
    Row(
        "KL estimate k2",
        f"{KL}::test_gradient_of_k2_as_a_loss_is_that_of_the_kl",
        _kl("k2"),
        NOW,
        verl=lambda x: peer_verl.kl(x, "k2"),
    ),
    Row(
        "KL estimate k3",
        f"{KL}::test_gradient_of_k3_as_a_loss_is_that_of_the_reverse_kl",
        _kl("k3"),
        NOW,
        verl=lambda x: peer_verl.kl(x, "k3"),
    ),
    Row(
        "GRPO loss + 0.7 k3",
        f"{KL}::test_gradient_of_k3_as_a_loss_is_that_of_the_reverse_kl",
        _preset("grpo", ref=True, kl_coef=0.7),
        NOW,
        trl=lambda x: peer_trl.grpo(x, "grpo", beta=0.7),
        verl=lambda x: (
            peer_verl.policy(x, "vanilla", "seq-mean-token-mean")
            + 0.7 * peer_verl.aggregated_kl(x, "low_var_kl", "seq-mean-token-mean")
        ),
        note="TRL: use_bias_correction_kl=False",
    ),
    Row(
        "GRPO loss + 0.7 k2",
        f"{KL}::test_gradient_of_k2_as_a_loss_is_that_of_the_kl",
        _preset("grpo", ref=True, kl_coef=0.7, kl_kind="k2"),
        NOW,
        verl=lambda x: (
            peer_verl.policy(x, "vanilla", "seq-mean-token-mean")
            + 0.7 * peer_verl.aggregated_kl(x, "mse", "seq-mean-token-mean")
        ),
    ),
    Row(
        "entropy bonus",
        f"{ENUMERATION}::test_the_entropy_bonus_climbs_the_entropy",
        _entropy_bonus,
        ("now", "logits"),
        trl=lambda x: peer_trl.grpo(x, "dapo", entropies=lka.entropy(x["logits"]), entropy_coef=0.3),
        verl=lambda x: peer_verl.policy(x, "vanilla", "token-mean") - 0.3 * peer_verl.entropy(x, "token-mean"),
    ),
    Row(
        "value loss, clipped",
        "test_value_loss.py::test_its_expected_minimum_is_the_true_value",
        _value(0.2, "token_mean"),
        ("values",),
        verl=lambda x: peer_verl.value(x, 0.2, "token-mean"),
    ),
    Row(
        "value loss, sequence mean, not clipped",
        "test_value_loss.py::test_its_expected_minimum_is_the_true_value",
        _value(1e9, "sequence_mean"),
        ("values",),
        verl=lambda x: peer_verl.value(x, 1e9, "seq-mean-token-mean"),
    ),
    # ------------------------------------------------------------------------------------------- advantages
    Row(
        "GRPO advantages",
        f"{ENUMERATION}::test_grpo_with_two_samples_climbs_the_win_rate",
        _token_advantages("grpo"),
        verl=lambda x: peer_verl.group_advantage(x, "grpo"),
    ),
    Row(
        "Dr. GRPO advantages",
        f"{ENUMERATION}::test_group_mean_shrinks_the_gradient_by_n_minus_1_over_n",
        _token_advantages("dr_grpo"),
        verl=lambda x: peer_verl.group_advantage(x, "grpo", norm_adv_by_std_in_grpo=False),
    ),
    Row(
        "RLOO advantages",
        f"{ENUMERATION}::test_unbiased[2-rloo]",
        _token_advantages("rloo"),
        verl=lambda x: peer_verl.group_advantage(x, "rloo"),
    ),
    Row(
        "REINFORCE++ advantages, KL in the reward",
        f"{ENUMERATION}::test_whitening_over_a_batch_of_two_climbs_the_win_rate[reinforce_pp]",
        _token_advantages("reinforce_pp", kl_coef=0.3, gamma=0.9),
        verl=lambda x: peer_verl.reinforce_pp(x, gamma=0.9, kl_coef=0.3),
    ),
    Row(
        "ReMax advantages",
        f"{ENUMERATION}::test_remax_is_unbiased_and_quieter",
        _token_advantages("remax"),
        verl=peer_verl.remax,
    ),
    Row(
        "PPO: GAE whitened, and returns; KL in the reward",
        f"{GAE}::test_with_the_true_critic_any_lambda_is_unbiased_and_with_a_wrong_one_it_is_not",
        _token_advantages("ppo", kl_coef=0.3, gamma=0.9, lam=0.8),
        verl=lambda x: peer_verl.gae(x, gamma=0.9, lam=0.8, kl_coef=0.3),
    ),
    Row(
        "whiten",
        f"{GAE}::test_whiten",
        lambda x: lka.whiten(x["token_advantage"], x["mask"]),
        verl=lambda x: peer_verl.whiten(x, True),
    ),
    Row(
        "whiten, mean put back",
        f"{GAE}::test_whiten",
        lambda x: lka.whiten(x["token_advantage"], x["mask"], shift_mean=False),
        verl=lambda x: peer_verl.whiten(x, False),
    ),
    Row(
        "adaptive KL coefficient",
        "test_kl_controllers.py::test_adaptive_holds_a_policy_at_the_target",
        _adaptive_kl,
        verl=lambda x: peer_verl.adaptive_kl(MEASURED, 64, 0.2, 3.0, 400),
    ),
    # ------------------------------------------------------------------------- preferences and reward models
    Row(
        "DPO",
        f"{PREFERENCE}::test_dpo_is_least_at_the_policy_that_is_optimal_for_the_reward_with_kl",
        _preference("dpo", beta=0.3),
        PAIR,
        trl=lambda x: peer_trl.dpo(x, "sigmoid", beta=0.3),
    ),
    Row(
        "DPO, mean per token",
        f"{BY_HAND}[dpo]",
        _preference("dpo", beta=0.3, average=True),
        PAIR,
        trl=lambda x: peer_trl.dpo(x, "sigmoid_norm", beta=0.3),
        note="TRL: sigmoid_norm",
    ),
    Row(
        "cDPO",
        f"{PREFERENCE}::test_cdpo_is_least_where_the_implied_preference_is_one_minus_e",
        _preference("cdpo", beta=0.3, label_smoothing=0.2),
        PAIR,
        trl=lambda x: peer_trl.cdpo(x, beta=0.3, label_smoothing=0.2),
        note="TRL: CPOTrainer's smoothed loss on log-ratios",
    ),
    Row(
        "robust DPO",
        f"{PREFERENCE}::test_robust_dpo_undoes_the_noise_of_the_labels_and_cdpo_does_not",
        _preference("robust_dpo", beta=0.3, label_smoothing=0.2),
        PAIR,
        trl=lambda x: peer_trl.dpo(x, "robust", beta=0.3, label_smoothing=0.2),
    ),
    Row(
        "IPO, mean per token",
        f"{PREFERENCE}::test_ipo_is_least_at_a_finite_difference",
        _preference("ipo", beta=0.3, average=True),
        PAIR,
        trl=lambda x: peer_trl.dpo(x, "ipo", beta=0.3),
    ),
    Row(
        "IPO, sums",
        f"{PREFERENCE}::test_ipo_is_least_at_a_finite_difference",
        _preference("ipo", beta=0.3),
        PAIR,
        trl=peer_trl.ipo_of_sums,
        note="TRL: CPOTrainer's ipo on summed log-ratios (its DPOTrainer averages)",
    ),
    Row(
        "SimPO",
        f"{BY_HAND}[simpo]",
        _preference("simpo", beta=2.0, gamma=0.7),
        PAIR,
        trl=lambda x: peer_trl.simpo(x, beta=2.0, gamma=0.7),
    ),
    Row(
        "ORPO",
        f"{BY_HAND}[orpo]",
        _preference("orpo", beta=0.3),
        PAIR,
        trl=lambda x: peer_trl.orpo(x, beta=0.3),
        note="the SFT term over the completions alone; TRL's own includes the prompts",
    ),
    Row(
        "KTO",
        f"{PREFERENCE}::test_kto_in_expectation_over_all_answers_and_marks",
        _kto,
        ("chosen",),
        trl=lambda x: peer_trl.kto(x, beta=0.3, desirable_weight=1.25, undesirable_weight=0.75),
    ),
    Row(
        "Bradley-Terry",
        f"{REWARD}::test_bradley_terry_is_least_at_the_true_reward_whatever_constant_is_added",
        _bradley_terry(False, 0.0),
        SCORES,
        trl=lambda x: peer_trl.reward(x, margin=False, centering=None),
    ),
    Row(
        "Bradley-Terry, margin and centring",
        f"{REWARD}::test_centring_pins_the_constant_down",
        _bradley_terry(True, 0.01),
        SCORES,
        trl=lambda x: peer_trl.reward(x, margin=True, centering=0.01),
    ),
]


def value_and_gradients(side: Side, inputs: Inputs, wrt: tuple[str, ...]) -> tuple[Tensor, dict[str, Tensor]]:
    """The value of one side and the gradients of its sum; inputs are copied, so that nothing leaks."""
    x = {name: tensor.detach().clone() for name, tensor in inputs.items()}
    for name in wrt:
        x[name].requires_grad_()
    value = side(x)
    gradients = torch.autograd.grad(value.sum(), [x[name] for name in wrt]) if wrt else []
    return value.detach(), dict(zip(wrt, gradients, strict=True))
