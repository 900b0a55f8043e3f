"""The bell between a signal and a waiting thread."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from workers.stop_signal import SIGNAL, StopSignal


@pytest.fixture
def bell() -> Iterator[StopSignal]:
    before = signal.getsignal(SIGNAL)
    bell = StopSignal()
    yield bell
    signal.set_wakeup_fd(-1)
    signal.signal(SIGNAL, before)
    bell.close()


def test_waiting_ends_by_itself_and_hears_nothing(bell: StopSignal) -> None:
    bell.wait(0.0)
    assert not bell.heard


def test_a_ring_wakes_and_asks_for_nothing(bell: StopSignal) -> None:
    bell.ring()
    began = time.monotonic()
    bell.wait(10.0)
    assert time.monotonic() - began < 5
    assert not bell.heard


def test_the_signal_is_remembered_until_someone_waits(bell: StopSignal) -> None:
    bell.install()
    os.kill(os.getpid(), SIGNAL)
    bell.wait(0.0)
    bell.wait(0.0)
    assert bell.heard


def test_a_thread_hears_the_signal_while_the_main_thread_is_in_c_code(bell: StopSignal) -> None:
    bell.install()
    heard_after: list[float] = []
    began = time.monotonic()

    def listen() -> None:
        bell.wait(10.0)
        heard_after.append(time.monotonic() - began)

    listener = threading.Thread(target=listen)
    listener.start()
    threading.Timer(0.05, os.kill, (os.getpid(), SIGNAL)).start()
    # A lock held elsewhere: the main thread waits in C, and its Python handler cannot run before it is let go.
    gate = threading.Lock()
    gate.acquire()
    threading.Timer(0.4, gate.release).start()
    gate.acquire()
    listener.join()
    assert bell.heard
    assert heard_after[0] < 0.35
