"""Finished sets: made once, kept on disk, the same bytes whenever they are asked for."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from app.artifacts.content import Content
from app.samples import cache as module
from app.samples.cache import FileCache
from app.services import Services
from distilled.files import pack
from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.images import Images
from tests.unit.app.conftest import CLASSES, Published, artifact_file, pointers, problem, publish

FORMATS = ("safetensors", "npz", "png", "parquet", "webdataset", "arrow")
KEY = "ab" + "0" * 62


class Maker:
    """Makes the same bytes each time, and counts."""

    def __init__(self, content: bytes = b"0123456789") -> None:
        self.content = content
        self.times = 0

    def __call__(self) -> bytes:
        self.times += 1
        return self.content


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "cache", max_bytes=10_000)


def ask(cache: FileCache, make: Any, key: str = KEY) -> Content:
    return cache.content(key, make, media_type="text/plain", filename="x")


def whole(content: Content) -> bytes:
    return b"".join(content.read(0, content.size))


def kept(cache: FileCache) -> list[Path]:
    return sorted(cache._folder.glob("*/*"))


# --- the cache ---------------------------------------------------------------------------------------------------


def test_what_was_made_is_not_made_again_by_this_process_or_the_next(cache: FileCache) -> None:
    make = Maker()
    first, again = ask(cache, make), ask(cache, make)
    later = ask(FileCache(cache._folder, max_bytes=10_000), make)
    assert make.times == 1
    for content in (first, again, later):
        assert (content.digest, content.size) == (hashlib.sha256(make.content).hexdigest(), 10)
        assert whole(content) == make.content
        assert b"".join(content.read(3, 7)) == b"3456"


@pytest.mark.parametrize("harm", ["cut", "changed", "emptied", "gone"])
def test_a_file_that_was_harmed_is_made_again(cache: FileCache, harm: str) -> None:
    make = Maker()
    ask(cache, make)
    (path,) = kept(cache)
    if harm == "gone":
        path.unlink()
    else:
        content = path.read_bytes()
        harmed = {"cut": content[:-3], "changed": content[:-1] + b"x", "emptied": b""}[harm]
        path.write_bytes(harmed)
        os.utime(path, ns=(1, 1))  # a file system's clock may be coarse
    for holder in (cache, FileCache(cache._folder, max_bytes=10_000)):
        assert whole(ask(holder, make)) == make.content
    assert make.times == 2


def test_a_file_that_goes_while_it_is_served_is_made_again(cache: FileCache) -> None:
    make = Maker()
    content = ask(cache, make)
    kept(cache)[0].unlink()
    assert b"".join(content.read(2, 5)) == b"234"
    assert make.times == 2


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, max_bytes=3 * 132)
    keys = [f"{number:02x}" + "0" * 62 for number in range(4)]
    makers = [Maker(bytes([number]) * 100) for number in range(4)]
    for key, make in zip(keys[:3], makers, strict=False):
        ask(cache, make, key)
    ask(cache, makers[0], keys[0])  # used again, so the second is now the oldest
    ask(cache, makers[3], keys[3])
    assert [path.name for path in kept(cache)] == [keys[0], keys[2], keys[3]]
    ask(cache, makers[1], keys[1])
    assert [make.times for make in makers] == [1, 2, 1, 1]
    assert sum(path.stat().st_size for path in kept(cache)) <= 3 * 132


@pytest.mark.parametrize("max_bytes", [0, 41])
def test_what_has_no_room_at_all_is_served_all_the_same(tmp_path: Path, max_bytes: int) -> None:
    cache, make = FileCache(tmp_path, max_bytes=max_bytes), Maker()
    assert whole(ask(cache, make)) == make.content
    assert kept(cache) == []


def test_a_full_disk_costs_the_cache_and_not_the_answer(
    cache: FileCache, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    assert whole(ask(cache, Maker())) == b"0123456789"
    assert kept(cache) == []
    assert [line["event"] for line in logs] == ["cache_not_written"]


def test_what_fails_is_told_and_not_kept(cache: FileCache) -> None:
    def fail() -> bytes:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        ask(cache, fail)
    assert whole(ask(cache, Maker())) == b"0123456789"


def test_many_who_ask_at_once_have_it_made_once(cache: FileCache) -> None:
    started, release, make = threading.Event(), threading.Event(), Maker()

    def slow() -> bytes:
        started.set()
        assert release.wait(10)
        return make()

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, cache, slow) for _ in range(8)]
        assert started.wait(10)
        release.set()
        answers = [one.result() for one in asked]
    assert make.times == 1
    assert {whole(content) for content in answers} == {make.content}


# --- downloads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_a_second_download_draws_and_encodes_nothing(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    url = f"/v1/artifacts/{publish(services, labels='soft').id}/download?format={format}&ipc=2"
    first = client.get(url)
    assert first.status_code == 200, first.text
    monkeypatch.setattr(services, "_sampler", None)
    monkeypatch.setattr(type(services), "sampler", property(lambda self: pytest.fail("drawn again")))

    tag, size = first.headers["etag"], len(first.content)
    assert tag.strip('"') == hashlib.sha256(first.content).hexdigest()
    assert client.get(url).content == first.content
    assert client.head(url).headers["content-length"] == str(size)
    assert client.get(url, headers={"If-None-Match": tag}).status_code == 304
    rest = client.get(url, headers={"Range": f"bytes={size - 5}-", "If-Range": tag})
    assert (rest.status_code, rest.content) == (206, first.content[-5:])
    assert rest.headers["content-range"] == f"bytes {size - 5}-{size - 1}/{size}"
    beyond = client.get(url, headers={"Range": f"bytes={size}-"})
    assert problem(beyond, 416)["type"] == "/problems/range-not-satisfiable"
    assert beyond.headers["content-range"] == f"bytes */{size}"


def test_a_range_of_another_version_brings_the_whole(client: TestClient, published: Published) -> None:
    url = f"/v1/artifacts/{published.id}/download?format=parquet"
    answer = client.get(url, headers={"Range": "bytes=5-", "If-Range": f'"{"0" * 64}"'})
    assert answer.status_code == 200
    assert answer.content == client.get(url).content


def test_each_question_has_its_own_answer(client: TestClient, services: Services, published: Published) -> None:
    queries = ["", "ipc=1", "classes=cat", "classes=dog,cat", "classes=cat,dog", "ipc=2&classes=cat"]
    url = f"/v1/artifacts/{published.id}/download?format=parquet&"
    answers = [client.get(url + query).headers["etag"] for query in queries]
    assert len(set(answers)) == len(queries)
    assert len(kept(services.exports)) == len(queries)
    assert client.get(f"{url}classes=0").headers["etag"] == answers[2], "a class by index or name is one question"
    assert len(kept(services.exports)) == len(queries)


def test_nothing_of_what_is_refused_is_kept(client: TestClient, services: Services, published: Published) -> None:
    url = f"/v1/artifacts/{published.id}/download"
    for query, pointer in {
        "format=parquet&ipc=4": "/query/ipc",
        "format=webdataset&classes=bird": "/query/classes",
        "format=json": "/query/format",
        "format=": "/query/format",
        "format=../x": "/query/format",
        "format=arrow&dtype=float32": "/query/dtype",
        "format=arrow&ipc=0": "/query/ipc",
    }.items():
        assert pointer in pointers(client.get(f"{url}?{query}")), query
    assert kept(services.exports) == []


def test_four_channels_are_no_picture_but_arrays(client: TestClient, services: Services) -> None:
    made = publish(services, file=four_channels())
    url = f"/v1/artifacts/{made.id}/download?format="
    for format in ("png", "parquet", "webdataset"):
        assert pointers(client.get(url + format)) == ["/query/format"]
    for format in ("safetensors", "npz", "arrow"):
        assert client.get(url + format).status_code == 200


def four_channels() -> tuple[bytes, dict[str, Any]]:
    space = ImageSpace(shape=(4, 2, 2), mean=(0.5,) * 4, std=(0.2,) * 4, classes=CLASSES)
    made = Images(Images.Config(), space=space, images_NCHW=torch.zeros(3, 4, 2, 2))
    _, header = artifact_file()
    return pack(made, header | {"space": space.to_json()}), header | {"space": space.to_json()}
