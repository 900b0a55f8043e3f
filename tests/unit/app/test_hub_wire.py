"""The Hub's read protocol, request by request, as its clients send them."""

import hashlib
import io
from typing import Any

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from app.hub.files import git_blob
from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from registry import aliases
from registry.errors import StoreError
from tests.unit.app.conftest import Published, artifact_file, evaluate, memory_file, problem, publish

PARQUET = "ipc3/train-00000-of-00001.parquet"
GENERATOR_ONLY = "ipc50/train-00000-of-00001.parquet"


@pytest.fixture
def toy(services: Services, published: Published) -> Published:
    """An artifact that is also called `toy`."""
    name(services, "toy", published)
    return published


def name(services: Services, alias: str, published: Published) -> None:
    with services.database.write() as session:
        aliases.put(session, alias, artifact=published.id)


def resolve(path: str, *, repo: str = "toy", revision: str = "main") -> str:
    return f"/hf/datasets/distilled/{repo}/resolve/{revision}/{path}"


def info(client: TestClient, repo: str = "toy", revision: str | None = None, query: str = "") -> dict[str, Any]:
    at = "" if revision is None else f"/revision/{revision}"
    response = client.get(f"/hf/api/datasets/distilled/{repo}{at}{query}")
    assert response.status_code == 200, response.text
    return response.json()


def refusal(response: Any, status: int, code: str | None) -> dict[str, Any]:
    """A problem that clients of the Hub understand, too."""
    body = problem(response, status)
    assert response.headers.get("x-error-code") == code
    assert response.headers["x-error-message"]
    assert body["error"]
    return body


def test_head_tells_what_get_sends(client: TestClient, toy: Published) -> None:
    for path in ("README.md", "manifest.json", "artifact.safetensors", PARQUET):
        got = client.get(resolve(path), headers={"Accept-Encoding": "gzip"})
        told = client.head(resolve(path), headers={"Accept-Encoding": "identity"})
        assert (told.status_code, told.content) == (200, b"")
        assert told.headers["content-length"] == str(len(got.content))
        assert "content-encoding" not in got.headers
        assert told.headers["accept-ranges"] == "bytes"
        assert told.headers["x-repo-commit"] == got.headers["x-repo-commit"] == info(client)["sha"]
        digest = hashlib.sha256(got.content).hexdigest()
        large = path not in ("README.md", "manifest.json")
        tag = f'"{digest if large else git_blob(got.content)}"'
        assert told.headers["etag"] == got.headers["etag"] == tag
        assert told.headers.get("x-linked-etag") == (tag if large else None)
        assert told.headers.get("x-linked-size") == (str(len(got.content)) if large else None)
    assert client.get(resolve("artifact.safetensors")).content == toy.content


def test_small_files_have_the_names_that_git_gives_them() -> None:
    assert git_blob(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert git_blob(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_listings_agree_with_the_files(client: TestClient, toy: Published) -> None:
    tree = client.get("/hf/api/datasets/distilled/toy/tree/main?recursive=True&expand=False").json()
    files = [entry for entry in tree if entry["type"] == "file"]
    told = info(client, query="?blobs=True")["siblings"]
    assert [entry["path"] for entry in files] == [sibling["rfilename"] for sibling in told]
    assert {entry["path"] for entry in tree if entry["type"] == "directory"} == {"ipc1", "ipc3"}
    for entry, sibling in zip(files, told, strict=True):
        content = client.get(resolve(entry["path"])).content
        assert entry["size"] == sibling["size"] == len(content)
        assert entry["oid"] == sibling["blobId"]
        if "lfs" in entry:
            assert entry["lfs"]["oid"] == sibling["lfs"]["sha256"] == hashlib.sha256(content).hexdigest()
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{entry['lfs']['oid']}\n"
            pointer += f"size {len(content)}\n"
            assert entry["oid"] == git_blob(pointer.encode())
            assert entry["lfs"]["pointerSize"] == len(pointer)
        else:
            assert entry["oid"] == git_blob(content)


def test_a_folder_is_listed_alone_and_makes_its_own_file_only(
    client: TestClient, toy: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.hub import files  # noqa: PLC0415 -- the module that is watched

    made: list[int] = []
    real = files.export
    monkeypatch.setattr(files, "export", lambda *given, **how: (made.append(how["ipc"]), real(*given, **how))[1])
    api = "/hf/api/datasets/distilled/toy"

    def paths(path: str) -> list[str]:
        return [entry["path"] for entry in client.get(f"{api}/tree/main{path}").json()]

    assert paths("?recursive=False") == ["ipc1", "ipc3", "README.md", "artifact.safetensors", "manifest.json"]
    assert info(client)["siblings"][0] == {"rfilename": "README.md"}
    assert made == []
    assert paths("/ipc3") == [PARQUET]
    assert paths("/" + PARQUET.replace("/", "%2F")) == [PARQUET]
    assert made == [3, 3]
    asked = client.post(f"{api}/paths-info/main", data={"paths": ["ipc1", "README.md", "no", "ipc1"], "expand": "True"})
    assert [(entry["type"], entry["path"]) for entry in asked.json()] == [("directory", "ipc1"), ("file", "README.md")]
    assert {entry["lastCommit"]["id"] for entry in asked.json()} == {info(client)["sha"]}
    assert made == [3, 3]
    refusal(client.post(f"{api}/paths-info/main"), 422, None)


def test_parts_of_files(client: TestClient, toy: Published) -> None:
    whole = client.get(resolve(PARQUET))
    part = client.get(resolve(PARQUET), headers={"Range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, whole.content[4:12])
    assert part.headers["content-range"] == f"bytes 4-11/{len(whole.content)}"
    past = client.get(resolve(PARQUET), headers={"Range": f"bytes={len(whole.content)}-"})
    assert str(len(whole.content)) in refusal(past, 416, None)["error"]
    assert past.headers["content-range"] == f"bytes */{len(whole.content)}"


def test_a_file_that_changes_between_two_ranges_comes_whole(
    client: TestClient, services: Services, toy: Published
) -> None:
    first = client.get(resolve("artifact.safetensors"), headers={"Range": "bytes=0-9"})
    assert first.headers["cache-control"] == "no-cache"
    other = publish(services, seed=1)
    name(services, "toy", other)
    given = {"Range": "bytes=10-", "If-Range": first.headers["etag"]}
    rest = client.get(resolve("artifact.safetensors"), headers=given)
    assert (rest.status_code, rest.content) == (200, other.content)
    # Who asks by the commit gets the rest of what it began with.
    pinned = client.get(resolve("artifact.safetensors", revision=first.headers["x-repo-commit"]), headers=given)
    assert (pinned.status_code, first.content + pinned.content) == (206, toy.content)
    assert "immutable" in pinned.headers["cache-control"]


def test_a_commit_is_what_is_known_and_an_older_one_stays(
    client: TestClient, services: Services, toy: Published
) -> None:
    before = info(client)
    card = client.get(resolve("README.md")).text
    assert "has not been evaluated" in card
    evaluate(services, toy.id, accuracy=0.5)
    after = info(client)
    assert after["sha"] != before["sha"]
    assert after["sha"] == info(client, toy.id)["sha"], "a name is no content"
    assert after["lastModified"] > before["lastModified"] == before["createdAt"]
    manifest = client.get(resolve("manifest.json")).json()
    assert manifest["accuracy"] == manifest["evaluations"][0]["accuracy"] == 0.5
    assert "progress" not in manifest["evaluations"][0]
    old = {"revision": before["sha"]}
    assert client.get(resolve("README.md", **old)).text == card
    assert client.get(resolve("manifest.json", **old)).json()["accuracy"] is None
    assert info(client, revision=before["sha"])["sha"] == before["sha"]


def test_revisions_are_names_and_digests_of_the_same_artifact(
    client: TestClient, services: Services, toy: Published
) -> None:
    other = publish(services, seed=1)
    name(services, "other", other)
    name(services, "same", toy)
    commit = info(client)["sha"]
    for revision in ("main", toy.digest, "same", "toy", toy.id, commit):
        assert info(client, revision=revision)["sha"] == commit
        assert client.get(resolve("artifact.safetensors", revision=revision)).content == toy.content
    for revision in ("other", other.digest, other.id, "no", "0" * 40, "0" * 64, "refs%2Fpr%2F1", "a%00b", "x" * 300):
        for path in (f"revision/{revision}", f"tree/{revision}"):
            refusal(client.get(f"/hf/api/datasets/distilled/toy/{path}"), 404, "RevisionNotFound")
        assert client.head(resolve("README.md", revision=revision)).headers["x-error-code"] == "RevisionNotFound"
        refusal(client.get(resolve("README.md", revision=revision)), 404, "RevisionNotFound")


def test_what_is_pinned_outlives_the_move_of_a_name(client: TestClient, services: Services, toy: Published) -> None:
    commit = info(client)["sha"]
    other = publish(services, seed=1)
    name(services, "toy", other)
    name(services, "former", toy)
    assert info(client)["sha"] != commit
    for revision in (commit, toy.digest):
        assert client.get(resolve("artifact.safetensors", revision=revision)).content == toy.content
        refusal(client.get(resolve("README.md", repo=other.id, revision=revision)), 404, "RevisionNotFound")
    # Another name of what it was is none of what it is.
    refusal(client.get(resolve("README.md", revision="former")), 404, "RevisionNotFound")


def test_a_deleted_artifact_is_no_repository(client: TestClient, published: Published) -> None:
    assert client.delete(f"/v1/artifacts/{published.id}").status_code == 204
    refusal(client.get(resolve("README.md", repo=published.id)), 404, "RepoNotFound")
    assert client.get("/hf/api/datasets").json() == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("datasets/distilled/no/resolve/main/README.md", "RepoNotFound"),
        ("datasets/someone/toy/resolve/main/README.md", "RepoNotFound"),
        ("datasets/mnist/resolve/main/README.md", "RepoNotFound"),
        ("distilled/toy/resolve/main/config.json", "RepoNotFound"),
        ("spaces/distilled/toy/resolve/main/app.py", "RepoNotFound"),
        ("api/datasets/distilled/no", "RepoNotFound"),
        ("api/datasets/mnist", "RepoNotFound"),
        ("api/models/distilled/toy", "RepoNotFound"),
        ("api/datasets/distilled/no/refs", "RepoNotFound"),
        ("api/datasets/distilled/toy/tree/main/no", "EntryNotFound"),
        ("datasets/distilled/toy/resolve/main/toy.py", "EntryNotFound"),
        ("datasets/distilled/toy/resolve/main/ipc7/train-00000-of-00001.parquet", "EntryNotFound"),
        (f"datasets/distilled/toy/resolve/main/{GENERATOR_ONLY}", "EntryNotFound"),
        ("datasets/distilled/toy/resolve/main/ipc3", "EntryNotFound"),
        ("datasets/distilled/toy/resolve/main/..%2f..%2fetc%2fpasswd", "EntryNotFound"),
        ("api/agent-harnesses", None),
        ("nowhere", None),
    ],
)
def test_what_is_not_there_is_said_in_the_clients_words(
    client: TestClient, toy: Published, path: str, code: str | None
) -> None:
    response = client.get(f"/hf/{path}")
    refusal(response, 404, code)
    # With the commit a client remembers that the file is not there.
    assert response.headers.get("x-repo-commit") == (info(client)["sha"] if code == "EntryNotFound" else None)


def test_repositories_are_listed_by_their_names(client: TestClient, services: Services, toy: Published) -> None:
    name(services, "toy-best", toy)
    other = publish(services, file=memory_file())

    def listed(query: str = "") -> list[str]:
        response = client.get(f"/hf/api/datasets?{query}")
        assert response.status_code == 200, response.text
        return [one["id"].removeprefix("distilled/") for one in response.json()]

    assert listed() == [other.id, "toy", "toy-best"]
    assert listed("search=TOY&author=distilled&sort=createdAt&full=True") == ["toy", "toy-best"]
    assert listed("search=toy&search=best") == ["toy-best"]
    assert listed("author=someone") == []
    assert listed("filter=memory&filter=license:cc-by-4.0") == [other.id]
    assert listed("filter=license:mit") == []
    first = client.get("/hf/api/datasets?limit=1")
    rest = client.get(first.links["next"]["url"])
    assert [one["id"] for one in rest.json()] == ["distilled/toy", "distilled/toy-best"]
    assert "link" not in rest.headers
    refusal(client.get("/hf/api/datasets?sort=downloads"), 422, None)
    refusal(client.get("/hf/api/datasets?gated=True"), 422, None)
    refusal(client.get("/hf/api/datasets?cursor=no"), 422, None)


def test_refs_are_main_and_the_names(client: TestClient, services: Services, toy: Published) -> None:
    refs = client.get("/hf/api/datasets/distilled/toy/refs?include_prs=1").json()
    commit = info(client)["sha"]
    assert refs == {
        "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": commit}],
        "tags": [{"name": "toy", "ref": "refs/tags/toy", "targetCommit": commit}],
        "converts": [],
        "pullRequests": [],
    }


def test_a_key_makes_repositories_private(settings: AppSettings, services: Services, toy: Published) -> None:
    kept = settings.model_copy(update={"host": "0.0.0.0", "api_key": AppSettings(api_key="sesame").api_key})  # noqa: S104
    services.settings = kept
    keyed = TestClient(create_app(kept, services=services), base_url="http://anywhere.test")
    right, wrong = ({"Authorization": f"Bearer {key}"} for key in ("sesame", "hf_wrong"))
    assert keyed.get("/hf/api/datasets/distilled/toy", headers=right).json()["private"] is True
    assert keyed.get("/hf/api/whoami-v2", headers=right).json()["name"] == "distilled"
    for path in (resolve("README.md"), "/hf/api/datasets/distilled/toy", "/hf/api/datasets/distilled/no/tree/main"):
        refusal(keyed.get(path), 401, "RepoNotFound")
        assert keyed.head(path).headers["x-error-code"] == "RepoNotFound"
        # By this sentence clients know a wrong token, which is no missing repository.
        assert (
            refusal(keyed.get(path, headers=wrong), 401, None)["error"] == "Invalid credentials in Authorization header"
        )
    refusal(keyed.get("/hf/api/whoami-v2"), 401, None)


def test_a_store_that_is_away_is_told_with_when_to_come_again(
    client: TestClient, services: Services, toy: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> Any:
        raise StoreError

    monkeypatch.setattr(services.store, "get", fail)
    response = client.get(resolve(PARQUET))
    refusal(response, 503, None)
    assert response.headers["retry-after"] == "5"


def test_the_parquet_file_of_a_config_holds_so_many_of_each_class(client: TestClient, services: Services) -> None:
    published = publish(services, file=artifact_file(held=11, labels="soft"))
    for size in (1, 10, 11):
        content = client.get(resolve(f"ipc{size}/train-00000-of-00001.parquet", repo=published.id)).content
        table = pq.read_table(io.BytesIO(content))
        assert table["label"].to_pylist() == [0] * size + [1] * size + [2] * size
        assert table.column_names == ["image", "label", "soft_label"]
