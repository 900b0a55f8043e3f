"""The Hugging Face clients, unmodified, against a service that they reach by HF_ENDPOINT alone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from distilled.files import open_artifact
from distilled.images import to_bytes, to_pixels
from registry import aliases, keys
from registry.testing import MemoryQueue, memory_store, migrated_template, temporary_database
from tests.integration.app.live import Live, running
from tests.unit.app.catalog import CATALOG
from tests.unit.app.conftest import CLASSES, Published, artifact_file, evaluate, publish

KEY = "sesame"
PARQUET = "ipc10/train-00000-of-00001.parquet"


@dataclass(frozen=True, kw_only=True)
class Done:
    """What the clients told, and what the service was asked meanwhile."""

    told: dict[str, Any]
    asked: list[str]
    published: Published

    def between(self, flow: str, mark: str, end: str = "GET /hf/mark/") -> list[str]:
        """The requests after a mark of a flow, up to the next mark."""
        start = self.asked.index(f"GET /hf/mark/{mark}", self.asked.index(f"GET /hf/mark/{flow}"))
        rest = self.asked[start + 1 :]
        return rest[: next(i for i, line in enumerate(rest) if line.startswith(end))]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("hub")
    database = temporary_database(folder, template=migrated_template(folder))
    kept = AppSettings(home=folder / "home", api_key=KEY)
    services = Services(settings=kept, database=database, store=memory_store(), queue=MemoryQueue(), catalog=CATALOG)
    published = publish(services, file=artifact_file(held=12, labels="soft"))
    evaluate(services, published.id, accuracy=0.5)
    with database.write() as session:
        aliases.put(session, "toy", artifact=published.id)
        aliases.put(session, "toy-best", artifact=published.id)
    database.close()  # all is in its one file now
    (folder / "open").mkdir()
    open_to_all = temporary_database(folder / "open", template=folder / "registry.db")
    without = replace(services, settings=AppSettings(home=folder / "home"), database=open_to_all)
    with database.write() as session:
        powerless = keys.make(session, name="powerless", scopes=())
    doors = [create_app(parts.settings, services=parts) for parts in (services, without)]
    with running(doors[0]) as live, running(doors[1]) as other:
        told = clients(live, other, published, home=folder / "hf", powerless=powerless.secret)
        yield Done(told=told, asked=[*live.asked, "GET /hf/mark/"], published=published)
    database.close()
    open_to_all.close()


def clients(live: Live, other: Live, published: Published, *, home: Path, powerless: str) -> dict[str, Any]:
    """What the clients tell."""
    names = {"repo": "distilled/toy", "id": published.id, "digest": published.digest, "alias": "toy-best"}
    names["powerless"] = powerless
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        "HF_ENDPOINT": f"{live.url}/hf",
        "HF_HOME": str(home),
        "HF_TOKEN": KEY,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("hugging_face.py")),
            json.dumps({**names, "open": f"{other.url}/hf"}),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return json.loads(done.stdout)


def test_a_repository_is_described(done: Done) -> None:
    told = done.told["describe"]
    assert (told["id"], told["private"], told["licence"]) == ("distilled/toy", True, "cc-by-4.0")
    assert told["files"] == [
        "README.md",
        "artifact.safetensors",
        "ipc1/train-00000-of-00001.parquet",
        "ipc10/train-00000-of-00001.parquet",
        "ipc12/train-00000-of-00001.parquet",
        "manifest.json",
    ]
    assert told["siblings"] == told["tree"]
    assert [path for path, *_ in told["tree"]] == told["files"]
    weights = told["tree"][1]
    assert (weights[1], weights[3]) == (len(done.published.content), done.published.digest)
    assert told["refs"] == ["toy", "toy-best"]
    assert told["paths"] == ["ipc10", PARQUET]
    assert told["listed"] == ["distilled/toy", "distilled/toy-best"]
    assert told["filtered"] == []
    assert told["who"] == "distilled"
    assert told["exists"] == [True, False, True, False, True, False]


def test_a_file_is_downloaded_once(done: Done) -> None:
    told = done.told["download"]
    assert bytes.fromhex(told["content"]) == done.published.content
    assert told["same"]
    file = "/hf/datasets/distilled/toy/resolve/main/artifact.safetensors"
    assert done.between("download", "first") == [f"HEAD {file}", f"GET {file}"]
    assert done.between("download", "second") == [f"HEAD {file}"]
    # Whatever name the revision has, it is one commit.
    assert set(told["revisions"]) == {told["commit"]} == {done.told["describe"]["sha"]}


def test_the_card_is_read_as_the_libraries_read_it(done: Done) -> None:
    told = done.told["download"]
    assert list(told["configs"]) == list(told["features"]) == ["ipc1", "ipc10", "ipc12"]
    assert told["configs"]["ipc12"]["default"] is True
    for features in told["features"].values():
        assert features == done.told["snapshot"]["parquet_features"]
    assert "| convnet3 (*seen*) | hard | 50.0 ± 1.0 | 50.0 ± 1.0 | – | – |" in told["text"]


def test_a_snapshot_is_downloaded_once(done: Done) -> None:
    told = done.told["snapshot"]
    assert told["files"] == done.told["describe"]["files"]
    assert told["rows"] == 30
    assert told["same"]
    assert done.between("snapshot", "second") == ["GET /hf/api/datasets/distilled/toy/revision/main"]


def test_a_file_system_reads_parts(done: Done) -> None:
    told = done.told["filesystem"]
    assert [path.removeprefix("datasets/distilled/toy/") for path in told["ls"]] == [
        "README.md",
        "artifact.safetensors",
        "ipc1",
        "ipc10",
        "ipc12",
        "manifest.json",
    ]
    assert len(told["glob"]) == 3
    assert told["ends"] == ["PAR1", "PAR1"]
    assert told["rows"] == 30
    parts = [line for line in done.between("filesystem", "read") if " bytes=" in line]
    assert [line.rpartition("=")[2] for line in parts] == ["0-67", f"{told['size'] - 4}-{told['size'] - 1}"]
    for missing in ("missing", "missing_repository"):
        assert told[missing][0] == "FileNotFoundError"


def test_data_sets_are_loaded_whole_and_streamed(done: Done) -> None:
    told = done.told["data"]
    assert told["names"] == ["ipc1", "ipc10", "ipc12"]
    assert (told["rows"], told["default"], told["pinned"]) == (30, 36, [3, 3])
    assert told["classes"] == list(CLASSES)
    assert told["labels"] == [0] * 10 + [1] * 10 + [2] * 10
    assert told["size"] == [[4, 4], "RGB"]
    assert told["soft"] == pytest.approx([0.9, 0.05, 0.05])
    assert told["built"] == ["image", "label", "soft_label"]
    stored = open_artifact(done.published.content).parametrization
    drawn = stored.draw(torch.zeros(1, dtype=torch.int64), rng=None).images_NCHW
    pixels = to_bytes(to_pixels(drawn, mean=stored.space.mean, std=stored.space.std))
    assert told["first"] == pixels[0].numpy().tobytes().hex()
    assert len(told["streamed"]) == 15
    assert told["streamed"][0] == [told["first"], 0]
    assert [label for _, label in told["streamed"]] == told["labels"][:15]
    streaming = done.between("data", "streaming")
    assert any(line.startswith("GET") and PARQUET in line and " bytes=" in line for line in streaming)


@pytest.mark.parametrize(
    ("flow", "what", "kind", "said"),
    [
        ("refused", "repository", "RepositoryNotFoundError", "there is no dataset distilled/no"),
        ("refused", "namespace", "RepositoryNotFoundError", "there is no dataset someone/else"),
        ("refused", "model", "RepositoryNotFoundError", "repo_type='dataset'"),
        ("refused", "revision", "RevisionNotFoundError", "no revision no"),
        ("refused", "old_commit", "RevisionNotFoundError", "no revision 0000"),
        ("refused", "entry", "RemoteEntryNotFoundError", "there are README.md"),
        ("refused", "tree", "RemoteEntryNotFoundError", "no/folder"),
        ("refused", "no_token", "RepositoryNotFoundError", "401 Client Error"),
        ("refused", "no_token_info", "RepositoryNotFoundError", "401 Client Error"),
        ("refused", "no_token_data", "DatasetNotFoundError", "doesn't exist on the Hub or cannot be accessed"),
        ("refused", "wrong_token", "HfHubHTTPError", "Invalid credentials in Authorization header"),
        ("refused", "wrong_token_data", "HfHubHTTPError", "Invalid credentials in Authorization header"),
        ("refused", "wrong_who", "HfHubHTTPError", "Invalid user token"),
        ("refused", "powerless", "GatedRepoError", "Cannot access gated repo"),
        ("refused", "powerless_info", "GatedRepoError", "needs a key with the scope `read`"),
        ("refused", "powerless_data", "DatasetNotFoundError", "is a gated dataset on the Hub"),
        ("refused", "range", "HfHubHTTPError", "Content-Range: bytes */"),
        ("refused", "write", "HfHubHTTPError", "404"),
        ("data", "no_config", "ValueError", "'ipc7' not found. Available: ['ipc1', 'ipc10', 'ipc12']"),
        ("data", "no_dataset", "DatasetNotFoundError", "doesn't exist on the Hub"),
        ("data", "no_revision", "DatasetNotFoundError", "Revision 'no' doesn't exist"),
        ("data", "no_split", "ValueError", 'Unknown split "test"'),
    ],
)
def test_what_is_not_there_is_the_error_that_users_know(done: Done, flow: str, what: str, kind: str, said: str) -> None:
    nearest, *_, message = done.told[flow][what]
    assert nearest == kind
    assert said in message


def test_without_a_key_nobody_needs_a_token(done: Done) -> None:
    assert done.told["without_a_key"] == {"private": False, "file": "manifest.json", "read": "PAR1"}
