"""What the suite sends: tiny data sets of random images, and recipes that take a step or two."""

import io
import json
import random
import struct
import tarfile
import zipfile
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

#: Names of the two classes: one that needs care in file names, and a plain one.
CLASSES = ["tabby cat", "dog"]
SIDE = 8
TRAIN, TEST = 40, 12
#: Images of a class in each split of a folder.
EACH = 6

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


def png(seed: int) -> bytes:
    """A grey picture of random pixels."""
    rows = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(raw)),
        (b"IEND", b""),
    ]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def folder(*splits: str) -> dict[str, bytes]:
    """Files in ImageFolder's layout."""
    names = [f"{split}/{name}/{i}.png" for split in splits for name in CLASSES for i in range(EACH)]
    return {name: png(place) for place, name in enumerate(names)}


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def table() -> bytes:
    """Parquet in the Hugging Face convention, with the names of its classes."""
    rows = [{"bytes": png(i), "path": f"{i}.png"} for i in range(4 * EACH)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": CLASSES}}
    columns = {"image": pa.array(rows, kind), "label": pa.array([i % 2 for i in range(len(rows))])}
    out = io.BytesIO()
    pq.write_table(
        pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), out
    )
    return out.getvalue()
