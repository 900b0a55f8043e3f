"""The verbs that run the service: up, api, worker, migrate, doctor.

They start `python -m app`, `python -m workers` and the migration as processes: the library imports none of them.
"""

import errno
import json as jsons
import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from distilled.cli import home as homes
from distilled.cli import readiness
from distilled.cli.screen import Screen
from distilled.cli.supervisor import Program, Supervisor
from distilled.errors import DistilledError

EXIT_FAULT = 1
EXIT_NO_SERVICE = 2
EXIT_CONFLICT = 5
PATIENCE_SECONDS = 60.0  # how long `up` waits for readiness before it says why it still waits
ASK_EVERY_SECONDS = 0.4

Home = Annotated[Path, typer.Option(envvar="DISTILLED_HOME", help="Folder of the database, the store and the logs.")]
DEFAULT_HOME = Path("~/.distilled")
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]
JsonLines = Annotated[
    bool, typer.Option("--json", help="Print a JSON line for each event on stdout, and nothing else.")
]
LINES = "--json: a JSON line when it is ready, and one when it has stopped"
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def register(app: typer.Typer) -> None:
    """Add the server's verbs to the command line."""
    app.command()(up)
    app.command(context_settings=PASS_ON, help=f"Run the API alone (all options of `python -m app`; {LINES}).")(api)
    told = f"Run one worker alone (all options of `python -m workers`; {LINES})."
    app.command(context_settings=PASS_ON, help=told)(worker)
    app.command()(migrate)
    told = "Check this machine for all the service needs (--json: one JSON document)."
    app.command(context_settings=PASS_ON, help=told)(doctor)


def up(home: Home = DEFAULT_HOME, host: Host = "127.0.0.1", port: Port = 8000, json: JsonLines = False) -> None:
    """Run the whole service on this machine: database, API and one worker. Ctrl-C stops it cleanly.

    With --json the events are: migrated, starting, waiting, ready, ended (it starts again), killed, stopped.
    """
    screen = Screen(as_json=json)
    with _told_plainly(screen):
        root = homes.find_checkout()
        place = homes.make_home(home)
        environment = homes.service_environment(root, home=place, base=os.environ)
        with homes.locked(place):
            _need_port(host, port)
            homes.purge_queue(place, environment=environment)
            screen.event("migrated", **_migrate(environment))
            _supervise(place, environment, host=host, port=port, screen=screen)


def api(context: typer.Context) -> None:
    """Become the API process."""
    _become("app", context.args)


def worker(context: typer.Context) -> None:
    """Become a worker process."""
    _become("workers", context.args)


def migrate(home: Home = DEFAULT_HOME, json: JsonLines = False) -> None:
    """Bring the database to the newest schema."""
    screen = Screen(as_json=json)
    with _told_plainly(screen):
        root = homes.find_checkout("registry")
        place = homes.make_home(home)
        done = _migrate(homes.service_environment(root, home=place, base=os.environ))
    screen.event("migrated", "the database is at the newest schema", **done)


def doctor(context: typer.Context) -> None:
    """Become the process that checks this machine."""
    _become("workers.doctor", context.args)


def _supervise(home: Path, environment: dict[str, str], *, host: str, port: int, screen: Screen) -> None:
    """Start API and worker, say when they are ready, and keep them until a signal asks for the end."""
    logs = home / "logs"
    supervisor = Supervisor(
        [
            Program(
                name="API",
                arguments=homes.module_arguments("app", "--host", host, "--port", str(port)),
                environment=environment,
                log=logs / "api.log",
            ),
            Program(
                name="worker",
                arguments=homes.module_arguments("workers"),
                environment=environment,
                log=logs / "worker.log",
            ),
        ],
        tell=screen.event,
    )

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        supervisor.request_stop()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    screen.event("starting", f"starting (home {home}, logs {logs})", home=str(home), logs=str(logs))
    supervisor.start_all()
    supervisor.run(each_tick=Announcer(host=host, port=port, screen=screen))
    screen.event("stopped", "stopped")


class Announcer:
    """Says once that the service is ready; while it is not, says why after a while."""

    def __init__(self, *, host: str, port: int, screen: Screen) -> None:
        self._screen = screen
        # A service that listens everywhere is asked at home.
        self._host = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - compared, not bound
        self._port = port
        self._url = f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{port}"
        self._ready = False
        self._next_ask = 0.0
        self._patience_ends = time.monotonic() + PATIENCE_SECONDS

    def __call__(self) -> None:
        now = time.monotonic()
        if self._ready or now < self._next_ask:
            return
        self._next_ask = now + ASK_EVERY_SECONDS
        answer = readiness.ask(self._host, self._port)
        if answer.ready:
            self._ready = True
            self._screen.event("ready", f"ready at {self._url}  (documentation: {self._url}/docs)", url=self._url)
        elif now > self._patience_ends:
            self._patience_ends = now + PATIENCE_SECONDS
            self._screen.event("waiting", "not ready yet: " + "; ".join(answer.waiting), waiting=answer.waiting)


def _migrate(environment: dict[str, str]) -> dict[str, Any]:
    """Run the registry's migration, which lets one of many at a time; says its last words when it fails.

    Returns the `database`, without its password, and the `revision` that it is at.
    """
    command = homes.module_arguments("registry.schema", "--json")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise DistilledError(
            f"The database could not be migrated: {words[-1] if words else 'the migration said nothing'} "
            "Check DISTILLED_DATABASE_URL and that the home is writable; `distilled doctor` says more."
        )
    return jsons.loads(done.stdout)


def _need_port(host: str, port: int) -> None:
    """Refuse early what the API could only refuse again and again in its log."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror as error:
            raise DistilledError(f"{host} is no address of this machine; choose another with --host.") from error
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be opened ({error.strerror})"
            raise DistilledError(f"Port {port} on {host} {why}; choose another with --port or --host.") from error


def _become(module: str, arguments: list[str]) -> NoReturn:
    """Replace this process, so that signals and exit codes are the program's own."""
    with _told_plainly(Screen(as_json="--json" in arguments)):
        root = homes.find_checkout(module.partition(".")[0])
        command = homes.module_arguments(module, *arguments)
        os.execve(command[0], command, homes.service_environment(root, home=None, base=os.environ))  # noqa: S606 - no shell
    raise AssertionError("unreachable: exec returns only by raising")


@contextmanager
def _told_plainly(screen: Screen) -> Generator[None]:
    """A refusal is one sentence on stderr, JSON where that is asked for, and an exit code; never a traceback."""
    try:
        yield
    except DistilledError as error:
        screen.failure(error)
        raise typer.Exit(_exit_code(error)) from None


def _exit_code(error: DistilledError) -> int:
    if isinstance(error, homes.NoCheckout):
        return EXIT_NO_SERVICE
    return EXIT_CONFLICT if isinstance(error, homes.HomeInUse) else EXIT_FAULT
