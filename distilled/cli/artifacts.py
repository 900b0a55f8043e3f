"""Commands about artifacts: artifacts, pull, sample."""

import re
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from distilled.bars import transfer_bar
from distilled.cli.results import show_evaluations
from distilled.cli.screen import table, text
from distilled.cli.session import PAGE, JsonFlag, Key, Url, begin

ArtifactId = Annotated[str, typer.Argument(metavar="ARTIFACT", help="Id or alias of the artifact.")]
Out = Annotated[Path | None, typer.Option("-o", "--output", help="File to write; by default named after the artifact.")]
Classes = Annotated[str | None, typer.Option(help="Names or indices of classes, with commas between: cat,dog or 3,5.")]


class PullFormat(StrEnum):
    CONTENT = "content"  #: the artifact's own file, checked against its digest
    SAFETENSORS = "safetensors"
    NPZ = "npz"  #: MedMNIST's keys
    PNG = "png"  #: a zip in ImageFolder layout
    PARQUET = "parquet"  #: the Hugging Face convention
    WEBDATASET = "webdataset"  #: a tar
    ARROW = "arrow"  #: an IPC stream


class SampleFormat(StrEnum):
    SAFETENSORS = "safetensors"
    NPZ = "npz"
    PNG = "png"
    JSON = "json"


class Dtype(StrEnum):
    UINT8 = "uint8"  #: pixels, N x H x W x C
    FLOAT32 = "float32"  #: standardised, N x C x H x W


_MIXED = re.compile(r"(.+)=(\d+\.?\d*|\.\d+)", re.ASCII)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (artifacts, pull, sample):
        app.command()(command)


def artifacts(
    ctx: typer.Context,
    artifact: Annotated[str | None, typer.Argument(metavar="[ARTIFACT]", help="One artifact, with its table.")] = None,
    *,
    dataset: Annotated[str | None, typer.Option(help="Made from this dataset.")] = None,
    kind: Annotated[str | None, typer.Option(help="Stored as images, memory or generator.")] = None,
    method: Annotated[str | None, typer.Option(help="Made by this preset.")] = None,
    class_: Annotated[str | None, typer.Option("--class", help="Holding this class, by name or index.")] = None,
    ipc: Annotated[int | None, typer.Option(help="Of this many images per class.")] = None,
    ratio: Annotated[float | None, typer.Option(help="Of this share of the real images.")] = None,
    network: Annotated[str | None, typer.Option(help="Evaluated on this network.")] = None,
    min_accuracy: Annotated[float | None, typer.Option(help="At least this accurate, in 0..1.")] = None,
    max_bytes: Annotated[int | None, typer.Option(help="At most this large.")] = None,
    name: Annotated[str | None, typer.Option("--alias", help="Known under this alias.")] = None,
    job: Annotated[str | None, typer.Option(help="Made by this job.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="By created, accuracy or bytes; -accuracy puts the best first.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Find artifacts, or show one with its accuracies."""
    session = begin(ctx, url=url, key=key, json=json)
    if artifact is not None:
        found = session.client.artifact(artifact)
        session.screen.document(found.document)
        session.screen.say(f"{found.id}  {found.dataset}  {found.method or ''}  ipc {found.ipc}  {found.bytes:,} bytes")
        show_evaluations(session.screen, found)
        return
    filters = {"dataset": dataset, "kind": kind, "method": method, "class_": class_, "ipc": ipc, "ratio": ratio}
    filters |= {"network": network, "min_accuracy": min_accuracy, "max_bytes": max_bytes, "alias": name, "job": job}
    items = list(islice(session.client.find(**filters, sort=sort, limit=min(limit, PAGE)), limit))
    session.screen.document([item.document for item in items])
    shown = table("artifact", "dataset", "method", "ipc", "accuracy %", "network", "bytes", right=("ipc", "bytes"))
    for item in items:
        accuracy = item.document.get("accuracy")
        shown.add_row(
            item.id,
            text(item.dataset),
            text(item.method),
            text(item.ipc),
            "" if accuracy is None else f"{100 * accuracy:.1f} ± {100 * (item.document.get('accuracy_std') or 0):.1f}",
            text(item.document.get("network")),
            f"{item.bytes:,}",
        )
    session.screen.show(shown)


def pull(
    ctx: typer.Context,
    artifact: ArtifactId,
    *,
    output: Out = None,
    format: Annotated[PullFormat, typer.Option(help="content is the artifact's own file.")] = PullFormat.CONTENT,
    ipc: Annotated[
        int | None, typer.Option(help="Images per class; by default all that it holds, or a generator's budget.")
    ] = None,
    classes: Classes = None,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Download an artifact, or a finished set from it. A broken download of `content` is continued."""
    session = begin(ctx, url=url, key=key, json=json)
    if format is PullFormat.CONTENT and (ipc is not None or classes):
        raise typer.BadParameter(
            "--ipc and --classes need another --format (npz, parquet, …): content is the whole file"
        )
    target = output or _target(artifact, format)
    with transfer_bar(target.name, console=session.screen.err, disable=session.screen.as_json) as on_progress:
        if format is PullFormat.CONTENT:
            session.client.pull(artifact, target, progress=on_progress)
        else:
            session.client.download(
                artifact, target, format=format.value, ipc=ipc, classes=classes, progress=on_progress
            )
    size = target.stat().st_size
    session.screen.document({"artifact": artifact, "path": str(target), "bytes": size, "format": format.value})
    session.screen.say(f"{target}  ({size:,} bytes)")


def sample(
    ctx: typer.Context,
    artifact: ArtifactId,
    *,
    ipc: Annotated[int | None, typer.Option(help="So many images of each class.")] = None,
    ratio: Annotated[float | None, typer.Option(help="So large a share of the real images, in 0..1.")] = None,
    count: Annotated[int | None, typer.Option(help="So many images in all; with --mix, of each mixture.")] = None,
    classes: Classes = None,
    mix: Annotated[
        list[str] | None, typer.Option(help="Images between classes, by weight: 3=0.5,8=0.5. May be repeated.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same bytes.")] = None,
    dtype: Annotated[Dtype, typer.Option(help="uint8 pixels, or float32 standardised.")] = Dtype.UINT8,
    format: Annotated[SampleFormat | None, typer.Option(help="By default what the name of the output says.")] = None,
    output: Out = None,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Draw a batch into a file: by images per class, by ratio or by count; of memories and generators also mixtures."""
    session = begin(ctx, url=url, key=key, json=json)
    chosen = format or _format_of(output)
    target = output or _target(artifact, chosen)
    query = {"ipc": ipc, "ratio": ratio, "classes": classes, "count": count}
    rows = None
    if mix:
        if count is None or any(query[name] is not None for name in ("ipc", "ratio", "classes")):
            raise typer.BadParameter("--mix needs --count, and neither --ipc, --ratio nor --classes")
        rows, query = [{"mix": _mixture(text), "count": count} for text in mix], {}
    used = session.client.sample_file(
        artifact, target, format=chosen.value, rows=rows, seed=seed, dtype=dtype.value, **query
    )
    size = target.stat().st_size
    about = {"artifact": artifact, "path": str(target), "bytes": size, "format": chosen.value, "seed": used}
    session.screen.document(about)
    session.screen.say(f"{target}  ({size:,} bytes{'' if used is None else f', seed {used}'})")


def _target(artifact: str, format: StrEnum) -> Path:
    # What the service names the artifact is no path of ours.
    return Path(Path(artifact).name + _suffix(format))


def _mixture(text: str) -> dict[str, float]:
    """Weights of classes from `3=0.5,8=0.5`."""
    found = [_MIXED.fullmatch(part.strip()) for part in text.split(",")]
    out = {part[1]: float(part[2]) for part in found if part}
    if len(out) < len(found):
        raise typer.BadParameter(f"--mix takes class=weight, each class once, with commas between; not {text!r}")
    return out


def _suffix(format: StrEnum) -> str:
    from distilled.formats.sets import SUFFIXES  # noqa: PLC0415 -- it brings numpy, which `--help` does without

    return SUFFIXES.get(format.value, ".safetensors")  # `content` is a safetensors file


def _format_of(output: Path | None) -> SampleFormat:
    by_suffix = {_suffix(format): format for format in SampleFormat}
    return by_suffix.get(output.suffix.lower() if output else "", SampleFormat.SAFETENSORS)
