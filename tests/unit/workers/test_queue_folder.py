"""Messages that are still being written are waited for, and never bring the worker down."""

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection
from kombu.transport import filesystem

from workers import celery_app, queue_folder
from workers.settings import WorkerSettings


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Any]:
    options = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path), "control_folder": str(tmp_path / "c")}
    url, transport = "filesystem://localhost//", queue_folder.TRANSPORT
    with Connection(url, transport=transport, transport_options=options) as connection:
        yield connection.channel()


def test_our_reader_reads_what_the_writer_of_kombu_writes_in_order(channel: Any, tmp_path: Path) -> None:
    filesystem.Channel._put(channel, "distill", {"n": 1})
    (tmp_path / "0_first.distill.msg").write_text('{"n": 0}')
    filesystem.Channel._put(channel, "evaluate", {"n": 2})
    assert [channel._get("distill")["n"], channel._get("distill")["n"]] == [0, 1]
    with pytest.raises(Empty):
        channel._get("distill")
    assert channel._get("evaluate") == {"n": 2}
    assert list(tmp_path.glob("*.*")) == []


def test_a_message_half_written_is_waited_for(channel: Any, tmp_path: Path) -> None:
    file = (tmp_path / "1_a.distill.msg").open("wb", buffering=0)

    def finish() -> None:
        file.write(b'{"n": 1}')
        file.close()

    file.write(b"")
    threading.Timer(0.05, finish).start()
    assert channel._get("distill") == {"n": 1}


def test_a_message_never_finished_is_dropped(tmp_path: Path, channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_folder, "read_message", lambda path: None if "a" in path.name.split(".")[0] else {"n": 2})
    (tmp_path / "1_a.distill.msg").touch()
    (tmp_path / "2_b.distill.msg").touch()
    assert channel._get("distill") == {"n": 2}
    assert list(tmp_path.glob("*.taken")) == []


def test_patience_ends(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert queue_folder.read_message(empty, patience_seconds=0.0) is None


def test_a_worker_reads_the_embedded_queue_so_and_any_other_broker_as_its_own(tmp_path: Path) -> None:
    embedded = celery_app.make_app(WorkerSettings(home=tmp_path)).connection_for_read()
    assert isinstance(embedded.transport, queue_folder.Transport)
    other = celery_app.make_app(WorkerSettings(home=tmp_path, broker_url="memory://")).connection_for_read()
    assert not isinstance(other.transport, filesystem.Transport)
