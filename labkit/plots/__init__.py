"""Pictures of runs: figures for curves, intervals and histograms; HTML for single rollouts.

Every figure function returns the `matplotlib` figure and shows nothing by itself: in a notebook make it the
last line of a cell or give it to `display`; in a script call `figure.savefig(file)`.
"""

# The statistics that the figures below draw; they are also reached from here.
from labkit.evaluation.calibration import calibration_bins, calibration_error, pair_confidence
from labkit.evaluation.wins import win_rates
from labkit.plots.curves import learning_curves
from labkit.plots.evaluations import advantage_histogram, before_after, length_histogram
from labkit.plots.gallery import RolloutTable, gallery, rollout_table
from labkit.plots.inference import accuracy_against_tokens
from labkit.plots.metrics import METRICS, Metric, metric
from labkit.plots.pipeline import pipeline_costs, pipeline_stages
from labkit.plots.rlhf import (
    calibration,
    logprob_curves,
    over_optimization,
    update_histograms,
    win_rate_matrix,
)
from labkit.plots.roofline import STEP_PARTS, roofline, step_breakdown, throughput_ladder
from labkit.plots.seeds import against_cost, seed_curves, seed_marks
from labkit.plots.style import PALETTE
from labkit.plots.tokens import token_strip, token_strips

__all__ = [
    "METRICS",
    "PALETTE",
    "STEP_PARTS",
    "Metric",
    "RolloutTable",
    "accuracy_against_tokens",
    "advantage_histogram",
    "against_cost",
    "before_after",
    "calibration",
    "calibration_bins",
    "calibration_error",
    "gallery",
    "learning_curves",
    "length_histogram",
    "logprob_curves",
    "metric",
    "over_optimization",
    "pair_confidence",
    "pipeline_costs",
    "pipeline_stages",
    "rollout_table",
    "roofline",
    "seed_curves",
    "seed_marks",
    "step_breakdown",
    "throughput_ladder",
    "token_strip",
    "token_strips",
    "update_histograms",
    "win_rate_matrix",
    "win_rates",
]
