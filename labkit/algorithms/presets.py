"""Algorithms by name: each is a choice of options of the same pure functions, and nothing else.

Differences from the papers: the KL term is there (`kl_kind`, `kl_placement`) but its coefficient is 0, and so is the
coefficient of the entropy bonus. Of DAPO's dynamic sampling, the first half is there: groups without variance are
dropped, but no new groups are sampled in their place.

To vary a preset: `dataclasses.replace(PRESETS["grpo"], clip_high=0.28)`.
"""

from labkit.algorithms.preset import Preset

_PRESETS = (
    Preset(
        name="reinforce",
        source="Williams 1992, Simple statistical gradient-following algorithms",
        baseline="none",
        scale="none",
        objective="reinforce",
        aggregate="sequence_sum",
        kl_placement="reward",
        kl_kind="k1",
    ),
    Preset(
        name="rloo",
        source="Kool et al. 2019, Buy 4 REINFORCE samples; Ahmadian et al. 2024, arXiv:2402.14740",
        baseline="leave_one_out",
        scale="none",
        objective="reinforce",
        aggregate="sequence_sum",
        kl_placement="reward",
        kl_kind="k1",
    ),
    Preset(
        name="grpo",
        source="Shao et al. 2024, DeepSeekMath, arXiv:2402.03300, eq. 3",
        aggregate="sequence_mean",
        kl_kind="k3",
    ),
    Preset(
        name="dr_grpo",
        source="Liu et al. 2025, Understanding R1-Zero-like training, arXiv:2503.20783",
        scale="none",
        aggregate="sequence_sum_norm",
    ),
    Preset(
        name="dapo",
        source="Yu et al. 2025, DAPO, arXiv:2503.14476, eq. 8 and 13",
        clip_high=0.28,
        aggregate="token_mean",
        drop_zero_variance=True,
        overlong_buffer=0.2,
    ),
    Preset(
        name="gspo",
        source="Zheng et al. 2025, Group sequence policy optimization, arXiv:2507.18071, eq. 5",
        ratio="sequence",
        clip_low=3e-4,
        clip_high=4e-4,
        aggregate="sequence_mean",
    ),
    Preset(
        name="cispo",
        source="Chen et al. 2025, MiniMax-M1, arXiv:2506.13585, eq. 4",
        objective="cispo",
        clip_low=1.0,  # a lower bound of 0 is none, as in the paper
        clip_high=4.0,  # the paper tunes it and gives no number
        aggregate="token_mean",
    ),
    Preset(
        name="sapo",
        source="Gao et al. 2025, Soft adaptive policy optimization, arXiv:2511.20347",
        objective="sapo",  # with the paper's temperatures, the defaults of tau_pos and tau_neg
        aggregate="sequence_mean",
    ),
    Preset(
        name="maxrl",
        source="Tajwar et al. 2026, Maximum likelihood reinforcement learning, arXiv:2602.02710",
        scale="group_mean",
        objective="reinforce",
        aggregate="sequence_sum",
    ),
    Preset(
        name="ppo",
        source="Schulman et al. 2017, arXiv:1707.06347; for language models Ouyang et al. 2022, arXiv:2203.02155",
        baseline="none",
        scale="none",
        aggregate="token_mean",
        kl_placement="reward",
        kl_kind="k1",
        credit="token",
        critic=True,
        whiten=True,
    ),
    Preset(
        name="reinforce_pp",
        source="Hu 2025, REINFORCE++, arXiv:2501.03262",
        baseline="none",
        scale="none",
        aggregate="token_mean",
        kl_placement="reward",
        kl_kind="k1",
        credit="token",
        whiten=True,
    ),
    Preset(
        name="remax",
        source="Li et al. 2023, ReMax, arXiv:2310.10505",
        baseline="none",
        scale="none",
        objective="reinforce",
        aggregate="sequence_sum",
        kl_placement="reward",
        kl_kind="k1",
        credit="token",
        greedy_baseline=True,
    ),
    Preset(
        name="prime",
        source="Cui et al. 2025, PRIME, arXiv:2502.01456",
        baseline="leave_one_out",
        scale="none",
        aggregate="token_mean",
        credit="token",
        process_coef=1.0,  # with 0, only the outcome is left, with the same baseline and whitening
        whiten=True,
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _PRESETS}
