"""What came out: the table of accuracies beside their baselines, and the lines to paste next."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from distilled import transfer
from distilled.cli.screen import Screen, table, text
from distilled.transfer import rows_of

if TYPE_CHECKING:
    from distilled.client import Artifact


def show_evaluations(screen: Screen, artifact: "Artifact") -> None:
    """A table for each network, with DD-Ranking's two scores below it; of several networks their means as well."""
    for evaluation in artifact.evaluations:
        screen.say("")
        screen.show(_table(evaluation))
        result: Mapping[str, Any] = evaluation.get("result") or {}
        scores = [f"{name.upper()} {_points(result[name])}" for name in ("hlr", "ior") if result.get(name) is not None]
        if result.get("absent"):
            screen.say(f"Tested without the classes {', '.join(result['absent'])}: their data are not there any more.")
        if scores:
            screen.say("  ".join(scores) + "  (points; a lower HLR and a higher IOR are better)")

    for summary in artifact.summary:
        if len(summary["all"]["networks"]) > 1:
            screen.say("")
            screen.show(_means(summary, differing=_differing(artifact.summary)))
            for group in ("seen", "unseen"):
                if summary[group]:
                    screen.say(f"{group + ':':<8}{', '.join(summary[group]['networks'])}")


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


def _means(summary: Mapping[str, Any], *, differing: Sequence[str]) -> Table:
    """Means over the networks that the distillation used, over the others, and over all."""
    groups: dict[str, Mapping[str, Any]] = {name: summary[name] for name in transfer.GROUPS if summary[name]}
    trained = ", ".join(f"{name} {summary['config'].get(name)}" for name in differing)
    title = "Mean test accuracy over networks, %" + (f"; {trained}" if trained else "")
    headings = [f"{name} ({len(group['networks'])})" for name, group in groups.items()]
    cells = {name: {row: _spread(score) for row, score, _ in rows_of(group)} for name, group in groups.items()}
    made = table("", *headings, title=text(title), right=headings)
    for row in dict.fromkeys(row for of_group in cells.values() for row in of_group):
        made.add_row(row, *(of_group.get(row, "") for of_group in cells.values()))
    return made


def _differing(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The options by which the ways of training differ."""
    configs: list[Mapping[str, Any]] = [summary["config"] for summary in summaries]
    names = sorted({name for config in configs for name in config})
    return [name for name in names if any(config.get(name) != configs[0].get(name) for config in configs)]


def _spread(score: Mapping[str, Any]) -> str:
    mean = f"{100 * float(score['mean']):.1f}"
    return mean if score.get("std") is None else f"{mean} ± {100 * float(score['std']):.1f}"


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
