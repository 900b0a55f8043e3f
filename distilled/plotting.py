"""Plots of what a service has measured: accuracy against bytes, and a job's curves. Needs the extra `plot`.

The same figures give the same bytes, whenever they are drawn. Matplotlib is loaded when the first plot is made.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from distilled.errors import MissingExtra, NothingToPlot
from distilled.manifest import canonical_json
from distilled.transfer import MODES

#: What a file may end with, and what is left out of it so that it is the same tomorrow.
FORMATS: Mapping[str, Mapping[str, None]] = {
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "ModDate": None},
    ".png": {"Software": None},
}
#: Of the baselines: what they are called and how they look.
BASELINES = {"random": ("random real images", "#8a94a6", "v"), "centroid": ("k-means centroids", "#5b6472", "^")}
FULL = ("full data", "#1a1f29")
#: Told apart by shape as well as by colour. Colours: Okabe & Ito, 2008, without black and yellow.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKS = ("o", "s", "D", "P", "X", "*")
_STYLE: Mapping[str, Any] = {
    "svg.hashsalt": "distilled",
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "savefig.bbox": "tight",
}
#: Recorded beside losses and accuracies, and no part of a curve of them.
_RATES = ("images_per_second", "device_memory_bytes")
_SIZE = (7.2, 4.4)  # inches
_DPI = 144


@dataclass(frozen=True, kw_only=True)
class Point:
    """One measured set. x: bytes, or seconds. mean, std: accuracy in 0..1 and its spread over repeats. note: a word
    beside it.
    """

    series: str
    x: float
    mean: float
    std: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is plotted of a data set. full: mean and std of full data. left_out: artifacts measured in another way."""

    points: Sequence[Point]
    baselines: Sequence[Point]
    full: Point | None
    network: str
    left_out: int


def of_artifacts(manifests: Iterable[Mapping[str, Any]], *, network: str | None = None, mode: str = "hard") -> Measured:
    """The figures of these artifacts that may stand in one plot.

    mode: of `transfer.MODES`; figures of others are left out, for they are not to be compared. network: by default
    the one that most artifacts were evaluated on. Of several ways of training it, the one that most were trained in.
    Raises NothingToPlot.
    """
    if mode not in MODES:
        raise NothingToPlot(f"{mode!r} is no way of labelling; give one of {', '.join(MODES)}")
    groups: dict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = {}
    measured = 0
    for manifest in manifests:
        rows = [row for row in manifest.get("evaluations") or () if (row.get("result") or {}).get("distilled")]
        measured += bool(rows)
        for row in rows:
            if network in (None, row["network"]) and row["result"]["distilled"].get(mode):
                trained = row["network"], canonical_json(row.get("config") or {})
                groups.setdefault(trained, []).append((_series(manifest), row["result"]))
    if not groups:
        asked = f" on {network}" if network else ""
        raise NothingToPlot(f"no artifact has been evaluated{asked} with `{mode}`; `distilled evaluate` measures one")
    (chosen, _), results = min(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    points = [_point(name, result["distilled"], result["distilled"][mode]) for name, result in results]
    # Several artifacts of one size share their baselines: each is one point.
    baselines = {
        (name, result[name].get("bytes")): _point(name, result[name], result[name])
        for _, result in results
        for name in BASELINES
        if result.get(name)
    }
    full = next((_point("full", result["full"], result["full"]) for _, result in results if result.get("full")), None)
    return Measured(
        points=points,
        baselines=list(baselines.values()),
        full=full,
        network=chosen,
        left_out=measured - len(results),
    )


def accuracy(
    panels: Sequence[Measured], out: Path, *, title: str, x_label: str = "bytes of the stored tensors", unit: str = "B"
) -> None:
    """Accuracy against bytes or seconds, a mark for each set, with its std, the baselines and full data.

    panels: side by side, each of figures that may be compared. Raises MissingExtra, NothingToPlot.
    """
    names = sorted({point.series for measured in panels for point in measured.points})
    looks = {name: (name, COLOURS[i % 6], MARKS[i % 6], "-") for i, name in enumerate(names)}
    looks |= {name: (text, colour, mark, "--") for name, (text, colour, mark) in BASELINES.items()}
    with _figure(out, columns=len(panels)) as (figure, all_axes):
        for measured, axes in zip(panels, all_axes, strict=True):
            for name, (label, colour, mark, line) in looks.items():
                found = [one for one in (*measured.points, *measured.baselines) if one.series == name]
                if found:
                    _draw(axes, found, label, colour, mark, line=line)
            if measured.full is not None:
                mean, std = 100 * measured.full.mean, 100 * (measured.full.std or 0)
                axes.axhline(mean, color=FULL[1], linewidth=1, linestyle=":", label=FULL[0])
                axes.axhspan(mean - std, mean + std, color=FULL[1], alpha=0.08, linewidth=0)
            axes.set_title(measured.network, fontsize="small")
        _set_x(all_axes, [one.x for measured in panels for one in (*measured.points, *measured.baselines)], unit=unit)
        all_axes[0].set_ylabel("test accuracy, %")
        figure.supxlabel(x_label, fontsize="medium")
        figure.suptitle(title, x=0.01, ha="left", fontsize="large")
        shown = {
            label: line for axes in all_axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        # Methods first, then what they are measured by.
        order = [label for label, *_ in looks.values() if label in shown] + [name for name in FULL[:1] if name in shown]
        handles = [shown[label] for label in order]
        figure.legend(handles, order, frameon=False, fontsize="small", loc="outside right center")


def job(entries: Sequence[Mapping[str, Any]], out: Path, *, title: str, seconds: bool = False) -> None:
    """A job's loss above its accuracy, against steps, or against seconds since its first figure.

    entries: as `Client.metrics` gives them. Raises NothingToPlot, MissingExtra.
    """
    series = _curves(entries, seconds=seconds)
    panels = [
        (label, {name: curve for name, curve in series.items() if ("accuracy" in name) == is_accuracy})
        for label, is_accuracy in (("loss", False), ("accuracy, %", True))
    ]
    panels = [(label, curves) for label, curves in panels if curves]
    if not panels:
        raise NothingToPlot("the job has recorded no loss and no accuracy yet; wait until it has begun")
    with _figure(out, rows=len(panels)) as (_, axes):
        for (label, curves), one in zip(panels, axes, strict=True):
            for i, (name, (xs, ys)) in enumerate(sorted(curves.items())):
                scale = 100 if "accuracy" in name else 1
                one.plot(xs, [scale * y for y in ys], color=COLOURS[i % 6], linewidth=1.2, label=name)
            one.set_ylabel(label)
            one.legend(frameon=False, fontsize="small")
        axes[0].set_title(title, loc="left")
        axes[-1].set_xlabel("seconds" if seconds else "steps")


def _curves(entries: Sequence[Mapping[str, Any]], *, seconds: bool) -> dict[str, tuple[list[float], list[float]]]:
    """Loss, its terms and accuracies by name: where, and how much. What a step tells twice is taken once."""
    began = datetime.fromisoformat(entries[0]["at"]) if entries else datetime.min
    found: dict[str, dict[float, float]] = {}
    for entry in entries:
        data: Mapping[str, Any] = entry["data"]
        x = (datetime.fromisoformat(entry["at"]) - began).total_seconds() if seconds else data.get("step")
        if x is None:
            continue
        for name, value in {"loss": data.get("loss"), **(data.get("values") or {})}.items():
            if name not in _RATES and isinstance(value, int | float):
                found.setdefault(name, {})[float(x)] = float(value)
    return {name: (list(curve), list(curve.values())) for name, curve in found.items()}


def _series(manifest: Mapping[str, Any]) -> str:
    """What an artifact's method is called: its preset, else what it was put together of."""
    recipe: Mapping[str, Any] = manifest.get("recipe") or {}
    kinds = [str((recipe.get(slot) or {}).get("kind", "")) for slot in ("parametrization", "objective")]
    return str(manifest.get("method") or " × ".join(filter(None, kinds)) or manifest.get("kind") or "recipe")


def _point(series: str, size: Mapping[str, Any], score: Mapping[str, Any]) -> Point:
    return Point(series=series, x=float(size.get("bytes") or 0), mean=float(score["mean"]), std=score.get("std"))


def _draw(axes: Any, points: Sequence[Point], label: str, colour: str, mark: str, line: str = "-") -> None:
    found = sorted(points, key=lambda point: (point.x, point.mean))
    axes.errorbar(
        [point.x for point in found],
        [100 * point.mean for point in found],
        yerr=[100 * (point.std or 0) for point in found],
        label=label,
        color=colour,
        marker=mark,
        markersize=5,
        linewidth=1,
        linestyle=line if len({point.x for point in found}) == len(found) else "",  # no line through one size
        capsize=2,
    )
    for point in found:
        if point.note:
            place = {"xytext": (6, -3), "textcoords": "offset points", "fontsize": "x-small", "color": colour}
            axes.annotate(point.note, (point.x, 100 * point.mean), **place)


def _set_x(all_axes: Sequence[Any], xs: Sequence[float], *, unit: str) -> None:
    """One logarithmic axis for all panels, at least a decade wide, so that it has a number on it."""
    ticker: Any = import_module("matplotlib.ticker")
    low, high = min(xs), max(xs)
    margin = max(1.5, (10 * low / high) ** 0.5)
    for axes in all_axes:
        axes.set_xscale("log")
        axes.set_xlim(low / margin, high * margin)
        axes.xaxis.set_major_formatter(ticker.EngFormatter(unit=unit) if unit else ticker.StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())


@contextmanager
def _figure(out: Path, *, rows: int = 1, columns: int = 1) -> Generator[tuple[Any, Sequence[Any]]]:
    """A figure and its axes, below or beside one another; it is written when the block ends."""
    kept = FORMATS.get(out.suffix.lower())
    if kept is None:
        raise NothingToPlot(f"{out.name} ends with no format that is known; give one of {', '.join(FORMATS)}")
    try:
        matplotlib: Any = import_module("matplotlib")
        figures: Any = import_module("matplotlib.figure")  # without pyplot, which looks for a screen
    except ModuleNotFoundError as error:
        raise MissingExtra("plots need matplotlib; install it with: pip install 'distilled[plot]'") from error
    width, height = _SIZE
    size = (width * (1 + 0.4 * (columns - 1)), height * (1 + 0.3 * (rows - 1)))
    with matplotlib.rc_context(dict(_STYLE)):
        figure = figures.Figure(figsize=size, layout="constrained")
        grid = figure.subplots(rows, columns, sharex=columns == 1, sharey=rows == 1, squeeze=False)
        yield figure, list(grid.flat)
        figure.savefig(out, metadata=dict(kept), dpi=_DPI)
