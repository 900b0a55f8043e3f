"""What this process counts itself: requests, and who listens. Every process has its own; Prometheus adds them up."""

import time

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: In seconds: from a cached read to a download of minutes.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0)
UNMATCHED = "unmatched"


class Meters:
    """The numbers of one front end."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # a second series for each, that nobody asks for
        self.registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self.registry)
        prometheus_client.PlatformCollector(registry=self.registry)
        prometheus_client.GCCollector(registry=self.registry)
        self.requests = Counter(
            "distilled_http_requests",
            "Requests that were answered, by the template of their route",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "distilled_http_request_duration_seconds",
            "From a request's first byte to its answer's last one",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "distilled_http_requests_in_progress", "Requests that are being answered", registry=self.registry
        )
        self.listeners = Gauge("distilled_event_listeners", "Open streams of a job's events", registry=self.registry)

    def count(self, scope: Scope, *, status: int, seconds: float) -> None:
        """Count a request that was answered. A path that no route knows has one name, or callers could make series."""
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = getattr(scope.get("route"), "path", UNMATCHED)
        self.requests.labels(method=method, route=route, status=str(status)).inc()
        self.request_seconds.labels(method=method, route=route).observe(seconds)


class Metered:
    """Counts every request, the refused ones too. 499: the caller left before there was an answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        meters: Meters = scope["app"].state.services.meters
        status = 499
        began = time.perf_counter()

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with meters.in_progress.track_inprogress():
            try:
                await self.app(scope, receive, send_noted)
            finally:
                meters.count(scope, status=status, seconds=time.perf_counter() - began)
