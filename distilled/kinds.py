"""Which kind of file an uploaded data set is, told by its first bytes; nothing is unpacked to find out."""

import struct
from enum import StrEnum
from pathlib import PurePosixPath

#: So many of a file's first bytes are enough to tell.
HEAD_BYTES = 1024


class Kind(StrEnum):
    """What a data set may be sent as."""

    NPZ = "npz"  #: arrays in MedMNIST's keys
    ZIP = "zip"  #: images in ImageFolder layout
    TAR = "tar"  #: the same, packed by gzip or not
    PARQUET = "parquet"  #: in the Hugging Face image-classification convention


WANTED = (
    "is no data set that we know: send an .npz in MedMNIST's keys, a .zip, .tar or .tar.gz in ImageFolder layout "
    "(train/<class>/*, test/<class>/*), or a .parquet with the columns image and label"
)


def kind_of(head: bytes, *, filename: str = "") -> Kind | None:
    """The kind of a file that begins with these bytes; its name decides where they do not. None: none that we know.

    An .npz is a zip too: it is one whose first member is an array, or whose name says so.
    """
    suffix = PurePosixPath(filename.lower()).suffix
    if head.startswith(b"PAR1"):
        return Kind.PARQUET
    if head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar":
        return Kind.TAR
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Kind.NPZ if suffix == ".npz" or _first_member(head).endswith(b".npy") else Kind.ZIP
    # Damaged or of an old make: whoever reads it as what it claims to be can say what is wrong.
    return {".npz": Kind.NPZ, ".zip": Kind.ZIP, ".tar": Kind.TAR, ".parquet": Kind.PARQUET}.get(suffix)


def _first_member(head: bytes) -> bytes:
    """The name in a zip's first local header (APPNOTE 4.3.7)."""
    if len(head) < 30:
        return b""
    (length,) = struct.unpack_from("<H", head, 26)
    return head[30 : 30 + length]
