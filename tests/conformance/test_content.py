"""Content over HTTP (RFC 9110): validators, conditional requests, ranges; on every route that serves fixed bytes."""

import hashlib
from base64 import b64encode
from dataclasses import dataclass

import httpx2
import pytest

from tests.conformance.conftest import Made
from tests.conformance.wire import Wire

ROUTES = ["content", "samples?seed=7", "samples?seed=7&format=npz", "preview.png", "download", "download?format=npz"]
ROUTES += [f"download?format={name}" for name in ("png", "parquet", "webdataset")]


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A route and its whole answer."""

    path: str
    answer: httpx2.Response

    @property
    def body(self) -> bytes:
        return self.answer.content

    @property
    def etag(self) -> str:
        return self.answer.headers["etag"]


@pytest.fixture(params=ROUTES)
def whole(request: pytest.FixtureRequest, wire: Wire, images: Made) -> Whole:
    path = f"{images.path}/{request.param}"
    return Whole(path=path, answer=wire.ok("GET", path))


def part(wire: Wire, whole: Whole, given: str, **headers: str) -> httpx2.Response:
    return wire.call("GET", whole.path, headers={"Range": given, **headers})


def test_an_answer_has_its_digest_its_length_and_a_year_to_live(whole: Whole) -> None:
    headers, digest = whole.answer.headers, hashlib.sha256(whole.body)
    assert headers["etag"] == f'"{digest.hexdigest()}"'
    assert headers["repr-digest"] == f"sha-256=:{b64encode(digest.digest()).decode()}:"
    assert int(headers["content-length"]) == len(whole.body)
    assert headers["accept-ranges"] == "bytes"
    assert "immutable" in headers["cache-control"]
    assert "content-encoding" not in headers
    assert "filename=" in headers["content-disposition"]


def test_the_same_query_gives_the_same_bytes(wire: Wire, whole: Whole) -> None:
    again = wire.ok("GET", whole.path, headers={"Accept-Encoding": "gzip, br, zstd"})
    assert again.content == whole.body
    assert "content-encoding" not in again.headers


def test_head_is_get_without_its_body(wire: Wire, whole: Whole) -> None:
    answer = wire.ok("HEAD", whole.path)
    assert answer.content == b""
    for name in ("etag", "content-length", "content-type", "cache-control", "accept-ranges", "content-disposition"):
        assert answer.headers[name] == whole.answer.headers[name], name


def test_who_has_it_already_gets_nothing(wire: Wire, whole: Whole) -> None:
    for given in (whole.etag, f"W/{whole.etag}", f'"other", {whole.etag}', "*"):
        answer = wire.ok("GET", whole.path, status=304, headers={"If-None-Match": given})
        assert answer.content == b""
        assert answer.headers["etag"] == whole.etag
    for given in ('"other"', whole.etag.strip('"')[:10]):
        wire.ok("GET", whole.path, headers={"If-None-Match": given})


def test_a_range_is_a_part(wire: Wire, whole: Whole) -> None:
    size = len(whole.body)
    for given, start, end in (
        ("bytes=0-0", 0, 1),
        ("bytes=1-9", 1, 10),
        (f"bytes={size - 3}-", size - 3, size),
        ("bytes=-5", size - 5, size),
        (f"bytes=2-{size * 2}", 2, size),
        (f"bytes=-{size * 2}", 0, size),
    ):
        answer = part(wire, whole, given)
        assert answer.status_code == 206, given
        assert answer.content == whole.body[start:end], given
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}", given
        assert int(answer.headers["content-length"]) == end - start, given
        assert answer.headers["etag"] == whole.etag, given


def test_parts_make_the_whole(wire: Wire, whole: Whole) -> None:
    third = len(whole.body) // 3
    bounds = [(0, third - 1), (third, 2 * third), (2 * third + 1, len(whole.body) - 1)]
    assert b"".join(part(wire, whole, f"bytes={a}-{b}").content for a, b in bounds) == whole.body


def test_a_range_beyond_the_end_is_a_416_that_tells_the_size(wire: Wire, whole: Whole) -> None:
    size = len(whole.body)
    for given in (f"bytes={size}-", f"bytes={size + 5}-{size + 9}", "bytes=-0"):
        answer = wire.ok("GET", whole.path, status=416, headers={"Range": given})
        assert answer.headers["content-range"] == f"bytes */{size}", given


@pytest.mark.parametrize("given", ["bytes=5-2", "bytes=x-y", "lines=0-1", "bytes=-", "bytes", "bytes=0-1-2"])
def test_a_range_that_is_none_is_ignored(wire: Wire, images: Made, given: str) -> None:
    path = f"{images.path}/content"
    assert wire.ok("GET", path, headers={"Range": given}).content == wire.ok("GET", path).content


def test_several_ranges_are_never_the_wrong_bytes(wire: Wire, whole: Whole) -> None:
    answer = part(wire, whole, "bytes=0-1,4-5")
    if answer.status_code == 206:
        assert answer.headers["content-type"].startswith("multipart/byteranges")
    else:
        assert (answer.status_code, answer.content) == (200, whole.body)


def test_a_thousand_ranges_cost_no_more_than_one(wire: Wire, images: Made) -> None:
    given = "bytes=" + ",".join(f"{i}-{i}" for i in range(0, 2000, 2))
    assert wire.call("GET", f"{images.path}/content", headers={"Range": given}).status_code in (200, 206, 416)


def test_a_download_goes_on_only_where_the_file_is_still_the_same(wire: Wire, whole: Whole) -> None:
    same = part(wire, whole, "bytes=4-", **{"If-Range": whole.etag})
    assert (same.status_code, same.content) == (206, whole.body[4:])
    for given in ('"another"', f"W/{whole.etag}", "Sat, 21 Nov 2026 08:00:00 GMT"):
        changed = part(wire, whole, "bytes=4-", **{"If-Range": given})
        assert (changed.status_code, changed.content) == (200, whole.body), given


def test_a_condition_goes_before_a_range(wire: Wire, whole: Whole) -> None:
    assert part(wire, whole, "bytes=0-1", **{"If-None-Match": whole.etag}).status_code == 304


def test_a_draw_without_a_seed_is_nobody_s_to_keep(wire: Wire, images: Made) -> None:
    answer = wire.ok("GET", f"{images.path}/samples?ipc=1")
    assert "immutable" not in answer.headers["cache-control"]
    assert "no-store" in answer.headers["cache-control"]
