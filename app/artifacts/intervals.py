"""By how much two means differ, with the 95 % interval of that difference (Student's t)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, inf, lgamma, log, sqrt
from statistics import fmean, variance

CONFIDENCE = 0.95


class Method(StrEnum):
    """How an interval was found."""

    PAIRED = "paired"  #: of the differences, repeat by repeat: each pair of networks began alike and saw one order
    WELCH = "welch"  #: of two independent samples, whose variances may differ


@dataclass(frozen=True, kw_only=True)
class Difference:
    """b - a. The interval is None where there are too few values to say: one on either side."""

    difference: float
    interval: tuple[float, float] | None
    method: Method | None


def difference(a: Sequence[float], b: Sequence[float], *, paired: bool) -> Difference:
    """The difference of two means of at least one value each, b - a. paired: values of one index belong together."""
    mean = fmean(b) - fmean(a)
    if min(len(a), len(b)) < 2:
        return Difference(difference=mean, interval=None, method=None)
    if paired:
        pairs = [y - x for x, y in zip(a, b, strict=True)]
        error, freedom, method = sqrt(variance(pairs) / len(pairs)), float(len(pairs) - 1), Method.PAIRED
    else:
        parts = [variance(values) / len(values) for values in (a, b)]
        error, method = sqrt(sum(parts)), Method.WELCH
        # Welch and Satterthwaite. Without any variance the freedom is of no matter.
        each = zip(parts, (a, b), strict=True)
        below = sum(part**2 / (len(values) - 1) for part, values in each)
        freedom = sum(parts) ** 2 / below if below else inf
    half = error * t_quantile((1 + CONFIDENCE) / 2, freedom) if error else 0.0
    return Difference(difference=mean, interval=(mean - half, mean + half), method=method)


def t_quantile(p: float, freedom: float) -> float:
    """The value below which a share p of Student's t lies, for p in (0.5, 1) and any freedom > 0."""
    low, high = 0.0, 1.0
    while t_below(high, freedom) < p:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_below(middle, freedom) < p else (low, middle)
    return high


def t_below(t: float, freedom: float) -> float:
    """The share of Student's t that lies below t >= 0 (Abramowitz and Stegun, 26.7.1)."""
    return 1 - 0.5 * _beta(freedom / (freedom + t * t), freedom / 2, 0.5)


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function (Press et al., Numerical Recipes, section 6.4)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x))
    return front * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """Its continued fraction, by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1.0 / _not_zero(1 - (a + b) * x / (a + 1), tiny)
    found = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        step = 1.0
        for term in (even, odd):
            d = 1.0 / _not_zero(1 + term * d, tiny)
            c = _not_zero(1 + term / c, tiny)
            step = c * d
            found *= step
        if abs(step - 1) < 1e-15:
            break
    return found


def _not_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
