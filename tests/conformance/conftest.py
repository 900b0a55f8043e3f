"""The service under test, and the few things that the suite makes in it: one data set, a handful of tiny jobs."""

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.conformance import making
from tests.conformance.wire import Wire, until

URLS = os.environ.get("DISTILLED_URL", "").split()
#: Fixtures that cost a job: what needs none of them goes first, while the worker is at it.
COSTLY = ("images", "soft", "generator", "measured", "sent")
#: How long a job may take until the suite gives up on it, in seconds. A start of torch on a shared core is most of it.
JOB_SECONDS = 150.0


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--url", action="append", default=[], help="address of the service; several are used in turns")
    group.addoption("--key", default=os.environ.get("DISTILLED_KEY"), help="its key; none for one that has none")
    group.addoption("--prefix", default=None, help="begins every name that this run gives away; else a random one")
    group.addoption("--job-seconds", type=float, default=JOB_SECONDS, help="how long a tiny job may take")
    group.addoption("--keep", action="store_true", help="leave data and artifacts to the next run with this prefix")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Without an address there is nothing to test: the checkout's own run starts services and calls this suite."""
    return None if _urls(config) else True


def pytest_report_header(config: pytest.Config) -> str:
    return f"conformance: {', '.join(_urls(config)) or 'no --url'}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_needs_a_job)


def _urls(config: pytest.Config) -> list[str]:
    return config.getoption("--url", default=[]) or URLS


def _needs_a_job(item: pytest.Item) -> bool:
    return any(name in COSTLY for name in getattr(item, "fixturenames", ()))


TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}


@dataclass(frozen=True, kw_only=True)
class Made:
    """An artifact of this run. path: where it is. manifest: as it was when it was first read."""

    id: str
    path: str
    job: dict[str, Any]
    manifest: dict[str, Any]


@pytest.fixture(scope="session")
def prefix(request: pytest.FixtureRequest) -> str:
    """Begins every name that this run gives away, so that runs side by side do not meet."""
    return request.config.getoption("--prefix") or f"conf-{uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def keep(request: pytest.FixtureRequest) -> bool:
    """Whether what is made stays, for work on the suite itself."""
    return request.config.getoption("--keep")


@pytest.fixture(scope="session")
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    options = request.config.option
    made = Wire(_urls(request.config), key=options.key, patience=options.job_seconds)
    for url in made.urls:
        try:
            answer = httpx2.get(f"{url}/healthz", timeout=30)
        except httpx2.TransportError as error:
            pytest.exit(f"no service answers at {url}: {error}", returncode=2)
        if answer.status_code != 200:
            pytest.exit(f"{url}/healthz answers {answer.status_code}; is this a distilled service?", returncode=2)
    if made.call("GET", "/v1/methods").status_code == 401:
        pytest.exit("the service wants a key: --key or DISTILLED_KEY", returncode=2)
    yield made
    made.close()


@pytest.fixture(scope="session")
def dataset(wire: Wire, prefix: str, keep: bool) -> Iterator[str]:
    """An uploaded data set. In the end all that was made from it goes, and then it goes itself."""
    name = f"{prefix}-data"
    if not keep or wire.call("GET", f"/v1/datasets/{name}").status_code == 404:
        file = ("a.npz", making.npz(prefix))
        wire.ok("POST", "/v1/datasets", status=201, data={"name": name}, files={"file": file})
    yield name
    for page in wire.pages("/v1/jobs", dataset=name):
        for job in page:
            if job["state"] in ("queued", "running"):
                wire.call("POST", f"/v1/jobs/{job['id']}/cancel")
    if keep:
        return
    for artifact in [item for page in wire.pages("/v1/artifacts", dataset=name) for item in page]:
        for alias in wire.get(f"/v1/artifacts/{artifact['id']}")["aliases"]:
            wire.ok("DELETE", f"/v1/aliases/{alias}", status=204)
        wire.ok("DELETE", f"/v1/artifacts/{artifact['id']}", status=204)
    wire.ok("DELETE", f"/v1/datasets/{name}?force=true", status=204)


@pytest.fixture(scope="session")
def worker(wire: Wire) -> None:
    """Skips, with one clear reason, where nobody would do a job."""
    found = wire.call("GET", "/readyz").json()["checks"]["workers"]
    if found["state"] != "ok":
        pytest.skip(f"the service has no live worker, so nothing can be made: {found['detail']}")


@pytest.fixture(scope="session")
def jobs(wire: Wire, worker: None, dataset: str, keep: bool) -> dict[str, str]:
    """The ids of the jobs whose artifacts tests look at, queued at once."""
    recipes = {"images": making.IMAGES, "generator": making.GENERATOR, "soft": making.SOFT}
    path = f"/v1/jobs?reuse={str(keep).lower()}"
    return {
        name: wire.call("POST", path, json={**made, "dataset": dataset}).json()["id"] for name, made in recipes.items()
    }


@pytest.fixture(scope="session")
def sent(wire: Wire, worker: None, prefix: str, keep: bool) -> Iterator[dict[str, str]]:
    """The names of data sets that a worker is to look at, by what was sent; all at once, one of them in pieces."""
    names = {kind: f"{prefix}-{kind}" for kind in ("zip", "tar", "parquet", "spoilt")}
    if keep and all(wire.call("GET", f"/v1/datasets/{name}").status_code == 200 for name in names.values()):
        yield names
        return
    spoilt = {"train/dog/broken.png": b"no picture", "train/dog/same.png": making.png(0)}
    files = {
        "tar": ("a.tar.gz", making.tarred({**making.folder("train"), **spoilt})),
        "parquet": ("a.parquet", making.table()),
        "spoilt": ("a.zip", making.zipped({"../../escape.png": making.png(1), "train/dog/0.png": making.png(2)})),
    }
    for kind, file in files.items():
        wire.ok("POST", "/v1/datasets", status=201, data={"name": names[kind]}, files={"file": file})
    upload = resumed(wire, making.zipped(making.folder("train", "test"))).rpartition("/")[2]
    body = {"name": names["zip"], "upload": upload, "licence": "CC0 1.0"}
    wire.ok("POST", "/v1/datasets", status=201, json=body)
    yield names
    for name in () if keep else names.values():
        wire.ok("DELETE", f"/v1/datasets/{name}?force=true", status=204)


@pytest.fixture(scope="session", autouse=True)
def begun(request: pytest.FixtureRequest) -> None:
    """Queues the jobs before the first test, so that the worker works while tests run that need none of them."""
    if any(_needs_a_job(item) for item in request.session.items):
        wire: Wire = request.getfixturevalue("wire")
        if wire.call("GET", "/readyz").json()["checks"]["workers"]["state"] == "ok":
            request.getfixturevalue("jobs")
            request.getfixturevalue("sent")


@pytest.fixture(scope="session")
def images(wire: Wire, jobs: dict[str, str]) -> Made:
    """Finished images with hard labels, `making.IMAGES`."""
    return made(wire, jobs["images"])


@pytest.fixture(scope="session")
def generator(wire: Wire, jobs: dict[str, str]) -> Made:
    """A generator, `making.GENERATOR`."""
    return made(wire, jobs["generator"])


@pytest.fixture(scope="session")
def soft(wire: Wire, jobs: dict[str, str]) -> Made:
    """Finished images with soft labels, `making.SOFT`."""
    return made(wire, jobs["soft"])


@pytest.fixture(scope="session")
def measured(wire: Wire, images: Made) -> dict[str, Any]:
    """The manifest of `images` once its evaluation has ended."""

    def look() -> dict[str, Any] | None:
        manifest = wire.get(images.path)
        states = {row["state"] for row in manifest["evaluations"]}
        return None if states & {"queued", "running"} else manifest

    return until(look, what="the artifact is evaluated", seconds=wire.patience)


def submit(wire: Wire, recipe: dict[str, Any]) -> str:
    """Queue a recipe; the job's id."""
    answer = wire.ok("POST", "/v1/jobs", status=202, json=recipe)
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    return answer.json()["id"]


def made(wire: Wire, job_id: str) -> Made:
    """What a job made, once it has."""
    job = wire.until_job(job_id, "succeeded", "failed", "cancelled")
    if job["state"] != "succeeded":
        pytest.exit(f"{job_id} {job['state']}, so what tests look at is not there: {job['error']}", returncode=1)
    path = f"/v1/artifacts/{job['artifact_id']}"
    return Made(id=job["artifact_id"], path=path, job=job, manifest=wire.get(path))


def resumed(wire: Wire, content: bytes) -> str:
    """Send an upload in two pieces, the second from where the service says that it stands; its path."""
    told = "filename " + base64.b64encode(b"a.zip").decode()
    begin = {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": told}
    location = path_of(wire.ok("POST", "/v1/uploads", status=201, headers=begin))
    half = len(content) // 2
    wire.ok("PATCH", location, status=204, headers={**PIECE, "Upload-Offset": "0"}, content=content[:half])
    stands = wire.ok("HEAD", location, headers=TUS).headers
    assert (stands["upload-offset"], stands["upload-length"]) == (str(half), str(len(content)))
    rest = {**PIECE, "Upload-Offset": stands["upload-offset"]}
    assert wire.ok("PATCH", location, status=204, headers=rest, content=content[half:]).headers["upload-offset"] == str(
        len(content)
    )
    return location


def path_of(answer: httpx2.Response) -> str:
    """The path of what was made, on whatever replica the next request goes to."""
    return httpx2.URL(answer.headers["location"]).path
