"""Files in pieces: each is an object in the store, so that any replica takes the next one and none lies in memory.

All pieces but the last have PART_BYTES: what arrives is put after the last one until that is full.
"""

import time
from pathlib import Path

from app.services import Services
from registry import audit, errors, quotas, uploads
from registry.audit import Who
from registry.models import Upload, UploadPart

PREFIX = "upload-"
#: A file that is older belongs to a process that was killed, in seconds.
STALE_SECONDS = 24 * 3600
#: Size of a piece, and about what a request that brings one takes of memory.
PART_BYTES = 4 * 1024**2


class Writer:
    """Puts bytes after those that an upload has, from `offset` on. For one request, in one thread at a time.

    who: whose request it is, to be noted with the last byte; None: nobody's.
    Raises NotFound, and OffsetMoved where the upload stands elsewhere, now or when a piece is recorded.
    """

    def __init__(self, services: Services, upload_id: str, *, offset: int, who: Who | None = None) -> None:
        self._services, self._who = services, who
        with services.database.read() as session:
            self.upload = uploads.get(session, upload_id)
            uploads.check_free(session, upload_id)
            if self.upload.offset != offset:
                raise errors.OffsetMoved(
                    f"Upload {upload_id} stands at {self.upload.offset}, not at {offset}; send from there."
                )
            last = uploads.last_part(session, upload_id)
        self._number = -1 if last is None else last.number
        self._tail = None
        if last is None or last.num_bytes >= PART_BYTES:
            self._number += 1
        else:
            self._tail = last.key
        self._waiting = bytearray() if self._tail is None else bytearray(services.store.get_named(self._tail))
        self._kept = len(self._waiting)

    @property
    def room(self) -> int:
        """Bytes that the upload still lacks, those that wait here counted as there."""
        return self.upload.length - self.upload.offset - (len(self._waiting) - self._kept)

    @property
    def is_due(self) -> bool:
        """Whether a whole piece waits to be written."""
        return len(self._waiting) >= PART_BYTES

    def take(self, content: bytes) -> None:
        """Let bytes wait; at most `room` of them."""
        self._waiting += content

    def write(self, *, all_of_it: bool = False) -> None:
        """Write the whole pieces that wait, and what is left too where asked for. Raises StoreFull."""
        while self.is_due or (all_of_it and len(self._waiting) > self._kept):
            self._write_one(bytes(self._waiting[:PART_BYTES]))

    def _write_one(self, content: bytes) -> None:
        services, upload = self._services, self.upload
        key = uploads.new_key(upload.id, self._number)
        services.store.put_named(key, content)
        part = UploadPart(upload_id=upload.id, number=self._number, key=key, num_bytes=len(content))
        try:
            with services.writing() as session:
                hours = services.settings.upload_hours
                self.upload = uploads.append(session, upload.id, offset=upload.offset, part=part, hours=hours)
                if self._who is not None and self.upload.offset == self.upload.length:
                    audit.note(session, self._who, upload.id)
        except errors.RegistryError:
            services.store.delete_named(key)
            raise
        if self._tail is not None:
            services.store.delete_named(self._tail)
        whole = len(content) == PART_BYTES
        self._tail, self._kept = (None, 0) if whole else (key, len(content))
        if whole:
            self._number += 1
            del self._waiting[:PART_BYTES]


def keep(services: Services, path: Path, *, who: Who) -> str:
    """A file of this process's disk as a whole upload, for a worker to read. Returns its id. Raises StoreFull."""
    with services.writing() as session:
        hours = services.settings.upload_hours
        length = path.stat().st_size
        quotas.check(session, who.key_id, services.settings.quotas, num_bytes=length)
        upload = uploads.create(session, length=length, told="", hours=hours, key_id=who.key_id)
    try:
        writer = Writer(services, upload.id, offset=0)
        with path.open("rb") as file:
            while content := file.read(PART_BYTES):
                writer.take(content)
                writer.write()
        writer.write(all_of_it=True)
    except BaseException:
        drop(services, upload.id)
        raise
    return upload.id


def head(services: Services, upload: Upload, num_bytes: int) -> bytes:
    """The first bytes of an upload, at most those of its first piece."""
    with services.database.read() as session:
        first = uploads.parts(session, upload.id)[:1]
    return services.store.get_named(first[0].key)[:num_bytes] if first else b""


def drop(services: Services, upload_id: str, *, who: Who | None = None) -> None:
    """Remove an upload: its pieces first, and then the row that knows of them. who: asked for it."""
    uploads.remove_pieces(services.store, upload_id)
    with services.writing() as session:
        uploads.forget(session, upload_id)
        if who is not None:
            audit.note(session, who, upload_id)


def sweep(services: Services) -> list[str]:
    """Remove the uploads whose time is over. Returns their ids."""
    with services.database.read() as session:
        over = list(uploads.expired(session))
    for upload_id in over:
        drop(services, upload_id)
    return over


def spool_folder(home: Path) -> Path:
    """Where files of requests wait: on the disk of the home, where there is room for data, rather than in /tmp."""
    folder = home.expanduser().absolute() / "tmp"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def remove_stale(home: Path) -> None:
    """Remove what a process that was killed left in the spool folder."""
    for path in spool_folder(home).glob(f"{PREFIX}*"):
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            path.unlink(missing_ok=True)
