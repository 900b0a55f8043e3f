"""Calls to the service under test. With several addresses each call goes to the next one, as behind a balancer."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, cycle
from typing import Any, TypeVar
from uuid import uuid4

import httpx2

from tests.conformance.promises import check_answer, check_problem

T = TypeVar("T")

#: Of one answer, in seconds: a service whose cores are shared with others is slow, not wrong.
TIMEOUT = 60


class Wire:
    """The service under test; every answer is held to `promises.check_answer`.

    patience: how long a tiny job may take, in seconds.
    """

    def __init__(self, urls: list[str], *, key: str | None, patience: float) -> None:
        self.urls = [url.rstrip("/") for url in urls]
        self.key = key
        self.patience = patience
        self._clients = [httpx2.Client(base_url=url, timeout=TIMEOUT) for url in self.urls]
        self._turns = cycle(self._clients)
        self._requests = count(1)
        self._run = uuid4().hex[:12]

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def call(self, method: str, path: str, *, bare: bool = False, **options: Any) -> httpx2.Response:
        """Any answer. bare: without the key and a request id of ours; the id that comes back is not checked."""
        headers, sent_id = self._headers(options.pop("headers", None), bare=bare)
        answer = next(self._turns).request(method, path, headers=headers, **options)
        check_answer(answer, sent_id=sent_id)
        return answer

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx2.Response]:
        """An answer whose body is read as it arrives; one that refuses is read at once."""
        headers, sent_id = self._headers(options.pop("headers", None), bare=False)
        with next(self._turns).stream(method, path, headers=headers, **options) as answer:
            if answer.status_code >= 400:
                answer.read()
            check_answer(answer, sent_id=sent_id)
            yield answer

    def get(self, path: str, **options: Any) -> Any:
        """The JSON of a 200."""
        return self.ok("GET", path, **options).json()

    def ok(self, method: str, path: str, *, status: int = 200, **options: Any) -> httpx2.Response:
        """An answer of this status."""
        answer = self.call(method, path, **options)
        assert answer.status_code == status, f"{method} {path} -> {answer.status_code}: {answer.text[:2000]}"
        return answer

    def problem(self, status: int, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The problem of a refusal with this status."""
        return check_problem(self.ok(method, path, status=status, **options))

    def pointers(self, method: str, path: str, **options: Any) -> list[str]:
        """Where a 422 points."""
        return [fault["pointer"] for fault in self.problem(422, method, path, **options)["errors"]]

    def pages(self, path: str, **query: Any) -> Iterator[list[dict[str, Any]]]:
        """The pages of a list, by its cursors; `query` goes beside what the path asks already."""
        url = httpx2.URL(path).copy_merge_params(query)
        while True:
            page = self.get(str(url))
            assert {"items", "next_cursor"} <= set(page), path
            yield page["items"]
            if page["next_cursor"] is None:
                return
            url = url.copy_merge_params({"cursor": page["next_cursor"]})

    def until_job(self, job_id: str, *states: str, what: Callable[[dict[str, Any]], object] = bool) -> dict[str, Any]:
        """The job, once it is in one of these states and `what` holds of it."""

        def look() -> dict[str, Any] | None:
            job = self.get(f"/v1/jobs/{job_id}")
            return job if job["state"] in states and what(job) else None

        return until(look, what=f"{job_id} is {' or '.join(states)}", seconds=self.patience)

    def _headers(self, given: dict[str, str] | None, *, bare: bool) -> tuple[dict[str, str], str | None]:
        headers = {name.lower(): value for name, value in (given or {}).items()}
        if bare:
            return headers, None
        if self.key is not None:
            headers.setdefault("authorization", f"Bearer {self.key}")
        headers.setdefault("x-request-id", f"conformance-{self._run}-{next(self._requests)}")
        return headers, headers["x-request-id"]


def until(look: Callable[[], T | None], *, what: str, seconds: float) -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return found
