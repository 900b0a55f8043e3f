"""What a selection changes: accuracy at a tenth of the steps and at the end, on every host, paired over seeds.

    python -m benchmarks.selection_study --out results/selection-digits.jsonl [--data FOLDER --dataset mnist] \\
        [--seeds 10] [--only dm] [--device cuda]

Start and batches apart, each against random ones: a pair shares the seed of the run, the networks that measure it and
everything else. Hard labels. A line for each host, arm, seed and point is written as it is measured, and what is in the
file is not made again; at the end a Markdown table of the whole file. The intervals are Student's, at 95 %.
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

from scipy.stats import t as student

from benchmarks._machine import machine
from distilled import knobs
from distilled.files import open_artifact, pack, read_header
from distilled.recipe import expand
from workers.distill.catalog import build
from workers.distill.data import RealData, load
from workers.distill.evaluate import BASELINES, EvaluationConfig, baseline_keys_of, evaluate
from workers.distill.events import Finished, Snapshot
from workers.distill.loop import run
from workers.distill.memory import keep_freed_memory
from workers.distill.shelf import MemoryShelf
from workers.distill.snapshots import below

NETWORK = "convnet2-w32"
#: A host a row: short runs at ten images a class, where a start has something to choose.
HOSTS: dict[str, dict[str, Any]] = {
    "kip": {"method": "kip", "steps": 200, "objective": {"real_batch": 256}},
    "frepo": {
        "method": "frepo",
        "steps": 200,
        "objective": {"network": NETWORK, "real_batch": 256, "learning_rate": 0.03},
    },
    "dm": {"method": "dm", "steps": 200, "objective": {"network": NETWORK, "real_batch": 32}},
    "dc": {"method": "dc", "steps": 100, "objective": {"network": NETWORK, "real_batch": 32, "matchings": 1}},
    "mtt": {
        "method": "mtt",
        "steps": 60,
        "objective": {"network": NETWORK, "synthetic_steps": 10, "experts": 5, "expert_batch": 64},
    },
    "bptt": {
        "method": "bptt",
        "steps": 40,
        "objective": {"network": NETWORK, "inner_steps": 10, "inner_learning_rate": 0.05, "real_batch": 256},
    },
}
#: The first is what the others are compared with. Centroids stand for scale: what a start can do that draws nothing.
ARMS: dict[str, dict[str, str]] = {
    "random": {"start": "random", "batches": "random"},
    "start": {"start": "importance", "batches": "random"},
    "batches": {"start": "random", "batches": "importance"},
    "centroid start": {"start": "centroid", "batches": "random"},
}
#: Objectives that take no weighted means of real images.
WITHOUT_WEIGHTS = ("mtt",)
POINTS = ("10 %", "end")
CONFIDENCE = 0.95


def main(arguments: list[str]) -> int:
    """Measure what is missing, then print the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--only", default="", help="hosts whose name has this in it")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args(arguments)
    keep_freed_memory()
    real = load(asked.dataset, data_dir=asked.data, download=False)
    shelf = MemoryShelf()  # experts are shared by all runs
    for seed in range(asked.seeds):
        for host, arm in _cells(asked.only):
            if (host, arm, seed) in {(line["host"], line["arm"], line["seed"]) for line in _lines(asked.out)}:
                continue
            recipe = {"dataset": asked.dataset, "ipc": asked.ipc, "seed": seed, **HOSTS[host], "selection": ARMS[arm]}
            # Labels stay hard, also where the preset would learn them: these figures are compared with one another.
            recipe["parametrization"] = {"kind": "images", "labels": "hard"}
            began = time.monotonic()
            lines = _measured(expand(recipe, build()), real, shelf=shelf, device=asked.device, out=asked.out)
            seconds = round(time.monotonic() - began, 1)
            with asked.out.open("a", encoding="utf-8") as out:
                for line in lines:
                    whole = {"host": host, "arm": arm, "seed": seed, **line, "seconds": seconds, "machine": machine()}
                    out.write(json.dumps(whole, sort_keys=True) + "\n")
    print(f"- machine: {machine()}\n- command: `python -m benchmarks.selection_study {shlex.join(arguments)}`\n")
    print(table(_lines(asked.out)))
    return 0


def _cells(only: str) -> Iterator[tuple[str, str]]:
    for host in HOSTS:
        for arm, selection in ARMS.items():
            weighted = selection["batches"] == "importance"
            if only in host and not (weighted and host in WITHOUT_WEIGHTS):
                yield host, arm


def _measured(
    recipe: dict[str, Any], real: RealData, *, shelf: MemoryShelf, device: str, out: Path
) -> list[dict[str, Any]]:
    """A line for a tenth of the steps and one for the end."""
    early: Snapshot | None = None
    content = b""
    tenth = recipe["steps"] // 10
    for event in run(recipe, real, device=device, code_version="benchmark", snapshot_every=tenth, shelf=shelf):
        if isinstance(event, Snapshot) and early is None:
            early = event
        if isinstance(event, Finished):
            content = event.content
    if early is None or not content:
        raise RuntimeError("the run ended without a snapshot or without an artifact")
    contents = {"10 %": _at(early, content), "end": content}
    config = knobs.build(EvaluationConfig, {"steps": 200, "epochs": 10, "repeats": 3})
    found: list[dict[str, Any]] = []
    for point in POINTS:
        keys = baseline_keys_of(contents[point], real, network=NETWORK, config=config, seed=0)
        known = {
            line["result"]["baseline_keys"][name]: line["result"][name]
            for line in _lines(out) + found
            for name in BASELINES
        }
        given = {name: known[key] for name, key in keys.items() if key in known}
        result = evaluate(contents[point], real, network=NETWORK, config=config, seed=0, device=device, baselines=given)
        found.append({"point": point, "recipe": recipe, "result": result})
    return found


def _at(snapshot: Snapshot, content: bytes) -> bytes:
    """The artifact that the run would have left at a snapshot: its parameters under the header of the end."""
    parametrization = open_artifact(content).parametrization
    parametrization.load_state_dict(
        {name: value.cpu() for name, value in below("parameters/", snapshot.tensors).items()}
    )
    return pack(parametrization, read_header(content) | {"images_seen": snapshot.state["images_seen"]})


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def interval(differences: list[float]) -> tuple[float, float]:
    """Mean and half width of Student's interval for paired differences."""
    count = len(differences)
    half = float(student.ppf((1 + CONFIDENCE) / 2, count - 1)) * stdev(differences) / count**0.5
    return fmean(differences), half


def table(lines: list[dict[str, Any]]) -> str:
    """Markdown: accuracies in per cent (mean ± std over seeds), differences to random ones with their interval."""
    scores = {
        (line["host"], line["arm"], line["point"], line["seed"]): 100 * line["result"]["distilled"]["hard"]["mean"]
        for line in lines
    }
    out = [
        "| host | arm | 10 % of the steps | difference | end | difference | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for host, arm in dict.fromkeys((line["host"], line["arm"]) for line in lines):
        seeds = sorted({seed for one, other, _, seed in scores if (one, other) == (host, arm)})
        cells: list[str] = []
        for point in POINTS:
            own = [scores[host, arm, point, seed] for seed in seeds]
            cells.append(f"{fmean(own):.1f} ± {stdev(own) if len(own) > 1 else 0:.1f}")
            pairs = [seed for seed in seeds if (host, "random", point, seed) in scores]
            differences = [scores[host, arm, point, seed] - scores[host, "random", point, seed] for seed in pairs]
            cells.append("" if arm == "random" or len(pairs) < 2 else "{:+.2f} ± {:.2f}".format(*interval(differences)))
        out.append(f"| {host} | {arm} | {' | '.join(cells)} | {len(seeds)} |")
    baselines = {name: lines[0]["result"][name] for name in BASELINES}
    out.append("")
    out += [
        f"- {name}: {100 * one['mean']:.1f} ± {100 * one['std']:.1f} ({one['images']:,} images, {one['bytes']:,} bytes)"
        for name, one in baselines.items()
    ]
    return "\n".join(out)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
