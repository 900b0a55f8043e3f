"""Who asks for jobs, and does not give up: each job is asked for under a key of its own until the answer is heard."""

import random
import threading
import time
from contextlib import suppress
from typing import Any

import httpx2
from sqlalchemy import func, select

from registry.errors import RegistryError
from registry.models import LIVING, Job
from tests.faults.reading import AWAY
from tests.faults.stacks import Stack

#: Kernels and means of 8x8 pixels: real, and some tenths of a second each.
RECIPES: tuple[dict[str, Any], ...] = (
    {"method": "kip", "steps": 60, "objective": {"real_batch": 32}},
    {"method": "kip", "steps": 120, "objective": {"real_batch": 32}},
    {"method": "dm", "steps": 40, "objective": {"network": "convnet1-w8", "real_batch": 32}},
)
MEASURED = {"networks": ["mlp-w16"], "steps": 20, "epochs": 1, "repeats": 2}
#: One in so many jobs is measured, and one in so many called off.
MEASURED_EVERY, CANCELLED_EVERY = 15, 8


def kind_of(number: int, *, kinds: int) -> tuple[int, bool]:
    """What the bytes of a job's artifact follow from: its recipe, and whether it asks for a measurement."""
    return number % kinds, number % MEASURED_EVERY == MEASURED_EVERY - 1


def recipe(number: int, *, kinds: int) -> dict[str, Any]:
    """The recipe of a job; `kinds` of them differ, so that their digests can be known beforehand."""
    kind, measured = kind_of(number, kinds=kinds)
    evaluation = MEASURED if measured else {"networks": []}
    common = {"dataset": "digits", "ipc": 1, "seed": kind, "evaluation": evaluation, "priority": number % 3}
    return {**common, **RECIPES[kind % len(RECIPES)]}


class Clients:
    """Ask for `jobs` jobs, `at_once` of them alive at a time, and call some of them off."""

    def __init__(self, stack: Stack, *, jobs: int, kinds: int, at_once: int, seed: int) -> None:
        self._stack, self._jobs, self._kinds, self._at_once = stack, jobs, kinds, at_once
        self._rng = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.accepted: dict[int, str] = {}  # number -> id, as it was answered
        self.called_off: set[str] = set()
        self.wrong: list[str] = []

    def __enter__(self) -> "Clients":
        self._thread.start()
        return self

    def __exit__(self, *_told: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def all_sent(self) -> bool:
        return len(self.accepted) == self._jobs

    def _run(self) -> None:
        for number in range(self._jobs):
            while not self._stop.is_set() and self._living() >= self._at_once:
                self._stop.wait(0.5)
            answer = self._insist("/v1/jobs", (202,), json=recipe(number, kinds=self._kinds), key=f"job-{number}")
            if answer is None:
                return
            self.accepted[number] = answer["id"]
            if number % CANCELLED_EVERY == CANCELLED_EVERY - 1:
                time.sleep(self._rng.uniform(0.0, 2.0))
                if self._insist(f"/v1/jobs/{answer['id']}/cancel", (200, 409), json=None) is None:
                    return
                self.called_off.add(answer["id"])

    def _living(self) -> int:
        living = select(func.count()).select_from(Job).where(Job.state.in_(LIVING))
        with suppress(RegistryError), self._stack.database.read() as session:
            return session.scalar(living) or 0
        return self._at_once

    def _insist(self, path: str, accepted: tuple[int, ...], *, json: Any, key: str | None = None) -> Any:
        """The answer, as soon as there is one of these; None when the campaign is over before."""
        headers = {} if key is None else {"Idempotency-Key": key}
        while not self._stop.is_set():
            try:
                answer = httpx2.post(f"{self._url()}{path}", json=json, headers=headers, timeout=20)
            except httpx2.TransportError:
                self._stop.wait(0.2)
                continue
            if answer.status_code in accepted:
                return answer.json()
            # 409: the same key is being worked on, perhaps by a front end that is dead by now.
            if answer.status_code not in (*AWAY, 409):
                self.wrong.append(f"POST {path} was answered {answer.status_code}: {answer.text[:300]}")
            self._stop.wait(0.5)
        return None

    def _url(self) -> str:
        return self._rng.choice(self._stack.urls)
