"""Archives whose bytes depend on their members alone: no clock, no platform, no compression library.

Members of a zip are stored, not deflated: images are compressed already, and zlib's output differs between its builds.
"""

import io
import tarfile
import zipfile
from collections.abc import Iterable

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold
_UNIX = 3  # zipfile writes the platform it runs on unless told
_READABLE = 0o100644 << 16
#: Two empty blocks end a tar archive.
TAR_END = bytes(2 * tarfile.BLOCKSIZE)


def stored_zip(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Pack (name, content) pairs in the order given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, mode="w", compression=zipfile.ZIP_STORED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.create_system = _UNIX
            info.external_attr = _READABLE
            archive.writestr(info, content)
    return buffer.getvalue()


def tar_member(name: str, content: bytes) -> bytes:
    """A member of a tar archive as it stands in it. One behind the other, then TAR_END, they are an archive."""
    info = tarfile.TarInfo(name)  # owned by nobody, of the epoch's first second
    info.size = len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def tar_comment(text: str) -> bytes:
    """A remark that stands in a tar archive before its members (POSIX's global header), and is no member itself."""
    return tarfile.TarInfo.create_pax_global_header({"comment": text})
