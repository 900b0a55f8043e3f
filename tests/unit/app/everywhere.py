"""Every route of the application, and requests whose bytes nobody tidies on the way."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, get_args
from urllib.parse import unquote

import anyio
import h11
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

#: Of an answer without end so much is read.
ENOUGH = 8


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back. Headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Field:
    """Something that a route takes. is_text: neither a number, nor one of a list of words."""

    name: str
    is_text: bool


@dataclass(frozen=True, kw_only=True)
class Call:
    """A route by one of its methods, with what it takes."""

    method: str
    path: str
    in_path: tuple[Field, ...] = ()
    in_query: tuple[Field, ...] = ()
    in_header: tuple[Field, ...] = ()

    @property
    def plain(self) -> str:
        """The path as the document has it."""
        return self.path.replace(":path}", "}")

    def target(self, names: dict[str, str]) -> str:
        """The path with these names in it; "x" for what is not among them."""
        return self.plain.format_map(defaultdict(lambda: "x", names))


def calls(app: FastAPI) -> list[Call]:
    """Every route there is, each once for each of its methods, those that the document leaves out too."""
    found: list[Call] = []
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        for method in sorted(route.methods or ()):
            if dependant is None:
                found.append(Call(method=method, path=route.path or ""))
                continue
            found.append(
                Call(
                    method=method,
                    path=route.path or "",
                    in_path=tuple(_all(dependant, "path_params")),
                    in_query=tuple(_all(dependant, "query_params")),
                    in_header=tuple(_all(dependant, "header_params")),
                )
            )
    return found


def _all(dependant: Dependant, kind: str) -> Iterator[Field]:
    for declared in getattr(dependant, kind):
        yield Field(name=declared.alias, is_text=_holds_text(declared.field_info.annotation))
    for below in dependant.dependencies:
        yield from _all(below, kind)


def _holds_text(annotation: Any) -> bool:
    return annotation is str or any(map(_holds_text, get_args(annotation)))


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request: its target is percent-encoded, query and all; about: what is shown where the answer is wrong."""

    method: str
    target: str
    headers: dict[str, bytes] = field(default_factory=dict)
    body: bytes = b""
    scheme: str = "http"
    about: tuple[str, ...] = ()


def answers(app: FastAPI, asks: Iterable[Ask]) -> list[tuple[Ask, Answer]]:
    """Each request and its answer, one after the other."""

    async def ask_all() -> list[tuple[Ask, Answer]]:
        return [(ask, await _answer(app, ask)) for ask in asks]

    return anyio.run(ask_all)


async def _answer(app: FastAPI, ask: Ask) -> Answer:
    """As the server asks. The head of the answer is checked as h11 does before it writes it."""
    raw, _, query = ask.target.encode("ascii").partition(b"?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": ask.method,
        "scheme": ask.scheme,
        "path": unquote(raw.decode()),
        "raw_path": raw,
        "root_path": "",
        "query_string": query,
        "headers": [(name.encode(), value) for name, value in ({"host": b"localhost"} | ask.headers).items()],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "state": {},
    }
    messages: list[Any] = []
    asked, enough = False, anyio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": ask.body, "more_body": False}
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        messages.append(message)
        if len(messages) > ENOUGH:
            enough.set()

    await app(scope, receive, send)
    start = messages[0]
    checked = h11.Response(status_code=start["status"], headers=start["headers"])  # raises where a line is injected
    return Answer(
        status=start["status"],
        headers={name.decode().lower(): value.decode("latin-1") for name, value in checked.headers},
        body=b"".join(message.get("body", b"") for message in messages[1:]),
    )
