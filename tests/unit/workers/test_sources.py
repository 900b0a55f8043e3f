"""Where a job's data come from."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from distilled.errors import DigestMismatch
from registry import datasets, shared
from registry.errors import BlobMissing, StoreFull
from registry.sweeping import Sweeper
from registry.testing import memory_store
from tests.unit.distill_data.npzs import arrays, saved
from tests.unit.workers.conftest import Workplace
from workers import sources
from workers.distill import data
from workers.distill.errors import DatasetUnavailable


def upload(workplace: Workplace, folder: Path, *, name: str = "Squares") -> str:
    """Register an upload of two classes of 4×4 pixels; returns the digest of its file."""
    rng = np.random.default_rng(0)
    file = folder / "upload.npz"
    np.savez(
        file,
        train_images=rng.integers(0, 256, (20, 4, 4), dtype=np.uint8),
        train_labels=np.arange(20) % 2,
        test_images=rng.integers(0, 256, (6, 4, 4), dtype=np.uint8),
        test_labels=np.arange(6) % 2,
    )
    digest = workplace.store.put_file(file)
    with workplace.database.write() as session:
        facts: dict[str, Any] = {"licence": "CC0-1.0"}
        datasets.register(session, name=name, digest="d", blob_digest=digest, num_bytes=1, facts=facts)
    return digest


def resolve(workplace: Workplace, name: str) -> Any:
    return sources.resolve(name, bench=workplace.bench)


def test_a_built_in_set_is_loaded_by_any_case_of_its_name(workplace: Workplace) -> None:
    real = resolve(workplace, "Digits")
    assert (real.name, real.space.shape) == ("digits", (1, 8, 8))


def test_an_upload_is_fetched_once_and_read(workplace: Workplace, tmp_path: Path) -> None:
    digest = upload(workplace, tmp_path)
    real = resolve(workplace, "squares")
    assert (real.name, real.licence, real.space.shape) == ("squares", "CC0-1.0", (1, 4, 4))
    workplace.store.delete(digest)
    assert resolve(workplace, "SQUARES").digest == real.digest  # from the file fetched before


def test_a_set_that_is_not_registered_any_more_is_told_so(workplace: Workplace) -> None:
    with pytest.raises(DatasetUnavailable, match="upload it again"):
        resolve(workplace, "gone")


def test_bytes_that_are_not_the_ones_filed_are_refused_and_not_kept(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(workplace, tmp_path)
    monkeypatch.setattr(workplace.store, "stream", lambda digest: iter([b"other bytes"]))
    with pytest.raises(DigestMismatch):
        resolve(workplace, "squares")
    assert list((workplace.bench.settings.data_dir / "cache").iterdir()) == []


def test_a_blob_that_is_gone_leaves_no_half_file(workplace: Workplace, tmp_path: Path) -> None:
    workplace.store.delete(upload(workplace, tmp_path))
    with pytest.raises(BlobMissing):
        resolve(workplace, "squares")
    assert list((workplace.bench.settings.data_dir / "cache").iterdir()) == []


def test_a_copy_that_is_damaged_is_fetched_anew(workplace: Workplace, tmp_path: Path) -> None:
    digest = upload(workplace, tmp_path)
    real = resolve(workplace, "squares")
    copy = workplace.bench.cache.folder / digest
    copy.write_bytes(copy.read_bytes()[:-1])
    assert resolve(workplace, "squares").digest == real.digest
    assert workplace.store.get(digest) == copy.read_bytes()


def test_copies_stay_within_their_limit_and_the_longest_unused_goes(
    make_workplace: Callable[..., Workplace], tmp_path: Path
) -> None:
    digest = upload(make_workplace(), tmp_path)
    size = (tmp_path / "upload.npz").stat().st_size
    workplace = make_workplace(worker_cache_bytes=size + 100)
    workplace.store.put_file(tmp_path / "upload.npz")
    artifacts = [workplace.store.put(bytes([number]) * 60) for number in range(2)]
    resolve(workplace, "squares")
    kept = workplace.bench.cache.folder
    os.utime(kept / digest, (1, 1))
    for number, artifact in enumerate(artifacts):
        assert sources.content(artifact, bench=workplace.bench) == bytes([number]) * 60
    assert digest not in {path.name for path in kept.iterdir()}
    assert sum(path.stat().st_size for path in kept.iterdir()) <= size + 100
    assert resolve(workplace, "squares").name == "squares"


def test_without_a_cache_all_comes_from_the_store(make_workplace: Callable[..., Workplace], tmp_path: Path) -> None:
    workplace = make_workplace(worker_cache_bytes=0)
    upload(workplace, tmp_path)
    assert resolve(workplace, "squares").name == "squares"
    assert not workplace.bench.cache.folder.exists()


# -- built-in sets that one worker has and another has not -------------------------------------------------------------

CONTENT = arrays(classes=10, train=40, test=20, shape=(32, 32, 3))


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """CIFAR-10 as torchvision has it, on no machine yet; where it was downloaded to."""
    downloads: list[Path] = []

    class CIFAR10:
        def __init__(self, root: Path, *, train: bool, download: bool) -> None:
            if download and root not in downloads:
                downloads.append(root)
            if root not in downloads:
                raise RuntimeError("Dataset not found or corrupted.")
            split = "train" if train else "test"
            self.data, self.targets = CONTENT[f"{split}_images"], CONTENT[f"{split}_labels"].tolist()

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", CIFAR10)
    return downloads


@pytest.fixture
def machines(make_workplace: Callable[..., Workplace], tmp_path: Path) -> Callable[..., Workplace]:
    """Workers of a cluster: one database, one store, and a disk each."""
    store = memory_store()

    def machine(name: str, **settings: Any) -> Workplace:
        # The address is only looked at for what kind it is: the database stays the test's own.
        return make_workplace(store=store, data_dir=tmp_path / name, database_url="postgresql://db/d", **settings)

    return machine


def test_one_download_serves_a_cluster(machines: Callable[..., Workplace], published: list[Path]) -> None:
    first, second = machines("first"), machines("second", download=False)
    with pytest.raises(DatasetUnavailable, match="downloading is off"):
        resolve(second, "cifar10")
    alone = data.load("cifar10", data_dir=first.bench.settings.data_dir, download=True)
    here, there, again = resolve(first, "CIFAR-10"), resolve(second, "cifar10"), resolve(machines("third"), "cifar10")
    assert published == [first.bench.settings.data_dir]
    for real in (here, there, again):
        assert (real.digest, real.space, real.licence, real.name) == (
            alone.digest,
            alone.space,
            alone.licence,
            alone.name,
        )
        for name in ("train_bytes_NHWC", "train_labels_N", "val_bytes_NHWC", "val_labels_N", "test_labels_N"):
            assert torch.equal(getattr(real, name), getattr(alone, name))
    with first.database.read() as session:
        found = shared.find(session, "cifar10")
    assert found is not None
    assert found.digest == alone.digest
    assert found.num_bytes == first.store.size(found.blob_digest)


def test_a_shared_set_outlives_the_sweep_and_is_shared_again_where_its_bytes_are_gone(
    machines: Callable[..., Workplace], published: list[Path]
) -> None:
    first = machines("first")
    digest = resolve(first, "cifar10").digest
    with first.database.read() as session:
        found = shared.find(session, "cifar10")
    assert found is not None
    Sweeper(
        read=first.database.read, write=first.database.write, store=first.store, grace_seconds=0, dry_run=False
    ).sweep()
    assert first.store.exists(found.blob_digest)
    first.store.delete(found.blob_digest)
    assert resolve(machines("second"), "cifar10").digest == digest
    assert len(published) == 2
    assert first.store.exists(found.blob_digest)


def test_a_file_that_was_put_there_by_hand_is_shared_as_it_is(machines: Callable[..., Workplace]) -> None:
    first, second = machines("first"), machines("second", download=False)
    first.bench.settings.data_dir.mkdir()
    path = saved(first.bench.settings.data_dir / "CIFAR-10.npz", **CONTENT)
    digest = resolve(first, "cifar10").digest
    assert resolve(second, "cifar10").digest == digest
    with first.database.read() as session:
        found = shared.find(session, "cifar10")
    assert found is not None
    assert first.store.get(found.blob_digest) == path.read_bytes()
    second.bench.settings.data_dir.mkdir(exist_ok=True)
    (second.bench.settings.data_dir / "cifar10.npz").write_bytes(b"PK")
    with pytest.raises(DatasetUnavailable, match="cut off or damaged"):
        resolve(second, "cifar10")  # what lies on the own disk is never passed over in silence


def test_a_store_without_room_costs_the_others_a_download(
    machines: Callable[..., Workplace], published: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = machines("first")

    def full(path: Path) -> str:
        raise StoreFull

    monkeypatch.setattr(first.store, "put_file", full)
    assert resolve(first, "cifar10").name == "cifar10"
    with first.database.read() as session:
        assert shared.find(session, "cifar10") is None


def test_one_machine_shares_nothing_with_itself(workplace: Workplace, published: list[Path]) -> None:
    resolve(workplace, "cifar10")
    with workplace.database.read() as session:
        assert shared.find(session, "cifar10") is None
