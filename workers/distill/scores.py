"""Scores from accuracies: mean and spread, and DD-Ranking's two (arXiv 2505.13300)."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any


def summary(accuracies: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (0 for a single value) and the values, accuracies in 0..1."""
    values = [float(value) for value in accuracies]
    return {"mean": fmean(values), "std": stdev(values) if len(values) > 1 else 0.0, "values": values}


def hlr(full: Mapping[str, Any], distilled_hard: Mapping[str, Any]) -> float:
    """Hard-label recovery: what is lost against full data, both with hard labels. Lower is better."""
    return full["mean"] - distilled_hard["mean"]


def ior(distilled: Mapping[str, Any], random: Mapping[str, Any]) -> float:
    """Improvement over random: what is won over real images of the same size in bytes. Higher is better."""
    return distilled["mean"] - random["mean"]
