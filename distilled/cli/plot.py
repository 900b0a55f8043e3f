"""Plots: plot accuracy, plot job. They need the extra `plot`."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from distilled import plotting
from distilled.cli.session import PAGE, Commands, JsonFlag, Key, Url, begin
from distilled.transfer import MODES

Out = Annotated[Path, typer.Option("-o", "--out", help="File to write: .svg, .png or .pdf.")]
#: Artifacts that are looked at, the youngest first.
MOST = 500


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(cls=Commands, help="Draw what was measured; needs the extra `plot`.", no_args_is_help=True)
    group.command()(accuracy)
    group.command()(job)
    app.add_typer(group, name="plot")


def accuracy(
    ctx: typer.Context,
    *,
    dataset: Annotated[str, typer.Option(help="Of artifacts made from this dataset.")],
    out: Out,
    network: Annotated[
        str | None, typer.Option(help="Measured on this network; by default the one that most were measured on.")
    ] = None,
    labels: Annotated[
        str, typer.Option(help=f"One of {', '.join(MODES)}: figures of different ones never stand in one plot.")
    ] = "hard",
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Accuracy against bytes: every method on one dataset, beside random images, centroids and full data."""
    session = begin(ctx, url=url, key=key, json=json)
    found = list(islice(session.client.find(dataset=dataset, limit=PAGE), MOST))
    manifests = [session.client.artifact(one).document for one in found]
    measured = plotting.of_artifacts(manifests, network=network, mode=labels)
    plotting.accuracy([measured], out, title=f"{dataset}: accuracy against bytes ({labels} labels)")
    told = {"path": str(out), "network": measured.network, "artifacts": len(measured.points)}
    session.screen.document({**told, "left_out": measured.left_out})
    session.screen.say(f"{out}  ({len(measured.points)} artifacts on {measured.network})")
    if measured.left_out:
        session.screen.say(f"{measured.left_out} more were measured in another way, and are not in it.")


def job(
    ctx: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")],
    *,
    out: Out,
    seconds: Annotated[bool, typer.Option("--seconds", help="Against time rather than steps.")] = False,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Loss and accuracy of a job against its steps."""
    session = begin(ctx, url=url, key=key, json=json)
    about = session.client.job(job_id).document
    entries = list(session.client.metrics(job_id))
    title = f"{about.get('method') or 'recipe'} on {about.get('dataset')}, {job_id}"
    plotting.job(entries, out, title=title, seconds=seconds)
    session.screen.document({"path": str(out), "job": job_id, "entries": len(entries)})
    session.screen.say(str(out))
