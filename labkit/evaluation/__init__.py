"""Evaluation: held-out reports, selection among samples, intervals, calibration, comparison of runs, and their cost."""

from labkit.evaluation.report import Report, evaluate, maj_at_k, pass_at_k

__all__ = ["Report", "evaluate", "maj_at_k", "pass_at_k"]
