"""A receiver of webhooks, and a service that sends to it."""

import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from app.services import Services
from app.settings import AppSettings
from app.webhooks import sending
from registry.models import WebhookMessage
from registry.webhooks import Delivery

SECRET = f"whsec_{b64encode(bytes(range(32))).decode()}"
OLD = f"whsec_{b64encode(bytes(range(32, 64))).decode()}"
RECIPE = {"dataset": "digits", "method": "dm", "ipc": 1}


class Receiver:
    """A real server that answers as it is told and remembers what it was sent."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[Callable[[BaseHTTPRequestHandler], None]] = []

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.got.append(({name.lower(): value for name, value in handler.headers.items()}, body))
        answer = self.answers.pop(0) if self.answers else status(204)
        answer(handler)


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return answer


@contextmanager
def serving(receiver: Receiver, *, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server on 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def url(receiver: Receiver) -> Iterator[str]:
    with serving(receiver) as port:
        yield f"http://127.0.0.1:{port}/hook?of=mine"


@pytest.fixture
def services(services: Services) -> Services:
    """Services that send webhooks, to this machine too."""
    told = {"webhook_secret": SECRET, "webhook_private": True, "webhook_timeout_seconds": 2.0}
    services.settings = AppSettings(**{**services.settings.model_dump(), **told})
    return services


def submit(client: TestClient, **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/jobs", json=RECIPE | fields)
    assert response.status_code in (200, 202), response.text
    return response.json()


def messages(client: TestClient, job_id: str) -> list[dict[str, Any]]:
    return client.get(f"/v1/jobs/{job_id}/webhooks").json()["items"]


def make_due(services: Services) -> None:
    """Let the time until the next attempt be over."""
    with services.database.write() as session:
        session.execute(update(WebhookMessage).where(WebhookMessage.next_at.is_not(None)).values(next_at=0.0))


def send(url: str, **options: Any) -> sending.Outcome:
    given = {"keys": sending.keys(SECRET), "private": True, "seconds": 2.0} | options
    return sending.send(Delivery(id="msg_1", attempt=1, url=url, body={"type": "x"}), **given)
