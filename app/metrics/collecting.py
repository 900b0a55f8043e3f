"""What the registry tells, as metrics: the same from every front end, so take the maximum over them, not the sum."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from registry import errors
from registry.gauges import Gauges, Labels
from registry.totals import Counted

log = structlog.get_logger(__name__)

#: However often, and by however many, the metrics are asked for: the registry is looked at no more often than this.
KEEP_SECONDS = 5.0

#: name: (what it is, labels) of each sum.
SUMS = {
    Counted.ATTEMPTS: ("distilled_attempts", "Claims by workers, first ones and later ones", ("of",)),
    Counted.LEASE_EXPIRIES: ("distilled_lease_expiries", "Holders that fell silent", ("of",)),
    Counted.DEVICE_SECONDS: ("distilled_device_seconds", "How long devices were held", ("device", "of")),
}


class RegistryCollector(Collector):
    """Reads the registry for a scrape, at most every `keep_seconds`. While it is away, only that is told."""

    def __init__(self, look: Callable[[], Gauges], *, keep_seconds: float = KEEP_SECONDS) -> None:
        self._look, self._keep_seconds = look, keep_seconds
        self._lock = threading.Lock()
        self._found: Gauges | None = None
        self._seconds = 0.0
        self._looked_at: float | None = None

    def collect(self) -> Iterable[Metric]:
        """The metrics; called by the client library for each scrape."""
        found, seconds = self.current()
        yield GaugeMetricFamily("distilled_registry_up", "1: the registry can be read", value=float(found is not None))
        yield GaugeMetricFamily(
            "distilled_registry_look_seconds", "How long the last look at the registry took", value=seconds
        )
        if found is not None:
            yield from metrics(found)

    def forget(self) -> None:
        """Look anew when next asked, however soon that is."""
        self._looked_at = None

    def current(self) -> tuple[Gauges | None, float]:
        """What the last look found, and how long it took in seconds. None: the registry is away."""
        with self._lock:
            now = time.monotonic()
            if self._looked_at is None or now - self._looked_at >= self._keep_seconds:
                try:
                    self._found = self._look()
                except errors.RegistryError as error:
                    log.warning("registry_not_measured", reason=str(error))
                    self._found = None
                self._looked_at = time.monotonic()
                self._seconds = self._looked_at - now
            return self._found, self._seconds


def metrics(found: Gauges) -> Iterable[Metric]:
    """What the registry tells, in Prometheus's form."""
    for table in dict.fromkeys(table for table, _ in found.rows):
        states = {(state,): count for (of, state), count in found.rows.items() if of == table}
        yield _gauge(f"distilled_{table}", f"Rows in `{table}`", ("state",), states)
    yield _gauge("distilled_queue_length", "What waits for a worker", ("queue",), found.waiting)
    yield _gauge(
        "distilled_queue_age_seconds",
        "How long the one that waits longest has waited",
        ("queue",),
        found.oldest_seconds,
    )
    for counted, (name, about, labels) in SUMS.items():
        family = CounterMetricFamily(name, about, labels=labels)
        for values, total in sorted(found.sums[counted].items()):
            family.add_metric(values, total)
        yield family
    steps = SummaryMetricFamily(
        "distilled_step_duration_seconds", "Optimisation steps of jobs", labels=("device", "objective")
    )
    for values, count in sorted(found.sums[Counted.STEPS].items()):
        # As the library asks for them: integers print without a point.
        steps.add_metric(values, count_value=int(count), sum_value=found.sums[Counted.STEP_SECONDS].get(values, 0.0))
    yield steps
    yield GaugeMetricFamily("distilled_store_bytes", "Blobs in the store that are on record", value=found.store_bytes)
    yield GaugeMetricFamily("distilled_store_blobs", "How many these are", value=found.blobs)
    yield GaugeMetricFamily(
        "distilled_worker_cache_bytes", "Copies of the store that workers keep", value=found.worker_cache_bytes
    )
    yield _gauge("distilled_webhook_messages", "Webhooks' messages", ("state",), found.messages)
    yield _gauge("distilled_workers", "Workers that are alive", ("device", "version"), found.workers)


def _gauge(name: str, about: str, labels: Labels, values: Mapping[Labels, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=labels)
    for one, value in sorted(values.items()):
        family.add_metric(one, value)
    return family
