"""The data card: what a repository's README.md tells people. Its YAML is in `metadata`.

A function of the manifest alone, so that the same knowledge is the same card, under whatever name it is asked for.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.artifacts.schemas import EvaluationRead, Manifest, ScoreRead, SummaryRead
from app.hub.metadata import Part, own_size
from distilled import transfer
from distilled.manifest import canonical_json

BASELINES = transfer.BASELINES
SHOWN_CLASSES = 50
MODES = {"hard": "hard", "soft": "soft", "fresh": "hard, new images at each step"}
MODES["fresh_soft"] = MODES["fresh"].replace("hard", "soft")


def text(manifest: Manifest, *, parts: Sequence[Part], sizes: Sequence[int]) -> str:
    """The card below its YAML. parts: the data sets it was made from; sizes: images per class of each config."""
    sections = (_opening, _use, _accuracy, _bytes, _making)
    body = "\n".join(line for section in sections for line in section(manifest, sizes))
    return f"{body}\n{_licence(parts)}"


def _opening(manifest: Manifest, sizes: Sequence[int]) -> Iterator[str]:
    channels, height, width = manifest.shape
    names = ", ".join(plain(name) for name in manifest.classes[:SHOWN_CLASSES])
    more = len(manifest.classes) - SHOWN_CLASSES
    yield f"# {plain(manifest.dataset)}, distilled"
    yield ""
    yield f"A small synthetic set to train on in place of the training images of {plain(manifest.dataset)}, made by"
    yield f"`distilled`. Images of {height} × {width} × {channels} (height, width, channels), kept as"
    yield f"`{manifest.kind}`, of {len(manifest.classes)} classes: {names}{f' … and {more} more' if more > 0 else ''}."
    yield ""
    if sizes:
        yield from _table(
            ["config", "images of each class", "images"],
            [[f"`ipc{size}`", f"{size}", f"{size * len(manifest.classes)}"] for size in sizes],
        )
        held = manifest.budget.images_per_class
        what = "any number can be drawn of it" if held is None else f"it holds {held} of each class"
        yield f"Each config has the images of the smaller ones; {what}."
        yield ""


def _use(manifest: Manifest, sizes: Sequence[int]) -> Iterator[str]:
    yield "## Use"
    yield ""
    yield "With `HF_ENDPOINT=<the service>/hf`:"
    yield ""
    if sizes:
        yield "    from datasets import load_dataset"
        config = f'"ipc{own_size(manifest, sizes)}"'
        yield f'    load_dataset("distilled/{manifest.id}", {config}, split="train", revision="{manifest.digest}")'
        yield ""
    yield "`artifact.safetensors` is what was learnt, byte for byte: `distilled.open(path)` draws any batch from it."
    yield "`manifest.json` is what the service knows of it. Pixels are standardised for networks by"
    yield f"mean {_numbers(manifest.normalisation.mean)} and standard deviation {_numbers(manifest.normalisation.std)}"
    yield "of pixels in [0, 1]."
    yield ""


def _accuracy(manifest: Manifest, sizes: Sequence[int]) -> Iterator[str]:
    yield "## Accuracy"
    yield ""
    alike: dict[str, list[EvaluationRead]] = {}
    for row in manifest.evaluations:
        absent = (row.result or {}).get("absent") or []
        alike.setdefault(canonical_json([row.config, absent]), []).append(row)
    if not alike:
        yield "It has not been evaluated."
        yield ""
        return
    yield "In % of the real test images, mean ± standard deviation over repeats, by fresh networks that are"
    yield "trained alike on each: `random` and `centroid` are real images, and means of real images, of as many"
    yield "bytes, `full` is all of the real training images. Hard and soft labels are measured apart; baselines"
    yield "have hard ones. A network that the distillation itself used is marked *seen*."
    yield ""
    for summary, rows in zip(manifest.summary, alike.values(), strict=True):
        yield from _scores(summary, rows, seen=manifest.seen_networks)


def _scores(summary: SummaryRead, rows: Sequence[EvaluationRead], *, seen: Sequence[str]) -> Iterator[str]:
    lines: list[list[str]] = []
    for row in rows:
        result = row.result or {}
        name = f"{plain(row.network)}{' (*seen*)' if transfer.is_seen(row.network, seen) else ''}"
        against = [_score(result.get(baseline)) for baseline in BASELINES]
        lines += [
            [name, said, _score(result["distilled"][mode]), *against]
            for mode, said in MODES.items()
            if mode in result["distilled"]
        ]
    if len(rows) > 1:
        against = [_score(getattr(summary.all, baseline)) for baseline in BASELINES]
        means = summary.all.distilled
        lines += [["mean of all", said, _score(means[mode]), *against] for mode, said in MODES.items() if mode in means]
    yield from _table(["network", "labels", "distilled", *BASELINES], lines)
    trained = ", ".join(f"{name} {value}" for name, value in sorted(summary.config.items()) if value is not None)
    yield f"Trained with: {plain(trained)}."
    if summary.absent:
        yield f"Not tested on {plain(', '.join(summary.absent))}, whose data are gone."
    yield ""


def _bytes(manifest: Manifest, sizes: Sequence[int]) -> Iterator[str]:
    channels, height, width = manifest.shape
    equal = manifest.budget.bytes / (len(manifest.classes) * channels * height * width)
    yield "## Bytes"
    yield ""
    yield f"`artifact.safetensors` has {manifest.bytes} bytes. What was learnt takes {manifest.budget.bytes} of"
    yield f"them, as many as {equal:.3g} uncompressed real images of each class."
    if manifest.ratio is not None:
        yield f"Its budget was {manifest.ipc} images of each class, {100 * manifest.ratio:.3g} % of the real ones."
    yield ""


def _making(manifest: Manifest, sizes: Sequence[int]) -> Iterator[str]:
    lineage = manifest.lineage
    rows = {
        "artifact": f"`{manifest.id}`, sha256 `{manifest.digest}`",
        "data": f"{plain(lineage.dataset)}, digest `{lineage.dataset_digest}`",
        "continues": None if lineage.base is None else f"`{lineage.base.digest}`",
        "method": None if manifest.method is None else plain(manifest.method),
        "seed": lineage.seed,
        "device": None if lineage.device is None else plain(lineage.device),
        "code version": plain(lineage.code_version),
        "job": None if lineage.job_id is None else f"`{lineage.job_id}`",
    }
    yield "## How it was made"
    yield ""
    yield from _table(["", ""], [[name, str(value)] for name, value in rows.items() if value is not None])
    yield "The same recipe, data, seed, code and kind of device make the same bytes. The recipe:"
    yield ""
    yield from (f"    {line}" for line in json.dumps(manifest.recipe, indent=1, sort_keys=True).splitlines())
    yield ""


def _licence(parts: Sequence[Part]) -> str:
    said = [f"- {plain(part['name'])}: {plain(part.get('licence') or 'none is known')}\n" for part in parts]
    return "## Licence\n\nThat of the data it was made from:\n\n" + "".join(said)


def plain(text: str) -> str:
    """Text of others as nothing but text in Markdown: one line, no markup, no HTML."""
    return re.sub(r"([\\`*_<>\[\]|#&~])", r"\\\1", " ".join(text.split()))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _score(score: ScoreRead | Mapping[str, Any] | None) -> str:
    if score is None:
        return "–"
    mean, std = (score.mean, score.std) if isinstance(score, ScoreRead) else (score["mean"], score.get("std"))
    return f"{100 * mean:.1f}" + ("" if std is None else f" ± {100 * std:.1f}")


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
