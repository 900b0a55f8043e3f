"""An npz of any size, written row by row."""
# Shapes: N images, P values of an image, H height, W width.

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def write_npz(
    out: Path,
    rows_NP: "np.ndarray[Any, Any]",
    splits: Mapping[str, tuple[Sequence[int], "np.ndarray[Any, Any]"]],
    classes: Sequence[str],
    *,
    side: Sequence[int],
) -> None:
    """Write images and labels in MedMNIST's keys. splits: {name: (rows in their order, labels [N])}.

    rows_NP: the uint8 pixels of every image. side: [H, W] or [H, W, 3]. The members are packed by nothing and dated
    1980, so that the same images are the same bytes.
    """
    with zipfile.ZipFile(out, "w") as archive:
        for split, (order, labels_N) in splits.items():
            with archive.open(zipfile.ZipInfo(f"{split}_images.npy"), "w", force_zip64=True) as member:
                head = {"descr": "|u1", "fortran_order": False, "shape": (len(order), *side)}
                np.lib.format.write_array_header_1_0(member, head)
                for n in order:
                    member.write(rows_NP[n].tobytes())
            _write_array(archive, f"{split}_labels", labels_N)
        _write_array(archive, "classes", np.array(list(classes)))


def _write_array(archive: zipfile.ZipFile, key: str, array: "np.ndarray[Any, Any]") -> None:
    with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)
