"""Artifacts for pages to show: real digits stand for distilled ones, with numbers of the size that such sets reach."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

import torch
from sklearn.datasets import load_digits

from app.services import Services
from distilled.files import pack
from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.images import Images
from registry import aliases, blobs
from registry.ids import new_id
from registry.models import Artifact, ArtifactClass, Evaluation, State

DIGITS = tuple("0123456789")
#: As the quickstart measures them at one image per class (README.md): what the bars are drawn between.
BASELINES = {"random": 0.705, "centroid": 0.9, "full": 0.971}
NETWORK = "convnet2-w32"


@cache
def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    read: Any = load_digits()
    return torch.tensor(read.images, dtype=torch.float32) / 16, torch.tensor(read.target)


def images_file(
    *, ipc: int = 1, classes: Sequence[str] = DIGITS, tint: float = 0.0, start: int = 0, seed: int = 0
) -> tuple[bytes, Any]:
    """A file of real digits, `ipc` of each class, 3 x 8 x 8 where they are tinted and 1 x 8 x 8 where not."""
    made, header = _images(ipc, tuple(classes), tint, start)
    header = header | {"seed": seed}
    return pack(made, header), header


@cache
def _images(ipc: int, classes: tuple[str, ...], tint: float, start: int) -> tuple[Images, dict[str, Any]]:
    images, labels = _digits()
    channels = 3 if tint else 1
    picked = torch.cat([images[labels == i % 10][start : start + ipc] for i in range(len(classes))])[:, None]
    if tint:
        picked = torch.cat([picked, picked * tint, picked * (1 - tint)], dim=1)
    space = ImageSpace(shape=(channels, 8, 8), mean=(0.0,) * channels, std=(1.0,) * channels, classes=classes)
    made = Images(Images.Config(), space=space, images_NCHW=picked)
    budget = {"bytes": made.num_bytes(), "floats": made.num_floats(), "images": len(picked)}
    header = {
        "format": 1,
        "kind": "images",
        "config": {"storage": "uint8", "labels": "hard"},
        "space": space.to_json(),
        "classes": list(classes),
        "dataset": {"name": "digits", "digest": "d" * 64, "licence": "CC BY 4.0"},
        "ipc": ipc,
        "budget": budget,
        "recipe": {"dataset": "digits", "method": "frepo", "ipc": ipc, "objective": {"kind": "kernel"}},
        "seed": 0,
        "steps": 500,
        "images_seen": 32_000,
        "code_version": "0",
        "device_kind": "cpu",
    }
    return made, header


def put(
    services: Services,
    file: tuple[bytes, Any] | None = None,
    *,
    accuracy: float | None = None,
    std: float = 0.006,
    baselines: dict[str, float] = BASELINES,
    names: Sequence[str] = (),
    days: float = 0.0,
    **facts: Any,
) -> str:
    """An artifact as a job leaves it, `days` old, with its aliases `names`; its id. facts: columns of its row."""
    content, header = file or images_file()
    services.store.put(content)
    with services.writing() as session:
        blobs.record(session, sha256(content).hexdigest(), num_bytes=len(content))
        artifact = row(content, header, days=days, **facts)
        session.add(artifact)
        session.flush()
        session.add_all(
            ArtifactClass(artifact_id=artifact.id, index=i, name=name) for i, name in enumerate(header["classes"])
        )
        if accuracy is not None:
            session.add(measured(artifact, accuracy=accuracy, std=std, baselines=baselines))
        for name in names:
            aliases.put(session, name, artifact=artifact.id)
        return artifact.id


def row(content: bytes, header: Any, *, days: float = 0.0, **facts: Any) -> Artifact:
    """The artifact's own row."""
    told: dict[str, Any] = {
        "digest": sha256(content).hexdigest(),
        "kind": header["kind"],
        "dataset": header["dataset"]["name"],
        "dataset_digest": header["dataset"]["digest"],
        "method": header["recipe"]["method"],
        "ipc": header["ipc"],
        "num_classes": len(header["classes"]),
        "train_images": 1437,
        "content_bytes": len(content),
        "payload_bytes": header["budget"]["bytes"],
        "header": header,
        "seed": header["seed"],
        "device": "cpu",
        "created_at": datetime.now(UTC) - timedelta(days=days),
    }
    return Artifact(id=new_id("artifact"), **(told | facts))


def measured(artifact: Artifact, *, accuracy: float, std: float, baselines: dict[str, float]) -> Evaluation:
    """The evaluation that stands for an artifact, which says so itself, too."""
    scores = {name: {"mean": mean, "std": std, "values": [mean]} for name, mean in baselines.items()}
    distilled = {"hard": {"mean": accuracy, "std": std, "values": [accuracy]}}
    artifact.network = artifact.primary_network = NETWORK
    artifact.accuracy, artifact.accuracy_std = accuracy, std
    return Evaluation(
        id=new_id("evaluation"),
        artifact_id=artifact.id,
        network=NETWORK,
        config={"repeats": 5},
        config_digest="c" * 64,
        state=State.SUCCEEDED,
        progress=1.0,
        result={"network": NETWORK, "distilled": distilled, **scores},
        accuracy=accuracy,
        accuracy_std=std,
    )


def thousand(services: Services, *, number: int = 1000) -> None:
    """So many artifacts at once: the same images under as many seeds, half of them measured."""
    for i in range(10):  # a transaction of so many rows each
        with services.writing() as session:
            for seed in range(i, number, 10):
                content, header = images_file(ipc=10, seed=seed)
                services.store.put(content)
                facts = {"dataset": f"set{seed % 7}", "ipc": (1, 10, 50)[seed % 3], "days": seed / 10}
                artifact = row(content, header, **facts)
                session.add(artifact)
                if seed % 2:
                    session.add(measured(artifact, accuracy=0.5 + seed / 2500, std=0.01, baselines=BASELINES))
