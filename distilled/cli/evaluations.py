"""The command about evaluations: evaluate."""

from typing import Annotated

import typer

from distilled.cli.exits import Exit
from distilled.cli.recipes import combine
from distilled.cli.results import show_evaluations
from distilled.cli.session import JsonFlag, Key, Url, begin
from distilled.cli.watching import watch_evaluations


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(evaluate)


def evaluate(
    ctx: typer.Context,
    artifact: Annotated[str, typer.Argument(metavar="ARTIFACT", help="Id or alias of the artifact.")],
    *,
    networks: Annotated[
        list[str], typer.Option("--network", help="Network to train on it, as docs/networks.md names them. Repeatable.")
    ],
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="OPTION=VALUE", help="Of the training: repeats=3; else as in its recipe. Repeatable."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for all of its evaluations, then show the table.")] = False,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Measure an artifact on further networks. What was measured before is not measured again."""
    session = begin(ctx, url=url, key=key, json=json)
    asked = session.client.evaluate(artifact, **combine({"networks": networks}, flags={}, sets=sets or ()))
    if not wait:
        session.screen.document(asked)
        for one in asked:
            session.screen.say(f"{one.get('network')} {one.get('state')}")
        session.screen.say(f"see the table with: distilled artifacts {artifact}")
        return
    found = watch_evaluations(session, artifact)
    session.screen.document(found.document)
    show_evaluations(session.screen, found)
    failed = {one["id"] for one in found.evaluations if one.get("state") == "failed"}
    if failed & {one["id"] for one in asked}:
        raise typer.Exit(Exit.FAILED)
