"""Resumable uploads by the tus protocol, and data sets that wait for a worker."""

import base64
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.datasets import uploads as pieces
from app.services import Services
from app.sweeper import sweep_once
from registry import uploads, validations
from registry.models import Dataset, DatasetState, Upload
from tests.unit.app.catalog import RECIPE
from tests.unit.app.conftest import MAX_UPLOAD, pointers, problem
from tests.unit.app.test_datasets import left_behind, npz, upload
from tests.unit.intake.sets import folder, tarred, zipped

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}


def told(filename: str) -> dict[str, str]:
    return {"Upload-Metadata": f"filename {base64.b64encode(filename.encode()).decode()},other"}


def begin(client: TestClient, length: int, *, filename: str = "data.zip") -> str:
    response = client.post("/v1/uploads", headers={**TUS, "Upload-Length": str(length), **told(filename)})
    assert response.status_code == 201, response.text
    assert response.headers["Upload-Offset"] == "0"
    return response.headers["Location"]


def send(client: TestClient, where: str, content: bytes, *, offset: int = 0) -> Any:
    return client.patch(where, headers={**PIECE, "Upload-Offset": str(offset)}, content=content)


def offset(client: TestClient, where: str) -> int:
    response = client.head(where, headers=TUS)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    return int(response.headers["Upload-Offset"])


def whole(services: Services, where: str) -> bytes:
    with services.database.read() as session:
        found = uploads.parts(session, where.rpartition("/")[2])
    return b"".join(services.store.get_named(part.key) for part in found)


def sent_whole(client: TestClient, content: bytes, *, filename: str = "data.zip") -> str:
    where = begin(client, len(content), filename=filename)
    assert send(client, where, content).status_code == 204
    return where.rpartition("/")[2]


def archive(client: TestClient, content: bytes) -> Any:
    """Send an archive in a form."""
    return client.post("/v1/datasets", data={"name": "mine"}, files={"file": ("data.zip", content)})


def test_what_is_spoken_is_told(client: TestClient) -> None:
    response = client.options("/v1/uploads")
    assert response.status_code == 204
    assert response.headers["Tus-Version"] == "1.0.0"
    assert set(response.headers["Tus-Extension"].split(",")) == {"creation", "termination", "expiration"}
    assert response.headers["Tus-Max-Size"] == str(MAX_UPLOAD)


def test_bytes_arrive_in_any_pieces(client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PART_BYTES", 100)
    content = bytes(range(256)) * 4
    where = begin(client, len(content))
    at = 0
    for size in (1, 99, 100, 250, 7, 300, 267):
        response = send(client, where, content[at : at + size], offset=at)
        at += size
        assert (response.status_code, response.headers["Upload-Offset"]) == (204, str(at))
        assert response.headers["Upload-Expires"].endswith("GMT")
        assert offset(client, where) == at
    assert whole(services, where) == content
    with services.database.read() as session:
        sizes = [part.num_bytes for part in uploads.parts(session, where.rpartition("/")[2])]
    assert sizes == [100] * 10 + [24]
    assert len(services.store.list_named("uploads")) == 11  # what was replaced is gone


def test_of_two_that_write_at_once_one_is_told_where_it_stands(client: TestClient, services: Services) -> None:
    where = begin(client, 10)
    upload_id = where.rpartition("/")[2]
    first, second = (pieces.Writer(services, upload_id, offset=0) for _ in range(2))
    for writer, content in ((first, b"first"), (second, b"other")):
        writer.take(content)
    first.write(all_of_it=True)
    with pytest.raises(pieces.errors.OffsetMoved):
        second.write(all_of_it=True)
    assert whole(services, where) == b"first"
    assert len(services.store.list_named("uploads")) == 1
    assert problem(send(client, where, b"x", offset=0), 409)["type"] == "/problems/offset-moved"


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {"Upload-Length": "5"}, 412),
        ("POST", {"Upload-Length": "5", "Tus-Resumable": "0.2.2"}, 412),
        ("POST", TUS, 422),
        ("POST", {**TUS, "Upload-Length": "-1"}, 422),
        ("POST", {**TUS, "Upload-Length": "five"}, 422),
        ("POST", {**TUS, "Upload-Length": "5368709120"}, 413),
        ("POST", {**TUS, "Upload-Length": "5", "Upload-Metadata": "filename ???"}, 422),
        ("POST", {**TUS, "Upload-Length": "5", "Upload-Metadata": "x " + "A" * 5000}, 422),
    ],
)
def test_an_upload_that_cannot_begin(client: TestClient, method: str, headers: dict[str, str], status: int) -> None:
    response = client.request(method, "/v1/uploads", headers=headers)
    problem(response, status)
    assert response.headers["Tus-Resumable"] == "1.0.0"


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": PIECE["Content-Type"], "Upload-Offset": "0"}, b"x", 412),
        ({**TUS, "Upload-Offset": "0"}, b"x", 415),
        (PIECE, b"x", 422),
        ({**PIECE, "Upload-Offset": "3"}, b"x", 409),
        ({**PIECE, "Upload-Offset": "0"}, bytes(11), 413),
    ],
)
def test_a_piece_that_is_not_taken(client: TestClient, headers: dict[str, str], content: bytes, status: int) -> None:
    where = begin(client, 10)
    problem(client.patch(where, headers=headers, content=content), status)
    assert offset(client, where) == 0


def test_more_bytes_than_were_announced_are_refused_as_they_arrive(client: TestClient) -> None:
    where = begin(client, 10)
    problem(client.patch(where, headers={**PIECE, "Upload-Offset": "0"}, content=iter([bytes(6), bytes(6)])), 413)
    assert offset(client, where) == 0


def test_clients_without_patch_may_say_so(client: TestClient) -> None:
    where = begin(client, 3)
    headers = {**PIECE, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert client.post(where, headers=headers, content=b"abc").status_code == 204
    assert offset(client, where) == 3


def test_an_upload_can_be_thrown_away(client: TestClient, services: Services) -> None:
    where = begin(client, 10)
    send(client, where, b"12345")
    assert client.delete(where, headers=TUS).status_code == 204
    assert services.store.list_named("uploads") == []
    assert client.head(where, headers=TUS).status_code == 404
    problem(send(client, where, b"x"), 404)
    problem(client.delete(where, headers=TUS), 404)


def test_only_so_many_are_open(client: TestClient, services: Services) -> None:
    services.settings = services.settings.model_copy(update={"max_open_uploads": 2})
    first, _ = begin(client, 1), begin(client, 1)
    headers = {**TUS, "Upload-Length": "1"}
    assert problem(client.post("/v1/uploads", headers=headers), 429)["type"] == "/problems/too-many-uploads"
    client.delete(first, headers=TUS)
    assert client.post("/v1/uploads", headers=headers).status_code == 201


def test_what_nobody_goes_on_with_is_swept(client: TestClient, services: Services) -> None:
    kept, over = begin(client, 10), begin(client, 10)
    send(client, over, b"12345")
    with services.database.write() as session:
        session.get_one(Upload, over.rpartition("/")[2]).expires = time.time() - 1
    assert client.head(over, headers=TUS).status_code == 404
    problem(send(client, over, b"x", offset=5), 404)
    sweep_once(services)
    assert services.store.list_named("uploads") == []
    assert offset(client, kept) == 0
    with services.database.read() as session:
        assert session.get(Upload, over.rpartition("/")[2]) is None


@pytest.mark.parametrize(
    ("content", "filename"), [(zipped(folder()), "x.zip"), (tarred(folder(), packed=True), "x"), (npz(), "x.npz")]
)
def test_a_whole_upload_is_registered_and_waits(
    client: TestClient, services: Services, content: bytes, filename: str
) -> None:
    upload_id = sent_whole(client, content, filename=filename)
    response = client.post("/v1/datasets", json={"name": "mine", "upload": upload_id, "licence": "CC0"})
    made = response.json()
    assert response.status_code == 201, response.text
    assert response.headers["Location"] == "/v1/datasets/mine"
    assert (made["state"], made["progress"], made["licence"], made["report"]) == ("validating", 0.0, "CC0", None)
    assert (made["available"], made["shape"], made["bytes"]) == ("missing", None, len(content))
    assert "being validated" in made["reason"]
    assert len(services.queue.validations) == 1  # pyright: ignore[reportAttributeAccessIssue]
    assert client.get("/v1/datasets/mine").json() == made
    assert made in client.get("/v1/datasets").json()["items"]
    problem(client.delete(f"/v1/uploads/{upload_id}", headers=TUS), 409)
    problem(client.post("/v1/datasets", json={"name": "other", "upload": upload_id}), 409)
    problem(client.post("/v1/datasets", json={"name": "mine", "upload": upload_id}), 409)
    sweep_once(services)
    assert whole(services, upload_id) == content  # never swept while it is waited for


@pytest.mark.parametrize("content", [zipped(folder()), tarred(folder())])
def test_a_form_brings_archives_too(client: TestClient, services: Services, content: bytes) -> None:
    response = archive(client, content)
    assert response.status_code == 201
    assert response.json()["state"] == "validating"
    assert left_behind(services) == []
    with services.database.read() as session:
        (found,) = session.query(Upload).all()
    assert whole(services, found.id) == content


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_no_job_is_taken_before_it_is_ready(client: TestClient, services: Services, query: str) -> None:
    archive(client, zipped(folder()))
    recipe = RECIPE | {"dataset": "mine", "evaluation": {"networks": ["mlp"]}}
    response = client.post(f"/v1/jobs{query}", json=recipe)
    assert pointers(response) == ["/dataset"]
    assert "being validated" in response.text
    with services.database.write() as session:
        claim = validations.claim_next(session, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        report = {"problems": [{"pointer": "/train", "detail": "is empty"}]}
        assert validations.refuse(session, claim.validation_id, attempt=1, report=report)
    response = client.post(f"/v1/jobs{query}", json=recipe)
    assert pointers(response) == ["/dataset"]
    assert "is empty" in response.text
    shown = client.get("/v1/datasets/mine").json()
    assert (shown["state"], shown["report"]["problems"][0]["detail"]) == ("refused", "is empty")
    assert archive(client, zipped(folder())).status_code == 201  # its name is free again


def test_arrays_in_a_form_are_ready_with_their_report(client: TestClient) -> None:
    made = upload(client).json()
    assert made["state"] == "ready"
    assert made["report"]["images"] == {"train": 20, "test": 6}
    assert made["report"]["duplicates"]["across"] == 0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "x"}, "/upload"),
        ({"upload": "up_" + "0" * 32}, "/name"),
        ({"name": "x", "upload": "../../etc"}, "/upload"),
        ({"name": "a/b", "upload": "up_" + "0" * 32}, "/name"),
        ({"name": "x", "upload": "up_" + "0" * 32, "file": 1}, "/file"),
        ({"name": "x", "upload": "up_" + "0" * 32, "licence": "x" * 201}, "/licence"),
        ({"name": "a\0b", "upload": "up_" + "0" * 32}, "/name"),
        ([], ""),
        ("{", ""),
    ],
)
def test_a_wrong_registration_names_its_field(client: TestClient, body: Any, pointer: str) -> None:
    sent: dict[str, Any] = {"content": body} if isinstance(body, str) else {"json": body}
    response = client.post("/v1/datasets", headers={"Content-Type": "application/json"}, **sent)
    assert pointers(response) == [pointer]


def test_what_is_not_whole_or_unknown_is_not_registered(client: TestClient) -> None:
    where = begin(client, 10)
    send(client, where, b"12345")
    upload_id = where.rpartition("/")[2]
    response = client.post("/v1/datasets", json={"name": "x", "upload": upload_id})
    assert "5 of 10" in problem(response, 409)["detail"]
    problem(client.post("/v1/datasets", json={"name": "x", "upload": "up_" + "0" * 32}), 404)
    rubbish = sent_whole(client, b"what is this?", filename="x.bin")
    assert pointers(client.post("/v1/datasets", json={"name": "x", "upload": rubbish})) == ["/upload"]
    empty = begin(client, 0).rpartition("/")[2]
    assert client.post("/v1/datasets", json={"name": "x", "upload": empty}).status_code == 201  # a worker says so


def test_a_long_json_body_is_cut_off(client: TestClient) -> None:
    body = b'{"name": "' + b"x" * 1_100_000 + b'"}'
    problem(client.post("/v1/datasets", content=body, headers={"Content-Type": "application/json"}), 413)


def test_the_lost_are_swept_and_woken_for(client: TestClient, services: Services) -> None:
    archive(client, zipped(folder()))
    for _ in range(3):
        with services.database.write() as session:
            claim = validations.claim_next(session, worker="w", device="cpu", lease_seconds=60)
            assert claim is not None
            validations.get(session, claim.validation_id).lease_until = 1.0
        sweep_once(services)
    with services.database.read() as session:
        (found,) = session.query(Dataset).all()
    assert found.state is DatasetState.REFUSED
    shown = client.get("/v1/datasets/mine").json()
    assert shown["report"]["error"]["code"] == "worker_lost"
    assert len(services.queue.validations) == 3  # pyright: ignore[reportAttributeAccessIssue]
