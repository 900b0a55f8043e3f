"""Downloads: whole, verified, and continued where they broke."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from distilled import errors
from tests.unit.client.service import Cut, FakeService, artifact, problem

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()
ROUTE = "GET /v1/artifacts/art_1/content"
DOWNLOAD = "GET /v1/artifacts/art_1/download"


def serve(content: bytes, *, etag: str | None = None, stop: int | None = None) -> Callable[..., httpx2.Response]:
    """As RFC 9110 has it; the line is cut after `stop` bytes of the answer."""
    tag = etag or f'"{hashlib.sha256(content).hexdigest()}"'

    def answer(request: httpx2.Request) -> httpx2.Response:
        headers = {"ETag": tag, "Accept-Ranges": "bytes"}
        body, status = content, 200
        asked = request.headers.get("Range")
        if asked and request.headers.get("If-Range", tag) == tag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return problem(416, headers={"Content-Range": f"bytes */{len(content)}"})
            body, status = content[start:], 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        headers["Content-Length"] = str(len(body))
        stream = httpx2.ByteStream(body) if stop is None else Cut(body[:stop])
        return httpx2.Response(status, stream=stream, headers=headers)

    return answer


def service(
    *answers: Callable[..., httpx2.Response] | httpx2.Response | Exception, digest: str = DIGEST
) -> FakeService:
    made = FakeService().on("GET /v1/artifacts/art_1", artifact(digest=digest, bytes=len(CONTENT)))
    return made.on(ROUTE, *answers).on(DOWNLOAD, *answers)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_under_its_name(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    target = (
        service(serve(CONTENT)).client().pull("art_1", tmp_path / "a.safetensors", progress=lambda *at: seen.append(at))
    )
    assert target.read_bytes() == CONTENT
    assert files(tmp_path) == ["a.safetensors"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("cut", [0, 1, 5000, len(CONTENT) - 1, len(CONTENT)])
def test_a_broken_download_goes_on_where_it_broke(tmp_path: Path, cut: int) -> None:
    made = service(serve(CONTENT, stop=cut), serve(CONTENT))
    assert made.client().pull("art_1", tmp_path / "a").read_bytes() == CONTENT
    again = made.asked(ROUTE)[1].headers
    assert again.get("Range") == (f"bytes={cut}-" if cut else None)
    assert again.get("If-Range") == (f'"{DIGEST}"' if cut else None)
    assert again["Accept-Encoding"] == "identity"


def test_a_line_that_breaks_again_and_again_gets_there_as_long_as_something_arrives(tmp_path: Path) -> None:
    made = service(*[serve(CONTENT, stop=1000)] * 10, serve(CONTENT))
    assert made.client().pull("art_1", tmp_path / "a").read_bytes() == CONTENT
    assert len(made.asked(ROUTE)) == 11


def test_a_line_that_brings_nothing_is_given_up_and_what_is_there_waits_for_the_next_call(tmp_path: Path) -> None:
    made = service(serve(CONTENT, stop=3000), httpx2.ConnectError("gone"))
    with pytest.raises(errors.Unavailable):
        made.client().pull("art_1", tmp_path / "a")
    assert files(tmp_path) == ["a.part"]
    later = service(serve(CONTENT))
    assert later.client().pull("art_1", tmp_path / "a").read_bytes() == CONTENT
    assert later.asked(ROUTE)[0].headers["Range"] == "bytes=3000-"


def test_a_service_that_restarts_in_between_is_waited_for(tmp_path: Path) -> None:
    made = service(serve(CONTENT, stop=3000), problem(503, headers={"Retry-After": "2"}), serve(CONTENT))
    assert made.client().pull("art_1", tmp_path / "a").read_bytes() == CONTENT
    assert made.slept[1] >= 2.0


def test_bytes_that_are_not_those_named_leave_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"earlier")
    with pytest.raises(errors.DigestMismatch):
        service(serve(CONTENT[:-1] + b"x", etag=f'"{DIGEST}"')).client().pull("art_1", tmp_path / "a")
    assert files(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"earlier"


def test_a_broken_leftover_is_fetched_anew(tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(b"x" * 3000)
    made = service(serve(CONTENT))
    assert made.client().pull("art_1", tmp_path / "a").read_bytes() == CONTENT
    assert [request.headers.get("Range") for request in made.asked(ROUTE)] == ["bytes=3000-", None]


@pytest.mark.parametrize("leftover", [CONTENT, CONTENT + b"more"])
def test_a_leftover_that_is_whole_or_too_long(tmp_path: Path, leftover: bytes) -> None:
    (tmp_path / "a.part").write_bytes(leftover)
    assert service(serve(CONTENT)).client().pull("art_1", tmp_path / "a").read_bytes() == CONTENT
    assert files(tmp_path) == ["a"]


def test_a_file_that_changed_between_two_pieces_comes_whole_again(tmp_path: Path) -> None:
    newer = CONTENT[::-1]
    made = service(serve(CONTENT, stop=4000), serve(newer))
    assert made.client().download("art_1", tmp_path / "a", format="npz").read_bytes() == newer
    assert made.asked(DOWNLOAD)[1].headers["If-Range"] == f'"{DIGEST}"'


def test_a_piece_of_another_version_is_not_glued_on(tmp_path: Path) -> None:
    newer = CONTENT[::-1]

    def rude(request: httpx2.Request) -> httpx2.Response:
        del request.headers["If-Range"]  # a proxy that knows ranges and no conditions
        return serve(newer)(request)

    made = service(serve(CONTENT, stop=4000), rude, serve(newer))
    assert made.client().download("art_1", tmp_path / "a").read_bytes() == newer


def test_without_a_strong_tag_nothing_is_glued(tmp_path: Path) -> None:
    made = service(serve(CONTENT, stop=4000, etag='W/"v1"'), serve(CONTENT, etag='W/"v1"'))
    assert made.client().download("art_1", tmp_path / "a").read_bytes() == CONTENT
    assert "Range" not in made.asked(DOWNLOAD)[1].headers


def test_a_download_ignores_the_leftover_of_another_query(tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(b"other")
    made = service(serve(CONTENT))
    assert (
        made.client().download("art_1", tmp_path / "a", format="png", ipc=2, classes=["cat", 3]).read_bytes() == CONTENT
    )
    assert made.requests[0].url.params.multi_items() == [
        ("format", "png"),
        ("ipc", "2"),
        ("classes", "cat"),
        ("classes", "3"),
    ]


def test_a_set_that_an_earlier_call_left_half_way_is_continued_by_a_later_one(tmp_path: Path) -> None:
    broken = service(serve(CONTENT, stop=3000), httpx2.ConnectError("gone"))
    with pytest.raises(errors.Unavailable):
        broken.client().download("art_1", tmp_path / "a")
    later = service(serve(CONTENT)).on(f"HEAD {DOWNLOAD.removeprefix('GET ')}", serve(CONTENT))
    assert later.client().download("art_1", tmp_path / "a").read_bytes() == CONTENT
    assert later.asked(DOWNLOAD)[0].headers["Range"] == "bytes=3000-"


def test_a_download_is_checked_against_the_tag_that_came_with_it(tmp_path: Path) -> None:
    with pytest.raises(errors.DigestMismatch):
        service(serve(CONTENT + b"x", etag=f'"{DIGEST}"')).client().download("art_1", tmp_path / "a")
    assert files(tmp_path) == []


def test_a_refusal_leaves_nothing(tmp_path: Path) -> None:
    refused = service(problem(422, title="The artifact holds fewer images", detail="it holds 1"))
    with pytest.raises(errors.Invalid, match="it holds 1"):
        refused.client().download("art_1", tmp_path / "a", ipc=50)
    assert files(tmp_path) == []
