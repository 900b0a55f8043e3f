"""Where a job's data come from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilled.errors import DigestMismatch
from registry import datasets
from registry.errors import BlobMissing
from tests.unit.workers.conftest import Workplace
from workers import sources
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
    return sources.resolve(
        name,
        database=workplace.database,
        store=workplace.store,
        data_dir=workplace.bench.settings.data_dir,
        download=False,
    )


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
    assert list((workplace.bench.settings.data_dir / "uploads").iterdir()) == []


def test_a_blob_that_is_gone_leaves_no_half_file(workplace: Workplace, tmp_path: Path) -> None:
    workplace.store.delete(upload(workplace, tmp_path))
    with pytest.raises(BlobMissing):
        resolve(workplace, "squares")
    assert list((workplace.bench.settings.data_dir / "uploads").iterdir()) == []
