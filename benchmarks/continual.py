"""Continual learning: classes come in tasks, and only so many bytes are kept from one task to the next.

    python -m benchmarks.continual plan.json --data FOLDER --dataset mnist --bytes N --seeds 0 1 2 --out NAME.jsonl

`plan.json`: {"recipe": {…}, "evaluation": {…}}, the recipe of a memory without data set, budget and seed, and how
networks are trained (`EvaluationConfig`, and one `network`). FOLDER holds `.npz` files in MedMNIST's keys.

Protocol. Class-incremental: the classes in label order make `--tasks` tasks of the same size, one after the other; a
network has one head with all classes, and is never told the task of an image. After each task fresh networks are
trained on what a method has kept, by one recipe for all, and tested on the test images of every task so far; their mean
counts.

* memory: a memory distilled on the first task's images, then continued (`base_artifact`) with those of each next one
* reservoir: real images, each of those that came as likely to be kept (Vitter 1985)
* balanced: real images, as many of each class so far, chosen at random
* fine-tuning: nothing is kept; networks are trained further on each task's images alone (the lower bound)
* joint: everything is kept (the upper bound; after the last task only)
* joint-memory: a memory distilled on all images at once; what it has above `memory` is the price of continuing

Memories and real images take at most `--bytes`; a real image takes a byte a value, and its label. Average accuracy is
the mean over the tasks after the last one; forgetting the mean over all tasks but the last of the best accuracy before
it, less that after it. A line is written for each seed and method as it ends; what is in the file already is not made
again.
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

from benchmarks._machine import machine
from distilled import knobs
from distilled.files import open_artifact
from distilled.manifest import digest_json
from distilled.recipe import expand
from workers.distill import networks
from workers.distill.augment import operations_for
from workers.distill.baselines import random_images, real_image_bytes
from workers.distill.catalog import build
from workers.distill.data import RealData, load
from workers.distill.events import Finished, Progress
from workers.distill.loop import run
from workers.distill.memory import keep_freed_memory
from workers.distill.networks.base import SideBySide
from workers.distill.rng import Rng
from workers.distill.training import EvaluationConfig, TrainingSet, accuracies, train

METHODS = ("memory", "reservoir", "balanced", "fine-tuning", "joint", "joint-memory")
SHOW_EVERY_SECONDS = 30.0

Row = list[float]  # accuracy on each task so far, 0..1


def main(arguments: list[str]) -> int:
    """Measure what is missing, then print the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--tasks", type=int, default=5)
    parser.add_argument("--bytes", type=int, required=True, help="what may be kept between two tasks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args(arguments)
    keep_freed_memory()
    plan = json.loads(asked.plan.read_text(encoding="utf-8"))
    real = load(asked.dataset, data_dir=asked.data, download=False)
    if real.space.num_classes % asked.tasks:
        raise SystemExit(f"{real.space.num_classes} classes do not make {asked.tasks} tasks of the same size")
    what = {"dataset": real.name, "tasks": asked.tasks, "budget": asked.bytes, "plan": plan, "device": asked.device}
    for seed in asked.seeds:
        course = Course(real, asked.tasks, plan, num_bytes=asked.bytes, seed=seed, device=asked.device)
        for method in asked.methods:
            line = {**what, "method": method, "seed": seed}
            if any(line.items() <= known.items() for known in _lines(asked.out)):
                continue
            began = time.monotonic()
            rows, kept = course.measured(method)
            line |= {"accuracies": rows, "average": fmean(rows[-1]), "forgetting": forgetting(rows), **kept}
            line |= {"seconds": round(time.monotonic() - began, 1), "machine": machine()}
            with asked.out.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line, sort_keys=True) + "\n")
    print(f"- machine: {machine()}\n- command: `python -m benchmarks.continual {shlex.join(arguments)}`\n")
    print(table([line for line in _lines(asked.out) if what.items() <= line.items()]))
    return 0


class Course:
    """A data set in tasks, and the one way in which networks are trained and tested on it."""

    def __init__(
        self, real: RealData, tasks: int, plan: Mapping[str, Any], *, num_bytes: int, seed: int, device: str
    ) -> None:
        self.size = real.space.num_classes // tasks
        self.parts = [part(real, range(t * self.size, (t + 1) * self.size)) for t in range(tasks)]
        self.real, self.plan, self.num_bytes, self.seed, self.device = real, plan, num_bytes, seed, device
        options = dict(plan["evaluation"])
        self.network = options.pop("network")
        self.config = knobs.build(EvaluationConfig, options, pointer="/evaluation")
        self.rng = Rng(seed).child("continual")
        self.rngs = [self.rng.child("repeat", r) for r in range(self.config.repeats)]
        self._base: bytes | None = None  # the memory as it was after the task before

    def measured(self, method: str) -> tuple[list[Row], dict[str, int]]:
        """A row of accuracies after each task, and what was kept after the last: `bytes` and `images`."""
        if method == "fine-tuning":
            return self._fine_tuned(), {"bytes": 0, "images": 0}
        if method == "joint":
            whole = self._of_bytes(self.real.train_bytes_NHWC, self.real.train_labels_N)
            held = len(whole) * real_image_bytes(self.real.space)
            return [self._tested(self._trained(whole), len(self.parts))], {"bytes": held, "images": len(whole)}
        if method == "joint-memory":
            recalled, held = self._recalled(self._distilled(self.real, None))
            return [self._tested(self._trained(recalled), len(self.parts))], {"bytes": held, "images": len(recalled)}
        keep: Callable[[int], tuple[TrainingSet, int]] = {
            "memory": self._remembered,
            "reservoir": self._reservoir,
            "balanced": self._balanced,
        }[method]
        rows: list[Row] = []
        kept: dict[str, int] = {}
        for t in range(len(self.parts)):
            held, num_bytes = keep(t)
            kept = {"bytes": num_bytes, "images": len(held)}
            rows.append(self._tested(self._trained(held), t + 1))
        return rows, kept

    def _remembered(self, t: int) -> tuple[TrainingSet, int]:
        content = self._base = self._distilled(self.parts[t], None if t == 0 else self._base)
        return self._recalled(content)

    def _recalled(self, content: bytes) -> tuple[TrainingSet, int]:
        memory = open_artifact(content).parametrization
        whole = memory.whole()
        images_NCHW = whole.images_NCHW.to(self.device)
        held = TrainingSet(images_at=lambda index_N: images_NCHW[index_N], targets=whole.labels_N.to(self.device))
        return held, memory.num_bytes()

    def _distilled(self, real: RealData, base: bytes | None) -> bytes:
        fields = {"dataset": real.name, "bytes": self.num_bytes, "seed": self.seed}
        named = {"base_artifact": None if base is None else "the task before"}
        recipe = expand({**self.plan["recipe"], **fields, **named}, build())
        shown = time.monotonic()
        for event in run(recipe, real, device=self.device, code_version="benchmark", base=base):
            if isinstance(event, Progress) and time.monotonic() - shown > SHOW_EVERY_SECONDS:
                shown = time.monotonic()
                where = f"seed {self.seed}, {real.name}: step {event.step}/{event.steps}, loss {event.loss:.4f}"
                print(where, file=sys.stderr, flush=True)
            if isinstance(event, Finished):
                return event.content
        raise RuntimeError("the run ended without an artifact")

    def _reservoir(self, t: int) -> tuple[TrainingSet, int]:
        """Those with the lowest of random numbers: what is kept now was kept before, or has come since."""
        came_N = torch.cat([self._places(i) for i in range(t + 1)])
        drawn = self.rng.child("reservoir").generator()
        numbers_N = torch.rand(len(self.real.train_labels_N), generator=drawn, dtype=torch.float64)
        kept_N = came_N[numbers_N[came_N].argsort()[: self._capacity()]]
        held = self._of_bytes(self.real.train_bytes_NHWC[kept_N], self.real.train_labels_N[kept_N])
        return held, len(held) * real_image_bytes(self.real.space)

    def _balanced(self, t: int) -> tuple[TrainingSet, int]:
        classes = (t + 1) * self.size
        counts = [self._capacity() // classes] * classes + [0] * (self.real.space.num_classes - classes)
        bytes_NHWC, labels_N = random_images(self.real, tuple(counts), rng=self.rng.child("balanced"))
        return self._of_bytes(bytes_NHWC, labels_N), len(labels_N) * real_image_bytes(self.real.space)

    def _fine_tuned(self) -> list[Row]:
        nets = self._fresh()
        rows: list[Row] = []
        for t in range(len(self.parts)):
            places_N = self._places(t)
            shown = self._of_bytes(self.real.train_bytes_NHWC[places_N], self.real.train_labels_N[places_N])
            rows.append(self._tested(self._trained(shown, nets, task=t), t + 1))
        return rows

    def _capacity(self) -> int:
        return self.num_bytes // real_image_bytes(self.real.space)

    def _places(self, t: int) -> Tensor:
        """Where the training images of a task are."""
        labels_N = self.real.train_labels_N
        return ((labels_N >= t * self.size) & (labels_N < (t + 1) * self.size)).nonzero().flatten()

    def _of_bytes(self, bytes_NHWC: Tensor, labels_N: Tensor) -> TrainingSet:
        held_NHWC = bytes_NHWC.to(self.device)
        return TrainingSet(
            images_at=lambda index_N: self.real.images_NCHW(held_NHWC[index_N]), targets=labels_N.to(self.device)
        )

    def _fresh(self) -> SideBySide:
        made = [
            networks.make(
                self.network,
                space_shape=self.real.space.shape,
                num_classes=self.real.space.num_classes,
                rng=rng.child("network").generator(),
            )
            for rng in self.rngs
        ]
        return type(made[0]).side_by_side(made).to(self.device)

    def _trained(self, held: TrainingSet, nets: SideBySide | None = None, *, task: int = 0) -> SideBySide:
        """Networks, fresh ones unless they are given, trained on a set."""
        trained = nets or self._fresh()
        train(
            trained,
            [held] * self.config.repeats,
            self.config,
            operations=operations_for(self.real.space),
            rngs=[rng.child("task", task) for rng in self.rngs],
            on_step=lambda: None,
        )
        return trained

    def _tested(self, nets: SideBySide, tasks: int) -> Row:
        """Accuracy on the test images of each of the first tasks, in mean over the networks."""
        labels_N = self.real.test_labels_N
        row: Row = []
        for t in range(tasks):
            own_N = (labels_N >= t * self.size) & (labels_N < (t + 1) * self.size)
            shown = self._of_bytes(self.real.test_bytes_NHWC[own_N], labels_N[own_N])
            row.append(fmean(accuracies(nets, shown.images_at, shown.targets, copies=self.config.repeats)))
        return row


def part(real: RealData, classes: range) -> RealData:
    """The images of some classes as a data set of its own, their labels from 0 on, in the standardisation of all."""

    def split(name: str) -> dict[str, Tensor]:
        labels_N = getattr(real, f"{name}_labels_N")
        own_N = (labels_N >= classes.start) & (labels_N < classes.stop)
        images_NHWC = getattr(real, f"{name}_bytes_NHWC")[own_N]
        return {f"{name}_bytes_NHWC": images_NHWC, f"{name}_labels_N": labels_N[own_N] - classes.start}

    tensors = split("train") | split("val") | split("test")
    names = tuple(real.space.classes[k] for k in classes)
    digest = digest_json({"of": real.digest, "classes": names})
    name = f"{real.name}-{classes.start}-{classes.stop - 1}"
    return replace(real, name=name, digest=digest, space=replace(real.space, classes=names), **tensors)


def forgetting(rows: Sequence[Row]) -> float | None:
    """Mean over all tasks but the last of the best accuracy before the last task, less that after it.

    Chaudhry et al., "Riemannian Walk for Incremental Learning", ECCV 2018, section 3.2. None where there is one row.
    """
    if len(rows) < 2:
        return None
    return fmean(max(row[t] for row in rows[t:-1]) - rows[-1][t] for t in range(len(rows) - 1))


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row for each method; per cent, mean ± std over the seeds."""
    out = [
        "| method | average accuracy | forgetting | after each task | bytes kept | images | seeds | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for method in METHODS:
        group = [line for line in lines if line["method"] == method]
        if not group:
            continue
        course = [fmean(fmean(line["accuracies"][t]) for line in group) for t in range(len(group[0]["accuracies"]))]
        lost = [line["forgetting"] for line in group if line["forgetting"] is not None]
        out.append(
            f"| {method} | **{_score([line['average'] for line in group])}** | {_score(lost) if lost else '–'} | "
            f"{' '.join(f'{100 * value:.1f}' for value in course)} | {group[0]['bytes']:,} | {group[0]['images']:,} | "
            f"{len(group)} | {fmean(line['seconds'] for line in group):.0f} |"
        )
    return "\n".join(out)


def _score(values: Sequence[float]) -> str:
    return f"{100 * fmean(values):.1f} ± {100 * (stdev(values) if len(values) > 1 else 0):.1f}"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
