"""What came out: the table of accuracies beside their baselines, and the lines to paste next."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from distilled.cli.screen import Screen, table, text

if TYPE_CHECKING:
    from distilled.client import Artifact

_BASELINES = (("random", "random real images"), ("centroid", "k-means centroids"), ("full", "full data"))


def rows_of(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """(name, score, size) of the distilled set and its baselines, in the order of the table.

    A score is {"mean", "std", "values"}, accuracies in 0..1; a size is {"bytes", "images"}. Hard and soft labels are
    rows of their own: their accuracies are not to be compared in one.
    """
    distilled: Mapping[str, Any] = result.get("distilled") or {}
    rows = [
        (f"distilled, {labels} labels", distilled[labels], distilled)
        for labels in ("hard", "soft")
        if distilled.get(labels)
    ]
    rows += [(title, result[name], result[name]) for name, title in _BASELINES if result.get(name)]
    return rows


def show_evaluations(screen: Screen, artifact: "Artifact") -> None:
    """A table for each network, with DD-Ranking's two scores below it."""
    for evaluation in artifact.evaluations:
        screen.say("")
        screen.show(_table(evaluation))
        result: Mapping[str, Any] = evaluation.get("result") or {}
        scores = [f"{name.upper()} {_points(result[name])}" for name in ("hlr", "ior") if result.get(name) is not None]
        if scores:
            screen.say("  ".join(scores) + "  (points; a lower HLR and a higher IOR are better)")


def _table(evaluation: Mapping[str, Any]) -> Table:
    result: Mapping[str, Any] = evaluation.get("result") or {}
    title = f"Test accuracy of {text(evaluation.get('network'))}, trained on each set"
    made = table(
        "", "accuracy %", "±", "n", "images", "bytes", title=title, right=("accuracy %", "±", "n", "images", "bytes")
    )
    for name, score, size in rows_of(result):
        made.add_row(
            name,
            f"{100 * float(score['mean']):.1f}",
            f"{100 * float(score['std']):.1f}",
            str(len(score.get("values") or ())),
            _number(size.get("images")),
            _number(size.get("bytes")),
        )
    if not result:
        error: Mapping[str, Any] = evaluation.get("error") or {}
        made.add_row(text(error.get("detail") or evaluation.get("state")), "", "", "", "", "")
    return made


def _points(share: Any) -> str:
    return f"{100 * float(share):+.1f}"


def _number(value: Any) -> str:
    return "" if value is None else f"{int(value):,}"


def beats_baselines(result: Mapping[str, Any]) -> bool:
    """Whether the distilled set beats random images and centroids by more than the ± of either side."""
    distilled: Mapping[str, Any] = result.get("distilled") or {}
    score = distilled.get("hard") or distilled.get("soft")
    others = [result.get("random"), result.get("centroid")]
    if not score or not all(others):
        return False
    return all(
        float(score["mean"]) - float(other["mean"]) > max(float(score["std"]), float(other["std"]))
        for other in others
        if other
    )


def quickstart_lines(artifact: "Artifact", url: str, *, keyed: bool = False) -> list[tuple[str, str]]:
    """(name, line) of curl, Python and CLI: each draws a batch, and works when pasted into a shell.

    keyed: the service has a key; it is taken from DISTILLED_API_KEY, never written into a line.
    """
    ipc = artifact.ipc or 1
    samples = f"{url}/v1/artifacts/{artifact.id}/samples?ipc={ipc}&format=npz"
    header = ' -H "Authorization: Bearer $DISTILLED_API_KEY"' if keyed else ""
    code = (
        f'import distilled; batch = distilled.Client("{url}").sample("{artifact.id}", ipc={ipc}); '
        "print(batch.images.shape, batch.classes)"
    )
    target = "" if url == "http://127.0.0.1:8000" else f" --url {shlex.quote(url)}"
    return [
        ("curl", f"curl -f{header} -o batch.npz {shlex.quote(samples)}"),
        ("Python", f"{_program('python')} -c {shlex.quote(code)}"),
        ("CLI", f"{_program('distilled')} pull {artifact.id} -o distilled.npz --format npz{target}"),
    ]


def _program(name: str) -> str:
    """How to call a program of this installation from here: by name if that finds it, else by its path."""
    ours = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if (found and Path(found) == ours) or not ours.exists():
        return name
    return shlex.quote(min(os.path.relpath(ours), str(ours), key=len))
