"""Commands about what can be distilled and how: datasets, upload, methods."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from distilled.bars import transfer_bar
from distilled.cli.screen import table, text
from distilled.cli.session import JsonFlag, Key, Url, begin


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (datasets, upload, methods):
        app.command()(command)


def datasets(ctx: typer.Context, url: Url = None, key: Key = None, json: JsonFlag = False) -> None:
    """List the datasets: built-in and uploaded."""
    session = begin(ctx, url=url, key=key, json=json)
    items = list(session.client.datasets())
    session.screen.document(items)
    shown = table("dataset", "shape", "classes", "train", "test", "available", right=("classes", "train", "test"))
    for item in items:
        shown.add_row(
            text(item.get("name")),
            " x ".join(str(side) for side in item.get("shape") or ()),
            str(len(item.get("classes") or ())),
            text(item.get("train")),
            text(item.get("test")),
            text(item.get("available")),
        )
    session.screen.show(shown)


def upload(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="An .npz in MedMNIST's keys.", exists=True, dir_okay=False)],
    name: Annotated[str | None, typer.Option(help="Name of the dataset; by default that of the file.")] = None,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Register a dataset of your own."""
    session = begin(ctx, url=url, key=key, json=json)
    with transfer_bar(file.name, console=session.screen.err, disable=json) as on_progress:
        made = session.client.upload(file, name=name or file.stem, progress=on_progress)
    session.screen.document(made)
    session.screen.say(
        f"{made.get('name')} is registered; distil it with: distilled submit --dataset {made.get('name')} …"
    )


def methods(ctx: typer.Context, url: Url = None, key: Key = None, json: JsonFlag = False) -> None:
    """List the presets and the penalties that go with them, and their papers."""
    session = begin(ctx, url=url, key=key, json=json)
    found = session.client.methods()
    session.screen.document(found)
    shown = table("method", "what it does", "paper")
    for preset in cast("list[dict[str, Any]]", found["items"]):
        shown.add_row(text(preset.get("name")), text(preset.get("summary")), text(_cited(preset)))
    session.screen.show(shown)
    penalties = cast("list[dict[str, Any]]", found.get("penalties") or [])
    if penalties:
        added = table("penalty", "what it adds to any of them", "paper")
        for penalty in penalties:
            added.add_row(text(penalty.get("kind")), text(penalty.get("summary")), text(_cited(penalty)))
        session.screen.show(added)


def _cited(declared: dict[str, Any]) -> str:
    """Venue and year of what a method or penalty was published in."""
    paper: dict[str, Any] = declared.get("paper") or {}
    return " ".join(str(paper[part]) for part in ("venue", "year") if paper.get(part))
