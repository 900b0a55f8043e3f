"""Sets as a WebDataset: a tar archive in which the files of one sample stand together and share a key.

`{key}.png` is the image, `{key}.cls` its class index, `{key}.soft.npy` its soft label where one is held. The key counts
the images of the archive, or of the stream. The names of the classes are JSON in the archive's comment: as a member
they would be taken for a sample.
"""

import json

from distilled.formats.archives import TAR_END, tar_comment, tar_member
from distilled.formats.arrays import npy
from distilled.formats.pictures import pictures
from distilled.formats.sets import SyntheticSet


def webdataset_tar(synthetic: SyntheticSet) -> bytes:
    """The whole set as one archive."""
    return head(synthetic) + body(synthetic, first=0) + tail()


def head(synthetic: SyntheticSet) -> bytes:
    """What a stream of such sets begins with, wherever it begins."""
    return tar_comment(json.dumps({"classes": synthetic.classes}))


def body(synthetic: SyntheticSet, *, first: int) -> bytes:
    """The samples of one batch. first: number of its first image, counted from 0 over all batches."""
    out: list[bytes] = []
    labels = synthetic.labels_N.tolist()
    for row, (picture, label) in enumerate(zip(pictures(synthetic, format="webdataset"), labels, strict=True)):
        key = f"{first + row:012d}"
        out += tar_member(f"{key}.png", picture), tar_member(f"{key}.cls", str(label).encode())
        if synthetic.soft_labels is not None:
            out.append(tar_member(f"{key}.soft.npy", npy(synthetic.soft_labels[row])))
    return b"".join(out)


def tail() -> bytes:
    """What a stream ends with."""
    return TAR_END
