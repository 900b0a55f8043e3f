"""The application: routes, middleware, and the sweeper that lives as long as they do."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI

from app import errors, freeing, health, status
from app.admin import auditing
from app.admin import routes as admin
from app.aliases import routes as aliases
from app.artifacts import choosing, comparing, evaluating
from app.artifacts import routes as artifacts
from app.croissant import routes as croissant
from app.datasets import resumable, sheets
from app.datasets import routes as datasets
from app.datasets.uploads import remove_stale
from app.deps import known_query
from app.gallery import artifact, assets, browsing, documentation, login, pair
from app.gallery import datasets as dataset_pages
from app.gallery import jobs as job_pages
from app.gallery import routes as gallery
from app.gallery import workers as worker_pages
from app.gallery.frame import shown
from app.hub import routes as hub
from app.hub.door import HubDoor
from app.inference import routes as inference
from app.inference.answers import ProtocolErrors
from app.jobs import methods
from app.jobs import pictures as job_pictures
from app.jobs import routes as jobs
from app.jobs import webhooks as job_webhooks
from app.keys import noting, quotas
from app.keys import routes as keys
from app.keys.scopes import check_declared
from app.metrics import routes as metrics
from app.metrics.meters import Metered
from app.middleware.context import RequestContext
from app.middleware.guard import Guard
from app.middleware.headers import SecurityHeaders
from app.middleware.limits import BodyLimit, HeadLimit
from app.middleware.rates import Budgets, RateLimit, WrongKeys
from app.middleware.tus import Tus
from app.openapi import describe
from app.samples import neighbours, preview, streaming
from app.samples import routes as samples
from app.services import Catalog, Services
from app.settings import AppSettings
from app.sweeper import Sweeper
from app.webhooks import delivering
from distilled import __version__

DESCRIPTION = "Distilled data sets on request: a recipe goes in, an artifact comes out, and batches are drawn from it."
#: Asked for every few seconds by probes and by Prometheus.
NOT_TRACED = frozenset({"/healthz", "/readyz", "/metrics"})
ROUTERS = (
    methods.router,
    datasets.router,
    sheets.router,
    resumable.router,
    jobs.router,
    job_webhooks.router,
    job_pictures.router,
    artifacts.router,
    choosing.router,
    evaluating.router,
    comparing.router,
    samples.router,
    streaming.router,
    preview.router,
    neighbours.router,
    aliases.router,
    croissant.router,
    inference.router,
    hub.router,
    quotas.router,
    keys.router,
    admin.router,
    auditing.router,
    health.router,
    status.router,
    metrics.router,
    browsing.router,
    gallery.router,
    dataset_pages.router,
    artifact.router,
    pair.router,
    job_pages.router,
    worker_pages.router,
    login.router,
    assets.router,
    documentation.router,
)


def create_app(settings: AppSettings, *, services: Services | None = None) -> FastAPI:
    """The front end under these settings. services: opened from the settings unless given, as tests do.

    Raises InsecureBinding where it would be open to other machines without a key.
    """
    settings.check_binding()
    parts = services or Services.open(settings)
    budgets = Budgets(
        broker_url=settings.broker_url,
        reads=settings.reads_per_minute,
        writes=settings.writes_per_minute,
        wrong_keys=settings.wrong_keys_per_minute,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        every = (Sweeper(parts), freeing.rounds(parts), delivering.rounds(parts), noting.rounds(parts))
        rounds = [each for each in every if each is not None]
        await run_sync(remove_stale, settings.home)
        for each in rounds:
            each.start()
        try:
            yield
        finally:
            parts.stopping.set()
            for each in rounds:
                await run_sync(each.stop)
            await run_sync(noting.note_last, parts)
            await budgets.close()
            await run_sync(parts.close)

    app = FastAPI(
        title="distilled",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load their scripts from elsewhere; ours is in `app.gallery.documentation`
        redoc_url=None,
        openapi_url=None,  # a route of ours, which says what scope it needs
        redirect_slashes=False,
        dependencies=[Depends(known_query)],
        # Spans where `registry.tracing` has set them up; the numbers are in /metrics and the faults in the log.
        telemetry={
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
            "exclude": lambda scope: scope.get("path") in NOT_TRACED,
        },
    )
    app.state.services = parts
    for router in ROUTERS:
        check_declared(router)
        app.include_router(router)
    errors.install(app, routers=ROUTERS, page=shown)
    # The last one added is the outermost: every answer, also a refusal, has an id and stands in the log.
    files = (("POST", datasets.router.prefix), ("PATCH", resumable.router.prefix))
    app.add_middleware(
        BodyLimit,
        uploads=files,
        max_upload_bytes=settings.max_upload_bytes,
        seconds=settings.body_seconds,
        idle_seconds=settings.upload_idle_seconds,
    )
    app.add_middleware(RateLimit, budgets=budgets)
    app.add_middleware(Guard, api_key=settings.key)
    app.add_middleware(WrongKeys, budgets=budgets)
    app.add_middleware(HeadLimit)
    app.add_middleware(RequestContext)
    app.add_middleware(Metered)
    app.add_middleware(Tus, prefix=resumable.router.prefix, version=resumable.VERSION)
    app.add_middleware(ProtocolErrors)
    app.add_middleware(HubDoor)
    app.add_middleware(SecurityHeaders)
    _describe(app, parts.catalog, has_key=settings.key is not None)
    return app


def _describe(app: FastAPI, catalog: Catalog, *, has_key: bool) -> None:
    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app, catalog, has_key=has_key)
        return app.openapi_schema

    app.openapi = document  # FastAPI's documented way to extend it
