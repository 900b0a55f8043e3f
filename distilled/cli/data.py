"""Commands about what can be distilled and how: datasets, dataset, upload, methods."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from distilled.bars import transfer_bar
from distilled.cli.exits import Exit
from distilled.cli.screen import Screen, table, text
from distilled.cli.session import JsonFlag, Key, Url, begin


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (datasets, dataset, upload, methods):
        app.command()(command)


def datasets(ctx: typer.Context, url: Url = None, key: Key = None, json: JsonFlag = False) -> None:
    """List the datasets: built-in and uploaded."""
    session = begin(ctx, url=url, key=key, json=json)
    items = list(session.client.datasets())
    session.screen.document(items)
    figures = ("classes", "train", "test")
    shown = table("dataset", "shape", "classes", "train", "test", "state", "available", right=figures)
    for item in items:
        shown.add_row(
            text(item.get("name")),
            " x ".join(str(side) for side in item.get("shape") or ()),
            str(len(item.get("classes") or ())),
            text(item.get("train")),
            text(item.get("test")),
            text(item.get("state")),
            text(item.get("available")),
        )
    session.screen.show(shown)


def dataset(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the dataset.")],
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Show a dataset: its state, its classes, and what was found in an uploaded one."""
    session = begin(ctx, url=url, key=key, json=json)
    found = session.client.dataset(name)
    session.screen.document(found)
    _show_report(session.screen, found)


def upload(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            help="An .npz (MedMNIST's keys), .zip, .tar, .tar.gz (ImageFolder layout) or .parquet.",
            exists=True,
            dir_okay=False,
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the dataset; by default that of the file.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the images, for people to read.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the service has looked at it, and show it.")] = False,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Register a dataset of your own."""
    session = begin(ctx, url=url, key=key, json=json)
    with transfer_bar(file.name, console=session.screen.err, disable=json) as on_progress:
        called = name or file.stem.removesuffix(".tar")
        made = session.client.upload(file, name=called, licence=licence, progress=on_progress)
    if wait:
        made = session.client.wait_for_dataset(called)
    session.screen.document(made)
    if made.get("state") == "validating":
        session.screen.say(f"{called} is being looked at; see: distilled dataset {called}")
        return
    if wait:
        _show_report(session.screen, made)
    if made.get("state") == "refused":
        raise typer.Exit(Exit.INVALID)
    session.screen.say(f"{called} is registered; distil it with: distilled submit --dataset {called} …")


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


def _show_report(screen: Screen, found: dict[str, Any]) -> None:
    """What is known of a dataset, in lines for people."""
    screen.say(f"{found.get('name')} is {found.get('state')}")
    if found.get("reason"):
        screen.say(str(found["reason"]))
    report: dict[str, Any] = found.get("report") or {}
    for problem in cast("list[dict[str, str]]", report.get("problems") or []):
        screen.say(f"  {problem['pointer'] or '/'}: {problem['detail']}")
    for what in ("unreadable", "skipped"):
        named: dict[str, Any] = report.get(what) or {"count": 0, "first": []}
        if named["count"]:
            screen.say(f"{what}: {named['count']} files")
        for file in cast("list[dict[str, str]]", named["first"]):
            screen.say(f"  {file['name']}: {file['detail']}")
    repeated: dict[str, Any] = report.get("duplicates") or {}
    if repeated.get("first"):
        within = ", ".join(f"{count} in {split}" for split, count in repeated["within"].items())
        screen.say(f"duplicates: {within}; {repeated['across']} images in several splits")
    if report.get("resized") or report.get("converted"):
        screen.say(f"resized: {report['resized']}, converted: {report['converted']} images")
    if report.get("split"):
        screen.say(f"test split: {report['split']}")
    classes = cast("list[dict[str, Any]]", report.get("classes") or [])
    if classes:
        splits = [split for split in classes[0] if split != "name"]
        counted = table("class", *splits, right=splits)
        for one in classes:
            counted.add_row(text(one["name"]), *(str(one[split]) for split in splits))
        screen.show(counted)


def _cited(declared: dict[str, Any]) -> str:
    """Venue and year of what a method or penalty was published in."""
    paper: dict[str, Any] = declared.get("paper") or {}
    return " ".join(str(paper[part]) for part in ("venue", "year") if paper.get(part))
