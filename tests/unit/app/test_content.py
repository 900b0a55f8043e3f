"""Stored bytes over HTTP: ranges, conditions, names that lead nowhere."""

import base64
import hashlib
import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.services import Services
from tests.unit.app.conftest import Published, problem


@pytest.fixture
def url(published: Published) -> str:
    return f"/v1/artifacts/{published.id}/content"


def test_the_content_is_the_stored_file_named_by_its_digest(client: TestClient, published: Published, url: str) -> None:
    response = client.get(url)

    assert response.content == published.content
    assert response.headers["etag"] == f'"{hashlib.sha256(published.content).hexdigest()}"'
    assert response.headers["content-length"] == str(len(published.content))
    assert response.headers["accept-ranges"] == "bytes"
    raw = base64.b64encode(hashlib.sha256(published.content).digest()).decode()
    assert response.headers["repr-digest"] == f"sha-256=:{raw}:"
    assert "immutable" in response.headers["cache-control"]
    assert response.headers["content-disposition"].startswith("attachment")


def test_head_tells_the_same_without_the_bytes(client: TestClient, url: str) -> None:
    got, told = client.get(url), client.head(url)
    ignored = {"x-request-id"}
    assert told.content == b""
    assert told.status_code == 200
    assert {k: v for k, v in told.headers.items() if k not in ignored} == {
        k: v for k, v in got.headers.items() if k not in ignored
    }


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=5-", 5, None),
        ("bytes=-7", -7, None),
        ("bytes=0-99999999", 0, None),
        ("bytes=-99999999", 0, None),
        ("BYTES=3-3", 3, 4),
        ("bytes=0-" + "9" * 100, 0, None),
        ("bytes=" + "0" * 40 + "5-" + "0" * 40 + "9", 5, 10),
        ("bytes=-" + "0" * 40 + "7", -7, None),
        ("bytes=00-00", 0, 1),
    ],
)
def test_a_range_is_a_part(
    client: TestClient, published: Published, url: str, asked: str, start: int, end: int | None
) -> None:
    response = client.get(url, headers={"Range": asked})

    part = published.content[start:end]
    first = published.content.index(part) if start < 0 else start
    assert response.status_code == 206
    assert response.content == part
    assert response.headers["content-length"] == str(len(part))
    expected = f"bytes {first}-{first + len(part) - 1}/{len(published.content)}"
    assert response.headers["content-range"] == expected


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=9-5",
        "bytes=",
        "bytes=-",
        "items=0-5",
        "bytes=0-1,0-1,0-1",
        "bytes=\u00b2-5",
        "bytes=0x1-5",
        "bytes=+1-5",
        "bytes=0-1,4-5",
        "bytes=a-b",
        "bytes 0-5",
        "bytes=0--1",
    ],
)
def test_a_range_that_says_nothing_or_too_much_is_ignored(
    client: TestClient, published: Published, url: str, asked: str
) -> None:
    response = client.get(url, headers={"Range": asked.encode("latin-1")})
    assert (response.status_code, response.content) == (200, published.content)


@pytest.mark.parametrize(
    "asked", ["bytes=999999-", "bytes=-0", "bytes=-000", "bytes=999999-1000000", "bytes=" + "9" * 200 + "-"]
)
def test_a_range_outside_is_a_416_that_tells_the_size(
    client: TestClient, published: Published, url: str, asked: str
) -> None:
    response = client.get(url, headers={"Range": asked})
    body = problem(response, 416)
    assert response.headers["content-range"] == f"bytes */{len(published.content)}"
    assert str(len(published.content)) in body["detail"]


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=" + ",".join(["0-"] * 8_000),
        "bytes=" + ",".join(f"{i}-{i + 1}" for i in range(2_500)),
        "bytes=" + "0" * 30_000 + "-",
        "bytes=" + " " * 30_000 + "0-1",
        "bytes=" + " " * 30_000 + "x",
        "bytes=" + "-" * 30_000,
        "bytes=" + "1" * 15_000 + "-" + "1" * 15_000 + "x",
    ],
    ids=["overlapping", "many", "zeros", "blanks", "only blanks", "dashes", "digits"],
)
@pytest.mark.parametrize("path", ["content", "download?format=npz", "samples?ipc=1&seed=1", "preview.png", "croissant"])
def test_whatever_is_asked_for_no_more_is_sent_than_there_is(
    client: TestClient, services: Services, published: Published, path: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"/v1/artifacts/{published.id}/{path}"
    whole = client.get(url).content
    stream, read = services.store.stream, []

    def counted(digest: str, start: int, end: int) -> Iterator[bytes]:
        read.append(end - start)
        return stream(digest, start, end)

    monkeypatch.setattr(services.store, "stream", counted)
    began = time.process_time()
    response = client.get(url, headers={"Range": asked})
    assert time.process_time() - began < 2  # a parser that looks at each range for each range takes minutes
    assert response.status_code in (200, 206)
    assert len(response.content) <= len(whole)
    assert sum(read) <= len(published.content)


def test_if_range_of_another_version_gives_everything(client: TestClient, published: Published, url: str) -> None:
    same = client.get(url, headers={"Range": "bytes=0-3", "If-Range": f'"{published.digest}"'})
    other = client.get(url, headers={"Range": "bytes=0-3", "If-Range": '"other"'})
    weak = client.get(url, headers={"Range": "bytes=0-3", "If-Range": f'W/"{published.digest}"'})
    assert (same.status_code, other.status_code, weak.status_code) == (206, 200, 200)
    assert other.content == published.content


@pytest.mark.parametrize("form", ['"{digest}"', 'W/"{digest}"', '"x", "{digest}"', "*"])
def test_what_the_caller_has_is_not_sent_again(client: TestClient, published: Published, url: str, form: str) -> None:
    response = client.get(url, headers={"If-None-Match": form.format(digest=published.digest), "Range": "bytes=0-3"})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == f'"{published.digest}"'
    assert "content-type" not in response.headers


def test_another_tag_is_sent_again(client: TestClient, url: str) -> None:
    assert client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_content_that_has_gone_from_the_store_is_our_fault(
    client: TestClient, services: Services, published: Published, url: str
) -> None:
    services.store.delete(published.digest)
    body = problem(client.get(url), 500)
    assert body["type"] == "/problems/content-missing"


@pytest.mark.parametrize("name", ["art_" + "0" * 32, "no-such-alias"])
@pytest.mark.parametrize("path", ["", "/content", "/download", "/samples", "/preview.png"])
def test_an_unknown_artifact_name_is_a_404(client: TestClient, name: str, path: str) -> None:
    problem(client.get(f"/v1/artifacts/{name}{path}"), 404)
