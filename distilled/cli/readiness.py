"""Ask the service whether it is ready, and say in words what it still waits for."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass

ASK_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """`ready`, or `waiting`: a line per part that is not."""

    ready: bool
    waiting: tuple[str, ...] = ()


def ask(host: str, port: int) -> Readiness:
    """One GET of /readyz; a service that does not answer yet is one that waits for its API."""
    connection = http.client.HTTPConnection(host, port, timeout=ASK_SECONDS)
    try:
        connection.request("GET", "/readyz", headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
    except OSError:
        return Readiness(ready=False, waiting=("api: does not answer yet",))
    except http.client.HTTPException:
        return Readiness(ready=False, waiting=(f"api: something else answers on port {port}",))
    finally:
        connection.close()
    if answer.status == http.HTTPStatus.OK:
        return Readiness(ready=True)
    return Readiness(ready=False, waiting=describe(body) or (f"api: answers {answer.status}",))


def describe(body: bytes) -> tuple[str, ...]:
    """The parts of a readiness answer that are not well, as `part: state` lines."""
    try:
        value = json.loads(body)
    except ValueError:
        return ()
    if not isinstance(value, dict):
        return ()
    parts = value.get("checks", value)
    if not isinstance(parts, Mapping):
        return ()
    return tuple(line for name, state in parts.items() if (line := _line(str(name), state)))


def _line(name: str, state: object) -> str:
    """`worker: none alive`; nothing for a part that is well or for what is no part."""
    if isinstance(state, Mapping):
        if state.get("ok", state.get("ready")) is True or state.get("state", state.get("status")) in ("ok", "ready"):
            return ""
        told = state.get("detail") or state.get("state") or state.get("status") or "not ready"
        return f"{name}: {told}"
    if name in ("type", "title", "status", "detail", "state", "instance", "ready") or state in ("ok", "ready", True):
        return ""
    return f"{name}: {state}"
