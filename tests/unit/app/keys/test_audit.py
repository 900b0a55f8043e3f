"""Every route that changes something leaves a line; what was refused too; and nobody else does."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.keys import noting
from app.services import Services
from registry import audit, errors
from registry.audit import Who
from registry.models import AliasMove, AuditEvent, Dataset, Evaluation, Job, Upload
from tests.conformance.making import npz
from tests.unit.app.conftest import Published, problem, publish
from tests.unit.app.everywhere import calls
from tests.unit.app.keys.conftest import ROOT, Held
from tests.unit.app.keys.test_matrix import ADMIN, ENTERING, QUESTIONS, SUBMIT

RECIPE = {"dataset": "digits", "method": "dm", "ipc": 1}
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}

Connect = Callable[[str], TestClient]


def lines(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    """The log, the oldest line first."""
    return client.get("/v1/admin/audit", params={"limit": 200, **query}).json()["items"][::-1]


def test_every_change_leaves_a_line_by_whom_it_was_made(
    keyed: Connect, services: Services, held: dict[str, Held], published: Published
) -> None:
    admin = keyed(held["admin"].secret)
    done: dict[str, tuple[Any, str]] = {}

    def ask(route: str, target: str | None = None, status: int = 200, **options: Any) -> Any:
        """One request to a route; `target` is what its line is to say, by default what the path ends with."""
        method, _, template = route.partition(" ")
        path = options.pop("path", template)
        answer = admin.request(method, path, **options)
        assert answer.status_code == status, (route, answer.text)
        made = answer.headers.get("location", path).rpartition("?")[0] or answer.headers.get("location", path)
        done[route] = (answer, target or made.rstrip("/").rpartition("/")[2])
        return answer

    job = ask("POST /v1/jobs", status=202, json=RECIPE).json()["id"]
    ask("POST /v1/jobs/{job_id}/cancel", job, path=f"/v1/jobs/{job}/cancel")
    ask("POST /v1/jobs/{job_id}/retry", job, status=202, path=f"/v1/jobs/{job}/retry")
    file = {"file": ("a.npz", npz("audit"))}
    ask("POST /v1/datasets", "mine", status=201, data={"name": "mine"}, files=file)
    ask("DELETE /v1/datasets/{name}", "mine", status=204, path="/v1/datasets/mine?force=true")
    begin = {**TUS, "Upload-Length": "3"}
    uploads = [ask("POST /v1/uploads", status=201, headers=begin).headers["location"] for _ in range(2)]
    sent = {"headers": PIECE, "content": b"abc", "path": uploads[0]}
    ask("PATCH /v1/uploads/{upload_id}", status=204, **sent)
    ask("DELETE /v1/uploads/{upload_id}", status=204, headers=TUS, path=uploads[1])
    artifact = f"/v1/artifacts/{published.id}"
    body = {"networks": ["mlp"]}
    ask("POST /v1/artifacts/{artifact}/evaluations", published.id, 202, path=f"{artifact}/evaluations", json=body)
    ask("PUT /v1/aliases/{name}", status=201, path="/v1/aliases/best", json={"artifact_id": published.id})
    ask("DELETE /v1/aliases/{name}", status=204, path="/v1/aliases/best")
    ask("DELETE /v1/artifacts/{artifact}", status=204, path=artifact)
    ask("POST /v1/artifacts/{artifact}/restore", published.id, path=f"{artifact}/restore")
    ask("POST /v1/admin/sweep", "resources", path="/v1/admin/sweep?dry_run=false&resources=true")
    key = ask("POST /v1/keys", status=201, json={"name": "ci", "scopes": ["read"]}).json()["id"]
    ask("PATCH /v1/keys/{key_id}/quotas", key, path=f"/v1/keys/{key}/quotas", json={"jobs": 1})
    ask("POST /v1/keys/{key_id}/rotate", key, status=201, path=f"/v1/keys/{key}/rotate")
    ask("DELETE /v1/keys/{key_id}", status=204, path=f"/v1/keys/{key}")

    changing = {
        f"{call.method} {call.plain}" for call in calls(admin.app) if call.method not in ("GET", "HEAD", "OPTIONS")
    }  # type: ignore[arg-type]
    assert set(done) == changing - QUESTIONS - ENTERING  # a browser that keeps a key changes nothing here
    assert set(done) == SUBMIT | {one for one in ADMIN if not one.startswith("GET")}
    told = {line["request_id"]: line for line in lines(admin)}
    for route, (answer, target) in done.items():
        line = told[answer.headers["x-request-id"]]
        assert (line["target"], line["outcome"], line["key_id"]) == (target, "done", held["admin"].id), route
        assert line["key_name"] == "admin"
    actions = [told[answer.headers["x-request-id"]]["action"] for answer, _ in done.values()]
    assert len(set(actions)) == len(actions)
    page = (Path(__file__).parents[4] / "docs" / "keys.md").read_text(encoding="utf-8")
    assert set(actions) == set(re.findall(r"`([a-z]+\.[a-z]+)`", page.partition("Actions: ")[2]))


def test_what_was_refused_is_told_with_the_reason(keyed: Connect, held: dict[str, Held], services: Services) -> None:
    job_id = publish(services).job_id
    reader, writer, root = (keyed(secret) for secret in (held["read"].secret, held["submit"].secret, ROOT))
    problem(reader.post(f"/v1/jobs/{job_id}/cancel"), 403)
    problem(writer.post(f"/v1/jobs/{job_id}/cancel"), 409)
    problem(writer.post("/v1/jobs", json={"nonsense": 1}), 422)
    problem(writer.post("/v1/jobs/job_" + "0" * 32 + "/cancel"), 404)
    problem(reader.get("/v1/keys"), 403)
    told = [
        (line["key_name"], line["action"], line["target"], line["reason"]) for line in lines(root, outcome="refused")
    ]
    assert told == [("read", "job.cancel", job_id, "scope-missing"), ("submit", "job.cancel", job_id, "job-finished")]


def test_what_changes_nothing_leaves_no_line(keyed: Connect, held: dict[str, Held]) -> None:
    writer, root = keyed(held["submit"].secret), keyed(ROOT)
    assert writer.post("/v1/jobs?dry_run=true", json=RECIPE).status_code == 200
    once = {"Idempotency-Key": "mine"}
    first = writer.post("/v1/jobs", json=RECIPE, headers=once)
    assert writer.post("/v1/jobs", json=RECIPE, headers=once).json()["id"] == first.json()["id"]
    assert writer.post("/v1/jobs?reuse=true", json=RECIPE).json()["id"] == first.json()["id"]
    assert root.post("/v1/admin/sweep").status_code == 200
    assert [line["action"] for line in lines(root)] == ["job.submit"]


def test_a_change_that_is_not_made_has_no_line(
    keyed: Connect, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise errors.RegistryBusy

    root = keyed(ROOT)
    job = root.post("/v1/jobs", json=RECIPE).json()["id"]
    monkeypatch.setattr(audit, "note", broken)
    assert root.post(f"/v1/jobs/{job}/cancel").status_code == 503
    monkeypatch.undo()
    assert root.get(f"/v1/jobs/{job}").json()["state"] == "queued"
    assert [line["action"] for line in lines(root)] == ["job.submit"]


def test_a_refusal_that_cannot_be_noted_is_answered_all_the_same(
    keyed: Connect, services: Services, held: dict[str, Held], monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise errors.RegistryBusy

    monkeypatch.setattr(audit, "note", broken)
    problem(keyed(held["read"].secret).put("/v1/aliases/x", json={"artifact_id": "x"}), 403)
    assert any(line["event"] == "refusal_not_noted" for line in logs)


def test_rows_say_whose_they_are(keyed: Connect, held: dict[str, Held], services: Services) -> None:
    writer = keyed(held["submit"].secret)
    artifact = publish(services).id
    writer.post("/v1/jobs", json=RECIPE)
    writer.post("/v1/uploads", headers={**TUS, "Upload-Length": "3"})
    writer.post("/v1/datasets", data={"name": "mine"}, files={"file": ("a.npz", npz("whose"))})
    writer.post(f"/v1/artifacts/{artifact}/evaluations", json={"networks": ["mlp"]})
    writer.put("/v1/aliases/best", json={"artifact_id": artifact})
    with services.database.read() as session:
        for model in (Job, Upload, Dataset, Evaluation, AliasMove):
            newest = session.scalars(select(model).order_by(model.id.desc())).first()
            assert newest is not None
            assert newest.key_id == held["submit"].id, model


def test_two_callers_may_choose_one_idempotency_key(keyed: Connect, held: dict[str, Held]) -> None:
    once = {"Idempotency-Key": "mine"}
    first, second = (
        keyed(held[name].secret).post("/v1/jobs", json=RECIPE, headers=once) for name in ("submit", "admin")
    )
    assert first.json()["id"] != second.json()["id"]
    again = keyed(held["submit"].secret).post("/v1/jobs", json=RECIPE, headers=once)
    assert again.json()["id"] == first.json()["id"]


def test_the_log_is_filtered_and_paged(keyed: Connect, services: Services) -> None:
    root = keyed(ROOT)
    who = [Who(key_id=f"key_{i:032x}", name=f"k{i}", action=f"a.{i % 2}") for i in range(4)]
    with services.writing() as session:
        for i, one in enumerate(who):
            audit.note(session, one, f"t{i}")
    assert [line["target"] for line in lines(root, action="a.1")] == ["t1", "t3"]
    assert [line["target"] for line in lines(root, key_id=who[2].key_id)] == ["t2"]
    assert [line["action"] for line in lines(root, target="t0")] == ["a.0"]
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert (lines(root, since=soon), len(lines(root, until=soon))) == ([], 4)
    first = root.get("/v1/admin/audit?limit=3")
    rest = root.get(first.links["next"]["url"])
    assert [line["target"] for line in (*first.json()["items"], *rest.json()["items"])] == ["t3", "t2", "t1", "t0"]
    problem(root.get("/v1/admin/audit?since=yesterday"), 422)
    problem(root.get("/v1/admin/audit?cursor=x"), 422)


def test_old_lines_go_and_uses_are_noted_now_and_then(
    keyed: Connect, services: Services, held: dict[str, Held]
) -> None:
    root, reader = keyed(ROOT), keyed(held["read"].secret)
    with services.writing() as session:
        for target in ("old", "new"):
            audit.note(session, Who(key_id=None, name="root", action="a"), target)
        old = datetime.now(UTC) - timedelta(days=services.settings.audit_days + 1)
        session.execute(update(AuditEvent).where(AuditEvent.target == "old").values(created_at=old))
    assert reader.get("/v1/jobs").status_code == 200
    key = f"/v1/keys/{held['read'].id}"
    assert root.get(key).json()["last_used_at"] is None
    noting.note(services)
    assert [line["target"] for line in lines(root)] == ["new"]
    used = root.get(key).json()["last_used_at"]
    assert used is not None
    noting.note(services)
    assert root.get(key).json()["last_used_at"] == used
