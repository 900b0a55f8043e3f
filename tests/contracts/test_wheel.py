"""The wheel, unpacked where neither the service nor PyTorch is: what a user of distilled data has installed."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.unit.app.conftest import artifact_file

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout stays as it is, and unpacked."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for name in ("distilled", "app"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-c", BUILD, str(out)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (built,) = out.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(out / "unpacked")
    return out / "unpacked"


def test_the_wheel_holds_the_library_alone(wheel: Path) -> None:
    assert sorted(path.name for path in wheel.iterdir()) == ["distilled", "distilled-0.1.0.dist-info"]
    assert (wheel / "distilled/torch_data/stream.py").is_file()


def test_the_wheel_reads_without_torch_and_says_what_needs_it(wheel: Path, tmp_path: Path) -> None:
    path = tmp_path / "artifact.safetensors"
    path.write_bytes(artifact_file()[0])
    command = [sys.executable, str(ROOT / "tests/contracts/without_torch.py"), str(wheel), str(path)]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
