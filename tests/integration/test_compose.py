"""What docker-compose.yml describes, as processes: its code, commands and variables, on services of the test's own.

The code is laid out as the images have it, so the front ends cannot see the workers, nor the workers the front end.
"""

import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from sqlalchemy import create_engine, text

from tests import services
from tests.containers import ROOT, SECRETS, compose, dockerfile, lay_out
from tests.unit.app.test_datasets import npz

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]  # whichever test is first starts all of it

RECIPE: dict[str, Any] = {
    "dataset": "digits",
    "method": "dm",
    "ipc": 1,
    "seed": 3,
    "steps": 2,
    "objective": {"real_batch": 16},
    "evaluation": {"networks": ["mlp-w16"], "steps": 5, "epochs": 1, "repeats": 1},
}
#: What a laptop's two cores need that Compose does not say, and faster looks than a cluster's.
HERE = {"DISTILLED_TORCH_THREADS": "1", "DISTILLED_HEARTBEAT_SECONDS": "1", "OMP_NUM_THREADS": "1"}
PYTHONPATH = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
#: As `docker compose up --scale worker-cpu=2` starts them.
WORKERS = 2
KEY = {"Authorization": f"Bearer {SECRETS['API_KEY']}"}


@dataclass(kw_only=True)
class Stack:
    """The processes of docker-compose.yml on this machine."""

    folder: Path
    addresses: dict[str, str]
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    fronts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.described = compose(SECRETS)["services"]
        self.roots = {target: lay_out(target, self.folder / target) for target in ("api", "worker")}

    def environment(self, service: str, target: str, *, name: str = "", **more: str) -> dict[str, str]:
        """The variables of the image and of Compose, with the test's addresses in place of the containers'.

        name: of the replica, each of which has a home of its own.
        """
        image, said = dockerfile()[target].environment(), self.described[service]["environment"]
        ours = {name: value for name, value in {**image, **said}.items() if name != "PATH"}
        for container, here in self.addresses.items():
            ours = {name: value.replace(container, here) for name, value in ours.items()}
        home = self.folder / "volumes" / (name or service)
        home.mkdir(parents=True, exist_ok=True)
        ours |= {"DISTILLED_HOME": str(home), "HOME": str(home), "PYTHONPATH": str(self.roots[target])}
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return {**inherited, **PYTHONPATH, **ours, **HERE, **more}

    def run(self, service: str, target: str, *, name: str, **more: str) -> "subprocess.Popen[bytes]":
        """Start a service's command as its image would."""
        command = [sys.executable, "-P", "-m", "distilled", *self.described[service]["command"]]
        with self.log(name).open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=self.roots[target],
                env=self.environment(service, target, name=name, **more),
                stdout=log,
                stderr=log,
            )
        return self.processes[name]

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def start(self) -> None:
        """In the order that `depends_on` asks for."""
        assert self.run("migrate", "api", name="migrate").wait(240) == 0, self.log("migrate").read_text()
        for number in range(self.described["api"]["deploy"]["replicas"]):
            port = services.free_port()
            self.run("api", "api", name=f"api-{number}", DISTILLED_HOST="127.0.0.1", DISTILLED_PORT=str(port))
            self.fronts.append(f"http://127.0.0.1:{port}")
        for number in range(WORKERS):
            self.run("worker-cpu", "worker", name=f"worker-{number}")
        for front in self.fronts:
            self.until(lambda front=front: answers(f"{front}/readyz"), f"{front} is ready", seconds=240)
        self.until(lambda: len(self.workers()) == WORKERS, "all workers are known", seconds=240)

    def workers(self) -> list[dict[str, Any]]:
        """The live workers, as a front end tells of them."""
        return httpx2.get(f"{self.fronts[0]}/v1/workers", headers=KEY, timeout=10).json()["items"]

    def until(self, look: Callable[[], Any], what: str, *, seconds: float) -> Any:
        """What `look` finds, as soon as it finds something. A process that ends meanwhile ends the wait."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            for name, process in self.processes.items():
                assert process.poll() in (None, 0), f"{name} ended: {self.log(name).read_text()}"
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            time.sleep(0.1)
        return found

    def stop(self) -> dict[str, int]:
        """SIGTERM to all; how each ended."""
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        ended: dict[str, int] = {}
        for name, process in self.processes.items():
            try:
                ended[name] = process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                ended[name] = process.wait()
        return ended


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with ExitStack() as around:
        database = around.enter_context(services.postgresql())
        broker = around.enter_context(services.redis())
        bucket = around.enter_context(services.s3())
        engine = create_engine(database, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE ROLE distilled LOGIN PASSWORD '{SECRETS['POSTGRES_PASSWORD']}'"))
            connection.execute(text("CREATE DATABASE distilled OWNER distilled"))
        engine.dispose()
        with redis.Redis.from_url(broker) as client:
            client.config_set("requirepass", SECRETS["REDIS_PASSWORD"])
        addresses = {
            "postgres:5432": re.findall(r"127\.0\.0\.1:\d+", database)[0],
            "redis:6379": re.findall(r"127\.0\.0\.1:\d+", broker)[0],
            "http://store:8333": bucket.url,
            "s3://distilled/": f"s3://{bucket.bucket}/",
        }
        made = Stack(folder=tmp_path_factory.mktemp("compose"), addresses=addresses)
        try:
            made.start()
            yield made
        finally:
            ended = made.stop()
        assert set(ended.values()) == {0}, ended


@pytest.fixture(scope="module")
def artifact(stack: Stack) -> str:
    """The path of an artifact whose job the first front end took; the second one told of its end."""
    one, other = stack.fronts
    sent = httpx2.post(f"{one}/v1/jobs", json=RECIPE, headers=KEY, timeout=30)
    assert sent.status_code == 202, sent.text

    def ended() -> dict[str, Any] | None:
        job = httpx2.get(f"{other}/v1/jobs/{sent.json()['id']}", headers=KEY, timeout=10).json()
        return job if job["state"] in ("succeeded", "failed", "cancelled") else None

    job = stack.until(ended, "the job has ended", seconds=240)
    assert job["state"] == "succeeded", job["error"]
    return f"/v1/artifacts/{job['artifact_id']}"


def test_what_one_front_end_takes_the_other_serves(stack: Stack, artifact: str) -> None:
    url = f"{stack.fronts[1]}{artifact}"
    content = httpx2.get(f"{url}/content", headers=KEY, timeout=30)
    assert content.status_code == 200
    assert hashlib.sha256(content.content).hexdigest() == httpx2.get(url, headers=KEY, timeout=10).json()["digest"]

    def measured() -> dict[str, Any] | None:
        found = httpx2.get(url, headers=KEY, timeout=10).json()["evaluations"]
        return found[0] if found and found[0]["state"] not in ("queued", "running") else None

    assert stack.until(measured, "the artifact is evaluated", seconds=240)["state"] == "succeeded"


def test_both_front_ends_tell_the_same_of_the_registry_and_each_its_own_requests(stack: Stack, artifact: str) -> None:
    told: list[dict[str, float]] = []
    for i, url in enumerate(stack.fronts):
        for _ in range(i + 1):
            httpx2.get(f"{url}{artifact}/preview.png?scale=0", headers=KEY, timeout=10)
        text = httpx2.get(f"{url}/metrics", headers=KEY, timeout=10).text
        lines = [line for line in text.splitlines() if line.startswith("distilled_")]
        told.append({line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines})
    one, other = told
    assert httpx2.get(f"{stack.fronts[0]}/metrics", timeout=10).status_code == 401
    jobs = 'distilled_jobs{state="succeeded"}'
    shared = ("distilled_attempts_total", "distilled_store_bytes", jobs, "distilled_workers")
    names = [name for name in one if name.startswith(shared)]
    assert {name.partition("{")[0] for name in names} == {name.partition("{")[0] for name in shared}
    assert {name: one[name] for name in names} == {name: other[name] for name in names}
    assert one['distilled_attempts_total{of="jobs"}'] >= 1
    refused = 'distilled_http_requests_total{method="GET",route="/v1/artifacts/{artifact}/preview.png",status="422"}'
    assert (one[refused], other[refused]) == (1, 2)


def test_the_worker_is_well_by_its_container_s_own_check(stack: Stack) -> None:
    check = re.findall(r'"([^"]+)"', dockerfile()["worker"].last("HEALTHCHECK"))
    done = subprocess.run(
        [sys.executable, *check[1:]],
        cwd=stack.roots["worker"],
        env=stack.environment("worker-cpu", "worker"),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (check[0], done.returncode) == ("python", 0), done.stderr


def test_no_front_end_answers_without_the_key(stack: Stack) -> None:
    for front in stack.fronts:
        assert httpx2.get(f"{front}/v1/jobs", timeout=10).status_code == 401


@pytest.fixture(scope="module")
def proxy(stack: Stack) -> Iterator[str]:
    """deploy/nginx.conf before the two front ends; yields its URL."""
    if not shutil.which("nginx"):
        pytest.skip("needs nginx (Debian: apt-get install nginx-light)")
    port = services.free_port()
    folder = stack.folder / "nginx"
    folder.mkdir()
    # The last one is gone, as it is for seconds after a restart: no caller may notice.
    replicas = [front.removeprefix("http://") for front in stack.fronts] + [f"127.0.0.1:{services.free_port()}"]
    servers = "".join(f"server {replica} max_fails=0;" for replica in replicas)
    conf = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for container, here in (
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ('set $api "api:8000";', "set $api replicas;"),
        ("    server {", f"    upstream replicas {{ {servers} }}\n    server {{"),
        ("/tmp/", f"{folder}/"),
    ):
        assert container in conf
        conf = conf.replace(container, here)
    (folder / "nginx.conf").write_text(conf, encoding="utf-8")
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder), "-g", "daemon off;"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        stack.until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), "the proxy answers", seconds=10)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def test_the_proxy_shows_events_when_they_happen(proxy: str) -> None:
    endless = {**RECIPE, "seed": 4, "steps": 1000000}
    job_id = httpx2.post(f"{proxy}/v1/jobs", json=endless, headers=KEY, timeout=30).json()["id"]
    try:
        # One short event, and the answer far from its end: a proxy that gathers would show nothing.
        with httpx2.stream("GET", f"{proxy}/v1/jobs/{job_id}/events", headers=KEY, timeout=8) as answer:
            assert next(answer.iter_lines()) == "event: state"
    finally:
        httpx2.post(f"{proxy}/v1/jobs/{job_id}/cancel", headers=KEY, timeout=10).raise_for_status()


def test_the_proxy_passes_ranges_uploads_and_refusals(proxy: str, artifact: str) -> None:
    whole = httpx2.get(f"{proxy}{artifact}/content", headers=KEY, timeout=10).content
    part = httpx2.get(f"{proxy}{artifact}/content", headers={**KEY, "Range": "bytes=8-15"}, timeout=10)
    assert (part.status_code, part.content) == (206, whole[8:16])
    for content, status in ((npz(train_images=None), 422), (npz(), 201)):
        files = {"file": ("a.npz", content)}
        sent = httpx2.post(f"{proxy}/v1/datasets", data={"name": "mine"}, files=files, headers=KEY, timeout=30)
        assert sent.status_code == status, sent.text


def test_the_service_itself_refuses_what_is_too_large(proxy: str) -> None:
    host, port = proxy.removeprefix("http://").split(":")
    lines = ["POST /v1/datasets HTTP/1.1", f"Host: {host}", f"Authorization: {KEY['Authorization']}"]
    lines += ["Content-Type: multipart/form-data; boundary=b", "Content-Length: 5368709120", "Connection: close"]
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(("\r\n".join(lines) + "\r\n\r\n--b").encode())
        assert b" 413 " in wire.recv(65536).split(b"\r\n")[0]


def test_links_have_the_name_and_the_scheme_that_the_caller_used(proxy: str) -> None:
    for sent, scheme in (("https", "https"), ("gopher", "http")):
        headers = {**KEY, "X-Forwarded-Proto": sent, "Host": "data.example:8443"}
        answer = httpx2.get(f"{proxy}/v1/datasets?limit=1", headers=headers, timeout=10)
        assert answer.status_code == 200, answer.text
        assert answer.headers["link"].startswith(f"<{scheme}://data.example:8443/v1/datasets?"), answer.headers


def test_nobody_notices_a_front_end_that_is_gone(proxy: str) -> None:
    assert [httpx2.get(f"{proxy}/healthz", timeout=10).status_code for _ in range(9)] == [200] * 9
