"""The metrics, for Prometheus."""

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest

from app.deps import Service
from app.keys.scopes import READ

router = APIRouter(tags=["operations"])

TYPES = ("text/plain", "application/openmetrics-text")
TOLD: dict[int | str, dict[str, Any]] = {
    200: {"description": "the metrics", "content": {kind: {"schema": {"type": "string"}} for kind in TYPES}}
}


@router.get("/metrics", dependencies=[READ], response_class=Response, responses=TOLD)
def metrics(request: Request, service: Service) -> Response:
    """Numbers of this process and of the whole service, in Prometheus's text format, or as OpenMetrics if accepted."""
    registry = service.meters.registry
    try:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        content = encode(registry)
    except (TypeError, ValueError):  # a version that is none
        content, media_type = generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
    return Response(content, headers={"Content-Type": media_type, "Cache-Control": "no-store"})
