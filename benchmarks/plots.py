"""Draws docs/images/accuracy-mnist.svg and time-mnist.svg from the records in benchmarks/results.

    python -m benchmarks.plots

Hard labels only. Sets stand in one panel only where they were evaluated by one recipe, and each panel has the random
images, centroids and full data of that recipe. Of a generator the evaluation with the most images is shown.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from distilled.plotting import Measured, Point, accuracy, of_artifacts

HERE = Path(__file__).parent
RECORDS = ("mnist-memory", "cells-cpu", "dim-mnist")
OUT = HERE.parent / "docs" / "images"
FAMILY = "convnet3"


def records(dataset: str) -> Iterator[dict[str, Any]]:
    """What was measured on a data set with a network of the family."""
    for name in RECORDS:
        for line in (HERE / "results" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if record["recipe"]["dataset"] == dataset and record["result"]["network"].startswith(FAMILY):
                yield record


def recipe_of(record: dict[str, Any]) -> str:
    """How a set was evaluated, in words."""
    told = record["recipe"]["evaluation"]
    return (
        f"{record['result']['network']}, learning rate {told['learning_rate']},\n"
        f"{told['steps']} steps, {told['repeats']} seeds"
    )


def _fullest(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a generator that was evaluated with several numbers of images, the one with the most."""
    best: dict[str, dict[str, Any]] = {}
    for record in found:
        made = json.dumps({**record["recipe"], "evaluation": None}, sort_keys=True)
        images = record["result"]["distilled"]["images"]
        if made not in best or images > best[made]["result"]["distilled"]["images"]:
            best[made] = record
    return list(best.values())


def panels(dataset: str) -> list[tuple[Measured, list[dict[str, Any]]]]:
    """The records of each recipe, as one panel."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records(dataset):
        groups.setdefault(recipe_of(record), []).append(record)
    kept = {words: _fullest(found) for words, found in groups.items()}
    return [(replace(of_artifacts(map(_manifest, found)), network=words), found) for words, found in kept.items()]


def _manifest(record: dict[str, Any]) -> dict[str, Any]:
    """A record in the form in which the service tells an artifact."""
    evaluation = {"network": record["result"]["network"], "config": {}, "result": record["result"]}
    return {"method": _method(record["recipe"]), "evaluations": [evaluation]}


def _method(recipe: dict[str, Any]) -> str:
    return recipe["method"] or f"{recipe['parametrization']['kind']} × {recipe['objective']['kind']}"


def against_time(measured: Measured, found: list[dict[str, Any]]) -> Measured:
    """The same sets by how long they took to distil; random images and centroids take none."""
    points: list[Point] = []
    for record in found:
        score, ipc = record["result"]["distilled"]["hard"], record["recipe"].get("ipc")
        note = "generator" if record["recipe"]["parametrization"]["kind"] == "generator" else f"{ipc} a class"
        about = {"series": _method(record["recipe"]), "mean": score["mean"], "std": score["std"], "note": note}
        points.append(Point(x=record["seconds"], **about))
    return replace(measured, points=points, baselines=[])


def main() -> None:
    drawn = panels("mnist")
    accuracy([measured for measured, _ in drawn], OUT / "accuracy-mnist.svg", title="MNIST: accuracy against bytes")
    accuracy(
        [against_time(measured, found) for measured, found in drawn],
        OUT / "time-mnist.svg",
        title="MNIST: accuracy against time to distil on a CPU",
        x_label="time to distil, in seconds",
        unit="",
    )


if __name__ == "__main__":
    main()
