"""Accuracy of recipes on real data, in the laboratory alone (no service): distil, measure, keep every figure.

    python -m benchmarks.accuracy cells.json --data FOLDER --out results/NAME.jsonl [--device cuda] [--only WORD]

`cells.json`: {"evaluation": {…}, "cells": [{"name": …, "recipe": {…}, "seeds": [0, 1], "at": [1, 10]}]}. FOLDER holds
`.npz` files in MedMNIST's keys. `at`, for what can make any number of images: how many of each class are drawn of the
one artifact, each in both modes. A line is written for each cell, seed, network and number as it ends; what is in the
file already is not made again, and baselines that are the same measurement are made once. What cells share and make
before their first step (a warm-up, a teacher, experts) is made once too, and counts in the seconds of the first of
them alone. At the end a Markdown table of the whole file.
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks._machine import machine
from benchmarks._record import add, baselines, lines
from distilled import knobs
from distilled.files import read_header
from distilled.recipe import expand
from workers.distill.catalog import build
from workers.distill.data import RealData, load
from workers.distill.evaluate import BASELINES, EvaluationConfig, baseline_keys_of, evaluate
from workers.distill.events import Finished, Progress
from workers.distill.loop import run
from workers.distill.memory import keep_freed_memory
from workers.distill.shelf import MemoryShelf, Shelf

SHOW_EVERY_SECONDS = 30.0


def main(arguments: list[str]) -> int:
    """Measure what is missing, then print the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="cells whose name has this in it")
    asked = parser.parse_args(arguments)
    keep_freed_memory()
    plan = json.loads(asked.cells.read_text(encoding="utf-8"))
    data: dict[str, RealData] = {}
    shelf = MemoryShelf()
    for cell, seed in _jobs(plan, only=asked.only):
        recipe = expand(
            {**cell["recipe"], "seed": seed, "evaluation": {**plan["evaluation"], **cell.get("evaluation", {})}},
            build(),
        )
        wanted = [(network, ipc) for network in recipe["evaluation"]["networks"] for ipc in cell.get("at", [0])]
        done = {_of(line) for line in lines(asked.out)}
        missing = [one for one in wanted if (cell["name"], seed, *one) not in done]
        if not missing:
            continue
        name = recipe["dataset"]
        data[name] = data.get(name) or load(name, data_dir=asked.data, download=False)
        known = baselines(asked.out)
        made = _distil(cell["name"], recipe, data[name], device=asked.device, shelf=shelf)
        for line in _measure(cell["name"], recipe, data[name], made, missing, device=asked.device, known=known):
            add(asked.out, line | {"machine": machine(), "device": asked.device})
    print(f"- machine: {machine()}\n- command: `python -m benchmarks.accuracy {shlex.join(arguments)}`\n")
    print(table(lines(asked.out)))
    return 0


def _jobs(plan: dict[str, Any], *, only: str) -> Iterator[tuple[dict[str, Any], int]]:
    for cell in plan["cells"]:
        if only in cell["name"]:
            for seed in cell.get("seeds", [0]):
                yield cell, seed


def _of(line: dict[str, Any]) -> tuple[str, int, str, int]:
    """What a line measures: cell, seed, network, images of each class that were drawn (0: what the budget says)."""
    return line["cell"], line["seed"], line["result"]["network"], line["result"]["recipe"].get("ipc", 0)


def _measure(
    name: str,
    recipe: dict[str, Any],
    real: RealData,
    made: tuple[bytes, float, float],
    missing: list[tuple[str, int]],
    *,
    device: str,
    known: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """A line of the record for each network and number of images."""
    content, seconds, cpu_seconds = made
    header = read_header(content)
    options = {key: value for key, value in recipe["evaluation"].items() if key != "networks"}
    for network, ipc in missing:
        config = knobs.build(EvaluationConfig, options | ({"ipc": ipc} if ipc else {}))
        keys = baseline_keys_of(content, real, network=network, config=config, seed=0)
        given = {baseline: known[key] for baseline, key in keys.items() if key in known}
        began = time.monotonic()
        result = evaluate(content, real, network=network, config=config, seed=0, device=device, baselines=given)
        known.update({key: result[baseline] for baseline, key in keys.items()})
        yield {
            "cell": name,
            "seed": recipe["seed"],
            "recipe": recipe,
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "evaluation_seconds": round(time.monotonic() - began, 1),
            "images_seen": header["images_seen"],
            "budget": header["budget"],
            "result": result,
        }


def _distil(
    name: str, recipe: dict[str, Any], real: RealData, *, device: str, shelf: Shelf
) -> tuple[bytes, float, float]:
    """The artifact, and what it took: by the clock, and of processors (which neighbours disturb less)."""
    began = shown = time.monotonic()
    worked = time.process_time()
    for event in run(recipe, real, device=device, code_version="benchmark", shelf=shelf):
        if isinstance(event, Progress) and time.monotonic() - shown > SHOW_EVERY_SECONDS:
            shown = time.monotonic()
            print(f"{name}: step {event.step}/{event.steps}, loss {event.loss:.4f}", file=sys.stderr, flush=True)
        if isinstance(event, Finished):
            return event.content, time.monotonic() - began, time.process_time() - worked
    raise RuntimeError("the run ended without an artifact")


def table(record: list[dict[str, Any]]) -> str:
    """Markdown: a row for each cell and network; accuracies in per cent, mean ± std over all networks of all seeds."""
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for line in record:
        cell, _, network, ipc = _of(line)
        groups.setdefault((cell, network, ipc), []).append(line)
    out = [
        "| cell | network | labels | distilled | random | centroid | full | bytes | images seen | seeds | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (cell, network, ipc), group in groups.items():
        first = group[0]["result"]
        others = [_score([v for line in group for v in line["result"][name]["values"]]) for name in BASELINES]
        seconds = fmean(line["seconds"] for line in group)
        for mode, labels in _modes(first["distilled"]):
            scores = [value for line in group for value in line["result"]["distilled"][mode]["values"]]
            out.append(
                f"| {cell}{f', {ipc} drawn' if ipc else ''} | {network} | {labels} | **{_score(scores)}** | "
                f"{' | '.join(others)} | {first['distilled']['bytes']:,} | {group[0]['images_seen']:,} | "
                f"{len(group)} × {first['repeats']} | {seconds:.0f} |"
            )
    return "\n".join(out)


def _modes(distilled: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The modes that are shown, soft labels before hard ones, and what the column of labels says of each."""
    soft = "soft" in distilled
    yield ("soft", "soft") if soft else ("hard", "hard")
    fresh = "fresh_soft" if soft else "fresh"
    if fresh in distilled:
        yield fresh, f"{'soft' if soft else 'hard'}, fresh: {distilled[fresh]['images_seen']:,} different images"


def _score(values: list[float]) -> str:
    return f"{100 * fmean(values):.1f} ± {100 * (stdev(values) if len(values) > 1 else 0):.1f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
