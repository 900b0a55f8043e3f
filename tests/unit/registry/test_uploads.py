"""Uploads and validations as rows, on SQLite here and on PostgreSQL in integration."""

import pytest
from sqlalchemy import update

from registry import datasets, errors, uploads, validations
from registry.models import DatasetState, State, Upload, UploadPart, Validation
from registry.session import Database


def begin(database: Database, *, length: int = 10, most: int | None = None) -> str:
    with database.write() as session:
        return uploads.create(session, length=length, told="", hours=1, most=most).id


def append(database: Database, upload_id: str, *, offset: int, num_bytes: int, number: int = 0) -> int:
    part = UploadPart(upload_id=upload_id, number=number, key=uploads.new_key(upload_id, number), num_bytes=num_bytes)
    with database.write() as session:
        return uploads.append(session, upload_id, offset=offset, part=part, hours=1).offset


def expire(database: Database, upload_id: str) -> None:
    with database.write() as session:
        session.execute(update(Upload).where(Upload.id == upload_id).values(expires=1.0))


def waiting(database: Database, name: str = "mine") -> tuple[str, str]:
    """(the upload, the validation) of a dataset that waits for a worker."""
    upload_id = begin(database)
    append(database, upload_id, offset=0, num_bytes=10)
    with database.write() as session:
        options = {"upload_id": upload_id, "licence": None, "request_id": "r"}
        return upload_id, datasets.await_validation(session, name=name, kind="zip", **options)[1]


def test_a_piece_moves_the_offset_only_from_where_it_stands(database: Database) -> None:
    upload_id = begin(database)
    assert append(database, upload_id, offset=0, num_bytes=3) == 3
    with pytest.raises(errors.OffsetMoved):
        append(database, upload_id, offset=0, num_bytes=4)
    assert append(database, upload_id, offset=3, num_bytes=7) == 7  # the first piece, grown by four
    assert append(database, upload_id, offset=7, num_bytes=3, number=1) == 10
    with database.read() as session:
        assert [part.num_bytes for part in uploads.parts(session, upload_id)] == [7, 3]


def test_what_has_expired_is_gone_unless_it_is_waited_for(database: Database) -> None:
    over, (used, _) = begin(database), waiting(database)
    for upload_id in (over, used):
        expire(database, upload_id)
    with database.read() as session:
        assert list(uploads.expired(session)) == [over]
        assert uploads.get(session, used).offset == 10
        with pytest.raises(errors.NotFound):
            uploads.get(session, over)
        with pytest.raises(errors.InUse):
            uploads.check_free(session, used)
    with pytest.raises(errors.NotFound):
        append(database, over, offset=0, num_bytes=1)
    with database.write() as session:
        uploads.forget(session, over)


def test_only_those_that_are_open_count(database: Database) -> None:
    waiting(database)
    expire(database, begin(database))
    first = begin(database, most=1)
    with pytest.raises(errors.TooManyUploads):
        begin(database, most=1)
    with database.write() as session:
        uploads.forget(session, first)
    begin(database, most=1)


def test_a_dataset_is_made_ready_by_whoever_holds_it(database: Database) -> None:
    upload_id, validation_id = waiting(database)
    accepted = validations.Accepted(digest="a" * 64, blob_digest="b" * 64, num_bytes=5, facts={"classes": ["x"]})
    with database.write() as session:
        claim = validations.claim_next(session, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        assert (claim.upload_id, claim.dataset, claim.num_bytes) == (upload_id, "mine", 10)
        assert validations.claim_next(session, worker="v", device="cpu", lease_seconds=60) is None
        assert validations.accept(session, validation_id, attempt=1, accepted=accepted, report={"format": "zip"})
        assert not validations.refuse(session, validation_id, attempt=1, report={})
        uploads.forget(session, upload_id)
    with database.read() as session:
        made = datasets.get(session, "MINE")
        assert (made.state, made.facts, made.num_bytes) == (DatasetState.READY, {"licence": None, "classes": ["x"]}, 5)
        assert validations.get(session, validation_id).state is State.SUCCEEDED


def test_a_dataset_takes_its_validation_along(database: Database) -> None:
    _, validation_id = waiting(database)
    with database.write() as session:
        datasets.delete(session, "mine")
    with database.read() as session:
        assert session.get(Validation, validation_id) is None


def test_a_name_is_free_again_once_it_is_refused(database: Database) -> None:
    _, first = waiting(database)
    with pytest.raises(errors.NameTaken):
        waiting(database, "Mine")
    with database.write() as session:
        validations.claim_next(session, worker="w", device="cpu", lease_seconds=60)
        validations.refuse(session, first, attempt=1, report={"problems": []})
    waiting(database, "Mine")
