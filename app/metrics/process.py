"""What this process is and holds, looked up when it is asked for."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from distilled import __version__

if TYPE_CHECKING:
    from app.services import Services


class ProcessCollector(Collector):
    """The open streams, the cache of finished sets, and the version of the code."""

    def __init__(self, services: "Services") -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        """The metrics; called by the client library for each scrape."""
        yield GaugeMetricFamily(
            "distilled_streams_open", "Endless streams that are being sent", value=self._services.streams.active
        )
        yield GaugeMetricFamily(
            "distilled_export_cache_bytes",
            "Finished sets that are kept; one folder for all front ends of a machine",
            value=self._services.exports.num_bytes(),
        )
        yield InfoMetricFamily("distilled_build", "The version of the code", value={"version": __version__})
