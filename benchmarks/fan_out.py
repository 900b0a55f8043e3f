"""How much sooner one evaluation ends when a second worker helps.

    python -m benchmarks.fan_out --workers 1 2

Each worker is `python -m workers` on a CPU with one thread; registry, queue and store are files in a temporary home.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from distilled import npz
from distilled.files import pack
from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.images import Images
from registry import datasets, evaluations, jobs, schema, workers
from registry.models import Artifact, State
from registry.queue import Queue
from registry.session import Database
from registry.store import Store
from workers.intake.writing import write_npz
from workers.settings import WorkerSettings

CLASSES = tuple("0123456789")
SIDE, IPC = 28, 50


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--network", default="convnet3-w16")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20)
    asked = parser.parse_args()
    seconds: dict[int, float] = {}
    values: list[Any] = []
    for count in asked.workers:
        with TemporaryDirectory() as home:
            seconds[count], result = measure(Path(home), asked, count=count)
        values.append([result[name]["values"] for name in ("random", "centroid", "full")])
        print(f"{count} workers: {seconds[count]:.1f} s", flush=True)
    assert all(found == values[0] for found in values)
    print(f"ratio: {seconds[asked.workers[0]] / seconds[asked.workers[-1]]:.2f}; the accuracies are the same")


def measure(home: Path, asked: argparse.Namespace, *, count: int) -> tuple[float, dict[str, Any]]:
    """Seconds from the claim of an evaluation to its end, and its result."""
    settings = WorkerSettings(home=home)
    schema.upgrade(settings.database_url)
    database, store = Database(settings.database_url), Store.open(settings.store_url)
    env = os.environ | {
        "DISTILLED_HOME": str(home),
        "DISTILLED_DEVICE": "cpu",
        "DISTILLED_TORCH_THREADS": "1",
        "DISTILLED_SHARE_SECONDS": "0",
        "DISTILLED_LOG_LEVEL": "WARNING",
    }
    running = [subprocess.Popen([sys.executable, "-m", "workers"], env=env) for _ in range(count)]
    try:
        while True:  # their children have started, so that no start is measured
            with database.read() as session:
                if [one.device for one in workers.list_workers(session)].count("cpu") == count:
                    break
            time.sleep(0.2)
        time.sleep(2.0)
        evaluation_id = queued(database, store, home, asked)
        queue = Queue.open(settings)
        queue.wake_evaluation(evaluation_id)
        while True:
            with database.read() as session:
                row = evaluations.get(session, evaluation_id)
            if row.state in (State.SUCCEEDED, State.FAILED):
                break
            time.sleep(0.2)
        assert row.result, row.error
        assert row.started_at
        assert row.ended_at
        return (row.ended_at - row.started_at).total_seconds(), row.result
    finally:
        for one in running:
            one.terminate()
        for one in running:
            one.wait()


def queued(database: Database, store: Store, home: Path, asked: argparse.Namespace) -> str:
    """An evaluation of noise on noise: what is measured here is time."""
    rng = np.random.default_rng(0)
    rows_NP = rng.integers(0, 256, (1200, SIDE * SIDE), dtype=np.uint8)
    path = home / "noise.npz"
    splits = {"train": (range(1000), np.arange(1000) % 10), "test": (range(1000, 1200), np.arange(200) % 10)}
    write_npz(path, rows_NP, splits, CLASSES, side=(SIDE, SIDE))
    facts = npz.inspect(path)
    space = ImageSpace(shape=facts.shape, mean=facts.mean, std=facts.std, classes=CLASSES)
    images_NCHW = torch.randn(10 * IPC, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    made = Images(Images.Config(storage="float32", labels="hard"), space=space, images_NCHW=images_NCHW)
    header: dict[str, Any] = {
        "format": 1,
        "kind": "images",
        "config": {"storage": "float32", "labels": "hard"},
        "space": space.to_json(),
        "classes": list(CLASSES),
        "dataset": {"name": "noise", "digest": facts.digest, "licence": ""},
        "ipc": IPC,
        "budget": {},
        "recipe": {},
        "seed": 0,
        "steps": 0,
        "images_seen": 0,
        "code_version": "benchmark",
        "device_kind": "cpu",
    }
    content = pack(made, header)
    publication = jobs.Publication(
        digest=store.put(content), content_bytes=len(content), payload_bytes=len(content), kind="images", header=header
    )
    config = {"steps": asked.steps, "epochs": 1, "repeats": asked.repeats}
    recipe = {"dataset": "noise", "seed": 0, "evaluation": {"networks": [asked.network], **config}}
    with database.write() as session:
        blob_digest, num_bytes = store.put_file(path), path.stat().st_size
        datasets.register(
            session,
            name="noise",
            digest=facts.digest,
            blob_digest=blob_digest,
            num_bytes=num_bytes,
            facts={**facts.to_json(), "licence": None},
        )
        job = jobs.submit(session, recipe=recipe, digest="0" * 64, request_id="benchmark")
        claim = jobs.claim(session, job.id, worker="benchmark", device="cpu", lease_seconds=60)
        assert claim is not None
        artifact: Artifact | None = jobs.finish(session, job.id, attempt=claim.attempt, publication=publication)
        assert artifact is not None
        return evaluations.of_artifact(session, artifact.id)[0].id


if __name__ == "__main__":
    main()
