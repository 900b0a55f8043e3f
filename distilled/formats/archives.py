"""Zip archives whose bytes depend on their members alone: no clock, no platform, no compression library.

Members are stored, not deflated: images are compressed already, and zlib's output differs between its builds.
"""

import io
import zipfile
from collections.abc import Iterable

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold
_UNIX = 3  # zipfile writes the platform it runs on unless told
_READABLE = 0o100644 << 16


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
