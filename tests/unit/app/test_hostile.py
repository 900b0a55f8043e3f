"""The table of hostile names on every route: in its path, its query, its headers, its body and its files."""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.services import Services
from registry.store import Store
from tests.unit.app.conftest import Published, publish
from tests.unit.app.everywhere import Answer, Ask, Call, answers, calls
from tests.unit.app.hostile import SURROGATES, TARGETS, as_bytes, as_text, as_value

CANARY = b"this lies outside of what the service keeps"
TUS = {"tus-resumable": b"1.0.0", "upload-length": b"1"}


@pytest.fixture
def beside(services: Services, tmp_path: Path) -> Iterator[Path]:
    """A folder in which the store is one of two things; the other must neither be read nor changed."""
    folder = tmp_path / "beside"
    folder.mkdir()
    (folder / "canary").write_bytes(CANARY)
    services.store = Store.open((folder / "store").as_uri())
    yield folder
    outside = [path for path in folder.rglob("*") if folder / "store" not in (path, *path.parents)]
    assert outside == [folder / "canary"]
    assert outside[0].read_bytes() == CANARY


@pytest.fixture
def published(services: Services, beside: Path) -> Published:
    return publish(services)


@pytest.fixture
def known(client: TestClient, published: Published) -> dict[str, str]:
    """Names of what there is, so that the other name of a path is the one that counts."""
    client.put("/v1/aliases/mine", json={"artifact_id": published.id})
    return {
        "job_id": published.job_id,
        "artifact": published.id,
        "other": published.id,
        "version": published.digest,
        "namespace": "distilled",
        "name": "mine",
        "revision": "main",
        "upload_id": "up_" + "0" * 32,
        "path": "README.md",
    }


def all_is_well(app: FastAPI, asks: Iterable[Ask]) -> Iterator[tuple[Ask, Answer]]:
    """Every answer, checked for what holds whatever was asked. A 422 (below /v2 a 400) names its field."""
    found = answers(app, asks)
    assert found
    for asked, answer in found:
        assert answer.status < 500, (asked, answer)
        for outside in (CANARY, b"root:x:", b"Traceback"):
            assert outside not in answer.body, (asked, answer)
        assert not {"x-evil", "set-cookie"} & set(answer.headers), (asked, answer)
        assert "evil" not in answer.headers.get("content-disposition", ""), (asked, answer)
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert b"<script>alert" not in answer.body, asked
        if asked.about and answer.status in (400, 422) and answer.body and b"is required" not in answer.body:
            assert asked.about[0] in answer.body.decode(), (asked, answer)
        yield asked, answer


def fields(app: FastAPI, kind: str) -> Iterator[tuple[Call, str, Sequence[str]]]:
    """Every path, query or header field of every route, with the names to try. HEAD is GET with its body left out.

    A number or a word of a list is refused by its form, whatever is wrong with it; text goes on to the parts behind.
    """
    every = calls(app)
    for call in every:
        if call.method != "HEAD" or not any(one.path == call.path and one.method == "GET" for one in every):
            for declared in getattr(call, kind):
                yield call, declared.name, TARGETS if declared.is_text else TARGETS[::5]


def test_no_path_leads_anywhere(app: FastAPI, known: dict[str, str]) -> None:
    asks = [
        Ask(method=call.method, target=call.target({**known, name: bad}), headers=TUS)
        for i, (call, name, names) in enumerate(fields(app, "in_path"))
        for bad in names[i % 2 :: 2]  # half of the table on each field, all of it on each two
    ]
    assert len(asks) > 1000
    for asked, answer in all_is_well(app, asks):
        nothing = asked.target.endswith("%2f%2f")  # the root of a repository, as good as no path at all
        expected = (404,) if asked.method == "GET" else (400, 404, 405, 412, 422)
        assert answer.status in expected or nothing, (asked, answer)


def test_no_query_leads_anywhere(app: FastAPI, known: dict[str, str]) -> None:
    asks = [
        Ask(method=call.method, target=f"{call.target(known)}?{name}={as_value(bad)}", about=(name, bad))
        for i, (call, name, names) in enumerate(fields(app, "in_query"))
        for bad in names[i % 3 :: 3]  # a third of the table on each field, all of it on each three
    ]
    assert len(list(all_is_well(app, asks))) > 300


def test_no_header_leads_anywhere(app: FastAPI, known: dict[str, str]) -> None:
    asks = [
        Ask(method=call.method, target=call.target(known), headers={**TUS, name.lower(): as_bytes(bad).strip()})
        for call, name, names in fields(app, "in_header")
        for bad in names
        if not {*b"\r\n\0"} & {*as_bytes(bad)}  # which no server lets through
    ]
    assert len(list(all_is_well(app, asks))) > 100


def bodies(app: FastAPI) -> Iterator[tuple[Call, str, dict[str, Any]]]:
    """Every field of every JSON body in the OpenAPI document, with the example that it stands in."""
    document = app.openapi()
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            told = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if told is not None:
                (call,) = [one for one in calls(app) if (one.method, one.plain) == (verb.upper(), path)]
                for name in sorted(set(_fields(told.get("schema", {}), document))):
                    yield call, name, dict(told.get("example", {}))


def _fields(schema: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    yield from schema.get("properties", {})
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _fields(choice, document)


def test_no_body_leads_anywhere(app: FastAPI, known: dict[str, str]) -> None:
    asks = [
        Ask(
            method=call.method,
            target=call.target(known),
            headers={"content-type": b"application/json"},
            body=json.dumps({**example, name: value}).encode(),
            about=(name, bad),
        )
        for i, (call, name, example) in enumerate(bodies(app))
        for bad in (*map(as_text, TARGETS[i % 4 :: 4]), *SURROGATES)
        for value in (bad, [bad], {bad: bad})
    ]
    assert len(list(all_is_well(app, asks))) > 1000


@pytest.mark.parametrize("where", ["name", "licence", "filename"])
def test_no_name_in_a_form_leads_anywhere(app: FastAPI, services: Services, beside: Path, where: str) -> None:
    app.state.services = services
    headers = {"content-type": b"multipart/form-data; boundary=edge"}
    asks = [
        Ask(method="POST", target="/v1/datasets", headers=headers, body=form(where, as_bytes(bad)), about=())
        for bad in TARGETS
    ]
    for asked, answer in all_is_well(app, asks):
        assert answer.status in (400, 422), (asked, answer)  # none of them holds a data set
        assert b'"errors"' in answer.body or answer.status == 400, (asked, answer)


def form(where: str, bad: bytes) -> bytes:
    """A form that registers a data set, with a hostile name in one of its places."""
    said = {"name": b"mine", "licence": b"none", "filename": b"mine.npz", where: bad}
    if where == "filename":  # as browsers write it
        said["filename"] = bad.replace(b'"', b"%22").replace(b"\r", b"%0D").replace(b"\n", b"%0A")
    parts = [b'name="%s"\r\n\r\n%s\r\n' % (key.encode(), said[key]) for key in ("name", "licence")]
    parts.append(b'name="file"; filename="%s"\r\n\r\nno data set\r\n' % said["filename"])
    return b"".join(b"--edge\r\nContent-Disposition: form-data; %s" % part for part in parts) + b"--edge--\r\n"


def test_no_name_of_a_piecewise_upload_leads_anywhere(app: FastAPI, services: Services, beside: Path) -> None:
    services.settings = services.settings.model_copy(update={"max_open_uploads": len(TARGETS)})
    app.state.services = services
    asks = [
        Ask(
            method="POST",
            target="/v1/uploads",
            headers={**TUS, "upload-metadata": b"filename " + b64encode(as_bytes(bad))},
            about=("/header/upload-metadata", bad),
        )
        for bad in TARGETS
    ]
    for asked, answer in all_is_well(app, asks):
        assert answer.status in (201, 422), (asked, answer)
