"""Artifacts to look at: of scikit-learn's digits, made in moments rather than distilled."""
# Shapes: N images, C channels, H height, W width, K classes, M bases, R rows.

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.services import Services
from distilled.files import pack
from distilled.images import standardise
from distilled.parametrizations.base import ImageSpace, Parametrization
from distilled.parametrizations.images import Images
from distilled.parametrizations.memory import Memory
from registry import aliases, artifacts, evaluations
from tests.unit.app.conftest import Published, publish
from tests.unit.reading.generators import generator
from workers.distill.data import RealData, load

#: Images of a class that an artifact here holds.
HELD = 6


@cache
def real() -> RealData:
    return load("digits", data_dir=Path("nowhere"), download=False)


def exhibit(services: Services, kind: str, *, alias: str, storage: str = "uint8", seed: int = 0) -> Published:
    """Publish an artifact of this kind under a name. `images` have soft labels."""
    digits = real()
    space = digits.space
    if kind == "images":
        made: Parametrization = Images(
            Images.Config(labels="soft"), space=space, images_NCHW=_means(seed).flatten(0, 1)
        )
    elif kind == "memory":
        made = _memory(space, storage=storage)
    else:
        made = generator(space=space, width=8, latent=16)
    images = None if kind == "generator" else HELD * space.num_classes
    header: dict[str, Any] = {
        "format": 1,
        "kind": kind,
        "config": vars(made.config),
        "space": space.to_json(),
        "classes": list(space.classes),
        "dataset": {"name": "digits", "digest": digits.digest, "licence": "CC BY 4.0"},
        "ipc": HELD,
        "budget": {"bytes": made.num_bytes(), "floats": made.num_floats(), "images": images},
        "recipe": {"dataset": "digits", "ipc": HELD, "objective": {"kind": "distribution", "network": "convnet3"}},
        "seed": seed,
        "steps": 1,
        "images_seen": 1,
        "code_version": "0",
        "device_kind": "cpu",
    }
    header["recipe"]["evaluation"] = {"networks": ["convnet3"], "repeats": 3}
    published = publish(services, file=(pack(made, header), header))
    with services.database.write() as session:
        aliases.put(session, alias, artifact=published.id)
    return published


def measure(services: Services, published: Published, network: str, accuracy: float) -> None:
    """Give it a result on a network, beside baselines."""
    with services.database.write() as session:
        row = evaluations.queue(
            session,
            artifacts.get(session, published.id),
            networks=[network],
            config={"repeats": 3, "steps": 100},
            seed=0,
            request_id="r",
        )[0]
        claim = evaluations.claim(session, row.id, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        mine = {"hard": _score(accuracy), "soft": _score(accuracy + 0.01), "bytes": 3840, "images": 60}
        beside = {"random": _score(0.75), "centroid": _score(0.84), "full": _score(0.97)}
        sizes = {"random": 60, "centroid": 60, "full": 1299}
        result = {name: {**score, "images": sizes[name], "bytes": 64 * sizes[name]} for name, score in beside.items()}
        evaluations.finish(session, row.id, attempt=claim.attempt, result={"distilled": mine, **result})


def _score(mean: float) -> dict[str, Any]:
    return {"mean": mean, "std": 0.01, "values": [mean - 0.01, mean, mean + 0.01]}


def _means(seed: int) -> Tensor:
    """images_KRCHW: means of a few real images of each class, drawn by the seed."""
    digits, rng = real(), torch.Generator().manual_seed(seed)
    made: list[Tensor] = []
    for k in range(digits.space.num_classes):
        pixels_NCHW = digits.train_bytes_NHWC[digits.train_labels_N == k].permute(0, 3, 1, 2).float() / 255
        chosen_NR = torch.randint(len(pixels_NCHW), (HELD, 3), generator=rng)
        made.append(standardise(pixels_NCHW[chosen_NR].mean(1), mean=digits.space.mean, std=digits.space.std))
    return torch.stack(made)


def _memory(space: ImageSpace, *, storage: str) -> Memory:
    """Leading components of small real images, and some images' addresses on them."""
    small_NChw = torch.nn.functional.avg_pool2d(_means(1).flatten(0, 1), 2)
    bases_MD = torch.linalg.svd(small_NChw.flatten(1), full_matrices=False)[2][:12]
    addresses_NM = small_NChw.flatten(1) @ bases_MD.T
    config = Memory.Config(bases=len(bases_MD), downsample=2, storage=storage)
    return Memory(
        config,
        space=space,
        bases_MChw=bases_MD.view(-1, *small_NChw.shape[1:]),
        addresses_KRM=addresses_NM.view(space.num_classes, HELD, -1),
    )
