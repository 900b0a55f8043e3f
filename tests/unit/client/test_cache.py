"""The cache: copies by digest, which may go at any time, shared by processes that know nothing of one another."""

import hashlib
import os
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from distilled import errors
from distilled.cache import DEFAULT_BYTES, Cache
from tests.unit.client.service import FakeService
from tests.unit.client.test_content import CONTENT, DIGEST, ROUTE, serve, service


def cache(folder: Path, *, max_bytes: int = 10**6) -> Cache:
    return Cache(folder=folder / "cache", max_bytes=max_bytes)


def kept(made: Cache) -> list[str]:
    return sorted(path.name for path in made.folder.iterdir()) if made.folder.exists() else []


def test_what_was_pulled_is_not_fetched_again(tmp_path: Path) -> None:
    made, answering = cache(tmp_path), service(serve(CONTENT))
    client = answering.client(cache=made)
    first = client.pull("art_1", tmp_path / "a")
    assert kept(made) == [DIGEST]
    second = client.pull("art_1", tmp_path / "b")
    assert first.read_bytes() == second.read_bytes() == CONTENT
    assert client.read("art_1") == CONTENT
    assert len(answering.asked(ROUTE)) == 1
    assert not list(tmp_path.glob("*.part"))


def test_what_a_user_asked_for_stays_when_the_cache_goes_and_when_it_is_full(tmp_path: Path) -> None:
    made = cache(tmp_path, max_bytes=len(CONTENT))
    target = service(serve(CONTENT)).client(cache=made).pull("art_1", tmp_path / "a")
    for number in range(3):
        other = tmp_path / f"other{number}"
        other.write_bytes(bytes([number]) * len(CONTENT))
        made.keep(other, hashlib.sha256(other.read_bytes()).hexdigest())
    assert DIGEST not in kept(made)
    assert len(kept(made)) == 1
    assert target.read_bytes() == CONTENT
    # Nor is the cache's copy the user's file, which may be written to.
    copy = Cache(folder=tmp_path / "second")
    copy.keep(target, DIGEST)
    target.write_bytes(b"edited")
    assert copy.read(DIGEST) == CONTENT


def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    made = cache(tmp_path, max_bytes=30)
    digests: list[str] = []
    for number in range(3):
        path = tmp_path / str(number)
        path.write_bytes(bytes([number]) * 10)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
        made.keep(path, digests[-1])
        os.utime(made.folder / digests[-1], (number, number))
    assert made.read(digests[0]) == bytes(10)
    path.write_bytes(b"x" * 10)
    made.keep(path, hashlib.sha256(b"x" * 10).hexdigest())
    assert digests[0] in kept(made)
    assert digests[1] not in kept(made)


@pytest.mark.parametrize("broken", [b"", CONTENT[:-1], CONTENT[::-1]])
def test_a_broken_copy_is_thrown_away_and_fetched(tmp_path: Path, broken: bytes) -> None:
    made = cache(tmp_path)
    made.folder.mkdir()
    (made.folder / DIGEST).write_bytes(broken)
    assert made.read(DIGEST) is None
    assert kept(made) == []
    (made.folder / DIGEST).write_bytes(broken)
    assert service(serve(CONTENT)).client(cache=made).pull("art_1", tmp_path / "a").read_bytes() == CONTENT
    assert (made.folder / DIGEST).read_bytes() == CONTENT


def test_a_file_that_failed_on_its_way_is_not_kept(tmp_path: Path) -> None:
    made = cache(tmp_path)
    with pytest.raises(errors.DigestMismatch):
        service(serve(b"other", etag=f'"{DIGEST}"')).client(cache=made).read("art_1")
    assert kept(made) == []


@pytest.mark.parametrize("limit", [0, len(CONTENT) - 1])
def test_without_room_everything_works_and_nothing_is_kept(tmp_path: Path, limit: int) -> None:
    made, answering = cache(tmp_path, max_bytes=limit), service(serve(CONTENT))
    client = answering.client(cache=made)
    assert client.read("art_1") == client.read("art_1") == CONTENT
    assert client.pull("art_1", tmp_path / "a").read_bytes() == CONTENT
    assert len(answering.asked(ROUTE)) == 3
    assert kept(made) == []


def test_a_folder_that_cannot_be_made_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    client = service(serve(CONTENT)).client(cache=cache(tmp_path))
    assert client.read("art_1") == CONTENT
    assert client.pull("art_1", tmp_path / "a").read_bytes() == CONTENT


def test_leftovers_of_the_killed_are_swept_after_a_day(tmp_path: Path) -> None:
    made = cache(tmp_path)
    old, new = made.folder / "incoming-old", made.folder / "incoming-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "half").write_bytes(b"x")
    os.utime(old, (0, 0))
    assert service(serve(CONTENT)).client(cache=made).read("art_1") == CONTENT
    assert kept(made) == sorted([DIGEST, "incoming-new"])


def test_many_at_a_time_read_what_they_asked_for_while_the_folder_is_too_small(tmp_path: Path) -> None:
    made = cache(tmp_path, max_bytes=2500)
    contents = {hashlib.sha256(body).hexdigest(): body for body in (bytes([number]) * 1000 for number in range(6))}
    wrong: list[str] = []

    def work() -> None:
        for digest, body in contents.items():
            if made.read_or(digest, lambda path, body=body: path.write_bytes(body) and path) != body:
                wrong.append(digest)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []
    assert sum(path.stat().st_size for path in made.folder.iterdir()) <= 2500


def test_what_is_held_stays_while_others_make_room_and_its_bytes_are_those_named(tmp_path: Path) -> None:
    made, fetched = cache(tmp_path, max_bytes=1500), list[bytes]()
    bodies = [bytes([number]) * 1000 for number in range(3)]
    digests = [hashlib.sha256(body).hexdigest() for body in bodies]

    def fetch(path: Path, body: bytes) -> None:
        fetched.append(body)
        path.write_bytes(body)

    def take(number: int) -> AbstractContextManager[Path]:
        return made.held(digests[number], lambda path: fetch(path, bodies[number]))

    with take(0) as first:
        with take(1) as second:
            assert (first.read_bytes(), second.read_bytes()) == (bodies[0], bodies[1])
        with take(2):
            assert digests[0] in kept(made)
        assert first.read_bytes() == bodies[0]
    with take(0):
        assert fetched == bodies  # the first was there still
    (made.folder / digests[0]).write_bytes(b"cut")
    with take(0) as again:
        assert again.read_bytes() == bodies[0]
    assert len(fetched) == 4
    with pytest.raises(errors.DigestMismatch), made.held(digests[1], lambda path: path.write_bytes(b"other")):
        pass
    assert digests[1] not in kept(made)
    assert not [name for name in kept(made) if name.startswith("incoming-")]


def test_where_it_is_and_how_large_is_said_by_the_environment() -> None:
    assert Cache.from_environment({"XDG_CACHE_HOME": "/x"}) == Cache(folder=Path("/x/distilled"))
    assert Cache.from_environment({}).max_bytes == DEFAULT_BYTES
    named = Cache.from_environment({"DISTILLED_CACHE": "/y", "DISTILLED_CACHE_BYTES": "7"})
    assert named == Cache(folder=Path("/y"), max_bytes=7)
    with pytest.raises(ValueError, match="DISTILLED_CACHE_BYTES"):
        Cache.from_environment({"DISTILLED_CACHE_BYTES": "1 GB"})


def test_an_alias_that_moved_is_fetched_anew(tmp_path: Path) -> None:
    made, newer = cache(tmp_path), CONTENT[::-1]
    assert service(serve(CONTENT)).client(cache=made).read("art_1") == CONTENT
    moved = service(serve(newer), digest=hashlib.sha256(newer).hexdigest())
    assert moved.client(cache=made).read("art_1") == newer
    assert FakeService().client().cache.max_bytes == 0  # no test writes to the cache of whoever runs it
