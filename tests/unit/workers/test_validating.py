"""From a wake-up to a dataset that is ready or refused, and what is left where it went wrong."""

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from registry import datasets, uploads, validations
from registry.models import Dataset, DatasetState, State, Upload, UploadPart
from registry.testing import FullDiskStore
from tests.unit.intake.sets import folder, zipped
from tests.unit.workers.conftest import Workplace
from workers import child, sources
from workers.distill.errors import DatasetUnavailable
from workers.intake import apart
from workers.spool import PREFIX, spool_folder

NAME = "mine"


def send(workplace: Workplace, content: bytes, *, kind: str = "zip", piece: int = 5000) -> str:
    """A dataset that waits for a worker. Returns the id of its validation."""
    with workplace.database.write() as session:
        upload = uploads.create(session, length=len(content), told="", hours=1)
    for number, at in enumerate(range(0, len(content), piece)):
        key, part = uploads.new_key(upload.id, number), content[at : at + piece]
        workplace.store.put_named(key, part)
        row = UploadPart(upload_id=upload.id, number=number, key=key, num_bytes=len(part))
        with workplace.database.write() as session:
            uploads.append(session, upload.id, offset=at, part=row, hours=1)
    with workplace.database.write() as session:
        options = {"upload_id": upload.id, "licence": "CC0", "request_id": "req-1"}
        return datasets.await_validation(session, name=NAME, kind=kind, **options)[1]


def found(workplace: Workplace) -> Dataset:
    with workplace.database.read() as session:
        return datasets.get(session, NAME)


def upload_of(workplace: Workplace, validation_id: str) -> Upload | None:
    with workplace.database.read() as session:
        return session.get(Upload, validations.get(session, validation_id).upload_id)


def kept_pieces(workplace: Workplace) -> list[str]:
    return workplace.store.list_named("uploads")


def test_an_upload_becomes_a_dataset_that_jobs_read(workplace: Workplace) -> None:
    validation_id = send(workplace, zipped(folder()))
    child.validate(workplace.bench, validation_id=validation_id)
    made = found(workplace)
    assert (made.state, made.facts["classes"], made.facts["licence"]) == ("ready", ["cat", "dog"], "CC0")
    assert made.report is not None
    assert (made.report["format"], made.report["images"]) == ("zip", {"train": 10, "test": 10})
    assert kept_pieces(workplace) == []
    settings = workplace.bench.settings
    real = sources.resolve(NAME, bench=workplace.bench)
    assert (real.digest, real.licence, len(real.train_labels_N)) == (made.digest, "CC0", 10)
    assert list(spool_folder(settings.home).iterdir()) == []
    with workplace.database.read() as session:
        validation = validations.get(session, validation_id)
        assert (validation.state, validation.upload_id, validation.progress) == (State.SUCCEEDED, None, 1.0)


def test_arrays_take_the_same_road(workplace: Workplace) -> None:
    buffer = io.BytesIO()
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4), dtype=np.uint8)
    labels = np.arange(8) % 2
    np.savez_compressed(buffer, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    child.validate(workplace.bench, validation_id=send(workplace, buffer.getvalue(), kind="npz"))
    made = found(workplace)
    assert made.state == "ready"
    assert made.report is not None
    assert made.report["duplicates"]["across"] == 8
    assert made.num_bytes == len(buffer.getvalue())


@pytest.mark.parametrize("kind", ["zip", "tar", "parquet", "npz"])
def test_what_cannot_be_read_is_refused_with_its_problems(workplace: Workplace, kind: str) -> None:
    child.validate(workplace.bench, validation_id=send(workplace, b"not what it says" * 40, kind=kind))
    refused = found(workplace)
    assert (refused.state, refused.digest, refused.blob_digest) == ("refused", None, None)
    assert refused.report is not None
    assert refused.report["problems"][0]["detail"]
    assert refused.report["error"] is None
    assert kept_pieces(workplace) == []
    with pytest.raises(DatasetUnavailable):
        sources.resolve(NAME, bench=workplace.bench)


def test_a_refused_dataset_gives_up_its_name(workplace: Workplace) -> None:
    child.validate(workplace.bench, validation_id=send(workplace, b"rubbish"))
    child.validate(workplace.bench, validation_id=send(workplace, zipped(folder())))
    assert found(workplace).state == "ready"


def test_a_fault_of_ours_keeps_what_was_sent(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: Any, **__: Any) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(apart, "look", break_down)
    validation_id = send(workplace, zipped(folder()))
    child.validate(workplace.bench, validation_id=validation_id)
    refused = found(workplace)
    assert refused.state == "refused"
    assert refused.report is not None
    assert refused.report["error"]["code"] == "internal"
    assert "/secret" not in str(refused.report)
    upload = upload_of(workplace, validation_id)
    assert upload is not None
    assert upload.id in refused.report["error"]["detail"]
    monkeypatch.undo()
    with workplace.database.write() as session:
        again = datasets.await_validation(
            session, name=NAME, kind="zip", upload_id=upload.id, licence=None, request_id="r"
        )
    child.validate(workplace.bench, validation_id=again[1])
    assert found(workplace).state == "ready"


def test_a_full_store_is_said_and_nothing_is_lost(make_workplace: Callable[..., Workplace]) -> None:
    store = FullDiskStore(writes_left=100)
    workplace = make_workplace(store=store)
    validation_id = send(workplace, zipped(folder()))
    store.writes_left = 0
    child.validate(workplace.bench, validation_id=validation_id)
    report = found(workplace).report
    assert report is not None
    assert report["error"]["code"] == "store_full"
    assert kept_pieces(workplace)


def test_a_piece_that_is_gone_is_told(workplace: Workplace) -> None:
    validation_id = send(workplace, zipped(folder()))
    workplace.store.delete_named(kept_pieces(workplace)[0])
    child.validate(workplace.bench, validation_id=validation_id)
    report = found(workplace).report
    assert report is not None
    assert report["error"]["code"] == "blob_missing"


def test_a_worker_that_dies_is_followed_by_another_and_not_for_ever(workplace: Workplace) -> None:
    validation_id = send(workplace, zipped(folder()))
    for lost in range(1, 4):
        with workplace.database.write() as session:
            claim = validations.claim_next(session, worker="w", device="cpu", lease_seconds=60)
            assert claim is not None
            assert claim.attempt == lost
            validations.get(session, validation_id).lease_until = 1.0  # the worker was killed
        with workplace.database.write() as session:
            swept = validations.sweep(session, max_attempts=3, rewake_seconds=30)
        assert (swept.requeued, swept.failed) == (([validation_id], []) if lost < 3 else ([], [validation_id]))
        assert swept.wake == swept.requeued
    refused = found(workplace)
    assert refused.state is DatasetState.REFUSED
    assert refused.report is not None
    assert refused.report["error"]["code"] == "worker_lost"


def test_a_zombie_writes_nothing(workplace: Workplace) -> None:
    validation_id = send(workplace, zipped(folder()))
    accepted = validations.Accepted(digest="0" * 64, blob_digest="0" * 64, num_bytes=1, facts={})
    with workplace.database.write() as session:
        validations.claim_next(session, worker="w", device="cpu", lease_seconds=60)
        validations.release(session, validation_id, attempt=1)
        validations.claim_next(session, worker="v", device="cpu", lease_seconds=60)
        assert not validations.accept(session, validation_id, attempt=1, accepted=accepted, report={})
        assert not validations.refuse(session, validation_id, attempt=1, report={})
    assert found(workplace).state is DatasetState.VALIDATING


def during(monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Do something in the middle of the look."""
    true_look = apart.look

    def look(*given: Any, tick: Callable[[float], None], **named: Any) -> Any:
        do()
        time.sleep(0.2)
        return true_look(*given, tick=tick, **named)

    monkeypatch.setattr(apart, "look", look)


def test_a_stopped_worker_gives_it_back(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    validation_id = send(workplace, zipped(folder()))
    during(monkeypatch, lambda: workplace.bench.stop_signal.ring(stop=True))
    child.validate(workplace.bench, validation_id=validation_id)
    with workplace.database.read() as session:
        assert validations.get(session, validation_id).state is State.QUEUED
    assert kept_pieces(workplace)
    assert not list(spool_folder(workplace.bench.settings.home).glob(f"{PREFIX}*"))


def test_a_dataset_that_is_deleted_meanwhile_stays_deleted(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete() -> None:
        with workplace.database.write() as session:
            datasets.delete(session, NAME)

    during(monkeypatch, delete)
    child.validate(workplace.bench, validation_id=send(workplace, zipped(folder())))
    with workplace.database.read() as session:
        assert datasets.find(session) == []
    assert kept_pieces(workplace)  # they expire
