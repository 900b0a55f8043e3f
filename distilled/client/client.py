"""The service as a Python object: submit a recipe, follow the job, find artifacts, draw from them.

client = Client()                                  # DISTILLED_URL, or this machine
job = client.wait(client.submit(dataset="digits", method="frepo", ipc=1))
batch = client.sample(job.artifact_id, ipc=1)      # numpy arrays
"""

import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import httpx2

from distilled.bars import JobBar, transfer_told, watched
from distilled.cache import Cache
from distilled.client import content, events, uploads
from distilled.client.keys import Keys
from distilled.client.opened import OpenedArtifact
from distilled.client.queries import query_of, segment
from distilled.client.retry import Backoff
from distilled.client.samples import Sample
from distilled.client.values import Artifact, Event, Job, Json
from distilled.client.wire import Wire

DEFAULT_URL = "http://127.0.0.1:8000"
Classes = Sequence[str | int] | str  # names or indices; one text may hold several, with commas between


class Client(Keys):
    """A service at `url`; without one at DISTILLED_URL, or on this machine. `key` falls back to DISTILLED_API_KEY.

    Calls that may be repeated are, with growing pauses, when the service is restarting or overloaded. Every failure is
    a `distilled.errors.ServiceError`: NotFound, Conflict, Invalid (which names field and fix), NotAllowed, Unavailable.
    Where a call takes `progress`, a bar is drawn if stderr is a terminal; True and False say so in either case.

    A client can be pickled and forked: each process has connections of its own. `cache` keeps copies of artifacts, by
    default as DISTILLED_CACHE and DISTILLED_CACHE_BYTES say. `rng` draws the jitter of the pauses; `sleep` and
    `transport` are there for tests.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        backoff: Backoff | None = None,
        cache: Cache | None = None,
        rng: random.Random | None = None,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        url = url or os.environ.get("DISTILLED_URL") or DEFAULT_URL
        key = key or os.environ.get("DISTILLED_API_KEY")
        backoff = backoff or Backoff()
        self.cache = cache or Cache.from_environment()
        self._again = partial(Client, url, key, timeout_seconds=timeout_seconds, backoff=backoff, cache=self.cache)
        self._sleep = sleep
        self._wire = Wire(
            url,
            key=key,
            timeout_seconds=timeout_seconds,
            backoff=backoff,
            rng=rng or random.SystemRandom(),
            sleep=sleep,
            transport=transport,
        )

    @property
    def url(self) -> str:
        """Where the service is, without a slash at its end."""
        return self._wire.url

    # What can be distilled, and how

    def methods(self) -> Json:
        """Every preset, with its paper and the JSON Schema of its options."""
        return self._wire.json("GET", "/v1/methods")

    def datasets(self) -> Iterator[Json]:
        """The built-in datasets and the uploaded ones."""
        return self._pages("/v1/datasets", {})

    def dataset(self, name: str) -> Json:
        return self._wire.json("GET", f"/v1/datasets/{segment(name)}")

    def upload(
        self,
        path: Path | str,
        *,
        name: str,
        licence: str | None = None,
        progress: content.Progress | bool | None = None,
    ) -> Json:
        """Register a dataset from a file: .npz (MedMNIST's keys), .zip, .tar, .tar.gz (ImageFolder layout), .parquet.

        It is streamed, never whole in memory; a large one goes on where it stands after a broken connection. All but
        small `.npz` files are `validating` then: `wait_for_dataset` waits for the service's look at them.
        """
        with transfer_told(progress, what=Path(path).name) as told:
            return uploads.send(self._wire, Path(path), name=name, progress=told, licence=licence)

    def wait_for_dataset(
        self, name: str, *, on_change: Callable[[Json], None] | None = None, poll_seconds: float = 0.5
    ) -> Json:
        """The dataset once it is `ready` or `refused`; its `report` says what was found."""
        while True:
            found = self.dataset(name)
            if on_change:
                on_change(found)
            if found.get("state") != "validating":
                return found
            self._sleep(poll_seconds)

    def delete_dataset(self, name: str, *, force: bool = False) -> None:
        """Forget a dataset. Raises Conflict while a job or an artifact names it, unless forced."""
        self._wire.request("DELETE", f"/v1/datasets/{segment(name)}", query=query_of(force=force or None))

    # Jobs

    def submit(
        self,
        recipe: Mapping[str, Any] | None = None,
        *,
        reuse: bool = False,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Job:
        """Ask for an artifact. The recipe's fields may be given as keywords, over those of `recipe`.

        reuse: take the living or finished job of an identical recipe, if there is one. Raises Invalid with every fault.
        """
        # A key of our own makes the call safe to repeat: the service answers a repetition with the same job.
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        body = {**(recipe or {}), **fields}
        query = query_of(reuse=reuse or None)
        return Job.from_json(self._wire.json("POST", "/v1/jobs", body=body, headers=headers, query=query))

    def dry_run(self, recipe: Mapping[str, Any] | None = None, **fields: Any) -> Json:
        """Check, expand and estimate a recipe; nothing is queued. Raises Invalid with every fault."""
        body = {**(recipe or {}), **fields}
        return self._wire.json("POST", "/v1/jobs", body=body, query=query_of(dry_run=True), repeatable=True)

    def job(self, job: Job | str) -> Job:
        return Job.from_json(self._wire.json("GET", f"/v1/jobs/{_id(job)}"))

    def jobs(self, **filters: Any) -> Iterator[Job]:
        """Jobs, the newest first; `state="running"` and the like narrow them down."""
        return (Job.from_json(item) for item in self._pages("/v1/jobs", filters))

    def events(self, job: Job | str, *, last_event_id: str | None = None) -> Iterator[Event]:
        """What happens to a job, from its start or after an event, as it happens, until it ends."""
        return events.follow(self._wire, _id(job), after=last_event_id)

    def wait(
        self, job: Job | str, *, on_event: Callable[[Event], None] | None = None, progress: bool | None = None
    ) -> Job:
        """Follow a job to its end. It may have failed or been cancelled: look at `state`."""
        shown = watched(progress)
        bar = JobBar(disable=not shown)
        with bar.progress:
            for event in self.events(job):
                if shown:
                    bar.on_event(event)
                if on_event:
                    on_event(event)
        return self.job(job)

    def metrics(self, job: Job | str) -> Iterator[Json]:
        """The recorded series of a job: step, loss terms, accuracy, images per second."""
        return self._pages(f"/v1/jobs/{_id(job)}/metrics", {})

    def cancel(self, job: Job | str) -> Job:
        """Call a job off. Raises Conflict if it has ended already."""
        return Job.from_json(self._wire.json("POST", f"/v1/jobs/{_id(job)}/cancel", repeatable=True))

    def retry(self, job: Job | str, *, fresh: bool = False) -> Job:
        """Try a failed or cancelled job again, from its last snapshot or afresh."""
        query = query_of(fresh=fresh or None)
        return Job.from_json(self._wire.json("POST", f"/v1/jobs/{_id(job)}/retry", query=query))

    # Artifacts

    def find(self, **filters: Any) -> Iterator[Artifact]:
        """Artifacts by dataset, kind, method, class, ipc, ratio, network, min_accuracy, max_bytes, alias, job; `sort`.

        `class` is a word of Python: write `class_=3`.
        """
        return (Artifact.from_json(item) for item in self._pages("/v1/artifacts", filters))

    def artifact(self, artifact: Artifact | str) -> Artifact:
        """One artifact by its id or alias, with its evaluations."""
        return Artifact.from_json(self._wire.json("GET", _of(artifact)))

    def evaluate(self, artifact: Artifact | str, networks: Sequence[str] | str, **options: Any) -> list[Json]:
        """Measure an artifact on further networks; `wait_for_evaluations` waits for them.

        options: of the training, such as `repeats=3`; all others are as in the artifact's recipe. Returns an evaluation
        for each network, with its `state`: one that was made before is not made again unless it failed. Raises Invalid
        for unknown networks, or such as do not fit the images.
        """
        body = {"networks": [networks] if isinstance(networks, str) else list(networks), **options}
        # What is asked for twice is queued once, so the call is safe to repeat.
        answer = self._wire.json("POST", f"{_of(artifact)}/evaluations", body=body, repeatable=True)
        return cast("list[Json]", answer["items"])

    def evaluations(self, artifact: Artifact | str) -> list[Json]:
        """All of an artifact's evaluations, in the order in which they were asked for."""
        return list(self._pages(f"{_of(artifact)}/evaluations", {}))

    def wait_for_evaluations(
        self,
        artifact: Artifact | str,
        *,
        on_change: Callable[[Artifact], None] | None = None,
        poll_seconds: float = 0.5,
    ) -> Artifact:
        """The artifact once every evaluation has succeeded or failed."""
        while True:
            found = self.artifact(artifact)
            if on_change:
                on_change(found)
            if all(evaluation.get("state") in ("succeeded", "failed") for evaluation in found.evaluations):
                return found
            self._sleep(poll_seconds)

    def open(self, artifact: Artifact | str) -> OpenedArtifact:
        """An artifact to train on: `stream()`, `dataset()`, `download()`, `manifest`. An alias is looked up once."""
        return OpenedArtifact(self, self.artifact(artifact))

    def pull(
        self, artifact: Artifact | str, path: Path | str, *, progress: content.Progress | bool | None = None
    ) -> Path:
        """The artifact's own file, checked against its digest. A broken download is continued, also by a later call.

        The cache saves the way where it has a copy, and keeps one. Raises DigestMismatch, leaving no file, if the bytes
        are not those that the registry names.
        """
        found, target = self.artifact(artifact), Path(path)
        if not self.cache.copy_to(target, found.digest):
            self._bring(found, target, progress=progress)
            self.cache.keep(target, found.digest)
        return target

    def read(self, artifact: Artifact | str, *, progress: content.Progress | bool | None = None) -> bytes:
        """The bytes of the artifact's own file, as `pull`, from the cache where it has a copy."""
        found = artifact if isinstance(artifact, Artifact) else self.artifact(artifact)
        return self.cache.read_or(found.digest, lambda path: self._bring(found, path, progress=progress))

    def _bring(self, found: Artifact, target: Path, *, progress: content.Progress | bool | None) -> Path:
        with transfer_told(progress, what=found.id) as told:
            return content.fetch(self._wire, f"{_of(found.id)}/content", target, digest=found.digest, progress=told)

    def download(
        self,
        artifact: Artifact | str,
        path: Path | str,
        *,
        format: str = "safetensors",
        ipc: int | None = None,
        classes: Classes | None = None,
        progress: content.Progress | bool | None = None,
    ) -> Path:
        """A finished synthetic set as a file, in one of the formats of GET …/download.

        A broken download is continued, also by a later call with the same query. Raises DigestMismatch, leaving no
        file, if the bytes are not those whose digest the service gave with them.
        """
        query, target = query_of(format=format, ipc=ipc, classes=classes), Path(path)
        with transfer_told(progress, what=target.name) as told:
            return content.fetch(self._wire, f"{_of(artifact)}/download", target, query=query, progress=told)

    def sample(
        self,
        artifact: Artifact | str,
        *,
        ipc: int | None = None,
        ratio: float | None = None,
        count: int | None = None,
        classes: Classes | None = None,
        seed: int | None = None,
        index: int | None = None,
        dtype: str = "uint8",
    ) -> Sample:
        """A batch as numpy arrays, by one of `ipc`, `ratio` or `count`; the same seed gives the same bytes.

        index: which batch of the seed, from 0 on; each can be asked for alone.
        """
        query = {"ipc": ipc, "ratio": ratio, "count": count, "classes": classes, "seed": seed, "dtype": dtype}
        response = self._drawn(artifact, None, format="safetensors", index=index, **query)
        return Sample.from_response(response.content, headers=response.headers)

    def images_per_class(self, artifact: Artifact | str, *, ratio: float, ipc: int | None = None) -> int:
        """Images of each class that a ratio of the real training images is. Raises Invalid where it cannot be had."""
        # The service has the rule and the number of real images; one byte of the answer will do.
        query = query_of(ratio=ratio, ipc=ipc, seed=0)
        response = self._wire.request("GET", f"{_of(artifact)}/samples", query=query, headers={"Range": "bytes=0-0"})
        return int(response.headers["X-Images-Per-Class"])

    def mix(
        self, artifact: Artifact | str, rows: Sequence[Mapping[str, Any]], *, seed: int | None = None, **query: Any
    ) -> Sample:
        """A batch of mixtures of classes, from a memory or a generator; soft labels say which.

        rows: such as {"mix": {"3": 0.5, "8": 0.5}, "count": 4}, with classes by name or index.
        """
        response = self._drawn(artifact, rows, format="safetensors", seed=seed, **query)
        return Sample.from_response(response.content, headers=response.headers)

    def sample_file(
        self,
        artifact: Artifact | str,
        path: Path | str,
        *,
        format: str,
        rows: Sequence[Mapping[str, Any]] | None = None,
        **query: Any,
    ) -> int | None:
        """A batch as a file (safetensors, npz, png, json), asked for as in `sample`, or with `rows` as in `mix`.

        Returns the seed of the draw.
        """
        response = self._drawn(artifact, rows, format=format, **query)
        target = Path(path)
        part = target.with_name(f"{target.name}.part")
        part.write_bytes(response.content)
        part.replace(target)
        seed = response.headers.get("X-Seed")
        return int(seed) if seed else None

    def _drawn(
        self, artifact: Artifact | str, rows: Sequence[Mapping[str, Any]] | None, **query: Any
    ) -> httpx2.Response:
        """The answer to GET …/samples, or with rows to POST, which changes nothing either and so may be repeated."""
        method = "GET" if rows is None else "POST"
        path = f"{_of(artifact)}/samples"
        return self._wire.request(method, path, query=query_of(**query), body=rows, repeatable=True)

    def preview(
        self,
        artifact: Artifact | str,
        *,
        classes: Classes | None = None,
        columns: int | None = None,
        scale: int | None = None,
        mix: Classes | None = None,
        rows: int | None = None,
    ) -> bytes:
        """The contact sheet, a class a row, as PNG.

        mix: two classes, of an artifact that can recall mixtures: a strip from the first to the second in `columns`
        steps, with `rows` images on their way.
        """
        query = query_of(classes=classes, columns=columns, scale=scale, mix=mix, rows=rows)
        return self._wire.request("GET", f"{_of(artifact)}/preview.png", query=query).content

    # The service itself

    def ready(self) -> Json:
        """Each part with its state. Raises Unavailable while one is missing."""
        return self._wire.json("GET", "/readyz", repeatable=False)  # the answer now, not the one after a while

    def close(self) -> None:
        self._wire.close()

    def __reduce__(self) -> tuple[Callable[[], "Client"], tuple[()]]:
        if self._wire.transport is not None:
            raise TypeError("a client with a transport of its own cannot be pickled")
        return self._again, ()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _id(item: Job | Artifact | str) -> str:
    return segment(item if isinstance(item, str) else item.id)


def _of(artifact: Artifact | str) -> str:
    return f"/v1/artifacts/{_id(artifact)}"
