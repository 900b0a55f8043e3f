"""`python -m app`: the front end as a process, with its settings from the environment."""

import argparse
import signal
import socket
import sys
from types import FrameType
from typing import Any

import uvicorn

from app.connections import watched
from app.errors import InsecureBinding
from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from app.settling import settle
from distilled.cli.screen import Screen
from registry import logs, tracing
from registry.errors import RegistryError

EXIT_REFUSED = 2


class Server(uvicorn.Server):
    """Uvicorn, which tells event streams to let go as soon as it is asked to end, rather than wait for them."""

    def __init__(self, config: uvicorn.Config, *, services: Services, screen: Screen) -> None:
        super().__init__(config)
        self._services = services
        self._screen = screen

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            settle()
            self._screen.event("ready", url=_url(self.servers[0].sockets[0].getsockname()))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._services.stopping.set()
        super().handle_exit(sig, frame)


def main(arguments: list[str]) -> int:
    """Serve until a signal ends it. Returns the exit code: 2 where the settings are refused."""
    given = vars(_parse(arguments))
    screen = Screen(as_json=given.pop("json"))
    try:
        settings = AppSettings(**{name: value for name, value in given.items() if value is not None})
        logs.configure(settings)
        tracing.set_up(settings, process="api")
        settings.check_binding()
        services = Services.open(settings)
        app = create_app(settings, services=services)
    except (InsecureBinding, RegistryError, ValueError, FileNotFoundError) as error:
        screen.failure(error)
        return EXIT_REFUSED
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        http=watched(head_seconds=settings.head_seconds, most=settings.max_connections),
        ws="none",  # nothing here speaks WebSocket, and the guard asks HTTP requests for their key only
        access_log=False,  # the request line is logged once, with its id, by the application
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    server = Server(config, services=services, screen=screen)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Uvicorn takes them over, ends in order, and then raises them again for whoever had them before: nobody here.
        signal.signal(number, _already_ended)
    server.run()
    screen.event("stopped")
    return 0 if server.started else 1


def _already_ended(number: int, frame: FrameType | None) -> None:
    """The signal has done its work."""


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m app", description="Serve the API. DISTILLED_* variables configure it."
    )
    parser.add_argument("--host", help="address to listen on (DISTILLED_HOST, 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (DISTILLED_PORT, 8000)")
    parser.add_argument("--json", action="store_true", help="print a JSON line when it is ready, and when it stops")
    return parser.parse_args(arguments)


def _url(address: tuple[Any, ...]) -> str:
    host, port = address[0], address[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
