"""The whole road with one command: start the service, distil a small real dataset, show the result, keep serving."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

import distilled
from distilled.cli import home as homes
from distilled.cli import readiness
from distilled.cli.exits import Exit
from distilled.cli.results import beats_baselines
from distilled.cli.screen import Screen
from distilled.cli.server import DEFAULT_HOME, Home, Port
from distilled.cli.session import JsonFlag, Session
from distilled.cli.supervisor import Process, Program, start_process
from distilled.cli.watching import conclude, watch_job
from distilled.errors import DistilledError, Unavailable

HOST = "127.0.0.1"
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0  # the service gives each of its two processes 10 seconds
_ASK_EVERY_SECONDS = 0.2
_LAST_LINES = 10


class PortTaken(DistilledError):
    """Something listens on this port already; choose another with --port."""


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(quickstart)


def quickstart(
    home: Home = DEFAULT_HOME,
    port: Port = 8000,
    once: Annotated[
        bool, typer.Option("--once", help="Stop the service after the table, instead of serving on.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Start the service, distil scikit-learn's digits, show the accuracies beside their baselines, and serve on.

    Ends with 1 if the distilled images do not beat random images and k-means centroids.
    """
    screen = Screen(as_json=json)
    url = f"http://{HOST}:{port}"
    _need_free(port)
    place = homes.make_home(home)
    # SIGTERM is Ctrl-C to us: it must not end us before we have stopped the service.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _service(place, port=port, screen=screen) as process, distilled.Client(url) as client:
        code = distil(Session(screen=screen, client=client), place)
        if not once:
            screen.say("")
            screen.say(f"serving at {url} - Ctrl-C stops it")
            with suppress(KeyboardInterrupt):
                process.wait()
    raise typer.Exit(code)


def recipe() -> dict[str, Any]:
    """The quickstart recipe."""
    return json.loads(Path(__file__).with_name("quickstart.json").read_text(encoding="utf-8"))


def distil(session: Session, place: Path) -> Exit:
    """Submit, follow, show. FAILED where the job came to nothing, or its result beats no baseline."""
    keyed = bool(os.environ.get("DISTILLED_API_KEY"))
    job, artifact = watch_job(session, session.client.submit(recipe()).id, evaluations=True)
    code = conclude(session, job, artifact, keyed=keyed)
    if artifact is None:
        return code
    sheet = place / "quickstart.png"
    sheet.write_bytes(session.client.preview(artifact))
    session.screen.say("")
    session.screen.say(f"contact sheet saved as {sheet}")
    results = [evaluation.get("result") or {} for evaluation in artifact.evaluations]
    if not results or not all(beats_baselines(result) for result in results):
        session.screen.err.print("distilled: it did not beat random images and centroids by more than ±", style="red")
        return Exit.FAILED
    return code


def _need_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise PortTaken(f"port {port} is taken; choose another: --port {port + 1}") from None


@contextmanager
def _service(place: Path, *, port: int, screen: Screen) -> Generator[Process]:
    """`distilled up` as a process, from ready to stopped. Raises Unavailable with its last words if it ends early."""
    log = place / "logs" / "up.log"
    arguments = homes.module_arguments("distilled", "up", "--home", str(place), "--port", str(port))
    process = start_process(Program(name="service", arguments=arguments, environment=_environment(), log=log))
    try:
        screen.note(f"starting the service (its log: {log})")
        wait_until_ready(process, port=port, log=log)
        yield process
    finally:
        _stop(process)


def _environment() -> dict[str, str]:
    # `-P` keeps the caller's folder off the module path, so a checkout that is not installed is named here.
    return homes.service_environment(homes.find_checkout(), home=None, base=os.environ)


def wait_until_ready(process: Process, *, port: int, log: Path) -> None:
    """Raises Unavailable, with the last lines of the log, once the process has ended or a minute has passed."""
    until = time.monotonic() + _START_SECONDS
    answer = readiness.ask(HOST, port)
    while not answer.ready:
        if process.poll() is not None or time.monotonic() > until:
            why = "ended" if process.poll() is not None else f"is not ready ({'; '.join(answer.waiting)})"
            words = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
            raise Unavailable(f"the service {why}; the last lines of {log}:\n" + "\n".join(words))
        time.sleep(_ASK_EVERY_SECONDS)
        answer = readiness.ask(HOST, port)


def _stop(process: Process) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
