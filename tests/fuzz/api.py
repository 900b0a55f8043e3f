"""schemathesis over the OpenAPI document, in process: something of everything is there, and clients are impatient."""

import asyncio
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import schemathesis
from fastapi.testclient import TestClient
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from registry import jobs, workers
from registry.testing import MemoryQueue, memory_store, migrated_template, temporary_database
from tests.unit.app import test_generators
from tests.unit.app.catalog import CATALOG, RECIPE
from tests.unit.app.conftest import evaluate, memory_file, publish
from tests.unit.app.test_datasets import upload
from tests.unit.app.test_uploads import begin

KEY = "a key that only the fuzz holds"
HELD = {"Authorization": f"Bearer {KEY}"}
#: After so much or so long an impatient client leaves: event streams and streams of batches need have no end.
PATIENCE_BYTES, PATIENCE_SECONDS = 4_000_000, 0.3
CHECKS = Path(__file__).with_name("schemathesis.toml")


class Impatient:
    """A client of an application that leaves in the middle, as a server tells it: sending fails."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what comes, and leave when it is too much or takes too long."""
        left = PATIENCE_BYTES
        begun = asyncio.Event()
        over = False

        async def send_some(message: Message) -> None:
            nonlocal left, over
            left -= len(message.get("body", b""))
            over = over or left < 0
            if over:
                raise OSError
            await send(message)
            if message["type"] == "http.response.start":
                begun.set()
            elif not message.get("more_body"):
                over = True

        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        serving = asyncio.ensure_future(
            self.app({**scope, "asgi": {"version": "3.0", "spec_version": "2.4"}}, receive, send_some)
        )
        waiting = asyncio.ensure_future(begun.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await asyncio.wait({serving}, timeout=PATIENCE_SECONDS)
        whole, over = over, True
        serving.cancel()
        await asyncio.wait({serving})
        failure = None if serving.cancelled() else serving.exception()
        if failure is not None and not isinstance(failure, OSError | ClientDisconnect):
            raise failure
        if begun.is_set() and not whole:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


@schemathesis.serializer("application/offset+octet-stream")
def a_piece(context: Any, value: Any) -> bytes:
    """A piece of an upload goes as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


@dataclass(kw_only=True)
class Names:
    """What there is in the registry, by the parameter that names it."""

    artifact: list[str] = field(default_factory=list)
    job_id: list[str] = field(default_factory=list)
    upload_id: list[str] = field(default_factory=list)
    name: list[str] = field(default_factory=list)


def populate(services: Services, client: TestClient) -> Names:
    """Something of everything: artifacts of all kinds, jobs in all states, aliases, data sets and an open upload."""
    names = Names()
    published = [
        publish(services),
        publish(services, labels="soft", seed=1),
        publish(services, file=memory_file()),
        publish(services, file=test_generators.file()),
    ]
    evaluate(services, published[0].id, accuracy=0.5)
    names.job_id = [made.job_id for made in published]
    with services.database.write() as session:
        queued = [jobs.submit(session, recipe=RECIPE, digest=f"{n}" * 64, request_id="r").id for n in range(3)]
        claim = jobs.claim(session, queued[0], worker="w", device="cpu", lease_seconds=600)
        assert claim is not None
        jobs.cancel(session, queued[1])
    names.job_id += queued
    names.artifact = [made.id for made in published]
    for name, made in zip(("best", "soft.1", "memory", "generator"), published, strict=True):
        answer = client.put(f"/v1/aliases/{name}", json={"artifact_id": made.id})
        assert answer.status_code == 201, answer.text
        names.artifact.append(name)
    assert upload(client).status_code == 201
    names.name = ["mine", "digits", "best", "soft.1"]
    with services.database.write() as session:
        workers.beat_worker(session, worker="w", device="cpu", hostname="h", pid=1)
    names.upload_id = [begin(client, 100).rpartition("/")[2]]
    return names


@contextmanager
def populated() -> Iterator[tuple[ASGIApp, dict[str, Any], Names]]:
    """An application, its OpenAPI document, and what is in its registry."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        settings = AppSettings(
            home=home, api_key=KEY, event_poll_seconds=0.02, sweep_seconds=3600, max_upload_bytes=2_000_000
        )
        database = temporary_database(home, template=migrated_template(home))
        parts = Services(
            settings=settings, database=database, store=memory_store(), queue=MemoryQueue(), catalog=CATALOG
        )
        app = create_app(settings, services=parts)
        names = populate(parts, TestClient(app, base_url="http://localhost", headers=HELD))
        yield Impatient(app), app.openapi(), names
        parts.close()


def configuration(names: Names, *, examples: int, seed: int, seconds: float | None) -> SchemathesisConfig:
    """schemathesis.toml, with the names of what there is."""
    told = tomllib.loads(CHECKS.read_text(encoding="utf-8"))
    told["dictionaries"] = {key: {"values": values} for key, values in vars(names).items()}
    told["parameters"] = {f"path.{key}": {"dictionary": key, "probability": 0.8} for key in vars(names)}
    told["generation"] = {"max-examples": examples, "deterministic": seconds is None, "database": "none"}
    told |= {"headers": HELD, "base-url": "http://localhost", "seed": seed}
    if seconds is not None:
        told["max-time"] = int(seconds)
    return SchemathesisConfig.from_dict(told)


@dataclass
class Summary:
    """What a run did, and what it found: {"operation: check: title": how}."""

    operations: int = 0
    cases: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    tested: set[str] = field(default_factory=set)
    findings: dict[str, str] = field(default_factory=dict)

    def told(self) -> str:
        """As tables, and what was found."""
        lines = [f"{len(self.tested)} of {self.operations} operations, {sum(self.cases.values())} cases\n"]
        for title, counted in (("phase", self.cases), ("status", self.statuses), ("check", self.checks)):
            lines += [
                f"| {title} | times |",
                "|---|---|",
                *(f"| {key} | {n} |" for key, n in sorted(counted.items())),
                "",
            ]
        lines += [
            f"{len(self.findings)} findings",
            *(f"\n{where}\n{how[:1000]}" for where, how in self.findings.items()),
        ]
        return "\n".join(lines)


def fuzz(*, examples: int = 50, seed: int = 0, seconds: float | None = None) -> Summary:
    """Run every phase of schemathesis. examples: of one operation. seconds: go on fuzzing until they are spent; without
    them the same requests are made each time.
    """
    found = Summary()
    with populated() as (app, document, names):
        schema = schemathesis.openapi.from_dict(
            document, config=configuration(names, examples=examples, seed=seed, seconds=seconds)
        )
        schema.app = app
        found.operations = sum(len(path) for path in document["paths"].values())
        for event in from_schema(schema).execute():
            _take(event, found)
    return found


def _take(event: events.EngineEvent, found: Summary) -> None:
    if isinstance(event, events.FatalError):
        raise event.exception
    if isinstance(event, events.NonFatalError):
        found.findings[f"error: {event.label}"] = str(event.info)
    if not isinstance(event, events.ScenarioFinished):
        return
    recorder = event.recorder
    found.cases[event.phase.value] += len(recorder.cases)
    for interaction in recorder.interactions.values():
        if interaction.response is not None:
            found.statuses[interaction.response.status_code] += 1
    for case_id, checks in recorder.checks.items():
        label = recorder.cases[case_id].value.operation.label
        found.tested.add(label)
        for check in checks:
            found.checks[check.name] += 1
            if check.status is Status.FAILURE:
                failure = check.failure_info.failure
                how = f"{failure.message}\n{check.failure_info.code_sample}"
                found.findings.setdefault(f"{label}: {check.name}: {failure.title}", how)
