"""The store's promises, on memory and a folder here and on S3 in integration."""

import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore

from registry import errors
from registry.store import Store
from registry.testing import FullDiskStore

HOSTILE = [
    "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "", "a\\b", "C:/x", "\0", "a%2fb", "..%2fx", "x#1", "?", "é",
    ".hidden", "A", "a" * 129, "a\n", "/".join("abcdefghij"),
]  # fmt: skip


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.open("memory://" if request.param == "memory" else (tmp_path / "a store").as_uri())


def test_content_is_filed_under_its_digest(store: Store) -> None:
    digest = store.put(b"hello")
    assert digest == sha256(b"hello").hexdigest()
    assert store.put(b"hello") == digest
    assert (store.get(digest), store.size(digest), store.exists(digest)) == (b"hello", 5, True)
    assert store.get(store.put(b"")) == b""


def test_files_of_many_chunks_are_kept_whole(store: Store, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4 * 6000  # 6 MB: more than one part of a multipart upload
    path = tmp_path / "file"
    path.write_bytes(content)
    digest = store.put_file(path)
    assert store.put_file(path) == digest
    assert digest == sha256(content).hexdigest()
    assert b"".join(store.stream(digest)) == content
    assert b"".join(store.stream(digest, 5_000_000, 5_000_300)) == content[5_000_000:5_000_300]


def test_ranges_are_half_open_and_end_with_the_blob(store: Store) -> None:
    digest = store.put(b"0123456789")
    asked = [(0, None), (2, 4), (9, 10), (8, 99), (10, None), (3, 3)]
    assert [b"".join(store.stream(digest, *span)) for span in asked] == [b"0123456789", b"23", b"9", b"89", b"", b""]
    for span in [(11, None), (-1, 3), (5, 4)]:
        with pytest.raises(errors.InvalidRange, match="10 bytes"):
            store.stream(digest, *span)


def test_what_is_missing_is_named_and_no_path_of_the_host_is(store: Store, tmp_path: Path) -> None:
    digest = "0" * 64
    asked: list[Callable[[str], object]] = [store.get, store.size, store.stream]
    for ask in asked:
        with pytest.raises(errors.BlobMissing, match=digest) as caught:
            ask(digest)
        assert str(tmp_path) not in str(caught.value)
    assert store.exists(digest) is False
    store.delete(digest)
    store.delete_named("snapshots/none")
    with pytest.raises(errors.BlobMissing):
        store.get_named("snapshots/none")


def test_a_deleted_blob_is_gone(store: Store) -> None:
    digest = store.put(b"x")
    store.delete(digest)
    assert store.exists(digest) is False


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_are_refused_before_they_reach_the_backend(store: Store, key: str) -> None:
    for ask in (store.get_named, store.delete_named, store.list_named, store.get, store.delete, store.stream):
        with pytest.raises(errors.InvalidKey):
            ask(key)
    with pytest.raises(errors.InvalidKey):
        store.put_named(key, b"")


def test_named_objects_change_and_are_listed(store: Store) -> None:
    for key in ("snapshots/job_b/2", "snapshots/job_a/1", "snapshots/job_a/2"):
        store.put_named(key, b"old")
    store.put_named("snapshots/job_a/1", b"new")
    assert store.get_named("snapshots/job_a/1") == b"new"
    assert store.list_named("snapshots/job_a") == ["snapshots/job_a/1", "snapshots/job_a/2"]
    store.delete_named("snapshots/job_a/1")
    assert store.list_named("snapshots/job_a") == ["snapshots/job_a/2"]
    assert store.list_named("nothing") == []
    store.check()


def test_damage_is_noticed_and_a_stump_is_repaired(tmp_path: Path) -> None:
    store = Store.open(tmp_path.as_uri())
    digest = store.put(b"precious")
    file = next(path for path in tmp_path.rglob(digest))
    file.write_bytes(b"precioux")
    with pytest.raises(errors.BlobCorrupt, match=digest):
        store.get(digest)
    file.write_bytes(b"")  # as after a power cut
    store.put(b"precious")
    assert store.get(digest) == b"precious"


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    """A real refusal by the operating system: the process may write no file beyond 100 kB."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom registry import errors\nfrom registry.store import Store\n"
        "store, big = Store.open(sys.argv[1]), b'x' * 9_000_000\n"
        "for write in (lambda: store.put(big), lambda: store.put_named('snapshots/x', big)):\n"
        "    try:\n        write()\n    except errors.StoreFull as full:\n        print(full)\n"
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    folder = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-c", script, folder.as_uri()],
        preexec_fn=limit,
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.count("no room left") == 2
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_no_space_left_is_a_full_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise GenericError("Generic LocalFileSystem error: Unable to copy data: No space left on device (os error 28)")

    store = Store(MemoryStore())
    monkeypatch.setattr(obstore, "put", refuse)
    with pytest.raises(errors.StoreFull):
        store.put(b"x")


def test_another_failure_of_the_backend_shows_no_detail(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise GenericError("Generic S3 error: /home/me/secret")

    store = Store(MemoryStore())
    monkeypatch.setattr(obstore, "put", refuse)
    with pytest.raises(errors.StoreError, match="DISTILLED_STORE_URL") as caught:
        store.put(b"x")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x/y", "nonsense", "http://x/y", "s3://bucket/?nonsense=1", "file:///proc/x/y"])
def test_an_address_that_cannot_be_opened_is_refused(url: str) -> None:
    with pytest.raises(errors.StoreError):
        Store.open(url)


def test_the_full_disk_fake_keeps_reading(tmp_path: Path) -> None:
    store = FullDiskStore(writes_left=1)
    digest = store.put(b"x")
    path = tmp_path / "file"
    path.write_bytes(b"y")
    for write in (lambda: store.put(b"y"), lambda: store.put_named("a", b"y"), lambda: store.put_file(path)):
        with pytest.raises(errors.StoreFull):
            write()
    assert store.get(digest) == b"x"
