"""A reader beside the harm: whatever it is shown must be whole, however often it is shown nothing."""

import random
import threading
from hashlib import sha256
from typing import Any

import httpx2

from registry import jobs
from registry.errors import RegistryError
from registry.leases import Beat
from registry.models import EventKind, Job, State
from tests.faults.stacks import Stack

#: The ways in which a service may say that it is not well.
AWAY = (429, 503, 507)


class Reader:
    """Looks at everything again and again, from every front end, until it is stopped."""

    def __init__(self, stack: Stack, *, seed: int) -> None:
        self._stack, self._rng = stack, random.Random(seed)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._loop, args=(turn,)) for turn in (self.look, self.pretend)]
        self.wrong: list[str] = []
        self.looks = self.stale = 0

    def __enter__(self) -> "Reader":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_told: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _loop(self, turn: Any) -> None:
        while not self._stop.wait(1.0):
            try:
                turn()
            except (httpx2.TransportError, RegistryError):
                continue  # nobody there
            except Exception as error:
                self.wrong.append(f"the reader met {error!r}")

    def look(self) -> None:
        """One artifact, from the list to its bytes in two forms; and one job that says it has one."""
        artifacts = self._get("/v1/artifacts?limit=100")
        if artifacts and artifacts["items"]:
            one = self._rng.choice(artifacts["items"])
            content = self._bytes(f"/v1/artifacts/{one['id']}/content")
            if content is not None:
                self.looks += 1
                if sha256(content).hexdigest() != one["digest"] or len(content) != one["bytes"]:
                    self.wrong.append(f"{one['id']} was shown with other bytes than its own")
            self._bytes(f"/v1/artifacts/{one['id']}/download?format=npz")
        done = self._get("/v1/jobs?state=succeeded&limit=50")
        if done and done["items"]:
            job = self._rng.choice(done["items"])
            self._get(f"/v1/artifacts/{job['artifact_id']}")

    def pretend(self) -> None:
        """Write as one who has lost the job: under an attempt before the present one. Nothing may come of it."""
        with self._stack.database.read() as session:
            held = session.query(Job).filter(Job.state == State.RUNNING, Job.attempt > 1).all()
        for job in held[:3]:
            old = job.attempt - 1
            with self._stack.database.write() as session:
                taken = [
                    jobs.beat(session, job.id, attempt=old, lease_seconds=60.0) is not Beat.LOST,
                    jobs.record_event(session, job.id, attempt=old, kind=EventKind.LOG, data={}) is not None,
                    jobs.record_snapshot(session, job.id, attempt=old, key="stale", step=1),
                    jobs.fail(session, job.id, attempt=old, error={}),
                    jobs.release(session, job.id, attempt=old),
                ]
            self.stale += len(taken)
            if any(taken):
                self.wrong.append(f"{job.id} took a write under attempt {old} while {job.attempt} held it")

    def _get(self, path: str) -> Any:
        answer = self._ask(path)
        return None if answer is None else answer.json()

    def _bytes(self, path: str) -> bytes | None:
        answer = self._ask(path)
        return None if answer is None else answer.content

    def _ask(self, path: str) -> httpx2.Response | None:
        answer = httpx2.get(self._rng.choice(self._stack.urls) + path, timeout=20)
        if answer.status_code in AWAY:
            return None
        if answer.status_code != 200:
            self.wrong.append(f"{path} was answered {answer.status_code}: {answer.text[:200]}")
            return None
        return answer
