"""A small artifact: 3 classes of 3 images, 3 x 4 x 4."""

from pathlib import Path

import pytest

from distilled.files import Artifact, open_artifact
from tests.unit.app.conftest import artifact_file


@pytest.fixture
def hard() -> Artifact:
    return open_artifact(artifact_file()[0])


@pytest.fixture
def soft() -> Artifact:
    return open_artifact(artifact_file(labels="soft")[0])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "artifact.safetensors"
    target.write_bytes(artifact_file()[0])
    return target
