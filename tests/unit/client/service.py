"""A service to talk to without a network: routes are functions, cuts and refusals are scripted."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

from distilled.client import Backoff, Client

Answer = httpx2.Response | Exception | Callable[[httpx2.Request], httpx2.Response]


class Cut(httpx2.SyncByteStream):
    """A body whose line breaks after its last byte."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self.content
        raise httpx2.ReadError("the line was cut")


def problem(
    status: int, *, title: str = "Refused", headers: dict[str, str] | None = None, **more: Any
) -> httpx2.Response:
    body = {"type": "about:blank", "title": title, "status": status, **more}
    content_type = {"content-type": "application/problem+json"}
    return httpx2.Response(status, content=json.dumps(body), headers={**content_type, **(headers or {})})


@dataclass
class FakeService:
    """Answers in the order given for each `METHOD /path`; the last answer stays. Remembers what it was asked."""

    script: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[httpx2.Request] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def on(self, route: str, *answers: Answer | dict[str, Any] | list[Any]) -> "FakeService":
        self.script[route] = [
            httpx2.Response(200, json=answer) if isinstance(answer, dict | list) else answer for answer in answers
        ]
        return self

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answers = self.script.get(f"{request.method} {request.url.path}")
        if answers is None:
            return problem(404, title="Nothing is here under this name")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx2.Response):
            # A response is read once; the last answer may be given again.
            return (
                answer
                if not answer.is_stream_consumed
                else httpx2.Response(answer.status_code, content=answer.content, headers=answer.headers)
            )
        return answer(request)

    def client(self, url: str = "http://service", key: str | None = None, **more: Any) -> Client:
        options: dict[str, Any] = {"backoff": Backoff(retries=3), "rng": random.Random(0), "sleep": self.slept.append}
        return Client(url, key, transport=httpx2.MockTransport(self.handle), **(options | more))

    def asked(self, route: str) -> list[httpx2.Request]:
        return [request for request in self.requests if f"{request.method} {request.url.path}" == route]


def job(state: str = "queued", **more: Any) -> dict[str, Any]:
    return {
        "id": "job_1",
        "state": state,
        "progress": 1.0 if state == "succeeded" else 0.0,
        "step": None,
        "steps": 100,
        "eta_seconds": None,
        "queue_position": 1 if state == "queued" else None,
        "attempt": 1,
        "device": None,
        "error": None,
        "artifact_id": "art_1" if state == "succeeded" else None,
        "dataset": "digits",
        "method": "frepo",
        "ipc": 1,
        "recipe": {"dataset": "digits", "method": "frepo", "ipc": 1},
        **more,
    }


SCORES = {
    "network": "convnet3-w64",
    "distilled": {
        "hard": {"mean": 0.9, "std": 0.01, "values": [0.89, 0.91]},
        "soft": {"mean": 0.92, "std": 0.02, "values": [0.9, 0.94]},
        "bytes": 640,
        "images": 10,
    },
    "random": {"mean": 0.5, "std": 0.05, "values": [0.45, 0.55], "bytes": 640, "images": 10},
    "centroid": {"mean": 0.8, "std": 0.02, "values": [0.78, 0.82], "bytes": 640, "images": 10},
    "full": {"mean": 0.98, "std": 0.001, "values": [0.979, 0.981], "bytes": 92032, "images": 1438},
    "hlr": 0.08,
    "ior": 0.42,
}


def evaluation(state: str = "succeeded", **more: Any) -> dict[str, Any]:
    done = state == "succeeded"
    about = {"id": "ev_1", "network": "convnet3-w64", "state": state, "progress": 1.0 if done else 0.0}
    return {**about, "result": SCORES if done else None, "error": None, **more}


def artifact(*evaluations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "art_1",
        "digest": "0" * 64,
        "bytes": 1234,
        "dataset": "digits",
        "method": "frepo",
        "kind": "images",
        "ipc": 1,
        "classes": ["0", "1"],
        "network": "convnet3-w64",
        "accuracy": 0.9,
        "accuracy_std": 0.01,
        "evaluations": list(evaluations),
        **more,
    }
