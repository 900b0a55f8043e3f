"""Commands about what has been there for a while: alias, compare, delete, restore, sweep."""

from typing import Annotated, Any

import typer

from distilled.cli.screen import Screen, table, text
from distilled.cli.session import JsonFlag, Key, Session, Url, begin

ArtifactId = Annotated[str, typer.Argument(metavar="ARTIFACT", help="Id or alias of the artifact.")]
_HEAPS = ("artifacts", "blobs", "snapshots", "pictures", "uploads", "resources", "deleted")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (alias, compare, delete, restore, sweep):
        app.command()(command)


def alias(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The name: letters, digits and . _ - ; it moves if it exists.")],
    artifact: Annotated[str | None, typer.Argument(metavar="ARTIFACT", help="Id of the artifact.")] = None,
    *,
    expected: Annotated[str | None, typer.Option(help="Move it only if it points to this artifact until then.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the name away.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Show where it has pointed, newest first.")] = False,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Give an artifact a name, which serves wherever its id does."""
    session = begin(ctx, url=url, key=key, json=json)
    if sum((artifact is not None, delete, history)) != 1 or (expected is not None and artifact is None):
        raise typer.BadParameter("give either an artifact (and with it --expected), or --delete, or --history")
    if artifact is not None:
        session.screen.document(session.client.alias(name, artifact, expected=expected))
        session.screen.say(f"{name} -> {artifact}")
    elif delete:
        session.client.delete_alias(name)
        session.screen.document({"name": name, "deleted": True})
        session.screen.say(f"{name} is taken away")
    else:
        _show_history(session, name)


def compare(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help="Id or alias of an artifact.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Id or alias of another one.")],
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Show two artifacts side by side: size, recipe, and the accuracies that were measured alike."""
    session = begin(ctx, url=url, key=key, json=json)
    found = session.client.compare(a, b)
    session.screen.document(found)
    _show_sizes(session.screen, found)
    if found["reason"]:
        session.screen.say(f"Their accuracies cannot be compared: {found['reason']}.")
    elif not found["accuracies"]:
        session.screen.say("No network was trained on both in the same way; `distilled evaluate` adds one.")
    else:
        _show_accuracies(session.screen, found["accuracies"])
    if found["recipe"]:
        rows = table("recipe", "a", "b")
        for one in found["recipe"]:
            rows.add_row(text(one["pointer"]), text(one["a"]), text(one["b"]))
        session.screen.show(rows)


def delete(ctx: typer.Context, artifact: ArtifactId, url: Url = None, key: Key = None, json: JsonFlag = False) -> None:
    """Hide an artifact. `restore` takes it back until the sweep."""
    session = begin(ctx, url=url, key=key, json=json)
    session.client.delete_artifact(artifact)
    session.screen.document({"id": artifact, "deleted": True})
    session.screen.say(f"{artifact} is hidden; take it back with: distilled restore {artifact}")


def restore(
    ctx: typer.Context,
    artifact: Annotated[str, typer.Argument(metavar="ARTIFACT", help="Id of the artifact.")],
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Take back the deletion of an artifact, which is possible until the sweep."""
    session = begin(ctx, url=url, key=key, json=json)
    found = session.client.restore(artifact)
    session.screen.document(found.document)
    session.screen.say(f"{found.id} is there again")


def sweep(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option(help="Only show what would be freed, or free it, for good.")] = True,
    grace_seconds: Annotated[
        float | None, typer.Option(help="How long what was deleted is left alone; by default as the service is set.")
    ] = None,
    resources: Annotated[
        bool, typer.Option("--resources", help="Also experts, teachers and warm-ups, to be made again when needed.")
    ] = False,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Free the room of what was deleted long enough ago and of what nothing names any more."""
    session = begin(ctx, url=url, key=key, json=json)
    found = session.client.sweep(dry_run=dry_run, grace_seconds=grace_seconds, resources=resources)
    session.screen.document(found)
    rows = table("what", "number", "bytes", right=("number", "bytes"))
    for name in _HEAPS:
        shown = "deleted, can be restored" if name == "deleted" else name
        rows.add_row(shown, f"{found[name]['count']:,}", f"{found[name]['bytes']:,}")
    session.screen.show(rows)
    if dry_run:
        session.screen.say(f"{found['bytes']:,} bytes would be freed, with: distilled sweep --no-dry-run")
    else:
        session.screen.say(f"{found['bytes']:,} bytes were freed")


def _show_history(session: Session, name: str) -> None:
    moves = list(session.client.alias_history(name))
    session.screen.document({"items": moves})
    rows = table("when", "what", "from", "to")
    for move in moves:
        rows.add_row(text(move["at"]), move["action"], text(move["from_artifact_id"]), text(move["to_artifact_id"]))
    session.screen.show(rows)


def _show_sizes(screen: Screen, found: dict[str, Any]) -> None:
    rows = table("", "a", "b")
    for name in ("id", "kind", "dataset", "method"):
        rows.add_row(name, *(text(found[side][name]) for side in "ab"))
    rows.add_row("bytes", *(f"{found['bytes'][side]:,}" for side in "ab"))
    rows.add_row("classes", *(str(len(found["classes"]["shared"]) + len(found["classes"][f"only_{s}"])) for s in "ab"))
    screen.show(rows)


def _show_accuracies(screen: Screen, accuracies: list[dict[str, Any]]) -> None:
    rows = table("network", "labels", "a %", "b %", "b - a", "95 % interval", right=("a %", "b %", "b - a"))
    for one in accuracies:
        interval = "too few repeats"
        if one["interval"] is not None:
            interval = " … ".join(f"{100 * bound:+.1f}" for bound in one["interval"]) + f" ({one['method']})"
        sides = [_points(one[side]) for side in "ab"]
        rows.add_row(text(one["network"]), one["labels"], *sides, f"{100 * one['difference']:+.1f}", interval)
    screen.show(rows)


def _points(score: dict[str, Any]) -> str:
    spread = "" if score["std"] is None else f" ± {100 * score['std']:.1f}"
    return f"{100 * score['mean']:.1f}{spread}"
