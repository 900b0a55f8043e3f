"""What every client command begins with: its options, its screen and its client."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import distilled
from distilled.cli.exits import exit_of
from distilled.cli.screen import Screen
from distilled.errors import DistilledError

if TYPE_CHECKING:
    from distilled.client import Client

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else.")]
Url = Annotated[str | None, typer.Option("--url", envvar="DISTILLED_URL", help="Address of the service.")]
Key = Annotated[str | None, typer.Option("--key", envvar="DISTILLED_API_KEY", help="Key of the service.")]

PAGE = 200  # items that the service gives at once, at most
_JSON = "distilled.json"  # under this name the error handler finds whether JSON was asked for

Connect = Callable[[str | None, str | None], "Client"]


@dataclass(frozen=True, kw_only=True)
class Session:
    """A command's screen and its client."""

    screen: Screen
    client: "Client"


def begin(ctx: typer.Context, *, url: str | None, key: str | None, json: bool) -> Session:
    """The session of a command. Whoever embeds the command line passes its own `Connect` as `obj`, as tests do."""
    ctx.meta[_JSON] = json
    connect: Connect = ctx.obj or _connect
    return Session(screen=Screen(as_json=json), client=ctx.with_resource(connect(url, key)))


def _connect(url: str | None, key: str | None) -> "Client":
    return distilled.Client(url, key)  # loaded here, on first use: `--help` needs no HTTP client


class Commands(TyperGroup):
    """The command group: a failure becomes a sentence and an exit code, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, ConnectionResetError):
            raise  # the reader of our stdout went away; the caller handles it
        except (DistilledError, OSError) as error:
            Screen(as_json=bool(ctx.meta.get(_JSON))).failure(error)
            raise typer.Exit(exit_of(error)) from None
