"""When to ask again: exponential back-off with full jitter, bounded by count and by what the service asks for.

Full jitter (a uniform draw below the bound) keeps a hundred clients that were cut off together from returning together.
"""

import email.utils
import random
from dataclasses import dataclass

PASSING = frozenset({429, 502, 503, 504})  # statuses that may be gone a moment later


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """retries: attempts after the first. Delays are drawn from 0 .. min(longest, first x 2^n) seconds.

    With first 0.5: at most 0.5, 1, 2, 4, 8 seconds. Asked to wait longer than `patience_seconds`, we give up.
    """

    retries: int = 5
    first_seconds: float = 0.5
    longest_seconds: float = 8.0
    patience_seconds: float = 60.0

    def delay(self, attempt: int, *, rng: random.Random, retry_after: float | None = None) -> float | None:
        """Seconds to wait after attempt 0, 1, 2 ...; None to give up."""
        if attempt >= self.retries:
            return None
        drawn = rng.uniform(0.0, min(self.longest_seconds, self.first_seconds * 2.0**attempt))
        if retry_after is None:
            return drawn
        # The jitter comes on top: never sooner than the service asked for.
        return retry_after + drawn if retry_after <= self.patience_seconds else None


def retry_after_seconds(header: str | None, *, now: float) -> float | None:
    """`Retry-After` in seconds from now: it is a number, or a date (RFC 9110, 10.2.3). None where it is neither."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - now)
