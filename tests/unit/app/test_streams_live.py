"""Streams over a wire, with the clients that users have: webdataset, pyarrow, and one that does not read."""

import socket
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pyarrow as pa
import pytest
import webdataset as wds
from fastapi import FastAPI
from fastapi.testclient import TestClient
from safetensors.numpy import load

from app.samples.places import Streams
from app.services import Services
from tests.integration.app.live import running
from tests.unit.app.conftest import Published, publish


@pytest.fixture
def live(app: FastAPI, client: TestClient) -> Iterator[str]:
    """The application behind a real server; `client` has given it this test's parts."""
    with running(app) as served:
        yield served.url


def until(holds: Any, *, seconds: float) -> float:
    """Wait until it holds and return how long that took; fails when it has not after so long."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "it does not come to pass"
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves its pipes to the collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["pipe:curl -s -f '{}'", "{}"])
def test_webdataset_reads_a_stream_and_a_download(live: str, services: Services, how: str) -> None:
    made = publish(services, labels="soft")
    url = f"{live}/v1/artifacts/{made.id}"
    truth = [load(httpx2.get(f"{url}/samples?count=8&seed=4&index={index}").content) for index in range(3)]
    for path, expected in (
        ("stream?batch_size=8&batches=3&seed=4", truth),
        ("download?format=webdataset", [load(httpx2.get(f"{url}/download").content)]),
    ):
        shard = how.format(f"{url}/{path}")
        read = wds.WebDataset(shard, shardshuffle=False).decode("rgb8").to_tuple("png", "cls", "soft.npy")
        images, labels, soft = zip(*read, strict=True)
        np.testing.assert_array_equal(np.stack(images), np.concatenate([batch["images"] for batch in expected]))
        np.testing.assert_array_equal(labels, np.concatenate([batch["labels"] for batch in expected]))
        np.testing.assert_array_equal(np.stack(soft), np.concatenate([batch["soft_labels"] for batch in expected]))


def test_an_endless_stream_is_read_for_as_long_as_one_likes_and_let_go_within_a_second(
    live: str, services: Services, published: Published
) -> None:
    url = f"{live}/v1/artifacts/{published.id}/stream?batch_size=300&seed=2&format=arrow"

    def let_go() -> float:
        with urllib.request.urlopen(url) as wire:  # noqa: S310 -- our own server
            reader = pa.ipc.open_stream(wire)
            for _ in range(5):
                labels = np.array(reader.read_next_batch()["label"].to_pylist())
                assert np.bincount(labels).tolist() == [100, 100, 100]
            assert services.streams.active == 1
        return until(lambda: services.streams.active == 0, seconds=10)

    # A machine that is busy otherwise may keep us waiting, but not each time.
    assert any(let_go() < 1 for _ in range(3))


def test_clients_that_do_not_read_cost_nobody_else_anything(
    live: str, services: Services, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, done, draw = [], [], services.sampler.draw

    def counted(*args: Any, **options: Any) -> Any:
        begun.append(options["index"])
        drawn = draw(*args, **options)
        done.append(options["index"])
        return drawn

    monkeypatch.setattr(services.sampler, "draw", counted)
    services.streams = Streams(most=2, stopping=services.stopping)
    host, port = live.removeprefix("http://").split(":")
    # A batch has about half a megabyte. The kernel takes in some of them for a client that does not read.
    path = f"/v1/artifacts/{published.id}/stream?batch_size=10000&format=arrow"
    wires: list[socket.socket] = []
    try:
        for _ in range(2):
            wire = socket.socket()
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            wire.connect((host, int(port)))
            wire.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            wires.append(wire)
        until(lambda: len(begun) >= 2 and services.streams.active == 2, seconds=30)
        until(lambda settled=[(0, 0.0)]: quiet(begun, done, settled), seconds=60)
        assert len(begun) <= 2 * 20, "what the kernel holds, and no more"

        refused = httpx2.get(f"{live}{path}")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
        assert httpx2.get(f"{live}/v1/artifacts/{published.id}/samples?ipc=1", timeout=5).status_code == 200
    finally:
        for wire in wires:
            wire.close()
    until(lambda: services.streams.active == 0, seconds=10)


def quiet(begun: list[int], done: list[int], settled: list[tuple[int, float]]) -> bool:
    """Whether nothing was drawn for half a second. settled: how many there were at the last look, and since when."""
    if len(begun) != settled[0][0] or len(begun) != len(done):
        settled[0] = (len(begun), time.monotonic())
    return time.monotonic() - settled[0][1] > 0.5
