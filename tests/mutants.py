"""The field's known mistakes, each as one change of the lab's source, and the tests that must notice it.

`mutation_check` plants them one at a time in a copy of the tree. A change must apply EXACTLY once, else the check
itself fails: so the list can't rot unseen when the source moves on. The code is found by its tokens (see `snippets`):
line breaks, indentation, comments and the last comma before a bracket do not count.
"""

from dataclasses import dataclass

CLIP = "tests/algorithms/test_clip_truth_table.py"
LOSS = "tests/algorithms/test_policy_loss.py"
PRESETS = "tests/algorithms/test_algorithm_presets.py"
EXACT = "tests/algorithms/test_enumeration.py"
ADVANTAGES = "tests/algorithms/test_advantages.py"
KL = "tests/algorithms/test_kl.py"
GAE = "tests/algorithms/test_gae.py"
VALUE = "tests/algorithms/test_value_loss.py"
CONTROL = "tests/algorithms/test_kl_controllers.py"
PREFERENCES = "tests/algorithms/test_preference_losses.py"
REWARDS = "tests/algorithms/test_reward_model_losses.py"
SFT = "tests/training/test_sft_rows.py"
ENGINE = "tests/sampling/test_engine.py"
CHOOSE = "tests/sampling/test_choose.py"
BATCHING = "tests/sampling/test_batching.py"
SEQUENCES = "tests/sampling/test_sequences.py"
SHORT = "tests/sampling/test_short_memory.py"
LOGPROBS = "tests/models/test_logprobs.py"
CHUNKS = f"{LOGPROBS}::test_in_chunks_equals_plain_gradients_too[llama-recomputed]"
MEMORY = "tests/training/test_memory.py"
MASKS = "tests/algorithms/test_masks.py"
MISMATCH = "tests/training/test_mismatch.py"
POLICY = "tests/models/test_policy.py"
PPO = "tests/training/test_ppo.py"
RL = "tests/training/test_rl.py"


@dataclass(frozen=True)
class Mutant:
    """`old` stands exactly once in `file` and becomes `new`; one of the `tests` must then fail.

    `new` is indented as if its first line began at column 0. `tests` are files, or single tests of a file that takes
    long.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def _mutant(name: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, f"labkit/{file}", old, new, tests)


MUTANTS = [
    # The policy loss
    _mutant(
        "clip inverted for A < 0",
        "algorithms/policy.py",
        "objective = torch.minimum(weight * advantage, clipped * advantage)",
        "objective = torch.where(advantage < 0, torch.maximum(weight * advantage, clipped * advantage),"
        " torch.minimum(weight * advantage, clipped * advantage))",
        CLIP,
    ),
    _mutant(
        "no pessimism: the clipped ratio alone",
        "algorithms/policy.py",
        "objective = torch.minimum(weight * advantage, clipped * advantage)",
        "objective = clipped * advantage",
        CLIP,
    ),
    _mutant(
        "clip bounds swapped",
        "algorithms/policy.py",
        "weight.clamp(1 - clip_low, 1 + clip_high)",
        "weight.clamp(1 - clip_high, 1 + clip_low)",
        LOSS,
    ),
    _mutant(
        "ratio upside down",
        "algorithms/policy.py",
        "logprobs - old_logprobs.detach()",
        "old_logprobs.detach() - logprobs",
        CLIP,
    ),
    _mutant(
        "dual clip for A > 0 too",
        "algorithms/policy.py",
        "torch.where(advantage < 0, torch.maximum(objective, dual_clip * advantage), objective)",
        "torch.maximum(objective, dual_clip * advantage)",
        CLIP,
    ),
    _mutant(
        "CISPO's weight not detached",
        "algorithms/policy.py",
        "-clipped.detach() * advantage * lp",
        "-clipped * advantage * lp",
        CLIP,
    ),
    _mutant(
        "old log-probs not detached",
        "algorithms/policy.py",
        "logprobs - old_logprobs.detach()",
        "logprobs - old_logprobs",
        LOSS,
    ),
    _mutant(
        "GSPO: the product of the ratios, not their geometric mean",
        "algorithms/policy.py",
        "log_ratio.sum(dim=1, keepdim=True) / length",
        "log_ratio.sum(dim=1, keepdim=True)",
        LOSS,
    ),
    _mutant(
        "mask forgotten in the aggregation",
        "algorithms/reduction.py",
        "per_sequence = torch.where(mask, values, 0.0).sum(dim=1)",
        "per_sequence = values.sum(dim=1)",
        REWARDS,
    ),
    _mutant(
        "micro-batches averaged by themselves",
        "algorithms/reduction.py",
        "count = loss_normalizer(mask, aggregate) if normalizer is None else normalizer",
        "count = loss_normalizer(mask, aggregate)",
        LOSS,
    ),
    _mutant(
        "token mean over the padding too",
        "algorithms/reduction.py",
        'return int(mask.sum()) if aggregate == "token_mean" else mask.shape[0]',
        'return mask.numel() if aggregate == "token_mean" else mask.shape[0]',
        LOSS,
    ),
    _mutant(
        "entropy bonus with the wrong sign",
        "algorithms/preset.py",
        "loss = loss - self.entropy_coef * aggregate_tokens(",
        "loss = loss + self.entropy_coef * aggregate_tokens(",
        f"{EXACT}::test_the_entropy_bonus_climbs_the_entropy",
    ),
    _mutant(
        "SAPO: temperatures swapped",
        "algorithms/policy.py",
        "advantage > 0, weight.new_full((), tau_pos)",
        "advantage < 0, weight.new_full((), tau_pos)",
        CLIP,
    ),
    _mutant(
        "SAPO without its normaliser",
        "algorithms/policy.py",
        "torch.sigmoid(tau * (weight - 1)) * 4 / tau",
        "torch.sigmoid(tau * (weight - 1))",
        CLIP,
    ),
    _mutant(
        "a loss per token that keeps the padding",
        "algorithms/reduction.py",
        'if aggregate == "none":\n    return torch.where(mask, values, 0.0)',
        'if aggregate == "none":\n    return values',
        PRESETS,
    ),
    _mutant(
        "MaxRL by the standard deviation",
        "algorithms/presets.py",
        'scale="group_mean"',
        'scale="group_std"',
        f"{EXACT}::test_maxrl_climbs_the_log_of_the_pass_rate_as_far_as_the_group_allows",
    ),
    _mutant(
        "explained variance around zero",
        "algorithms/value.py",
        "(x - masked_mean(x, mask)).square()",
        "x.square()",
        VALUE,
    ),
    _mutant(
        "the tokens of lowest entropy",
        "algorithms/masks.py",
        "sort(descending=True).values[kept - 1]",
        "sort().values[kept - 1]",
        MASKS,
    ),
    _mutant(
        "good answers masked as off-policy, too",
        "algorithms/masks.py",
        "mask & ((advantage >= 0) | (gap <= threshold)[:, None])",
        "mask & (gap <= threshold)[:, None]",
        MASKS,
    ),
    _mutant(
        "the off-policy gap upside down",
        "algorithms/masks.py",
        "masked_mean(sampler_logprobs - logprobs, mask, dim=1)",
        "masked_mean(logprobs - sampler_logprobs, mask, dim=1)",
        MASKS,
    ),
    # Presets
    _mutant(
        "Dr. GRPO with the sequence mean",
        "algorithms/presets.py",
        'aggregate="sequence_sum_norm"',
        'aggregate="sequence_mean"',
        f"{EXACT}::test_dr_grpo_has_no_length_bias",
    ),
    _mutant(
        "Dr. GRPO that divides by the standard deviation",
        "algorithms/presets.py",
        'scale="none", aggregate="sequence_sum_norm"',
        'aggregate="sequence_sum_norm"',
        f"{EXACT}::test_dr_grpo_has_no_length_bias",
    ),
    _mutant(
        "DAPO with the sequence mean",
        "algorithms/presets.py",
        'clip_high=0.28, aggregate="token_mean"',
        'clip_high=0.28, aggregate="sequence_mean"',
        f"{EXACT}::test_dapo_divides_by_the_tokens_of_the_batch",
    ),
    _mutant(
        "GSPO with the ratio of each token",
        "algorithms/presets.py",
        'ratio="sequence", clip_low=3e-4',
        "clip_low=3e-4",
        PRESETS,
    ),
    # Advantages
    _mutant(
        "ddof swapped",
        "algorithms/advantage.py",
        "/ (size - ddof).clamp(min=1)",
        "/ (size - 1 + ddof).clamp(min=1)",
        ADVANTAGES,
    ),
    _mutant(
        "leave-one-out that includes the answer itself",
        "algorithms/advantage.py",
        "centred = above - (total - above) / (size - 1).clamp(min=1)",
        "centred = above - total / size",
        ADVANTAGES,
    ),
    _mutant(
        "the mean of the batch for that of the group",
        "algorithms/advantage.py",
        'group if baseline == "group_mean" else batch',
        'group if baseline == "batch_mean" else batch',
        ADVANTAGES,
    ),
    _mutant(
        "variance for the standard deviation",
        "algorithms/advantage.py",
        "torch.where(size > ddof, variance.sqrt(), 0.0)",
        "torch.where(size > ddof, variance, 0.0)",
        ADVANTAGES,
    ),
    _mutant(
        "equal rewards divided by eps",
        "algorithms/advantage.py",
        'above = rewards - _reduce(rewards, index, "amin")',
        "above = rewards",
        ADVANTAGES,
    ),
    _mutant(
        "ReMax without its baseline",
        "algorithms/preset.py",
        'rewards = rewards - _needed(greedy, "greedy_baseline=True", "greedy")',
        '_needed(greedy, "greedy_baseline=True", "greedy")',
        GAE,
    ),
    _mutant(
        "the critic learns whitened returns",
        "algorithms/preset.py",
        "result = whiten(result, mask, ddof=self.ddof)",
        "result = returns = whiten(result, mask, ddof=self.ddof)",
        GAE,
    ),
    _mutant(
        "whitening over the padding too",
        "algorithms/reduction.py",
        "shift = above.sum() / count",
        "shift = above.mean()",
        GAE,
    ),
    # GAE and the critic
    _mutant(
        "GAE without the mask",
        "algorithms/gae.py",
        "later = torch.where(mask[:, t], delta + gamma * lam * later, later)",
        "later = delta + gamma * lam * later",
        GAE,
    ),
    _mutant(
        "GAE reads the value of a hole",
        "algorithms/gae.py",
        "next_value = torch.where(mask[:, t], values[:, t], next_value)",
        "next_value = values[:, t]",
        GAE,
    ),
    _mutant(
        "GAE without lambda",
        "algorithms/gae.py",
        "delta + gamma * lam * later",
        "delta + gamma * later",
        GAE,
    ),
    _mutant(
        "GAE that does not discount the next value",
        "algorithms/gae.py",
        "rewards[:, t] + gamma * next_value - values[:, t]",
        "rewards[:, t] + next_value - values[:, t]",
        GAE,
    ),
    _mutant(
        "value clip with min for max",
        "algorithms/value.py",
        "worst = torch.maximum(error, clipped)",
        "worst = torch.minimum(error, clipped)",
        CLIP,
    ),
    _mutant(
        "the critic's targets not detached",
        "algorithms/value.py",
        "returns.detach()",
        "returns",
        VALUE,
    ),
    # KL
    _mutant(
        "KL upside down",
        "algorithms/kl.py",
        "x = logprobs - ref_logprobs",
        "x = ref_logprobs - logprobs",
        KL,
    ),
    _mutant(
        "k3 with the ratio upside down",
        "algorithms/kl.py",
        "torch.expm1(-x) + x",
        "torch.expm1(x) - x",
        KL,
    ),
    _mutant(
        "k2 without the half",
        "algorithms/kl.py",
        "x.square() / 2",
        "x.square()",
        KL,
    ),
    _mutant(
        "KL added to the reward",
        "algorithms/shaping.py",
        "return rewards - kl_coef * torch.where(mask, kl.detach(), 0.0)",
        "return rewards + kl_coef * torch.where(mask, kl.detach(), 0.0)",
        GAE,
    ),
    _mutant(
        "KL in the reward paid twice",
        "algorithms/preset.py",
        'self.kl_placement == "reward" and self.credit == "sequence"',
        'self.kl_placement == "reward"',
        GAE,
    ),
    _mutant(
        "the score at every token",
        "algorithms/shaping.py",
        "last = mask & (mask.flip(1).cumsum(1).flip(1) == 1)",
        "last = mask",
        GAE,
    ),
    _mutant(
        "KL loss: reference not detached",
        "algorithms/preset.py",
        "torch.where(mask, ref_logprobs.detach(), 0.0)",
        "torch.where(mask, ref_logprobs, 0.0)",
        PRESETS,
    ),
    _mutant(
        "adaptive KL steers away",
        "algorithms/controllers.py",
        "error = min(max(kl / self.target - 1, -MAX_ERROR), MAX_ERROR)",
        "error = min(max(1 - kl / self.target, -MAX_ERROR), MAX_ERROR)",
        CONTROL,
    ),
    # Preferences and reward models
    _mutant(
        "DPO: chosen and rejected swapped",
        "algorithms/preference.py",
        "d = chosen - rejected",
        "d = rejected - chosen",
        PREFERENCES,
    ),
    _mutant(
        "DPO: reference not detached",
        "algorithms/preference.py",
        "chosen - ref_chosen.detach(), rejected - ref_rejected.detach()",
        "chosen - ref_chosen, rejected - ref_rejected",
        PREFERENCES,
    ),
    _mutant(
        "DPO: reference forgotten",
        "algorithms/preference.py",
        "chosen - ref_chosen.detach(), rejected - ref_rejected.detach()",
        "chosen, rejected",
        PREFERENCES,
    ),
    _mutant(
        "IPO: 1 / beta for 1 / (2 beta)",
        "algorithms/preference.py",
        "(d - 1 / (2 * beta)).square()",
        "(d - 1 / beta).square()",
        PREFERENCES,
    ),
    _mutant(
        "SimPO on sums",
        "algorithms/preference.py",
        'PER_TOKEN: tuple[PreferenceKind, ...] = ("simpo", "orpo")',
        'PER_TOKEN: tuple[PreferenceKind, ...] = ("orpo",)',
        PREFERENCES,
    ),
    _mutant(
        "robust DPO with cDPO's sign",
        "algorithms/preference.py",
        "F.logsigmoid(beta * d) + flipped",
        "F.logsigmoid(beta * d) - flipped",
        PREFERENCES,
    ),
    _mutant(
        "ORPO: log-prob for log-odds",
        "algorithms/preference.py",
        "log_odds = d - log_one_minus_exp(chosen) + log_one_minus_exp(rejected)",
        "log_odds = d",
        PREFERENCES,
    ),
    _mutant(
        "KTO: good and bad swapped",
        "algorithms/kto.py",
        "side = torch.where(desirable, d - z, z - d)",
        "side = torch.where(desirable, z - d, d - z)",
        PREFERENCES,
    ),
    _mutant(
        "KTO: reference point not cut at 0",
        "algorithms/kto.py",
        ".mean().clamp(min=0)",
        ".mean()",
        PREFERENCES,
    ),
    _mutant(
        "KTO: gradient through the reference point",
        "algorithms/kto.py",
        "(policy_logprobs.detach() - ref_logprobs.detach()).mean()",
        "(policy_logprobs - ref_logprobs).mean()",
        PREFERENCES,
    ),
    _mutant(
        "Bradley-Terry: chosen and rejected swapped",
        "algorithms/reward_model.py",
        "difference = chosen - rejected",
        "difference = rejected - chosen",
        REWARDS,
    ),
    _mutant(
        "Bradley-Terry: margin added",
        "algorithms/reward_model.py",
        "difference - margin.detach()",
        "difference + margin.detach()",
        REWARDS,
    ),
    # From tokens to log-probs, masks and samples
    _mutant(
        "log-probs shifted by one",
        "models/logprobs.py",
        "chosen = logits.gather(-1, tokens[:, 1:, None]).squeeze(-1) - logits.logsumexp(-1)",
        "chosen = logits.gather(-1, tokens[:, :-1, None]).squeeze(-1) - logits.logsumexp(-1)",
        f"{LOGPROBS}::test_what_only_gives_logits_is_served_too",
    ),
    _mutant(
        "log-probs from hidden states shifted by one",
        "models/logprobs.py",
        "states, targets = hidden[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()",
        "states, targets = hidden[:, 1:].flatten(0, 1), tokens[:, 1:].flatten()",
        f"{POLICY}::test_logprobs_stand_at_their_own_token",
    ),
    _mutant(
        "the trainer forgets the temperature",
        "models/output.py",
        "(logits if temperature == 1.0 else logits / temperature).log_softmax(-1)",
        "logits.log_softmax(-1)",
        f"{POLICY}::test_temperature_divides_the_logits_also_in_the_logprobs",
    ),
    _mutant(
        "the trainer forgets the temperature where it computes all logits",
        "models/logprobs.py",
        "return logits if temperature == 1.0 else logits / temperature",
        "return logits",
        CHUNKS,
    ),
    _mutant(
        "the gradient forgets the temperature",
        "models/output.py",
        "by_logits.div_(self.temperature)",
        "by_logits.div_(1.0)",
        CHUNKS,
    ),
    _mutant(
        "the entropy's gradient upside down",
        "models/output.py",
        "slope = slope - by_entropy * (logp + self._entropy(logp)[:, None])",
        "slope = slope + by_entropy * (logp + self._entropy(logp)[:, None])",
        CHUNKS,
    ),
    _mutant(
        "chunks: only the last one's weights are learned",
        "models/output.py",
        "of_weight += by_logits.T @",
        "of_weight = by_logits.T @",
        CHUNKS,
    ),
    _mutant(
        "the sampler's log-probs forget the temperature",
        "sampling/choose.py",
        "logits = logits / options.temperature",
        "drawn = logits / options.temperature",
        f"{CHOOSE}::test_temperature_scales_the_distribution_and_its_logprobs",
    ),
    _mutant(
        "mask shifted by one",
        "sampling/engine.py",
        "mask = (columns >= starts[:, None]) & (columns < (starts + lengths)[:, None])",
        "mask = (columns >= starts[:, None] - 1) & (columns < (starts + lengths)[:, None] - 1)",
        f"{ENGINE}::test_the_record_is_consistent",
    ),
    _mutant(
        "eos left out of the mask",
        "sampling/engine.py",
        "mask = (columns >= starts[:, None]) & (columns < (starts + lengths)[:, None])",
        "mask = (columns >= starts[:, None]) & (columns < (starts + lengths - drawn.ended.cpu().long())[:, None])",
        f"{ENGINE}::test_the_record_is_consistent",
    ),
    _mutant(
        "a refilled slot goes on where its last row ended",
        "sampling/slots.py",
        "self.count[rows], self.alive[rows], self.ended[rows] = 0, True, False",
        "self.alive[rows], self.ended[rows] = True, False",
        f"{BATCHING}::test_a_sample_is_the_same_whatever_the_slots[7-llama]",
    ),
    _mutant(
        "a row that has moved runs on in its old slot",
        "sampling/slots.py",
        "self.alive[left:used] = False",
        "pass",
        f"{SEQUENCES}::test_a_slot_that_its_row_has_left_does_not_run_on_in_a_later_call",
    ),
    _mutant(
        "the cache takes the larger of each dimension, whatever that takes",
        "sampling/workspace.py",
        "self.decoder.bytes_of(*grown) > cache_share(model.device)",
        "False",
        f"{SHORT}::test_the_cache_grows_within_its_share_and_is_made_anew_beyond_it",
    ),
    _mutant(
        "refilled rows draw with the random numbers of the first",
        "sampling/batching.py",
        "self.noise[rows[0] : rows[-1] + 1]",
        "self.noise[: len(rows)]",
        f"{BATCHING}::test_refilled_rows_use_their_own_random_numbers",
    ),
    _mutant(
        "rows that have ended go on counting",
        "sampling/slots.py",
        "count += alive",
        "count += 1",
        f"{BATCHING}::test_captured_steps_draw_what_plain_steps_draw",
    ),
    _mutant(
        "the sampler keeps the weights of its first call",
        "sampling/workspace.py",
        "if isinstance(self.decoder, FusedDecoder):\n    self.decoder.load(model)",
        "if isinstance(self.decoder, FusedDecoder) and self.slots is None:\n    self.decoder.load(model)",
        f"{BATCHING}::test_an_optimiser_step_is_seen_at_once_and_in_place",
    ),
    _mutant(
        "a decoding step looks at the cache that was there before",
        "sampling/fused.py",
        "self.cache, self.by_slot, self.rooms, self.views = [], [], {}, {}",
        "self.cache, self.by_slot, self.rooms = [], [], {}",
        f"{BATCHING}::test_views_are_made_anew_when_what_they_look_at_has_moved",
    ),
    _mutant(
        "a layer writes over the prompt's keys of the one before",
        "sampling/fused.py",
        "past.append(by_row[:, self.heads :].clone())",
        "past.append(by_row[:, self.heads :])",
        f"{ENGINE}::test_the_fused_step_is_transformers_own",
    ),
    _mutant(
        "the sampler is blind to what hangs on the model",
        "sampling/weights.py",
        "and untouched(model)",
        "and model is not None",
        f"{ENGINE}::test_what_somebody_hung_into_the_model_is_seen",
    ),
    _mutant(
        "a stop string ends a row only where somebody looks",
        "sampling/stopping.py",
        "return end",
        "return len(ids)",
        f"{BATCHING}::test_stop_strings_between_two_looks",
    ),
    _mutant(
        "preferences: prompt counted in a reply's log-prob",
        "training/rows/reference.py",
        "mask[row, begin:end] = True",
        "mask[row, 1:end] = True",
        SFT,
    ),
    _mutant(
        "SFT, packed: prompt not masked",
        "training/rows/packing.py",
        "mask[r, at + begin : at + stop] = True",
        "mask[r, at + 1 : at + stop] = True",
        f"{SFT}::test_packed_loss_and_gradient_equal_those_of_lone_documents[llama]",
    ),
    _mutant(
        "SFT: eos not taught",
        "models/encoding.py",
        'ids = prompt_ids + _ids(policy, reply[0]["content"]) + [policy.eos_id]',
        'ids = prompt_ids + _ids(policy, reply[0]["content"])',
        f"{SFT}::test_a_reply_is_prompt_reply_and_one_eos",
    ),
    # The trainers
    _mutant(
        "the critic judges the text after the token",
        "training/rl/critic.py",
        "torch.cat([values.new_zeros(len(values), 1), values[:, :-1]], 1)",
        "values",
        f"{PPO}::test_a_value_is_read_before_its_token",
    ),
    _mutant(
        "the critic learns the return of the token before",
        "training/rl/critic.py",
        "old, returns = experience.values[rows, :width], experience.returns[rows, :width]",
        "old, returns = experience.values[rows, :width], experience.returns.roll(1, 1)[rows, :width]",
        f"{PPO}::test_a_critic_that_knows_the_returns_has_no_error",
    ),
    _mutant(
        "the reward is read at the padding",
        "models/reward_model.py",
        "hidden[torch.arange(len(tokens), device=tokens.device), lengths - 1]",
        "hidden[:, -1]",
        f"{PPO}::test_reward_model_reads_the_eos_whatever_stands_around_the_row",
    ),
    _mutant(
        "the trainer's micro-batches averaged by themselves",
        "training/rl/update.py",
        "self.loss(experience, chosen, width, normalizer)",
        "self.loss(experience, chosen, width, experience.algorithm.normalizer(rollouts.mask[chosen, :width]))",
        f"{RL}::test_micro_batches_and_skipped_rows_do_not_change_the_gradient",
    ),
    _mutant(
        "out of memory: what was added up counts twice",
        "training/loop/memory.py",
        "undo()",
        "pass",
        f"{MEMORY}::test_what_was_already_added_up_does_not_count_twice",
    ),
    _mutant(
        "importance weights without their cap",
        "algorithms/mismatch.py",
        "return weights if cap is None else weights.clamp(max=cap)",
        "return weights",
        f"{MISMATCH}::test_weights_of_a_world_that_can_be_summed_over",
    ),
    _mutant(
        "importance weights upside down",
        "algorithms/mismatch.py",
        "logprobs - sampler_logprobs",
        "sampler_logprobs - logprobs",
        f"{MISMATCH}::test_weights_of_a_world_that_can_be_summed_over",
    ),
    _mutant(
        "corrected samples: the ratio still taken to the sampler",
        "training/rl/reference.py",
        "experience.weights = importance_weights(experience.old, rollouts.logprobs, rollouts.mask, cap)",
        "experience.weights = importance_weights(experience.old, rollouts.logprobs, rollouts.mask, cap)\n"
        "experience.old = rollouts.logprobs",
        f"{MISMATCH}::test_the_corrected_gradient_is_the_weighted_one",
    ),
    _mutant(
        "stale samples of the present policy",
        "training/rl/staleness.py",
        "self._become(self.kept[0] if self.kept else now)",
        "self._become(now)",
        f"{MISMATCH}::test_stale_samples_are_those_of_the_older_policy[1]",
    ),
]
