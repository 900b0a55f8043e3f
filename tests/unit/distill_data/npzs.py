"""Small uploads, whole and broken, for the tests beside this file."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np


def arrays(*, classes: int = 3, train: int = 12, test: int = 6, shape: tuple[int, ...] = (8, 8, 3)) -> dict[str, Any]:
    """MedMNIST's keys with seeded noise; labels go round the classes."""
    noise = np.random.default_rng(0)
    return {
        "train_images": noise.integers(0, 256, (train, *shape), dtype=np.uint8),
        "train_labels": np.arange(train) % classes,
        "test_images": noise.integers(0, 256, (test, *shape), dtype=np.uint8),
        "test_labels": np.arange(test) % classes,
    }


def saved(path: Path, **changed: Any) -> Path:
    """An `.npz` of `arrays()` with some of them changed, or left out where None."""
    kept = {key: value for key, value in {**arrays(), **changed}.items() if value is not None}
    np.savez_compressed(path, **kept)
    return path


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), **options)
    return buffer.getvalue()


def zipped(path: Path, members: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def members(**changed: bytes) -> dict[str, bytes]:
    """The members of a good file as bytes, some of them replaced."""
    return {f"{key}.npy": changed.get(key, npy(value)) for key, value in arrays().items()}
