"""Dockerfile, docker-compose.yml and the proxy's configuration hold together, and with the code that they start."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_spec
import httpx2
import pytest
import typer
import yaml

from app.settings import AppSettings
from deploy import worker_health
from distilled import __version__
from distilled.cli.main import build
from registry import schema, workers
from registry.session import Database
from tests.containers import ROOT, SECRETS, Unset, compose, dockerfile, env_example, lay_out, readers
from workers.identity import machine, worker_name
from workers.settings import WorkerSettings

#: By image: migrating runs in the front end's.
SETTINGS = {"migrate": AppSettings, "api": AppSettings, "worker-cpu": WorkerSettings, "worker-gpu": WorkerSettings}
OURS = tuple(SETTINGS)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = {"migrate": "api", "api": "api", "worker-cpu": "worker", "worker-gpu": "worker"}


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return compose(SECRETS)["services"]


# -- docker-compose.yml ----------------------------------------------------------------------------------------------


def test_compose_obeys_the_compose_specification():
    # Dumped again: the reader knows no merge keys, which Compose resolves as YAML does.
    read = compose_spec.PyCompose.from_yaml(yaml.safe_dump(compose(SECRETS)))
    assert set(read.service_names()) == {"postgres", "redis", "store", "proxy", *OURS}


@pytest.mark.parametrize("read", readers())
def test_whoever_reads_compose_finds_all_of_it(read):
    found = read(SECRETS)["services"]
    own = compose(SECRETS)["services"]
    assert found.keys() == own.keys() == {"postgres", "redis", "store", "proxy", *OURS}
    for name, service in found.items():
        assert service["image"] == own[name]["image"]
        assert service.get("environment", {}) == own[name].get("environment", {})
        assert service.get("command") == own[name].get("command")
    assert found["api"]["deploy"]["replicas"] == 2
    (device,) = found["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_no_secret_has_a_default():
    example = env_example()
    assert {name for name, value in example.items() if not value} == set(SECRETS)
    for name in SECRETS:
        with pytest.raises(Unset, match=name):
            compose({**SECRETS, name: ""})


def test_every_variable_of_compose_is_explained_in_the_example():
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"\$\{(\w+)", text))
    assert set(re.findall(r"^(?:# )?([A-Z_]+)=", example, flags=re.MULTILINE)) == named | {"COMPOSE_PROFILES"}


def test_a_secret_goes_only_where_it_is_needed(services):
    def holders(name: str) -> set[str]:
        return {service for service, said in services.items() if SECRETS[name] in json.dumps(said)}

    assert holders("API_KEY") == {"api"}
    assert holders("POSTGRES_PASSWORD") == {"postgres", *OURS}
    assert holders("REDIS_PASSWORD") == {"redis", *OURS}
    assert holders("STORE_SECRET") == {"store", *OURS}


def test_every_image_has_a_version(services):
    for name, service in services.items():
        image, _, tag = service["image"].partition(":")
        if name in OURS:
            assert tag.split("-")[0] == __version__ == PROJECT["version"], name
            assert image == f"distilled-{TARGETS[name]}"
            assert service["build"]["target"] == TARGETS[name]
        else:
            assert re.match(r"\d+\.\d+", tag), service["image"]
            assert "build" not in service


@pytest.mark.parametrize("name", OURS)
def test_the_settings_know_every_variable(services, name, monkeypatch):
    image = dockerfile()[TARGETS[name]].environment()
    given = {**image, **services[name]["environment"]}
    ours = {variable for variable in given if variable.startswith("DISTILLED_")}
    known = {f"DISTILLED_{field}".upper() for field in SETTINGS[name].model_fields}
    assert {"DISTILLED_DATABASE_URL", "DISTILLED_BROKER_URL", "DISTILLED_STORE_URL", "DISTILLED_HOME"} <= ours <= known
    for variable in ours:
        monkeypatch.setenv(variable, given[variable])
    settings = SETTINGS[name]()
    assert SECRETS["POSTGRES_PASSWORD"] in settings.database_url
    if name == "api":
        assert (settings.host, settings.key) == ("0.0.0.0", SECRETS["API_KEY"])  # noqa: S104 -- compared, not bound
        settings.check_binding()


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_of_the_command_line(services, name):
    group: Any = typer.main.get_command(build())
    entry = json.loads(dockerfile()[TARGETS[name]].last("ENTRYPOINT"))
    assert entry == ["distilled"]
    with group.make_context("distilled", [], resilient_parsing=True) as context:
        found, command, rest = group.resolve_command(context, list(services[name]["command"]))
        assert found == {"migrate": "migrate", "api": "api"}.get(name, "worker")
        command.make_context(found, rest)  # raises UsageError for what it does not know


def test_who_waits_for_whom(services):
    stages = dockerfile()
    for name, service in services.items():
        for other, waits in service.get("depends_on", {}).items():
            target = services[other]
            if waits["condition"] == "service_completed_successfully":
                assert target["restart"] == "no", f"{name} waits for the end of {other}"
            else:
                assert waits["condition"] == "service_healthy"
                checked = target.get("healthcheck") or (other in TARGETS and stages[TARGETS[other]].last("HEALTHCHECK"))
                assert checked, f"{name} waits for the health of {other}"
    for name in OURS[1:]:
        waits = {other: waits["condition"] for other, waits in services[name]["depends_on"].items()}
        assert waits["migrate"] == "service_completed_successfully"
        assert waits["redis"] == waits["store"] == "service_healthy"


def test_the_proxy_alone_can_be_reached_and_from_this_host_only(services):
    assert {name for name, service in services.items() if "ports" in service} == {"proxy"}
    assert services["proxy"]["ports"] == ["127.0.0.1:8000:8080"]
    read = compose(SECRETS)
    assert read["networks"]["inside"] == {"internal": True}
    outside = {name for name, service in services.items() if "outside" in service["networks"]}
    assert outside == {"proxy", "worker-cpu", "worker-gpu"}


def test_there_are_two_front_ends_and_a_worker_with_a_gpu(services):
    assert services["api"]["deploy"]["replicas"] == 2
    (device,) = services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "device_ids": ["0"], "capabilities": ["gpu"]}
    assert (services["worker-cpu"]["profiles"], services["worker-gpu"]["profiles"]) == (["cpu"], ["gpu"])
    assert env_example()["COMPOSE_PROFILES"] in ("cpu", "gpu")


def test_what_must_last_is_on_a_volume(services):
    home = dockerfile()["api"].environment()["DISTILLED_HOME"]
    mounts = {name: dict(volume.split(":", 1) for volume in services[name].get("volumes", ())) for name in services}
    assert mounts["postgres"] == {"postgres": "/var/lib/postgresql"}  # where the image keeps its data since 18
    assert mounts["store"] == {"store": "/data"}
    assert mounts["api"] == {"spool": home, "data": f"{home}/data"}
    assert mounts["worker-cpu"] == mounts["worker-gpu"] == {"data": f"{home}/data"}
    assert set(compose(SECRETS)["volumes"]) == {"postgres", "store", "spool", "data"}
    assert AppSettings(home=home).data_dir == Path(home, "data")
    assert all(services[name]["read_only"] for name in OURS)


# -- Dockerfile ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["api", "worker"])
def test_an_image_runs_as_nobody_of_note_and_knows_its_health(target):
    stages = dockerfile()
    stage = stages[target]
    assert int(stage.last("USER").split(":")[0]) > 0
    words = [word for word, _ in stage.steps]
    assert words.index("USER") > max(n for n, word in enumerate(words) if word in ("RUN", "COPY"))
    assert "CMD" in stage.last("HEALTHCHECK")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", stages[stage.base].base)


def test_neither_image_holds_the_other_half():
    stages = dockerfile()
    assert set(stages["api"].copied()) == {"app", "distilled", "migrations", "registry"}
    assert set(stages["worker"].copied()) == {
        "deploy/worker_health.py",
        "distilled",
        "migrations",
        "registry",
        "workers",
    }


def test_packages_come_in_the_versions_of_the_tests():
    stages = dockerfile()
    for name, extra in (("api-packages", "api"), ("worker-packages", "service")):
        installs = [line for run in stages[name].all("RUN") for line in run.split("&&") if "pip install" in line]
        assert len(installs) == 2
        assert all("--constraint constraints.txt" in line for line in installs)
        assert installs[1].split()[-1] == f'".[{extra}]"'
    extras = PROJECT["optional-dependencies"]
    assert "distilled[torch]" in extras["api"]
    assert not any(re.match(r"torchvision|scikit|distilled\[lab", line) for line in extras["api"])


def test_the_build_sees_what_it_copies_and_no_secret():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {line.removeprefix("!") for line in rules if line.startswith("!")}
    copied = {source for stage in dockerfile().values() for source in stage.copied()}
    assert allowed == copied
    assert all((ROOT / source).exists() for source in copied)


def test_the_api_starts_where_there_is_no_laboratory(tmp_path):
    root = lay_out("api", tmp_path / "srv")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DISTILLED_")}
    environment |= {"PYTHONPATH": str(root), "DISTILLED_HOME": str(tmp_path / "home"), "DISTILLED_API_KEY": "k"}

    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "distilled", *arguments]

    refused = subprocess.run(
        command("worker"), cwd=root, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 2
    assert "is not here" in refused.stderr
    subprocess.run(command("migrate"), cwd=root, env=environment, capture_output=True, timeout=60, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    log = tmp_path / "api.log"
    with log.open("wb") as out:
        api = subprocess.Popen(command("api", "--port", str(port)), cwd=root, env=environment, stdout=out, stderr=out)
    try:
        wait_for(f"http://127.0.0.1:{port}/healthz", api, log)
        answer = httpx2.get(f"http://127.0.0.1:{port}/v1/methods", headers={"Authorization": "Bearer k"}, timeout=10)
        assert answer.status_code == 200
        assert answer.json()["items"]
        form = httpx2.get(f"http://127.0.0.1:{port}/login", timeout=10)
        (style,) = re.findall(r'rel="stylesheet" href="([^"]+)"', form.text)
        assert httpx2.get(f"http://127.0.0.1:{port}{style}", timeout=10).headers["content-type"].startswith("text/css")
    finally:
        api.terminate()
        assert api.wait(15) == 0


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 40
    while True:
        try:
            assert httpx2.get(url, timeout=5).status_code == 200
        except httpx2.TransportError:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


# -- the health of a worker ------------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/registry.db"
    monkeypatch.setenv("DISTILLED_DATABASE_URL", url)
    schema.upgrade(url)
    made = Database(url)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("worker", "status"), [(worker_name(7), 0), (f"{machine()}0-7", 1), ("gpu7-1f3a9c02-7", 1), (None, 1)]
)
def test_a_worker_is_well_while_the_registry_hears_from_one_of_its_container(database, worker, status, capsys):
    if worker is not None:
        with database.write() as session:
            workers.beat_worker(session, worker=worker, device="cpu", hostname="here", pid=7)
    assert worker_health.main() == status
    assert ("look at the worker's log" in capsys.readouterr().err) == bool(status)


def test_a_worker_is_not_well_without_its_registry(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DISTILLED_DATABASE_URL", f"sqlite:///{tmp_path}/nowhere/registry.db")
    assert worker_health.main() == 1
    assert "DISTILLED_DATABASE_URL" in capsys.readouterr().err
    assert worker_health.main(["--alive"]) == 0, "no reason to end a job of hours"


def test_a_worker_that_is_silent_is_not_alive(database, capsys):
    assert worker_health.main(["--alive"]) == 1


# -- the proxy -------------------------------------------------------------------------------------------------------


def location(text: str, name: str) -> str:
    """The body of a location of nginx.conf."""
    (body,) = re.findall(rf"location {re.escape(name)} \{{(.*?)\}}", text, flags=re.DOTALL)
    return body


def test_the_proxy_lets_streams_uploads_and_ranges_through(services):
    text = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    ports = services["proxy"]["ports"][0].rsplit(":", 1)[1]
    assert f"listen {ports};" in text
    assert 'set $api "api:8000";' in text
    assert dockerfile()["api"].last("EXPOSE") == "8000"
    events, upload = location(text, "~ ^/v1/jobs/[^/]+/events$"), location(text, "= /v1/datasets")
    assert "proxy_buffering off;" in events
    assert "proxy_request_buffering off;" in upload
    assert "client_max_body_size 0;" in text
    assert "proxy_set_header Host $http_host;" in text
    # A cache, or a limit of its own, would answer ranges in the service's stead.
    assert not re.search(r"proxy_cache|proxy_force_ranges|slice |max_ranges|gzip on", text)
    assert text.count("{") == text.count("}")
