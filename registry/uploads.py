"""Files that arrive in pieces. The pieces are named objects in the store, and which they are stands here, so that any
replica of the front end can take the next one.

An object is written under a key of its own before its row, and the row moves the offset only from where the writer
found it: of two that write at once, one moves it, and the other's object belongs to nobody.
"""

import secrets
from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, exists, func, select, update
from sqlalchemy.orm import Session

from registry import errors
from registry.clock import database_now
from registry.ids import new_id
from registry.models import LIVING, Upload, UploadPart, Validation
from registry.session import lock_word
from registry.store import Store


def create(
    session: Session, *, length: int, told: str, hours: float, most: int | None = None, key_id: str | None = None
) -> Upload:
    """Begin an upload of `length` bytes. `told` is what the client says about it; `key_id` is who sends it.

    Raises TooManyUploads where `most` are open.
    """
    lock_word(session, "uploads")
    open_now = select(func.count()).select_from(Upload).where(Upload.expires > database_now(), ~_in_use())
    if most is not None and (session.scalar(open_now) or 0) >= most:
        raise errors.TooManyUploads
    expires = database_now() + hours * 3600
    upload = Upload(id=new_id("upload"), length=length, told=told, expires=expires, key_id=key_id)
    session.add(upload)
    session.flush()
    return get(session, upload.id)


def get(session: Session, upload_id: str) -> Upload:
    """The upload with this id. Raises NotFound, also where it has expired."""
    alive = select(Upload).where(Upload.id == upload_id, (Upload.expires > database_now()) | _in_use())
    upload = session.scalar(alive.execution_options(populate_existing=True))
    if upload is None:
        raise errors.NotFound(f"There is no upload {upload_id!r}, or it has expired; begin a new one.")
    return upload


def new_key(upload_id: str, number: int) -> str:
    """A key of the store for a piece, which no other writer of this piece has."""
    return f"{folder(upload_id)}/{number:06d}-{secrets.token_hex(8)}"


def folder(upload_id: str) -> str:
    """Where the store keeps the pieces of an upload."""
    return f"uploads/{upload_id}"


def append(session: Session, upload_id: str, *, offset: int, part: UploadPart, hours: float) -> Upload:
    """Record a piece that begins at or before `offset`, where the upload stands now; it replaces one of its number.

    Raises NotFound, or OffsetMoved where the upload stands elsewhere by now.
    """
    old = session.get(UploadPart, (upload_id, part.number), populate_existing=True)
    grown = part.num_bytes - (old.num_bytes if old else 0)
    here = (Upload.id == upload_id) & (Upload.offset == offset) & (Upload.expires > database_now())
    moved = update(Upload).where(here).values(offset=offset + grown, expires=database_now() + hours * 3600)
    found = session.scalar(moved.returning(Upload.id), execution_options={"synchronize_session": False})
    upload = get(session, upload_id)
    if found is None:
        raise errors.OffsetMoved
    if old is None:
        session.add(part)
    else:
        old.key, old.num_bytes = part.key, part.num_bytes
    session.flush()
    return upload


def parts(session: Session, upload_id: str) -> Sequence[UploadPart]:
    """The pieces in order."""
    return session.scalars(
        select(UploadPart).where(UploadPart.upload_id == upload_id).order_by(UploadPart.number)
    ).all()


def last_part(session: Session, upload_id: str) -> UploadPart | None:
    """The last piece, which may still grow."""
    mine = select(UploadPart).where(UploadPart.upload_id == upload_id)
    return session.scalar(mine.order_by(UploadPart.number.desc()).limit(1))


def check_free(session: Session, upload_id: str) -> None:
    """Raises InUse while a worker is to look at this upload."""
    if session.scalar(select(Upload.id).where(Upload.id == upload_id, _in_use())) is not None:
        raise errors.InUse(f"Upload {upload_id} is being validated; delete its dataset first, or wait.")


def expired(session: Session, *, limit: int = 100) -> Sequence[str]:
    """Ids of uploads whose time is over and which nobody is to look at. They do not come back to life."""
    over = select(Upload.id).where(Upload.expires <= database_now(), ~_in_use())
    return session.scalars(over.order_by(Upload.id).limit(limit)).all()


def remove_pieces(store: Store, upload_id: str) -> None:
    """Remove the objects of an upload, also those that no row knows of. `forget` comes after it."""
    for key in store.list_named(folder(upload_id)):
        store.delete_named(key)


def forget(session: Session, upload_id: str) -> None:
    """Strike an upload off; its objects in the store go first, or nobody would know of them."""
    session.execute(delete(Upload).where(Upload.id == upload_id))


def _in_use() -> ColumnElement[bool]:
    return exists().where(Validation.upload_id == Upload.id, Validation.state.in_(LIVING))
