"""Percentiles, and ratios of what was measured in the same round."""

import math
from collections.abc import Iterable, Sequence
from statistics import median

__all__ = ["median", "paired_ratio", "percentile"]


def percentile(values: Iterable[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that at least `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Median, lowest and highest over the rounds of ours / theirs within one round."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return median(ratios), min(ratios), max(ratios)
