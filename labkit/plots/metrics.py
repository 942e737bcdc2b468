"""The meaning of every field of `metrics.jsonl`: one table for plots, documentation and the command line."""

from typing import NamedTuple


class Metric(NamedTuple):
    """The name of a logged field, its unit, and what it says."""

    title: str
    unit: str
    description: str

    @property
    def label(self) -> str:
        """Title and unit, for an axis.

        >>> METRICS["response_length"].label, METRICS["grad_norm"].label
        ('Response length (tokens)', 'Gradient norm')
        """
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def share(self) -> bool:
        """Whether the field is a share, so that its axis goes from 0 to 1."""
        return self.unit.startswith("share")


_SAMPLES = "share of samples"
_TOKENS = "share of tokens"
_EACH = "per sample"

METRICS: dict[str, Metric] = {
    "step": Metric("Step", "optimisation steps", "Number of the step, from 0."),
    # What the policy did
    "reward_mean": Metric("Mean reward", "", "Mean of the verifier's rewards over the step's samples."),
    "reward_std": Metric(
        "Spread of rewards", "", "Standard deviation of the verifier's rewards over the step's samples."
    ),
    "gold_mean": Metric(
        "Mean gold reward",
        "",
        "Mean of the task's own score, where the policy is trained on a reward model instead: the true goal.",
    ),
    "pass_rate": Metric(
        "Pass rate",
        _SAMPLES,
        "Share of the step's training samples with a reward of 1 or more: what a verifier gives for a right answer. "
        "It says nothing of a reward model, whose numbers have no zero.",
    ),
    "response_length": Metric(
        "Response length",
        "tokens",
        "Mean number of tokens that the policy wrote for an answer, the eos included.",
    ),
    "truncated": Metric(
        "Truncated",
        _SAMPLES,
        "Share of samples that the token limit ended, so that the answer may be missing.",
    ),
    "format_rate": Metric("Well formed", _SAMPLES, "Share of samples that keep to the answer format."),
    "verifier_errors": Metric(
        "Verifier errors", "samples", "Samples at which the verifier itself failed; they are scored 0."
    ),
    # How it thought
    "thinks": Metric("Thinks first", _SAMPLES, "Share of samples that open a thought before the answer."),
    "attempts": Metric("Attempts", _EACH, "Chains of equations that a thought tries, with or without a verdict."),
    "backtracks": Metric(
        "Backtracks", _EACH, 'Attempts that end in "no" or "wait" and are followed by another attempt.'
    ),
    "repeats": Metric("Repeated attempts", _EACH, "Attempts that are exactly an earlier one: effort lost."),
    "reflections": Metric("Reflections", _EACH, 'Phrases of second thoughts: "wait", "hmm", "let me try", ...'),
    "gave_up": Metric("Gave up", _SAMPLES, "Share of thoughts that tried, accepted nothing, and closed all the same."),
    "verified": Metric("Verified", _SAMPLES, 'Share of thoughts whose last attempt was accepted with "yes".'),
    # The policy's distribution
    "entropy": Metric(
        "Entropy",
        "nats per token",
        "Mean entropy of the next-token distribution: how much is still being explored.",
    ),
    "kl": Metric(
        "KL to the reference",
        "nats per token",
        "KL divergence from the reference policy, estimated (k1) over the step's samples as they were drawn; times the "
        "response length it is that of whole answers.",
    ),
    "kl_coef": Metric("KL coefficient", "", "What the KL is multiplied with in reward or loss; steered or fixed."),
    "ratio_mean": Metric(
        "Importance ratio",
        "",
        "Mean over tokens of new over old probability; 1 when sampler and trainer agree.",
    ),
    "clip_fraction": Metric("Clipped", _TOKENS, "Share of tokens whose gradient a clip bound switches off."),
    "ess": Metric(
        "Effective sample size",
        _TOKENS,
        "(sum of w)^2 / (n x sum of squared w), w = trainer's over sampler's probability before the first update: 1 "
        "when they are one policy. Staleness and other precisions lower it.",
    ),
    "mismatch_mean": Metric(
        "Sampler/trainer mismatch, mean",
        "nats",
        "Mean distance of sampler's and trainer's log-probs of the same tokens, before the first update. Where no row "
        "was trained, of a few rows.",
    ),
    "mismatch_max": Metric(
        "Sampler/trainer mismatch, largest",
        "nats",
        "Largest such distance of the step: above 1 something is wrong, or the samples are stale.",
    ),
    "importance_capped": Metric(
        "Importance weights at the cap", _TOKENS, "Share of tokens whose truncated importance weight is the cap."
    ),
    # The critic
    "value_error": Metric(
        "Squared error of the values", "", "Mean over tokens of (value - return)^2, during the updates."
    ),
    "value_clip_fraction": Metric(
        "Values clipped", _TOKENS, "Share of tokens whose value has moved as far from its old one as it may."
    ),
    "explained_variance": Metric(
        "Explained variance",
        "",
        "1 - Var(return - value) / Var(return) before the update: 1 is a perfect critic, 0 a constant one.",
    ),
    # The process reward model
    "prm_loss": Metric(
        "Loss of the process reward model",
        "nats per answer",
        "Cross-entropy of its verdict on answers not yet learnt from.",
    ),
    "prm_accuracy": Metric(
        "Accuracy of the process reward model",
        "share of samples",
        "Share of answers on whose outcome it was right before it learnt from them; it begins at one half.",
    ),
    "prm_ranking": Metric(
        "Ranking by the process reward model",
        "share of pairs",
        "Chance that it scores a right answer above a wrong one, before learning from them (area under the ROC curve).",
    ),
    "process_reward_mean": Metric(
        "Process reward",
        "nats per token",
        "Mean reward per token: what a token adds to the log-odds of a right answer.",
    ),
    # Preferences and reward models
    "accuracy": Metric(
        "Accuracy", "share of pairs", "Share of the batch in the right order (marks, KTO: on the right side)."
    ),
    "label_mean": Metric("Mean mark", "", "Outcome and process reward models: mean of what the batch's marks say."),
    "probability_mean": Metric(
        "Mean probability",
        "",
        "Outcome and process reward models: mean chance that the model gives to the marks.",
    ),
    "margin": Metric("Margin", "", "Mean reward of the chosen minus that of the rejected replies; of DPO: beta times."),
    "reward_chosen": Metric("Reward, chosen", "", "Mean reward of the chosen replies; of DPO: the implicit one."),
    "reward_rejected": Metric("Reward, rejected", "", "Mean reward of the rejected replies; of DPO: the implicit one."),
    "reward_desirable": Metric("Reward, good", "", "KTO: mean implicit reward of replies marked good."),
    "reward_undesirable": Metric("Reward, bad", "", "KTO: mean implicit reward of replies marked bad."),
    "reference_point": Metric(
        "Reference point", "nats", "KTO: mean log-ratio to the reference of mismatched replies, at least 0."
    ),
    "logprob_chosen": Metric(
        "Log-prob, chosen", "nats", "Mean log-prob of the whole chosen replies (KTO: of the good ones)."
    ),
    "logprob_rejected": Metric("Log-prob, rejected", "nats", "Mean log-prob of the whole rejected replies."),
    "trained_tokens": Metric("Trained tokens", "tokens", "SFT: tokens of replies that the loss was taken over."),
    # Distillation
    "divergence": Metric(
        "Divergence from the teacher",
        "nats per token",
        "Mean divergence (by default KL(student || teacher), exact over the vocabulary) at the tokens of the student's "
        "own samples, before the first update of the step.",
    ),
    # The optimiser
    "loss": Metric(
        "Loss",
        "",
        "What the optimiser lowers. In RL its value does not tell how good the policy is; in SFT it is nats per token.",
    ),
    "grad_norm": Metric("Gradient norm", "", "Norm of the whole gradient before clipping, mean of the step's updates."),
    "lr": Metric("Learning rate", "", "Learning rate of the step, warm-up and schedule included."),
    "zero_variance_groups": Metric(
        "Groups without variance",
        "groups",
        "Groups with equal rewards: all advantages are 0, nothing is learnt there.",
    ),
    "trained_rows": Metric("Trained samples", "samples", "Samples that carried a gradient in this step."),
    "trained_positions": Metric(
        "Trained positions",
        "tokens",
        "Tokens, prompts included, that went forward and backward through the policy; what training costs.",
    ),
    "skipped": Metric("Skipped updates", "updates", "Updates left out because loss or gradient was not finite."),
    # What it cost
    "tokens": Metric("Tokens", "tokens", "Tokens that the policy wrote in this step; of data: tokens that it read."),
    "prompt_tokens": Metric("Prompt tokens", "tokens", "Tokens of the step's prompts, each prompt counted once."),
    "tokens_per_second": Metric(
        "Throughput", "tokens/s", "The step's tokens over the seconds of the whole step, training included."
    ),
    "seconds": Metric("Time of a step", "s", "Wall-clock time of the whole step."),
    "microbatch_tokens": Metric(
        "Micro-batch", "tokens", "Budget of tokens, padding included, of one forward and backward pass."
    ),
    "time_sample": Metric("Time: sampling", "s", "Seconds of the step spent on writing completions."),
    "time_prefill": Metric("Time: prefill", "s", "Of the sampling: reading the prompts."),
    "time_decode": Metric("Time: decoding", "s", "Of the sampling: writing token after token."),
    "time_verify": Metric("Time: verifying", "s", "Seconds of the step spent on scoring completions."),
    "time_logprobs": Metric(
        "Time: log-probs",
        "s",
        "Seconds spent on log-probs without a gradient (a reference's, the policy's before its update) and on values.",
    ),
    "time_process": Metric(
        "Time: process rewards", "s", "Seconds of the step spent on training and asking the process reward model."
    ),
    "time_train": Metric("Time: training", "s", "Seconds of the step spent on loss, gradient and optimiser."),
    "time_backward": Metric("Time: forward and backward", "s", "Of the training: the loss and its gradient."),
    "time_optimizer": Metric("Time: optimiser", "s", "Of the training: clipping and the optimiser's step."),
    "elapsed": Metric("Time so far", "s", "Wall-clock time of all steps up to this one, evaluations left out."),
}


def metric(field: str) -> Metric:
    """The entry of a field; a field of your own that is not in the table keeps its name.

    >>> metric("my_score").label
    'My score'
    """
    name = field.replace("_", " ")
    return METRICS.get(field, Metric(name[:1].upper() + name[1:], "", ""))
