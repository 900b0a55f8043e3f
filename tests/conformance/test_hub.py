"""`/hf`: the Hugging Face Hub's read protocol, as its clients speak it (their own flows are tested with themselves)."""

import hashlib
import io
import json
import re
from typing import Any

import httpx2
import pyarrow.parquet as pq
import pytest

from tests.conformance.conftest import Made
from tests.conformance.making import CLASSES
from tests.conformance.wire import Wire

API = "/hf/api/datasets/distilled"
FILES = "/hf/datasets/distilled"


@pytest.fixture(scope="module")
def repository(wire: Wire, images: Made, measured: dict[str, Any]) -> dict[str, Any]:
    """What the Hub tells of the repository of `images`, once its evaluation changes no more."""
    return wire.get(f"{API}/{images.id}")


def resolve(wire: Wire, made: Made, path: str, *, method: str = "GET", revision: str = "main") -> httpx2.Response:
    return wire.ok(method, f"{FILES}/{made.id}/resolve/{revision}/{path}", headers={"Accept-Encoding": "identity"})


def refused(wire: Wire, path: str, code: str, *, method: str = "GET") -> httpx2.Response:
    answer = wire.ok(method, path, status=404)
    assert answer.headers["x-error-code"] == code
    assert answer.headers["x-error-message"]
    return answer


def test_a_repository_says_what_it_is(repository: dict[str, Any], images: Made, wire: Wire) -> None:
    assert repository["id"] == f"distilled/{images.id}"
    assert re.fullmatch(r"[0-9a-f]{40}", repository["sha"])
    assert {"gated", "disabled", "tags", "downloads", "likes", "lastModified", "createdAt"} <= set(repository)
    assert repository["private"] == (wire.key is not None)
    files = {item["rfilename"] for item in repository["siblings"]}
    assert {"README.md", "manifest.json", "artifact.safetensors"} <= files
    assert {"ipc1/train-00000-of-00001.parquet", "ipc3/train-00000-of-00001.parquet"} <= files


def test_a_revision_is_main_a_commit_an_alias_or_a_digest(
    wire: Wire, repository: dict[str, Any], images: Made, prefix: str
) -> None:
    alias = f"{prefix}-hub"
    wire.ok("PUT", f"/v1/aliases/{alias}", status=201, json={"artifact_id": images.id})
    try:
        for revision in ("main", repository["sha"], images.manifest["digest"], alias):
            assert wire.get(f"{API}/{images.id}/revision/{revision}")["sha"] == repository["sha"], revision
        assert wire.get(f"{API}/{alias}")["sha"] == repository["sha"]
        assert alias in [ref["name"] for ref in wire.get(f"{API}/{images.id}/refs")["tags"]]
    finally:
        wire.ok("DELETE", f"/v1/aliases/{alias}", status=204)


def test_the_tree_tells_sizes_and_digests_that_are_true(wire: Wire, repository: dict[str, Any], images: Made) -> None:
    tree = wire.get(f"{API}/{images.id}/tree/{repository['sha']}?recursive=true&expand=false")
    files = {item["path"]: item for item in tree if item["type"] == "file"}
    assert set(files) == {item["rfilename"] for item in repository["siblings"]}
    assert {item["path"] for item in tree if item["type"] == "directory"} >= {"ipc1", "ipc3"}
    for path, item in files.items():
        content = resolve(wire, images, path).content
        assert item["size"] == len(content), path
        if "lfs" in item:
            assert item["lfs"]["oid"] == hashlib.sha256(content).hexdigest(), path
            assert item["lfs"]["size"] == len(content), path
        else:
            git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
            assert item["oid"] == git.hexdigest(), path


def test_the_tree_can_be_read_folder_by_folder(wire: Wire, repository: dict[str, Any], images: Made) -> None:
    root = wire.get(f"{API}/{images.id}/tree/main?recursive=false")
    assert {"ipc1", "README.md"} <= {item["path"] for item in root}
    below = wire.get(f"{API}/{images.id}/tree/main/ipc1")
    assert [item["path"] for item in below] == ["ipc1/train-00000-of-00001.parquet"]


def test_paths_info_answers_for_those_there_are(wire: Wire, repository: dict[str, Any], images: Made) -> None:
    form = {"paths": ["README.md", "ipc1", "nothing.txt"], "expand": "false"}
    found = wire.ok("POST", f"{API}/{images.id}/paths-info/main", data=form).json()
    assert {item["path"] for item in found} == {"README.md", "ipc1"}


@pytest.mark.parametrize("path", ["README.md", "artifact.safetensors", "ipc1/train-00000-of-00001.parquet"])
def test_head_tells_commit_tag_and_length(wire: Wire, repository: dict[str, Any], images: Made, path: str) -> None:
    head, whole = resolve(wire, images, path, method="HEAD"), resolve(wire, images, path)
    assert head.headers["x-repo-commit"] == repository["sha"]
    assert int(head.headers["content-length"]) == len(whole.content)
    assert head.headers["accept-ranges"] == "bytes"
    assert head.headers["etag"] == whole.headers["etag"]
    assert not head.headers["etag"].startswith("W/")
    assert "content-encoding" not in whole.headers
    if path != "README.md":
        assert head.headers["x-linked-etag"].strip('"') == hashlib.sha256(whole.content).hexdigest()
        assert int(head.headers["x-linked-size"]) == len(whole.content)


def test_a_part_of_a_file_is_the_same_part(wire: Wire, images: Made) -> None:
    path = f"{FILES}/{images.id}/resolve/main/ipc1/train-00000-of-00001.parquet"
    whole = wire.ok("GET", path)
    part = wire.ok("GET", path, status=206, headers={"Range": "bytes=4-19"})
    assert part.content == whole.content[4:20]
    changed = wire.ok("GET", path, headers={"Range": "bytes=4-", "If-Range": '"another"'})
    assert changed.content == whole.content
    wire.ok("GET", path, status=416, headers={"Range": f"bytes={len(whole.content)}-"})


def test_the_files_are_those_of_the_service(wire: Wire, repository: dict[str, Any], images: Made) -> None:
    weights = resolve(wire, images, "artifact.safetensors").content
    assert hashlib.sha256(weights).hexdigest() == images.manifest["digest"]
    for ipc in (1, 3):
        parquet = resolve(wire, images, f"ipc{ipc}/train-00000-of-00001.parquet").content
        assert parquet == wire.ok("GET", f"{images.path}/download?format=parquet&ipc={ipc}").content
        assert pq.read_table(io.BytesIO(parquet)).num_rows == ipc * len(CLASSES)
    told = json.loads(resolve(wire, images, "manifest.json").content)
    assert (told["digest"], told["classes"]) == (images.manifest["digest"], CLASSES)


def test_the_card_states_licence_recipe_accuracy_and_bytes(
    wire: Wire, repository: dict[str, Any], images: Made
) -> None:
    card = resolve(wire, images, "README.md").text
    front, _, text = card.removeprefix("---\n").partition("\n---\n")
    assert "license:" in front
    assert "config_name: ipc1" in front
    assert "config_name: ipc3" in front
    for word in ("kip", "random", "centroid", "full", images.manifest["digest"], images.manifest["lineage"]["dataset"]):
        assert word in text, word


def test_what_is_not_there_is_told_apart(wire: Wire, images: Made) -> None:
    nothing = "no-such-name"
    for path in (f"{API}/{nothing}", f"{API}/{nothing}/tree/main", f"{FILES}/{nothing}/resolve/main/README.md"):
        refused(wire, path, "RepoNotFound")
    refused(wire, "/hf/api/datasets/somebody/else", "RepoNotFound")
    for path in (f"{API}/{images.id}/revision/no-such", f"{FILES}/{images.id}/resolve/{'0' * 40}/README.md"):
        refused(wire, path, "RevisionNotFound")
    for path in ("nothing.txt", "ipc99/train-00000-of-00001.parquet", ".huggingface.yaml", "dataset_infos.json"):
        answer = refused(wire, f"{FILES}/{images.id}/resolve/main/{path}", "EntryNotFound", method="HEAD")
        assert re.fullmatch(r"[0-9a-f]{40}", answer.headers["x-repo-commit"]), path


def test_repositories_can_be_searched(wire: Wire, images: Made) -> None:
    found = wire.ok("GET", f"/hf/api/datasets?search={images.id}&limit=100").json()
    assert [item["id"] for item in found] == [f"distilled/{images.id}"]
    assert wire.ok("GET", "/hf/api/datasets?author=somebody").json() == []


def test_whoever_has_the_key_is_somebody(wire: Wire) -> None:
    assert wire.get("/hf/api/whoami-v2")["name"]


def test_a_private_repository_is_one_that_is_not_there(wire: Wire) -> None:
    if wire.key is None:
        pytest.skip("needs a service that has a key")
    for path in (f"{API}/anything", f"{FILES}/anything/resolve/main/README.md"):
        answer = wire.call("GET", path, bare=True)
        assert (answer.status_code, answer.headers["x-error-code"]) == (401, "RepoNotFound")
