"""Commands about keys: keys create, list, rotate, revoke; and whoami."""

import json as jsons
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from distilled.cli import home as homes
from distilled.cli.screen import Screen, table, text
from distilled.cli.server import DEFAULT_HOME, Home
from distilled.cli.session import Commands, JsonFlag, Key, Url, begin
from distilled.errors import DistilledError, Invalid

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="Id of the key, key_….")]
Here = Annotated[
    bool, typer.Option("--here", help="In the registry of this machine's settings, with no service and no key.")
]
Days = Annotated[float | None, typer.Option(min=0, help="It opens for so many days; else until it is revoked.")]
SHOWN_ONCE = "The secret is shown this once; it goes into DISTILLED_API_KEY of whoever calls:"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    keys = typer.Typer(cls=Commands, no_args_is_help=True, help="Make, list, rotate and revoke keys of the service.")
    keys.command()(create)
    keys.command("list")(list_keys)
    keys.command()(rotate)
    keys.command()(revoke)
    app.add_typer(keys, name="keys")
    app.command()(whoami)


def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Who or what holds it: letters, digits and . _ -")],
    scope: Annotated[
        list[str] | None, typer.Option(help="read, submit or admin; each contains those before it. By default submit.")
    ] = None,
    expires_days: Days = None,
    here: Here = False,
    home: Home = DEFAULT_HOME,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Make a key. The first one of a service without keys needs `--scope admin`: from then on all callers need one."""
    session = begin(ctx, url=url, key=key, json=json)
    scopes, seconds = scope or ["submit"], _seconds(expires_days)
    if here:
        ends = [] if seconds is None else ["--expires-in-seconds", str(seconds)]
        made = _on_this_machine(home, "create", name, *(f"--scope={one}" for one in scopes), *ends)
    else:
        made = session.client.create_key(name, scopes=scopes, expires_in_seconds=seconds)
    _show_secret(session.screen, made)


def list_keys(ctx: typer.Context, url: Url = None, key: Key = None, json: JsonFlag = False) -> None:
    """List the keys, the newest first, with those that are over."""
    session = begin(ctx, url=url, key=key, json=json)
    found = list(session.client.list_keys())
    session.screen.document({"items": found})
    rows = table("id", "name", "begins with", "scopes", "state", "expires", "last used")
    for one in found:
        scopes = " ".join(one["scopes"])
        when = [text(one[name]) for name in ("expires_at", "last_used_at")]
        rows.add_row(one["id"], text(one["name"]), one["prefix"], scopes, one["state"], *when)
    session.screen.show(rows)


def rotate(
    ctx: typer.Context,
    key_id: KeyId,
    grace_hours: Annotated[
        float | None, typer.Option(min=0, help="The old secret opens for so long; by default a day.")
    ] = None,
    expires_days: Days = None,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Make a key of the same name and scopes in the place of one, which opens for a while yet."""
    session = begin(ctx, url=url, key=key, json=json)
    grace = None if grace_hours is None else grace_hours * 3600
    made = session.client.rotate_key(key_id, grace_seconds=grace, expires_in_seconds=_seconds(expires_days))
    _show_secret(session.screen, made)


def revoke(
    ctx: typer.Context,
    key_id: KeyId,
    here: Here = False,
    home: Home = DEFAULT_HOME,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """End a key for good."""
    session = begin(ctx, url=url, key=key, json=json)
    if here:
        _on_this_machine(home, "revoke", key_id)
    else:
        session.client.revoke_key(key_id)
    session.screen.document({"id": key_id, "revoked": True})
    session.screen.say(f"{key_id} opens nothing any more")


def whoami(ctx: typer.Context, url: Url = None, key: Key = None, json: JsonFlag = False) -> None:
    """Show what the key that is sent opens."""
    session = begin(ctx, url=url, key=key, json=json)
    found = session.client.whoami()
    session.screen.document(found)
    session.screen.say(f"{text(found['name'])}: {' '.join(found['scopes'])}")


def _seconds(days: float | None) -> float | None:
    return None if days is None else timedelta(days=days).total_seconds()


def _show_secret(screen: Screen, made: dict[str, Any]) -> None:
    screen.document(made)
    screen.say(f"{made['id']} ({text(made['name'])}: {' '.join(made['scopes'])}). {SHOWN_ONCE}")
    screen.say(made["secret"])


def _on_this_machine(home: Path, *words: str) -> dict[str, Any]:
    """Run the registry's own command, under the settings of the service. Raises DistilledError with its last words."""
    root = homes.find_checkout("registry")
    environment = homes.service_environment(root, home=home.expanduser().absolute(), base=os.environ)
    command = homes.module_arguments("registry.keys_here", *words)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        kind = Invalid if done.returncode == 2 else DistilledError
        raise kind(said[-1] if said else "The registry said nothing; look at DISTILLED_DATABASE_URL.")
    return jsons.loads(done.stdout)
