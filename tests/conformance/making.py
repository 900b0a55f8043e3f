"""What the suite sends: tiny data sets of random images, and recipes that take a step or two."""

import io
import random
from typing import Any

import numpy as np

#: Names of the two classes: one that needs care in file names, and a plain one.
CLASSES = ["tabby cat", "dog"]
SIDE = 8
TRAIN, TEST = 40, 12

#: A network and a training that take no time.
MEASURED: dict[str, Any] = {"networks": ["mlp-w16"], "steps": 1, "epochs": 1, "repeats": 2, "augment": "none"}
UNMEASURED: dict[str, Any] = {"networks": []}
QUICK: dict[str, Any] = {"method": "kip", "steps": 2, "seed": 1, "objective": {"real_batch": 8}}
#: Finished images with hard labels, evaluated: what most tests look at.
IMAGES: dict[str, Any] = {**QUICK, "ipc": 3, "evaluation": MEASURED}
#: Finished images with learnt soft labels.
SOFT: dict[str, Any] = {
    **QUICK,
    "ipc": 2,
    "parametrization": {"kind": "images", "labels": "soft"},
    "evaluation": UNMEASURED,
}
#: A generator, which serves any number of images and mixtures of classes.
GENERATOR: dict[str, Any] = {
    "method": "dm",
    "steps": 1,
    "seed": 1,
    "bytes": 40_000,
    "parametrization": {"kind": "generator", "width": 4, "latent": 4},
    "objective": {"network": "mlp-w16", "real_batch": 8},
    "evaluation": UNMEASURED,
}
#: A job that ends when it is cancelled, and leaves nothing. It waits behind all others, so mostly no worker has it yet.
ENDLESS: dict[str, Any] = {**QUICK, "ipc": 1, "steps": 1_000_000, "evaluation": UNMEASURED, "priority": -50}


def npz(seed: str, **changed: Any) -> bytes:
    """A data set in MedMNIST's convention: two classes that a mean tells apart. changed: arrays instead, or None."""
    rng = np.random.default_rng(random.Random(seed).getrandbits(64))
    arrays: dict[str, Any] = {"classes": np.array(CLASSES)}
    for split, number in (("train", TRAIN), ("test", TEST)):
        labels = np.arange(number) % len(CLASSES)
        images = rng.integers(0, 120, (number, SIDE, SIDE, 1)) + 120 * labels[:, None, None, None]
        arrays |= {f"{split}_images": images.astype(np.uint8), f"{split}_labels": labels[:, None]}
    file = io.BytesIO()
    np.savez(file, **{name: array for name, array in (arrays | changed).items() if array is not None})
    return file.getvalue()
